//! Slots to come as `next --json` and the API have them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    cron::Schedule,
    jobs::{Job, Jobs},
    slot::Slot,
};

/// The slots of all jobs in the order of time. Only those that are taken are computed.
#[derive(Debug)]
pub struct MergedSlots<'j> {
    jobs: &'j Jobs,
    /// The first slot of each job.
    first: &'j [Option<Slot>],
    /// The next slot of each job that has another one: its time, and the place of the job.
    queue: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The slots in `queue` that are not the first of their jobs, by the place of the job.
    later: HashMap<usize, Slot>,
    end: Timestamp,
}

impl<'j> MergedSlots<'j> {
    /// Creates the list of the slots before `end`; `first` has the first slot of each job.
    pub fn new(jobs: &'j Jobs, first: &'j [Option<Slot>], end: Timestamp) -> Self {
        let coming =
            first.iter().enumerate().filter_map(|(at, slot)| Some((slot.as_ref()?.at, at)));
        let queue = coming.filter(|(time, _)| *time < end).map(Reverse).collect();
        Self { jobs, first, queue, later: HashMap::new(), end }
    }

    /// Leaves out the other slots of the job that had the last one.
    pub fn skip_job(&mut self, job: &Job) {
        let Some(place) = self.jobs.place(&job.name) else { return };
        self.queue.retain(|Reverse((_, at))| *at != place);
        self.later.remove(&place);
    }
}

impl<'j> Iterator for MergedSlots<'j> {
    type Item = (&'j Job, Slot, &'j Schedule);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Reverse((_, at)) = self.queue.pop()?;
            let first = || self.first.get(at).copied().flatten();
            let slot = self.later.remove(&at).or_else(first);
            let job = self.jobs.all.get(at);
            let schedule = job.and_then(|job| job.active_schedule());
            let (Some(slot), Some(job), Some(schedule)) = (slot, job, schedule) else { continue };
            if let Some(next) = schedule.next(slot.at).filter(|next| next.at < self.end) {
                self.queue.push(Reverse((next.at, at)));
                self.later.insert(at, next);
            }
            return Some((job, slot, schedule));
        }
    }
}

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
