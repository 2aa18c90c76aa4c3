//! `portolan show`: shows all details of one run.

mod follow;

use std::path::Path;

use super::{
    ExitResult, common::Common, place::failed, report, runs::took, store::JobsStore,
    table::TextTable, times::local,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    observe::{counted, format_size, visible::visible},
    schedule::{
        child::log,
        facts,
        shared_log::{self, SharedLog},
    },
    store::{
        Store,
        history::{ArrivedFile, AttemptRecord, FallBack, FileMoved, HistoryRun, Notice},
    },
};

/// The arguments of `portolan show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of the run, as shown by `portolan runs`; `last`, or a job for its last run
    run: String,
    /// Print only the log of the run
    #[arg(long)]
    log: bool,
    /// Print the log as it is written, until the run ends
    #[arg(long, short, conflicts_with = "log")]
    follow: bool,
    #[command(flatten)]
    jobs: JobsStore,
}

/// The maximum number of log lines, and of files, shown by default.
const SHOWN_MAX: usize = 20;

/// The details of a run.
struct Whole {
    run: HistoryRun,
    attempts: Vec<AttemptRecord>,
    files: Vec<FileMoved>,
    fallbacks: Vec<FallBack>,
    notices: Vec<Notice>,
    given: Vec<ArrivedFile>,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let shown = || -> Result<()> {
        let (state, store) = args.jobs.store(common)?;
        let id = number(&args.run, &store, &args.jobs)?;
        if args.follow {
            return follow::follow(&state, &store, id);
        }
        let whole = Whole::read(&store, id)?;
        let path = log::path(&state, &whole.run.job, id);
        let shared = shared_log::read(&store, &whole.run, &path, 0)?;
        if args.log {
            if let Some(shared) = shared {
                let lines = shared.text.lines().map(|line| format!("{}\n", visible(line)));
                report::output(&lines.collect::<String>());
                return Ok(());
            }
            if let Some(elsewhere) = elsewhere(&whole.run, &path) {
                let message = format!("the log of run {id} is {elsewhere}");
                return Err(Error::new(ErrorKind::NotFound, Origin::Here, message));
            }
            let log = std::fs::read_to_string(&path)
                .map_err(|error| Error::local("read the log", &path, error))?;
            report::output(&log);
            return Ok(());
        }
        if common.json() {
            let Whole { run, attempts, files, fallbacks, notices, given } = &whole;
            let mut value = facts::whole(run, attempts, files, fallbacks, notices, given);
            if let Some(value) = value.as_object_mut() {
                let log = path.exists().then(|| path.display().to_string());
                value.insert("log".into(), log.into());
            }
            report::json(&value);
        } else {
            report::output(&whole.text(&path, shared.as_ref()));
        }
        Ok(())
    };
    shown().map_err(failed)?;
    Ok(Exit::Done)
}

/// Returns where the log of a run is, if it is that of another machine.
fn elsewhere(run: &HistoryRun, path: &Path) -> Option<String> {
    shared_log::elsewhere(run).filter(|_| !path.exists())
}

/// Returns the number of the run that `text` means: a number, `last`, or a job.
fn number(text: &str, store: &Store, jobs: &JobsStore) -> Result<i64> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let job = (text != "last").then_some(text);
    let newest = store.runs(job, 1)?.pop();
    if let (None, Some(job)) = (&newest, job) {
        jobs.know(job, store)?;
    }
    newest.map(|run| run.id).ok_or_else(|| {
        let whose = job.map(|job| format!(" of {job}")).unwrap_or_default();
        Error::new(ErrorKind::NotFound, Origin::Here, format!("there is no run{whose} yet"))
    })
}

impl Whole {
    fn read(store: &Store, id: i64) -> Result<Self> {
        let run = store.run(id)?.ok_or_else(|| {
            let message = format!("there is no run {id}; `portolan runs` lists them");
            Error::new(ErrorKind::NotFound, Origin::Here, message)
        })?;
        Ok(Self {
            run,
            attempts: store.attempts(id)?,
            files: store.files(id)?,
            fallbacks: store.fallbacks(id)?,
            notices: store.notices_of(id)?,
            given: store.files_given(id)?,
        })
    }

    fn text(&self, path: &Path, shared: Option<&SharedLog>) -> String {
        let mut parts = vec![self.head(), self.given_text()];
        if self.attempts.len() > 1 {
            parts.push(format!("\n{}", self.attempts_text()));
        }
        parts.extend(self.fallbacks.iter().map(|one| {
            let FallBack { host, from, to, reason, .. } = one;
            let (host, reason) = (visible(host), visible(reason));
            format!("\nfell back from {from} to {to} on {host}: {reason}\n")
        }));
        parts.push(self.files_text());
        parts.extend(self.notices.iter().map(told));
        let elsewhere = match shared {
            Some(_) => shared_log::elsewhere(&self.run),
            None => elsewhere(&self.run, path),
        };
        if let Some(elsewhere) = elsewhere {
            parts.push(format!("\nlog: {elsewhere}\n"));
        }
        let is_shared = shared.is_some();
        let own = || log::tail(path).ok();
        if let Some(log) = shared.map(|shared| shared.text.clone()).or_else(own) {
            if !is_shared {
                parts.push(format!("\nlog ({})\n", path.display()));
            }
            let lines: Vec<_> = log.lines().collect();
            let more = lines.len().saturating_sub(SHOWN_MAX);
            if more > 0 {
                let id = self.run.id;
                let has = if is_shared { "more" } else { "all" };
                parts.push(format!("  … lines before: `portolan show {id} --log` has {has}\n"));
            }
            let shown = lines.iter().skip(more);
            parts.extend(shown.map(|line| format!("  {}\n", visible(line))));
        }
        parts.concat()
    }

    fn head(&self) -> String {
        let run = &self.run;
        let mut lines =
            vec![format!("run {} of {}: {}", run.id, visible(&run.job), run.state.as_str())];
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                lines.push(format!("  {name:<8} {value}"));
            }
        };
        let moved = run.moved_from.as_ref().map(|time| format!(" (moved: there was no {time})"));
        let due = run.scheduled_for.map(local);
        put("due", due.map(|due| due + moved.as_deref().unwrap_or_default()));
        put("by", Some(run.cause.as_str().to_owned()));
        put("began", run.started_at.map(local));
        put("ended", run.ended_at.map(local));
        put("took", Some(took(run)));
        put("covers", (run.covers > 1).then(|| format!("{} slots", run.covers)));
        if run.attempts > 0 {
            put("attempts", Some(run.attempts.to_string()));
            let bytes = format_size(u64::try_from(run.sum.bytes).unwrap_or(0));
            put("moved", Some(format!("{}, {bytes}", counted(run.sum.files, "file"))));
        }
        put("way", run.sum.route.clone());
        put("machine", run.machine.as_ref().map(visible));
        put("why", run.reason.as_ref().map(visible));
        put("error", run.sum.error.as_ref().map(visible));
        put("script", Some(visible(&run.script)));
        lines.join("\n") + "\n"
    }

    /// Returns the files whose arrival has started the run.
    fn given_text(&self) -> String {
        if self.given.is_empty() {
            return String::new();
        }
        let lines = self.given.iter().take(SHOWN_MAX);
        let mut text = "\nfiles that arrived\n".to_owned();
        text.extend(lines.map(|file| format!("  {}\n", visible(file.path()))));
        let rest = self.given.len().saturating_sub(SHOWN_MAX);
        let more = format!("  and {rest} more: `portolan show --json` has all\n");
        text + if rest > 0 { &more } else { "" }
    }

    fn attempts_text(&self) -> String {
        let mut table =
            TextTable::new(&[">attempt", "began", "outcome", ">files", ">size", "way", "error"]);
        for attempt in &self.attempts {
            let error = attempt.sum.error.as_ref().map(|error| {
                if Some(error) == self.run.sum.error.as_ref() {
                    "as above".to_owned()
                } else {
                    visible(error)
                }
            });
            table.row([
                attempt.number.to_string(),
                local(attempt.started_at),
                attempt.state.as_str().to_owned(),
                attempt.sum.files.to_string(),
                format_size(u64::try_from(attempt.sum.bytes).unwrap_or(0)),
                attempt.sum.route.clone().unwrap_or_default(),
                error.unwrap_or_default(),
            ]);
        }
        table.text()
    }

    fn files_text(&self) -> String {
        if self.files.is_empty() {
            return String::new();
        }
        let mut table = TextTable::new(&["file", ">size", "path", "note"]);
        for file in self.files.iter().take(SHOWN_MAX) {
            let note = match &file.error {
                Some(error) => visible(error),
                None if file.verified || file.verb == "delete" => String::new(),
                None => "not verified".to_owned(),
            };
            let bytes = format_size(u64::try_from(file.bytes).unwrap_or(0));
            table.row([file.verb.clone(), bytes, visible(&file.path), note]);
        }
        let more = self.files.len().saturating_sub(SHOWN_MAX);
        let rest = if more > 0 { format!("and {more} more\n") } else { String::new() };
        format!("\n{}{rest}", table.text())
    }
}

fn told(notice: &Notice) -> String {
    let Notice { what, outcome, tries, error, .. } = notice;
    let error = error.as_ref().map(|error| format!(": {}", visible(error))).unwrap_or_default();
    let outcome = outcome.replace('_', " ");
    let tries = counted(tries, "try");
    format!("\n{} by {}: {outcome} after {tries}{error}\n", what.event, what.channel)
}
