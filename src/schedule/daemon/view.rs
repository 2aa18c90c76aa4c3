//! The state of the scheduler that others in this process may look at: the page and its API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::schedule::{
    child::ChildProgress,
    jobs::{Job, Jobs},
    slot::Slot,
};

/// The time for which the jobs that were in force before are kept: a hundred thousand need much memory, and a run comes
/// within a second or two of its decision.
const BEFORE_TIME: Duration = Duration::from_mins(1);

/// The jobs in force, and the attempts in progress.
#[derive(Debug)]
pub struct SchedulerView {
    jobs: Mutex<Arc<Jobs>>,
    /// The jobs that were in force before, and until when.
    before: Mutex<Option<(Arc<Jobs>, Instant)>>,
    live: Mutex<BTreeMap<i64, ChildProgress>>,
    coming: Mutex<ComingSlots>,
}

/// The next slot of each job, as it was computed last.
#[derive(Debug, Default)]
struct ComingSlots {
    jobs: Option<Arc<Jobs>>,
    slots: Arc<Vec<Option<Slot>>>,
    /// The time for which they are.
    now: Timestamp,
}

impl SchedulerView {
    /// Creates a view of a scheduler that runs `jobs`.
    pub fn new(jobs: Arc<Jobs>) -> Self {
        let (jobs, before) = (Mutex::new(jobs), Mutex::default());
        Self { jobs, before, live: Mutex::default(), coming: Mutex::default() }
    }

    /// Returns the jobs as the scheduler has read them last.
    pub fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the jobs of a release: those in force, unless it is that of those before. A run that was decided by those may
    /// come a moment after the others.
    pub(super) fn jobs_of(&self, release: &str) -> Arc<Jobs> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.as_ref().is_some_and(|(_, until)| until.elapsed() > BEFORE_TIME) {
            *before = None;
        }
        let found = before.as_ref().filter(|(jobs, _)| jobs.release == release);
        found.map_or_else(|| self.jobs(), |(jobs, _)| Arc::clone(jobs))
    }

    /// Returns the next slot after `now` of each of `jobs`. Only those that have passed since the last call are computed:
    /// for a hundred thousand jobs that takes a second.
    pub fn coming(&self, jobs: &Arc<Jobs>, now: Timestamp) -> Arc<Vec<Option<Slot>>> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let next = |job: &Job| job.active_schedule().and_then(|schedule| schedule.next(now));
        let is_same = coming.jobs.as_ref().is_some_and(|known| Arc::ptr_eq(known, jobs));
        let has_passed = |slot: &Option<Slot>| slot.is_some_and(|slot| slot.at <= now);
        if !is_same || now < coming.now {
            coming.slots = Arc::new(jobs.all.iter().map(|job| next(job)).collect());
            coming.jobs = Some(Arc::clone(jobs));
        } else if coming.slots.iter().any(has_passed) {
            let slots = Arc::make_mut(&mut coming.slots);
            for (slot, job) in slots.iter_mut().zip(&jobs.all).filter(|(slot, _)| has_passed(slot))
            {
                *slot = next(job);
            }
        }
        coming.now = now;
        Arc::clone(&coming.slots)
    }

    /// Returns the progress of the attempt in progress of a run, if there is one.
    pub fn progress(&self, run: i64) -> Option<ChildProgress> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    /// Returns the progress of each attempt in progress.
    pub fn running(&self) -> Vec<(i64, ChildProgress)> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().map(|(run, progress)| (*run, progress.clone())).collect()
    }

    pub(super) fn set_jobs(&self, jobs: Arc<Jobs>) {
        let mut current = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, jobs);
        // A jobs file is changed in its place: its scripts are those of now.
        if before.published.is_some() {
            let mut place = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            *place = Some((before, Instant::now()));
        }
    }

    pub(super) fn began(&self, run: i64, progress: ChildProgress) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(run, progress);
    }

    pub(super) fn ended(&self, run: i64) -> Option<ChildProgress> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&run)
    }
}
