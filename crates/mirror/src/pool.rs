//! A pool of sessions that work on one queue of jobs, all polled by the same thread.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    rc::Rc,
    time::Instant,
};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{pass_options::PoolOptions, pool_size::PoolSizer};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    limits::{GIVE_WAY_POLL, MIRROR_RETRY_TIME_MAX},
    observe::{EventEmitter, MessageLevel, counted},
};
use portolan_remote::{fs::RemoteFs, rate_limit::RateLimiter, transfer::InPlace};

/// A queue of jobs that may be done in any order.
pub(super) trait JobQueue {
    /// The type of a job.
    type Job;
    /// The type of a job's result.
    type Found;

    /// Returns a job that may start now, if there is one.
    fn next(&mut self) -> Option<Self::Job>;
    /// Takes back a job that was not done.
    fn give_back(&mut self, job: Self::Job);
    /// Records the result of a job; an error ends all work.
    fn done(&mut self, job: Self::Job, result: Result<Self::Found>) -> Result<()>;
    /// Returns the number of further sessions that would have something to do.
    fn waiting(&self) -> usize;
    /// Returns the size of a finished job in bytes, if it counts towards the measured throughput.
    fn weight(_found: &Self::Found) -> Option<u64> {
        None
    }
}

/// The results of jobs, each with its job.
pub(super) type JobResults<W> = Vec<(<W as JobQueue>::Job, Result<<W as JobQueue>::Found>)>;

/// The queue from which a busy session may take further jobs, to do them together with the first.
pub(super) struct QueueHandle<'f, 'w, W> {
    work: Option<&'f RefCell<&'w mut W>>,
    stop: &'f CancelToken,
    /// The maximum number of jobs per turn.
    pub(super) turn: usize,
}

impl<W: JobQueue> QueueHandle<'_, '_, W> {
    /// Returns the next job, if there is one.
    pub(super) fn next(&self) -> Option<W::Job> {
        self.work.filter(|_| self.may_begin())?.borrow_mut().next()
    }

    /// Returns true if new work may start.
    pub(super) fn may_begin(&self) -> bool {
        self.stop.accepts_new_work().is_ok()
    }

    /// Takes back a job that was taken and not started.
    pub(super) fn give_back(&self, job: W::Job) {
        if let Some(work) = self.work {
            work.borrow_mut().give_back(job);
        }
    }

    /// Returns true if a next job is likely.
    pub(super) fn goes_on(&self) -> bool {
        self.work.is_some_and(|work| work.borrow().waiting() > 0)
    }
}

/// The session pool of one mirror: the caller's session, and others for as long as the mirror runs.
pub(super) struct SessionPool<'a, R> {
    first: &'a mut R,
    others: Vec<R>,
    /// The sessions that are being opened.
    coming: FuturesUnordered<Coming<R>>,
    size: PoolSizer,
    /// The maximum number of retries per job.
    retries: u16,
    /// The rate limit that the transfers of all sessions share.
    pace: Option<RateLimiter>,
    /// The setting of the caller's session for uploads under final names, if it was changed: it is restored at the end.
    in_place: Option<InPlace>,
}

/// A session of the pool. The caller's is never given up; if the server accepts no more than the others, it rests until
/// they have gone.
enum PooledSession<'a, R> {
    /// The caller's, with the number of the others.
    First(&'a mut R, Rc<Cell<usize>>),
    Other(Box<R>),
}

/// A session that is being opened.
type Coming<R> = Pin<Box<dyn Future<Output = Result<R>>>>;

impl<'a, R: RemoteFs> SessionPool<'a, R> {
    /// Creates a pool with these `options`; sessions other than `first` are opened when there is work for them.
    pub(super) fn new(first: &'a mut R, options: PoolOptions) -> Self {
        let (limit, is_near) = (first.session_limit(), first.is_near());
        let size = PoolSizer::new(options.parallel, limit, is_near, Instant::now());
        let size = size.at_most(first.sessions_max());
        let retries = options.retries;
        let (others, coming) = (Vec::new(), FuturesUnordered::new());
        let in_place = options.in_place.map(|in_place| first.set_in_place(in_place));
        Self { first, others, coming, size, retries, pace: None, in_place }
    }

    /// Returns the caller's session.
    pub(super) const fn first(&mut self) -> &mut R {
        self.first
    }

    /// Sets the rate limit that the transfers of all sessions share.
    pub(super) fn keep_pace(&mut self, pace: Option<RateLimiter>) {
        for session in &mut self.others {
            session.set_rate_limit(pace.clone());
        }
        self.first.set_rate_limit(pace.clone());
        self.pace = pace;
    }

    /// Does all of `work` by `act`, which may take more jobs than the one it is given.
    pub(super) async fn run<W: JobQueue>(
        &mut self,
        work: &mut W,
        act: impl AsyncFn(&mut R, W::Job, QueueHandle<'_, '_, W>) -> JobResults<W>,
    ) -> Result<()> {
        let (work, retries) = (RefCell::new(work), self.retries);
        let others = self.others.drain(..).map(|session| PooledSession::Other(Box::new(session)));
        let mut idle: Vec<_> = others.collect();
        let (observer, stop) = (self.first.observer().clone(), self.first.stop().clone());
        let count = Rc::new(Cell::new(idle.len()));
        idle.push(PooledSession::First(self.first, Rc::clone(&count)));
        let mut watch = PoolDriver { size: &mut self.size, observer, work: &work, ended: Ok(()) };
        let (mut busy, mut resting) = (FuturesUnordered::new(), None);
        let coming = &mut self.coming;
        loop {
            watch.give_way(&mut idle, busy.len());
            if idle.is_empty() && busy.is_empty() {
                idle.extend(resting.take());
            }
            for _ in 0..watch.lacking(&idle, busy.len(), coming.len()) {
                coming.extend(idle.last().map(|hand| Box::pin(hand.open_sibling()) as Coming<R>));
            }
            while watch.ended.is_ok()
                && let Some(hand) = idle.pop()
            {
                let Some(job) = work.borrow_mut().next() else {
                    idle.push(hand);
                    break;
                };
                if let Err(fault) = stop.accepts_new_work() {
                    // Jobs in progress are allowed to finish.
                    work.borrow_mut().give_back(job);
                    watch.end(Err(fault));
                    idle.push(hand);
                    break;
                }
                let feed = QueueHandle { work: Some(&work), stop: &stop, turn: watch.size.turn() };
                busy.push(turn(hand, job, feed, &act, retries));
            }
            if busy.is_empty() {
                break;
            }
            let others = idle.len() + busy.len();
            count.set(others - usize::from(resting.is_none()));
            tokio::select! {
                Some(opened) = coming.next(), if !coming.is_empty() => {
                    // Its opening may have begun before the limit was set.
                    let hand = watch.take_in(opened, others);
                    idle.extend(hand.map(|hand| hand.at_pace(self.pace.clone())));
                }
                Some((hand, ends)) = busy.next() => {
                    if watch.finish(&hand, ends, others - 1) {
                        resting = resting.or(Some(hand).filter(PooledSession::is_first));
                    } else {
                        idle.push(hand);
                    }
                }
                () = tokio::time::sleep(GIVE_WAY_POLL), if idle.iter().any(|hand| !hand.is_first()) => {}
            }
        }
        let ended = watch.ended;
        drop(busy);
        self.others.extend(idle.into_iter().filter_map(PooledSession::into_other));
        // What follows is done by the caller's session.
        let spare = self.others.pop_if(|_| resting.is_some());
        spare.into_iter().for_each(R::leave);
        ended
    }

    /// Closes the sessions that the pool opened.
    pub(super) fn close_extra(self) {
        if let Some(in_place) = self.in_place {
            self.first.set_in_place(in_place);
        }
        let limit = self.size.limit();
        if limit != self.first.session_limit() {
            self.first.record_session_limit(limit);
        }
        self.others.into_iter().for_each(R::leave);
    }
}

/// The state of a pool at work.
struct PoolDriver<'c, 'w, W> {
    size: &'c mut PoolSizer,
    observer: EventEmitter,
    work: &'c RefCell<&'w mut W>,
    ended: Result<()>,
}

impl<W: JobQueue> PoolDriver<'_, '_, W> {
    /// Returns the number of sessions to open in addition to those that are `idle`, `busy`, or being opened.
    fn lacking<R: RemoteFs>(
        &mut self,
        idle: &[PooledSession<'_, R>],
        busy: usize,
        coming: usize,
    ) -> usize {
        let may_open =
            self.ended.is_ok() && idle.last().is_some_and(|hand| !hand.is_slot_requested());
        let waiting = if may_open { self.work.borrow().waiting() } else { 0 };
        let free = idle.len() + coming;
        match waiting.saturating_sub(free) {
            0 => 0,
            useful => useful.min(self.size.lacking(free + busy, Instant::now())),
        }
    }

    /// Adds a session that was opened in addition to the `others`, or handles the reason why it was not. A server that
    /// accepts no more sessions is no failure: the existing ones suffice.
    fn take_in<'a, R>(&mut self, opened: Result<R>, others: usize) -> Option<PooledSession<'a, R>> {
        match opened {
            Ok(session) => {
                self.size.grew(others + 1, Instant::now());
                Some(PooledSession::Other(Box::new(session)))
            }
            Err(fault) => {
                if fault.kind == ErrorKind::Interrupted {
                    self.end(Err(fault));
                } else if let Some(size) = self.size.shrink(others, Instant::now()) {
                    self.tell_of(size, &fault);
                }
                None
            }
        }
    }

    /// Closes one of the `idle` sessions beside `busy` ones if another waits because the server accepts no more.
    fn give_way<R: RemoteFs>(&mut self, idle: &mut Vec<PooledSession<'_, R>>, busy: usize) {
        let is_asked = idle.last().is_some_and(|hand| hand.is_slot_requested());
        let at = idle.iter().position(|hand| !hand.is_first());
        let now = Instant::now();
        let Some(at) = at.filter(|_| is_asked && self.size.may_give_way(now)) else { return };
        if let PooledSession::Other(session) = idle.swap_remove(at) {
            session.leave();
        }
        let count = idle.len() + busy;
        if let Some(size) = self.size.shrink(count, now) {
            let message = "the server accepts no more at present";
            self.tell_of(size, &Error::new(ErrorKind::Busy, Origin::Server, message));
        }
    }

    /// Records the results of a session that worked beside `others`. Returns true if the server has closed it and
    /// accepts no more than those.
    fn finish<R: RemoteFs>(
        &mut self,
        hand: &PooledSession<'_, R>,
        ends: JobResults<W>,
        others: usize,
    ) -> bool {
        let mut unwanted = None;
        for (job, result) in ends {
            match result {
                Err(fault) if hand.is_unwanted(&fault) => {
                    self.work.borrow_mut().give_back(job);
                    unwanted = Some(fault);
                }
                // Started jobs are allowed to finish: a session left in the middle of one would be out of step.
                result => {
                    if let Some(weight) = result.as_ref().ok().and_then(W::weight) {
                        self.size.moved(weight, others + 1, Instant::now());
                    }
                    let done = self.work.borrow_mut().done(job, result);
                    self.end(done);
                }
            }
        }
        let Some(fault) = unwanted else { return false };
        if let Some(size) = self.size.shrink(others, Instant::now()) {
            self.tell_of(size, &fault);
        }
        true
    }

    /// Reports the number of sessions to a user who has asked for another.
    fn tell_of(&self, size: usize, fault: &Error) {
        if !self.size.is_requested() {
            return;
        }
        let sessions = counted(size, "session");
        let text = format!("continuing with {sessions}, fewer than requested: {fault}");
        self.observer.message(MessageLevel::Info, text);
    }

    fn end(&mut self, result: Result<()>) {
        let before = std::mem::replace(&mut self.ended, Ok(()));
        self.ended = before.and(result);
    }
}

impl<R> Deref for PooledSession<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        match self {
            Self::First(session, _) => session,
            Self::Other(session) => session,
        }
    }
}

impl<R> DerefMut for PooledSession<'_, R> {
    fn deref_mut(&mut self) -> &mut R {
        match self {
            Self::First(session, _) => session,
            Self::Other(session) => session,
        }
    }
}

impl<R: RemoteFs> PooledSession<'_, R> {
    /// Returns the session with the rate limit of the pool.
    fn at_pace(mut self, pace: Option<RateLimiter>) -> Self {
        self.set_rate_limit(pace);
        self
    }

    /// Returns the session, unless it is the caller's.
    fn into_other(self) -> Option<R> {
        match self {
            Self::First(..) => None,
            Self::Other(session) => Some(*session),
        }
    }

    /// Returns true for the caller's session.
    const fn is_first(&self) -> bool {
        matches!(self, Self::First(..))
    }

    /// Returns true if the fault means that the server does not accept so many sessions, and that others can go on.
    fn is_unwanted(&self, fault: &Error) -> bool {
        match self {
            Self::First(_, others) => others.get() > 0 && R::is_session_limit(fault),
            Self::Other(_) => R::refuses_session(fault),
        }
    }
}

/// Does one turn of work; failed jobs are retried one by one after a delay, if that may help.
async fn turn<'a, R: RemoteFs, W: JobQueue>(
    mut hand: PooledSession<'a, R>,
    job: W::Job,
    feed: QueueHandle<'_, '_, W>,
    act: &impl AsyncFn(&mut R, W::Job, QueueHandle<'_, '_, W>) -> JobResults<W>,
    retries: u16,
) -> (PooledSession<'a, R>, JobResults<W>) {
    let alone = QueueHandle { work: None, ..feed };
    let ends = act(&mut hand, job, feed).await;
    let mut all = Vec::with_capacity(ends.len());
    for (job, result) in ends {
        all.extend(patiently(&mut hand, job, result, &alone, act, retries).await);
    }
    (hand, all)
}

async fn patiently<R: RemoteFs, W: JobQueue>(
    hand: &mut PooledSession<'_, R>,
    job: W::Job,
    result: Result<W::Found>,
    alone: &QueueHandle<'_, '_, W>,
    act: &impl AsyncFn(&mut R, W::Job, QueueHandle<'_, '_, W>) -> JobResults<W>,
    retries: u16,
) -> JobResults<W> {
    let mut ends = vec![(job, result)];
    let since = Instant::now();
    for tries in 0..retries {
        if since.elapsed() >= MIRROR_RETRY_TIME_MAX {
            break;
        }
        let may_help = |fault: &Error| fault.is_retryable() && !hand.is_unwanted(fault);
        let Some((job, Err(fault))) =
            ends.pop_if(|(_, result)| result.as_ref().is_err_and(may_help))
        else {
            break;
        };
        if let Err(stopped) = hand.pause(&fault, tries).await {
            return vec![(job, Err(stopped))];
        }
        ends = act(hand, job, QueueHandle { ..*alone }).await;
    }
    ends
}
