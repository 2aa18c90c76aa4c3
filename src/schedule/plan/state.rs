//! The input of the planner.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{Timestamp, civil::DateTime};

use super::{decision::Trigger, reason::DecisionReason};
use crate::schedule::{
    jobs::LockPlaces,
    slot::{Slot, SlotId},
};

/// The decided state of all jobs, by name. A job that is not in it is new: it never fires for the past.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannerState {
    /// The jobs by name. Jobs that the jobs file no longer has stay here, so that they are not new if they come back.
    pub jobs: BTreeMap<Arc<str>, JobPlanState>,
}

/// The decided state of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPlanState {
    /// The schedule to which the watermark belongs: [`crate::schedule::cron::Schedule::revision`], or `after` for a job
    /// that has none.
    pub revision: String,
    /// The time up to which every slot has been decided.
    pub watermark: Timestamp,
    /// The last local time that was decided, for a fixed-time schedule: new zone data must not repeat it.
    pub label: Option<DateTime>,
    /// The time of the last successful run, for jobs that follow this one.
    pub last_success: Option<Timestamp>,
    /// The pause, if the job is paused. Slots of a paused job are skipped; manually requested runs are not.
    pub paused: Option<Pause>,
    /// The slots that will be run but have not started, the earliest first.
    pub waiting: Vec<WaitingSlot>,
    /// Slots after the watermark that have been run already, by a clock that was ahead; they are not run again.
    pub ended: BTreeSet<SlotId>,
}

/// A pause of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The start of the pause.
    pub since: Timestamp,
    /// The reason given by the user.
    pub reason: String,
}

/// A slot that will be run but has not started.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingSlot {
    /// The slot.
    pub slot: Slot,
    /// The trigger of the run.
    pub trigger: Trigger,
    /// The number of slots that the run covers; 1 unless it catches up.
    pub covers: u64,
    /// The earliest start: jitter, or the spread of catch-up runs.
    pub not_before: Timestamp,
    /// The time at which it is skipped if it has not started.
    pub give_up: Timestamp,
    /// The time after which the jobs in `after` must have succeeded.
    pub needs_since: Timestamp,
    /// The reason for the wait last reported by [`super::DecisionKind::Wait`]; need not be stored.
    pub told: Option<Box<DecisionReason>>,
}

impl WaitingSlot {
    /// Returns true for a slot that a schedule has, unlike a request, the success of another job, or files.
    pub(super) const fn is_of_schedule(&self) -> bool {
        !matches!(self.slot.id, SlotId::Asked(_) | SlotId::After(_) | SlotId::Files(_))
    }

    /// Returns true for a past slot that was requested. The schedule does not wait for those.
    pub(super) fn is_backfill(&self) -> bool {
        matches!(self.slot.id, SlotId::Asked(at) if at != self.slot.at)
    }
}

/// The number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// A run in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningJob {
    /// Its number.
    pub run: RunId,
    /// Its job, which the jobs file may no longer have.
    pub job: Arc<str>,
    /// Its slot.
    pub slot: Slot,
    /// The start time.
    pub started_at: Timestamp,
    /// The locks it holds: those that its job had when it started.
    pub locks: Vec<LockPlaces>,
    /// True if an attempt has failed and the next one has not started.
    pub between_attempts: bool,
    /// True if it has been told to stop: it is not told again.
    pub is_ending: bool,
}

/// A manual request for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub job: Arc<str>,
    /// The time of the request: its slot, so two requests for one job must not have the same time.
    pub at: Timestamp,
    /// The past slot that is to be run, if it is for one.
    pub slot: Option<Timestamp>,
}

/// A point in time, with the facts that hold at it.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'m> {
    /// The current time.
    pub now: Timestamp,
    /// The runs in progress.
    pub running: &'m [RunningJob],
    /// The requests since the last step. One for a job that does not exist, or that was seen before, is ignored.
    pub requests: &'m [Request],
}
