//! An entry of a directory, and the precision of its time.

use jiff::{Timestamp, civil};

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, pipe, socket, or anything else that cannot be downloaded.
    Other,
}

impl EntryKind {
    /// Returns the name used in scripts and `--json`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Link => "link",
            Self::Other => "other",
        }
    }
}

/// The precision of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Milliseconds or better.
    Millisecond,
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Days.
    Day,
}

impl Precision {
    /// Returns the largest error of a time of this precision.
    pub const fn nanoseconds(self) -> i128 {
        match self {
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60 * 1_000_000_000,
            Self::Day => 24 * 3600 * 1_000_000_000,
        }
    }
}

/// The modification time of an entry, as exact as the server reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modified {
    /// A time in UTC (MLSD, MDTM, EPLF).
    Utc(Timestamp, Precision),
    /// A time in the server's own, unknown zone (LIST).
    Server(civil::DateTime, Precision),
}

impl Modified {
    /// Returns its precision.
    pub const fn precision(self) -> Precision {
        match self {
            Self::Utc(_, precision) | Self::Server(_, precision) => precision,
        }
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The exact bytes of its name: one path component.
    pub name: Vec<u8>,
    /// Its kind.
    pub kind: EntryKind,
    /// The size of a file in bytes, if the listing shows it exactly.
    pub size: Option<u64>,
    /// The modification time, if the listing shows a valid one.
    pub modified: Option<Modified>,
    /// The permission bits (`0o644`), if they are listed.
    pub mode: Option<u32>,
    /// The target of a link, as plain data: it is never followed unchecked.
    pub target: Option<Vec<u8>>,
    /// The owner, as listed.
    pub owner: Option<Vec<u8>>,
    /// The group, as listed.
    pub group: Option<Vec<u8>>,
}

impl Entry {
    /// Returns the root directory, which no listing contains.
    pub fn root() -> Self {
        Self::new(b"/", EntryKind::Dir)
    }

    /// Returns an entry that is requested by its name.
    pub(in crate::ftp) fn named(name: &[u8], kind: EntryKind) -> Self {
        Self::new(name, kind)
    }

    /// Returns an entry of which only the name and the kind are known.
    pub(super) fn new(name: &[u8], kind: EntryKind) -> Self {
        Self {
            name: name.to_vec(),
            kind,
            size: None,
            modified: None,
            mode: None,
            target: None,
            owner: None,
            group: None,
        }
    }
}
