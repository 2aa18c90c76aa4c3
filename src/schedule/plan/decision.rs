//! The output of the planner.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{reason::DecisionReason, state::RunId};
use crate::schedule::slot::Slot;
pub use crate::store::history::Trigger;

/// The result of one planner step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannerStep {
    /// The decisions, in the order in which they are to be carried out.
    pub decisions: Vec<Decision>,
    /// Events worth reporting that are not decisions on a slot.
    pub notes: Vec<PlannerNote>,
    /// Jobs whose state the step has changed.
    pub changed: Vec<Arc<str>>,
    /// The time of the next step if nothing happens before; `None` if no job has a future slot.
    pub wake: Option<Timestamp>,
    /// The machine of each run that begins, by the index of its decision; empty unless several share the schedule.
    pub machines: BTreeMap<usize, Arc<str>>,
}

impl PlannerStep {
    /// Records that the state of `job` has changed; consecutive duplicates are recorded once.
    pub(super) fn note_changed(&mut self, job: &Arc<str>) {
        if self.changed.last().is_none_or(|last| !Arc::ptr_eq(last, job)) {
            self.changed.push(Arc::clone(job));
        }
    }
}

/// One decision on one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The job.
    pub job: Arc<str>,
    /// The slot; for [`DecisionKind::Cancel`] the one that causes it.
    pub slot: Slot,
    /// The trigger of the run.
    pub trigger: Trigger,
    /// The action taken.
    pub action: DecisionKind,
    /// The number of slots that the run covers; 1 unless it catches up.
    pub covers: u64,
    /// The reason.
    pub reason: DecisionReason,
}

/// An action on a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionKind {
    /// The run begins now.
    Start,
    /// It will be run, but not yet.
    Wait,
    /// It is not run. This is final.
    Skip,
    /// It and all later slots up to `last` are not run: `count` of them, unless there were too many to count.
    SkipThrough {
        /// The last of them.
        last: Slot,
        /// The number of them.
        count: Option<u64>,
    },
    /// This run of the job is to be stopped, with [`crate::schedule::jobs::Timeouts::kill_grace`].
    Cancel(RunId),
}

/// An event worth reporting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannerNote {
    /// Slots in the future were decided: the clock must have been wrong. They are planned anew as they come.
    WatermarkAhead {
        /// The job.
        job: Arc<str>,
        /// The watermark that was found.
        watermark: Timestamp,
    },
}

impl std::fmt::Display for PlannerNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WatermarkAhead { job, watermark } => write!(
                f,
                "job `{job}` has been decided up to {watermark}, which is more than an hour ahead: the clock must \
                 have been wrong; slots are planned from now on, and none that has run is run again"
            ),
        }
    }
}
