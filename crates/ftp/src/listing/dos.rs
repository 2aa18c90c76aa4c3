//! The output of `dir`, as IIS and other servers on Windows print it.

use super::{
    dates::NumericDay,
    line::{Field, LineFields, ParsedLine, SizeColumn},
    ls_time::{ClockColumn, Hints},
};
use portolan_remote::entry::{Entry, EntryKind, Modified};

/// The number of spaces with which IIS pads `<DIR>` to the width of its size column, and the separator.
const MARK_PADDING: usize = 10;

/// Parses one line: `03-14-26  09:05AM       <DIR>          name`.
pub(super) fn read(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let [day, columns @ ..] = fields.as_slice() else { return ParsedLine::Unread };
    let Some((clock, [what, ..])) = clock(columns) else { return ParsedLine::Unread };
    let Some(date) = NumericDay::read(day.text).filter(|_| line.starts_with(day.text)) else {
        return ParsedLine::Unread;
    };
    hints.day_first |= date.day_first;
    let modified = date.day.at(clock);
    let kind = match what.text {
        b"<DIR>" | b"<REP>" => EntryKind::Dir,
        b"<JUNCTION>" | b"<JONCTION>" | b"<SYMLINK>" | b"<SYMLINKD>" => EntryKind::Link,
        [b'<', word @ .., b'>'] if !word.is_empty() && word.iter().all(u8::is_ascii_uppercase) => {
            EntryKind::Other
        }
        _ => return file(what, modified),
    };
    let Some(name) = what.name_after(MARK_PADDING) else { return ParsedLine::Unread };
    // Some servers append a slash to directories; no name on Windows has one.
    let name = name.strip_suffix(b"/").filter(|_| kind == EntryKind::Dir).unwrap_or(name);
    let (name, target) = if kind == EntryKind::Link { link(name) } else { (name, None) };
    let target = target.map(<[u8]>::to_vec);
    ParsedLine::judged(Entry { modified, target, ..Entry::new(name, kind) })
}

/// Parses the time of day, whose `AM` or `PM` may be separated by a space, and returns the columns after it.
fn clock<'f, 'a>(columns: &'f [Field<'a>]) -> Option<(ClockColumn, &'f [Field<'a>])> {
    let (first, rest) = columns.split_first()?;
    if let [half, rest @ ..] = rest
        && matches!(half.text.to_ascii_uppercase().as_slice(), b"AM" | b"PM" | b"A" | b"P")
    {
        return Some((ClockColumn::read(&[first.text, half.text].concat())?, rest));
    }
    Some((ClockColumn::read(first.text)?, rest))
}

fn file(size: &Field<'_>, modified: Option<Modified>) -> ParsedLine {
    let (Some(size), Some(name)) = (SizeColumn::read(size.text), size.name()) else {
        return ParsedLine::Unread;
    };
    let entry = Entry { modified, size: size.bytes(), ..Entry::new(name, EntryKind::File) };
    ParsedLine::noted(entry, size.doubt())
}

/// Splits off the target in brackets that `dir` shows after the name of a link.
fn link(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let parted = text.strip_suffix(b"]").and_then(|text| {
        let at = text.windows(2).position(|part| part == b" [")?;
        Some((text.get(..at)?, text.get(at + 2..)?))
    });
    parted.map_or((text, None), |(name, target)| (name, Some(target)))
}
