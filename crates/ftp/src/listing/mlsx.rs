//! The facts of MLSD and MLST (RFC 3659, 7).

use super::{
    line::{ParsedLine, SizeColumn, octal},
    parse_error::ParseErrorKind,
    time_val::parse_time_val,
};
use portolan_remote::entry::{Entry, EntryKind, Modified};

/// Parses one line of MLSD: `type=file;size=3; name`.
pub(super) fn read(line: &[u8]) -> ParsedLine {
    let mut facts = MlsxFacts::default();
    let Some(name) = facts.take(line) else { return ParsedLine::Unread };
    match facts.kind {
        MlsxType::Itself => ParsedLine::Itself(name.to_vec()),
        MlsxType::Above => ParsedLine::Noise,
        // An entry of a type that the RFC does not define exists nevertheless.
        MlsxType::Unheard | MlsxType::Unsaid => {
            facts.line(name, EntryKind::Other, Some(ParseErrorKind::Kind))
        }
        MlsxType::Entry(EntryKind::File) => {
            facts.line(name, EntryKind::File, facts.size.and_then(SizeColumn::doubt))
        }
        MlsxType::Entry(kind) => facts.line(name, kind, None),
    }
}

/// Parses the line of facts in a reply to MLST about `name`, the last component of the requested path.
///
/// The server may repeat the whole path in any form, so its spelling is not used. A directory may be listed as `cdir`
/// here. Returns `None` if it is not such a line, or has no type.
pub fn parse_mlst(line: &[u8], name: &[u8]) -> Option<Entry> {
    let line = line.strip_prefix(b" ").unwrap_or(line);
    let mut facts = MlsxFacts::default();
    facts.take(line)?;
    match facts.kind {
        MlsxType::Itself | MlsxType::Above => Some(facts.entry(name, EntryKind::Dir)),
        MlsxType::Entry(kind) => Some(facts.entry(name, kind)),
        MlsxType::Unheard | MlsxType::Unsaid => None,
    }
}

/// The facts of one line that are used here.
#[derive(Default)]
struct MlsxFacts<'a> {
    kind: MlsxType,
    size: Option<SizeColumn>,
    modified: Option<Modified>,
    mode: Option<u32>,
    target: Option<&'a [u8]>,
    owner: Option<&'a [u8]>,
    group: Option<&'a [u8]>,
}

/// The fact `type`.
#[derive(Default)]
enum MlsxType {
    /// No type.
    #[default]
    Unsaid,
    /// A type that the RFC does not define.
    Unheard,
    /// The directory itself, `cdir`.
    Itself,
    /// The parent directory, `pdir`.
    Above,
    /// An entry of the directory.
    Entry(EntryKind),
}

impl<'a> MlsxFacts<'a> {
    /// Reads the facts of `line` and returns the name after them. Every fact ends in a semicolon, and one space ends
    /// the facts; spaces inside a value do not (`UNIX.groupname=domain users`). Without such a space, a name that
    /// cannot be a fact ends them.
    fn take(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        // The RFC allows a line without facts, but then any line with a leading space would be a name.
        let mut rest = Some(line).filter(|line| !line.starts_with(b" "))?;
        let (mut has_facts, mut has_bare) = (false, false);
        loop {
            if let Some(name) = rest.strip_prefix(b" ") {
                return Some(name);
            }
            let Some(end) = rest.iter().position(|byte| *byte == b';') else {
                let is_name = has_facts && !has_bare && !rest.is_empty() && !rest.contains(&b'=');
                return Some(rest).filter(|_| is_name);
            };
            let (fact, after) = rest.split_at(end);
            let sign = fact.iter().position(|byte| *byte == b'=');
            let (name, value) = fact.split_at(sign.unwrap_or(fact.len()));
            // An item without a value is ignored after facts that have one.
            let may_be_empty = has_facts && sign.is_none();
            if name.is_empty() && !may_be_empty || !name.iter().all(|byte| is_of_name(*byte)) {
                return None;
            }
            match value.get(1..) {
                Some(value) => self.note(name, value),
                None if may_be_empty => has_bare = true,
                None => return None,
            }
            has_facts = true;
            rest = after.get(1..)?;
        }
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |fact: &[u8]| name.eq_ignore_ascii_case(fact);
        if is(b"type") {
            (self.kind, self.target) = kind(value);
        } else if is(b"size") {
            self.size = Some(SizeColumn::strict(value));
        } else if is(b"modify") {
            self.modified = parse_time_val(value).map(|(at, exact)| Modified::Utc(at, exact));
        } else if is(b"unix.mode") {
            self.mode = octal(value);
        } else if is(b"unix.ownername") || (is(b"unix.owner") && self.owner.is_none()) {
            self.owner = Some(value);
        } else if is(b"unix.groupname") || (is(b"unix.group") && self.group.is_none()) {
            self.group = Some(value);
        }
    }

    fn line(&self, name: &[u8], kind: EntryKind, doubt: Option<ParseErrorKind>) -> ParsedLine {
        ParsedLine::placed(self.entry(name, kind), doubt)
    }

    fn entry(&self, name: &[u8], kind: EntryKind) -> Entry {
        let bytes = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        Entry {
            size: self.size.and_then(SizeColumn::bytes).filter(|_| kind == EntryKind::File),
            modified: self.modified,
            mode: self.mode,
            target: bytes(self.target),
            owner: bytes(self.owner),
            group: bytes(self.group),
            ..Entry::new(name, kind)
        }
    }
}

/// Returns true for the characters of a fact's name (RFC 3659, 7.2, and the `X.` of local ones).
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/')
}

/// Returns the kind that a value of `type` stands for, and a link's target. Servers write links in more than one way,
/// none of them in the RFC: `OS.unix=slink:releases/42` (`ProFTPD`, Pure-FTPd), `OS.unix=symlink` (`FileZilla`).
fn kind(value: &[u8]) -> (MlsxType, Option<&[u8]>) {
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    if is(b"file") {
        return (MlsxType::Entry(EntryKind::File), None);
    }
    if is(b"dir") {
        return (MlsxType::Entry(EntryKind::Dir), None);
    }
    if is(b"cdir") {
        return (MlsxType::Itself, None);
    }
    if is(b"pdir") {
        return (MlsxType::Above, None);
    }
    let Some(what) = of_system(value) else { return (MlsxType::Unheard, None) };
    let mut halves = what.splitn(2, |byte| *byte == b':');
    let word = halves.next().unwrap_or_default();
    if word.eq_ignore_ascii_case(b"slink") || word.eq_ignore_ascii_case(b"symlink") {
        let target = halves.next().filter(|target| !target.is_empty());
        return (MlsxType::Entry(EntryKind::Link), target);
    }
    (MlsxType::Entry(EntryKind::Other), None)
}

/// Returns the value of a system-specific type: `slink:a` of `OS.unix=slink:a` (RFC 3659, 7.5.1).
fn of_system(value: &[u8]) -> Option<&[u8]> {
    let (os, system) = value.split_at_checked(3)?;
    let sign = system.iter().position(|byte| *byte == b'=')?;
    system.get(sign + 1..).filter(|_| os.eq_ignore_ascii_case(b"os."))
}
