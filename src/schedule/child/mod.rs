//! One run, one wall: each attempt is a process of its own, which may loop, crash or be killed without harm to the others.
//!
//! The parent writes an [`order::Order`] to the child's standard input and keeps that open: the line `drain` asks it to
//! stop at the next file, and the end of the input means that the parent is gone. The child writes its events as lines of
//! JSON; whatever it says on standard error goes to the run's log.

pub mod drain;
pub mod log;
pub mod order;
pub mod verdict;
pub mod wall;

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

use self::{log::RunLog, order::Order};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    limits::{CHILD_LINE_BYTES_MAX, CHILD_PIPE_TIME_MAX, CHILD_TAIL_LINES},
    observe::{Level, account::Account, visible::visible},
};

/// What a child is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program: this one.
    pub program: PathBuf,
    /// The folder in which it works: that of the jobs file.
    pub folder: PathBuf,
    /// Where state is kept.
    pub state: PathBuf,
}

/// One attempt that goes on.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    group: Pid,
    input: Option<ChildStdin>,
    progress: Arc<Mutex<Progress>>,
    readers: Vec<JoinHandle<()>>,
    /// How it ended, and when that was seen.
    status: Option<(ExitStatus, Instant)>,
}

/// What is known of it so far.
#[derive(Debug)]
struct Progress {
    account: Account,
    /// When something last moved.
    moved_at: Instant,
    moves: u64,
    /// The last lines of standard error.
    tail: VecDeque<String>,
    log: RunLog,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it came to one.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it did.
    pub account: Account,
    /// The last lines that it said on standard error.
    pub tail: Vec<String>,
    /// Its log, to go on with.
    pub log: RunLog,
}

impl Child {
    /// Starts the process of an attempt, which waits for its order. `wake` is called when its output ends, which is its
    /// end as a rule.
    pub fn start(
        start: &Start,
        script: &Path,
        log: RunLog,
        wake: impl Fn() + Send + 'static,
    ) -> Outcome<Self> {
        let cannot =
            |error: std::io::Error| Fault::local("start a run with", &start.program, error);
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
        let process = command.spawn().map_err(cannot)?;
        let group = Pid::from_child(&process);
        let progress = Arc::new(Mutex::new(Progress {
            account: Account::default(),
            moved_at: Instant::now(),
            moves: 0,
            tail: VecDeque::new(),
            log,
        }));
        let (told, said) = (Arc::clone(&progress), Arc::clone(&progress));
        // From here on it is ended where something fails.
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

    /// Gives it its order: the attempt begins, with `line` in its log.
    pub fn order(&mut self, order: &Order, line: &str) {
        lock(&self.progress).log.say(Level::Info, line);
        if let Some(pipe) = &mut self.input {
            // One that has died already is seen by its status.
            pipe.write_all(order.line().as_bytes()).ok();
        }
    }

    /// How long nothing has moved.
    pub fn still_for(&self) -> Duration {
        lock(&self.progress).moved_at.elapsed()
    }

    /// Whether it has closed its output: its end is a matter of milliseconds.
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

    /// Ends it, whatever it does.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Until its status has been taken its number is nobody else's.
        if self.status.is_none() {
            kill_process_group(self.group, signal).ok();
        }
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<Ended> {
        if self.status.is_none() {
            // Whatever it started goes with it, so that its pipes close.
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
        Some(Ended {
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
    /// Takes in a line of its output.
    fn tell(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return self.say(line);
        };
        self.account.take(&event);
        if self.account.moves > self.moves {
            self.moves = self.account.moves;
            self.moved_at = Instant::now();
        }
        let part = |name: &str| event.get(name).and_then(Value::as_str);
        if let (Some(level), Some(text)) = (part("log_level"), part("log")) {
            self.log.put(part("time"), level, text);
        }
    }

    /// Takes in a line of its standard error.
    fn say(&mut self, line: &str) {
        let line = visible(line);
        self.log.say(Level::Error, &line);
        if self.tail.len() >= CHILD_TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Hands each line to `take`; a line that is too long is cut into several.
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

/// Whether a process could not be started for want of something that will be there again: descriptors, processes,
/// threads, memory.
pub fn is_shortage(fault: &Fault) -> bool {
    const ALL: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
    let error = fault.cause.as_ref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let code = error.and_then(std::io::Error::raw_os_error);
    code.is_some_and(|code| ALL.iter().any(|one| one.raw_os_error() == code))
}

/// A fault of the child's order.
fn broken_order(error: &serde_json::Error) -> Fault {
    Fault::new(Kind::Invalid, Side::Here, format!("the order of this run cannot be read: {error}"))
}
