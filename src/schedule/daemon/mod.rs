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
mod leader;
mod lock;
mod prune;
mod rates;
mod recover;
mod reload;
mod rows;
mod signals;
mod system;
mod tell;
mod view;
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
    context::SchedulerContext, leader::Leader, lock::Lock, rates::SchedulerRates,
    reload::FileWatch, worker::Worker,
};
use super::{
    arrivals::FileNews,
    child::ChildSetup,
    jobs::Jobs,
    notify::{Delivery, host_name},
};
use crate::{
    clock::Clock,
    error::Result,
    limits::DAEMON_TURN_MAX,
    observe::{EventEmitter, MessageLevel, metrics::Metrics},
    store::Store,
};

pub use self::{
    alerts::digest_of,
    lock::holder,
    reload::JobsRead,
    signals::follow as follow_signals,
    system::{raise_descriptors, ready as tell_ready, stopping as tell_stopping},
    view::SchedulerView,
};

/// The maximum time for deliveries in progress when the scheduler ends: most take less, and a service manager is
/// waiting.
const NOTICE_END_TIME_MAX: Duration = Duration::from_secs(2);

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
}

/// The scheduler: its leader and its worker, which share nothing but the store and the means to work.
pub struct Daemon {
    context: Arc<SchedulerContext>,
    leader: Leader,
    worker: Worker,
    watch: FileWatch,
    rates: SchedulerRates,
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
        let DaemonSetup { program, jobs, read, state, clock, observer, metrics } = setup;
        let lock = Lock::take(&state)?;
        let folder = rows::folder_of(&jobs.file)?;
        let (outbox, inbox) = channel();
        let watch = FileWatch::new(jobs.file.clone(), read, outbox.clone());
        let mut store = Store::open(&state)?;
        if let Some(loss) = store.loss()? {
            observer.warn(loss);
            store.told_loss()?;
        }
        let rates = SchedulerRates::new(&state)?;
        let jobs = Arc::new(jobs);
        metrics.jobs(jobs.all.iter().map(|job| &*job.name));
        let context = Arc::new(SchedulerContext {
            view: Arc::new(SchedulerView::new(Arc::clone(&jobs))),
            start: ChildSetup { program, folder, state },
            clock,
            observer,
            metrics,
            outbox,
            host: host_name(),
            page: OnceLock::new(),
        });
        let worker = Worker::open(Arc::clone(&context), Store::open(&context.start.state)?)?;
        let leader = Leader::open(Arc::clone(&context), store, worker.identity(), jobs)?;
        let (told_fault, is_unsure) = (None, false);
        Ok(Self {
            context,
            leader,
            worker,
            watch,
            rates,
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

    /// Runs until it is told to stop and every run has ended.
    pub fn run(mut self) {
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
        self.end_notices();
        self.context.observer.message(MessageLevel::Info, "stopped");
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
        system::alive();
    }

    /// Returns the number of runs in progress.
    pub fn running(&self) -> usize {
        self.worker.active.len()
    }

    fn turn_or_fail(&mut self) -> Result<()> {
        self.worker.reap()?;
        self.worker.time_out();
        if self.worker.is_stopping {
            return Ok(());
        }
        if self.is_unsure {
            self.leader.plan_anew()?;
            self.is_unsure = false;
        }
        self.reload_if_changed();
        let decided = self.leader.turn();
        // What was dispatched begins, also by a tick that failed afterwards.
        self.worker.take_runs()?;
        // A disk that is full keeps nothing from its work but the limits.
        let rates = self.set_rates();
        decided?;
        self.worker.begin_attempts()?;
        self.worker.tell_slow_runs()?;
        self.leader.turn_after()?;
        self.worker.count();
        system::status(&self.status());
        rates
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::Reload => self.reload(),
            Message::Stop => self.worker.stop(),
            Message::Told(told) => self.leader.note_told(&told),
            Message::Files(news) => self.leader.take_files(news),
            Message::StopRun(run, by) => self.worker.stop_run(run, by),
            Message::Read(read) => self.take_jobs(*read),
            Message::Pruned(result) => self.leader.pruned(result),
        }
    }

    /// Waits briefly for deliveries in progress, and kills commands that do not finish: undelivered notices are left to
    /// the next scheduler.
    fn end_notices(&mut self) {
        let end = Instant::now() + NOTICE_END_TIME_MAX;
        while !self.leader.notifier.is_idle() {
            let left = end.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Message::Told(told)) => self.leader.note_told(&told),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.leader.notifier.end();
    }

    /// Returns the time until there is something to do, unless a message arrives.
    fn pause(&self) -> Duration {
        if self.told_fault.is_some() {
            // The due work could not be done: an immediate retry would find the disk still full.
            return DAEMON_TURN_MAX;
        }
        let planned = self.leader.due(self.context.clock.now());
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
        format!("{} jobs, {} running", self.context.jobs().all.len(), self.running())
    }
}

/// Returns the milliseconds by which the wall clock has gained on the monotonic clock.
fn clock_ahead(from: Timestamp, to: Timestamp, steady: Duration) -> i64 {
    let wall = to.as_millisecond() - from.as_millisecond();
    wall - i64::try_from(steady.as_millis()).unwrap_or(i64::MAX)
}
