//! `portolan trigger`: asks the scheduler to run a job now, or past slots of it.

mod backfill;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::json;

use super::{
    ExitResult,
    common::Common,
    place::failed,
    report,
    store::{self, JobsStore, is_served},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    limits::TRIGGER_TIME_MAX,
    observe::counted,
    schedule::{facts, slot::SlotId},
    store::{
        Store,
        history::{HistoryRun, RunState},
    },
};

/// The arguments of `portolan trigger`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Job to run
    job: String,
    /// Wait for the run to end and exit with its code
    #[arg(long)]
    wait: bool,
    /// Argument of the job that replaces its own in this run; may be repeated
    #[arg(long = "arg", value_name = "KEY=VALUE")]
    values: Vec<String>,
    /// Run a past slot of the job: 2026-03-08T07:00:00Z, or 2026-03-08T02:30 in the job's time zone
    #[arg(long, value_name = "T", conflicts_with_all = ["from", "to"])]
    slot: Option<String>,
    /// Run every past slot from this time on, the oldest first
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// With --from: the end of that time, inclusive [default: now]
    #[arg(long, value_name = "T", requires = "from")]
    to: Option<String>,
    #[command(flatten)]
    jobs: JobsStore,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    ask(args, common).map_err(failed)
}

fn ask(args: &Args, common: &Common) -> Result<Exit> {
    let mut store = args.jobs.open(common)?;
    // Schedulers of other hosts have other state folders.
    let state = if store.is_shared() { PathBuf::new() } else { args.jobs.state(common)? };
    args.jobs.know(&args.job, &store)?;
    let now = store::now(&store)?;
    let (slots, given) = (backfill::slots(args, now)?, backfill::arguments(args)?);
    let is_there = is_served(&state, &store)?;
    let on = if store.is_shared() { store.place() } else { state.display().to_string() };
    if args.wait && !is_there {
        // Success would be reported for a run that no scheduler starts.
        let (job, state) = (&args.job, on);
        return Err(Error::invalid(format!(
            "no scheduler is running on {state}, so there is nothing to wait for: `portolan serve` starts one, and \
             `portolan run --job {job}` runs it here"
        )));
    }
    let asked = store.ask_for(&args.job, given.as_deref(), &slots, now)?;
    if !is_there {
        tell_asked(args, common);
        let what = if asked.len() == 1 { "a run" } else { "runs" };
        report::print(&format!(
            "asked for {what} of `{}`; no scheduler is running on {on}, so it begins when `portolan serve` does\n",
            args.job
        ));
        return Ok(Exit::Done);
    }
    if let [asked_at] = asked[..] {
        return follow(args, common, &store, &state, asked_at);
    }
    if !args.wait {
        tell_asked(args, common);
        report::print(&format!("requested {} of `{}`\n", counted(asked.len(), "run"), args.job));
        return Ok(Exit::Done);
    }
    let mut worst = Exit::Done;
    for asked_at in asked {
        let exit = follow(args, common, &store, &state, asked_at)?;
        if worst == Exit::Done {
            worst = exit;
        }
    }
    Ok(worst)
}

fn tell_asked(args: &Args, common: &Common) {
    if common.json() {
        report::json(&json!({ "job": args.job, "id": null, "outcome": "asked" }));
    }
}

/// Waits until the run of a request begins, and with `--wait` until it ends.
fn follow(
    args: &Args,
    common: &Common,
    store: &Store,
    state: &Path,
    asked_at: Timestamp,
) -> Result<Exit> {
    let slot = SlotId::Asked(asked_at).to_string();
    let find = |store: &Store| store.run_of_request(&args.job, &slot);
    // One of several waits for those before it.
    let time = (!args.wait || args.from.is_none()).then_some(TRIGGER_TIME_MAX);
    let started = wait_for(store, time, |store| {
        let found = find(store)?;
        let is_served = found.is_some() || time.is_some() || is_served(state, store)?;
        if is_served { Ok(found) } else { Err(gone(None)) }
    })?;
    let Some(run) = started else {
        tell_asked(args, common);
        report::print("requested; the scheduler has not started it yet: see `portolan runs`\n");
        return Ok(Exit::Done);
    };
    if !args.wait {
        if common.json() {
            report::json(&facts::run(&run));
        } else {
            report::output(&format!("run {} of `{}` is {}\n", run.id, run.job, run.state.as_str()));
        }
        return Ok(Exit::Done);
    }
    let is_over = |run: &HistoryRun| !matches!(run.state, RunState::Waiting | RunState::Running);
    let ended = wait_for(store, None, |store| {
        if let Some(run) = store.run(run.id)?.filter(is_over) {
            return Ok(Some(run));
        }
        if is_served(state, store)? {
            return Ok(None);
        }
        // Checked once more: the end may have been the last thing that the scheduler wrote.
        store.run(run.id)?.filter(is_over).ok_or_else(|| gone(Some(run.id))).map(Some)
    })?;
    let Some(run) = ended else { return Ok(Exit::Done) };
    if common.json() {
        report::json(&facts::run(&run));
    } else {
        let error = run.sum.error.as_ref().or(run.reason.as_ref());
        let error = error.map(|error| format!(": {error}")).unwrap_or_default();
        report::output(&format!(
            "run {} of `{}` is {}{error}\n",
            run.id,
            run.job,
            run.state.as_str()
        ));
    }
    Ok(code(&run))
}

/// Returns the error for a scheduler that has ended while a run is awaited.
fn gone(run: Option<i64>) -> Error {
    let what =
        run.map_or_else(|| "a requested run began".into(), |run| format!("run {run} finished"));
    let message = format!(
        "the scheduler exited before {what}; the next scheduler handles it according to `misfire`"
    );
    Error::new(ErrorKind::Interrupted, Origin::Here, message)
}

/// Returns the exit code of the run's process, or one for its state.
fn code(run: &HistoryRun) -> Exit {
    match run.state {
        RunState::Done => Exit::Done,
        RunState::Partial => Exit::InPart,
        RunState::Interrupted => Exit::Interrupted,
        // The process was killed for exceeding its time; its exit code is not the reason for the failure.
        _ if run.sum.error_kind.as_deref() == Some("timeout") => Exit::Later,
        _ => {
            let code = run.sum.exit_code.and_then(Exit::of_run);
            code.filter(|code| *code != Exit::Done).unwrap_or(Exit::Later)
        }
    }
}

/// Polls the store until `ask` returns a value or `time` has passed.
fn wait_for<T>(
    store: &Store,
    time: Option<Duration>,
    ask: impl Fn(&Store) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask(store)? {
            return Ok(Some(answer));
        }
        if time.is_some_and(|time| begun.elapsed() >= time) {
            return Ok(None);
        }
        let (_keep, silent) = std::sync::mpsc::channel::<()>();
        silent.recv_timeout(Duration::from_millis(100)).ok();
    }
}
