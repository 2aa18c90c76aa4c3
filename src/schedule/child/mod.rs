//! Isolation of runs: each attempt is a separate process, which may loop, crash or be killed without harm to the
//! others.
//!
//! The parent writes an [`attempt_spec::AttemptSpec`] to the child's standard input and keeps it open: the line `drain` asks the
//! child to stop at the next file, and the end of input means that the parent is gone. The child writes its events as
//! lines of JSON; its standard error goes to the run's log.

pub mod attempt_spec;
pub mod drain;
pub mod isolation;
pub mod lease;
pub mod log;
pub mod programs;
pub mod samples;
pub mod verdict;

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use serde_json::Value;

use self::{attempt_spec::AttemptSpec, log::RunLog, samples::ByteSamples};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{CHILD_LINE_BYTES_MAX, CHILD_PIPE_TIME_MAX, CHILD_TAIL_LINES},
    observe::{MessageLevel, account::RunSummary, visible::visible},
};

/// The settings for starting a child.
#[derive(Debug, Clone)]
pub struct ChildSetup {
    /// The program: the current executable.
    pub program: PathBuf,
    /// The working directory: that of the jobs file.
    pub folder: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// True if the environment may have the login of a store that machines share, which is nothing for a run.
    pub is_in_fleet: bool,
}

/// The variables with the login of a store that machines share, which no other process needs.
pub(crate) const STORE_VARIABLES: [&str; 3] = ["PORTOLAN_STORE", "PGPASSWORD", "PGPASSFILE"];

/// A running attempt.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    group: Pid,
    input: Option<ChildStdin>,
    progress: Arc<Mutex<Progress>>,
    readers: Vec<JoinHandle<()>>,
    /// The exit status, and the time at which it was seen.
    status: Option<(ExitStatus, Instant)>,
}

/// The progress of an attempt so far.
#[derive(Debug)]
struct Progress {
    account: RunSummary,
    /// The bytes over time, since `begun`.
    samples: ByteSamples,
    begun: Instant,
    /// The time at which a transfer last progressed.
    moved_at: Instant,
    moves: u64,
    /// The last lines of standard error.
    tail: VecDeque<String>,
    log: RunLog,
    /// The level and the text of the last line of an attempt that has failed. It is written when all of standard error
    /// has been read: the error comes by another pipe, before or after it.
    failure: Option<(String, String)>,
}

/// A view of the progress of a running attempt.
#[derive(Debug, Clone)]
pub struct ChildProgress(Arc<Mutex<Progress>>);

impl ChildProgress {
    /// Returns the bytes over time so far.
    pub fn points(&self) -> Vec<(Duration, u64)> {
        lock(&self.0).samples.points()
    }

    /// Returns the number of files that are complete, and the bytes so far.
    pub fn counts(&self) -> (u64, u64) {
        let progress = lock(&self.0);
        (progress.account.files, progress.samples.bytes())
    }

    /// Returns the account of its work so far, with the bytes of transfers in progress.
    pub fn account(&self) -> RunSummary {
        let progress = lock(&self.0);
        RunSummary { bytes: progress.samples.bytes(), ..progress.account.clone() }
    }
}

/// The result of a finished child process.
#[derive(Debug)]
pub struct EndedAttempt {
    /// The exit code, if it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The account of its work.
    pub account: RunSummary,
    /// The last lines of its standard error.
    pub tail: Vec<String>,
    /// Its log, for further lines.
    pub log: RunLog,
}

impl EndedAttempt {
    /// Returns true if its log has an error already, as it was printed.
    pub fn has_told(&self, error: Option<&str>) -> bool {
        let printed = error.map(|error| format!("error: {}", visible(error)));
        printed.is_some_and(|printed| self.tail.contains(&printed))
    }
}

impl Child {
    /// Starts the process of an attempt, which then waits for its order. `wake` is called when its output ends, which
    /// usually means that it has ended.
    pub fn start(
        start: &ChildSetup,
        script: &Path,
        log: RunLog,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let cannot =
            |error: std::io::Error| Error::local("start a run with", &start.program, error);
        let mut command = Command::new(&start.program);
        command
            .args(["run", "--as-child", "--json", "--state"])
            .arg(&start.state)
            .arg(script)
            .current_dir(&start.folder)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if start.is_in_fleet {
            for name in STORE_VARIABLES {
                command.env_remove(name);
            }
        }
        let process = command.spawn().map_err(cannot)?;
        let group = Pid::from_child(&process);
        let progress = Arc::new(Mutex::new(Progress {
            account: RunSummary::default(),
            samples: ByteSamples::default(),
            begun: Instant::now(),
            moved_at: Instant::now(),
            moves: 0,
            tail: VecDeque::new(),
            log,
            failure: None,
        }));
        let (told, said) = (Arc::clone(&progress), Arc::clone(&progress));
        // From here on the child is killed if something fails.
        let mut child =
            Self { process, group, input: None, progress, readers: Vec::new(), status: None };
        child.input = child.process.stdin.take();
        let reader = || std::thread::Builder::new().name("reader".into());
        if let Some(out) = child.process.stdout.take() {
            let thread = reader().spawn(move || {
                lines(out, |line| lock(&told).tell(line));
                wake();
            });
            child.readers.push(thread.map_err(cannot)?);
        }
        if let Some(errors) = child.process.stderr.take() {
            let thread = reader().spawn(move || lines(errors, |line| lock(&said).say(line)));
            child.readers.push(thread.map_err(cannot)?);
        }
        Ok(child)
    }

    /// Sends it the order: the attempt starts, with `line` in its log.
    pub fn order(&mut self, order: &AttemptSpec, line: &str) {
        lock(&self.progress).log.say(MessageLevel::Info, line);
        if let Some(pipe) = &mut self.input {
            // A child that has already died is detected by its status.
            pipe.write_all(order.line().as_bytes()).ok();
        }
    }

    /// Returns a view of its progress.
    pub fn progress(&self) -> ChildProgress {
        ChildProgress(Arc::clone(&self.progress))
    }

    /// Returns the time since a transfer last progressed.
    pub fn still_for(&self) -> Duration {
        lock(&self.progress).moved_at.elapsed()
    }

    /// Returns true if it has closed its output: it will end within milliseconds.
    pub fn is_closing(&self) -> bool {
        self.readers.iter().any(JoinHandle::is_finished)
    }

    /// Asks it to stop at the next file.
    pub fn drain(&mut self) {
        if let Some(pipe) = &mut self.input {
            pipe.write_all(b"drain\n").ok();
        }
    }

    /// Asks it to stop at once.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it, whatever it is doing.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Its process id cannot be reused until its status has been collected.
        if self.status.is_none() {
            kill_process_group(self.group, signal).ok();
        }
    }

    /// Returns the result once it has ended.
    pub fn ended(&mut self) -> Option<EndedAttempt> {
        if self.status.is_none() {
            // Kill everything that it started as well, so that its pipes close.
            let status = self.process.try_wait().ok().flatten()?;
            kill_process_group(self.group, Signal::KILL).ok();
            self.status = Some((status, Instant::now()));
        }
        let (status, seen) = self.status?;
        let is_read = self.readers.iter().all(JoinHandle::is_finished);
        if !is_read && seen.elapsed() < CHILD_PIPE_TIME_MAX {
            return None;
        }
        let mut progress = lock(&self.progress);
        if let Some((level, text)) = progress.failure.take() {
            progress.log.put(None, &level, &text);
        }
        Some(EndedAttempt {
            code: status.code(),
            signal: status.signal(),
            account: std::mem::take(&mut progress.account),
            tail: progress.tail.drain(..).collect(),
            log: progress.log.take(),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.kill();
            self.process.wait().ok();
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// Processes a line of its standard output.
    fn tell(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return self.say(line);
        };
        self.account.take(&event);
        self.samples.take(&event, self.begun.elapsed());
        if self.account.moves > self.moves {
            self.moves = self.account.moves;
            self.moved_at = Instant::now();
        }
        let part = |name: &str| event.get(name).and_then(Value::as_str);
        let has_failed = part("event") == Some("run_done")
            && event.get("fault").is_some_and(|fault| !fault.is_null());
        match (part("log_level"), part("log")) {
            (Some(level), Some(text)) if has_failed => {
                self.failure = Some((level.to_owned(), text.to_owned()));
            }
            (Some(level), Some(text)) => self.log.put(part("time"), level, text),
            _ => {}
        }
    }

    /// Processes a line of its standard error.
    fn say(&mut self, line: &str) {
        let line = visible(line);
        self.log.say(MessageLevel::Error, &line);
        if self.tail.len() >= CHILD_TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Passes each line to `take`; a line that is too long is split.
fn lines(pipe: impl Read, mut take: impl FnMut(&str)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(CHILD_LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => take(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Returns true if a process could not be started because of a temporary shortage of descriptors, processes, threads or
/// memory.
pub fn is_shortage(fault: &Error) -> bool {
    const ALL: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
    let error = fault.cause.as_ref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let code = error.and_then(std::io::Error::raw_os_error);
    code.is_some_and(|code| ALL.iter().any(|one| one.raw_os_error() == code))
}

/// Returns the fault for an order that cannot be parsed.
fn broken_order(error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Invalid,
        Origin::Here,
        format!("cannot parse the run specification from the scheduler: {error}"),
    )
}
