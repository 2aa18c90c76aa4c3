//! The output of `ls -l`, as Unix servers and similar ones print it.

use super::{
    line::{Field, LineFields, ParsedLine, SizeColumn},
    ls_time::{Hints, ParsedTime, Words},
    month::named,
    parse_error::ParseErrorKind,
};
use portolan_remote::entry::{Entry, EntryKind};

/// The words for the total of blocks in the output of `ls`, in lower case.
const TOTALS: [&str; 22] = [
    "total",
    "totale",
    "totaal",
    "totalt",
    "insgesamt",
    "gesamt",
    "summe",
    "razem",
    "yhteensä",
    "celkem",
    "toplam",
    "итого",
    "всего",
    "合計",
    "总用量",
    "总计",
    "總用量",
    "總計",
    "总共",
    "총",
    "합계",
    "全部",
];
/// The same in Asian encodings: 合計 in Shift JIS and EUC-JP, 总用量 in GBK, 總計 in Big5, 합계 and 총 in EUC-KR.
const TOTALS_ENCODED: [&[u8]; 6] = [
    b"\x8d\x87\x8cv",
    b"\xb9\xe7\xb7\xd7",
    b"\xd7\xdc\xd3\xc3\xc1\xbf",
    b"\xc1`\xadp",
    b"\xc7\xd5\xb0\xe8",
    b"\xc3\xd1",
];

/// Parses one line of `ls -l`.
pub(super) fn read(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let fields = fields.as_slice();
    let Some(permissions) = fields.first().and_then(|field| Permissions::read(field.text)) else {
        if is_total(fields) {
            return ParsedLine::Noise;
        }
        return unknown(line, fields).unwrap_or(ParsedLine::Unread);
    };
    // The permissions begin the line; after a blank they would be part of something else.
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return ParsedLine::Unread;
    }
    let Some(columns) = Columns::read(fields) else { return ParsedLine::Unread };
    let Some(name) = columns.stamp.name(hints) else { return ParsedLine::Unread };
    let parted = match permissions.kind {
        EntryKind::Link => link(name, columns.size),
        _ => Some((name, None)),
    };
    let Some((name, target)) = parted else { return ParsedLine::Refused(ParseErrorKind::Link) };
    let is_file = permissions.kind == EntryKind::File;
    let (owner, group) = people(columns.before);
    if permissions.kind == EntryKind::Dir && !name.ends_with(b"/") {
        hints.plain_folders += usize::from(!matches!(name, b"." | b".."));
    }
    let entry = Entry {
        size: columns.size.bytes().filter(|_| is_file),
        modified: columns.stamp.modified,
        mode: Some(permissions.mode),
        target: target.map(<[u8]>::to_vec),
        owner: owner.map(<[u8]>::to_vec),
        group: group.map(<[u8]>::to_vec),
        ..Entry::new(name, permissions.kind)
    };
    if permissions.kind == EntryKind::Dir && name.ends_with(b"/") {
        return ParsedLine::Marked(entry);
    }
    ParsedLine::noted(entry, columns.size.doubt().filter(|_| is_file))
}

/// Parses a line of which the server knew only the name: `-????????? ? ? ? ?            ? name`.
fn unknown(line: &[u8], fields: &[Field<'_>]) -> Option<ParsedLine> {
    let [first, rest @ ..] = fields else { return None };
    let is_unknown = first.text.len() == 10
        && first.text.get(1..)?.iter().all(|byte| *byte == b'?')
        && line.starts_with(first.text);
    let unknowns = rest.iter().take_while(|field| field.text == b"?").count();
    let last = rest.get(unknowns.checked_sub(1)?)?;
    let is_line = is_unknown && (4..=6).contains(&unknowns);
    let entry = Entry::new(last.name().filter(|_| is_line)?, EntryKind::Other);
    Some(ParsedLine::noted(entry, Some(ParseErrorKind::Kind)))
}

/// The first column: `-rw-r--r--`, with the marks of ACL (`+`), `SELinux` (`.`) and attributes (`@`).
pub(super) struct Permissions {
    /// The kind, from the first letter.
    pub(super) kind: EntryKind,
    /// The permission bits, from the other nine.
    pub(super) mode: u32,
}

impl Permissions {
    /// Parses the column; returns `None` if it is not one.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (kind, letters) = text.split_first()?;
        let kind = match kind {
            // `f` is a plain file, and `m` one that was moved to tape.
            b'-' | b'f' | b'm' => EntryKind::File,
            b'd' => EntryKind::Dir,
            b'l' => EntryKind::Link,
            // Devices, pipes, sockets, and system-specific kinds.
            b'a'..=b'z' | b'D' | b'C' | b'P' | b'?' => EntryKind::Other,
            _ => return None,
        };
        let (letters, mark) = letters.split_at_checked(9)?;
        if !matches!(mark, b"" | b"+" | b"." | b"@") {
            return None;
        }
        let mut mode = 0;
        for (at, letter) in letters.iter().enumerate() {
            mode |= bits(at, *letter)?;
        }
        Some(Self { kind, mode })
    }
}

/// Returns the bits that `letter` at place `at` of nine stands for. setuid, setgid and sticky appear in place of `x`.
fn bits(at: usize, letter: u8) -> Option<u32> {
    let bit = 0o400 >> at;
    let special = 0o4000 >> (at / 3);
    match (at % 3, letter) {
        (_, b'-') => Some(0),
        (0, b'r') | (1, b'w') | (2, b'x') => Some(bit),
        (2, b's' | b't') => Some(bit | special),
        (2, b'S' | b'T' | b'l' | b'L') => Some(special),
        _ => None,
    }
}

/// A line split at its size and time, the only columns that cannot be mistaken: owners may be missing, and groups may
/// have spaces in their names. The leftmost place that fits is used, since names may contain anything.
struct Columns<'f, 'a> {
    before: &'f [Field<'a>],
    size: SizeColumn,
    stamp: ParsedTime<'a>,
}

impl<'f, 'a> Columns<'f, 'a> {
    fn read(fields: &'f [Field<'a>]) -> Option<Self> {
        // A word that is no known month may be an owner's name, so it counts only if no known one fits.
        let all = [Words::Known, Words::Any, Words::Number, Words::NumberAndYear];
        all.into_iter().find_map(|words| {
            (1..fields.len()).find_map(|at| {
                let (size, time) = fields.get(at..)?.split_first()?;
                let size = SizeColumn::read(size.text)?;
                let stamp = ParsedTime::read(time, words)?;
                Some(Self { before: fields.get(1..at)?, size, stamp })
            })
        })
    }
}

/// Returns owner and group among the columns between permissions and size. The number of links is dropped, and so is
/// the first number of a device (`1, 3`).
fn people<'a>(columns: &[Field<'a>]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let columns = match columns {
        [columns @ .., device] if device.text.ends_with(b",") => columns,
        _ => columns,
    };
    let columns = match columns {
        [links, people @ ..] if links.text.iter().all(u8::is_ascii_digit) => people,
        _ => columns,
    };
    match columns {
        [] => (None, None),
        [owner] => (Some(owner.text), None),
        [owner, .., last] => {
            let length = owner.rest.len().saturating_sub(last.rest.len());
            (Some(owner.text), owner.rest.get(..length).map(<[u8]>::trim_ascii_start))
        }
    }
}

/// Returns name and target of a link. If there is more than one arrow, the link's size, which is the length of the
/// target, tells which one is meant (rule L7); returns `None` if it fits none, since then either could be the name.
fn link(text: &[u8], size: SizeColumn) -> Option<(&[u8], Option<&[u8]>)> {
    const ARROW: &[u8] = b" -> ";
    let parted = |at: usize| {
        let (name, rest) = text.split_at_checked(at)?;
        Some((name, Some(rest.strip_prefix(ARROW)?)))
    };
    let length = size.bytes().and_then(|size| usize::try_from(size).ok());
    let sized = length.and_then(|length| text.len().checked_sub(length.checked_add(ARROW.len())?));
    if let Some(link) = sized.and_then(parted) {
        return Some(link);
    }
    let mut arrows = text.windows(ARROW.len()).enumerate().filter(|(_, part)| *part == ARROW);
    match (arrows.next(), arrows.next()) {
        (None, _) => Some((text, None)),
        (Some((at, _)), None) => parted(at),
        (Some(_), Some(_)) => None,
    }
}

/// Returns true for `total 12`, in any known language.
fn is_total(fields: &[Field<'_>]) -> bool {
    let [word, number] = fields else { return false };
    let word = word.text.strip_suffix(b":").unwrap_or(word.text);
    SizeColumn::read(number.text).is_some()
        && (named(word, TOTALS.iter().map(|total| ((), *total))).is_some()
            || TOTALS_ENCODED.contains(&word))
}
