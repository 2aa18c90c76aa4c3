//! `portolan replay`: plays a recorded run again, without its servers.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    ExitResult,
    common::{Common, interruptible},
    recording::script_hash,
    report::{self, UsageError},
    run::script,
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::replayed::{ReplayedDials, ReplayedServers},
    limits::REPLAY_TIMEOUT,
    observe::{account::Accounts, visible::visible},
    recording::{RecordedEvent, RecordedFailure, Recording},
    rehearse::replay::{ReplayCourse, ReplayDifference, ReplayServer},
    script::{
        path_recorder::restore,
        run::{JobFacts, Rehearsal, Replay, Settings},
        source::ScriptSource,
    },
};

/// The arguments of `portolan replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Recording, from `portolan run --record`
    file: PathBuf,
    /// Script to play it against [default: the one that the recording names]
    script: Option<PathBuf>,
    /// Arguments of the script in place of the recorded ones; put `--` before any that start with a hyphen
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
}

const HELP: &str = "\
No server is contacted and no local file is written. Exit codes: 0 it went as recorded, 1 it did not.

Examples:
    portolan replay failure.jsonl
    portolan replay failure.jsonl fetch.rhai
    portolan replay --json failure.jsonl";

/// The outcome of a run, as far as two runs can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReplayEnd {
    exit: u8,
    /// The stable code of the error, if it failed.
    error: Option<String>,
}

impl ReplayEnd {
    fn of(exit: u8, failure: Option<&RecordedFailure>) -> Self {
        Self { exit, error: failure.map(|failure| failure.stable_code().to_owned()) }
    }

    fn value(&self) -> Value {
        json!({ "exit": self.exit, "error": self.error })
    }

    fn words(&self) -> String {
        match &self.error {
            Some(error) => format!("exit code {}, {error}", self.exit),
            None => format!("exit code {}", self.exit),
        }
    }
}

/// A replay that is over.
struct FinishedReplay {
    recording: Recording,
    /// True if the script is the recorded one.
    is_same_script: Option<bool>,
    recorded: Option<ReplayEnd>,
    played: ReplayEnd,
    course: ReplayCourse,
    remarks: Vec<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let recording = read(&args.file)?;
        let path = script_path(args, &recording)?;
        let source = ScriptSource::read(&path)?;
        let folder = tempfile::Builder::new().prefix("portolan-replay-").tempdir();
        let folder =
            folder.map_err(|error| Error::local("make a folder", std::env::temp_dir(), error))?;
        let taken = restore(&recording, folder.path())?;
        let server = ReplayServer::start(&recording, hosts(&recording))?;
        let replay = Replay { taken, timeout: waits_in_vain(&recording).then_some(REPLAY_TIMEOUT) };
        let rehearsal = Rehearsal {
            address: server.address(),
            ca_pem: server.ca_pem().to_owned(),
            scratch: folder.path().to_owned(),
            replay: Some(replay),
        };
        let settings = settings(args, common, &recording, rehearsal)?;
        let accounts = Arc::new(Accounts::default());
        let sink = Box::new(Arc::clone(&accounts));
        let mut context = common.replay_context(sink, recording.header.started)?;
        context.memory = Some(Arc::new(ReplayedServers::of(&recording)));
        context.replayed = Some(Arc::new(ReplayedDials::of(&recording)));
        Ok((recording, source, settings, server, folder, context, accounts))
    };
    let (recording, source, settings, server, folder, context, accounts) =
        prepared().map_err(UsageError)?;
    let (stop, is_json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        let exit = script(&source, settings, &context);
        if exit == Exit::Interrupted {
            return Ok(exit);
        }
        let finished = finished(recording, &source, exit, &accounts, server);
        drop::<TempDir>(folder);
        Ok(finished.report(is_json))
    })
}

fn read(path: &Path) -> Result<Recording> {
    let file = File::open(path).map_err(|error| Error::local("open", path, error))?;
    Recording::read(file).map_err(|error| error.at(path.to_string_lossy()))
}

/// Returns the script to run: the one that was given, or the one that the recording names.
fn script_path(args: &Args, recording: &Recording) -> Result<PathBuf> {
    if let Some(script) = &args.script {
        return Ok(script.clone());
    }
    let script = recording.header.script.as_ref().map(|script| PathBuf::from(&script.path));
    let script = script.filter(|script| script.is_file());
    script.ok_or_else(|| {
        let message =
            "the script of the recording is not here: name it, as in `portolan replay FILE SCRIPT`";
        let named = recording.header.script.as_ref().map_or("", |script| script.path.as_str());
        Error::invalid(message).at(named)
    })
}

fn settings(
    args: &Args,
    common: &Common,
    recording: &Recording,
    rehearsal: Rehearsal,
) -> Result<Settings> {
    let header = &recording.header;
    let given = if args.rest.is_empty() { &header.args } else { &args.rest };
    let job =
        JobFacts { name: header.job.clone(), args: header.job_args.clone(), ..JobFacts::default() };
    Ok(Settings {
        args: given.clone(),
        overrides: common.overrides_over(header.options.clone())?,
        rehearsal: Some(rehearsal),
        job,
        ..Settings::default()
    })
}

/// Returns the hosts of the recording, for the certificate of the server.
fn hosts(recording: &Recording) -> Vec<String> {
    let hosts = recording.lines.iter().filter_map(|line| match &line.event {
        RecordedEvent::Dialed { host, .. } => Some(host.clone()),
        _ => None,
    });
    let mut hosts: Vec<_> =
        hosts.filter(|host| host.is_ascii() && !host.contains(['*', ' '])).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Returns true if the recorded run waited for something that did not come.
fn waits_in_vain(recording: &Recording) -> bool {
    recording.failures().any(RecordedFailure::is_timeout)
        || recording.failures().any(|failure| failure.kind == "data_connection")
}

fn finished(
    recording: Recording,
    source: &ScriptSource,
    exit: Exit,
    accounts: &Accounts,
    server: ReplayServer,
) -> FinishedReplay {
    let fault = accounts.account().fault;
    let error = fault.map(|fault| fault.name.unwrap_or(fault.kind));
    let course = server.finish();
    let recorded = recording.outcome().map(|(exit, failure)| ReplayEnd::of(exit, failure));
    let named = recording.header.script.as_ref();
    let is_same_script = named.map(|script| script.sha256 == script_hash(source));
    let mut remarks: Vec<_> = course.remarks.iter().map(|text| (*text).to_owned()).collect();
    if !recording.is_whole {
        remarks
            .push("the recording has no end: the run was killed, its disk was full, or the file was cut off".into());
    }
    if waits_in_vain(&recording) {
        remarks.push("the waits of the recorded run are shortened to three seconds each".into());
    }
    let version = env!("CARGO_PKG_VERSION");
    if recording.header.portolan != version {
        let recorded = visible(recording.header.portolan.as_bytes());
        remarks.push(format!("recorded by portolan {recorded}, played by {version}"));
    }
    FinishedReplay {
        is_same_script,
        recorded,
        played: ReplayEnd { exit: exit.code(), error },
        course,
        remarks,
        recording,
    }
}

impl FinishedReplay {
    /// Returns true if the replay went as the recorded run. Without the end of that one an error of the replay tells nothing:
    /// the server of the replay has no more to say.
    fn is_same(&self) -> bool {
        let is_same_end = match &self.recorded {
            Some(recorded) => *recorded == self.played,
            None => self.played.error.is_none(),
        };
        self.course.difference.is_none() && is_same_end
    }

    /// Prints how it went, and returns the exit code.
    fn report(&self, is_json: bool) -> Exit {
        if is_json {
            report::json(&self.value());
        } else {
            report::output(&self.text());
        }
        if self.is_same() { Exit::Done } else { Exit::Diverged }
    }

    fn value(&self) -> Value {
        let course = &self.course;
        let line = |line: &Option<Vec<u8>>| line.as_deref().map(visible);
        json!({
            "same": self.is_same(),
            "recorded_by": self.recording.header.portolan,
            "recording_is_whole": self.recording.is_whole,
            "script_is_recorded_one": self.is_same_script,
            "sessions": { "played": course.sessions, "recorded": course.recorded_sessions },
            "commands": { "played": course.commands, "recorded": course.recorded_commands },
            "recorded": self.recorded.as_ref().map(ReplayEnd::value),
            "played": self.played.value(),
            "difference": course.difference.as_ref().map(|it| json!({
                "session": it.session,
                "command": it.command,
                "expected": line(&it.expected),
                "got": line(&it.got),
            })),
            "remarks": self.remarks,
        })
    }

    fn text(&self) -> String {
        let course = &self.course;
        let mut lines = Vec::new();
        if self.is_same_script == Some(false) {
            lines.push("the script is not the recorded one".to_owned());
        }
        lines.extend(self.remarks.iter().cloned());
        lines.push(format!(
            "played {} of {} commands in {} of {} sessions",
            course.commands, course.recorded_commands, course.sessions, course.recorded_sessions
        ));
        if let Some(difference) = &course.difference {
            lines.push(words(difference));
        }
        lines.push(match &self.recorded {
            Some(recorded) if *recorded == self.played => {
                format!("ended as recorded: {}", self.played.words())
            }
            Some(recorded) => {
                format!("ended with {}; recorded: {}", self.played.words(), recorded.words())
            }
            None => format!("ended with {}", self.played.words()),
        });
        let verdict = match (self.is_same(), self.recording.is_whole) {
            (true, true) => "it went as recorded",
            (true, false) => "it went as recorded, as far as the recording goes",
            (false, false) if course.difference.is_none() => {
                "it went as recorded, as far as the recording goes, and cannot be compared further"
            }
            (false, _) => "it went another way than recorded",
        };
        lines.push(verdict.to_owned());
        format!("replay: {}\n", lines.join("\nreplay: "))
    }
}

fn words(difference: &ReplayDifference) -> String {
    let ReplayDifference { session, command, expected, got } = difference;
    let quoted = |line: &Option<Vec<u8>>, none: &str| {
        line.as_deref().map_or_else(|| none.to_owned(), |line| format!("`{}`", visible(line)))
    };
    let expected = quoted(expected, "nothing more");
    let got = quoted(got, "nothing");
    format!("session {session}, command {command}: expected {expected}, got {got}")
}
