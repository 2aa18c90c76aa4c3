//! Records of the temporary files on servers while uploads need them, for files whose names do not tell whose they are:
//! those of single uploads, and the short names on servers that know no others.
//!
//! A record is a file in the state directory, one for each target, which the process keeps locked. The kernel releases
//! the lock when the process ends, however it ends: a record that is not locked belongs to a process that was killed, and
//! names what it left on the server. The next upload to the same target, or the next mirror of the directory, removes it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use portolan_core::limits::{TEMP_RECORD_BYTES_MAX, TEMP_RECORDS_MAX};
use portolan_fs::OwnerTag;
use portolan_remote::path::RemotePath;

/// The name of the folder for records in the state folder.
const FOLDER: &str = "temps";

/// The records of a run, shared by all of its sessions. By default there is no directory for them, and there are none.
#[derive(Debug, Clone, Default)]
pub struct TempRecords {
    /// The folder of the records, which may not exist yet.
    folder: Option<PathBuf>,
    records: Arc<Mutex<Vec<TempRecord>>>,
}

/// A record that this process has locked.
#[derive(Debug)]
struct TempRecord {
    path: PathBuf,
    file: File,
    /// The server, with port and user.
    server: String,
    /// The temporary files that are or may be on the server.
    temps: Vec<RemotePath>,
}

impl TempRecords {
    /// Returns records in the state directory `state`.
    pub fn within(state: &Path) -> Self {
        Self { folder: Some(state.join(FOLDER)), ..Self::default() }
    }

    /// Returns the path of the record of uploads to `remote`.
    pub(super) fn path(&self, server: &str, remote: &RemotePath) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let target = [server.as_bytes(), b"\n", remote.as_bytes()].concat();
        Some(folder.join(OwnerTag::of(&target).text()))
    }

    /// Returns true if this process has no record open, as in mirrors: the names of their files tell whose they are.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TempRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the record at `path`, and returns what is left of earlier uploads to its target; `None` if another process
    /// has it, or there can be none.
    pub(super) fn open(&self, path: &Path, server: &str) -> Option<Vec<RemotePath>> {
        let mut all = self.lock();
        if let Some(known) = all.iter().find(|record| record.path == path) {
            return Some(known.temps.clone());
        }
        // The state folder itself is made by the store, or there is none.
        DirBuilder::new().mode(0o700).create(path.parent()?).ok();
        let record = TempRecord::open(path, server, true)?;
        let left = record.temps.clone();
        all.push(record);
        Some(left)
    }

    /// Adds `temporary` to the record at `path`, if that is open.
    pub(super) fn add(&self, path: &Path, temporary: &RemotePath) {
        if let Some(record) = self.lock().iter_mut().find(|record| record.path == path) {
            record.temps.push(temporary.clone());
            record.write();
        }
    }

    /// Removes `temporary`, which is no longer on `server`, from its record; one with nothing in it goes.
    pub(super) fn remove(&self, server: &str, temporary: &RemotePath) {
        let mut all = self.lock();
        let has = |record: &TempRecord| record.server == server && record.temps.contains(temporary);
        let Some(at) = all.iter().position(has) else { return };
        if let Some(record) = all.get_mut(at) {
            record.temps.retain(|temp| temp != temporary);
            record.write();
            if record.temps.is_empty() {
                // Its lock is held, so no other process has found a file in it.
                fs::remove_file(&record.path).ok();
                all.swap_remove(at);
            }
        }
    }

    /// Locks all records of processes that are gone, and returns what they left on `server`.
    pub(super) fn take_over(&self, server: &str) -> Vec<RemotePath> {
        let entries = self.folder.iter().filter_map(|folder| fs::read_dir(folder).ok());
        let entries = entries.flatten().flatten().take(TEMP_RECORDS_MAX);
        let mut all = self.lock();
        for path in entries.map(|entry| entry.path()) {
            if all.iter().all(|record| record.path != path)
                && let Some(record) = TempRecord::open(&path, server, false)
                && record.server == server
            {
                all.push(record);
            }
        }
        let records = all.iter().filter(|record| record.server == server);
        records.flat_map(|record| record.temps.clone()).collect()
    }
}

impl TempRecord {
    /// Opens and locks the record at `path`; `None` if another process has it locked. A record of another host, as in a
    /// copy of its state directory, counts as empty.
    fn open(path: &Path, server: &str, is_made: bool) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(is_made).truncate(false).mode(0o600);
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut file = options.custom_flags(no_follow).open(path).ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        // Another process may have removed it in the meantime.
        let (found, named) = (file.metadata().ok()?, fs::symlink_metadata(path).ok()?);
        if (found.dev(), found.ino()) != (named.dev(), named.ino()) {
            return None;
        }
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(TEMP_RECORD_BYTES_MAX).read_to_end(&mut text).ok();
        let (server, temps) = parse(&text).unwrap_or_else(|| (server.to_owned(), Vec::new()));
        Some(Self { path: path.to_owned(), file, server, temps })
    }

    /// Writes the record. A failure, such as a full disk, costs a leftover if the process is killed, and nothing else.
    fn write(&mut self) {
        let mut text = format!("{}\n{}\n", host(), self.server).into_bytes();
        for temp in &self.temps {
            // No path has a line end in it.
            text.extend_from_slice(temp.as_bytes());
            text.push(b'\n');
        }
        let mut write = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&text)
        };
        if let Err(error) = write() {
            tracing::debug!(target: "portolan", "no record of a temporary file: {error}");
        }
    }
}

/// Parses the text of a record of this host. A last line that was not written whole does not count.
fn parse(text: &[u8]) -> Option<(String, Vec<RemotePath>)> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut lines = lines.map_while(|line| line.strip_suffix(b"\n"));
    if lines.next()? != host().as_bytes() {
        return None;
    }
    let server = String::from_utf8(lines.next()?.to_vec()).ok()?;
    let temps = lines.map(|line| RemotePath::parse(line).ok());
    Some((server, temps.collect::<Option<_>>()?))
}

/// Returns the digits by which records tell this host from others.
fn host() -> String {
    OwnerTag::of_host().map_or_else(String::new, |tag| tag.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RemotePath {
        RemotePath::parse(text).unwrap()
    }

    #[test]
    fn a_record_is_of_one_process_and_tells_the_next_what_is_left() {
        let state = tempfile::tempdir().unwrap();
        let fresh = || TempRecords::within(state.path());
        let records = fresh();
        let file = records.path("a 21 me", &path("/in/a")).unwrap();
        assert_eq!(records.open(&file, "a 21 me"), Some(vec![]));
        records.add(&file, &path("/in/PT00000A"));
        records.add(&file, &path("/in/caf\u{e9} %"));
        // While it lives, no other process has it.
        let other = fresh();
        assert_eq!(other.open(&file, "a 21 me"), None);
        assert_eq!(other.take_over("a 21 me"), []);
        drop(records);
        assert_eq!(other.take_over("b 21 me"), []);
        let left = [path("/in/PT00000A"), path("/in/caf\u{e9} %")];
        assert_eq!(other.take_over("a 21 me"), left);
        assert_eq!(other.open(&file, "a 21 me"), Some(left.to_vec()));
        other.remove("a 21 me", &left[0]);
        other.remove("a 21 me", &path("/in/other"));
        assert_eq!(other.open(&file, "a 21 me"), Some(left[1..].to_vec()));
        other.remove("a 21 me", &left[1]);
        assert!(!file.exists());
        assert_eq!(TempRecords::default().path("a 21 me", &path("/in/a")), None);
    }

    #[test]
    fn what_another_host_or_no_one_wrote_is_no_record() {
        let state = tempfile::tempdir().unwrap();
        for (number, text) in [
            String::new(),
            "0123456789abcdef\na 21 me\n/in/x\n".to_owned(),
            format!("{}\na 21 me\n\n/in/x\n", host()),
            format!("{}\na 21 me\n/in/x", host()),
        ]
        .into_iter()
        .enumerate()
        {
            let records = TempRecords::within(state.path());
            let file = records.path("a 21 me", &path(&format!("/in/{number}"))).unwrap();
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            assert_eq!(records.take_over("a 21 me"), [], "{number}");
            assert_eq!(records.open(&file, "a 21 me"), Some(vec![]), "{number}");
        }
    }
}
