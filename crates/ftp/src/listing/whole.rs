//! A whole listing of one directory, and the lines that were rejected.

use super::{format::ListingFormat, parse_error::ParseErrorKind};
use portolan_core::{error::Error, limits::REFUSED_LINES_MAX, observe::visible::visible};
use portolan_remote::entry::Entry;

/// A whole listing of one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The entries of the directory, in the server's order, without `.` and `..`.
    pub entries: Vec<Entry>,
    /// The one format in which its lines were parsed.
    pub format: ListingFormat,
    /// The first lines that were rejected in whole or in part, each with the reason.
    pub refused: Vec<Refused>,
    /// The number of such lines, including those that do not fit into `refused`.
    pub refused_count: usize,
    /// True if every line was parsed and accepted, the last one ended in a line feed, and the trailer, if there is one,
    /// counts the same entries. An empty listing is complete too: see `vouched`.
    pub complete: bool,
    /// True if the server listed the directory itself (`cdir` or `.`): evidence that it did look into it, without which
    /// an empty listing may as well be a failed one.
    pub vouched: bool,
    /// The absolute path that the server gave for it there, if it did.
    pub itself: Option<Vec<u8>>,
}

impl Listing {
    /// Returns a listing of no bytes.
    pub(crate) const fn nothing() -> Self {
        Self {
            entries: Vec::new(),
            format: ListingFormat::Unknown,
            refused: Vec::new(),
            refused_count: 0,
            complete: true,
            vouched: false,
            itself: None,
        }
    }

    /// Records that the server reports, in these `words`, that the listing is incomplete.
    pub(crate) fn note_cut(&mut self, words: String) {
        self.complete = false;
        self.refused_count += 1;
        self.refused.insert(0, Refused { line: words.into_bytes(), why: ParseErrorKind::Closing });
        self.refused.truncate(REFUSED_LINES_MAX);
    }

    /// Returns the messages about the rejected lines: one clause for each of the first, and one for the rest.
    pub fn complaints(&self) -> Vec<String> {
        /// The maximum number of lines in these messages: more would hide other messages.
        const NAMED_MAX: usize = 5;
        let named = self.refused.iter().take(NAMED_MAX).map(Refused::complaint);
        let more = self.refused_count.saturating_sub(NAMED_MAX.min(self.refused.len()));
        let lines = if more == 1 { "line" } else { "lines" };
        let rest =
            (more > 0).then(|| format!("{more} more {lines} of its listing could not be taken"));
        named.chain(rest).collect()
    }

    /// Returns the error of a listing of which no entry could be parsed.
    pub fn unreadable(&self) -> Option<Error> {
        let first = self.refused.first().filter(|_| self.entries.is_empty())?;
        let count = self.refused_count;
        let message = if first.why == ParseErrorKind::Closing {
            format!("its listing shows nothing, and {}", first.complaint())
        } else {
            let lines = if count == 1 { "line" } else { "lines" };
            format!(
                "nothing in its listing of {count} {lines} could be read: {}",
                first.complaint()
            )
        };
        Some(Error::protocol(message))
    }

    /// Returns true if entries that are not in it may be assumed to be deleted (class C20).
    pub fn may_delete(&self) -> bool {
        let is_evidence = !self.entries.is_empty() || self.vouched;
        self.complete && self.format.may_delete() && is_evidence
    }
}

/// A line that was rejected in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line, without its line end.
    pub line: Vec<u8>,
    /// The reason.
    pub why: ParseErrorKind,
}

impl Refused {
    /// Returns a clause with the line, safe to show, and the reason for its rejection.
    pub fn complaint(&self) -> String {
        /// The maximum number of bytes of a line that are shown.
        const SHOWN_MAX: usize = 160;
        let cut = if self.line.len() > SHOWN_MAX { "…" } else { "" };
        let line = visible(self.line.get(..SHOWN_MAX).unwrap_or(&self.line));
        let what = if self.why == ParseErrorKind::Closing {
            "the server"
        } else {
            "a line of its listing"
        };
        format!("{what} {}: \"{line}{cut}\"", self.why.text())
    }
}
