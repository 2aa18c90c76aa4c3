//! The state of the scheduler that others in this process may look at: the page and its API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::schedule::{child::ChildProgress, jobs::Jobs};

/// The jobs in force, and the attempts in progress.
#[derive(Debug)]
pub struct SchedulerView {
    jobs: Mutex<Arc<Jobs>>,
    live: Mutex<BTreeMap<i64, ChildProgress>>,
}

impl SchedulerView {
    /// Creates a view of a scheduler that runs `jobs`.
    pub fn new(jobs: Arc<Jobs>) -> Self {
        Self { jobs: Mutex::new(jobs), live: Mutex::default() }
    }

    /// Returns the jobs as the scheduler has read them last.
    pub fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
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
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    pub(super) fn began(&self, run: i64, progress: ChildProgress) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(run, progress);
    }

    pub(super) fn ended(&self, run: i64) -> Option<ChildProgress> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&run)
    }
}
