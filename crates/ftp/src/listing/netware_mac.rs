//! Formats with the time columns of `ls` after other columns: Netware, classic Mac, Connect:Enterprise.

use super::{
    line::{Field, LineFields, ParsedLine, SizeColumn, number},
    ls_time::{Hints, ParsedTime, Words},
    unix::Permissions,
};
use portolan_remote::entry::{Entry, EntryKind};

/// Parses a line of Netware: `d [RWCEAFMS] ADMIN_OPS  512 May 02 07:41 PUBLIC`.
pub(super) fn netware(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let Some((first, columns)) = fields.as_slice().split_first() else { return ParsedLine::Unread };
    let Some((letter, trustees)) = first.text.split_first() else { return ParsedLine::Unread };
    let (trustees, columns) = match columns {
        [trustees, columns @ ..] if first.text.len() == 1 => (trustees.text, columns),
        _ => (trustees, columns),
    };
    let kind = match letter {
        b'd' => EntryKind::Dir,
        b'-' => EntryKind::File,
        _ => return ParsedLine::Unread,
    };
    let [owner, size, time @ ..] = columns else { return ParsedLine::Unread };
    if !(trustees.starts_with(b"[") && trustees.ends_with(b"]")) {
        return ParsedLine::Unread;
    }
    match timed(kind, Some(owner), size, time, hints) {
        // Some versions pad the column before the name, and no name begins with a space there.
        ParsedLine::Entry(entry) => {
            ParsedLine::judged(Entry { name: entry.name.trim_ascii_start().to_vec(), ..entry })
        }
        line => line,
    }
}

/// Parses a line of `NetPresenz`, `WebSTAR` and Peter Lewis' server: resource fork, data fork and their sum, or
/// `folder` and a number of items.
pub(super) fn mac(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let [permissions, columns @ ..] = fields.as_slice() else { return ParsedLine::Unread };
    let Some(permissions) = Permissions::read(permissions.text) else { return ParsedLine::Unread };
    let line = match (permissions.kind, columns) {
        (EntryKind::Dir, [folder, items, time @ ..]) if folder.text == b"folder" => {
            timed(permissions.kind, None, items, time, hints)
        }
        (EntryKind::File, [resource, data, sum, time @ ..])
            if is_sum(resource.text, data.text, sum.text) =>
        {
            timed(permissions.kind, None, sum, time, hints)
        }
        _ => ParsedLine::Unread,
    };
    match line {
        ParsedLine::Entry(entry) => {
            ParsedLine::Entry(Entry { mode: Some(permissions.mode), ..entry })
        }
        _ => line,
    }
}

/// Parses a line of a Connect:Enterprise mailbox: `-C--E-----FTP A LEEOPS  20417  73012 May 30 12:00 ORDERS01`.
pub(super) fn enterprise(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    let [flags, code, owner, batch, size, time @ ..] = fields.as_slice() else {
        return ParsedLine::Unread;
    };
    let is_flags = flags.text.len() >= 10
        && flags.text.starts_with(b"-")
        && flags.text.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    if !is_flags || code.text.len() != 1 || number(batch.text, 12).is_none() {
        return ParsedLine::Unread;
    }
    timed(EntryKind::File, Some(owner), size, time, hints)
}

/// Parses an entry whose last columns are its size, its time and its name.
fn timed(
    kind: EntryKind,
    owner: Option<&Field<'_>>,
    size: &Field<'_>,
    time: &[Field<'_>],
    hints: &mut Hints,
) -> ParsedLine {
    let read = || Some((SizeColumn::read(size.text)?, ParsedTime::read(time, Words::Known)?));
    let Some((size, stamp)) = read() else { return ParsedLine::Unread };
    let Some(name) = stamp.name(hints) else { return ParsedLine::Unread };
    let entry = Entry {
        size: size.bytes().filter(|_| kind == EntryKind::File),
        modified: stamp.modified,
        owner: owner.map(|field| field.text.to_vec()),
        ..Entry::new(name, kind)
    };
    ParsedLine::noted(entry, size.doubt())
}

fn is_sum(resource: &[u8], data: &[u8], sum: &[u8]) -> bool {
    let sum_of = || number(resource, 18)?.checked_add(number(data, 18)?);
    number(sum, 19).is_some_and(|sum| sum_of() == Some(sum))
}
