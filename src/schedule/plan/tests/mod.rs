//! The planner's decisions.

mod calendar;
mod files;
mod laws;
mod matrices;
mod missed;
mod rules;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{Decision, DecisionKind, JobPlanState, Moment, Planner, PlannerState, RunningJob};
use crate::schedule::{
    jobs::{Jobs, parse},
    zone::Zones,
};

/// Random numbers from a seed, which is not zero.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns jobs from the text of a file, with `script` filled in and catch-up without a spread.
fn jobs(text: &str) -> Arc<Jobs> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.rhai"), "").unwrap();
    let more = "[[job]]\nscript = \"s.rhai\"\ncatchup_spread = \"0s\"\n";
    let text = text.replace("[[job]]\n", more);
    let file = folder.path().join("portolan.toml");
    let reading = parse(text, &file, &Zones::bundled(), at("2026-01-01T00:00:00Z"));
    Arc::new(reading.jobs.unwrap_or_else(|| panic!("{:?}", reading.findings)))
}

fn moment(now: &str, running: &[RunningJob]) -> Moment<'static> {
    // Tests are short: they may leak memory.
    let running: &'static [RunningJob] = Box::leak(running.to_vec().into_boxed_slice());
    Moment { now: at(now), running, requests: &[] }
}

/// Formats a decision as `a: start 2026-06-01T01:00:00Z catchup 3: why`; a coverage of 1 is omitted.
fn shown(decision: &Decision) -> String {
    let action = match &decision.action {
        DecisionKind::Start => "start".to_owned(),
        DecisionKind::Wait => "wait".to_owned(),
        DecisionKind::Skip => "skip".to_owned(),
        DecisionKind::SkipThrough { last, count } => {
            format!("skip through {} ({count:?})", last.at)
        }
        DecisionKind::Cancel(run) => format!("cancel {}", run.0),
    };
    let covers = match decision.covers {
        1 => String::new(),
        many => format!(" {many}"),
    };
    let Decision { job, slot, trigger, reason, .. } = decision;
    format!("{job}: {action} {} {}{covers}: {reason}", slot.at, trigger.as_str())
}

fn decided(planner: &mut Planner, now: &str, running: &[RunningJob]) -> Vec<String> {
    planner.step(&moment(now, running)).decisions.iter().map(shown).collect()
}

/// Creates a planner whose one job has been decided up to `watermark`, and that comes up at `now`.
fn back(jobs: &Arc<Jobs>, watermark: &str, now: &str) -> Planner {
    let mut state = PlannerState::default();
    for job in &jobs.all {
        let revision = job.revision();
        let state_of_job = JobPlanState {
            revision: revision.to_owned(),
            watermark: at(watermark),
            label: None,
            last_success: None,
            paused: None,
            waiting: Vec::new(),
            ended: BTreeSet::new(),
        };
        state.jobs.insert(Arc::clone(&job.name), state_of_job);
    }
    Planner::new(Arc::clone(jobs), state, at(now))
}

/// Returns the run that a start begins.
fn run_of(decision: &Decision, number: i64, now: &str, jobs: &Jobs) -> RunningJob {
    RunningJob {
        run: super::RunId(number),
        job: Arc::clone(&decision.job),
        slot: decision.slot,
        started_at: at(now),
        locks: jobs.runner.locks_of(jobs.get(&decision.job).unwrap()),
        between_attempts: false,
        is_ending: false,
    }
}
