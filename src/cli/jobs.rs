//! `portolan jobs`: all jobs with their schedules, last results and next runs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    ExitResult,
    common::Common,
    next::{rough, when},
    place::failed,
    report,
    store::JobsStore,
    table::{TextTable, width},
    times::local,
};
use crate::{
    clock::Clock,
    error::Result,
    exit_code::Exit,
    observe::{format_duration, visible::visible},
    schedule::{
        expected::late_since,
        jobs::Job,
        overview::{JOBS_AT_ONCE, JobHistory, JobOverview},
    },
    store::{Store, history::JobStateRecord},
};

/// The arguments of `portolan jobs`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Show only jobs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    #[command(flatten)]
    jobs: JobsStore,
}

const HELP: &str = "\
Examples:
    portolan jobs
    portolan jobs --json | jq -r '.[] | select(.last.outcome == \"failed\").job'";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let overview = || -> Result<(Vec<JobOverview>, String)> {
        let now = Clock::System.now();
        let jobs = args.jobs.read()?;
        // A scheduler that has never run has no history.
        let store = args.jobs.store_if_any(common)?.map(|(_, store)| store);
        let states = store.as_ref().map_or_else(|| Ok(Vec::new()), Store::job_states)?;
        let states: BTreeMap<_, _> =
            states.into_iter().map(|state| (state.job.clone(), state)).collect();
        let mut table = TextTable::new(&["job", "schedule", "last", "next", ">ok 30d", ">took"]);
        let mut all = Vec::new();
        let has_tag = |job: &Job| args.tag.as_ref().is_none_or(|tag| job.tags.contains(tag));
        let chosen: Vec<_> = jobs.all.iter().filter(|job| has_tag(job)).collect();
        for part in chosen.chunks(JOBS_AT_ONCE) {
            let names: Vec<&str> = part.iter().map(|job| &*job.name).collect();
            let histories = JobHistory::read_all(store.as_ref(), &names, now)?;
            for (job, history) in part.iter().zip(histories) {
                let state = states.get(&*job.name);
                table.row(row(&history, job, state, now));
                all.push(history.overview(job, state, now));
            }
        }
        Ok((all, table.fitted(width())))
    };
    let (all, table) = overview().map_err(failed)?;
    if common.json() {
        report::json(&all);
    } else if all.is_empty() {
        report::print("the jobs file has no jobs\n");
    } else {
        report::runs(&table);
    }
    Ok(Exit::Done)
}

/// Returns the row of a job in the table.
fn row(
    history: &JobHistory,
    job: &Job,
    state: Option<&JobStateRecord>,
    now: Timestamp,
) -> Vec<String> {
    let schedule = job.schedule.as_ref().map_or_else(
        || when(job),
        |schedule| {
            let files = job.files.as_ref().map(|files| format!("; {}", files.words()));
            let files = files.unwrap_or_default();
            format!("{} ({}){files}", schedule.text(), schedule.zone.name)
        },
    );
    let last = history.last.as_ref().map_or_else(String::new, |run| {
        let at = run.ended_at.or(run.started_at).map(local).unwrap_or_default();
        format!("{} {at}", run.state.as_str())
    });
    let late = late_since(job, state, now).map(|at| format!("; late since {}", local(at)));
    let last = last + late.as_deref().unwrap_or_default();
    let next = job.active_schedule().and_then(|schedule| schedule.next(now));
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
        (false, None) if !job.enabled => "disabled".to_owned(),
        (false, None) if job.files.is_some() => "when a file arrives".to_owned(),
        (false, None) => String::new(),
    };
    let next = if history.is_running { format!("running now; {next}") } else { next };
    let count = history.ended();
    let rate = (history.succeeded() * 100).checked_div(count);
    let rate = rate.map(|rate| format!("{rate}% of {count}")).unwrap_or_default();
    vec![
        visible(&*job.name),
        schedule,
        last.trim_start_matches([';', ' ']).to_owned(),
        next.trim_end_matches([';', ' ']).to_owned(),
        rate,
        trend(history.durations()),
    ]
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
    }
}
