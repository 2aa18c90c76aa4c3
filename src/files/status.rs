//! What a file is: kind, size, time and mode, in the words that both sides of a mirror share.

use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_OMIT};

/// What sort of thing stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, whatever it leads to.
    Link,
    /// A device, pipe or socket: never read, written or sent.
    Other,
}

impl LocalKind {
    /// The word that scripts and `--json` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::Other => "other",
        }
    }
}

/// A file or folder of this machine, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEntry {
    /// Its path below the folder that was looked into.
    pub path: PathBuf,
    /// What it is; a link is a link.
    pub kind: LocalKind,
    /// Bytes of a file; of anything else what the file system says.
    pub size: u64,
    /// When its content last changed.
    pub modified: Timestamp,
    /// Its permissions, with the special bits.
    pub mode: u32,
    /// Its device and its number there, which are its own under any name.
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

/// When the record of the file last changed, as seconds and nanoseconds.
pub(super) fn touched(status: &Stat) -> (i64, i64) {
    (status.st_ctime, i64::try_from(status.st_ctime_nsec).unwrap_or(0))
}

/// Whether both are one file of which nothing was changed between the two looks.
pub(super) fn is_untouched(before: &Stat, now: &Stat) -> bool {
    same_file(before, now) && touched(before) == touched(now)
}

/// The time of the last change; a time that no calendar holds becomes the nearest one that it does.
pub(super) fn modified(status: &Stat) -> Timestamp {
    let seconds = status.st_mtime;
    let nanoseconds = i32::try_from(status.st_mtime_nsec).unwrap_or(0);
    Timestamp::new(seconds, nanoseconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Whether both are the same file, under whatever names.
pub(super) fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// The times to set for a file modified at `modified`; the time of the last reading stays as it is.
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
