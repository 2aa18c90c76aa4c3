//! The worker: it runs what is dispatched to it, and records what comes of it.
//!
//! It learns of its runs from the store, and everything that it writes about one holds only under the run's fencing token.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    active::{ActiveRun, RunStage},
    context::SchedulerContext,
    fleet,
    heartbeat::Heartbeat,
};
use crate::{
    clock::ServerClock,
    error::Result,
    observe::{MessageLevel, counted},
    schedule::{
        child::{
            lease::{WorkerLease, boottime_ms},
            verdict::TerminationCause,
        },
        jobs::Jobs,
    },
    store::{
        Store,
        fleet::{DispatchedRun, WorkerRecord},
        history::{RunEnd, RunState, Sum},
    },
};

/// The part of the scheduler that runs.
pub(super) struct Worker {
    pub(super) context: Arc<SchedulerContext>,
    pub(super) store: Store,
    name: String,
    boot: i64,
    pub(super) active: BTreeMap<i64, ActiveRun>,
    /// The running runs of each job that has some, as the metrics have them.
    counted: BTreeMap<Arc<str>, u64>,
    pub(super) is_stopping: bool,
    /// Set when another machine has its name.
    pub(super) is_displaced: bool,
    /// The version of the store's data at the last look for runs; writes by the leader change it.
    seen: Option<i64>,
    /// The heartbeat, if machines share the store.
    pub(super) heartbeat: Option<Heartbeat>,
    /// The time at which it last put the logs of its runs into the store.
    pub(super) logs_shared: Option<Instant>,
    /// The run whose log was put there last.
    pub(super) logs_sent: Option<i64>,
    /// The number of times at which the lease had lapsed, as far as runs were ended for it.
    lapses: u64,
    /// The start and the counter of a machine of its name, found when it was declared dead, and when.
    rival: Option<((i64, i64), Instant)>,
}

/// The number of calls of the heartbeat, each as long as it may be, in the time of a lease.
const CALLS_IN_LEASE: u32 = 4;
/// The least time limit of such a call, which a busy server may need.
const CALL_TIME_MIN: Duration = Duration::from_secs(2);
/// The maximum length of the reason why a release cannot be used: it is shown in one line.
const FAULT_CHARS_MAX: usize = 300;
/// The maximum number of missing secrets that a machine tells: one that lacks more gets no runs that need a secret.
const MISSING_MAX: usize = 1_000;
/// The file of the lease, in the state folder.
const LEASE: &str = "lease";

impl Worker {
    /// Registers the worker in the store. One of a fleet begins its heartbeat, by which `clock` is set. Fails if another
    /// machine has its name.
    pub(super) fn open(
        context: Arc<SchedulerContext>,
        mut store: Store,
        clock: Option<Arc<ServerClock>>,
    ) -> Result<Self> {
        let mut record = WorkerRecord {
            name: context.host.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            room: context.jobs().runner.max_running.into(),
            started_at: context.clock.now(),
            ..WorkerRecord::default()
        };
        if let Some(setup) = &context.fleet {
            let labels: Vec<_> =
                setup.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            record.name.clone_from(&setup.name);
            record.labels = labels.join("\n");
            record.never_leads = !setup.may_lead;
            record.lease_ms = i64::try_from(context.lease.as_millis()).unwrap_or(i64::MAX);
            set_jobs(&mut record, &context, &context.jobs());
            fleet::check_name(&store, setup, &context.start.state, context.lease)?;
        }
        let sent = boottime_ms();
        record.boot = store.register_worker(&record)?;
        let (name, boot) = (record.name.clone(), record.boot);
        let heartbeat = match (&context.fleet, clock) {
            (Some(setup), Some(clock)) => {
                fleet::note_start(&context.start.state, &name, boot)?;
                let path = context.start.state.join(LEASE);
                let lease = WorkerLease::create(&path, context.lease)?;
                let means = (context.observer.clone(), context.outbox.clone());
                // A call that takes longer than a heartbeat costs the connection, not the lease.
                let limit = (context.lease / CALLS_IN_LEASE).max(CALL_TIME_MIN);
                let own = setup.place.clone().within(limit).open()?;
                Some(Heartbeat::start(own, record, (lease, sent), clock, means)?)
            }
            _ => None,
        };
        Ok(Self {
            context,
            store,
            name,
            boot,
            active: BTreeMap::new(),
            counted: BTreeMap::new(),
            is_stopping: false,
            is_displaced: false,
            seen: None,
            heartbeat,
            logs_shared: None,
            logs_sent: None,
            lapses: 0,
            rival: None,
        })
    }

    /// Returns its name, and the number of its start.
    pub(super) fn identity(&self) -> (String, i64) {
        (self.name.clone(), self.boot)
    }

    /// Looks for its runs at the next call of [`Worker::take_runs`].
    pub(super) fn look_again(&mut self) {
        self.seen = None;
    }

    /// Sends a notification to itself.
    pub(super) fn wake_itself(&mut self) -> Result<()> {
        self.store.wake_worker(&self.name)
    }

    /// Tells the fleet of other jobs.
    pub(super) fn note_jobs(&self, jobs: &Jobs) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.change(|record| set_jobs(record, &self.context, jobs));
        }
    }

    /// Tells the fleet why the current release cannot be used here; nothing if it can.
    pub(super) fn note_fault(&self, fault: &str) {
        let is_new = |heartbeat: &&Heartbeat| heartbeat.record().fault != fault;
        if let Some(heartbeat) = self.heartbeat.as_ref().filter(is_new) {
            heartbeat.change(|record| {
                record.fault = fault.chars().take(FAULT_CHARS_MAX).collect();
            });
        }
    }

    /// Returns true if attempts may begin: one of a fleet needs its lease.
    pub(super) fn may_begin(&self) -> bool {
        // Of an end of the lease that runs were not ended for yet, the next turn learns.
        self.heartbeat.as_ref().is_none_or(|heartbeat| {
            heartbeat.lease().is_good() && heartbeat.lease().lapses() == self.lapses
        })
    }

    /// Ends the attempts in progress if the lease has lapsed: they end by themselves as well, since another machine may be
    /// given their runs.
    pub(super) fn watch_lease(&mut self) {
        let Some(heartbeat) = &self.heartbeat else { return };
        let (is_good, lapses) = (heartbeat.lease().is_good(), heartbeat.lease().lapses());
        if is_good && lapses == self.lapses {
            return;
        }
        self.lapses = lapses;
        let now = Instant::now();
        let mut ended = 0_u64;
        for active in self.active.values_mut() {
            if active.cut.is_none() && matches!(active.stage, RunStage::Running(_)) {
                active.cut(TerminationCause::Lapsed, now);
                ended += 1;
            }
        }
        if ended > 0 {
            let runs = counted(i64::try_from(ended).unwrap_or(i64::MAX), "run");
            let text =
                format!("the database was out of reach for longer than the lease: {runs} ended");
            self.context.observer.message(MessageLevel::Error, text);
        }
    }

    /// Registers anew after the machine was declared dead: its runs are others'. Fails if another machine has its name. A row
    /// of its name whose counter stands may be its own, of an answer that was lost.
    pub(super) fn rejoin_if_lost(&mut self) -> Result<()> {
        let Some(heartbeat) = self.heartbeat.as_ref().filter(|one| one.is_lost()) else {
            return Ok(());
        };
        let now = Instant::now();
        for active in self.active.values_mut() {
            active.cut(TerminationCause::Lost, now);
        }
        let mut record = heartbeat.record();
        let workers = self.store.workers()?;
        if let Some(found) = workers.iter().find(|worker| worker.name == record.name) {
            let found = (found.boot, found.beat);
            let (seen, since) = *self.rival.get_or_insert((found, now));
            if seen != found {
                self.is_displaced = true;
                return Err(fleet::taken(&record.name));
            }
            if since.elapsed() < self.context.lease / 2 {
                return Ok(());
            }
        }
        (record.started_at, record.beat_at) = (self.context.clock.now(), self.context.clock.now());
        let sent = boottime_ms();
        self.boot = self.store.register_worker(&record)?;
        fleet::note_start(&self.context.start.state, &record.name, self.boot)?;
        heartbeat.rejoined(self.boot, sent)?;
        self.rival = None;
        self.lapses = heartbeat.lease().lapses();
        self.seen = None;
        self.context.observer.warn(format!(
            "machine `{}` was declared dead, and begins anew: it gave no sign of life for too long",
            record.name
        ));
        Ok(())
    }

    /// Leaves the fleet: it has no runs.
    pub(super) fn leave(&mut self) {
        if self.heartbeat.take().is_some()
            && let Err(fault) = self.store.remove_worker(&self.name, self.boot)
        {
            // It is declared dead instead.
            self.context.observer.warn(fault.to_string());
        }
    }

    /// Takes up the runs that are dispatched to it, and ends those that are to be stopped or are its own no more.
    pub(super) fn take_runs(&mut self) -> Result<()> {
        let version = self.store.version_of_data()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let found = self.store.dispatched(Some((&self.name, self.boot)))?;
        let (now, ours): (_, BTreeSet<_>) =
            (Instant::now(), found.iter().map(DispatchedRun::claim).collect());
        for run in found {
            if let Some(by) = &run.stopped_by
                && self.active.contains_key(&run.run.id)
            {
                self.stop_run(run.run.id, by.clone());
                continue;
            }
            let known = self.active.get_mut(&run.run.id);
            // One that was begun under an earlier token ends first.
            if known.as_ref().is_some_and(|active| active.claim != run.claim()) {
                continue;
            }
            match (known, &run.stop) {
                (None, _) => self.begin(&run)?,
                // An empty reason is that of this worker itself.
                (Some(active), Some(why)) if !why.is_empty() => {
                    active.cut(TerminationCause::Replaced(why.clone()), now);
                }
                (Some(_), _) => {}
            }
        }
        for active in self.active.values_mut().filter(|active| !ours.contains(&active.claim)) {
            active.cut(TerminationCause::Lost, now);
        }
        self.seen = Some(version);
        Ok(())
    }

    /// Gives back what was dispatched to it and has not begun, since it is to end: the leader did not know that yet.
    pub(super) fn give_back(&mut self) -> Result<()> {
        let version = self.store.version_of_data()?;
        if self.heartbeat.is_none() || self.seen == Some(version) {
            return Ok(());
        }
        for found in self.store.dispatched(Some((&self.name, self.boot)))? {
            if self.active.contains_key(&found.run.id) {
                continue;
            }
            // One that was stopped or replaced in the meantime is not begun again.
            let (kind, error) = match (&found.stopped_by, &found.stop) {
                (Some(by), _) => ("stopped", format!("stopped by `{by}`")),
                (None, Some(why)) if !why.is_empty() => ("replaced", why.clone()),
                _ => ("interrupted", "its machine was stopped before it began".to_owned()),
            };
            let sum =
                Sum { error_kind: Some(kind.into()), error: Some(error), ..found.run.sum.clone() };
            let (job, state, at) =
                (&*found.run.job, RunState::Interrupted, self.context.clock.now());
            let end = RunEnd { claim: found.claim(), job, state, sum: &sum, health: None, at };
            if self.store.close(&end, |_, _, _| Vec::new())? {
                let text = format!("run {} of `{job}` is given back", found.run.id);
                self.context.observer.message(MessageLevel::Info, text);
            }
        }
        self.seen = Some(version);
        Ok(())
    }

    /// Brings the metrics of runs up to date, for the jobs that have changed.
    pub(super) fn count(&mut self) {
        let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for active in self.active.values() {
            *counts.entry(Arc::clone(&active.job.name)).or_default() += 1;
        }
        let metrics = &self.context.metrics;
        let ended = self.counted.keys().filter(|job| !counts.contains_key(*job));
        ended.for_each(|job| metrics.running(job, 0));
        let changed = counts.iter().filter(|(job, runs)| self.counted.get(*job) != Some(*runs));
        changed.for_each(|(job, runs)| metrics.running(job, *runs));
        self.counted = counts;
    }
}

/// Sets what a worker tells of its jobs file.
fn set_jobs(record: &mut WorkerRecord, context: &SchedulerContext, jobs: &Jobs) {
    let room = context.fleet.as_ref().and_then(|setup| setup.room);
    record.room = room.unwrap_or(jobs.runner.max_running).into();
    record.release.clone_from(&jobs.release);
    record.missing = missing_lines(&jobs.missing);
}

/// Returns the secrets that a machine does not have, as it tells them.
fn missing_lines(missing: &[String]) -> String {
    let more = (missing.len() > MISSING_MAX).then_some(WorkerRecord::MORE);
    let told = missing.iter().take(MISSING_MAX).map(String::as_str).chain(more);
    told.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_secrets_that_are_too_many_to_tell_end_in_a_mark() {
        let names: Vec<_> = (0..=MISSING_MAX).map(|at| format!("S{at}")).collect();
        let (all, most) = (missing_lines(&names), missing_lines(&names[1..]));
        assert_eq!(all.lines().last(), Some(WorkerRecord::MORE));
        assert_eq!(all.lines().count(), MISSING_MAX + 1);
        assert_eq!((most.lines().count(), most.lines().last()), (MISSING_MAX, Some("S1000")));
    }
}
