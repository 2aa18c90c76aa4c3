//! Admission of waiting slots: decides which of them start now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    decide::JobCursor,
    decision::{DecisionKind, PlannerStep, Trigger},
    machines::{JobNeeds, MachineRoom, choose},
    reason::DecisionReason,
    state::{JobPlanState, Moment, RunningJob, WaitingSlot},
};
use crate::{
    limits::DEADLINE_MAX,
    schedule::jobs::{Job, LockPlaces, Misfire, Overlap, Runner},
};

/// The current use of run places and locks.
struct ResourceUsage<'m> {
    runner: &'m Runner,
    now: Timestamp,
    running: &'m [RunningJob],
    /// The slots started by this step.
    begun: Vec<BegunSlot>,
    /// The locks for whose places a slot waits, each with the job of the first.
    awaited: BTreeMap<String, Arc<str>>,
    /// The runs cancelled by this step.
    ending: Vec<super::RunId>,
    /// The last success of the job of each line.
    successes: &'m [Option<Timestamp>],
    /// The machines, with what begins on them; `None` if there is this one only.
    machines: Option<Vec<MachineRoom>>,
}

/// A slot that a step has started.
struct BegunSlot {
    job: Arc<Job>,
    at: Timestamp,
    locks: Vec<LockPlaces>,
}

/// Starts the slots of the lines `busy` that can start, the earliest first, and gives up those whose deadline has
/// passed.
pub(super) fn begin(
    runner: &Runner,
    lines: &mut [JobCursor],
    busy: &BTreeSet<usize>,
    successes: &[Option<Timestamp>],
    (moment, machines): (&Moment<'_>, Option<&[MachineRoom]>),
    step: &mut PlannerStep,
) {
    let first = |line: &JobCursor| {
        line.state.waiting.iter().map(|waiting| (waiting.not_before, waiting.slot.at)).min()
    };
    let mut order: Vec<_> =
        busy.iter().filter_map(|at| Some((first(lines.get(*at)?)?, *at))).collect();
    order.sort_unstable();
    let mut held = ResourceUsage {
        runner,
        now: moment.now,
        running: moment.running,
        begun: Vec::new(),
        awaited: BTreeMap::new(),
        ending: Vec::new(),
        successes,
        machines: machines.map(<[MachineRoom]>::to_vec),
    };
    for (_, at) in order {
        if let Some(line) = lines.get_mut(at) {
            held.begin(line, step);
        }
    }
}

/// The outcome for a slot that cannot start.
enum Blocked {
    /// It waits.
    Hold(DecisionReason),
    /// It is skipped.
    Skip(DecisionReason),
}

impl ResourceUsage<'_> {
    fn begin(&mut self, line: &mut JobCursor, step: &mut PlannerStep) {
        let mut waiting = std::mem::take(&mut line.state.waiting);
        // A slot that replaces comes before the one that it would end a moment later.
        let replaces = line.job.overlap == Overlap::Replace;
        waiting.sort_by_key(|waiting| {
            let is_first = replaces && waiting.trigger == Trigger::Schedule;
            (!is_first, waiting.is_backfill(), waiting.not_before, waiting.slot.at)
        });
        let before = waiting.len();
        let mut kept: Vec<WaitingSlot> = Vec::new();
        for mut one in waiting.drain(..) {
            let closed_until = self.closed_until(line, &mut one);
            let paused = line.pause_reason().filter(|_| one.slot.is_of_files());
            if self.now >= one.give_up {
                line.skip(&one, self.gave_up(&one), step);
            } else if let Some(reason) = paused {
                hold(line, &mut one, reason, step);
                kept.push(one);
            } else if let Some(until) = closed_until {
                hold(line, &mut one, DecisionReason::Window { until }, step);
                kept.push(one);
            } else if one.not_before > self.now {
                let until = one.not_before;
                let is_caught_up = one.trigger == Trigger::CatchUp;
                let reason = if is_caught_up {
                    DecisionReason::Spread { until }
                } else {
                    DecisionReason::Jitter { until }
                };
                hold(line, &mut one, reason, step);
                kept.push(one);
            } else {
                match self.blocked(line, &one, &mut kept, step) {
                    Some(Blocked::Skip(reason)) => line.skip(&one, reason, step),
                    Some(Blocked::Hold(reason)) => {
                        hold(line, &mut one, reason, step);
                        kept.push(one);
                    }
                    None => {
                        let reason = self.why(&one);
                        self.place(&line.job, step);
                        step.decisions.push(line.decision(&one, DecisionKind::Start, reason));
                        let (job, at) = (Arc::clone(&line.job), one.slot.at);
                        let locks = self.runner.locks_of(&job);
                        self.begun.push(BegunSlot { job, at, locks });
                    }
                }
            }
        }
        if kept.len() != before {
            step.note_changed(&line.job.name);
        }
        // Usually all have started, and their allocation can be reused.
        line.state.waiting = if kept.is_empty() { waiting } else { kept };
    }

    /// Returns the time at which a slot may begin that is outside the windows of its job, and moves its start there. A
    /// request begins at any time.
    fn closed_until(&self, line: &JobCursor, waiting: &mut WaitingSlot) -> Option<Timestamp> {
        let limits = line.job.limits.as_ref().filter(|_| waiting.trigger != Trigger::Manual)?;
        if waiting.not_before > self.now
            && !matches!(waiting.told.as_deref(), Some(DecisionReason::Window { .. }))
        {
            return None;
        }
        let due = waiting.slot.at == self.now && waiting.trigger == Trigger::Schedule;
        let until = limits.opens(self.now).filter(|until| *until > self.now && !due)?;
        waiting.not_before = until;
        if waiting.trigger != Trigger::Schedule && line.job.catch_up.start_deadline.is_none() {
            let deadline = until.checked_add(DEADLINE_MAX).unwrap_or(Timestamp::MAX);
            waiting.give_up = waiting.give_up.max(deadline);
        }
        Some(until)
    }

    fn gave_up(&self, waiting: &WaitingSlot) -> DecisionReason {
        match &waiting.told {
            None => DecisionReason::TooLate { late: self.now.duration_since(waiting.slot.at) },
            Some(told) => DecisionReason::GaveUp { waited_for: Some(told.clone()) },
        }
    }

    fn why(&self, waiting: &WaitingSlot) -> DecisionReason {
        match waiting.trigger {
            Trigger::Schedule => DecisionReason::Due,
            Trigger::Manual => DecisionReason::Asked,
            Trigger::Dependency => DecisionReason::Succeeded,
            Trigger::Watch | Trigger::Arrival => DecisionReason::Arrived,
            Trigger::CatchUp => {
                DecisionReason::CaughtUp { late: self.now.duration_since(waiting.slot.at) }
            }
        }
    }

    /// Returns the reason why a slot cannot start now; `None` if it can.
    fn blocked(
        &mut self,
        line: &JobCursor,
        waiting: &WaitingSlot,
        kept: &mut Vec<WaitingSlot>,
        step: &mut PlannerStep,
    ) -> Option<Blocked> {
        if line.job.overlap != Overlap::Allow
            && let Some(blocked) = self.overlaps(line, waiting, kept, step)
        {
            return Some(blocked);
        }
        let awaited = self.awaits(line, waiting);
        awaited.or_else(|| self.no_place(&line.job)).map(Blocked::Hold)
    }

    /// Checks for another slot of the same job that is in the way.
    fn overlaps(
        &mut self,
        line: &JobCursor,
        waiting: &WaitingSlot,
        kept: &mut Vec<WaitingSlot>,
        step: &mut PlannerStep,
    ) -> Option<Blocked> {
        let job = &line.job;
        let is_scheduled = waiting.trigger == Trigger::Schedule;
        let is_replace = job.overlap == Overlap::Replace && is_scheduled;
        let now = self.now;
        let is_due = |one: &WaitingSlot| one.not_before <= now;
        if is_replace {
            let (older, rest): (Vec<_>, Vec<_>) = std::mem::take(kept)
                .into_iter()
                .partition(|one| is_due(one) && one.trigger == Trigger::Schedule);
            *kept = rest;
            for one in older {
                line.skip(&one, DecisionReason::Replaced { by: waiting.slot.at }, step);
            }
        }
        // What the schedule has does not wait for past slots that were requested, and nothing for files that wait for the
        // end of a pause.
        let is_paused = line.state.paused.is_some();
        let is_ahead = |one: &WaitingSlot| {
            is_due(one)
                && !(is_scheduled && one.is_backfill())
                && !(is_paused && one.slot.is_of_files())
        };
        if let Some(ahead) = kept.iter().find(|one| is_ahead(one)) {
            let reason = DecisionReason::StillWaiting { slot: ahead.slot.at };
            let joins = ahead.trigger == Trigger::CatchUp && job.catch_up.misfire == Misfire::All;
            let waits = !is_scheduled || joins || is_replace;
            return Some(if waits { Blocked::Hold(reason) } else { Blocked::Skip(reason) });
        }
        if let Some(begun) = self.begun.iter().find(|begun| begun.job.name == job.name) {
            let reason = DecisionReason::StillWaiting { slot: begun.at };
            let waits = !is_scheduled || job.overlap == Overlap::Queue || is_replace;
            return Some(if waits { Blocked::Hold(reason) } else { Blocked::Skip(reason) });
        }
        let running = self.running.iter().find(|running| running.job == job.name)?;
        let reason = DecisionReason::StillRunning { run: running.run, since: running.started_at };
        if !is_scheduled {
            return Some(Blocked::Hold(reason));
        }
        let is_ending = running.is_ending || self.ending.contains(&running.run);
        // No other run has its files: it is neither replaced, nor are its retries ended.
        let is_of_files = running.slot.is_of_files();
        if is_of_files && job.overlap == Overlap::Replace {
            return Some(Blocked::Hold(reason));
        }
        let why = match (job.overlap, running.between_attempts && !is_of_files) {
            (Overlap::Replace, _) => Some(DecisionReason::Replaced { by: waiting.slot.at }),
            (_, true) => Some(DecisionReason::NextSlot),
            _ => None,
        };
        match why {
            Some(why) => {
                if !is_ending {
                    let cancel = DecisionKind::Cancel(running.run);
                    step.decisions.push(line.decision(waiting, cancel, why));
                    self.ending.push(running.run);
                }
                Some(Blocked::Hold(reason))
            }
            None if job.overlap == Overlap::Skip && !is_ending => Some(Blocked::Skip(reason)),
            None => Some(Blocked::Hold(reason)),
        }
    }

    /// Returns a job in `after` that has not succeeded since the required time.
    fn awaits(&self, line: &JobCursor, waiting: &WaitingSlot) -> Option<DecisionReason> {
        if !matches!(waiting.trigger, Trigger::Schedule | Trigger::CatchUp) {
            return None;
        }
        let since = waiting.needs_since;
        let succeeded = |place: &usize| {
            self.successes.get(*place).copied().flatten().is_some_and(|success| success > since)
        };
        let mut jobs = line.job.after.iter().zip(&line.after);
        let (missing, _) = jobs.find(|(_, place)| !succeeded(place))?;
        Some(DecisionReason::Awaits { job: Arc::clone(missing), since })
    }

    /// Takes a place on a machine for the run whose decision comes next.
    fn place(&mut self, job: &Job, step: &mut PlannerStep) {
        if let Some(machines) = &mut self.machines
            && let Ok(machine) = choose(machines, JobNeeds::of(job))
        {
            machine.running += 1;
            step.machines.insert(step.decisions.len(), Arc::clone(&machine.name));
        }
    }

    /// Checks whether all run places, or a lock, are taken.
    fn no_place(&mut self, job: &Job) -> Option<DecisionReason> {
        let most = self.runner.max_running;
        let busy = self.running.len() + self.begun.len();
        match &mut self.machines {
            Some(machines) => {
                if let Err(reason) = choose(machines, JobNeeds::of(job)) {
                    return Some(reason);
                }
            }
            None if busy >= usize::try_from(most).unwrap_or(usize::MAX) => {
                return Some(DecisionReason::MaxRunning { most });
            }
            None => {}
        }
        self.locked(job)
    }

    /// Checks whether a lock has too few places left. Those that an earlier slot waits for are not taken from it.
    fn locked(&mut self, job: &Job) -> Option<DecisionReason> {
        if job.locks.is_empty() {
            return None;
        }
        let wanted = self.runner.locks_of(job);
        let locked = wanted.iter().find_map(|lock| {
            let running = self.running.iter().map(|running| (&running.job, &running.locks));
            let begun = self.begun.iter().map(|begun| (&begun.job.name, &begun.locks));
            let held = running.chain(begun).filter_map(|(name, locks)| {
                Some((name, locks.iter().find(|held| held.name == lock.name)?.places))
            });
            let held: Vec<_> = held.collect();
            let limit = self.runner.lock_limit(&lock.name);
            let used: u32 = held.iter().map(|(_, places)| *places).sum();
            let places = (lock.places > 1).then_some((lock.places, limit));
            let (name, holder) = (lock.name.clone(), held.first().map(|(by, _)| Arc::clone(by)));
            if used.saturating_add(lock.places) > limit {
                return Some(DecisionReason::Locked { lock: name, by: holder?, places });
            }
            let by = Arc::clone(self.awaited.get(&name)?);
            Some(DecisionReason::LockAwaited { lock: name, by })
        });
        // One job may have several slots that wait.
        if let Some(DecisionReason::Locked { lock, .. }) = &locked {
            self.awaited.entry(lock.clone()).or_insert_with(|| Arc::clone(&job.name));
        }
        locked
    }
}

/// Keeps a slot waiting, and reports a wait whose reason has changed.
fn hold(
    line: &JobCursor,
    waiting: &mut WaitingSlot,
    reason: DecisionReason,
    step: &mut PlannerStep,
) {
    if waiting.told.as_deref() != Some(&reason) {
        step.decisions.push(line.decision(waiting, DecisionKind::Wait, reason.clone()));
        step.note_changed(&line.job.name);
        waiting.told = Some(Box::new(reason));
    }
}

impl JobPlanState {
    /// Returns the reported reason for which a slot waits.
    pub fn waits_for(&self, slot: Timestamp) -> Option<&DecisionReason> {
        self.waiting.iter().find(|waiting| waiting.slot.at == slot)?.told.as_deref()
    }
}
