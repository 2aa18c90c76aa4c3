//! The bytes of files of this machine, as far as size and time do not tell whether they changed.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use sha2::{Digest, Sha256};

use super::tree::{NodeKind, Survey, utc};
use crate::{
    fault::{Kind, Outcome},
    files::{Reading, Root},
    ftp::{
        base::{Base, Hash},
        transfer::Give,
    },
    limits::COPY_BYTES,
    stop::Stop,
};

/// A file that is sent, and the hash of what was.
pub(super) struct Hashed {
    reading: Reading,
    hasher: Sha256,
}

impl Hashed {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, hasher: Sha256::new() }
    }

    pub(super) fn hash(self) -> Hash {
        self.hasher.finalize().into()
    }
}

impl Give for Hashed {
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let count = self.reading.give(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.hasher = Sha256::new();
        self.reading.restart()
    }

    fn check(&self) -> Outcome<()> {
        self.reading.check()
    }
}

/// Finds out which files of this machine have the bytes that `base` knows, though their times differ: a fresh checkout
/// has new times and old bytes. Reads them, so not for the thread of sessions.
pub(super) fn settle(here: &mut Survey, top: &Path, base: &Base, stop: &Stop) -> Outcome<()> {
    let asked = base.iter().filter_map(|(path, pair)| {
        let node = here.tree.get(path).filter(|node| node.kind == NodeKind::File)?;
        let (size, time) = node.size.zip(utc(node))?;
        let hash = pair.hash.filter(|_| pair.is_local(size, time).is_none())?;
        Some((path.as_slice(), hash))
    });
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return Ok(());
    }
    let root = Root::open(top)?;
    let mut buffer = vec![0; COPY_BYTES];
    for (path, wanted) in asked {
        if hash_of(&root, path, &mut buffer, stop)? == Some(wanted) {
            here.tree.set_same_content(path);
        }
    }
    Ok(())
}

/// The hash of one file; nothing where it cannot be read, or changes meanwhile: its turn to fail comes when it is sent.
pub(super) fn hash_of(
    root: &Root,
    path: &[u8],
    buffer: &mut [u8],
    stop: &Stop,
) -> Outcome<Option<Hash>> {
    let mut read = || -> Outcome<Hash> {
        let mut reading = Reading::open_in(root, Path::new(OsStr::from_bytes(path)))?;
        let mut hasher = Sha256::new();
        loop {
            stop.check()?;
            let count = reading.read(buffer)?;
            if count == 0 {
                reading.unchanged()?;
                return Ok(hasher.finalize().into());
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
    };
    match read() {
        Err(fault) if fault.kind == Kind::Interrupted => Err(fault),
        hash => Ok(hash.ok()),
    }
}
