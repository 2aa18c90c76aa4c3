//! `dir`, as IIS and other servers on Windows print it.

use super::{
    entry::{Entry, EntryKind, Modified},
    line::{Field, Fields, Line, Size, small},
    stamp::{Clock, Day, numeric_date, year},
};

/// Spaces that IIS fills up `<DIR>` with, to the width of its column of sizes, and the separator.
const MARK_PADDING: usize = 10;

/// Reads one line: `03-14-26  09:05AM       <DIR>          name`.
pub(super) fn read(line: &[u8]) -> Line {
    let fields = Fields::of(line);
    let [day, clock, what, ..] = fields.as_slice() else { return Line::Unread };
    if !line.starts_with(day.text) {
        return Line::Unread;
    }
    let (Some(day), Some(clock)) = (date(day.text), Clock::read(clock.text)) else {
        return Line::Unread;
    };
    let modified = day.at(clock);
    let kind = match what.text {
        b"<DIR>" => EntryKind::Dir,
        b"<JUNCTION>" | b"<SYMLINK>" | b"<SYMLINKD>" => EntryKind::Link,
        _ => return file(what, modified),
    };
    let Some(name) = what.name_after(MARK_PADDING) else { return Line::Unread };
    let (name, target) = if kind == EntryKind::Link { link(name) } else { (name, None) };
    let target = target.map(<[u8]>::to_vec);
    Line::judged(Entry { modified, target, ..Entry::new(name, kind) })
}

fn file(size: &Field<'_>, modified: Option<Modified>) -> Line {
    let (Some(size), Some(name)) = (Size::read(size.text), size.name()) else {
        return Line::Unread;
    };
    let entry = Entry { modified, size: size.bytes(), ..Entry::new(name, EntryKind::File) };
    Line::noted(entry, size.doubt())
}

/// The target in brackets that `dir` shows behind the name of a link.
fn link(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let parted = text.strip_suffix(b"]").and_then(|text| {
        let at = text.windows(2).position(|part| part == b" [")?;
        Some((text.get(..at)?, text.get(at + 2..)?))
    });
    parted.map_or((text, None), |(name, target)| (name, Some(target)))
}

/// A date, month first; dots mean day first, four digits in front mean year first. Where it cannot be, the line is
/// read without it.
fn date(text: &[u8]) -> Option<Day> {
    let (sign, [first, second, third]) = numeric_date(text)?;
    let (of_year, of_month, of_day) = match sign {
        _ if first.len() == 4 => (first, second, third),
        b'.' => (third, second, first),
        _ => (third, first, second),
    };
    Some(Day { year: year(of_year)?, month: small(of_month, 2)?, number: small(of_day, 2)? })
}
