//! What the planner goes by.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{Timestamp, civil::DateTime};

use super::{decision::Trigger, reason::Reason};
use crate::schedule::slot::Slot;

/// What has been decided so far, for each job by name. A job that is not in it is new: it never fires for the past.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannerState {
    /// By name of the job. Jobs that the file has no more stay here, so that they are not new when they come back.
    pub jobs: BTreeMap<Arc<str>, JobState>,
}

/// What has been decided for one job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobState {
    /// The schedule to which the watermark belongs: [`crate::schedule::cron::Schedule::revision`], or `after` for a job
    /// that has none.
    pub revision: String,
    /// Every slot up to here has been decided.
    pub watermark: Timestamp,
    /// The last time on the wall that was decided, for a fixed-time schedule: new zone data must not bring it again.
    pub label: Option<DateTime>,
    /// When a run last succeeded, for the jobs that come after this one.
    pub last_success: Option<Timestamp>,
    /// Why it is paused, if it is. Slots of a paused job are skipped; a run that somebody asks for is not.
    pub paused: Option<Pause>,
    /// Slots that will be run but have not begun, the first first.
    pub waiting: Vec<Waiting>,
}

/// Why a job is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// What the one who paused it said.
    pub reason: String,
}

/// A slot that will be run but has not begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The slot.
    pub slot: Slot,
    /// Why it is to be run.
    pub trigger: Trigger,
    /// How many slots the run stands for; 1 unless it catches up.
    pub covers: u64,
    /// It does not begin earlier: jitter, or the spread of runs that catch up.
    pub not_before: Timestamp,
    /// It is skipped when it has not begun by then.
    pub give_up: Timestamp,
    /// The jobs in `after` must have succeeded later than this.
    pub needs_since: Timestamp,
    /// What it waits for, as it was last told by [`super::Action::Wait`]; need not be stored.
    pub told: Option<Box<Reason>>,
}

/// The number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub run: RunId,
    /// Its job, which the jobs file may have no more.
    pub job: Arc<str>,
    /// Its slot.
    pub slot: Slot,
    /// When it began.
    pub started_at: Timestamp,
    /// The locks it holds: those that its job had when it began.
    pub locks: Vec<String>,
    /// Whether an attempt has failed and the next has not begun.
    pub between_attempts: bool,
    /// Whether it has been told to end: it is not told again.
    pub is_ending: bool,
}

/// A run that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub job: Arc<str>,
    /// When it was asked for: its slot, so no two for one job may have the same time.
    pub at: Timestamp,
}

/// A moment, with what is true of it.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'m> {
    /// The time of day.
    pub now: Timestamp,
    /// What runs.
    pub running: &'m [Running],
    /// What has been asked for since the last step. One for a job that does not exist, or that came before, is ignored.
    pub requests: &'m [Request],
}
