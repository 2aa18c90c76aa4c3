//! The end of a run, with all that follows from it.

use jiff::Timestamp;

use super::{
    Health, HistoryRun, JobStateRecord, NewNotice, RunState, Sum, finish_in,
    jobs::{self, fares_in},
    look::run_in,
    notices::add_in,
};
use crate::Store;
use portolan_core::error::Result;

/// The end of a run of a job.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd<'e> {
    /// The number of the run.
    pub run: i64,
    /// The job of the run.
    pub job: &'e str,
    /// The final state of the run.
    pub state: RunState,
    /// The totals and the error of its last attempt.
    pub sum: &'e Sum,
    /// The job's new watermark and its last success, if the end changes them.
    pub mark: Option<&'e JobStateRecord>,
    /// The new health of the job, if the end determines it.
    pub health: Option<Health>,
    /// The time of the end.
    pub at: Timestamp,
}

impl Store {
    /// Records the end of a run, its consequences for the job, and the notices to send, in one transaction, so that
    /// no notice is lost if the disk is full for a moment. `tell` receives the run as recorded, and the job's health
    /// before and now.
    pub fn close(
        &mut self,
        end: &RunEnd<'_>,
        tell: impl FnOnce(&HistoryRun, Health, Health) -> Vec<NewNotice>,
    ) -> Result<()> {
        self.write(|transaction| {
            finish_in(transaction, end.run, end.state, None, end.sum, end.at)?;
            if let Some(mark) = end.mark {
                jobs::mark(transaction, std::slice::from_ref(mark))?;
            }
            let Some(health) = end.health else { return Ok(()) };
            let before = fares_in(transaction, end.job, health)?;
            let found = run_in(transaction, end.run)?;
            let notices = found.map(|run| tell(&run, before, health)).unwrap_or_default();
            add_in(transaction, &notices, end.at)
        })
    }
}
