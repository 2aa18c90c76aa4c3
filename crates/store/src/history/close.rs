//! The end of a run, with all that follows from it.

use jiff::Timestamp;

use super::{
    Health, HistoryRun, NewNotice, RunState, Sum, finish_in, jobs::fares_in, look::run_in,
    notices::add_in,
};
use crate::{
    Store,
    fleet::{RunClaim, release_run},
    notify::{Addressee, wake_in},
};
use portolan_core::error::Result;

/// The end of a run of a job.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd<'e> {
    /// The run, with the token of its worker.
    pub claim: RunClaim,
    /// The job of the run.
    pub job: &'e str,
    /// The final state of the run.
    pub state: RunState,
    /// The totals and the error of its last attempt.
    pub sum: &'e Sum,
    /// The new health of the job, if the end determines it.
    pub health: Option<Health>,
    /// The time of the end.
    pub at: Timestamp,
}

impl Store {
    /// Records the end of a run, its consequences for the job, and the notices to send, in one transaction, so that
    /// no notice is lost if the disk is full for a moment. `tell` receives the run as recorded, and the job's health
    /// before and now. Returns false, and records nothing, if the run has another fencing token or has ended.
    pub fn close(
        &mut self,
        end: &RunEnd<'_>,
        tell: impl FnOnce(&HistoryRun, Health, Health) -> Vec<NewNotice>,
    ) -> Result<bool> {
        self.transact(|sql| {
            if !release_run(sql, end.claim)? {
                return Ok(false);
            }
            finish_in(sql, end.claim.run, end.state, None, end.sum, end.at)?;
            wake_in(sql, Addressee::Leader)?;
            let Some(health) = end.health else { return Ok(true) };
            let success = (end.state == RunState::Done).then_some(end.at);
            let before = fares_in(sql, end.job, health, success)?;
            let found = run_in(sql, end.claim.run)?;
            let notices = found.map(|run| tell(&run, before, health)).unwrap_or_default();
            add_in(sql, &notices, end.at)?;
            Ok(true)
        })
    }
}
