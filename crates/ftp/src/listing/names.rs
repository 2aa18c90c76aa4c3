//! NLST: one name per line, and nothing else.

use super::{line::ParsedLine, parse_error::ParseErrorKind};
use portolan_remote::entry::{Entry, EntryKind};

/// Parses one line. Some servers put the path of the directory before each name, and a slash after the name of a
/// directory; the kind of an entry is otherwise unknown.
pub(super) fn read(line: &[u8]) -> ParsedLine {
    let (line, kind) = match line.strip_suffix(b"/") {
        Some(line) => (line, EntryKind::Dir),
        None => (line, EntryKind::Other),
    };
    let name = match line.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if line.starts_with(b"/") || line.get(..=slash) == Some(b"./") => {
            line.get(slash + 1..).unwrap_or_default()
        }
        Some(_) => return ParsedLine::Refused(ParseErrorKind::Name),
        None => line,
    };
    match name {
        b"." | b".." => ParsedLine::Noise,
        name => ParsedLine::judged(Entry::new(name, kind)),
    }
}
