//! `portolan jobs`: all jobs with their schedules, last results and next runs.

use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::{
    ExitResult,
    common::Common,
    next::{rough, when},
    place::{JobsFile, failed},
    report,
    table::{TextTable, width},
    times::local,
};
use crate::{
    clock::Clock,
    error::{ErrorKind, Result},
    exit_code::Exit,
    observe::{format_duration, visible::visible},
    schedule::jobs::Job,
    store::{
        Store,
        history::{HistoryRun, JobStateRecord, RunFilter, RunState},
    },
};

/// The arguments of `portolan jobs`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    jobs: JobsFile,
}

const HELP: &str = "\
Examples:
    portolan jobs
    portolan jobs --json | jq -r '.[] | select(.last.outcome == \"failed\").job'";

/// The days over which the success rate is computed.
const RATE_DAYS: i64 = 30;
/// The maximum number of runs that are looked at for each job.
const RUNS_MAX: u32 = 1000;
/// The number of newest runs that are looked at whatever their age.
const NEWEST_RUNS: u32 = 5;
/// The number of runs whose durations are compared with those before.
const RECENT_RUNS: usize = 5;

/// A job as `--json` has it.
#[derive(Debug, Serialize)]
struct JobOverview {
    job: String,
    description: Option<String>,
    /// The expression; `None` for a job that runs after others or when it is triggered.
    schedule: Option<String>,
    timezone: Option<String>,
    /// The jobs whose success it waits for.
    after: Vec<String>,
    next: Option<String>,
    paused: bool,
    pause_reason: Option<String>,
    running: bool,
    last: Option<LastRun>,
    last_success: Option<String>,
    /// The runs of the last 30 days that have ended, and those of them that did everything.
    runs_30d: usize,
    succeeded_30d: usize,
    /// The median duration of the last five successful runs in seconds, and that of those before.
    seconds: Option<f64>,
    seconds_before: Option<f64>,
}

/// The last run of a job.
#[derive(Debug, Serialize)]
struct LastRun {
    run: i64,
    outcome: &'static str,
    at: Option<String>,
    error: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let overview = || -> Result<(Vec<JobOverview>, String)> {
        let now = Clock::System.now();
        let jobs = args.jobs.read()?;
        let store = match args.jobs.store(common) {
            Ok((_, store)) => Some(store),
            // A scheduler that has never run has no history.
            Err(fault) if fault.kind == ErrorKind::NotFound => None,
            Err(fault) => return Err(fault),
        };
        let states = store.as_ref().map_or_else(|| Ok(Vec::new()), Store::job_states)?;
        let mut table = TextTable::new(&["job", "schedule", "last", "next", ">ok 30d", ">took"]);
        let mut all = Vec::new();
        for job in &jobs.all {
            let state = states.iter().find(|state| state.job == *job.name);
            let history = History::read(store.as_ref(), &job.name, now)?;
            table.row(history.row(job, state, now));
            all.push(history.overview(job, state, now));
        }
        Ok((all, table.fitted(width())))
    };
    let (all, table) = overview().map_err(failed)?;
    if common.json() {
        report::json(&all);
    } else if all.is_empty() {
        report::print("the jobs file has no jobs\n");
    } else {
        report::output(&table);
    }
    Ok(Exit::Done)
}

/// The recent runs of a job, the newest first, without those that were skipped.
struct History {
    last: Option<HistoryRun>,
    is_running: bool,
    ended: Vec<HistoryRun>,
}

impl History {
    fn read(store: Option<&Store>, job: &str, now: Timestamp) -> Result<Self> {
        let since = now.checked_sub((RATE_DAYS * 24).hours()).ok();
        let filter =
            RunFilter { job: Some(job.to_owned()), since, most: RUNS_MAX, ..RunFilter::default() };
        let recent = store.map_or_else(|| Ok(Vec::new()), |store| store.runs_matching(&filter))?;
        // Beyond the window, the last run still counts.
        let newest =
            store.map_or_else(|| Ok(Vec::new()), |store| store.runs(Some(job), NEWEST_RUNS))?;
        let is_run =
            |run: &&HistoryRun| !matches!(run.state, RunState::Skipped | RunState::Waiting);
        let is_running = newest.iter().any(|run| run.state == RunState::Running);
        let last = recent.iter().chain(&newest).find(is_run).cloned();
        let ended = recent.into_iter().filter(|run| {
            !matches!(run.state, RunState::Skipped | RunState::Waiting | RunState::Running)
        });
        Ok(Self { last, is_running, ended: ended.collect() })
    }

    fn succeeded(&self) -> impl Iterator<Item = &HistoryRun> {
        self.ended.iter().filter(|run| run.state == RunState::Done)
    }

    /// Returns the median duration of the last successful runs, and of those before.
    fn durations(&self) -> (Option<f64>, Option<f64>) {
        let all: Vec<f64> = self
            .succeeded()
            .filter_map(|run| Some(run.ended_at?.duration_since(run.started_at?).as_secs_f64()))
            .collect();
        let (recent, before) = all.split_at(RECENT_RUNS.min(all.len()));
        (median(recent), median(before))
    }

    fn row(&self, job: &Job, state: Option<&JobStateRecord>, now: Timestamp) -> Vec<String> {
        let schedule = job.schedule.as_ref().map_or_else(
            || when(job),
            |schedule| format!("{} ({})", schedule.expression.text(), schedule.zone.name),
        );
        let last = self.last.as_ref().map_or_else(String::new, |run| {
            let at = run.ended_at.or(run.started_at).map(local).unwrap_or_default();
            format!("{} {at}", run.state.as_str())
        });
        let next = job.schedule.as_ref().and_then(|schedule| schedule.next(now));
        let is_paused = state.is_some_and(|state| state.paused_at.is_some());
        let next = match (is_paused, next) {
            (true, _) => {
                let reason = state.and_then(|state| state.pause_reason.as_ref());
                let reason = reason.map(|reason| format!(": {}", visible(reason)));
                format!("paused{}", reason.unwrap_or_default())
            }
            (false, Some(slot)) => {
                let seconds = slot.at.duration_since(now).as_secs();
                format!("{} (in {})", local(slot.at), rough(seconds))
            }
            (false, None) => String::new(),
        };
        let next = if self.is_running { format!("running now; {next}") } else { next };
        let count = self.ended.len();
        let rate = (self.succeeded().count() * 100).checked_div(count);
        let rate = rate.map(|rate| format!("{rate}% of {count}")).unwrap_or_default();
        vec![
            visible(&*job.name),
            schedule,
            last,
            next.trim_end_matches([';', ' ']).to_owned(),
            rate,
            trend(self.durations()),
        ]
    }

    fn overview(&self, job: &Job, state: Option<&JobStateRecord>, now: Timestamp) -> JobOverview {
        let schedule = job.schedule.as_ref();
        let (seconds, seconds_before) = self.durations();
        JobOverview {
            job: job.name.to_string(),
            description: job.description.clone(),
            schedule: schedule.map(|schedule| schedule.expression.text().to_owned()),
            timezone: schedule.map(|schedule| schedule.zone.name.clone()),
            after: job.after.iter().map(ToString::to_string).collect(),
            next: schedule.and_then(|schedule| schedule.next(now)).map(|slot| slot.at.to_string()),
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
            runs_30d: self.ended.len(),
            succeeded_30d: self.succeeded().count(),
            seconds,
            seconds_before,
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Returns the usual duration, with its change if that is more than half of it.
fn trend((recent, before): (Option<f64>, Option<f64>)) -> String {
    let Some(recent) = recent else { return String::new() };
    let took = format_duration(std::time::Duration::try_from_secs_f64(recent).unwrap_or_default());
    match before {
        Some(before) if before > 0.0 && recent > before * 1.5 => format!("{took}, slower"),
        Some(before) if recent * 1.5 < before => format!("{took}, faster"),
        _ => took,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_usual_duration_is_told_when_it_is_large() {
        assert_eq!(trend((None, None)), "");
        assert_eq!(trend((Some(12.0), None)), "12.0 s");
        assert_eq!(trend((Some(12.0), Some(11.0))), "12.0 s");
        assert_eq!(trend((Some(12.0), Some(4.0))), "12.0 s, slower");
        assert_eq!(trend((Some(4.0), Some(12.0))), "4.0 s, faster");
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
