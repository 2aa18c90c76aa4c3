//! The overview of jobs: schedule, last result, next run, and the figures of the last 30 days. `portolan jobs`, the
//! page and its API show the same values.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::{
    cron::Schedule,
    expected::late_since,
    jobs::{FileTrigger, Job},
};
use crate::{
    error::Result,
    store::{
        Store,
        history::{BriefRun, HistoryRun, JobStateRecord, RunState},
    },
};

/// The days over which the success rate is computed.
const RATE_DAYS: i64 = 30;
/// The maximum number of runs that are looked at for each job.
const RUNS_MAX: u32 = 1000;
/// The number of newest slots that are listed whatever their age.
const RECENT_SLOTS: usize = 30;
/// The number of runs whose durations are compared with those before.
const RECENT_RUNS: usize = 5;

/// A job as `--json` and the API have it. The names are an interface.
#[derive(Debug, Clone, Serialize)]
pub struct JobOverview {
    /// The name.
    pub job: String,
    /// The text about the job.
    pub description: Option<String>,
    /// The words by which it is chosen.
    pub tags: Vec<String>,
    /// False if it is turned off by `enabled = false`.
    pub enabled: bool,
    /// The expressions; `None` for a job that runs after others or when it is triggered.
    pub schedule: Option<String>,
    /// The time zone of the expressions.
    pub timezone: Option<String>,
    /// The jobs whose success it waits for.
    pub after: Vec<String>,
    /// The files whose arrival starts it, in words.
    pub files: Option<String>,
    /// The time of the next slot.
    pub next: Option<String>,
    /// True if it is paused.
    pub paused: bool,
    /// The reason for the pause.
    pub pause_reason: Option<String>,
    /// True if a run is in progress.
    pub running: bool,
    /// The last run.
    pub last: Option<LastRun>,
    /// The time of the last success.
    pub last_success: Option<String>,
    /// The time by which `expect_by` wanted a success that has not come.
    pub late_since: Option<String>,
    /// The runs of the last 30 days that have ended.
    pub runs_30d: usize,
    /// Those of them that did everything.
    pub succeeded_30d: usize,
    /// The median duration of the last five successful runs in seconds.
    pub seconds: Option<f64>,
    /// The median duration of those before.
    pub seconds_before: Option<f64>,
    /// The last 30 slots, the newest first.
    pub recent: Vec<RecentSlot>,
}

/// The last run of a job.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// The number of the run.
    pub run: i64,
    /// Its outcome.
    pub outcome: &'static str,
    /// Its end, or its start while it is in progress.
    pub at: Option<String>,
    /// Its error.
    pub error: Option<String>,
}

/// One of the last slots of a job.
#[derive(Debug, Clone, Serialize)]
pub struct RecentSlot {
    /// The number of the run.
    pub run: i64,
    /// Its outcome.
    pub outcome: &'static str,
    /// The time at which it was due, or began.
    pub at: Option<String>,
    /// Its duration in seconds, if it has ended.
    pub seconds: Option<f64>,
}

/// The number of jobs whose history is read at once: each may have `RUNS_MAX` runs, which stay in memory.
pub const JOBS_AT_ONCE: usize = 50;

/// The recent runs of a job, the newest first.
#[derive(Debug, Default)]
pub struct JobHistory {
    /// The last run; slots that were skipped or wait do not count.
    pub last: Option<HistoryRun>,
    /// True if a run is in progress.
    pub is_running: bool,
    /// The runs of the last 30 days that have ended.
    ended: Vec<BriefRun>,
    /// The newest slots, whatever became of them.
    recent: Vec<BriefRun>,
}

impl JobHistory {
    /// Reads the history of `job`; without a store it is empty.
    pub fn read(store: Option<&Store>, job: &str, now: Timestamp) -> Result<Self> {
        Ok(Self::read_all(store, &[job], now)?.pop().unwrap_or_default())
    }

    /// Reads the history of each of several jobs, as many as [`JOBS_AT_ONCE`].
    pub fn read_all(store: Option<&Store>, jobs: &[&str], now: Timestamp) -> Result<Vec<Self>> {
        let Some(store) = store else {
            return Ok(jobs.iter().map(|_| Self::default()).collect());
        };
        let runs = store.brief_runs_of(jobs, RUNS_MAX)?;
        let mut all: Vec<_> = runs.into_iter().map(|runs| Self::of(runs, now)).collect();
        let newest: Vec<_> = all.iter().filter_map(|(_, newest)| *newest).collect();
        let mut newest: BTreeMap<_, _> =
            store.runs_with(&newest)?.into_iter().map(|run| (run.id, run)).collect();
        for (history, id) in &mut all {
            history.last = id.and_then(|id| newest.remove(&id));
        }
        Ok(all.into_iter().map(|(history, _)| history).collect())
    }

    /// Returns the history that these runs make, the newest first, and the number of the last run.
    fn of(all: Vec<BriefRun>, now: Timestamp) -> (Self, Option<i64>) {
        let since = now.checked_sub((RATE_DAYS * 24).hours()).unwrap_or(Timestamp::MIN);
        let is_over = |run: &&BriefRun| {
            !matches!(run.state, RunState::Skipped | RunState::Waiting | RunState::Running)
        };
        let is_recent = |run: &&BriefRun| run.at().is_some_and(|at| at >= since);
        let last = all.iter().find(|run| run.state == RunState::Running || is_over(run));
        let last = last.map(|run| run.id);
        let history = Self {
            last: None,
            is_running: all.iter().any(|run| run.state == RunState::Running),
            ended: all.iter().filter(is_over).filter(is_recent).copied().collect(),
            recent: all.into_iter().take(RECENT_SLOTS).collect(),
        };
        (history, last)
    }

    /// Returns the number of runs of the last 30 days that have ended.
    pub fn ended(&self) -> usize {
        self.ended.len()
    }

    fn succeeded_runs(&self) -> impl Iterator<Item = &BriefRun> {
        self.ended.iter().filter(|run| run.state == RunState::Done)
    }

    /// Returns the number of those that did everything.
    pub fn succeeded(&self) -> usize {
        self.succeeded_runs().count()
    }

    /// Returns the median duration in seconds of the last successful runs, and of those before.
    pub fn durations(&self) -> (Option<f64>, Option<f64>) {
        let all: Vec<f64> = self.succeeded_runs().filter_map(BriefRun::seconds).collect();
        let (recent, before) = all.split_at(RECENT_RUNS.min(all.len()));
        (median(recent), median(before))
    }

    /// Returns the overview of `job`, whose history this is.
    pub fn overview(
        &self,
        job: &Job,
        state: Option<&JobStateRecord>,
        now: Timestamp,
    ) -> JobOverview {
        let schedule = job.schedule.as_ref();
        let (seconds, seconds_before) = self.durations();
        JobOverview {
            job: job.name.to_string(),
            description: job.description.clone(),
            tags: job.tags.clone(),
            enabled: job.enabled,
            schedule: schedule.map(Schedule::text),
            timezone: schedule.map(|schedule| schedule.zone.name.clone()),
            after: job.after.iter().map(ToString::to_string).collect(),
            files: job.files.as_ref().map(FileTrigger::words),
            next: job
                .active_schedule()
                .and_then(|schedule| schedule.next(now))
                .map(|slot| slot.at.to_string()),
            paused: state.is_some_and(|state| state.paused_at.is_some()),
            pause_reason: state.and_then(|state| state.pause_reason.clone()),
            running: self.is_running,
            last: self.last.as_ref().map(|run| LastRun {
                run: run.id,
                outcome: run.state.as_str(),
                at: run.ended_at.or(run.started_at).map(|at| at.to_string()),
                error: run.sum.error.clone(),
            }),
            last_success: state.and_then(|state| state.last_success).map(|at| at.to_string()),
            late_since: late_since(job, state, now).map(|at| at.to_string()),
            runs_30d: self.ended(),
            succeeded_30d: self.succeeded(),
            seconds,
            seconds_before,
            recent: self.recent.iter().map(RecentSlot::of).collect(),
        }
    }
}

impl RecentSlot {
    fn of(run: &BriefRun) -> Self {
        Self {
            run: run.id,
            outcome: run.state.as_str(),
            at: run.at().map(|at| at.to_string()),
            seconds: run.seconds(),
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_of_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
