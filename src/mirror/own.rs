//! What portolan keeps for itself: the folder of its state, by what it is, and its other files, by their names. No mirror
//! takes any of it for content, in either direction.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};

use super::tree::{Survey, join, parent};
use crate::files::{Root, TEMPORARY_PREFIX};

/// The database of a state folder.
const DATABASE: &[u8] = b"portolan.db";
/// What SQLite writes beside it.
const DATABASES: [&[u8]; 3] = [DATABASE, b"portolan.db-wal", b"portolan.db-shm"];
/// What else a state folder has in it.
const PARTS: [&[u8]; 9] = [
    b"portolan.db.backup",
    b"portolan.db.backup.part",
    b"marks",
    b"logs",
    b"leases",
    b"nat.lock",
    b"serve.lock",
    b"runs.lock",
    b"shell-history",
];
/// What a database of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What makes a file or folder the same under any path: its device and its number there.
pub(super) type Identity = (u64, u64);

/// The identity of the folder at `path`; None where it is not there.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether a file or folder of this name is portolan's own, wherever it is.
pub(super) fn is_own_name(name: &[u8]) -> bool {
    name.starts_with(TEMPORARY_PREFIX.as_bytes()) || DATABASES.contains(&name)
}

/// What of a state folder at `path` is portolan's own, though its name is not.
pub(super) fn parts_of(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    PARTS.iter().map(move |name| join(path, name))
}

/// The folder that `path` makes a state folder, if it is the database of one.
pub(super) fn home_of(root: &Root, path: &[u8]) -> Option<Vec<u8>> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if name != DATABASE {
        return None;
    }
    let mut head = [0; SQLITE.len()];
    let mut file = root.open_file(Path::new(OsStr::from_bytes(path))).ok()?;
    file.read_exact(&mut head).ok()?;
    (head == SQLITE).then(|| parent(path).to_vec())
}

impl Survey {
    /// Takes what is portolan's own at the paths `own` out of the tree, with all below it.
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
