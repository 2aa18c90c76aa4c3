//! Partial files for resumption: a stable temporary name, and the bytes under it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Seek, SeekFrom},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{self, AtFlags, FlockOperation, Mode, OFlags},
    io::Errno,
    process::geteuid,
};

use sha2::{Digest, Sha256};

use super::{
    TEMPORARY_PREFIX, TEMPORARY_SUFFIX,
    atomic_file::{AtomicFile, create},
    metadata::{self, LocalKind},
    owner_tag::{OwnerTag, read_marked},
};
use portolan_core::{
    buffer,
    encoding::to_hex,
    error::{Error, Result},
};

/// Returns the stable temporary name of the file that `identity` describes; equal identities have equal names.
pub fn temporary_name_of(identity: &[u8]) -> String {
    format!("{TEMPORARY_PREFIX}{}{TEMPORARY_SUFFIX}", digits(identity))
}

/// Returns the first sixteen bytes of `identity` as hexadecimal digits.
pub(super) fn digits(identity: &[u8]) -> String {
    to_hex(identity.get(..16).unwrap_or(identity))
}

/// A partial file under a stable name, and the number of bytes in it.
pub(super) struct PartialFile {
    pub(super) file: File,
    pub(super) bytes: u64,
}

impl PartialFile {
    /// Opens the partial file `name`, or creates it. Returns `None` if it may not be ours alone: another user's file,
    /// a link, a file with a second name, or one that another process is writing.
    pub(super) fn take(folder: &OwnedFd, name: &str) -> Option<Self> {
        let file = match open(folder, name) {
            Err(Errno::NOENT) => create(folder.as_fd(), name),
            opened => opened,
        };
        Self::lock(file.ok()?, folder, name)
    }

    /// Opens the partial file `name` under the same conditions; `None` if there is none.
    pub(super) fn find(folder: &OwnedFd, name: &str) -> Option<Self> {
        Self::lock(open(folder, name).ok()?, folder, name)
    }

    fn lock(file: OwnedFd, folder: &OwnedFd, name: &str) -> Option<Self> {
        let mut file = File::from(file);
        let found = fs::fstat(&file).ok()?;
        let is_ours = metadata::kind(&found) == LocalKind::File
            && found.st_uid == geteuid().as_raw()
            && found.st_nlink == 1
            && found.st_mode & 0o777 == 0o600;
        if !is_ours {
            return None;
        }
        fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        // The process that had the lock may have given the file its final name, or removed it.
        let named = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if !metadata::same_file(&found, &named) {
            return None;
        }
        let bytes = file.seek(SeekFrom::End(0)).ok()?;
        Some(Self { file, bytes })
    }
}

fn open(folder: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    fs::openat(folder, name, flags, Mode::empty())
}

/// Returns the temporary name for a file called `name` that no mirror owns: the same each time, so that the next file of
/// that name is written over what a process has left that was killed. `None` if the host cannot be told from others,
/// which may write to the same disk.
pub(super) fn single_name(name: &OsStr) -> Option<String> {
    let identity = Sha256::digest(name.as_bytes());
    OwnerTag::of_host().map(|tag| tag.resumable_name(&identity))
}

/// Returns true if `name` may be one that [`single_name`] returned on this host.
pub(super) fn is_single_name(name: &OsStr) -> bool {
    let tag = OwnerTag::of_host();
    let marked = read_marked(name.as_bytes()).filter(|marked| marked.made.is_none());
    tag.zip(marked).is_some_and(|(tag, marked)| tag.text() == marked.mark)
}

impl AtomicFile {
    /// Returns the number of bytes left by an earlier attempt; 0 after [`clear`](Self::clear).
    pub const fn began_at(&self) -> u64 {
        self.began_at
    }

    /// Returns the last bytes left by an earlier attempt, at most `most`; all new bytes are appended after them.
    pub fn tail(&mut self, most: u64) -> Result<Vec<u8>> {
        let length = most.min(self.began_at);
        let mut tail = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut filled = 0;
        while let Some(room) = tail.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = self.began_at - length + filled as u64;
            match rustix::io::pread(&self.file, room, at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => return Err(Error::local("read", &self.shown, error.into())),
            }
        }
        tail.truncate(filled);
        self.go_back()?;
        Ok(tail)
    }

    /// Discards everything that was written after the bytes of an earlier attempt, for a retry.
    pub fn go_back(&mut self) -> Result<()> {
        let end = SeekFrom::Start(self.began_at);
        let back = self.file.set_len(self.began_at).and_then(|()| self.file.seek(end));
        back.map_err(|error| Error::local("cut", &self.shown, error))?;
        (self.bytes, self.on_their_way) = (self.began_at, self.began_at);
        Ok(())
    }

    /// Keeps the received bytes under the temporary name, for a retry.
    pub fn leave(mut self) {
        self.landed = true;
    }

    /// Writes `bytes` at offset `at` of a file that arrives in several segments at once.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        let mut rest = bytes;
        let mut at = at;
        while !rest.is_empty() {
            match rustix::io::pwrite(&self.file, rest, at) {
                Ok(count) => {
                    rest = buffer::rest(rest, count)?;
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(Error::local("write", &self.shown, error.into())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::is_temporary;

    #[test]
    fn a_part_that_was_left_is_gone_on_with() {
        let scratch = tempfile::tempdir().unwrap();
        let name = temporary_name_of(b"one state of one file");
        assert!(is_temporary(name.as_ref()));
        let target = scratch.path().join("a");
        let mut landing = AtomicFile::begin_as(&target, Some(&name)).unwrap();
        assert_eq!(landing.began_at(), 0);
        landing.write_all(b"01234567").unwrap();
        landing.leave();
        assert!(!target.exists());

        let mut landing = AtomicFile::begin_as(&target, Some(&name)).unwrap();
        assert_eq!((landing.began_at(), landing.bytes()), (8, 8));
        assert_eq!(landing.tail(3).unwrap(), b"567");
        landing.write_all(b"xx").unwrap();
        landing.go_back().unwrap();
        landing.write_all(b"89").unwrap();
        landing.commit(None).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"0123456789");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_part_that_is_not_left_goes_as_ever() {
        let scratch = tempfile::tempdir().unwrap();
        let mut landing = AtomicFile::begin_as(scratch.path().join("a"), Some("part")).unwrap();
        landing.write_all(b"x").unwrap();
        drop(landing);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_ours_alone_is_never_written_to() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("precious"), "precious").unwrap();
        symlink("precious", at("link")).unwrap();
        std::fs::hard_link(at("precious"), at("second")).unwrap();
        let held = AtomicFile::begin_as(at("b"), Some("held")).unwrap();
        for name in ["link", "second", "held"] {
            let mut landing = AtomicFile::begin_as(at("a"), Some(name)).unwrap();
            assert_eq!(landing.began_at(), 0, "{name}");
            landing.write_all(b"new").unwrap();
            landing.commit(None).unwrap();
        }
        drop(held);
        assert_eq!(std::fs::read(at("precious")).unwrap(), b"precious");
        assert_eq!(std::fs::read(at("a")).unwrap(), b"new");
    }

    #[test]
    fn pieces_find_their_places() {
        let scratch = tempfile::tempdir().unwrap();
        let landing = AtomicFile::begin(scratch.path().join("a")).unwrap();
        landing.write_at(b"456", 4).unwrap();
        landing.write_at(b"0123", 0).unwrap();
        landing.commit(None).unwrap();
        assert_eq!(std::fs::read(scratch.path().join("a")).unwrap(), b"0123456");
    }
}
