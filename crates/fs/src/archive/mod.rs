//! Archives: gzip, zip and tar, packed and unpacked within limits.
//!
//! An archive is untrusted input. Its names stay below the folder into which it is unpacked, links and devices in it
//! are not unpacked, and its content is counted as it comes out: a few kilobytes can mean terabytes. A file gets its
//! name only when the whole archive has been unpacked, so that one which is refused leaves nothing behind.

mod gzip;
mod pack;
mod tarball;
mod unpack;
mod zipped;

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
};

use super::{AtomicFile, SourceFile};

pub use gzip::{gunzip, gzip};
pub use tarball::{tar, untar};
pub use zipped::{unzip, zip};

/// The ratio of content to archive at which text and images never arrive; deflate itself ends at 1,032.
const RATIO_MAX: u64 = 250;
/// The content below which the ratio is not looked at: a log of blank lines is no attack.
const RATIO_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// The limits of one unpacking.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// The maximum number of bytes of all files together.
    pub bytes_max: u64,
    /// The maximum number of files and directories.
    pub entries_max: u64,
}

/// The result of unpacking an archive.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// The files, relative to the directory into which they were unpacked.
    pub files: Vec<PathBuf>,
    /// The names of links and devices, which were left out.
    pub left_out: Vec<String>,
}

/// The count of what came out of an archive.
struct UnpackCount<'a> {
    limits: UnpackLimits,
    /// The size of the archive in bytes.
    packed: u64,
    bytes: u64,
    entries: u64,
    stop: &'a CancelToken,
}

impl<'a> UnpackCount<'a> {
    const fn new(limits: UnpackLimits, packed: u64, stop: &'a CancelToken) -> Self {
        Self { limits, packed, bytes: 0, entries: 0, stop }
    }

    /// Counts a file or directory.
    fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries_max {
            return Err(bomb(&format!("more than {} files", self.limits.entries_max)));
        }
        Ok(())
    }

    /// Counts bytes of content.
    fn content(&mut self, bytes: usize) -> Result<()> {
        self.stop.check()?;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.limits.bytes_max {
            return Err(bomb(&format!("more than {} bytes (`max_bytes`)", self.limits.bytes_max)));
        }
        if self.bytes > RATIO_FROM_BYTES && self.bytes / RATIO_MAX > self.packed {
            return Err(bomb(&format!("more than {RATIO_MAX} times its size")));
        }
        Ok(())
    }

    /// Copies all of `content` into `target`.
    fn copy(&mut self, content: &mut impl Read, target: &mut AtomicFile) -> Result<()> {
        let mut piece = vec![0; portolan_core::limits::COPY_BYTES];
        loop {
            let count = content.read(&mut piece).map_err(|error| damaged(&error))?;
            if count == 0 {
                return Ok(());
            }
            self.content(count)?;
            target.write_all(portolan_core::buffer::filled(&piece, count)?)?;
        }
    }
}

fn bomb(what: &str) -> Error {
    let message = format!("the archive unpacks to {what}: nothing was unpacked");
    Error::new(ErrorKind::Guard, Origin::Here, message)
}

/// Returns the error for an archive that cannot be read.
fn damaged(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, Origin::Here, format!("the archive is damaged: {error}"))
}

/// Returns the path of an entry below the directory into which it is unpacked; fails for one that leads out of it.
fn entry_path(name: &[u8]) -> Result<PathBuf> {
    let text = String::from_utf8_lossy(name);
    let refuse = |why: &str| {
        let message = format!("the archive has the name `{}`, which {why}", text.escape_debug());
        Err(Error::new(ErrorKind::Guard, Origin::Here, message))
    };
    let Ok(name) = std::str::from_utf8(name) else { return refuse("is not UTF-8") };
    if name.contains(['\0', '\\']) {
        return refuse("no system agrees on");
    }
    if name.starts_with('/') {
        return refuse("leads out of the folder");
    }
    let mut path = PathBuf::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return refuse("leads out of the folder"),
            part => path.push(part),
        }
    }
    Ok(path)
}

/// A file that is being written, as programs of archives know it.
struct PackedFile(AtomicFile);

impl Write for PackedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error behind one that has passed through a program of archives.
fn behind(error: io::Error, doing: &str, path: &Path) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::local(doing, path, error),
    }
}

/// Opens an archive, and returns its size with it.
fn opened(path: &Path) -> Result<(File, u64)> {
    let source = SourceFile::open(path)?;
    let size = source.size();
    Ok((source.into_file(), size))
}

/// Returns true if the file begins as gzip does; it is then at its beginning again.
fn is_gzip(file: &mut File, path: &Path) -> Result<bool> {
    let mut head = [0; 2];
    let mut read = || -> io::Result<bool> {
        let count = file.read(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(count == 2 && head == [0x1f, 0x8b])
    };
    read().map_err(|error| Error::local("read", path, error))
}

#[cfg(test)]
mod tests;
