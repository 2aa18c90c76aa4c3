//! A simulation of the planner on a virtual clock: the decisions it would make between two points in time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    jobs::{Jobs, LockPlaces},
    plan::{
        Decision, DecisionKind, Moment, Planner, PlannerNote, PlannerState, PlannerStep, RunId,
        RunningJob,
    },
};
use crate::error::{Error, Result};

/// The input of a simulation.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The time at which all jobs are new: the first slot is later than this.
    pub from: Timestamp,
    /// The end of the simulation.
    pub to: Timestamp,
    /// The times without a scheduler, as start and end; runs in progress at the start of an outage are lost.
    pub outages: Vec<(Timestamp, Timestamp)>,
    /// The duration of each run. Every run succeeds.
    pub run_time: Duration,
}

/// An event of the simulation.
#[derive(Debug, Clone)]
pub enum Happened<'h> {
    /// The planner made a decision.
    Decided(&'h Decision),
    /// The planner made a note.
    Noted(&'h PlannerNote),
    /// An outage began.
    Down,
    /// An outage ended.
    Up,
}

/// The state of a simulation.
struct Play {
    planner: Planner,
    running: Vec<RunningJob>,
    /// The end of the run at the same index of `running`.
    ends: Vec<Timestamp>,
    /// The locks of each job.
    locks: HashMap<Arc<str>, Vec<LockPlaces>>,
    run_time: SignedDuration,
    last_run: i64,
}

impl Scenario {
    /// Checks that the times are consistent.
    pub fn check(&self) -> Result<()> {
        if self.to <= self.from {
            return Err(Error::invalid("the end is not after the beginning"));
        }
        if self.outages.iter().any(|(from, to)| to <= from) {
            return Err(Error::invalid("an outage ends before it begins"));
        }
        Ok(())
    }

    /// Returns the outages in order, with those that touch merged.
    fn outages(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut all = self.outages.clone();
        all.sort_unstable();
        let mut apart: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in all {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        apart
    }
}

/// Simulates `scenario` and reports the events in order.
pub fn simulate(
    jobs: &Arc<Jobs>,
    scenario: &Scenario,
    mut tell: impl FnMut(Timestamp, Happened<'_>),
) {
    let planner = Planner::new(Arc::clone(jobs), PlannerState::default(), scenario.from);
    let run_time = SignedDuration::try_from(scenario.run_time).unwrap_or(SignedDuration::MAX);
    let locks = jobs.all.iter().map(|job| (Arc::clone(&job.name), jobs.runner.locks_of(job)));
    let mut play = Play {
        planner,
        running: Vec::new(),
        ends: Vec::new(),
        locks: locks.collect(),
        run_time,
        last_run: 0,
    };
    let mut now = scenario.from;
    for (from, to) in scenario.outages() {
        let from = from.max(scenario.from);
        if from > scenario.to {
            break;
        }
        // The scheduler is down from that very instant: a slot due then is missed.
        play.until(&mut now, from, false, &mut tell);
        tell(from, Happened::Down);
        play.running.clear();
        play.ends.clear();
        if to > scenario.to {
            return;
        }
        let state = play.planner.state();
        play.planner = Planner::new(Arc::clone(jobs), state, to);
        tell(to, Happened::Up);
        now = to;
    }
    play.until(&mut now, scenario.to, true, &mut tell);
}

impl Play {
    /// Advances from `now` to `end`, inclusive or exclusive.
    fn until(
        &mut self,
        now: &mut Timestamp,
        end: Timestamp,
        is_included: bool,
        tell: &mut impl FnMut(Timestamp, Happened<'_>),
    ) {
        while *now < end || (is_included && *now == end) {
            self.end_runs(*now);
            let moment = Moment { now: *now, running: &self.running, requests: &[] };
            let step = self.planner.step(&moment);
            for note in &step.notes {
                tell(*now, Happened::Noted(note));
            }
            for decision in &step.decisions {
                tell(*now, Happened::Decided(decision));
            }
            let has_ended = self.carry_out(&step, *now);
            if has_ended {
                // A cancelled run ends at once, so slots that waited for it can start.
                continue;
            }
            let next = self.ends.iter().copied().chain(step.wake).min();
            match next.filter(|next| next <= &end) {
                Some(next) if next > *now => *now = next,
                _ => break,
            }
        }
    }

    fn end_runs(&mut self, now: Timestamp) {
        let mut at = 0;
        while let (Some(end), Some(running)) = (self.ends.get(at), self.running.get(at)) {
            if *end > now {
                at += 1;
                continue;
            }
            if !running.is_ending {
                self.planner.succeeded(&running.job, *end);
            }
            self.ends.swap_remove(at);
            self.running.swap_remove(at);
        }
    }

    fn carry_out(&mut self, step: &PlannerStep, now: Timestamp) -> bool {
        let mut has_ended = false;
        for decision in &step.decisions {
            match decision.action {
                DecisionKind::Start => {
                    self.last_run += 1;
                    let locks = self.locks.get(&decision.job).cloned().unwrap_or_default();
                    self.running.push(RunningJob {
                        run: RunId(self.last_run),
                        job: Arc::clone(&decision.job),
                        slot: decision.slot,
                        started_at: now,
                        locks,
                        between_attempts: false,
                        is_ending: false,
                    });
                    self.ends.push(now.checked_add(self.run_time).unwrap_or(Timestamp::MAX));
                    has_ended |= self.run_time.is_zero();
                }
                DecisionKind::Cancel(run) => {
                    let all = self.running.iter_mut().zip(&mut self.ends);
                    for (running, end) in all.filter(|(running, _)| running.run == run) {
                        running.is_ending = true;
                        *end = now;
                        has_ended = true;
                    }
                }
                DecisionKind::Wait | DecisionKind::Skip | DecisionKind::SkipThrough { .. } => {}
            }
        }
        has_ended
    }
}
