//! Invariants that hold in all circumstances: restarts, clock jumps, outages, pauses, runs of any length.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ops::RangeInclusive,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Decision, DecisionKind, Draw, Moment, Planner, PlannerState, RunningJob, at, jobs, run_of,
    shown,
};
use crate::schedule::{
    jobs::{Jobs, Overlap},
    plan::{Pause, Request},
    slot::SlotId,
};

/// The default number of simulated lives; `PORTOLAN_PLAN_LIVES` sets another number, `PORTOLAN_SEED` another seed.
const LIVES: u64 = 30;

/// Generates four jobs with settings of all kinds.
fn file(draw: &mut Draw) -> String {
    let mut text = format!("[runner]\nmax_running = {}\n", 1 + draw.below(3));
    for name in ["a", "b", "c", "d"] {
        let cron =
            draw.of(&["*/15 * * * *", "0 * * * *", "30 1,2 * * *", "@every 7m", "0,30 2 * * *"]);
        let zone = draw.of(&["UTC", "America/New_York", "Australia/Lord_Howe"]);
        let overlap = draw.of(&["skip", "queue", "replace", "allow"]);
        let misfire = draw.of(&["skip", "once", "all"]);
        let more = draw.of(&[
            "",
            "jitter = \"3m\"",
            "start_deadline = \"20m\"",
            "locks = [\"x\"]",
            "locks = [\"x\", \"y\"]",
            "after = []",
        ]);
        let after = if name == "d" { "after = [\"a\"]" } else { "" };
        let more = if after.is_empty() || !more.starts_with("after") { more } else { "" };
        text += &*format!(
            "[[job]]\nname = \"{name}\"\ncron = \"{cron}\"\ntimezone = \"{zone}\"\noverlap = \"{overlap}\"\n\
             misfire = \"{misfire}\"\n{more}\n{after}\n"
        );
    }
    text
}

type SlotKey = (Arc<str>, String, SlotId);

/// The final decision on a slot.
struct SlotEnd {
    action: DecisionKind,
    at: Timestamp,
    /// The number of times that the clock had been set far back before it.
    backs: usize,
}

/// The decisions and running jobs, as a daemon would have them.
struct World {
    jobs: Arc<Jobs>,
    running: Vec<RunningJob>,
    ends: BTreeMap<SlotKey, SlotEnd>,
    /// The number of times that the clock was set far back.
    backs: usize,
    runs: i64,
    story: Vec<String>,
}

impl World {
    fn take(&mut self, now: Timestamp, decision: &Decision, revision: &str) {
        self.story.push(format!("{now} {}", shown(decision)));
        let key = (Arc::clone(&decision.job), revision.to_owned(), decision.slot.id);
        match &decision.action {
            DecisionKind::Wait => {}
            DecisionKind::Cancel(run) => {
                let found = self.running.iter_mut().find(|running| running.run == *run);
                let found = found.unwrap();
                assert!(!found.is_ending && found.job == decision.job);
                found.is_ending = true;
            }
            DecisionKind::SkipThrough { .. } => panic!("too many for this test"),
            DecisionKind::Start | DecisionKind::Skip => {
                let (action, at) = (decision.action.clone(), decision.slot.at);
                let before = self.ends.insert(key, SlotEnd { action, at, backs: self.backs });
                // As history allows it: a clock that was ahead has skipped it.
                if let Some(SlotEnd { action, backs, .. }) = before {
                    let is_anew = action == DecisionKind::Skip && backs < self.backs;
                    assert!(is_anew, "a slot has two ends: {action:?}, {}", shown(decision));
                }
                if decision.action == DecisionKind::Start {
                    self.start(now, decision);
                }
            }
        }
    }

    /// Returns a planner that continues from `state`, as the scheduler creates it from its store.
    fn open(&self, mut state: PlannerState, now: Timestamp) -> Planner {
        for (job, state) in &mut state.jobs {
            let from = state.watermark.min(now);
            let ends = self.ends.iter().filter(|((name, ..), _)| name == job);
            let begun = ends.filter(|(_, end)| end.action == DecisionKind::Start && end.at > from);
            state.ended = begun.map(|((.., id), _)| *id).collect();
        }
        Planner::new(Arc::clone(&self.jobs), state, now)
    }

    /// Ends runs that were told to stop, and some others.
    fn end_some(&mut self, draw: &mut Draw, planner: &mut Planner, now: Timestamp) {
        let mut kept = Vec::new();
        for running in std::mem::take(&mut self.running) {
            if !running.is_ending && draw.below(3) > 0 {
                kept.push(running);
            } else if draw.below(3) > 0 {
                planner.succeeded(&running.job, now);
            }
        }
        self.running = kept;
    }

    fn start(&mut self, now: Timestamp, decision: &Decision) {
        let job = Arc::clone(self.jobs.get(&decision.job).unwrap());
        // A request from before the clock was set back is in the future.
        let is_asked = matches!(decision.slot.id, SlotId::Asked(_));
        assert!(is_asked || decision.slot.at <= now, "a run begins before its time");
        if job.overlap != Overlap::Allow {
            let same = self.running.iter().any(|running| running.job == job.name);
            assert!(!same, "two runs of a job that must not overlap");
        }
        for lock in &job.locks {
            let held = self
                .running
                .iter()
                .any(|running| running.locks.iter().any(|held| held.name == lock.name));
            assert!(!held, "two runs hold one lock");
        }
        self.runs += 1;
        self.running.push(run_of(decision, self.runs, &now.to_string(), &self.jobs));
        let most = usize::try_from(self.jobs.runner.max_running).unwrap();
        assert!(self.running.len() <= most, "more runs than places");
    }
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn live(seed: u64) -> World {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let jobs = jobs(&file(&mut draw));
    let begin =
        at(draw.of(&["2026-03-07T20:00:00Z", "2026-10-31T20:00:00Z", "2026-04-04T08:00:00Z"]));
    let mut world = World {
        jobs: Arc::clone(&jobs),
        running: Vec::new(),
        ends: BTreeMap::new(),
        backs: 0,
        runs: 0,
        story: Vec::new(),
    };
    let mut planner = Planner::new(Arc::clone(&jobs), PlannerState::default(), begin);
    let (mut now, mut earliest, mut furthest, mut requests) = (begin, begin, begin, Vec::new());
    for _ in 0..300 {
        match draw.below(20) {
            0..=9 => now = later(now, i64::try_from(draw.below(900)).unwrap()),
            10..=12 => now = later(now, i64::try_from(draw.below(60)).unwrap()),
            13 => now = later(now, i64::try_from(draw.below(6 * 3600)).unwrap()),
            14 => now = later(now, -i64::try_from(draw.below(5 * 3600)).unwrap()),
            // Killed: running jobs are lost, stored state is not.
            15 => {
                world.running.clear();
                planner = world.open(planner.state(), now);
            }
            16 => {
                let job = draw.of(&["a", "b", "c", "d"]);
                let pause =
                    (draw.below(2) == 0).then(|| Pause { since: now, reason: String::new() });
                planner.pause(job, pause);
            }
            17 => {
                let job: Arc<str> = draw.of(&["a", "b", "c", "d"]).into();
                requests.push(Request { job, at: furthest, slot: None });
            }
            18 => {
                for running in &mut world.running {
                    running.between_attempts = draw.below(2) == 0;
                }
            }
            _ => planner = planner.reload(Arc::clone(&jobs), now),
        }
        (earliest, furthest) = (earliest.min(now), furthest.max(now));
        world.end_some(&mut draw, &mut planner, now);
        requests.retain(|one| !world.ends.contains_key(&key_of(&jobs, one)));
        requests.dedup();
        let before = world.running.clone();
        let step = planner.step(&Moment { now, running: &before, requests: &requests });
        world.backs += usize::from(!step.notes.is_empty());
        for decision in &step.decisions {
            let revision = planner.state_of(&decision.job).unwrap().revision.clone();
            world.take(now, decision, &revision);
        }
        requests.clear();
        if !step.notes.is_empty() {
            planner = world.open(planner.state(), now);
        }
        let again = planner.step(&Moment { now, running: &world.running, requests: &[] });
        let more: Vec<_> = again.decisions.iter().map(shown).collect();
        assert!(
            again.decisions.iter().all(|one| one.action == DecisionKind::Wait),
            "the same moment decides more: {more:?}"
        );
    }
    every_slot_has_one_end(&world, &planner, begin, earliest..=furthest);
    world
}

fn key_of(jobs: &Jobs, request: &Request) -> SlotKey {
    let revision = &jobs.get(&request.job).unwrap().schedule.as_ref().unwrap().revision;
    (Arc::clone(&request.job), revision.clone(), SlotId::Asked(request.at))
}

/// Checks that each slot up to the watermark was started or skipped, or is waiting; and no other slot was.
fn every_slot_has_one_end(
    world: &World,
    planner: &Planner,
    begin: Timestamp,
    times: RangeInclusive<Timestamp>,
) {
    for job in &world.jobs.all {
        let schedule = job.schedule.as_ref().unwrap();
        let state = planner.state_of(&job.name).unwrap();
        let waiting: BTreeSet<_> = state.waiting.iter().map(|waiting| waiting.slot.id).collect();
        let mut wanted = BTreeSet::new();
        for slot in schedule.firings(*times.start()).take_while(|slot| times.contains(&slot.at)) {
            wanted.insert(slot.id);
            if slot.at <= begin || slot.at > state.watermark {
                continue;
            }
            let key = (Arc::clone(&job.name), schedule.revision.clone(), slot.id);
            let waits = waiting.contains(&slot.id);
            // One that waits may have been skipped by a clock that was ahead.
            let end = world.ends.get(&key);
            let has_end = end.is_some_and(|end| !waits || end.backs == world.backs);
            assert!(has_end != waits, "`{}` {}: end {has_end}, waits {waits}", job.name, slot.id);
        }
        for (name, _, id) in world.ends.keys().filter(|(name, ..)| *name == job.name) {
            let is_asked = matches!(id, SlotId::Asked(_));
            assert!(is_asked || wanted.contains(id), "`{name}` {id} is no slot");
        }
    }
}

#[test]
fn every_slot_has_exactly_one_end_whatever_happens() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("PORTOLAN_SEED").unwrap_or(1);
    let mut ends = 0;
    for seed in first..first + number("PORTOLAN_PLAN_LIVES").unwrap_or(LIVES) {
        println!("seed {seed}");
        ends += live(seed).ends.len();
    }
    assert!(ends > 1_000, "{ends} slots in all");
}

#[test]
fn the_same_life_is_decided_in_the_same_way() {
    assert_eq!(live(3).story, live(3).story);
}
