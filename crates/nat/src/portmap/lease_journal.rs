//! The journal of port mappings, from which a later run releases them after a crash.
//!
//! A page is a file of JSON lines, of which the last is valid. Its owner keeps it locked for as long as it lives; a
//! page that can be locked has lost its owner, for whatever reason. (A process id may belong to another process by
//! then, in this boot or the next, or mean nothing in this container; it is recorded for human readers.) A page belongs
//! to this host only, like the router it is about: it is not a table of a store that several hosts may share.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Lease;
use portolan_core::{
    error::{Error, Result},
    limits::{LEASE_PAGE_BYTES_MAX, LEASE_PAGES_MAX},
};
use portolan_fs::{owned, temporary_name};

/// The directory of the pages in the state directory.
const FOLDER: &str = "leases";
/// The extension of a page's file name.
const SUFFIX: &str = ".json";

/// The journal in one state directory.
#[derive(Debug, Clone)]
pub struct LeaseJournal {
    folder: PathBuf,
}

/// One page, locked.
#[derive(Debug)]
pub(super) struct JournalFile {
    file: File,
    path: PathBuf,
}

/// One line of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalRecord {
    /// The leases that were requested or granted.
    pub(super) leases: Vec<Lease>,
    /// The time when the router drops them by itself, in seconds since 1970; `None` if it does not.
    pub(super) until: Option<i64>,
    /// The process that wrote it.
    pub(super) pid: u32,
    /// The kernel's boot id.
    pub(super) boot: String,
}

impl JournalRecord {
    /// Creates a line of this process.
    pub(super) fn new(leases: Vec<Lease>, until: Option<i64>) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { leases, until, pid: std::process::id(), boot: boot.trim().to_owned() }
    }
}

impl LeaseJournal {
    /// Returns the journal in the state directory `state`; its directory is created with the first page.
    pub fn in_state(state: &Path) -> Self {
        Self { folder: state.join(FOLDER) }
    }

    /// Creates a page with `line`.
    pub(super) fn begin(&self, line: &JournalRecord) -> Result<JournalFile> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| Error::local("make a folder", &self.folder, error))?;
        // No other process may find it before it is locked.
        let hidden = self.folder.join(temporary_name());
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&hidden);
        let file = file.map_err(|error| Error::local("write", &hidden, error))?;
        let name = hidden.file_name().unwrap_or_default().to_string_lossy().replace('.', "");
        let path = self.folder.join(name + SUFFIX);
        let mut page = JournalFile { file, path };
        let placed = page.lock().and_then(|_| fs::rename(&hidden, &page.path));
        placed.map_err(|error| Error::local("write", &page.path, error))?;
        page.write(line)?;
        Ok(page)
    }

    /// Returns the pages that have lost their owner, with their last lines; a page without a valid line is removed.
    pub(super) fn orphans(&self) -> Vec<(JournalFile, JournalRecord)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let pages = paths.filter(|path| path.to_string_lossy().ends_with(SUFFIX));
        pages.take(LEASE_PAGES_MAX).filter_map(|path| orphan(&path)).collect()
    }
}

/// Returns the page at `path`, if no process holds it.
fn orphan(path: &Path) -> Option<(JournalFile, JournalRecord)> {
    let file = owned::open(path, OpenOptions::new().read(true).append(true)).ok()?;
    let mut page = JournalFile { file, path: path.to_owned() };
    // Its owner may have removed it since the directory was read.
    let is_mine = page.lock().ok()? && page.file.metadata().ok()?.nlink() > 0;
    if !is_mine {
        return None;
    }
    if let Some(line) = page.read() {
        return Some((page, line));
    }
    page.strike();
    None
}

impl JournalFile {
    /// Tries to lock the page, and returns true if this process now holds it.
    fn lock(&self) -> std::io::Result<bool> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends `line`, which is then the valid one. It is a single write: after a crash either the previous line or
    /// this one is valid.
    pub(super) fn write(&mut self, line: &JournalRecord) -> Result<()> {
        let text = serde_json::to_string(line)
            .map_err(|error| Error::local("write", &self.path, std::io::Error::other(error)))?;
        let written = self.file.write_all(format!("{text}\n").as_bytes());
        written
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Error::local("write", &self.path, error))
    }

    /// Returns the last valid line.
    fn read(&mut self) -> Option<JournalRecord> {
        let mut text = String::new();
        let length = self.file.metadata().ok()?.len();
        self.file.seek(SeekFrom::Start(length.saturating_sub(LEASE_PAGE_BYTES_MAX))).ok()?;
        (&self.file).take(LEASE_PAGE_BYTES_MAX).read_to_string(&mut text).ok()?;
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }

    /// Removes the page: there is nothing left to release.
    pub(super) fn strike(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(target: "portolan", "cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Returns the time when a router drops what is requested now, in seconds since 1970.
pub(super) fn until(now: i64, leases: &[Lease]) -> Option<i64> {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let ends = leases.iter().map(|lease| Some(now.saturating_add(seconds(lease.time?))));
    ends.collect::<Option<Vec<_>>>()?.into_iter().max()
}
