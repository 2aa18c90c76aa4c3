//! The status of a job's slot according to history. Pure, except for reads from the store.

use jiff::{SignedDuration, Timestamp};

use super::{cron::Schedule, jobs::Job, plan::PAUSED, slot::Slot};
use crate::{
    error::Result,
    store::{
        Store,
        history::{HistoryRun, JobStateRecord, RunState},
    },
};

/// The maximum length of a chain of covering runs; a covering run may itself be covered by a newer one.
const COVERS_MAX: usize = 100;

/// The status of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotStatus {
    /// A run was started for it, in time.
    Ran(HistoryRun),
    /// It was missed, and a run was started for it later.
    CaughtUp(HistoryRun),
    /// It was missed, and the run for a later slot covers it.
    Covered {
        /// The row of the slot itself.
        row: Box<HistoryRun>,
        /// The covering run.
        by: Box<HistoryRun>,
    },
    /// It was missed, and no run was started for it; the row has the reason.
    Missed(HistoryRun),
    /// It was skipped; the row has the reason.
    Skipped(HistoryRun),
    /// It was skipped because the job was paused.
    Paused(HistoryRun),
    /// A run for it is waiting to start.
    Waits(HistoryRun),
    /// It is still in the future.
    ToCome,
    /// It has not been decided: the last slot that was decided is earlier.
    Undecided {
        /// The time up to which slots are decided, if any are.
        up_to: Option<Timestamp>,
        /// True if a scheduler is running.
        is_served: bool,
    },
    /// The current schedule was not in force at that time.
    Before {
        /// The time since when it is in force; `None` if the scheduler has not read it yet.
        since: Option<Timestamp>,
    },
    /// It was decided, but history no longer has it.
    Forgotten,
    /// The time is not a slot of the job.
    NoSlot,
}

impl SlotStatus {
    /// Returns its word in `--json`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ran(run) if matches!(run.state, RunState::Running) => "running",
            Self::Ran(_) => "ran",
            Self::CaughtUp(_) => "caught-up",
            Self::Covered { .. } => "covered",
            Self::Missed(_) => "missed",
            Self::Skipped(_) => "skipped",
            Self::Paused(_) => "paused",
            Self::Waits(_) => "waiting",
            Self::ToCome => "to-come",
            Self::Undecided { .. } => "undecided",
            Self::Before { .. } => "before",
            Self::Forgotten => "forgotten",
            Self::NoSlot => "no-slot",
        }
    }

    /// Returns the row of the slot.
    pub fn row(&self) -> Option<&HistoryRun> {
        match self {
            Self::Ran(run)
            | Self::CaughtUp(run)
            | Self::Missed(run)
            | Self::Skipped(run)
            | Self::Paused(run)
            | Self::Waits(run) => Some(run),
            Self::Covered { row, .. } => Some(row),
            _ => None,
        }
    }
}

/// A query for the status of a slot.
#[derive(Debug, Clone, Copy)]
pub struct SlotQuery<'q> {
    /// The job.
    pub job: &'q Job,
    /// The time that is asked about.
    pub at: Timestamp,
    /// The slot at that time according to the current schedule.
    pub slot: Option<Slot>,
    /// The current time.
    pub now: Timestamp,
    /// True if a scheduler is running.
    pub is_served: bool,
}

impl SlotQuery<'_> {
    /// Looks up the status in history.
    pub fn ask(&self, store: &Store) -> Result<SlotStatus> {
        let at = self.slot.map_or(self.at, |slot| slot.at);
        let rows = store.runs_for(&self.job.name, at)?;
        let Some(row) = self.choose(&rows, at) else {
            let states = store.job_states()?;
            let state = states.into_iter().find(|state| *state.job == *self.job.name);
            return Ok(self.without_row(state.as_ref()));
        };
        let by = self.covering(store, &row)?;
        Ok(self.with_row(row, by))
    }

    /// Returns the row of the slot in the current schedule, before rows of other schedules; without such a slot, a row
    /// of exactly that time.
    fn choose(&self, rows: &[HistoryRun], at: Timestamp) -> Option<HistoryRun> {
        let revision = self.job.schedule.as_ref().map(|schedule: &Schedule| &schedule.revision);
        let is_of_today = |run: &HistoryRun| self.slot.is_some() && Some(&run.revision) == revision;
        let is_exact = |run: &HistoryRun| run.scheduled_for == Some(at);
        let today = rows.iter().find(|run| is_of_today(run) && is_exact(run));
        let today = today.or_else(|| rows.iter().find(|run| is_of_today(run)));
        today.or_else(|| rows.iter().find(|run| is_exact(run))).cloned()
    }

    /// Returns the run that covers a missed slot.
    fn covering(&self, store: &Store, row: &HistoryRun) -> Result<Option<HistoryRun>> {
        let mut covered = row.clone();
        for _ in 0..COVERS_MAX {
            let by = covered.covered_by.filter(|_| covered.state == RunState::Skipped);
            let Some(by) = by else { break };
            let rows = store.runs_for(&self.job.name, by)?;
            let same =
                |run: &HistoryRun| run.revision == row.revision && run.scheduled_for == Some(by);
            let Some(next) = rows.into_iter().find(same) else { return Ok(None) };
            covered = next;
        }
        Ok(Some(covered).filter(|by| by.id != row.id))
    }

    fn with_row(&self, row: HistoryRun, by: Option<HistoryRun>) -> SlotStatus {
        let late_after = SignedDuration::try_from(self.job.catch_up.late_after).unwrap_or_default();
        let late = row.scheduled_for.map(|due| row.decided_at.duration_since(due));
        let is_missed = late.is_some_and(|late| late > late_after);
        let is_pause = row.reason_code.as_deref() == Some(PAUSED);
        match (row.state, by) {
            (RunState::Waiting, _) => SlotStatus::Waits(row),
            (RunState::Skipped, Some(by)) => {
                SlotStatus::Covered { row: Box::new(row), by: Box::new(by) }
            }
            (RunState::Skipped, None) if is_pause => SlotStatus::Paused(row),
            (RunState::Skipped, None) if is_missed => SlotStatus::Missed(row),
            (RunState::Skipped, None) => SlotStatus::Skipped(row),
            _ if is_missed => SlotStatus::CaughtUp(row),
            _ => SlotStatus::Ran(row),
        }
    }

    fn without_row(&self, state: Option<&JobStateRecord>) -> SlotStatus {
        let (Some(slot), Some(schedule)) = (self.slot, self.job.active_schedule()) else {
            return SlotStatus::NoSlot;
        };
        if slot.at > self.now {
            return SlotStatus::ToCome;
        }
        let is_served = self.is_served;
        let Some((state, watermark)) = state.and_then(|state| Some((state, state.watermark?)))
        else {
            return SlotStatus::Undecided { up_to: None, is_served };
        };
        if state.revision != schedule.revision {
            return SlotStatus::Before { since: None };
        }
        match state.since {
            Some(since) if slot.at <= since => SlotStatus::Before { since: Some(since) },
            _ if slot.at > watermark => SlotStatus::Undecided { up_to: Some(watermark), is_served },
            _ => SlotStatus::Forgotten,
        }
    }
}
