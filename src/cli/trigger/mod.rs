//! `portolan trigger`: asks the scheduler to run a job now, or past slots of it.

mod backfill;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    ExitResult,
    common::Common,
    flags::time,
    place::failed,
    report,
    store::{self, JobsStore, is_served},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    limits::{TRIGGER_BEGIN_TIME, TRIGGER_TIME_MAX},
    observe::{counted, format_duration},
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
    /// With --wait: time for the scheduler to take up the request, then exit code 4 [default: 10m]
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = time)]
    begin_within: Option<Duration>,
    /// Follow an earlier request (`request` of `trigger --json`) instead of making one
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["values", "slot", "from", "to"], value_parser = request)]
    request: Option<String>,
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

/// Parses the key of a request, which is the slot of its run.
fn request(text: &str) -> std::result::Result<String, String> {
    match text.parse() {
        Ok(SlotId::Asked(_)) => Ok(text.to_owned()),
        _ => Err("the `request` that `trigger --json` has printed is wanted".to_owned()),
    }
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
    let requests = if let Some(request) = &args.request {
        vec![request.clone()]
    } else {
        let asked = store.ask_for(&args.job, given.as_deref(), &slots, now)?;
        asked.into_iter().map(|at| SlotId::Asked(at).to_string()).collect()
    };
    if !is_there && args.request.is_none() {
        tell_asked(args, common, &requests);
        let what = if requests.len() == 1 { "a run" } else { "runs" };
        report::print(&format!(
            "asked for {what} of `{}`; no scheduler is running on {on}, so it begins when `portolan serve` does\n",
            args.job
        ));
        return Ok(Exit::Done);
    }
    let follower = RunFollower { store: &store, state: &state };
    if let [request] = &requests[..] {
        return follow(args, common, &follower, request);
    }
    if !args.wait {
        tell_asked(args, common, &requests);
        report::print(&format!("requested {} of `{}`\n", counted(requests.len(), "run"), args.job));
        return Ok(Exit::Done);
    }
    let mut worst = Exit::Done;
    for request in &requests {
        let exit = follow(args, common, &follower, request)?;
        if worst == Exit::Done {
            worst = exit;
        }
    }
    Ok(worst)
}

fn tell_asked(args: &Args, common: &Common, requests: &[String]) {
    if !common.json() {
        return;
    }
    let asked = json!({ "job": args.job, "id": null, "outcome": "asked" });
    report::json(&match requests {
        [request] => with(asked, json!({ "request": request })),
        _ => asked,
    });
}

/// Returns a document with more fields.
fn with(mut document: Value, more: Value) -> Value {
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

/// Waits until the run of a request begins, and with `--wait` until it ends.
fn follow(args: &Args, common: &Common, follower: &RunFollower<'_>, request: &str) -> Result<Exit> {
    let begin_within = args.begin_within.unwrap_or(TRIGGER_BEGIN_TIME);
    // One of several waits for those before it.
    let patience = args.from.is_none().then_some(begin_within);
    let time = if args.wait { patience } else { Some(TRIGGER_TIME_MAX) };
    let started = wait_for(time, || {
        let find = || follower.store.run_of_request(&args.job, request);
        let found = find()?;
        // Where all machines of a fleet are away, one may be on its way.
        let is_hopeless =
            || Ok(args.wait && !follower.store.is_shared() && !follower.is_served()?);
        if found.is_some() || !is_hopeless()? {
            return Ok(found);
        }
        // Checked once more: it may have been the last thing that the scheduler took up.
        find()?.ok_or_else(|| gone(None)).map(Some)
    })?;
    let Some(run) = started else {
        tell_asked(args, common, &[request.to_owned()]);
        if !args.wait {
            report::print("requested; the scheduler has not started it yet: see `portolan runs`\n");
            return Ok(Exit::Done);
        }
        report::print(&format!(
            "no scheduler has taken up the request within {}; it is kept, and `--request {request}` follows it\n",
            format_duration(begin_within)
        ));
        return Ok(Exit::Later);
    };
    if !args.wait {
        if common.json() {
            let lease = follower.lease()?.map(|lease| lease.as_secs_f64());
            let more = json!({ "request": request, "lease_s": lease });
            report::json(&with(facts::run(&run), more));
        } else {
            report::output(&format!("run {} of `{}` is {}\n", run.id, run.job, run.state.as_str()));
        }
        return Ok(Exit::Done);
    }
    let run = follower.end(run.id)?;
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

/// A follower of runs: the store of a scheduler, and its state directory.
struct RunFollower<'s> {
    store: &'s Store,
    state: &'s Path,
}

impl RunFollower<'_> {
    fn is_served(&self) -> Result<bool> {
        is_served(self.state, self.store)
    }

    /// Returns the longest lease of the machines of a fleet; `None` without a fleet.
    fn lease(&self) -> Result<Option<Duration>> {
        if !self.store.is_shared() {
            return Ok(None);
        }
        let longest = self.store.workers()?.iter().map(|worker| worker.lease_ms).max();
        Ok(longest.and_then(|lease| u64::try_from(lease).ok()).map(Duration::from_millis))
    }

    /// Waits until a run has ended. In a fleet a run that was interrupted goes on elsewhere as soon as the leader has seen it,
    /// or the machine that leads next: it has ended if it stays interrupted for two leases.
    fn end(&self, id: i64) -> Result<HistoryRun> {
        let is_over =
            |run: &HistoryRun| !matches!(run.state, RunState::Waiting | RunState::Running);
        let mut lease = self.lease()?;
        let mut interrupted: Option<(i64, Instant)> = None;
        let ended = wait_for(None, || {
            let run = self.store.run(id)?.filter(is_over);
            let is_broken_off = |run: &HistoryRun| {
                run.state == RunState::Interrupted
                    && run.sum.error_kind.as_deref() == Some("interrupted")
            };
            let Some(run) = run else {
                interrupted = None;
                if self.is_served()? {
                    return Ok(None);
                }
                // Checked once more: the end may have been the last thing that the scheduler wrote.
                return self.store.run(id)?.filter(is_over).ok_or_else(|| gone(Some(id))).map(Some);
            };
            if !is_broken_off(&run) {
                return Ok(Some(run));
            }
            lease = self.lease()?.or(lease);
            let Some(lease) = lease else { return Ok(Some(run)) };
            let (_, since) = interrupted
                .filter(|(attempts, _)| *attempts == run.attempts)
                .unwrap_or((run.attempts, Instant::now()));
            interrupted = Some((run.attempts, since));
            Ok((since.elapsed() >= 2 * lease).then_some(run))
        })?;
        ended.ok_or_else(|| gone(Some(id)))
    }
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
    time: Option<Duration>,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if time.is_some_and(|time| begun.elapsed() >= time) {
            return Ok(None);
        }
        let (_keep, silent) = std::sync::mpsc::channel::<()>();
        silent.recv_timeout(Duration::from_millis(100)).ok();
    }
}
