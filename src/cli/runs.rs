//! `portolan runs`: lists the runs, with their times and results.

use std::io::{self, IsTerminal};

use serde_json::Value;

use super::{
    ExitResult,
    common::Common,
    place::{JOBS_FILE, failed},
    report,
    store::JobsStore,
    table::{TextTable, width},
    times::local,
};
use crate::{
    clock::Clock,
    error::Result,
    exit_code::Exit,
    observe::{format_duration, format_size, visible::visible},
    schedule::{facts, moments::past},
    store::history::{HistoryRun, RunFilter, RunState},
};

/// The arguments of `portolan runs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only runs of this job
    job: Option<String>,
    /// Number of runs to show (newest first)
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: u32,
    /// Show only runs since: 2026-03-08, "2026-03-08 02:30", 2026-03-08T07:00:00Z, yesterday, "yesterday 22:00", 02:30, or 24h for the last 24 hours
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// Show only runs before
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Show only runs that failed, in full or in part
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    jobs: JobsStore,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let found = || -> Result<Vec<HistoryRun>> {
        // A scheduler that has never run has no runs.
        let Some((_, store)) = args.jobs.store_if_any(common)? else { return Ok(Vec::new()) };
        let now = Clock::System.now();
        let time = |text: &Option<String>| text.as_deref().map(|text| past(text, now)).transpose();
        let runs = store.runs_matching(&RunFilter {
            job: args.job.clone(),
            since: time(&args.since)?,
            until: time(&args.until)?,
            failed: args.failed,
            most: args.limit,
            ..RunFilter::default()
        })?;
        if let Some(job) = args.job.as_ref().filter(|_| runs.is_empty()) {
            args.jobs.know(job, &store)?;
        }
        Ok(runs)
    };
    let runs = found().map_err(failed)?;
    // Users look for the runs of a scheduler in the wrong directory.
    let is_named = common.named_state_folder().is_some() || args.jobs.names_store();
    let is_here = is_named || args.jobs.path().exists();
    if !is_here && !common.json() && io::stderr().is_terminal() {
        report::print(&format!("no {JOBS_FILE} here: runs of scripts that were started by hand\n"));
    }
    if common.json() {
        let all: Vec<Value> = runs.iter().map(facts::run).collect();
        report::json(&all);
    } else if runs.is_empty() {
        let is_filtered = args.failed || args.since.is_some() || args.until.is_some();
        report::print(if is_filtered { "no such runs\n" } else { "no runs yet\n" });
    } else {
        report::runs(&table(&runs));
    }
    Ok(Exit::Done)
}

fn table(runs: &[HistoryRun]) -> String {
    let heads = [">run", "job", "due", "outcome", ">took", ">files", ">size", "way", "note"];
    let mut table = TextTable::new(&heads);
    for run in runs {
        table.row([
            run.id.to_string(),
            visible(&run.job),
            due(run),
            run.state.as_str().to_owned(),
            took(run),
            count(run),
            size(run),
            run.sum.route.clone().unwrap_or_default(),
            note(run),
        ]);
    }
    table.fitted(width())
}

/// Returns the time at which it was due, or its start for a run without a slot.
fn due(run: &HistoryRun) -> String {
    run.scheduled_for.or(run.started_at).map(local).unwrap_or_default()
}

pub(super) fn took(run: &HistoryRun) -> String {
    let times = run.started_at.zip(run.ended_at).filter(|_| run.state != RunState::Skipped);
    let took = times.and_then(|(start, end)| end.duration_since(start).try_into().ok());
    took.map(format_duration).unwrap_or_default()
}

fn count(run: &HistoryRun) -> String {
    if run.attempts == 0 { String::new() } else { run.sum.files.to_string() }
}

fn size(run: &HistoryRun) -> String {
    let bytes = u64::try_from(run.sum.bytes).unwrap_or(0);
    if run.attempts == 0 { String::new() } else { format_size(bytes) }
}

/// Returns the remarks on a run: its error or the reason for skipping it, the number of attempts, a late start, a
/// fallback.
fn note(run: &HistoryRun) -> String {
    let mut parts: Vec<String> = Vec::new();
    if run.attempts > 1 {
        parts.push(format!("{} attempts", run.attempts));
    }
    if run.cause.as_str() != "schedule" {
        parts.push(run.cause.as_str().to_owned());
    }
    if run.covers > 1 {
        parts.push(format!("for {} slots", run.covers));
    }
    if run.fallbacks > 0 {
        parts.push("fell back".to_owned());
    }
    parts.extend(run.sum.error.as_ref().or(run.reason.as_ref()).map(visible));
    parts.join(", ")
}
