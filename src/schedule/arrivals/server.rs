//! The processes that look at directories of servers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use super::{
    FileNews, PollLine, PollSpec, TellFiles,
    tracker::{DirectoryFiles, FileVersion, Tracker},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{ARRIVAL_WAIT_MAX, CHILD_LINE_BYTES_MAX, FILES_WATCHED_MAX},
    observe::{EventEmitter, MessageLevel, visible::visible},
    schedule::{
        child::{ChildSetup, STORE_VARIABLES},
        jobs::{FileTrigger, Job},
    },
    store::history::SeenFile,
};

/// The first wait before a process that has ended is started again.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A job with a directory of a server.
#[derive(Debug)]
pub struct PolledJob {
    job: Arc<str>,
    source: u64,
    spec: PollSpec,
    /// The directory with its server, for messages.
    place: String,
    tracker: Tracker,
}

impl PolledJob {
    /// Creates one for the files of `trigger`, of which some were handed out.
    pub fn new(job: &Job, source: u64, trigger: &FileTrigger, seen: Vec<SeenFile>) -> Result<Self> {
        let site = trigger.site.as_ref().map(|site| site.url.reveal().to_owned());
        Ok(Self {
            job: Arc::clone(&job.name),
            source,
            spec: PollSpec {
                job: job.name.to_string(),
                site: site.unwrap_or_default(),
                directory: trigger.directory.clone(),
                every_ms: u64::try_from(trigger.every.as_millis()).unwrap_or(u64::MAX),
                connect: job.connect.texts(),
                permissions: job.permissions.clone(),
                parent: std::process::id(),
            },
            place: format!("{} at {}", visible(&trigger.directory), visible(trigger.site_name())),
            tracker: Tracker::new(trigger, seen)?,
        })
    }
}

/// The process that looks at a server, and the thread that listens to it. Both end when this is dropped.
#[derive(Debug)]
pub struct ServerPoll {
    child: Arc<Mutex<Option<Child>>>,
    stop: Option<Sender<()>>,
}

impl ServerPoll {
    /// Starts both.
    pub fn start(
        job: PolledJob,
        setup: &ChildSetup,
        observer: EventEmitter,
        tell: TellFiles,
    ) -> Result<Self> {
        let (stop, stopped) = channel();
        let child = Arc::new(Mutex::new(None));
        let mut poll = PollThread {
            job,
            setup: setup.clone(),
            observer,
            tell,
            stopped,
            child: Arc::clone(&child),
            begun: Instant::now(),
            listing: DirectoryFiles::default(),
            next: DirectoryFiles::default(),
            is_down: false,
            has_heard: false,
            has_listed: false,
        };
        let thread = std::thread::Builder::new().name("arrival".into());
        thread.spawn(move || poll.run()).map_err(|error| {
            let message = format!("cannot start a thread for `arrival`: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })?;
        Ok(Self { child, stop: Some(stop) })
    }
}

impl Drop for ServerPoll {
    fn drop(&mut self) {
        // First: a process that is being started is ended by the thread, which sees this.
        drop(self.stop.take());
        if let Some(child) = &mut *self.child.lock().unwrap_or_else(PoisonError::into_inner) {
            child.kill().ok();
        }
    }
}

struct PollThread {
    job: PolledJob,
    setup: ChildSetup,
    observer: EventEmitter,
    tell: TellFiles,
    stopped: Receiver<()>,
    child: Arc<Mutex<Option<Child>>>,
    begun: Instant,
    /// The last listing.
    listing: DirectoryFiles,
    /// The listing that is being read.
    next: DirectoryFiles,
    /// True if the server could not be listed, which was reported.
    is_down: bool,
    /// True if the process has told anything.
    has_heard: bool,
    /// True if it has listed the directory.
    has_listed: bool,
}

impl PollThread {
    fn run(&mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            (self.has_heard, self.has_listed) = (false, false);
            let ended = self.listen_to_process();
            if let Err(RecvTimeoutError::Disconnected) = self.stopped.recv_timeout(Duration::ZERO) {
                return;
            }
            match ended {
                Err(fault) => self.note_fault(&fault.to_string()),
                Ok(words) if !self.has_heard => self.note_fault(&words),
                Ok(_) => {}
            }
            if self.has_listed {
                wait = FIRST_WAIT;
            }
            if let Err(RecvTimeoutError::Disconnected) = self.stopped.recv_timeout(wait) {
                return;
            }
            wait = (wait * 2).min(ARRIVAL_WAIT_MAX);
        }
    }

    /// Starts the process and listens to it until it ends. Returns how it has ended.
    fn listen_to_process(&mut self) -> Result<String> {
        let out = self.start()?;
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        loop {
            line.clear();
            match out.by_ref().take(CHILD_LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => self.take(&line),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let status = child.and_then(|mut child| {
            child.kill().ok();
            child.wait().ok()
        });
        let status = status.map(|status| format!(": {status}")).unwrap_or_default();
        Ok(format!("the process that looks at it has ended{status}"))
    }

    fn start(&self) -> Result<ChildStdout> {
        let program = &self.setup.program;
        let cannot = |error: std::io::Error| Error::local("start a process with", program, error);
        let mut command = Command::new(program);
        command
            .args(["run", "--as-poller", "--state"])
            .arg(&self.setup.state)
            .arg("arrival")
            .current_dir(&self.setup.folder)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for name in STORE_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(cannot)?;
        let out = child.stdout.take();
        // The pipe stays open: its end says that the scheduler is gone.
        if let Some(input) = &mut child.stdin {
            input.write_all(self.job.spec.line().as_bytes()).ok();
        }
        let mut place = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopped.try_recv() == Err(TryRecvError::Disconnected) {
            child.kill().ok();
        }
        *place = Some(child);
        drop(place);
        out.ok_or_else(|| cannot(std::io::ErrorKind::BrokenPipe.into()))
    }

    fn take(&mut self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<PollLine>(line) else { return };
        self.has_heard = true;
        match line {
            PollLine::File { name, size, modified } => {
                if self.next.files.len() < FILES_WATCHED_MAX {
                    self.next.files.insert(name, FileVersion { size, modified });
                }
            }
            PollLine::End { whole } => {
                self.listing = std::mem::take(&mut self.next);
                self.listing.is_conclusive = whole;
                self.observe();
            }
            PollLine::Same => self.observe(),
            PollLine::Fault { text } => {
                self.next = DirectoryFiles::default();
                self.note_fault(&text);
            }
        }
    }

    fn observe(&mut self) {
        self.has_listed = true;
        if std::mem::replace(&mut self.is_down, false) {
            let text = format!("`{}`: {} can be listed", self.job.job, self.job.place);
            self.observer.message(MessageLevel::Info, text);
        }
        let now = self.begun.elapsed();
        let observed = self.job.tracker.observe(&self.listing, now);
        if let Some(news) = FileNews::of(observed, self.job.source, &self.job.job) {
            (self.tell)(news);
        }
    }

    /// Reports that the server cannot be listed, once until it can.
    fn note_fault(&mut self, text: &str) {
        if !std::mem::replace(&mut self.is_down, true) {
            let (job, place) = (&self.job.job, &self.job.place);
            let text = visible(text);
            self.observer.warn(format!("`{job}`: cannot list {place}: {text}; trying again"));
        }
    }
}
