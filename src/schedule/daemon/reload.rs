//! Reload of the jobs file: a valid one takes effect, a broken one is refused and the old one stays in force.
//!
//! A thread of its own reads it: with a hundred thousand jobs that takes seconds, in which runs begin and end.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use jiff::Timestamp;

use super::{Daemon, FleetSetup, Message, ReadJobs, system};
use crate::{
    error::{Error, ErrorKind, Origin},
    limits::DAEMON_TURN_MAX,
    observe::MessageLevel,
    schedule::{
        jobs::{Jobs, watched},
        releases::{ReadFault, ReleaseFolder},
    },
};

/// The state of the watched files: the jobs file, and those that it names.
pub(super) struct FileWatch {
    /// The jobs file; `None` if the jobs are those of a published release.
    path: Option<PathBuf>,
    files: Vec<PathBuf>,
    /// The files as they were when they were last read.
    taken: Prints,
    /// The files as they were at the last check.
    seen: Prints,
    looked: Instant,
    /// Requests to read them, with the time.
    asks: Sender<Timestamp>,
    is_reading: bool,
    /// True if they are to be read once more after the reading in progress.
    is_asked: bool,
}

/// A function that reads the jobs again, and says of which release an error is.
type ReadAgain = Box<dyn Fn(Timestamp) -> Result<Jobs, ReadFault> + Send>;

/// Returns that function: of the published release if this machine follows those, otherwise `read`.
pub(super) fn reader(read: ReadJobs, fleet: Option<&FleetSetup>, state: &Path) -> ReadAgain {
    if let Some(setup) = fleet.filter(|setup| setup.follows_releases) {
        let releases = ReleaseFolder { place: setup.place.clone(), state: state.to_owned() };
        return Box::new(move |now| releases.read(now));
    }
    Box::new(move |now| read(now).map_err(ReadFault::from))
}

/// The fingerprint of a file: device, inode, size, modification time.
type Print = (u64, u64, u64, i64, i64);

/// The fingerprints of all watched files; `None` for one that does not exist.
type Prints = Vec<Option<Print>>;

/// The result of reading the jobs file, with the files that it depends on, as they were before.
#[derive(Debug)]
pub struct JobsRead {
    files: Vec<PathBuf>,
    prints: Prints,
    jobs: Result<Jobs, ReadFault>,
}

fn prints(files: &[PathBuf]) -> Prints {
    let print = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(print).collect()
}

/// Reads the jobs file at each request, and sends what came of it.
fn read_on_request(
    path: Option<&Path>,
    read: &ReadAgain,
    asks: &Receiver<Timestamp>,
    outbox: &Sender<Message>,
) {
    while let Ok(now) = asks.recv() {
        let files = path.map(watched).unwrap_or_default();
        let prints = prints(&files);
        let jobs = read(now);
        let message = Message::Read(Box::new(JobsRead { files, prints, jobs }));
        if outbox.send(message).is_err() {
            return;
        }
    }
}

impl FileWatch {
    pub(super) fn new(path: Option<PathBuf>, read: ReadAgain, outbox: Sender<Message>) -> Self {
        let (asks, asked) = channel();
        let file = path.clone();
        thread::spawn(move || read_on_request(file.as_deref(), &read, &asked, &outbox));
        let files = path.as_deref().map(watched).unwrap_or_default();
        let taken = prints(&files);
        let (seen, looked) = (taken.clone(), Instant::now());
        Self { path, files, taken, seen, looked, asks, is_reading: false, is_asked: false }
    }

    /// Returns true while the file, or a release, is read.
    pub(super) const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Returns true if the file has changed since it was read, and not since the last check: it may be half written.
    fn has_changed(&mut self) -> bool {
        if self.is_reading || self.looked.elapsed() < DAEMON_TURN_MAX {
            return false;
        }
        self.looked = Instant::now();
        let now = prints(&self.files);
        // An editor may be about to put a new jobs file in the place of the old one.
        let is_there = self.path.as_ref().is_some_and(|path| path.exists());
        let is_still = is_there && now == self.seen;
        let is_other = now != self.taken;
        self.seen = now;
        is_still && is_other
    }
}

impl Daemon {
    /// Asks for the jobs file to be read again.
    pub(super) fn reload(&mut self) {
        if self.worker.is_stopping {
            return;
        }
        if self.watch.is_reading {
            self.watch.is_asked = true;
            return;
        }
        system::reloading();
        self.watch.is_reading = true;
        if self.watch.asks.send(self.context.clock.now()).is_err() {
            let message = "the thread that reads the jobs file has ended";
            let fault = Error::new(ErrorKind::Local, Origin::Here, message);
            let (files, prints) = (self.watch.files.clone(), self.watch.seen.clone());
            self.take_jobs(JobsRead { files, prints, jobs: Err(fault.into()) });
        }
    }

    /// Takes the jobs that were read, unless there is a mistake in them.
    pub(super) fn take_jobs(&mut self, read: JobsRead) {
        let JobsRead { files, prints, jobs } = read;
        (self.watch.files, self.watch.taken) = (files, prints);
        self.watch.seen.clone_from(&self.watch.taken);
        self.watch.is_reading = false;
        if self.worker.is_stopping {
            return;
        }
        match jobs {
            Ok(jobs) => {
                let jobs = Arc::new(jobs);
                let before = self.context.jobs();
                self.context.view.set_jobs(Arc::clone(&jobs));
                self.context.metrics.jobs(jobs.all.iter().map(|job| &*job.name));
                self.context.metrics.reloaded(true);
                self.worker.note_jobs(&jobs);
                self.took_release(&jobs, &before);
                if let Some(leader) = &mut self.leader {
                    leader.take_jobs(Arc::clone(&jobs));
                }
                self.tell_jobs(&jobs);
            }
            Err(fault) => {
                self.context.metrics.reloaded(false);
                self.failed_release(&fault);
                let ReadFault { fault, .. } = fault;
                let what = if self.watch.path.is_some() { "the jobs file" } else { "the release" };
                if self.watch.path.is_none() && fault.is_retryable() {
                    let text = format!("{what} could not be read, and is tried again: {fault}");
                    self.context.observer.warn_once(text);
                } else {
                    let text =
                        format!("{what} is rejected, the previous one stays in force: {fault}");
                    self.context.observer.message(MessageLevel::Error, text);
                }
            }
        }
        system::ready(&self.status());
        if std::mem::take(&mut self.watch.is_asked) {
            self.reload();
        }
    }

    /// Asks for the jobs file to be read again if it has changed.
    pub(super) fn reload_if_changed(&mut self) {
        if self.watch.has_changed() {
            self.reload();
        }
    }
}
