//! The planner: all jobs, and the decisions made for each.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    begin::begin,
    decide::JobCursor,
    decision::{Decision, DecisionKind, PlannerNote, PlannerStep, Trigger},
    machines::MachineRoom,
    reason::DecisionReason,
    state::{JobPlanState, Moment, Pause, PlannerState, WaitingSlot},
};
use crate::{
    limits::{BACKFILL_TIME_MAX, DEADLINE_MAX, WATERMARK_AHEAD_MAX},
    schedule::{
        jobs::{Job, Jobs},
        slot::{Slot, SlotId},
    },
};

/// A check that is due at any time.
const NOW: i64 = i64::MIN;
/// A check that is never due: beyond the last second of the calendar.
const NEVER: i64 = i64::MAX;

/// The planner; see [`super`]. The same state, jobs and times always give the same decisions.
#[derive(Debug, Clone)]
pub struct Planner {
    jobs: Arc<Jobs>,
    lines: Vec<JobCursor>,
    /// The index of each job in `lines`.
    places: HashMap<Arc<str>, usize>,
    /// The second at which each of `lines` has something to decide: slots are whole seconds. Most of the time most
    /// lines have nothing to decide and are not visited.
    looks: Vec<i64>,
    /// These seconds in order, each with its line; those that never come are not in it.
    queue: BTreeSet<(i64, usize)>,
    /// A reusable buffer for the lines that are due in a step.
    due: Vec<usize>,
    /// The last success of the job of each of `lines`.
    successes: Vec<Option<Timestamp>>,
    /// The indices of `lines` that have waiting slots.
    busy: BTreeSet<usize>,
    /// The machines that share the schedule; `None` if there is one only.
    machines: Option<Vec<MachineRoom>>,
    /// For each of `lines`, those that follow it and have no `cron`.
    followers: HashMap<usize, Vec<usize>>,
    /// The indices of `lines` without `cron` whose predecessors have succeeded since the last step.
    led: BTreeSet<usize>,
    /// The indices of `lines` whose next slot or pause may have changed, for the pages that show them.
    touched: BTreeSet<usize>,
    /// The time of the last step.
    last: Timestamp,
    /// The state of jobs that the jobs file no longer has.
    others: PlannerState,
    /// The decisions made when the state was loaded, for the next step.
    adopted: PlannerStep,
}

impl Planner {
    /// Creates a planner for `jobs` that continues from `state`. A new job, or one whose schedule has changed, starts
    /// at `now`.
    pub fn new(jobs: Arc<Jobs>, state: PlannerState, now: Timestamp) -> Self {
        let mut others = state;
        let mut adopted = PlannerStep::default();
        let lines = jobs.all.iter().map(|job| {
            let found = others.jobs.remove(&job.name);
            JobCursor::new(Arc::clone(job), adopt(job, found, now, &mut adopted))
        });
        let mut lines: Vec<_> = lines.collect();
        for (name, state) in &mut others.jobs {
            drop_waiting(name, state, &DecisionReason::Removed, &mut adopted);
        }
        let places: HashMap<_, _> =
            (0..).zip(&lines).map(|(at, line)| (Arc::clone(&line.job.name), at)).collect();
        for line in &mut lines {
            let place = |job| places.get(job).copied().unwrap_or(usize::MAX);
            line.after = line.job.after.iter().map(place).collect();
        }
        let is_follower = |line: &JobCursor| {
            let Job { enabled, schedule, after, .. } = &*line.job;
            *enabled && schedule.is_none() && !after.is_empty()
        };
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut led = BTreeSet::new();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_follower(line)) {
            led.insert(at);
            for leader in &line.after {
                followers.entry(*leader).or_default().push(at);
            }
        }
        Self {
            places,
            looks: vec![NOW; lines.len()],
            queue: (0..lines.len()).map(|at| (NOW, at)).collect(),
            due: Vec::new(),
            successes: lines.iter().map(|line| line.state.last_success).collect(),
            busy: (0..lines.len()).collect(),
            machines: None,
            followers,
            led,
            touched: (0..lines.len()).collect(),
            last: now,
            jobs,
            lines,
            others,
            adopted,
        }
    }

    /// Returns the planner with other jobs, after the jobs file was read again.
    #[must_use]
    pub fn reload(&self, jobs: Arc<Jobs>, now: Timestamp) -> Self {
        let state = self.state();
        let mut planner = Self::new(jobs, state, now);
        planner.machines.clone_from(&self.machines);
        let newer = std::mem::replace(&mut planner.adopted, self.adopted.clone());
        planner.adopted.decisions.extend(newer.decisions);
        planner.adopted.changed.extend(newer.changed);
        planner.adopted.notes.extend(newer.notes);
        planner
    }

    /// Sets the machines that share the schedule: runs begin on those that have the labels of their job, and room. Without
    /// it there is one, with `max_running`.
    pub fn set_machines(&mut self, machines: Vec<MachineRoom>) {
        self.machines = Some(machines);
    }

    /// Returns the jobs that it plans.
    pub fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    /// Returns its whole state.
    pub fn state(&self) -> PlannerState {
        let mut state = self.others.clone();
        let lines = self.lines.iter().map(|line| (Arc::clone(&line.job.name), line.state.clone()));
        state.jobs.extend(lines);
        state
    }

    /// Returns the state of one job.
    pub fn state_of(&self, job: &str) -> Option<&JobPlanState> {
        self.line(job).map(|line| &line.state).or_else(|| self.others.jobs.get(job))
    }

    /// Returns the next slot of a job that has not been decided.
    pub fn next_of(&self, job: &str) -> Option<Slot> {
        self.line(job)?.next
    }

    fn line(&self, job: &str) -> Option<&JobCursor> {
        self.lines.get(*self.places.get(job)?)
    }

    /// Returns the names of the jobs that are paused.
    pub fn paused(&self) -> impl Iterator<Item = &Arc<str>> {
        let lines = self.lines.iter().map(|line| (&line.job.name, &line.state));
        let all = lines.chain(&self.others.jobs);
        all.filter(|(_, state)| state.paused.is_some()).map(|(name, _)| name)
    }

    /// Returns the jobs whose next slot or pause may have changed since the last call.
    pub fn take_touched(&mut self) -> Vec<Arc<str>> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().filter_map(|at| Some(Arc::clone(&self.lines.get(*at)?.job.name))).collect()
    }

    /// Sets the second at which a line has something to decide.
    fn look_at(&mut self, at: usize, second: i64) {
        let Some(look) = self.looks.get_mut(at) else { return };
        self.queue.remove(&(*look, at));
        *look = second;
        if second != NEVER {
            self.queue.insert((second, at));
        }
    }

    /// Records that a run of `job` succeeded at `at`. The state must be stored afterwards.
    pub fn succeeded(&mut self, job: &str, at: Timestamp) {
        let place = self.places.get(job).copied();
        let state = match place.and_then(|place| self.lines.get_mut(place)) {
            Some(line) => &mut line.state,
            None => match self.others.jobs.get_mut(job) {
                Some(state) => state,
                None => return,
            },
        };
        state.last_success = state.last_success.max(Some(at));
        if let Some(success) = place.and_then(|place| self.successes.get_mut(place)) {
            *success = state.last_success;
        }
        let followers = place.and_then(|place| self.followers.get(&place));
        self.led.extend(followers.into_iter().flatten());
    }

    /// Pauses or resumes `job`; returns false if there is no such job. The state must be stored afterwards. Waiting
    /// slots are skipped at the next step; slots missed during a pause are not run afterwards.
    pub fn pause(&mut self, job: &str, pause: Option<Pause>) -> bool {
        let Some(place) = self.places.get(job).copied() else {
            return self.others.jobs.get_mut(job).map(|state| state.paused = pause).is_some();
        };
        if let Some(line) = self.lines.get_mut(place) {
            line.state.paused = pause;
            // Waiting slots are to be skipped.
            self.look_at(place, NOW);
            self.touched.insert(place);
        }
        true
    }

    /// Returns true if files that have arrived can be handed to `job` now: it is not paused, and no files wait for it.
    pub fn takes_files(&self, job: &str) -> bool {
        self.line(job).is_some_and(|line| {
            let waits = line.state.waiting.iter().any(|waiting| waiting.slot.is_of_files());
            line.job.enabled && line.state.paused.is_none() && !waits
        })
    }

    /// Adds a slot for files of `job` that have arrived, which the next step decides. `at` is its identity.
    pub fn arrive(&mut self, job: &str, at: Timestamp, trigger: Trigger) {
        let Some(place) = self.places.get(job).copied() else { return };
        if let Some(line) = self.lines.get_mut(place) {
            line.arrive(at, trigger);
            self.busy.insert(place);
        }
    }

    /// Makes the decisions that are due at `moment`. A second call with the same moment, whose running jobs include
    /// those that the first one started, decides nothing.
    pub fn step(&mut self, moment: &Moment<'_>) -> PlannerStep {
        let mut step = std::mem::take(&mut self.adopted);
        // A clock that was set back may reveal that a watermark is far ahead.
        let is_back = moment.now < self.last;
        self.last = moment.now;
        let second = whole_second(moment.now);
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        if is_back {
            due.extend(0..self.lines.len());
            self.led.extend(self.followers.values().flatten());
        } else {
            due.extend(self.queue.range(..=(second, usize::MAX)).map(|(_, at)| *at));
            // In the order of the file, whatever their seconds.
            due.sort_unstable();
        }
        for at in due.iter().copied() {
            let Some(line) = self.lines.get_mut(at) else { continue };
            line.decide(moment.now, &mut step);
            if is_back && let Some(success) = self.successes.get_mut(at) {
                *success = line.state.last_success;
            }
            let look = line.next.map_or(NEVER, |slot| whole_second(slot.at));
            self.look_at(at, look);
            self.busy.insert(at);
            self.touched.insert(at);
        }
        self.due = due;
        self.take_requests(moment, &mut step);
        self.follow(moment.now, &mut step);
        self.begin(moment, &mut step);
        if step.changed.len() > 1 {
            // Equal names are identical, so their order does not matter.
            step.changed.sort_unstable();
            step.changed.dedup();
        }
        let waits = self.busy.iter().filter_map(|at| self.lines.get(*at)?.wake(moment.now));
        let soonest =
            self.queue.first().and_then(|(second, _)| Timestamp::from_second(*second).ok());
        step.wake = waits.chain(soonest).min();
        step
    }

    /// Starts the waiting slots that can start.
    fn begin(&mut self, moment: &Moment<'_>, step: &mut PlannerStep) {
        if self.busy.is_empty() {
            return;
        }
        let moment = (moment, self.machines.as_deref());
        begin(&self.jobs.runner, &mut self.lines, &self.busy, &self.successes, moment, step);
        let lines = &self.lines;
        self.busy.retain(|at| lines.get(*at).is_some_and(|line| !line.state.waiting.is_empty()));
    }

    /// Adds slots for manual requests.
    fn take_requests(&mut self, moment: &Moment<'_>, step: &mut PlannerStep) {
        for request in moment.requests {
            let Some(at) = self.places.get(&request.job).copied() else { continue };
            let Some(line) = self.lines.get_mut(at) else { continue };
            self.busy.insert(at);
            let at = request.slot.unwrap_or(request.at);
            let slot = Slot { id: SlotId::Asked(request.at), at, moved_from: None };
            if line.state.waiting.iter().any(|waiting| waiting.slot.id == slot.id) {
                continue;
            }
            // Many past slots may be requested at once, and run one after another.
            let wait = if request.slot.is_some() { BACKFILL_TIME_MAX } else { DEADLINE_MAX };
            let give_up = later(request.at.min(moment.now), wait);
            line.add(
                WaitingSlot {
                    slot,
                    trigger: Trigger::Manual,
                    covers: 1,
                    not_before: request.at.min(moment.now),
                    give_up,
                    needs_since: Timestamp::MIN,
                    told: None,
                },
                step,
            );
        }
    }

    /// Adds slots for jobs without `cron` whose predecessors have all succeeded since their last run.
    fn follow(&mut self, now: Timestamp, step: &mut PlannerStep) {
        for index in std::mem::take(&mut self.led) {
            let Some(line) = self.lines.get(index) else { continue };
            let ends = line.job.after.iter().map(|job| self.state_of(job)?.last_success);
            let Some(ends) = ends.collect::<Option<Vec<_>>>() else { continue };
            let (Some(first), Some(last)) = (ends.iter().min(), ends.iter().max()) else {
                continue;
            };
            let (first, last) = (*first, *last);
            if let Some(line) = self.lines.get_mut(index)
                && first > line.state.watermark
            {
                line.follow(last, now, step);
                self.busy.insert(index);
            }
        }
    }
}

/// Returns the state from which a job continues.
fn adopt(
    job: &Job,
    found: Option<JobPlanState>,
    now: Timestamp,
    step: &mut PlannerStep,
) -> JobPlanState {
    let revision = job.revision();
    let fresh = |last_success, paused| JobPlanState {
        revision: revision.to_owned(),
        watermark: now,
        label: None,
        last_success,
        paused,
        waiting: Vec::new(),
        ended: BTreeSet::new(),
    };
    let Some(mut state) = found else {
        step.changed.push(Arc::clone(&job.name));
        return fresh(None, None);
    };
    if state.revision != revision {
        // Files that were handed out do not depend on the schedule.
        let (files, of_schedule) =
            state.waiting.into_iter().partition(|waiting| waiting.slot.is_of_files());
        state.waiting = of_schedule;
        drop_waiting(&job.name, &mut state, &DecisionReason::Edited, step);
        step.changed.push(Arc::clone(&job.name));
        return JobPlanState { waiting: files, ..fresh(state.last_success, state.paused) };
    }
    forget_ahead(job, &mut state, now, step);
    state
}

/// Drops state left by a clock that was ahead. A success in the future would hide every later one, what waits for such a
/// time would wait until then, and slots that are decided already would be passed over: they are planned anew, except for
/// those that have been run.
pub(super) fn forget_ahead(
    job: &Job,
    state: &mut JobPlanState,
    now: Timestamp,
    step: &mut PlannerStep,
) {
    let name = &job.name;
    let (ahead, far) = (later(now, WATERMARK_AHEAD_MAX), later(now, DEADLINE_MAX));
    let is_ahead = |at: &Timestamp| *at > ahead;
    if is_ahead(&state.watermark) {
        let watermark = std::mem::replace(&mut state.watermark, now);
        state.label = None;
        step.notes.push(PlannerNote::WatermarkAhead { job: Arc::clone(name), watermark });
        step.changed.push(Arc::clone(name));
    }
    if state.last_success.as_ref().is_some_and(is_ahead) {
        state.last_success = None;
        step.changed.push(Arc::clone(name));
    }
    // A slot of the schedule that is not decided does not wait yet.
    let watermark = state.watermark;
    state.waiting.retain(|waiting| !waiting.is_of_schedule() || waiting.slot.at <= watermark);
    let is_far = |waiting: &WaitingSlot| waiting.slot.at > far && !waiting.slot.is_of_files();
    if state.waiting.iter().any(is_far) {
        let (dropped, kept) = std::mem::take(&mut state.waiting).into_iter().partition(is_far);
        state.waiting = kept;
        skip_each(name, dropped, &DecisionReason::ClockAhead, step);
        step.changed.push(Arc::clone(name));
    }
    // Nothing waits for longer than that by the rules of its job.
    let wait = job.jitter.max(job.catch_up.spread);
    let latest = later(ahead, SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX));
    for waiting in state.waiting.iter_mut().filter(|waiting| waiting.not_before > latest) {
        waiting.not_before = if waiting.is_of_schedule() { waiting.slot.at.max(now) } else { now };
    }
}

fn drop_waiting(
    job: &Arc<str>,
    state: &mut JobPlanState,
    reason: &DecisionReason,
    step: &mut PlannerStep,
) {
    if !state.waiting.is_empty() {
        step.changed.push(Arc::clone(job));
    }
    skip_each(job, std::mem::take(&mut state.waiting), reason, step);
}

fn skip_each(
    job: &Arc<str>,
    all: Vec<WaitingSlot>,
    reason: &DecisionReason,
    step: &mut PlannerStep,
) {
    step.decisions.extend(all.into_iter().map(|waiting| Decision {
        job: Arc::clone(job),
        slot: waiting.slot,
        trigger: waiting.trigger,
        action: DecisionKind::Skip,
        covers: waiting.covers,
        reason: reason.clone(),
    }));
}

/// Returns the second that contains `at`.
fn whole_second(at: Timestamp) -> i64 {
    // Before 1970 the fraction of a second is negative.
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// Returns `at` plus `time`, or the end of time.
pub(super) fn later(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}
