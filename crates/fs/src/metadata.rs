//! File metadata: kind, size, time and mode, in the form that both sides of a mirror share.

use std::path::PathBuf;
use strum::IntoStaticStr;

use jiff::Timestamp;
use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_OMIT};

/// The kind of a file system entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum LocalKind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A symbolic link, whatever it leads to.
    Link,
    /// A device, pipe or socket: never read, written or sent.
    Other,
}

impl LocalKind {
    /// Returns the word that scripts and `--json` use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The metadata of a local file or directory at the time it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEntry {
    /// The path relative to the directory that was listed.
    pub path: PathBuf,
    /// The kind; links are not followed.
    pub kind: LocalKind,
    /// The size of a file in bytes; for anything else the size that the file system reports.
    pub size: u64,
    /// The modification time of the content.
    pub modified: Timestamp,
    /// The permissions, with the special bits.
    pub mode: u32,
    /// The device and inode number, which are the same under any name.
    pub identity: (u64, u64),
}

impl LocalEntry {
    pub(super) fn new(path: PathBuf, status: &Stat) -> Self {
        Self {
            path,
            kind: kind(status),
            size: size(status),
            modified: modified(status),
            mode: status.st_mode & 0o7777,
            identity: (status.st_dev, status.st_ino),
        }
    }
}

pub(super) fn kind(status: &Stat) -> LocalKind {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => LocalKind::File,
        FileType::Directory => LocalKind::Folder,
        FileType::Symlink => LocalKind::Link,
        _ => LocalKind::Other,
    }
}

pub(super) fn size(status: &Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(0)
}

/// Returns the status change time (ctime) as seconds and nanoseconds.
pub(super) fn touched(status: &Stat) -> (i64, i64) {
    (status.st_ctime, i64::try_from(status.st_ctime_nsec).unwrap_or(0))
}

/// Returns true if both are the same file and it was not changed in between.
pub(super) fn is_untouched(before: &Stat, now: &Stat) -> bool {
    same_file(before, now) && touched(before) == touched(now)
}

/// Returns the modification time; a time outside the supported range becomes the nearest one in it.
pub(super) fn modified(status: &Stat) -> Timestamp {
    let seconds = status.st_mtime;
    let nanoseconds = i32::try_from(status.st_mtime_nsec).unwrap_or(0);
    Timestamp::new(seconds, nanoseconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Returns true if both are the same file, possibly under different names.
pub(super) fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// Returns the times to set for a file modified at `modified`; the access time stays as it is.
pub(super) fn times(modified: Timestamp) -> Timestamps {
    const BILLION: i128 = 1_000_000_000;
    let whole = modified.as_nanosecond();
    let seconds = i64::try_from(whole.div_euclid(BILLION)).unwrap_or(0);
    let rest = i64::try_from(whole.rem_euclid(BILLION)).unwrap_or(0);
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: rest },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_has_nanoseconds_that_count_up() {
        let time = Timestamp::new(-2, -250_000_000).unwrap();
        let set = times(time).last_modification;
        assert_eq!((set.tv_sec, set.tv_nsec), (-3, 750_000_000));
    }
}
