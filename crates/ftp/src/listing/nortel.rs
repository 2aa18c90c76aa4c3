//! Nortel routers, and HP MPE: names first, then columns of their own.

use super::{
    dates::NumericDay,
    line::{LineFields, ParsedLine, SizeColumn, number},
    ls_time::{ClockColumn, Hints},
};
use portolan_remote::entry::{Entry, EntryKind};

/// Parses a line of Nortel's `wfFtp`: `image.exe       1014196  06/03/04  Thur.   10:20:03`.
pub(super) fn router(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let [name, size, day, weekday, clock] = fields.as_slice() else { return ParsedLine::Unread };
    let is_weekday = (3..=10).contains(&weekday.text.len())
        && weekday.text.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'.');
    let (true, Some(size), Some(day), Some(clock)) = (
        is_weekday && line.starts_with(name.text),
        SizeColumn::read(size.text),
        NumericDay::read(day.text),
        ClockColumn::read(clock.text),
    ) else {
        return ParsedLine::Unread;
    };
    hints.day_first |= day.day_first;
    let modified = day.day.at(clock);
    let entry = Entry { modified, size: size.bytes(), ..Entry::new(name.text, EntryKind::File) };
    ParsedLine::noted(entry, size.doubt())
}

/// Parses a line of MPE's `LISTF`: `REPORT   PROG     128W  FB    12    12   1    16  1  1`. The size is in records.
pub(super) fn mpe(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    let is_header = fields.begin_with(&["FILENAME", "CODE"])
        || fields.begin_with(&["SIZE", "TYP", "EOF"])
        || fields.begin_with(&["ACCOUNT="]);
    if is_header {
        return ParsedLine::Noise;
    }
    let Some((name, columns)) = fields.as_slice().split_first() else { return ParsedLine::Unread };
    let is_size = |text: &[u8]| match text {
        [digits @ .., b'W' | b'B'] => number(digits, 6).is_some(),
        _ => false,
    };
    let columns = match columns {
        [_, size, ..] if is_size(size.text) => columns.get(1..).unwrap_or_default(),
        _ => columns,
    };
    let [size, kind, counts @ ..] = columns else { return ParsedLine::Unread };
    let is_line = line.starts_with(name.text)
        && is_size(size.text)
        && (2..=3).contains(&kind.text.len())
        && kind.text.iter().all(u8::is_ascii_uppercase)
        && (3..=6).contains(&counts.len())
        && counts.iter().all(|count| number(count.text, 10).is_some() || count.text == b"*");
    if !is_line {
        return ParsedLine::Unread;
    }
    // An open file has a star after its name.
    let name = name.text.strip_suffix(b"*").unwrap_or(name.text);
    ParsedLine::judged(Entry::new(name, EntryKind::File))
}
