//! The lock that allows one scheduler per state folder.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::owned,
    limits::ORPHAN_TIME_MAX,
    schedule::child::isolation,
    store,
};

/// The file that the scheduler keeps locked, with its process id in it.
const SERVE: &str = "serve.lock";
/// The file that each run keeps locked.
pub(super) const RUNS: &str = "runs.lock";

/// The time for the lock of a scheduler that has ended to be released.
const HANDOVER_TIME: Duration = Duration::from_secs(1);

/// A lock held by the scheduler while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the state folder. Fails with `busy` if another scheduler has it. Waits for runs left by an earlier
    /// scheduler, which end by themselves when their parent is gone.
    pub(super) fn take(state: &Path) -> Result<Self> {
        store::make_folder(state)?;
        owned::guard(state)?;
        let path = state.join(SERVE);
        let mut file = isolation::open(&path)?;
        let names = file.metadata().map_err(|error| Error::local("look at", &path, error))?.nlink();
        if names > 1 {
            let message = "this lock has a second name elsewhere, and would be cut there";
            let fault = Error::new(ErrorKind::Local, Origin::Here, message);
            return Err(fault.at(path.to_string_lossy()));
        }
        // A scheduler that was killed while it started a run leaves the lock to that process for a moment.
        let is_ours = || flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        let end = Instant::now() + HANDOVER_TIME;
        while !is_ours() {
            if Instant::now() < end {
                pause(Duration::from_millis(20));
                continue;
            }
            let owner = owner(&path).map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let message = format!(
                "another scheduler{owner} uses this state folder; two would run every job twice"
            );
            let fault = Error::new(ErrorKind::Busy, Origin::Here, message);
            return Err(fault.at(state.to_string_lossy()));
        }
        file.set_len(0).map_err(|error| Error::local("write the lock", &path, error))?;
        writeln!(file, "{}", std::process::id())
            .map_err(|error| Error::local("write the lock", &path, error))?;
        wait_for_runs(state)?;
        Ok(Self { _file: file })
    }
}

fn wait_for_runs(state: &Path) -> Result<()> {
    let path = state.join(RUNS);
    let file = isolation::open(&path)?;
    let end = Instant::now() + ORPHAN_TIME_MAX;
    loop {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Release it at once: new runs take it.
            return flock(&file, FlockOperation::Unlock)
                .map_err(|error| Error::local("let go of the lock", &path, error.into()));
        }
        if Instant::now() >= end {
            let message = "a run of an earlier scheduler does not end; end its process first";
            let fault = Error::new(ErrorKind::Busy, Origin::Here, message);
            return Err(fault.at(state.to_string_lossy()));
        }
        pause(Duration::from_millis(20));
    }
}

/// Waits for `time`.
fn pause(time: Duration) {
    let (_keep, silent) = std::sync::mpsc::channel::<()>();
    silent.recv_timeout(time).ok();
}

/// Returns the id of the process that has locked a state folder, if any.
pub fn holder(state: &Path) -> Option<String> {
    let path = state.join(SERVE);
    let file = File::open(&path).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => owner(&path),
    }
}

fn owner(path: &Path) -> Option<String> {
    let mut text = String::new();
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|pid| !pid.is_empty())
}
