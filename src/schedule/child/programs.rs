//! Programs before and after the work of an attempt: `before`, `after` and `finally` of a job.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::attempt_spec::AttemptSpec;
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result, codes::PROGRAM_FAILED},
    exit_code::Exit,
    limits::{CHILD_LINE_BYTES_MAX, PROGRAM_TERM_TIME_MAX},
    observe::{EventEmitter, MessageLevel, visible::visible},
    script::secrets::OWN_VARIABLES,
};

/// The interval of looks at a program that writes nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The time in which output may still come after a program has ended: what it started may hold its pipe.
const REST_TIME_MAX: Duration = Duration::from_millis(500);
/// The maximum number of lines that are read and not logged yet.
const LINES_AHEAD: usize = 64;

/// The programs around the work of an attempt, each with its arguments; no shell reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPrograms {
    /// They run before the work, one after another; one that fails ends the attempt.
    pub before: Vec<Vec<String>>,
    /// They run after the work if it has succeeded; one that fails makes the attempt fail.
    pub after: Vec<Vec<String>>,
    /// They run at the end, whatever has happened; a failure is logged.
    pub finally: Vec<Vec<String>>,
}

impl RunPrograms {
    /// Returns true if there is none.
    pub const fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty() && self.finally.is_empty()
    }

    /// Returns the names of the programs, without their arguments.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.before.iter().chain(&self.after).chain(&self.finally);
        all.filter_map(|words| words.first().map(String::as_str))
    }
}

/// The attempt around whose work programs run. The job names them, and that allows them: they are within the limits of
/// its process, and its script may start none of them.
#[derive(Debug)]
pub struct ProgramContext<'c> {
    /// The instructions for the attempt.
    pub spec: &'c AttemptSpec,
    /// The observer, which logs their output.
    pub observer: &'c EventEmitter,
    /// The stop signal.
    pub stop: &'c CancelToken,
}

impl ProgramContext<'_> {
    /// Runs the work between the programs, and returns the exit code of the whole. `failed` shows an error.
    pub fn around(&self, work: impl FnOnce() -> Exit, failed: impl Fn(&Error) -> Exit) -> Exit {
        let programs = &self.spec.programs;
        let each = |all: &[Vec<String>], outcome| {
            all.iter().try_for_each(|program| self.run(program, outcome, self.stop))
        };
        let exit = match each(&programs.before, "") {
            Ok(()) => work(),
            Err(fault) => failed(&fault),
        };
        let exit = if exit == Exit::Done {
            each(&programs.after, word(exit)).map_or_else(|fault| failed(&fault), |()| exit)
        } else {
            exit
        };
        // They clean up after a run that was stopped, too: only the end of its process ends them.
        let unstopped = CancelToken::new();
        for program in &programs.finally {
            if let Err(fault) = self.run(program, word(exit), &unstopped) {
                self.observer.message(MessageLevel::Error, fault.to_string());
            }
        }
        exit
    }

    /// Runs one program and waits for its end. Its output is logged.
    fn run(&self, words: &[String], outcome: &str, stop: &CancelToken) -> Result<()> {
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        stop.check()?;
        let shown = visible(program);
        self.observer.message(MessageLevel::Info, format!("running `{shown}`"));
        let cannot = |error: std::io::Error| failure(format!("cannot run `{shown}`: {error}"));
        let (reader, writer) = std::io::pipe().map_err(cannot)?;
        let spec = self.spec;
        let mut command = Command::new(program);
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("PORTOLAN_JOB", &spec.job)
            .env("PORTOLAN_RUN", spec.run.to_string())
            .env("PORTOLAN_ATTEMPT", spec.attempt.to_string())
            .env("PORTOLAN_SCHEDULED_FOR", &spec.scheduled_for)
            .env("PORTOLAN_TRIGGER", &spec.trigger)
            .env("PORTOLAN_OUTCOME", outcome)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(cannot)?)
            .stderr(writer);
        let child = command.spawn().map_err(cannot)?;
        // The parent's copies of the writing end are closed with the command.
        drop(command);
        // A program that writes faster than the log takes it has to wait.
        let (lines, inbox) = sync_channel(LINES_AHEAD);
        std::thread::Builder::new()
            .name("program".into())
            .spawn(move || read_lines(reader, &lines))
            .map_err(cannot)?;
        self.wait(child, &inbox, &shown, stop)
    }

    fn wait(
        &self,
        mut child: Child,
        inbox: &Receiver<String>,
        shown: &str,
        stop: &CancelToken,
    ) -> Result<()> {
        let (mut last, mut kill_at) = (String::new(), None);
        let mut ended: Option<(ExitStatus, Instant)> = None;
        let status = loop {
            let is_closed = match inbox.recv_timeout(LOOK_INTERVAL) {
                Ok(line) => {
                    let line = visible(line);
                    self.observer.message(MessageLevel::Info, format!("{shown}: {line}"));
                    last = line;
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::park_timeout(LOOK_INTERVAL);
                    true
                }
            };
            match ended {
                // A program that it left in the background may keep the pipe open for ever.
                Some((status, since)) if is_closed || since.elapsed() > REST_TIME_MAX => {
                    break status;
                }
                Some(_) => {}
                None => {
                    let status = child.try_wait();
                    let status = status.map_err(|error| Error::local("wait for", shown, error))?;
                    ended = status.map(|status| (status, Instant::now()));
                    if ended.is_none() && stop.check().is_err() {
                        end(&mut child, &mut kill_at);
                    }
                }
            }
        };
        stop.check()?;
        if status.success() {
            return Ok(());
        }
        let last = if last.is_empty() { last } else { format!(": {last}") };
        Err(failure(format!("`{shown}` failed ({status}){last}")))
    }
}

/// Asks a program to end, and kills it if it has not by `kill_at`.
fn end(child: &mut Child, kill_at: &mut Option<Instant>) {
    match kill_at {
        None => {
            kill_process(Pid::from_child(child), Signal::TERM).ok();
            *kill_at = Some(Instant::now() + PROGRAM_TERM_TIME_MAX);
        }
        Some(at) if Instant::now() >= *at => {
            child.kill().ok();
        }
        Some(_) => {}
    }
}

fn failure(message: String) -> Error {
    Error::new(ErrorKind::Local, Origin::Here, message).with_name(PROGRAM_FAILED)
}

const fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "done",
        Exit::InPart => "partial",
        Exit::Interrupted => "interrupted",
        _ => "failed",
    }
}

/// Sends each line; a line that is too long is split.
fn read_lines(pipe: impl Read, lines: &SyncSender<String>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(CHILD_LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if lines.send(text.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
                    return;
                }
            }
        }
    }
}
