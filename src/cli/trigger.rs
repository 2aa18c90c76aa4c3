//! `portolan trigger`: asks the scheduler to run a job now.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    ExitResult,
    common::Common,
    place::{JobsFile, failed, scheduler},
    report,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    limits::TRIGGER_TIME_MAX,
    schedule::{facts, slot::SlotId},
    store::{
        self, Store,
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
    #[command(flatten)]
    jobs: JobsFile,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    ask(args, common).map_err(failed)
}

fn ask(args: &Args, common: &Common) -> Result<Exit> {
    let state = args.jobs.state(common)?;
    store::make_folder(&state)?;
    let mut store = Store::open(&state)?;
    args.jobs.know(&args.job, &store)?;
    let asked_at = store.ask(&args.job, Clock::System.now())?;
    if scheduler(&state).is_none() {
        if common.json() {
            report::json(&json!({ "job": args.job, "id": null, "outcome": "asked" }));
        }
        report::print(&format!(
            "asked for a run of `{}`; no scheduler is running on {}, so it begins when `portolan serve` does\n",
            args.job,
            state.display()
        ));
        return Ok(Exit::Done);
    }
    let slot = SlotId::Asked(asked_at).to_string();
    let find = |store: &Store| -> Result<Option<HistoryRun>> {
        let runs = store.runs(Some(&args.job), 100)?;
        Ok(runs.into_iter().find(|run| run.slot.as_deref() == Some(&slot)))
    };
    let started = wait_for(&store, Some(TRIGGER_TIME_MAX), |store| find(store))?;
    let Some(run) = started else {
        if common.json() {
            report::json(&json!({ "job": args.job, "id": null, "outcome": "asked" }));
        }
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
    let ended = wait_for(&store, None, |store| {
        if let Some(run) = store.run(run.id)?.filter(is_over) {
            return Ok(Some(run));
        }
        if scheduler(&state).is_some() {
            return Ok(None);
        }
        // Checked once more: the end may have been the last thing that the scheduler wrote.
        let message = format!(
            "the scheduler exited before run {} finished; the next scheduler handles it according to `misfire`",
            run.id
        );
        let gone = || Error::new(ErrorKind::Interrupted, Origin::Here, message);
        store.run(run.id)?.filter(is_over).ok_or_else(gone).map(Some)
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
        let (_keep, nobody) = std::sync::mpsc::channel::<()>();
        nobody.recv_timeout(Duration::from_millis(100)).ok();
    }
}
