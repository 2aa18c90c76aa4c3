//! IBM i (OS/400) and Tandem `NonStop` (Guardian).

use super::{
    line::{LineFields, ParsedLine, SizeColumn, number, small},
    ls_time::{ClockColumn, Day, named_day, numeric_date, year},
};
use portolan_remote::entry::{Entry, EntryKind};

/// The width of the column that holds `*STMF`, with its separator.
const TYPE_WIDTH: usize = 11;

/// Parses a line of IBM i: `OPSUSER  730112 11.02.26 14:22:07 *STMF      orders.csv`.
pub(super) fn os400(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    // Members of a file have neither size nor time.
    if let [owner, what, name] = fields.as_slice()
        && what.text == b"*MEM"
    {
        let owner = Some(owner.text.to_vec());
        return ParsedLine::judged(Entry { owner, ..Entry::new(name.text, EntryKind::File) });
    }
    let [owner, size, day, clock, what, ..] = fields.as_slice() else { return ParsedLine::Unread };
    let (Some(size), Some(date), Some(clock)) =
        (SizeColumn::read(size.text), numeric_date(day.text), ClockColumn::read(clock.text))
    else {
        return ParsedLine::Unread;
    };
    let kind = match what.text {
        b"*DIR" | b"*DDIR" | b"*FLR" | b"*LIB" => EntryKind::Dir,
        b"*STMF" | b"*DSTMF" | b"*DOC" | b"*MEM" => EntryKind::File,
        [b'*', b'A'..=b'Z', ..] => EntryKind::Other,
        _ => return ParsedLine::Unread,
    };
    let padding = TYPE_WIDTH.saturating_sub(what.text.len()).max(1);
    let Some(name) = what.name_after(padding) else { return ParsedLine::Unread };
    // The name of a directory ends in a slash here, and so does that of a file with members.
    let (name, kind) = match name.strip_suffix(b"/") {
        Some(name) if kind != EntryKind::File => (name, EntryKind::Dir),
        _ => (name, kind),
    };
    let entry = Entry {
        size: size.bytes().filter(|_| kind == EntryKind::File),
        modified: os400_day(date).and_then(|day| day.at(clock)),
        owner: Some(owner.text.to_vec()),
        ..Entry::new(name, kind)
    };
    ParsedLine::noted(entry, size.doubt())
}

/// Returns the day of a date whose order is a system setting: dots mean day first, a second number above 12 is a day, a
/// first one above 31 a year. Otherwise the day is unknown.
fn os400_day((sign, [first, second, third]): (u8, [&[u8]; 3])) -> Option<Day> {
    let (one, two) = (small(first, 4)?, small(second, 2)?);
    let (of_year, month, day) = match (sign, one, two) {
        _ if first.len() == 4 || one > 31 => (first, two, small(third, 2)?),
        (b'.', _, _) => (third, two, one),
        (_, _, 13..) => (third, one, two),
        _ => return None,
    };
    Some(Day { year: year(of_year)?, month, number: day })
}

/// Parses a line of Guardian: `CUSTMAST  101  73012 11-Feb-26 14:22:07 200, 17 "NUNU"`.
pub(super) fn guardian(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    if fields.begin_with(&["File", "Code", "EOF"]) {
        return ParsedLine::Noise;
    }
    let [name, code, size, day, clock, .., rights] = fields.as_slice() else {
        return ParsedLine::Unread;
    };
    // An open file has an `O` after its code.
    let code = code.text.strip_suffix(b"O").unwrap_or(code.text);
    let is_line = number(code, 5).is_some()
        && matches!(rights.text, [b'"', .., b'"'])
        && line.starts_with(name.text);
    let (true, Some(size), Some(day), Some(clock)) =
        (is_line, SizeColumn::read(size.text), named_day(day.text), ClockColumn::read(clock.text))
    else {
        return ParsedLine::Unread;
    };
    let modified = day.at(clock);
    let entry = Entry { size: size.bytes(), modified, ..Entry::new(name.text, EntryKind::File) };
    ParsedLine::noted(entry, size.doubt())
}
