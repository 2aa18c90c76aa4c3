//! OS/2 and `VxWorks`, whose lines begin with the size.

use super::{
    line::{Field, LineFields, ParsedLine, SizeColumn, small},
    ls_time::{ClockColumn, Day, numeric_date, year},
    month::month,
};
use portolan_remote::entry::{Entry, EntryKind};

/// The number of spaces before the name in listings of OS/2.
const OS2_PADDING: usize = 2;
/// The number of spaces before the name in listings of `VxWorks`.
const VXWORKS_PADDING: usize = 3;

/// Parses a line of OS/2: `512      R    07-14-99   12:37  SYS.INI`.
pub(super) fn os2(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    let Some((size, columns)) = fields.as_slice().split_first() else { return ParsedLine::Unread };
    let marks = columns.iter().take_while(|field| is_mark(field)).count();
    let (marks, columns) = columns.split_at(marks);
    let [day, clock, ..] = columns else { return ParsedLine::Unread };
    let (Some(size), Some(day), Some(at)) =
        (SizeColumn::read(size.text), os2_day(day.text), ClockColumn::read(clock.text))
    else {
        return ParsedLine::Unread;
    };
    let Some(name) = clock.name_after(OS2_PADDING) else { return ParsedLine::Unread };
    let is_dir = marks.iter().any(|mark| mark.text == b"DIR");
    let kind = if is_dir { EntryKind::Dir } else { EntryKind::File };
    let entry = Entry {
        size: size.bytes().filter(|_| !is_dir),
        modified: day.at(at),
        ..Entry::new(name, kind)
    };
    ParsedLine::noted(entry, size.doubt())
}

/// Returns true for `DIR` or letters of attributes.
fn is_mark(field: &Field<'_>) -> bool {
    field.text == b"DIR" || field.text.iter().all(|letter| b"RAHS".contains(letter))
}

/// Parses `02-11-126`, month first, years from 1900.
fn os2_day(text: &[u8]) -> Option<Day> {
    let (b'-', [m, d, y]) = numeric_date(text)? else { return None };
    Some(Day { year: year(y)?, month: small(m, 2)?, number: small(d, 2)? })
}

/// Parses a line of `VxWorks`: `512    FEB-11-2026  14:22:06   LOGS              <DIR>`.
pub(super) fn vxworks(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    let [size, day, clock, ..] = fields.as_slice() else { return ParsedLine::Unread };
    let (Some(size), Some(day), Some(at)) =
        (SizeColumn::read(size.text), vxworks_day(day.text), ClockColumn::read(clock.text))
    else {
        return ParsedLine::Unread;
    };
    let Some(name) = clock.name_after(VXWORKS_PADDING) else { return ParsedLine::Unread };
    // The name column is padded with spaces before the mark of a directory.
    let (name, kind) = match name.strip_suffix(b"<DIR>") {
        Some(name) => (name.trim_ascii_end(), EntryKind::Dir),
        None => (name, EntryKind::File),
    };
    let entry = Entry {
        size: size.bytes().filter(|_| kind == EntryKind::File),
        modified: day.at(at),
        ..Entry::new(name, kind)
    };
    ParsedLine::noted(entry, size.doubt())
}

/// Parses `FEB-11-2026`.
fn vxworks_day(text: &[u8]) -> Option<Day> {
    let mut parts = text.splitn(3, |byte| *byte == b'-');
    let month = month(parts.next()?)?.number.into();
    let number = small(parts.next()?, 2)?;
    Some(Day { year: year(parts.next()?)?, month, number })
}
