//! The output of `DIRECTORY` on `OpenVMS`.

use super::{
    line::{Field, LineFields, ParsedLine, number},
    ls_time::{ClockColumn, named_day},
    parse_error::ParseErrorKind,
};
use portolan_remote::entry::{Entry, EntryKind, Modified};

/// Parses one entry: `MANUAL.TXT;3  12/15  9-FEB-2026 14:22:07  [OPS,LEE]  (RWED,RWED,RE,)`. A long name has a line of
/// its own, and the caller joins the next line to it.
pub(super) fn read(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    if let Some(line) = around(&fields) {
        return line;
    }
    let (Some(first), fields) = (fields.as_slice().first(), fields.as_slice()) else {
        return ParsedLine::Unread;
    };
    let Some(name) = unversioned(first.text).filter(|_| line.starts_with(first.text)) else {
        return ParsedLine::Unread;
    };
    let (name, kind) = match name.strip_suffix(b".DIR") {
        Some(name) => (name, EntryKind::Dir),
        None => (name, EntryKind::File),
    };
    match fields {
        [_] => ParsedLine::Open,
        [_, why, ..] if why.text.starts_with(b"%") => {
            ParsedLine::noted(Entry::new(name, EntryKind::Other), Some(ParseErrorKind::Kind))
        }
        [_, blocks, columns @ ..] if is_blocks(blocks.text) => entry(name, kind, columns),
        [_, columns @ ..] => entry(name, kind, columns),
        [] => ParsedLine::Unread,
    }
}

/// Returns the entry with these last columns: its day, and its time, owner and rights, each of which may be missing.
///
/// Blocks of 512 bytes give only an upper limit of the length of a file: its size stays unknown (rule L6).
fn entry(name: &[u8], kind: EntryKind, columns: &[Field<'_>]) -> ParsedLine {
    let (day, columns) = match columns {
        [day, columns @ ..] if named_day(day.text).is_some() => (named_day(day.text), columns),
        columns => (None, columns),
    };
    let (clock, columns) = match columns {
        [clock, columns @ ..] if day.is_some() && ClockColumn::read(clock.text).is_some() => {
            (ClockColumn::read(clock.text), columns)
        }
        columns => (None, columns),
    };
    let is_bracketed = |field: Option<&Field<'_>>, sign: u8| {
        field.is_some_and(|field| field.text.first() == Some(&sign))
    };
    let is_owned = is_bracketed(columns.first(), b'[');
    let is_whole = match columns.first() {
        None => day.is_some(),
        first => is_owned || is_bracketed(first, b'('),
    };
    if !is_whole {
        return ParsedLine::Unread;
    }
    let modified: Option<Modified> = day.and_then(|day| match clock {
        Some(clock) => day.at(clock),
        None => day.alone(),
    });
    let owner = columns.first().filter(|_| is_owned).map(|field| field.text.to_vec());
    ParsedLine::judged(Entry { modified, owner, ..Entry::new(name, kind) })
}

/// Parses the lines above and below the entries: `Directory DISK:[OPS]`, `Total of 3 files, 45/60 blocks.`
fn around(fields: &LineFields<'_>) -> Option<ParsedLine> {
    if fields.begin_with(&["Directory"]) && fields.as_slice().len() == 2 {
        return Some(ParsedLine::Noise);
    }
    if !fields.begin_with(&["Total", "of"]) {
        return None;
    }
    let [_, _, count, files, ..] = fields.as_slice() else { return None };
    let count = usize::try_from(number(count.text, 9)?).ok()?;
    files.text.starts_with(b"file").then_some(ParsedLine::Count(count))
}

/// Returns `NAME.TYPE` of `NAME.TYPE;3`. A file without a type may have no dot.
fn unversioned(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().rposition(|byte| *byte == b';')?;
    number(text.get(at + 1..)?, 5)?;
    text.get(..at).filter(|name| !name.is_empty())
}

/// Returns true for `12` or `12/15`.
fn is_blocks(text: &[u8]) -> bool {
    text.splitn(2, |byte| *byte == b'/').all(|part| number(part, 12).is_some())
}
