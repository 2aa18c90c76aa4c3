//! Portolan's own files: its state directory, recognized by its contents, and its other files, recognized by their
//! names. No mirror treats any of them as content, in either direction.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use super::tree::{ScanResult, join, parent};
use portolan_fs::{RootDir, TEMPORARY_PREFIX, read_marked};

/// The directory on the server that is the claim of a run.
pub(super) const CLAIM_FOLDER: &[u8] = b".portolan-lock";
/// The file on the server that holds the base if it is kept there.
pub(super) const STATE_FILE: &[u8] = b".portolan-state";
/// The database of a state directory.
const DATABASE: &[u8] = b"portolan.db";
/// The database and the files that SQLite writes beside it.
const DATABASES: [&[u8]; 3] = [DATABASE, b"portolan.db-wal", b"portolan.db-shm"];
/// The other entries of a state directory.
const PARTS: [&[u8]; 11] = [
    b"portolan.db.backup",
    b"portolan.db.backup.part",
    b"marks",
    b"temps",
    b"logs",
    b"leases",
    b"releases",
    b"nat.lock",
    b"serve.lock",
    b"runs.lock",
    b"shell-history",
];
/// The first bytes of an SQLite database.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The identity of a file or directory under any path: its device and inode number.
pub(super) type FileId = (u64, u64);

/// Returns the identity of the directory at `path`; `None` if it does not exist.
pub(super) fn identity(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Returns true if a file or directory of this name is portolan's own, wherever it is.
pub(super) fn is_own_name(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY_PREFIX.as_bytes()) || DATABASES.contains(&name)
}

/// Returns true if `path` is a temporary file that can be resumed.
pub(super) fn is_lasting(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    read_marked(name).is_some_and(|marked| marked.made.is_none())
}

/// Returns the entries of a state directory at `path` that are portolan's own although their names do not show it.
pub(super) fn parts_of(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    PARTS.iter().map(move |name| join(path, name))
}

/// Returns the state directory that contains `path`, if that is the database of one.
pub(super) fn home_of(root: &RootDir, path: &[u8]) -> Option<Vec<u8>> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if name != DATABASE {
        return None;
    }
    let mut head = [0; SQLITE.len()];
    let mut file = root.open_file(Path::new(OsStr::from_bytes(path))).ok()?;
    file.read_exact(&mut head).ok()?;
    (head == SQLITE).then(|| parent(path).to_vec())
}

impl ScanResult {
    /// Removes portolan's own files at the paths `own` from the tree, with all below them.
    pub(super) fn withdraw(&mut self, own: &[Vec<u8>]) {
        for path in own {
            let is_there = self.tree.get(path).is_some();
            self.tree.cut(path);
            if is_there {
                self.tree.keep_folder_of(path);
            }
            let is_below = |left: &[u8]| {
                left.strip_prefix(&path[..]).is_some_and(|rest| rest.starts_with(b"/"))
            };
            self.leftovers.retain(|left| !is_below(left));
        }
    }
}
