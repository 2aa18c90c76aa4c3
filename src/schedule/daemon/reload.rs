//! Reload of the jobs file: a valid one takes effect, a broken one is refused and the old one stays in force.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Instant};

use super::{Daemon, ReadJobs, system};
use crate::{limits::DAEMON_TURN_MAX, observe::MessageLevel, schedule::jobs::watched};

/// The state of the watched files: the jobs file, and those that it names.
pub(super) struct FileWatch {
    path: PathBuf,
    files: Vec<PathBuf>,
    pub(super) read: ReadJobs,
    /// The files as they were when they were last read.
    taken: Prints,
    /// The files as they were at the last check.
    seen: Prints,
    looked: Instant,
}

/// The fingerprint of a file: device, inode, size, modification time.
type Print = (u64, u64, u64, i64, i64);

/// The fingerprints of all watched files; `None` for one that does not exist.
type Prints = Vec<Option<Print>>;

impl FileWatch {
    pub(super) fn new(path: PathBuf, read: ReadJobs) -> Self {
        let (files, looked) = (Vec::new(), Instant::now());
        let mut watch = Self { path, files, read, taken: Vec::new(), seen: Vec::new(), looked };
        watch.take();
        watch
    }

    fn prints(&self) -> Prints {
        let print = |path: &PathBuf| {
            let data = fs::metadata(path).ok()?;
            Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
        };
        self.files.iter().map(print).collect()
    }

    /// Returns true if the file has changed since it was read, and not since the last check: it may be half written.
    pub(super) fn has_changed(&mut self) -> bool {
        if self.looked.elapsed() < DAEMON_TURN_MAX {
            return false;
        }
        self.looked = Instant::now();
        let now = self.prints();
        // An editor may be about to put a new jobs file in the place of the old one.
        let is_there = self.path.exists();
        let is_still = is_there && now == self.seen;
        let is_other = now != self.taken;
        self.seen = now;
        is_still && is_other
    }

    fn take(&mut self) {
        self.files = watched(&self.path);
        self.taken = self.prints();
        self.seen.clone_from(&self.taken);
    }
}

impl Daemon {
    /// Reads the jobs file again.
    pub(super) fn reload(&mut self) {
        if self.is_stopping {
            return;
        }
        system::reloading();
        let now = self.clock.now();
        self.watch.take();
        match (self.watch.read)(now) {
            Ok(jobs) => {
                let count = jobs.all.len();
                self.planner = self.planner.clone().reload(Arc::new(jobs), now);
                self.view.set_jobs(Arc::clone(self.planner.jobs()));
                self.metrics.jobs(self.planner.jobs().all.iter().map(|job| &*job.name));
                self.metrics.reloaded(true);
                self.set_triggers();
                // A new job may have been paused before it was in the file.
                self.seen = None;
                self.observer.message(
                    MessageLevel::Info,
                    format!("the jobs file was read again: {count} jobs"),
                );
            }
            Err(fault) => {
                self.metrics.reloaded(false);
                let text =
                    format!("the jobs file is rejected, the previous one stays in force: {fault}");
                self.observer.message(MessageLevel::Error, text);
            }
        }
        system::ready(&self.status());
    }

    /// Reads the jobs file again if it has changed.
    pub(super) fn reload_if_changed(&mut self) {
        if self.watch.has_changed() {
            self.reload();
        }
    }
}
