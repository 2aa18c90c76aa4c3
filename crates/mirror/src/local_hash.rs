//! Hashes of local files, as far as size and time do not show whether they changed.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{
    sync_base::{Hash, SyncBase},
    tree::{NodeKind, ScanResult, utc},
};
use portolan_core::{
    buffer,
    cancel::CancelToken,
    encoding::to_hex,
    error::{ErrorKind, Result},
    limits::COPY_BYTES,
};
use portolan_fs::{RootDir, SourceFile, SymlinkPolicy};
use portolan_remote::{
    hash::HashAlgorithm,
    source_sink::{ByteSink, ByteSource},
};

/// A file that is sent or fetched, with the hash of the bytes so far.
pub(super) struct Hashed<T> {
    file: T,
    hasher: blake3::Hasher,
}

impl<T> Hashed<T> {
    pub(super) fn new(file: T) -> Self {
        Self { file, hasher: blake3::Hasher::new() }
    }

    pub(super) fn hash(&self) -> Hash {
        self.hasher.finalize().into()
    }
}

impl ByteSource for Hashed<SourceFile> {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.file.give(buffer)?;
        self.hasher.update(buffer::filled(buffer, count)?);
        Ok(count)
    }

    fn restart(&mut self) -> Result<()> {
        self.hasher.reset();
        self.file.restart()
    }

    fn check(&self) -> Result<()> {
        self.file.check()
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(self.file.identity())
    }

    fn begin_anew(&mut self) -> Result<bool> {
        self.hasher.reset();
        self.file.begin_anew()
    }
}

impl<T: ByteSink> ByteSink for Hashed<&mut T> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.file.take(bytes)
    }

    fn restart(&mut self) -> Result<()> {
        self.hasher.reset();
        self.file.restart()
    }
}

/// A hash that is being computed.
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha1(Sha1),
    Md5(Md5),
    Crc32(crc32fast::Hasher),
}

impl Hasher {
    pub(super) fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            HashAlgorithm::Sha1 => Self::Sha1(Sha1::new()),
            HashAlgorithm::Md5 => Self::Md5(Md5::new()),
            HashAlgorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Crc32(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the hash in hexadecimal digits.
    pub(super) fn text(self) -> String {
        match self {
            Self::Sha256(hasher) => to_hex(hasher.finalize()),
            Self::Sha1(hasher) => to_hex(hasher.finalize()),
            Self::Md5(hasher) => to_hex(hasher.finalize()),
            Self::Crc32(hasher) => to_hex(hasher.finalize().to_be_bytes()),
        }
    }
}

/// Finds the local files that have the bytes recorded in `base` although their times differ: a fresh checkout has new
/// times and old bytes. Reads the files, so it must not run on the thread of the sessions.
pub(super) fn hash_changed_files(
    here: &mut ScanResult,
    (top, links): (&Path, SymlinkPolicy),
    base: &SyncBase,
    stop: &CancelToken,
) -> Result<()> {
    let asked = base.iter().filter_map(|(path, pair)| {
        let node = here.tree.get(path).filter(|node| node.kind == NodeKind::File)?;
        let (size, time) = node.size.zip(utc(node))?;
        let hash = pair.hash.filter(|_| pair.is_local(size, time).is_none())?;
        Some((&**path, hash))
    });
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return Ok(());
    }
    let root = RootDir::open_with(top, links)?;
    let mut buffer = vec![0; COPY_BYTES];
    for (path, wanted) in asked {
        if hash_of(&root, path, &mut buffer, stop)? == Some(wanted) {
            here.tree.set_same_content(path);
        }
    }
    Ok(())
}

/// Returns the hash of one file; `None` if it cannot be read or changes meanwhile: it fails when it is sent.
pub(super) fn hash_of(
    root: &RootDir,
    path: &[u8],
    buffer: &mut [u8],
    stop: &CancelToken,
) -> Result<Option<Hash>> {
    let mut read = || -> Result<Hash> {
        let mut reading = SourceFile::open_in(root, Path::new(OsStr::from_bytes(path)))?;
        let mut hasher = blake3::Hasher::new();
        loop {
            stop.check()?;
            let count = reading.read(buffer)?;
            if count == 0 {
                reading.unchanged()?;
                return Ok(hasher.finalize().into());
            }
            hasher.update(buffer::filled(buffer, count)?);
        }
    };
    match read() {
        Err(fault) if fault.kind == ErrorKind::Interrupted => Err(fault),
        hash => Ok(hash.ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_is_that_of_other_programs() {
        for (algorithm, hash) in [
            (
                HashAlgorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (HashAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (HashAlgorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (HashAlgorithm::Crc32, "352441c2"),
        ] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.text(), hash, "{algorithm:?}");
        }
    }
}
