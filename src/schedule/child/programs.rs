//! Programs before and after the work of an attempt: `before`, `after` and `finally` of a job.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::attempt_spec::AttemptSpec;
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result, codes::PROGRAM_FAILED},
    exit_code::Exit,
    observe::{EventEmitter, MessageLevel, visible::visible},
    script::{
        secrets::OWN_VARIABLES,
        supervised::{OutputStream, ProgramStream, Supervision},
    },
};

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
    /// The directory for temporary files of a confined run, in which it may write.
    pub temp: Option<&'c Path>,
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
            .envs(self.temp.map(|temp| ("TMPDIR", temp)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(cannot)?)
            .stderr(writer);
        let child = command.spawn().map_err(cannot)?;
        // The parent's copies of the writing end are closed with the command.
        drop(command);
        // It stays in the group of the run, and what it starts in the background may serve the work.
        let rules = Supervision { name: &shown, timeout: None, stop, is_group: false };
        let mut last = String::new();
        let both: ProgramStream = (OutputStream::Output, Box::new(reader));
        let status = rules.wait(child, vec![both], |_, line| {
            let line = visible(line.trim_ascii_end());
            self.observer.message(MessageLevel::Info, format!("{shown}: {line}"));
            last = line;
            Ok(())
        })?;
        stop.check()?;
        if status.success() {
            return Ok(());
        }
        let last = if last.is_empty() { last } else { format!(": {last}") };
        Err(failure(format!("`{shown}` failed ({status}){last}")))
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
