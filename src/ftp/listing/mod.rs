//! Listings: what a server says is in a folder, read with nothing taken on trust.
//!
//! A [`Reader`] takes the bytes of MLSD or LIST as they come and ends in a [`Listing`], which says of itself whether it
//! is complete. The rules are in its parsers' comments; the one above them all: a line that is not understood is
//! never made into a name, and leaves the listing incomplete, so that nothing is deleted on its word (class C20).

mod dos;
mod entry;
mod eplf;
mod format;
mod line;
mod mainframe;
mod micro;
mod midrange;
mod mlsx;
mod month;
mod reader;
mod sheet;
mod stamp;
mod time_val;
mod unix;
mod unixlike;
mod vms;

#[cfg(test)]
mod tests;

pub use entry::{Entry, EntryKind, Modified, Precision};
pub use format::Format;
pub use mlsx::parse_mlst;
pub use reader::Reader;
pub use time_val::{parse_time_val, time_val};

/// One whole listing of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What is in the folder, in the server's order, without `.` and `..`.
    pub entries: Vec<Entry>,
    /// The one format that its lines were read in.
    pub format: Format,
    /// The first lines that were not taken, or not taken whole, each with the reason.
    pub refused: Vec<Refused>,
    /// How many such lines there were, also those that `refused` has no room for.
    pub refused_count: usize,
    /// Whether every line was read and taken, the last one ended in a line feed, and the trailer, where there is
    /// one, counts the same entries. No bytes at all are complete too: see `vouched`.
    pub complete: bool,
    /// Whether the server listed the folder itself (`cdir` or `.`): evidence that it did look into it, without which
    /// an empty listing may as well be a failed one.
    pub vouched: bool,
    /// The absolute path by which the server named it there, where it did.
    pub itself: Option<Vec<u8>>,
}

impl Listing {
    /// Whether what is not in it may be taken to be gone (class C20).
    pub fn may_delete(&self) -> bool {
        let is_evidence = !self.entries.is_empty() || self.vouched;
        self.complete && self.format.may_delete() && is_evidence
    }
}

/// A line that was not taken, or not taken whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line, without its line end.
    pub line: Vec<u8>,
    /// Why.
    pub why: Reason,
}

/// Why a line was not taken, or not taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The format of the listing has no such line.
    Unread,
    /// Its name is not one path component.
    Name,
    /// It is the last and has no line end: some of it may be missing.
    Cut,
    /// A link with more than one arrow, none of which fits its size.
    Link,
    /// A size that no file has. The entry is taken, without a size.
    Size,
    /// What it is is not said. The entry is taken, as `other`.
    Kind,
    /// The trailer counts more or fewer entries than there are.
    Count,
}

impl Reason {
    /// A clause for logs.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unread => "is not a line of this format",
            Self::Name => "has a name that cannot be one entry of a folder",
            Self::Cut => "has no line end and may be cut",
            Self::Link => "may be parted into name and target in more than one way",
            Self::Size => "has a size that no file has",
            Self::Kind => "does not say what it is",
            Self::Count => "counts other entries than there are",
        }
    }
}
