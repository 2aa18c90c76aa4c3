//! EPLF, the easily parsed LIST format (cr.yp.to/ftp/list/eplf.html).

use jiff::Timestamp;

use super::line::{ParsedLine, SizeColumn, number, octal};
use portolan_remote::entry::{Entry, EntryKind, Modified, Precision};

/// Parses one line: a plus, facts that each end in a comma, a tab, the name.
pub(super) fn read(line: &[u8]) -> ParsedLine {
    let Some(line) = line.strip_prefix(b"+") else { return ParsedLine::Unread };
    let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { return ParsedLine::Unread };
    let (facts, name) = line.split_at(tab);
    let (Some(name), Some(facts)) = (name.get(1..), facts.strip_suffix(b",")) else {
        return ParsedLine::Unread;
    };
    let mut entry = Entry::new(name, EntryKind::Other);
    let mut doubt = None;
    for fact in facts.split(|byte| *byte == b',') {
        match fact {
            b"/" => entry.kind = EntryKind::Dir,
            b"r" => entry.kind = EntryKind::File,
            [b's', size @ ..] => {
                let size = SizeColumn::strict(size);
                entry.size = size.bytes();
                doubt = size.doubt();
            }
            [b'm', seconds @ ..] => entry.modified = time(seconds),
            [b'u', b'p', mode @ ..] => entry.mode = octal(mode),
            _ => {}
        }
    }
    entry.size = entry.size.filter(|_| entry.kind == EntryKind::File);
    ParsedLine::noted(entry, doubt)
}

fn time(seconds: &[u8]) -> Option<Modified> {
    let seconds = i64::try_from(number(seconds, 12)?).ok()?;
    Some(Modified::Utc(Timestamp::from_second(seconds).ok()?, Precision::Second))
}
