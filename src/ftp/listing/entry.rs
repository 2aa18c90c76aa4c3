//! One entry of a folder, and how well its time is known.

use jiff::{Timestamp, civil};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, pipe, socket, or what cannot be fetched.
    Other,
}

impl EntryKind {
    /// The word that scripts and `--json` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Link => "link",
            Self::Other => "other",
        }
    }
}

/// How exactly a time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// To the millisecond or better.
    Millisecond,
    /// To the second.
    Second,
    /// To the minute.
    Minute,
    /// To the day.
    Day,
}

impl Precision {
    /// How much a time of this precision may be off.
    pub const fn nanoseconds(self) -> i128 {
        match self {
            Self::Millisecond => 1_000_000,
            Self::Second => 1_000_000_000,
            Self::Minute => 60 * 1_000_000_000,
            Self::Day => 24 * 3600 * 1_000_000_000,
        }
    }
}

/// When an entry was last changed, as well as the server said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modified {
    /// In universal time (MLSD, MDTM, EPLF).
    Utc(Timestamp, Precision),
    /// In the server's own, unknown zone (LIST).
    Server(civil::DateTime, Precision),
}

impl Modified {
    /// How exactly it is known.
    pub const fn precision(self) -> Precision {
        match self {
            Self::Utc(_, precision) | Self::Server(_, precision) => precision,
        }
    }
}

/// One entry of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The exact bytes of its name: one path component.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file, where the listing says so exactly.
    pub size: Option<u64>,
    /// When it was changed, where the listing has a time that exists.
    pub modified: Option<Modified>,
    /// Permission bits (`0o644`), where they are listed.
    pub mode: Option<u32>,
    /// Where a link points; data, never followed on its word.
    pub target: Option<Vec<u8>>,
    /// Owner, as listed.
    pub owner: Option<Vec<u8>>,
    /// Group, as listed.
    pub group: Option<Vec<u8>>,
}

impl Entry {
    /// The root folder, which stands in no listing.
    pub fn root() -> Self {
        Self::new(b"/", EntryKind::Dir)
    }

    /// The same, for what is asked for by its name.
    pub(in crate::ftp) fn named(name: &[u8], kind: EntryKind) -> Self {
        Self::new(name, kind)
    }

    /// An entry of which only the name and the kind are known.
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
