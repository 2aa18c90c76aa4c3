//! The worker: it runs what is dispatched to it, and records what comes of it.
//!
//! It learns of its runs from the store, and everything that it writes about one holds only under the run's fencing token.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{active::ActiveRun, context::SchedulerContext};
use crate::{
    error::Result,
    schedule::child::verdict::TerminationCause,
    store::{
        Store,
        fleet::{DispatchedRun, WorkerRecord},
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
    /// The version of the store's data at the last look for runs; writes by the leader change it.
    seen: Option<i64>,
}

impl Worker {
    /// Registers the worker in the store.
    pub(super) fn open(context: Arc<SchedulerContext>, mut store: Store) -> Result<Self> {
        let name = context.host.clone();
        let boot = store.register_worker(&WorkerRecord {
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            room: context.jobs().runner.max_running.into(),
            started_at: context.clock.now(),
            ..WorkerRecord::default()
        })?;
        Ok(Self {
            context,
            store,
            name,
            boot,
            active: BTreeMap::new(),
            counted: BTreeMap::new(),
            is_stopping: false,
            seen: None,
        })
    }

    /// Returns its name, and the number of its start.
    pub(super) fn identity(&self) -> (String, i64) {
        (self.name.clone(), self.boot)
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
            match (self.active.get_mut(&run.run.id), &run.stop) {
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
