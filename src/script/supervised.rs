//! Supervision of programs that scripts and jobs start: output as it comes, a time limit, and an end with the run.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ExitStatus},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    limits::PROGRAM_TERM_TIME_MAX,
    observe::format_duration,
};

/// The interval of looks at a program that writes nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The time in which output may still come after a program has ended: what it started may hold its pipes.
const REST_TIME_MAX: Duration = Duration::from_millis(500);
/// The maximum number of pieces of output that are read and not taken yet. A program that writes faster has to wait.
const PIECES_AHEAD: usize = 64;
/// The maximum number of bytes in one piece of output; a line that is longer comes in several.
const PIECE_BYTES_MAX: u64 = 64 * 1024;

/// An output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output, or both in one pipe.
    Output,
    /// Standard error.
    Errors,
}

/// An output of a program with the pipe from which it is read.
pub type ProgramStream = (OutputStream, Box<dyn Read + Send>);

/// The rules for a program that runs.
#[derive(Debug, Clone, Copy)]
pub struct Supervision<'p> {
    /// The name of the program for messages.
    pub name: &'p str,
    /// The time after which it is ended.
    pub timeout: Option<Duration>,
    /// The stop signal, which ends it.
    pub stop: &'p CancelToken,
    /// True if it leads a process group of its own, which ends with it: what it has started and left.
    pub is_group: bool,
}

/// A program that is killed when this is dropped, unless it has been waited for.
struct RunningProgram<'p> {
    rules: Supervision<'p>,
    child: Child,
    kill_at: Option<Instant>,
}

impl Supervision<'_> {
    /// Waits for the end of a program and returns its status. `take` gets its output line by line with the line ends,
    /// and in pieces where a line is long; an error of `take` ends the program, as do the time limit and the stop
    /// signal: by SIGTERM first, by SIGKILL later.
    pub fn wait(
        self,
        child: Child,
        outputs: Vec<ProgramStream>,
        mut take: impl FnMut(OutputStream, &[u8]) -> Result<()>,
    ) -> Result<ExitStatus> {
        let mut running = RunningProgram { rules: self, child, kill_at: None };
        let (sender, pieces) = sync_channel(PIECES_AHEAD);
        for output in outputs {
            forward(output, sender.clone())?;
        }
        drop(sender);
        let end = self.timeout.map(|time| Instant::now() + time);
        let (mut fault, mut ended) = (None, None);
        loop {
            let is_closed = match pieces.recv_timeout(LOOK_INTERVAL) {
                Ok((stream, bytes)) => {
                    if fault.is_none() {
                        fault = take(stream, &bytes).err();
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => {
                    // It has closed its outputs, and may go on.
                    std::thread::park_timeout(LOOK_INTERVAL);
                    true
                }
            };
            if ended.is_none() {
                let status = running.child.try_wait();
                let status = status.map_err(|error| Error::local("wait for", self.name, error))?;
                ended = status.map(|status| (status, Instant::now()));
            }
            match ended {
                Some((status, since)) if is_closed || since.elapsed() > REST_TIME_MAX => {
                    return fault.map_or(Ok(status), Err);
                }
                Some(_) => {}
                None => {
                    fault = fault.or_else(|| self.stop.check().err()).or_else(|| self.late(end));
                    if let Some(fault) = fault.take_if(|_| running.end()) {
                        return Err(fault);
                    }
                }
            }
        }
    }

    fn late(&self, end: Option<Instant>) -> Option<Error> {
        let (time, end) = self.timeout.zip(end)?;
        (Instant::now() >= end).then(|| {
            let time = format_duration(time);
            let message = format!("it took more than {time} (`timeout`), and was ended");
            Error::new(ErrorKind::Timeout, Origin::Here, message).at(self.name)
        })
    }
}

impl RunningProgram<'_> {
    fn signal(&self, signal: Signal) {
        let program = Pid::from_child(&self.child);
        // It may be gone already.
        if self.rules.is_group {
            kill_process_group(program, signal).ok();
        } else {
            kill_process(program, signal).ok();
        }
    }

    /// Asks the program to end, and returns true when its time for that is over.
    fn end(&mut self) -> bool {
        match self.kill_at {
            None => {
                self.signal(Signal::TERM);
                self.kill_at = Some(Instant::now() + PROGRAM_TERM_TIME_MAX);
                false
            }
            Some(at) => Instant::now() >= at,
        }
    }
}

impl Drop for RunningProgram<'_> {
    fn drop(&mut self) {
        // A program that has been waited for is not there any more, but its group may be.
        if self.rules.is_group || matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
        }
        self.child.wait().ok();
    }
}

/// Reads one output on a thread of its own, which ends with the pipe or with the receiver.
fn forward(
    (stream, source): ProgramStream,
    pieces: SyncSender<(OutputStream, Vec<u8>)>,
) -> Result<()> {
    let read = move || {
        let mut source = BufReader::new(source);
        loop {
            let mut piece = Vec::new();
            match source.by_ref().take(PIECE_BYTES_MAX).read_until(b'\n', &mut piece) {
                Ok(0) | Err(_) => return,
                Ok(_) if pieces.send((stream, piece)).is_err() => return,
                Ok(_) => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("output".into()).spawn(read);
    thread.map(drop).map_err(|error| {
        let message = format!("cannot start a thread for the output of a program: {error}");
        Error::new(ErrorKind::Local, Origin::Here, message)
    })
}
