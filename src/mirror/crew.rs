//! Several sessions at one heap of work, all polled by the same thread.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{
    future::join_all,
    stream::{FuturesUnordered, StreamExt},
};

use crate::{
    fault::{Fault, Kind, Outcome},
    ftp::session::Session,
    limits::MIRROR_RETRY_WAITS,
    observe::Level,
};

/// Work that may be done in any order.
pub(super) trait Work {
    /// One piece of it.
    type Job;
    /// What a piece leads to.
    type Found;

    /// A piece that may begin now, if there is one.
    fn next(&mut self) -> Option<Self::Job>;
    /// Takes back a piece that was not done.
    fn give_back(&mut self, job: Self::Job);
    /// Takes in how a piece ended; an error ends all work.
    fn done(&mut self, job: Self::Job, result: Outcome<Self::Found>) -> Outcome<()>;
}

/// The sessions of one mirror: the caller's own, and others for as long as it lasts.
#[derive(Debug)]
pub(super) struct Crew<'a> {
    first: &'a mut Session,
    others: Vec<Session>,
    size_max: usize,
}

/// A session at work. Number 0 is the caller's, which is never given up.
struct Hand<'a> {
    number: usize,
    session: &'a mut Session,
}

impl<'a> Crew<'a> {
    /// A crew of at most `size_max` sessions; others than `first` are opened when there is work for them.
    pub(super) fn new(first: &'a mut Session, size_max: u16) -> Self {
        Self { first, others: Vec::new(), size_max: usize::from(size_max.max(1)) }
    }

    /// The caller's session.
    pub(super) const fn first(&mut self) -> &mut Session {
        self.first
    }

    /// Opens sessions until there are `useful`. A server that takes no more of them is no failure: what is there
    /// will do.
    pub(super) async fn grow(&mut self, useful: usize) -> Outcome<()> {
        let lacking = self.size_max.min(useful).saturating_sub(1 + self.others.len());
        let first = &*self.first;
        for opened in join_all((0..lacking).map(|_| first.another())).await {
            match opened {
                Ok(session) => self.others.push(session),
                Err(fault) if fault.kind == Kind::Interrupted => return Err(fault),
                Err(fault) => self.shrink(1 + self.others.len(), &fault),
            }
        }
        Ok(())
    }

    /// Does all of `work` by `act`.
    pub(super) async fn run<W: Work>(
        &mut self,
        work: &mut W,
        act: impl AsyncFn(&mut Session, &W::Job) -> Outcome<W::Found>,
    ) -> Outcome<()> {
        let mut retired = BTreeSet::new();
        let mut reason = None;
        let mut ended = Ok(());
        let others = self.others.iter_mut().enumerate();
        let mut idle: Vec<_> =
            others.map(|(number, session)| Hand { number: number + 1, session }).collect();
        idle.push(Hand { number: 0, session: self.first });
        let mut busy = FuturesUnordered::new();
        loop {
            while ended.is_ok()
                && let Some(hand) = idle.pop()
            {
                let Some(job) = work.next() else {
                    idle.push(hand);
                    break;
                };
                busy.push(patiently(hand, job, &act));
            }
            let Some((hand, job, result)) = busy.next().await else { break };
            match result {
                Err(fault) if hand.is_unwanted(&fault) => {
                    work.give_back(job);
                    retired.insert(hand.number);
                    reason = Some(fault);
                }
                // What has begun is let come to its end: left in the middle, its session would be out of step.
                result => {
                    ended = ended.and(work.done(job, result));
                    idle.push(hand);
                }
            }
        }
        drop((busy, idle));
        if let Some(fault) = reason {
            let mut number = 0;
            self.others.retain(|_| {
                number += 1;
                !retired.contains(&number)
            });
            self.shrink(1 + self.others.len(), &fault);
        }
        ended
    }

    /// Ends the sessions that were opened here.
    pub(super) async fn dismiss(self) {
        join_all(self.others.into_iter().map(Session::close)).await;
    }

    fn shrink(&mut self, size: usize, fault: &Fault) {
        self.size_max = size;
        let text = format!("going on with {size} of the sessions that were asked for: {fault}");
        self.first.context().observer.say(Level::Info, text);
    }
}

impl Hand<'_> {
    /// Whether the fault is that the server does not want so many sessions.
    fn is_unwanted(&self, fault: &Fault) -> bool {
        let is_refused = matches!(fault.kind, Kind::Denied | Kind::Unreachable);
        self.number > 0 && (fault.code == 421 || is_refused)
    }
}

/// One piece of work, tried again after a while where that may help.
async fn patiently<'a, J, T>(
    hand: Hand<'a>,
    job: J,
    act: &impl AsyncFn(&mut Session, &J) -> Outcome<T>,
) -> (Hand<'a>, J, Outcome<T>) {
    for wait in MIRROR_RETRY_WAITS {
        let fault = match act(hand.session, &job).await {
            Err(fault) if fault.may_retry() && !hand.is_unwanted(&fault) => fault,
            result => return (hand, job, result),
        };
        if let Err(stopped) = pause(hand.session, &fault, wait).await {
            return (hand, job, Err(stopped));
        }
    }
    let result = act(hand.session, &job).await;
    (hand, job, result)
}

async fn pause(session: &Session, fault: &Fault, wait: Duration) -> Outcome<()> {
    let context = session.context();
    context.observer.say(Level::Info, format!("{fault}; trying again"));
    context.stop.race(tokio::time::sleep(wait)).await
}
