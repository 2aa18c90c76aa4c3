//! Looks at directories of this host.

use std::{
    collections::BTreeSet,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

use super::{
    FileNews, TellFiles,
    tracker::{DirectoryFiles, FileVersion, Tracker},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{FILES_WATCHED_MAX, WATCH_LOOK, WATCH_NEWS_TIME, WATCH_RESCAN},
    observe::{EventEmitter, MessageLevel, visible::visible},
    schedule::jobs::FileTrigger,
    store::history::SeenFile,
};

/// A job with a directory of this host.
#[derive(Debug)]
pub struct WatchedJob {
    job: Arc<str>,
    source: u64,
    path: PathBuf,
    tracker: Tracker,
}

impl WatchedJob {
    /// Creates one for the files of `trigger`, of which some were handed out. `folder` is that of the jobs file.
    pub fn new(
        job: &Arc<str>,
        source: u64,
        trigger: &FileTrigger,
        folder: &Path,
        seen: Vec<SeenFile>,
    ) -> Result<Self> {
        let tracker = Tracker::new(trigger, seen)?;
        Ok(Self { job: Arc::clone(job), source, path: folder.join(&trigger.directory), tracker })
    }
}

/// The thread that looks at the directories of all jobs. It ends when this is dropped.
#[derive(Debug)]
pub struct LocalWatch {
    outbox: Sender<WatchMessage>,
}

#[derive(Debug)]
enum WatchMessage {
    /// Something has changed at these paths; anywhere, if there are none.
    Changed(Vec<PathBuf>),
    Stop,
}

impl LocalWatch {
    /// Starts the thread.
    pub fn start(jobs: Vec<WatchedJob>, observer: EventEmitter, tell: TellFiles) -> Result<Self> {
        let (outbox, inbox) = channel();
        let native = native(outbox.clone()).inspect_err(|error| blind(&observer, error)).ok();
        let directories = jobs.into_iter().map(WatchedDirectory::new).collect();
        let begun = Instant::now();
        let mut watch = DirectoryWatch { directories, native, inbox, begun, observer, tell };
        let thread = std::thread::Builder::new().name("watch".into());
        thread.spawn(move || watch.run()).map_err(|error| {
            let message = format!("cannot start a thread for `watch`: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })?;
        Ok(Self { outbox })
    }
}

impl Drop for LocalWatch {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.outbox.send(WatchMessage::Stop).ok();
    }
}

/// Returns the kernel's notification of changes.
fn native(outbox: Sender<WatchMessage>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let paths = match event {
            // The look itself opens the directory.
            Ok(Event { kind: EventKind::Access(kind), .. })
                if kind != AccessKind::Close(AccessMode::Write) =>
            {
                return;
            }
            Ok(event) if !event.need_rescan() => event.paths,
            _ => Vec::new(),
        };
        outbox.send(WatchMessage::Changed(paths)).ok();
    })
}

fn blind(observer: &EventEmitter, error: &notify::Error) {
    let seconds = WATCH_LOOK.as_secs();
    observer.warn_once(format!(
        "the kernel does not tell of new files, which are looked for every {seconds} s: {error}"
    ));
}

struct DirectoryWatch {
    directories: Vec<WatchedDirectory>,
    native: Option<RecommendedWatcher>,
    inbox: Receiver<WatchMessage>,
    begun: Instant,
    observer: EventEmitter,
    tell: TellFiles,
}

struct WatchedDirectory {
    job: WatchedJob,
    /// The time of the next look.
    due: Duration,
    /// The duration of the last look.
    took: Duration,
    /// Device and inode of the directory of which the kernel tells news.
    told_of: Option<(u64, u64)>,
    /// The reason why it cannot be read, if it cannot.
    trouble: Option<String>,
    /// The names that were reported as unusable.
    unusable: BTreeSet<String>,
}

impl WatchedDirectory {
    const fn new(job: WatchedJob) -> Self {
        Self {
            job,
            due: Duration::ZERO,
            took: Duration::ZERO,
            told_of: None,
            trouble: None,
            unusable: BTreeSet::new(),
        }
    }
}

impl DirectoryWatch {
    fn run(&mut self) {
        loop {
            let now = self.begun.elapsed();
            for at in 0..self.directories.len() {
                self.look_if_due(at, now);
            }
            let due = self.directories.iter().map(|directory| directory.due).min();
            let wait = due.unwrap_or(WATCH_RESCAN).saturating_sub(self.begun.elapsed());
            let mut message = self.inbox.recv_timeout(wait);
            loop {
                match message {
                    Ok(WatchMessage::Changed(paths)) => self.note_change(&paths),
                    Ok(WatchMessage::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
                message = self.inbox.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
        }
    }

    /// Lets the directories of `paths` be looked at soon: further news are collected, for longer if a look takes long.
    fn note_change(&mut self, paths: &[PathBuf]) {
        let now = self.begun.elapsed();
        for directory in &mut self.directories {
            let own = &directory.job.path;
            let is_own = |path: &PathBuf| path == own || path.parent() == Some(own);
            if paths.is_empty() || paths.iter().any(is_own) {
                let soon = now + WATCH_NEWS_TIME.max(directory.took * 4);
                directory.due = directory.due.min(soon);
            }
        }
    }

    fn look_if_due(&mut self, at: usize, now: Duration) {
        let Some(directory) = self.directories.get_mut(at).filter(|one| one.due <= now) else {
            return;
        };
        let begun = Instant::now();
        // Before the look: what changes after it is told.
        let is_told = directory.listen(self.native.as_mut(), &self.observer);
        let usual = if is_told { WATCH_RESCAN } else { WATCH_LOOK };
        let mut due = now + usual;
        match directory.read(&self.observer) {
            Ok(listing) => {
                directory.end_trouble(&self.observer);
                let observed = directory.job.tracker.observe(&listing, now);
                due = observed.due.map_or(due, |complete| complete.min(due));
                let WatchedJob { job, source, .. } = &directory.job;
                if let Some(news) = FileNews::of(observed, *source, job) {
                    (self.tell)(news);
                }
            }
            Err(error) => directory.note_trouble(&error, &self.observer),
        }
        directory.took = begun.elapsed();
        directory.due = due;
    }
}

impl WatchedDirectory {
    /// Lets the kernel tell of changes, if it does not: the directory may be new, or another one in the place of the old.
    /// Returns true if it does.
    fn listen(&mut self, native: Option<&mut RecommendedWatcher>, observer: &EventEmitter) -> bool {
        let Some(native) = native else { return false };
        let path = &self.job.path;
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir);
        let found = found.map(|found| (found.dev(), found.ino()));
        if found == self.told_of {
            return found.is_some();
        }
        if self.told_of.take().is_some() {
            // That of a directory that is gone may have ended by itself.
            native.unwatch(path).ok();
        }
        if found.is_some() {
            match native.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => self.told_of = found,
                Err(error) => blind(observer, &error),
            }
        }
        self.told_of.is_some()
    }

    fn read(&mut self, observer: &EventEmitter) -> io::Result<DirectoryFiles> {
        let mut found = DirectoryFiles { is_conclusive: true, ..DirectoryFiles::default() };
        for entry in std::fs::read_dir(&self.job.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(text) = name.to_str() else {
                self.warn(observer, &visible(name.as_bytes()), "its name is not UTF-8");
                continue;
            };
            // That of a link is its own.
            let data = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                data => data?,
            };
            if data.is_symlink() && self.job.tracker.takes_part(text) {
                self.warn(observer, &visible(text), "it is a symbolic link");
            }
            if !data.is_file() {
                continue;
            }
            if found.files.len() >= FILES_WATCHED_MAX {
                found.is_conclusive = false;
                let why = format!("there are {FILES_WATCHED_MAX} other files");
                self.warn(observer, "the rest", &why);
                break;
            }
            let modified = format!("{}.{:09}", data.mtime(), data.mtime_nsec());
            found.files.insert(text.to_owned(), FileVersion { size: Some(data.len()), modified });
        }
        Ok(found)
    }

    /// Reports a file that starts no run, once.
    fn warn(&mut self, observer: &EventEmitter, name: &str, why: &str) {
        // A directory may have any number of such files.
        const REPORTED_MAX: usize = 20;
        if self.unusable.len() < REPORTED_MAX && self.unusable.insert(name.to_owned()) {
            let WatchedJob { job, path, .. } = &self.job;
            let place = visible(path.as_os_str().as_bytes());
            observer.warn(format!("`{job}`: {name} in {place} starts no run: {why}"));
        }
    }

    fn note_trouble(&mut self, error: &io::Error, observer: &EventEmitter) {
        let path = visible(self.job.path.as_os_str().as_bytes());
        let text = match error.kind() {
            io::ErrorKind::NotFound => format!("there is no directory {path}"),
            _ => format!("cannot read the directory {path}: {error}"),
        };
        if self.trouble.as_ref() != Some(&text) {
            observer.warn(format!("`{}`: {text}; trying again", self.job.job));
            self.trouble = Some(text);
        }
    }

    fn end_trouble(&mut self, observer: &EventEmitter) {
        if self.trouble.take().is_some() {
            let path = visible(self.job.path.as_os_str().as_bytes());
            let text = format!("`{}`: the directory {path} can be read", self.job.job);
            observer.message(MessageLevel::Info, text);
        }
    }
}
