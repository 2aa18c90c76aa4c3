//! Collects the parsed lines of a listing, and judges the whole at its end.

use jiff::Timestamp;

use super::{
    format::ListingFormat,
    line::ParsedLine,
    ls_time::{Hints, latest_possible, leading_clock, with_year},
    parse_error::ParseErrorKind,
    reader::too_much,
    whole::{Listing, Refused},
};
use crate::path::component;
use portolan_core::{
    error::Result,
    limits::{ENTRIES_MAX, REFUSED_LINES_MAX},
};
use portolan_remote::entry::{Entry, EntryKind, Modified, Precision};

/// The state built from the lines of a listing so far.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    entries: Vec<Entry>,
    refused: Vec<Refused>,
    refused_count: usize,
    vouched: bool,
    itself: Option<Vec<u8>>,
    hints: Hints,
    /// The first half of an entry over two lines; empty if there is none.
    open: Vec<u8>,
    /// The trailer, and the number of entries that it counts.
    trailer: Option<(Vec<u8>, usize)>,
    /// The number of directories with a slash after their names.
    marked: usize,
    /// The requested directory, if known.
    folder: Option<Vec<u8>>,
}

impl Sheet {
    /// Allows entries of `folder` to be listed by their whole paths.
    pub(super) fn set_folder(&mut self, folder: &[u8]) {
        self.folder = Some(without_slash(folder).to_vec());
    }

    /// Adds one line, in the format of the whole listing.
    pub(super) fn take(&mut self, format: ListingFormat, line: &[u8]) -> Result<()> {
        if bare(line).is_empty() {
            return Ok(());
        }
        if self.open.is_empty() {
            return self.judge(format, line);
        }
        let mut whole = std::mem::take(&mut self.open);
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            whole.extend_from_slice(line);
            return self.judge(format, &whole);
        }
        let joined = [&whole, b" ".as_slice(), line].concat();
        if matches!(format.read(&joined, &mut self.hints), ParsedLine::Entry(_)) {
            return self.judge(format, &joined);
        }
        self.refuse(&whole, ParseErrorKind::Unread);
        self.judge(format, line)
    }

    fn judge(&mut self, format: ListingFormat, line: &[u8]) -> Result<()> {
        match self.read(format, line) {
            ParsedLine::Entry(entry) => self.entries.push(entry),
            ParsedLine::Doubtful(entry, why) => {
                self.entries.push(entry);
                self.refuse(line, why);
            }
            ParsedLine::Itself(name) => {
                self.vouched = true;
                self.itself = Some(name).filter(|name| name.starts_with(b"/"));
            }
            ParsedLine::Marked(entry) => {
                self.marked += 1;
                self.entries.push(entry);
            }
            ParsedLine::Noise => {}
            ParsedLine::Count(_) if self.trailer.is_some() => {
                self.refuse(line, ParseErrorKind::Count);
            }
            ParsedLine::Count(count) => self.trailer = Some((line.to_vec(), count)),
            ParsedLine::Open => self.open = line.to_vec(),
            ParsedLine::Placed(_) => self.refuse(line, ParseErrorKind::Name),
            ParsedLine::Refused(why) => self.refuse(line, why),
            ParsedLine::Unread => self.refuse(line, ParseErrorKind::Unread),
        }
        if self.entries.len() > ENTRIES_MAX {
            return Err(too_much("entries", ENTRIES_MAX));
        }
        Ok(())
    }

    /// Parses `line`; an entry listed by its whole path is accepted if that lies in this directory.
    fn read(&mut self, format: ListingFormat, line: &[u8]) -> ParsedLine {
        let entry = match format.read(line, &mut self.hints) {
            ParsedLine::Placed(entry) => entry,
            line => return line,
        };
        let path = if entry.kind == EntryKind::Dir {
            without_slash(&entry.name)
        } else {
            entry.name.as_slice()
        };
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
        let (folder, name) = (path.get(..at), path.get(at + 1..).unwrap_or_default().to_vec());
        let is_here = |known: &Vec<u8>| folder == Some(without_slash(known));
        if self.folder.as_ref().is_some_and(is_here) || self.itself.as_ref().is_some_and(is_here) {
            return ParsedLine::judged(Entry { name, ..entry });
        }
        ParsedLine::Placed(entry)
    }

    /// Records a rejected line.
    pub(super) fn refuse(&mut self, line: &[u8], why: ParseErrorKind) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_LINES_MAX {
            self.refused.push(Refused { line: line.to_vec(), why });
        }
    }

    /// Returns the listing, after the checks that need all of it.
    pub(super) fn finish(mut self, format: ListingFormat, now: Timestamp) -> Listing {
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.refuse(&open, ParseErrorKind::Unread);
        }
        if self.hints.clocks > 0 && self.hints.others == 0 {
            self.move_clocks();
        }
        if self.marked > 0 {
            self.unmark();
        }
        if let Some((line, count)) = self.trailer.take()
            && count != self.entries.len()
        {
            self.refuse(&line, ParseErrorKind::Count);
        }
        // VMS lists every version of a file, the newest first; the others are not names of their own.
        if format == ListingFormat::Vms {
            self.entries.dedup_by(|next, first| next.name == first.name);
        }
        self.date(now);
        let complete = self.refused_count == 0 && format.is_tree();
        Listing {
            entries: self.entries,
            format,
            refused: self.refused,
            refused_count: self.refused_count,
            complete,
            vouched: self.vouched,
            itself: self.itself,
        }
    }

    /// Splits off the time of day that begins every name of this listing: `Jun 14  2026 08:30 name`.
    fn move_clocks(&mut self) {
        for mut entry in std::mem::take(&mut self.entries) {
            let Some((clock, name)) = leading_clock(&entry.name) else { continue };
            let name = name.to_vec();
            if let Some(Modified::Server(day, Precision::Day)) = entry.modified {
                entry.modified = clock.on(day.date());
            }
            match name.as_slice() {
                b"." if entry.kind == EntryKind::Dir => self.vouched = true,
                b".." if entry.kind == EntryKind::Dir => {}
                _ if component(&name).is_err() => self.refuse(&entry.name, ParseErrorKind::Name),
                _ => self.entries.push(Entry { name, ..entry }),
            }
        }
    }

    /// Removes the marks of `ls -F` from the names, if every directory has one: otherwise a slash would be part of a
    /// name, which is invalid. Programs have a star after their names only if all of them do, since `ls -p` marks
    /// directories only.
    fn unmark(&mut self) {
        let is_marked = self.hints.plain_folders == 0;
        let is_program =
            |entry: &Entry| entry.kind == EntryKind::File && entry.mode.unwrap_or(0) & 0o111 != 0;
        let has_stars =
            self.entries.iter().filter(|entry| is_program(entry)).all(|e| e.name.ends_with(b"*"));
        for mut entry in std::mem::take(&mut self.entries) {
            let marks: &[u8] = match entry.kind {
                EntryKind::Dir => b"/",
                EntryKind::File if has_stars && is_program(&entry) => b"*",
                EntryKind::Link if entry.target.is_none() => b"@",
                EntryKind::Other => b"=|",
                EntryKind::File | EntryKind::Link => b"",
            };
            let is_last = entry.name.last().is_some_and(|last| marks.contains(last));
            let name = entry.name.clone();
            if is_marked && is_last {
                entry.name.pop();
            }
            match (entry.kind, entry.name.as_slice()) {
                (EntryKind::Dir, b".") => self.vouched = true,
                (EntryKind::Dir, b"..") => {}
                (_, bare) if component(bare).is_err() => self.refuse(&name, ParseErrorKind::Name),
                _ => self.entries.push(entry),
            }
        }
    }

    /// Completes times with the years that are not listed, and drops the times of ambiguous months (rule L9).
    fn date(&mut self, now: Timestamp) {
        let latest = latest_possible(now);
        let is_march_in_doubt = self.hints.mar && self.hints.finnish;
        for entry in &mut self.entries {
            entry.modified = entry.modified.and_then(|modified| match modified {
                // One date with its day first makes all dates in numbers ambiguous.
                Modified::Server(..) if self.hints.day_first => None,
                Modified::Server(at, _) if is_march_in_doubt && at.month() == 3 => None,
                _ => with_year(modified, latest),
            });
        }
    }
}

/// Returns a path without a trailing slash: that of the root is empty.
fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Returns `line` without the blanks at both ends.
pub(super) fn bare(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}
