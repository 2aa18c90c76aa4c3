//! Slots that are due: decides which of them will be run.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    decision::{Decision, DecisionKind, PlannerStep, Trigger},
    planner::{forget_ahead, later},
    reason::DecisionReason,
    state::{JobPlanState, WaitingSlot},
};
use crate::{
    limits::{DEADLINE_MAX, MISSED_COUNTED_MAX, MISSED_ROWS_MAX, WAITING_MAX},
    schedule::{
        cron::SlotWalk,
        cron::stable_hash,
        jobs::{Job, JobLimits, Misfire},
        slot::{Slot, SlotId},
    },
};

/// The least time after the delay of a slot (`jitter`) in which it can start, even if the next one is due by then.
const DELAYED_MIN: SignedDuration = SignedDuration::from_mins(1);

/// A job, its decided state, and its next slot.
#[derive(Debug, Clone)]
pub(super) struct JobCursor {
    pub(super) job: Arc<Job>,
    pub(super) state: JobPlanState,
    /// The lines of the planner for the jobs in `after`.
    pub(super) after: Vec<usize>,
    walk: SlotWalk,
    /// The first slot that is not decided.
    pub(super) next: Option<Slot>,
    /// A reusable buffer for the slots of one step: usually one.
    room: VecDeque<Slot>,
}

/// The slots that became due since the last step.
#[derive(Debug, Default)]
struct Passed {
    /// The oldest ones, if there are too many for a row each: the first, the last, and their count if it is known.
    lump: Option<(Slot, Slot, Option<u64>)>,
    /// The others, individually.
    slots: VecDeque<Slot>,
}

impl Passed {
    fn count(&self) -> u64 {
        let lump = self.lump.and_then(|(.., count)| count).unwrap_or(0);
        lump + self.slots.len() as u64
    }

    fn push(&mut self, slot: Slot) {
        self.slots.push_back(slot);
        if self.slots.len() > MISSED_ROWS_MAX
            && let Some(oldest) = self.slots.pop_front()
        {
            let (first, count) = match self.lump {
                Some((first, _, count)) => (first, count.map(|count| count + 1)),
                None => (oldest, Some(1)),
            };
            self.lump = Some((first, oldest, count));
        }
    }
}

impl JobCursor {
    pub(super) fn new(job: Arc<Job>, state: JobPlanState) -> Self {
        let mut line = Self {
            walk: SlotWalk::new(state.watermark),
            job,
            state,
            after: Vec::new(),
            next: None,
            room: VecDeque::new(),
        };
        line.advance();
        line
    }

    /// Moves to the next slot whose local time has not been decided, and that has not been run.
    fn advance(&mut self) {
        let Some(schedule) = self.job.active_schedule() else { return };
        loop {
            self.next = self.walk.next(schedule);
            match (self.next.map(|slot| slot.id), self.state.label) {
                // The zone's rules have changed, and the same local time is another instant now.
                (Some(SlotId::Civil(civil)), Some(label)) if civil <= label => {}
                (Some(id), _) if self.state.ended.contains(&id) => {}
                _ => return,
            }
        }
    }

    fn seat_at(&mut self, watermark: Timestamp) {
        self.state.watermark = watermark;
        self.walk = SlotWalk::new(watermark);
        self.advance();
    }

    fn changed(&self, step: &mut PlannerStep) {
        step.note_changed(&self.job.name);
    }

    /// Decides every slot up to `now`: it waits to start, or it is skipped.
    pub(super) fn decide(&mut self, now: Timestamp, step: &mut PlannerStep) {
        let before = self.state.watermark;
        forget_ahead(&self.job, &mut self.state, now, step);
        if self.state.watermark != before {
            self.seat_at(now);
        }
        if self.state.paused.is_some() && !self.state.waiting.is_empty() {
            self.drop_paused(step);
        }
        if self.next.is_none_or(|next| next.at > now) {
            return;
        }
        let since = self.state.watermark;
        let mut passed = self.passed(now);
        self.changed(step);
        if let Some(reason) = self.pause_reason() {
            return self.skip_all(&passed, &reason, step);
        }
        let late_after = signed(self.job.catch_up.late_after);
        let is_missed = |slot: &Slot| now.duration_since(slot.at) > late_after;
        if passed.lump.is_some() || passed.slots.iter().any(is_missed) {
            return self.catch_up(passed, since, now, step);
        }
        let mut needs_since = since;
        for slot in passed.slots.drain(..) {
            let not_before = self.jittered(&slot);
            let give_up = self.give_up(&slot, not_before);
            let trigger = Trigger::Schedule;
            let waiting = WaitingSlot {
                slot,
                trigger,
                covers: 1,
                not_before,
                give_up,
                needs_since,
                told: None,
            };
            self.add(waiting, step);
            needs_since = slot.at;
        }
        self.room = passed.slots;
    }

    /// Collects the slots up to `now`, and marks them as decided.
    fn passed(&mut self, now: Timestamp) -> Passed {
        let mut passed = Passed { lump: None, slots: std::mem::take(&mut self.room) };
        let mut seen = 0_u64;
        while let Some(slot) = self.next.filter(|slot| slot.at <= now) {
            seen += 1;
            let day_ago = later(now, -SignedDuration::from_hours(24));
            if seen > MISSED_COUNTED_MAX && slot.at < day_ago {
                // Months of a schedule with one slot per second: not worth counting. Start again a day ago.
                let first = passed.lump.map_or(slot, |(first, ..)| first);
                passed.slots.clear();
                passed.lump = Some((first, slot, None));
                seen = 0;
                self.seat_at(day_ago);
                continue;
            }
            passed.push(slot);
            self.state.watermark = slot.at;
            if let SlotId::Civil(civil) | SlotId::CivilAgain(civil) = slot.id {
                self.state.label = Some(civil);
            }
            self.advance();
        }
        if let (Some((_, last, count)), Some(next)) = (&mut passed.lump, passed.slots.front())
            && count.is_none()
            && last.at < next.at
        {
            // The last uncounted slot is just before the first one with a row; its own time is not known.
            let at = later(next.at, -SignedDuration::from_secs(1)).max(last.at);
            *last = Slot { at, ..*last };
        }
        passed
    }

    pub(super) fn pause_reason(&self) -> Option<DecisionReason> {
        let pause = self.state.paused.as_ref()?;
        Some(DecisionReason::Paused { since: pause.since, reason: pause.reason.clone() })
    }

    /// Skips slots that are waiting when a pause starts, except manual requests; files wait for its end.
    fn drop_paused(&mut self, step: &mut PlannerStep) {
        let Some(reason) = self.pause_reason() else { return };
        let is_kept = |waiting: &WaitingSlot| {
            waiting.trigger == Trigger::Manual || waiting.slot.is_of_files()
        };
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.state.waiting).into_iter().partition(is_kept);
        self.state.waiting = kept;
        if !dropped.is_empty() {
            self.changed(step);
        }
        for waiting in dropped {
            self.skip(&waiting, reason.clone(), step);
        }
    }

    /// Decides slots of which at least one was missed.
    fn catch_up(
        &mut self,
        passed: Passed,
        since: Timestamp,
        now: Timestamp,
        step: &mut PlannerStep,
    ) {
        let rules = self.job.catch_up;
        let Some(newest) = passed.slots.back().copied() else { return };
        let late = |slot: &Slot| now.duration_since(slot.at);
        if rules.misfire == Misfire::Skip {
            return self.skip_all(&passed, &DecisionReason::MisfireSkip, step);
        }
        let deadline = rules.start_deadline.map_or(DEADLINE_MAX, signed);
        if late(&newest) >= deadline {
            return self.skip_too_late(&passed, now, step);
        }
        let count = passed.count();
        let most = usize::try_from(rules.most).unwrap_or(usize::MAX);
        let (run, reason) = if rules.misfire == Misfire::Once {
            (1, DecisionReason::Covered { by: newest.at })
        } else {
            (most, DecisionReason::TooMany { most: rules.most })
        };
        self.skip_lump(&passed, &reason, step);
        let skipped = passed.slots.len().saturating_sub(run);
        let mut needs_since = since;
        let mut covers = if rules.misfire == Misfire::Once { count } else { 1 };
        if rules.misfire == Misfire::Once {
            covers += self.absorb(&newest, step);
        }
        for (at, slot) in passed.slots.into_iter().enumerate() {
            // Without a deadline of its own, the bound for the newest slot applies to all.
            let is_late = rules.start_deadline.is_some() && late(&slot) >= deadline;
            if at < skipped {
                self.skip_slot(slot, Trigger::CatchUp, reason.clone(), step);
            } else if is_late {
                let reason = DecisionReason::TooLate { late: late(&slot) };
                self.skip_slot(slot, Trigger::CatchUp, reason, step);
            } else {
                let give_up = rules.start_deadline.map_or_else(
                    || later(now, DEADLINE_MAX),
                    |deadline| later(slot.at, signed(deadline)),
                );
                let not_before = self.catch_up_at(&slot, now);
                let trigger = Trigger::CatchUp;
                self.add(
                    WaitingSlot {
                        slot,
                        trigger,
                        covers,
                        not_before,
                        give_up,
                        needs_since,
                        told: None,
                    },
                    step,
                );
            }
            needs_since = slot.at;
        }
    }

    /// Skips catch-up runs that have not started, as covered by the newer one. Returns the number of slots they
    /// covered.
    fn absorb(&mut self, newest: &Slot, step: &mut PlannerStep) -> u64 {
        let is_older = |waiting: &WaitingSlot| waiting.trigger == Trigger::CatchUp;
        let (older, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.state.waiting).into_iter().partition(is_older);
        self.state.waiting = kept;
        for waiting in &older {
            self.skip(waiting, DecisionReason::Covered { by: newest.at }, step);
        }
        older.iter().map(|waiting| waiting.covers).sum()
    }

    /// Returns the start time of a missed slot: spread over a while, unless the slot itself is on time.
    fn catch_up_at(&self, slot: &Slot, now: Timestamp) -> Timestamp {
        let rules = self.job.catch_up;
        if now.duration_since(slot.at) <= signed(rules.late_after) {
            return self.jittered(slot);
        }
        later(now, part(rules.spread, &[&self.job.name, "spread"]))
    }

    /// Returns the start time of a slot that is on time. Jitter does not lead out of the window of the job.
    fn jittered(&self, slot: &Slot) -> Timestamp {
        let at = later(slot.at, self.jitter(slot));
        let is_out = |limits: &JobLimits| limits.opens(at) != Some(at);
        if self.job.limits.as_ref().is_some_and(is_out) { slot.at } else { at }
    }

    fn jitter(&self, slot: &Slot) -> SignedDuration {
        if self.job.jitter.is_zero() {
            return SignedDuration::ZERO;
        }
        part(self.job.jitter, &[&self.job.name, &slot.id.to_string()])
    }

    /// Returns the time at which a slot that cannot start is given up: by default when the next one is due, but not before
    /// its own delay is over.
    fn give_up(&self, slot: &Slot, not_before: Timestamp) -> Timestamp {
        if let Some(deadline) = self.job.catch_up.start_deadline {
            return later(slot.at, signed(deadline));
        }
        let day = later(slot.at, DEADLINE_MAX);
        let end = self.next.map_or(day, |next| next.at.min(day));
        end.max(later(not_before, DELAYED_MIN))
    }

    /// Adds a slot of a job without `cron`.
    pub(super) fn follow(&mut self, at: Timestamp, now: Timestamp, step: &mut PlannerStep) {
        let slot = Slot { id: SlotId::After(at), at, moved_from: None };
        self.state.watermark = at;
        self.changed(step);
        if let Some(reason) = self.pause_reason() {
            return self.skip_slot(slot, Trigger::Dependency, reason, step);
        }
        let deadline = self.job.catch_up.start_deadline.map_or(DEADLINE_MAX, signed);
        self.add(
            WaitingSlot {
                slot,
                trigger: Trigger::Dependency,
                covers: 1,
                not_before: later(at.max(now), self.jitter(&slot)),
                give_up: later(at.max(now), deadline),
                needs_since: Timestamp::MIN,
                told: None,
            },
            step,
        );
    }

    /// Adds a slot for files that have arrived. It waits as long as it has to: no other run has its files.
    pub(super) fn arrive(&mut self, at: Timestamp, trigger: Trigger) {
        self.state.waiting.push(WaitingSlot {
            slot: Slot { id: SlotId::Files(at), at, moved_from: None },
            trigger,
            covers: 1,
            not_before: at,
            give_up: Timestamp::MAX,
            needs_since: Timestamp::MIN,
            told: None,
        });
    }

    /// Adds a waiting slot, unless too many are waiting.
    pub(super) fn add(&mut self, waiting: WaitingSlot, step: &mut PlannerStep) {
        self.changed(step);
        if self.state.waiting.len() < WAITING_MAX {
            self.state.waiting.push(waiting);
        } else {
            self.skip(&waiting, DecisionReason::QueueFull, step);
        }
    }

    fn skip_all(&self, passed: &Passed, reason: &DecisionReason, step: &mut PlannerStep) {
        self.skip_lump(passed, reason, step);
        for slot in &passed.slots {
            self.skip_slot(*slot, Trigger::Schedule, reason.clone(), step);
        }
    }

    fn skip_too_late(&self, passed: &Passed, now: Timestamp, step: &mut PlannerStep) {
        let reason = |slot: &Slot| DecisionReason::TooLate { late: now.duration_since(slot.at) };
        if let Some((first, ..)) = &passed.lump {
            self.skip_lump(passed, &reason(first), step);
        }
        for slot in &passed.slots {
            self.skip_slot(*slot, Trigger::Schedule, reason(slot), step);
        }
    }

    fn skip_lump(&self, passed: &Passed, reason: &DecisionReason, step: &mut PlannerStep) {
        if let Some((first, last, count)) = passed.lump {
            let action = DecisionKind::SkipThrough { last, count };
            step.decisions.push(Decision {
                job: Arc::clone(&self.job.name),
                slot: first,
                trigger: Trigger::Schedule,
                action,
                covers: 1,
                reason: reason.clone(),
            });
        }
    }

    fn skip_slot(
        &self,
        slot: Slot,
        trigger: Trigger,
        reason: DecisionReason,
        step: &mut PlannerStep,
    ) {
        step.decisions.push(Decision {
            job: Arc::clone(&self.job.name),
            slot,
            trigger,
            action: DecisionKind::Skip,
            covers: 1,
            reason,
        });
    }

    pub(super) fn skip(
        &self,
        waiting: &WaitingSlot,
        reason: DecisionReason,
        step: &mut PlannerStep,
    ) {
        step.decisions.push(self.decision(waiting, DecisionKind::Skip, reason));
    }

    pub(super) fn decision(
        &self,
        waiting: &WaitingSlot,
        action: DecisionKind,
        reason: DecisionReason,
    ) -> Decision {
        Decision {
            job: Arc::clone(&self.job.name),
            slot: waiting.slot,
            trigger: waiting.trigger,
            action,
            covers: waiting.covers,
            reason,
        }
    }

    /// Returns the next time at which this job must be checked, if nothing happens before.
    pub(super) fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.state.waiting.iter();
        let times = waiting.flat_map(|waiting| [waiting.not_before, waiting.give_up]);
        times.filter(|at| *at > now).chain(self.next.map(|slot| slot.at)).min()
    }
}

/// Returns a part of `time` in whole seconds that is always the same for the same words.
fn part(time: Duration, words: &[&str]) -> SignedDuration {
    let chosen = stable_hash(words) % time.as_secs().max(1);
    SignedDuration::from_secs(i64::try_from(chosen).unwrap_or(0))
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
