//! Listings: what a server says is in a folder, read with nothing taken on trust.
//!
//! A [`Reader`] takes the bytes of MLSD or LIST as they come and ends in a [`Listing`], which says of itself whether it
//! is complete. The rules are in its parsers' comments; the one above them all: a line that is not understood is
//! never made into a name, and leaves the listing incomplete, so that nothing is deleted on its word (class C20).

mod closing;
mod dates;
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
mod names;
mod nortel;
mod reader;
mod sheet;
mod stamp;
mod time_val;
mod unix;
mod unixlike;
mod vms;

use crate::{fault::Fault, limits::REFUSED_LINES_MAX, observe::visible::visible};

#[cfg(test)]
mod tests;

pub(super) use closing::says_cut;
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
    /// A listing of no bytes.
    pub(super) const fn nothing() -> Self {
        Self {
            entries: Vec::new(),
            format: Format::Unknown,
            refused: Vec::new(),
            refused_count: 0,
            complete: true,
            vouched: false,
            itself: None,
        }
    }

    /// Notes that the server says, in these `words`, that it did not list all there is.
    pub(super) fn note_cut(&mut self, words: String) {
        self.complete = false;
        self.refused_count += 1;
        self.refused.insert(0, Refused { line: words.into_bytes(), why: Reason::Closing });
        self.refused.truncate(REFUSED_LINES_MAX);
    }

    /// What is to be said of the lines that were not taken: one clause for each of the first, and one for the rest.
    pub fn complaints(&self) -> Vec<String> {
        /// Lines that are named: more would hide what else there is to see.
        const NAMED_MAX: usize = 5;
        let named = self.refused.iter().take(NAMED_MAX).map(Refused::complaint);
        let more = self.refused_count.saturating_sub(NAMED_MAX.min(self.refused.len()));
        let lines = if more == 1 { "line" } else { "lines" };
        let rest =
            (more > 0).then(|| format!("{more} more {lines} of its listing could not be taken"));
        named.chain(rest).collect()
    }

    /// The fault of a listing of which no entry could be read.
    pub fn unreadable(&self) -> Option<Fault> {
        let first = self.refused.first().filter(|_| self.entries.is_empty())?;
        let count = self.refused_count;
        let message = if first.why == Reason::Closing {
            format!("its listing shows nothing, and {}", first.complaint())
        } else {
            let lines = if count == 1 { "line" } else { "lines" };
            format!(
                "nothing in its listing of {count} {lines} could be read: {}",
                first.complaint()
            )
        };
        Some(Fault::protocol(message))
    }

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

impl Refused {
    /// A clause that names the line, safe to show, and says why it was not taken.
    pub fn complaint(&self) -> String {
        /// Bytes of a line that are shown.
        const SHOWN_MAX: usize = 160;
        let cut = if self.line.len() > SHOWN_MAX { "…" } else { "" };
        let line = visible(self.line.get(..SHOWN_MAX).unwrap_or(&self.line));
        let what = if self.why == Reason::Closing { "the server" } else { "a line of its listing" };
        format!("{what} {}: \"{line}{cut}\"", self.why.text())
    }
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
    /// It is the reply that closes the listing, and says that this is a part.
    Closing,
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
            Self::Closing => "says that not all was listed",
        }
    }
}
