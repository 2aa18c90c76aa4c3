//! Slots to come as `next --json` and the API have them.

use serde::Serialize;

use super::{cron::Schedule, jobs::Job, slot::Slot};

/// A slot to come. The names are an interface.
#[derive(Debug, Clone, Serialize)]
pub struct SlotDocument {
    /// The time in UTC.
    pub at: String,
    /// The time in the zone of the schedule.
    pub local: String,
    /// The wall-clock time that the clock jumps over, if the slot is moved behind the jump.
    pub moved_from: Option<String>,
    /// The job, unless the expression is on the command line.
    #[serde(flatten)]
    pub job: Option<DescribedJob>,
}

/// A job as the slots of it show it.
#[derive(Debug, Clone, Serialize)]
pub struct DescribedJob {
    /// The name.
    pub job: String,
    /// The text about the job.
    pub description: Option<String>,
    /// True if the job is paused: the slot will be skipped unless it is resumed before.
    pub paused: bool,
}

impl SlotDocument {
    /// Returns the document of a slot of `schedule`, with its job and whether that is paused.
    pub fn of(slot: &Slot, schedule: &Schedule, job: Option<(&Job, bool)>) -> Self {
        Self {
            at: slot.at.to_string(),
            local: slot.at.to_zoned(schedule.zone.rules.clone()).to_string(),
            moved_from: slot.moved_from.map(|from| from.to_string()),
            job: job.map(|(job, paused)| DescribedJob {
                job: job.name.to_string(),
                description: job.description.clone(),
                paused,
            }),
        }
    }
}
