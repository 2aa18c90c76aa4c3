//! The end of a run, with all that follows from it.

use jiff::Timestamp;

use super::{
    Health, JobState, NewNotice, Run, State, Sum, finish_in,
    jobs::{self, fares_in},
    look::run_in,
    notices::add_in,
};
use crate::{fault::Outcome, store::Store};

/// How a run of a job ended.
#[derive(Debug, Clone, Copy)]
pub struct End<'e> {
    /// Its number.
    pub run: i64,
    /// Its job.
    pub job: &'e str,
    /// What became of it.
    pub state: State,
    /// How its last attempt ended.
    pub sum: &'e Sum,
    /// How far the job's slots are decided and when it last succeeded, where the end changes that.
    pub mark: Option<&'e JobState>,
    /// How the job fares now, where the end says so.
    pub health: Option<Health>,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Writes the end of a run, what it means for its job, and who is to be told: all or nothing, so that nobody is left
    /// untold where the disk is full for a moment. `tell` is given the run as it is then, and how the job fared before and
    /// fares now.
    pub fn close(
        &mut self,
        end: &End<'_>,
        tell: impl FnOnce(&Run, Health, Health) -> Vec<NewNotice>,
    ) -> Outcome<()> {
        self.write(|transaction| {
            finish_in(transaction, end.run, end.state, None, end.sum, end.at)?;
            if let Some(mark) = end.mark {
                jobs::mark(transaction, mark)?;
            }
            let Some(health) = end.health else { return Ok(()) };
            let before = fares_in(transaction, end.job, health)?;
            let found = run_in(transaction, end.run)?;
            let notices = found.map(|run| tell(&run, before, health)).unwrap_or_default();
            add_in(transaction, &notices, end.at)
        })
    }
}
