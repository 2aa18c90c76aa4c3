//! The running scheduler: it asks the planner, records its decisions, and carries them out.
//!
//! A single thread does all of it, tick by tick, and never waits for children, notices or metrics, which have their own
//! threads. Decisions are recorded before they are carried out, so that the state folder tells what was going on after
//! any kind of end.

mod active;
mod alerts;
mod arrivals;
mod begin;
mod end;
mod lock;
mod prune;
mod recover;
mod reload;
mod rows;
mod signals;
mod system;
mod tell;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use self::{
    active::ActiveRun, alerts::AlertWatch, arrivals::FileTriggers, lock::Lock, prune::Pruning,
    reload::FileWatch,
};
use super::{
    arrivals::FileNews,
    child::ChildSetup,
    jobs::Jobs,
    notify::{Delivery, Notifier, host_name},
    plan::{Moment, Pause, Planner, Request, RunId, RunningJob},
};
use crate::{
    clock::Clock,
    error::Result,
    limits::{DAEMON_TURN_MAX, WAITING_MAX},
    observe::{EventEmitter, MessageLevel, metrics::Metrics},
    store::{Store, history::RunRequest},
};

pub use self::{
    alerts::digest_of,
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

/// The scheduler.
pub struct Daemon {
    start: ChildSetup,
    clock: Clock,
    observer: EventEmitter,
    metrics: Arc<Metrics>,
    view: Arc<SchedulerView>,
    store: Store,
    planner: Planner,
    active: BTreeMap<i64, ActiveRun>,
    notifier: Notifier,
    watch: FileWatch,
    triggers: FileTriggers,
    pruning: Pruning,
    /// The running runs of each job that has some, as the metrics have them.
    counted: BTreeMap<Arc<str>, u64>,
    /// The jobs that the planner knows as paused.
    paused: BTreeSet<String>,
    inbox: Receiver<Message>,
    outbox: Sender<Message>,
    /// The version of the store's data at the last look; writes by other processes change it.
    seen: Option<i64>,
    requests: Vec<RunRequest>,
    is_stopping: bool,
    /// The time at which the planner asked for its next step.
    wake: Option<Timestamp>,
    alerts: AlertWatch,
    /// The name of this host, for notifications.
    host: String,
    /// The URL of the page, unless the jobs file names one.
    page: Option<String>,
    told_fault: Option<String>,
    /// Set when a tick failed: runs may be recorded as started that were not.
    is_unsure: bool,
    /// Kept for its lifetime: no other scheduler can use the state folder while it is held.
    _lock: Lock,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Daemon({} jobs, {} runs)", self.planner.jobs().all.len(), self.active.len())
    }
}

impl Daemon {
    /// Locks the state folder, and recovers runs of an earlier scheduler. Fails if another one uses it.
    pub fn open(setup: DaemonSetup) -> Result<Self> {
        let DaemonSetup { program, jobs, read, state, clock, observer, metrics } = setup;
        let lock = Lock::take(&state)?;
        let folder = rows::folder_of(&jobs.file)?;
        let now = clock.now();
        let (outbox, inbox) = channel();
        let watch = FileWatch::new(jobs.file.clone(), read, outbox.clone());
        let mut store = Store::open(&state)?;
        if let Some(loss) = store.loss()? {
            observer.warn(loss);
            store.told_loss()?;
        }
        let jobs = Arc::new(jobs);
        recover::recover(&mut store, &jobs, now, &observer)?;
        let planner = rows::planner(&store, jobs, now)?;
        metrics.jobs(planner.jobs().all.iter().map(|job| &*job.name));
        let paused = planner.paused().map(ToString::to_string).collect();
        let view = Arc::new(SchedulerView::new(Arc::clone(planner.jobs())));
        let mut daemon = Self {
            start: ChildSetup { program, folder, state },
            clock,
            observer,
            metrics,
            view,
            store,
            planner,
            active: BTreeMap::new(),
            notifier: Notifier::new(outbox.clone()),
            watch,
            triggers: FileTriggers::default(),
            pruning: Pruning::default(),
            counted: BTreeMap::new(),
            paused,
            inbox,
            outbox,
            seen: None,
            requests: Vec::new(),
            is_stopping: false,
            wake: None,
            alerts: AlertWatch::default(),
            host: host_name(),
            page: None,
            told_fault: None,
            is_unsure: false,
            _lock: lock,
        };
        daemon.set_triggers();
        Ok(daemon)
    }

    /// Returns the sender for messages to the scheduler.
    pub fn mailbox(&self) -> Sender<Message> {
        self.outbox.clone()
    }

    /// Sets the URL of the page, for links in notifications.
    pub fn set_page(&mut self, url: String) {
        self.page = Some(url);
    }

    /// Returns the view that others in this process have of it.
    pub fn view(&self) -> Arc<SchedulerView> {
        Arc::clone(&self.view)
    }

    /// Runs until it is told to stop and every run has ended.
    pub fn run(mut self) {
        system::ready(&self.status());
        let (wall, steady) = (self.clock.now(), Instant::now());
        let mut drift = clock_ahead(wall, wall, steady.elapsed());
        loop {
            self.turn();
            if self.is_stopping && self.active.is_empty() {
                break;
            }
            if let Ok(message) = self.inbox.recv_timeout(self.pause()) {
                self.take(message);
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
            }
            let ahead = clock_ahead(wall, self.clock.now(), steady.elapsed());
            self.tell_jump(ahead - drift);
            drift = ahead;
        }
        self.end_notices();
        self.observer.message(MessageLevel::Info, "stopped");
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
                    self.observer.message(MessageLevel::Error, format!("{text}; trying again"));
                }
                self.told_fault = Some(text);
                self.recover();
            }
        }
        system::alive();
    }

    /// Returns the number of runs in progress.
    pub fn running(&self) -> usize {
        self.active.len()
    }

    fn turn_or_fail(&mut self) -> Result<()> {
        self.reap()?;
        self.time_out();
        if self.is_stopping {
            return Ok(());
        }
        if self.is_unsure {
            self.begin_lost()?;
            self.is_unsure = false;
        }
        self.reload_if_changed();
        self.look_outside()?;
        self.record_moved()?;
        self.step()?;
        self.begin_attempts()?;
        self.look_for_alerts()?;
        self.tell_notices()?;
        self.prune();
        self.count();
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::Reload => self.reload(),
            Message::Stop => self.stop(),
            Message::Told(told) => self.note_told(&told),
            Message::Files(news) => self.take_files(news),
            Message::StopRun(run, by) => self.stop_run(run, by),
            Message::Read(read) => self.take_jobs(*read),
            Message::Pruned(result) => self.pruned(result),
        }
    }

    /// Asks the planner, records its decisions, and carries them out.
    fn step(&mut self) -> Result<()> {
        let now = self.clock.now();
        let running: Vec<_> = self.active.values().map(ActiveRun::running).collect();
        let (requests, heard) = self.taken_requests();
        let offered = self.offer_files(now);
        let step = self.planner.step(&Moment { now, running: &running, requests: &requests });
        for note in &step.notes {
            self.observer.message(MessageLevel::Error, note.to_string());
        }
        let (rows, states) = rows::of_step(&step, &self.planner);
        self.requests.retain(|one| !heard.contains(&(one.job.clone(), one.asked_at)));
        if !rows.is_empty() || !states.is_empty() || !heard.is_empty() {
            let new: Vec<_> = rows.iter().map(|(_, row)| row.clone()).collect();
            let files = arrivals::hand_outs(&offered, &rows);
            let ids = self.store.decide_with(&new, &files, &states, &heard, now)?;
            self.note_given(&offered, &rows, &ids);
            self.carry_out(&step, rows.into_iter().zip(ids), now)?;
        }
        self.cancel(&step);
        self.wake = if self.has_files_to_give() { Some(now) } else { step.wake };
        if !step.notes.is_empty() {
            // The clock was set back. History knows which of the slots that come again have been run.
            self.plan_anew(now)?;
        }
        Ok(())
    }

    /// Replaces the planner by one with the stored state.
    fn plan_anew(&mut self, now: Timestamp) -> Result<()> {
        self.planner = rows::planner(&self.store, Arc::clone(self.planner.jobs()), now)?;
        self.paused = self.planner.paused().map(ToString::to_string).collect();
        Ok(())
    }

    /// Returns the requests that the planner takes up now, and what is no longer a request. A job takes no more than can
    /// wait.
    fn taken_requests(&self) -> (Vec<Request>, Vec<(String, Timestamp)>) {
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut requests, mut heard) = (Vec::new(), Vec::new());
        for RunRequest { job, asked_at, slot_at } in &self.requests {
            if self.planner.jobs().get(job).is_some() {
                let waiting = || self.planner.state_of(job).map_or(0, |state| state.waiting.len());
                let count = taken.entry(job).or_insert_with(waiting);
                *count += 1;
                if *count > WAITING_MAX && slot_at.is_some() {
                    continue;
                }
                requests.push(Request { job: job.as_str().into(), at: *asked_at, slot: *slot_at });
            }
            heard.push((job.clone(), *asked_at));
        }
        (requests, heard)
    }

    /// Reads requests and pauses that other processes have written to the store.
    fn look_outside(&mut self) -> Result<()> {
        let version = self.store.version_of_data()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        self.requests = self.store.requests()?;
        // Only those that are paused or were: other processes write often, and most jobs never are.
        let states = self.store.paused_jobs()?;
        let paused = states.iter().map(|state| state.job.clone()).collect();
        let before = std::mem::replace(&mut self.paused, paused);
        let mut wanted: BTreeMap<_, _> = before.into_iter().map(|job| (job, None)).collect();
        wanted.extend(states.iter().map(|state| (state.job.clone(), rows::pause_of(state))));
        for (job, pause) in wanted {
            let found = self.planner.state_of(&job).map(|known| known.paused.clone());
            if found.is_some_and(|known| known != pause) {
                self.tell_pause(&job, pause.as_ref());
                self.planner.pause(&job, pause);
            }
        }
        self.seen = Some(version);
        Ok(())
    }

    fn tell_pause(&self, job: &str, pause: Option<&Pause>) {
        let text = match pause {
            Some(Pause { reason, .. }) if reason.is_empty() => format!("`{job}` is paused"),
            Some(Pause { reason, .. }) => format!("`{job}` is paused: {reason}"),
            None => format!("`{job}` is resumed"),
        };
        self.observer.message(MessageLevel::Info, text);
    }

    /// Replaces the planner, which knows decisions that could not be written, by one with the stored state.
    fn recover(&mut self) {
        self.seen = None;
        self.is_unsure = true;
        // It is tried again at the next tick.
        self.plan_anew(self.clock.now()).ok();
    }

    /// Returns the time until there is something to do, unless a message arrives.
    fn pause(&self) -> Duration {
        if self.told_fault.is_some() {
            // The due work could not be done: an immediate retry would find the disk still full.
            return DAEMON_TURN_MAX;
        }
        let now = self.clock.now();
        let planned = self.wake.map(|wake| wake.duration_since(now));
        let planned = planned.map(|time| Duration::try_from(time).unwrap_or(Duration::ZERO));
        let moment = Instant::now();
        let due = self.active.values().filter_map(|active| active.due(moment));
        planned.into_iter().chain(due).fold(DAEMON_TURN_MAX, Duration::min)
    }

    fn tell_jump(&self, by_ms: i64) {
        if by_ms.abs() > 60_000 {
            let seconds = by_ms / 1000;
            let text = format!("the clock was set, or the host was suspended: {seconds:+} s");
            self.observer.warn(text);
        }
    }

    fn status(&self) -> String {
        format!("{} jobs, {} running", self.planner.jobs().all.len(), self.active.len())
    }

    /// Brings the metrics up to date, for the jobs that have changed.
    fn count(&mut self) {
        let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for active in self.active.values() {
            *counts.entry(Arc::clone(&active.job.name)).or_default() += 1;
        }
        let ended = self.counted.keys().filter(|job| !counts.contains_key(*job));
        ended.for_each(|job| self.metrics.running(job, 0));
        let changed = counts.iter().filter(|(job, runs)| self.counted.get(*job) != Some(*runs));
        changed.for_each(|(job, runs)| self.metrics.running(job, *runs));
        self.counted = counts;
        for job in self.planner.take_touched() {
            let state = self.planner.state_of(&job);
            let is_paused = state.is_some_and(|state| state.paused.is_some());
            let next = self.planner.next_of(&job).map(|slot| slot.at);
            self.metrics.state(&job, is_paused, next);
        }
        system::status(&self.status());
    }
}

/// Returns the milliseconds by which the wall clock has gained on the monotonic clock.
fn clock_ahead(from: Timestamp, to: Timestamp, steady: Duration) -> i64 {
    let wall = to.as_millisecond() - from.as_millisecond();
    wall - i64::try_from(steady.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the planner's id of a run.
const fn run_id(run: i64) -> RunId {
    RunId(run)
}

/// Returns the planner's view of a run.
fn running(active: &ActiveRun) -> RunningJob {
    RunningJob {
        run: run_id(active.run),
        job: Arc::clone(&active.job.name),
        slot: active.slot,
        started_at: active.started_at,
        locks: active.job.locks.clone(),
        between_attempts: active.is_between_attempts(),
        is_ending: active.is_ending(),
    }
}
