//! What the planner says.

use std::sync::Arc;

use jiff::Timestamp;

use super::{reason::Reason, state::RunId};
use crate::schedule::slot::Slot;

/// What a step has come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// In the order in which they are to be carried out.
    pub decisions: Vec<Decision>,
    /// What somebody should know of but is no decision on a slot.
    pub notes: Vec<Note>,
    /// Jobs whose state is no longer what it was before the step.
    pub changed: Vec<Arc<str>>,
    /// When the next step is due if nothing happens before; nothing if no job has a slot to come.
    pub wake: Option<Timestamp>,
}

impl Step {
    /// Notes that the state of `job` has changed; what is noted twice in a row is noted once.
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
    /// The slot; for [`Action::Cancel`] the one for whose sake it is done.
    pub slot: Slot,
    /// Why the slot is to be run.
    pub trigger: Trigger,
    /// What is done.
    pub action: Action,
    /// How many slots the run stands for; 1 unless it catches up.
    pub covers: u64,
    /// Why.
    pub reason: Reason,
}

/// What is done about a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The run begins now.
    Start,
    /// It will be run, but not yet.
    Wait,
    /// It is not run. This is its end.
    Skip,
    /// It and all later ones up to `last` are not run: `count` of them, unless they were too many to count.
    SkipThrough {
        /// The last of them.
        last: Slot,
        /// How many they are.
        count: Option<u64>,
    },
    /// This run of the job is to end, with [`crate::schedule::jobs::Timeouts::kill_grace`].
    Cancel(RunId),
}

/// Why a slot is to be run; what scripts see as `job::TRIGGER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// It is due.
    Schedule,
    /// It was missed.
    CatchUp,
    /// Somebody asked for it.
    Manual,
    /// The jobs before it have succeeded.
    Dependency,
}

impl Trigger {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Schedule, Self::CatchUp, Self::Manual, Self::Dependency];

    /// The word that scripts, history and `--json` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catchup",
            Self::Manual => "manual",
            Self::Dependency => "dependency",
        }
    }
}

/// Something that somebody should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The state says that slots far in the future have been decided: the clock must have been wrong. They are forgotten.
    WatermarkAhead {
        /// The job.
        job: Arc<str>,
        /// How far it said.
        watermark: Timestamp,
    },
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WatermarkAhead { job, watermark } => write!(
                f,
                "job `{job}` has been decided up to {watermark}, which is more than a day ahead: the clock must have \
                 been wrong; nothing is run for that time, and it goes on from now"
            ),
        }
    }
}
