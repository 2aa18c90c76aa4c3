//! The running scheduler: a leader, which asks the planner and records its decisions, and a worker, which carries them out.
//! Between them is the store: the leader dispatches a run to a worker there, and the worker claims it and records what comes
//! of it.
//!
//! A single thread does all of it, tick by tick, and never waits for children, notices or metrics, which have their own
//! threads. Decisions are recorded before they are carried out, so that the state folder tells what was going on after
//! any kind of end.

mod active;
mod alerts;
mod arrivals;
mod begin;
mod context;
mod end;
mod fleet;
mod heartbeat;
mod leader;
mod lock;
mod logs;
mod machines;
mod prune;
mod rates;
mod recover;
mod releases;
mod reload;
mod rows;
mod signals;
mod system;
mod tell;
mod view;
mod wakeups;
mod worker;

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::{
    context::SchedulerContext,
    fleet::{CandidateFacts, LeaderCandidate},
    leader::Leader,
    lock::Lock,
    prune::LogPruning,
    rates::SchedulerRates,
    releases::ReleaseWatch,
    reload::FileWatch,
    wakeups::WakeUps,
    worker::Worker,
};
use super::{
    arrivals::FileNews,
    child::ChildSetup,
    jobs::Jobs,
    notify::{Delivery, host_name},
};
use crate::{
    clock::{Clock, ServerClock},
    error::Result,
    limits::DAEMON_TURN_MAX,
    observe::{EventEmitter, MessageLevel, metrics::Metrics},
    store::{StoreNews, StorePlace},
};

pub use self::{
    alerts::digest_of,
    fleet::FleetSetup,
    lock::holder,
    reload::JobsRead,
    signals::follow as follow_signals,
    system::{raise_descriptors, ready as tell_ready, stopping as tell_stopping},
    view::SchedulerView,
};

/// A function that reads the jobs file again.
pub type ReadJobs = Box<dyn Fn(Timestamp) -> Result<Jobs> + Send>;

/// The configuration of the scheduler.
pub struct DaemonSetup {
    /// The program that runs a child: the current executable.
    pub program: PathBuf,
    /// The jobs.
    pub jobs: Jobs,
    /// The function that reads them again.
    pub read: ReadJobs,
    /// The state folder.
    pub state: PathBuf,
    /// The directory in which runs work, unless it is that of the jobs file.
    pub work: Option<PathBuf>,
    /// The clock.
    pub clock: Clock,
    /// The observer for its events.
    pub observer: EventEmitter,
    /// Its counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for DaemonSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup({} jobs, {})", self.jobs.all.len(), self.state.display())
    }
}

/// A message to the scheduler.
#[derive(Debug)]
pub enum Message {
    /// A child has news.
    Wake,
    /// The jobs file must be read again.
    Reload,
    /// The scheduler must stop: runs may finish their current file.
    Stop,
    /// The result of delivering a notice.
    Told(Delivery),
    /// Files have arrived, are gone, or are there again.
    Files(FileNews),
    /// A run must stop at its next file: its number, and the name of who asked.
    StopRun(i64, String),
    /// The jobs file was read.
    Read(Box<JobsRead>),
    /// Old history was removed, or could not be.
    Pruned(Result<()>),
    /// Another machine has written to the store.
    Store(StoreNews),
}

/// The scheduler: its leader and its worker, which share nothing but the store and the means to work.
pub struct Daemon {
    context: Arc<SchedulerContext>,
    /// The leader; `None` on a machine of a fleet that does not lead.
    leader: Option<Leader>,
    candidate: LeaderCandidate,
    worker: Worker,
    logs: LogPruning,
    watch: FileWatch,
    releases: ReleaseWatch,
    rates: SchedulerRates,
    /// Listens for what other machines write, if some share the store.
    listener: Option<WakeUps>,
    inbox: Receiver<Message>,
    told_fault: Option<String>,
    /// Set when a tick failed: the planner may know decisions that were not written.
    is_unsure: bool,
    /// Kept for its lifetime: no other scheduler can use the state folder while it is held.
    _lock: Lock,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Daemon({} jobs, {} runs)", self.context.jobs().all.len(), self.running())
    }
}

impl Daemon {
    /// Locks the state folder, and recovers runs of an earlier scheduler. Fails if another one uses it.
    pub fn open(setup: DaemonSetup) -> Result<Self> {
        Self::start(setup, None)
    }

    /// Locks the state folder, and joins the machines that share a store. Fails if another one has the name of this one.
    pub fn join(setup: DaemonSetup, fleet: FleetSetup) -> Result<Self> {
        Self::start(setup, Some(fleet))
    }

    fn start(setup: DaemonSetup, fleet: Option<FleetSetup>) -> Result<Self> {
        let DaemonSetup { program, jobs, read, state, work, mut clock, observer, metrics } = setup;
        let lock = Lock::take(&state)?;
        let folder = work.map_or_else(|| rows::folder_of(&jobs.file), Ok)?;
        let (outbox, inbox) = channel();
        let file = jobs.published.is_none().then(|| jobs.file.clone());
        let read = reload::reader(read, fleet.as_ref(), &state);
        let watch = FileWatch::new(file, read, outbox.clone());
        let own = || StorePlace::Folder(state.clone());
        let place = fleet.as_ref().map_or_else(own, |fleet| fleet.place.clone());
        let mut store = place.open()?;
        if !store.is_shared()
            && let Some(loss) = store.loss()?
        {
            observer.warn(loss);
            store.told_loss()?;
        }
        let mut server_clock = None;
        if fleet.is_some() {
            let (time, asked) = heartbeat::time_of(&store)?;
            let shared = Arc::new(ServerClock::new(time, asked));
            clock = Clock::Server(Arc::clone(&shared));
            server_clock = Some(shared);
        }
        let rates = SchedulerRates::new(&state)?;
        let jobs = Arc::new(jobs);
        metrics.jobs(jobs.all.iter().map(|job| &*job.name));
        let is_in_fleet = fleet.is_some();
        let host = fleet.as_ref().map_or_else(host_name, |fleet| fleet.name.clone());
        let context = Arc::new(SchedulerContext {
            view: Arc::new(SchedulerView::new(Arc::clone(&jobs))),
            start: ChildSetup { program, folder, state, is_in_fleet },
            place,
            fleet,
            lease: jobs.runner.lease,
            clock,
            observer,
            metrics,
            outbox,
            host,
            page: OnceLock::new(),
        });
        let worker = Worker::open(Arc::clone(&context), context.place.open()?, server_clock)?;
        let leader = if is_in_fleet {
            None
        } else {
            let seen = store.lease()?;
            let leader = Leader::open(Arc::clone(&context), store, worker.identity(), jobs, &seen)?;
            Some(leader.ok_or_else(leader::deposed)?)
        };
        let (told_fault, is_unsure) = (None, false);
        let listener = WakeUps::start(&context)?;
        Ok(Self {
            context,
            leader,
            candidate: LeaderCandidate::default(),
            worker,
            logs: LogPruning::default(),
            watch,
            releases: ReleaseWatch::default(),
            rates,
            listener,
            inbox,
            told_fault,
            is_unsure,
            _lock: lock,
        })
    }

    /// Returns the sender for messages to the scheduler.
    pub fn mailbox(&self) -> Sender<Message> {
        self.context.outbox.clone()
    }

    /// Sets the URL of the page, for links in notifications.
    pub fn set_page(&mut self, url: String) {
        self.context.page.set(url).ok();
    }

    /// Returns the view that others in this process have of it.
    pub fn view(&self) -> Arc<SchedulerView> {
        Arc::clone(&self.context.view)
    }

    /// Returns the clock by which it decides: that of the database, if machines share one.
    pub fn clock(&self) -> Clock {
        self.context.clock.clone()
    }

    /// Runs until it is told to stop and every run has ended. Fails if another machine of the fleet has the name of this one.
    pub fn run(mut self) -> Result<()> {
        system::ready(&self.status());
        let (wall, steady) = (self.context.clock.now(), Instant::now());
        let mut drift = clock_ahead(wall, wall, steady.elapsed());
        loop {
            self.turn();
            if self.worker.is_stopping && self.running() == 0 {
                break;
            }
            if let Ok(message) = self.inbox.recv_timeout(self.pause()) {
                self.take(message);
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            let ahead = clock_ahead(wall, self.context.clock.now(), steady.elapsed());
            self.tell_jump(ahead - drift);
            drift = ahead;
        }
        self.listener = None;
        self.end_notices();
        self.worker.leave();
        self.context.observer.message(MessageLevel::Info, "stopped");
        if self.worker.is_displaced { Err(fleet::taken(&self.context.host)) } else { Ok(()) }
    }

    /// Performs one tick: handles ended runs, due slots and notices. Public for tests, which call it themselves.
    pub fn turn(&mut self) {
        let result = self.turn_or_fail();
        match result {
            Ok(()) => self.told_fault = None,
            Err(fault) => {
                // The disk may be full for hours: one message is enough.
                let text = fault.to_string();
                if self.told_fault.as_ref() != Some(&text) {
                    let text = format!("{text}; trying again");
                    self.context.observer.message(MessageLevel::Error, text);
                }
                self.told_fault = Some(text);
                // The planner may know decisions that were not written: it is replaced at the next tick.
                self.is_unsure = true;
            }
        }
        self.context.metrics.turned(Instant::now());
        system::alive();
    }

    /// Returns the number of runs in progress.
    pub fn running(&self) -> usize {
        self.worker.active.len()
    }

    fn turn_or_fail(&mut self) -> Result<()> {
        self.worker.watch_lease();
        self.worker.reap()?;
        self.worker.time_out();
        if self.worker.is_stopping {
            self.worker.share_logs();
            return self.worker.give_back();
        }
        self.keep_place()?;
        if let Some(leader) = self.leader.as_mut().filter(|_| self.is_unsure) {
            leader.plan_anew()?;
        }
        self.is_unsure = false;
        if let Some(listener) = &mut self.listener {
            listener.watch(&self.context);
        }
        self.reload_if_changed();
        let decided = self.lead();
        // What was dispatched begins, also by a tick that failed afterwards.
        self.worker.take_runs()?;
        // A disk that is full keeps nothing from its work but the limits.
        let rates = self.set_rates();
        decided?;
        self.worker.begin_attempts()?;
        self.worker.tell_slow_runs()?;
        self.worker.share_logs();
        if let Some(leader) = &mut self.leader {
            leader.turn_after()?;
        }
        self.prune_logs();
        self.worker.count();
        system::status(&self.status());
        rates
    }

    /// Keeps the place of this machine in its fleet: it registers anew if it was declared dead, and leads if no other does.
    fn keep_place(&mut self) -> Result<()> {
        if let Err(fault) = self.worker.rejoin_if_lost() {
            if self.worker.is_displaced {
                self.worker.stop();
            }
            return Err(fault);
        }
        self.look_at_release()?;
        let Some(setup) = &self.context.fleet else { return Ok(()) };
        if self.leader.is_some() || !setup.may_lead {
            return Ok(());
        }
        let jobs = self.context.jobs();
        let (name, lease, release) = (&*setup.name, self.context.lease, &*jobs.release);
        let published = self.releases.current.as_ref();
        let own = CandidateFacts { name, lease, release, published };
        let free = self.candidate.look(&self.worker.store, own, &self.context.observer)?;
        if let Some(seen) = free {
            let context = Arc::clone(&self.context);
            let (store, worker) = (context.place.open()?, self.worker.identity());
            self.leader = Leader::open(context, store, worker, jobs, &seen)?;
        }
        let news = match &self.leader {
            Some(leader) => {
                self.candidate.told = Some(setup.name.clone());
                Some(format!("machine `{}` leads: term {}", setup.name, leader.epoch()))
            }
            None => self.candidate.news().map(|name| format!("machine `{name}` leads")),
        };
        if let Some(listener) = self.listener.as_ref().filter(|_| self.leader.is_some()) {
            listener.set_leader(true);
        }
        if let Some(news) = news {
            self.context.observer.message(MessageLevel::Info, news);
        }
        Ok(())
    }

    /// Performs the part of the leader, if this is the machine that leads.
    fn lead(&mut self) -> Result<()> {
        let Some(leader) = &mut self.leader else { return Ok(()) };
        let decided = leader.turn();
        if std::mem::take(&mut leader.has_dispatched) {
            self.worker.look_again();
        }
        if leader.is_deposed && self.context.fleet.is_some() {
            self.context.observer.warn("another machine has taken the lease of the leader");
            leader.notifier.end();
            self.leader = None;
            if let Some(listener) = &self.listener {
                listener.set_leader(false);
            }
            return Ok(());
        }
        decided
    }

    /// Begins to stop. Another machine of the fleet may lead at once.
    fn stop(&mut self) {
        let is_first = !self.worker.is_stopping;
        self.worker.stop();
        if let Some(leader) = self.leader.as_mut().filter(|_| self.context.fleet.is_some())
            && is_first
            && let Err(fault) = leader.resign()
        {
            self.context.observer.warn(fault.to_string());
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::Reload => self.reload(),
            Message::Stop => self.stop(),
            Message::Told(told) => self.note_told(&told),
            Message::Files(news) => {
                if let Some(leader) = &mut self.leader {
                    leader.take_files(news);
                }
            }
            Message::StopRun(run, by) => self.worker.stop_run(run, by),
            Message::Read(read) => self.take_jobs(*read),
            Message::Store(news) => self.hear(news),
            Message::Pruned(result) => {
                if let Some(leader) = &mut self.leader {
                    leader.pruned(result);
                }
            }
        }
    }

    fn note_told(&mut self, told: &Delivery) {
        if let Some(leader) = &mut self.leader {
            leader.note_told(told);
        }
    }

    /// Returns the time until there is something to do, unless a message arrives.
    fn pause(&self) -> Duration {
        if self.told_fault.is_some() {
            // The due work could not be done: an immediate retry would find the disk still full.
            return DAEMON_TURN_MAX;
        }
        let now = self.context.clock.now();
        let planned = self.leader.as_ref().and_then(|leader| leader.due(now));
        let moment = Instant::now();
        let due = self.worker.active.values().filter_map(|active| active.due(moment));
        planned.into_iter().chain(due).fold(DAEMON_TURN_MAX, Duration::min)
    }

    fn tell_jump(&self, by_ms: i64) {
        if by_ms.abs() > 60_000 {
            let seconds = by_ms / 1000;
            let text = format!("the clock was set, or the host was suspended: {seconds:+} s");
            self.context.observer.warn(text);
        }
    }

    fn status(&self) -> String {
        let leads = self.context.fleet.is_some() && self.leader.is_some();
        let leads = if leads { ", leading" } else { "" };
        format!("{} jobs, {} running{leads}", self.context.jobs().all.len(), self.running())
    }
}

/// Returns the milliseconds by which the wall clock has gained on the monotonic clock.
fn clock_ahead(from: Timestamp, to: Timestamp, steady: Duration) -> i64 {
    let wall = to.as_millisecond() - from.as_millisecond();
    wall - i64::try_from(steady.as_millis()).unwrap_or(i64::MAX)
}
