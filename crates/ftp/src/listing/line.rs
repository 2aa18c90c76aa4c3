//! One line of a listing: its fields, and the result of parsing it.

use super::parse_error::ParseErrorKind;
use crate::path::component;
use portolan_remote::entry::{Entry, EntryKind};

/// The result of parsing one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ParsedLine {
    /// An entry of the directory.
    Entry(Entry),
    /// An entry with an invalid or unknown property; it is kept, and the line recorded.
    Doubtful(Entry, ParseErrorKind),
    /// The directory itself (`.` or `cdir`), under this name: evidence that the server did look into it.
    Itself(Vec<u8>),
    /// A known line that is no entry: a header, a total, the parent directory.
    Noise,
    /// A trailer with the number of entries.
    Count(usize),
    /// The first half of an entry that continues in the next line.
    Open,
    /// An entry listed by its whole path; it may belong to another directory.
    Placed(Entry),
    /// A directory with a trailing slash: the mark of `ls -F`, if every directory has it.
    Marked(Entry),
    /// An entry that must not be used.
    Refused(ParseErrorKind),
    /// A line that this format does not have.
    Unread,
}

impl ParsedLine {
    /// Checks `entry`: the dots are no entries, and a name must be one component (class C1).
    pub(super) fn judged(entry: Entry) -> Self {
        match (entry.kind, entry.name.as_slice()) {
            (EntryKind::Dir, b".") => Self::Itself(entry.name),
            (EntryKind::Dir, b"..") => Self::Noise,
            (_, name) if component(name).is_err() => Self::Refused(ParseErrorKind::Name),
            _ => Self::Entry(entry),
        }
    }

    /// Does the same for an entry that may be listed by its whole path.
    pub(super) fn placed(entry: Entry, reason: Option<ParseErrorKind>) -> Self {
        if entry.name.starts_with(b"/") && reason.is_none() {
            Self::Placed(entry)
        } else {
            Self::noted(entry, reason)
        }
    }

    /// Does the same, with a note if there is a `reason`.
    pub(super) fn noted(entry: Entry, reason: Option<ParseErrorKind>) -> Self {
        match (Self::judged(entry), reason) {
            (Self::Entry(entry), Some(reason)) => Self::Doubtful(entry, reason),
            (line, _) => line,
        }
    }
}

/// One field of a line, and the rest of the line after it, separator included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Field<'a> {
    /// The bytes of the field, never empty.
    pub(super) text: &'a [u8],
    /// The rest of the line.
    pub(super) rest: &'a [u8],
}

impl<'a> Field<'a> {
    /// Returns the text after one separator: a name, with nothing trimmed (rule L4).
    pub(super) fn name(&self) -> Option<&'a [u8]> {
        self.rest.get(1..)
    }

    /// Returns the text after at most `width` spaces: a name after a column that is padded with spaces.
    pub(super) fn name_after(&self, width: usize) -> Option<&'a [u8]> {
        let spaces = self.rest.iter().take(width).take_while(|byte| **byte == b' ').count();
        self.rest.get(spaces..).filter(|_| spaces > 0)
    }
}

/// The number of fields that are examined. `ls -l` has nine; groups with spaces in their names have some more.
const FIELDS_MAX: usize = 14;

/// The first fields of one line; there is room for those before a name, further ones are ignored.
pub(super) struct LineFields<'a> {
    row: [Field<'a>; FIELDS_MAX],
    count: usize,
}

impl<'a> LineFields<'a> {
    /// Splits `line` at spaces and tabs.
    pub(super) fn of(line: &'a [u8]) -> Self {
        let mut row = [Field::default(); FIELDS_MAX];
        let mut count = 0;
        let mut rest = line;
        for slot in &mut row {
            let start = rest.iter().position(|byte| !is_blank(*byte)).unwrap_or(rest.len());
            let (_, text) = rest.split_at(start);
            if text.is_empty() {
                break;
            }
            let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
            let (text, after) = text.split_at(end);
            *slot = Field { text, rest: after };
            rest = after;
            count += 1;
        }
        Self { row, count }
    }

    /// Returns the fields, in order.
    pub(super) fn as_slice(&self) -> &[Field<'a>] {
        self.row.get(..self.count).unwrap_or_default()
    }

    /// Returns true if the line begins with these words: a header.
    pub(super) fn begin_with(&self, words: &[&str]) -> bool {
        let fields = self.as_slice();
        fields.len() >= words.len()
            && fields.iter().zip(words).all(|(field, word)| field.text == word.as_bytes())
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Parses `text` as a number of at most `digits_max` digits, without signs or spaces.
pub(super) fn number(text: &[u8], digits_max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > digits_max {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Parses `text` as a small number of `1..=digits_max` digits, at most four.
pub(super) fn small(text: &[u8], digits_max: usize) -> Option<i16> {
    i16::try_from(number(text, digits_max.min(4))?).ok()
}

/// Parses `text` as permission bits in octal (`0644`, `100644`), and drops the bits of the file type.
pub(super) fn octal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    let bits = text.iter().try_fold(0_u32, |sum, byte| {
        matches!(byte, b'0'..=b'7').then(|| sum << 3 | u32::from(byte - b'0'))
    })?;
    Some(bits & 0o7777)
}

/// A size column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SizeColumn {
    /// An exact number of bytes.
    Exact(u64),
    /// A rounded size (`33.5k`), which is unknown (rule L6).
    Rounded,
    /// A size of more than 64 bits, or no number: unknown, and the listing is not to be trusted.
    Overflow,
}

impl SizeColumn {
    /// Parses `4096`, `1,234,567` or `33.5k`; returns `None` if `text` cannot be a size. A negative size has overflowed
    /// 31 bits on the server: the file exists, and its size is unknown.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (first, last) = (text.first()?, text.last()?);
        if let Some(digits) = text.strip_prefix(b"-") {
            return number(digits, 19).map(|_| Self::Rounded);
        }
        if !first.is_ascii_digit() {
            return None;
        }
        if let Some(size) = grouped(text) {
            return Some(size);
        }
        if last.is_ascii_digit() && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b',') {
            let mut digits = text.iter().filter(|byte| **byte != b',');
            let size = digits.try_fold(0_u64, |sum, byte| {
                sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
            });
            return Some(size.map_or(Self::Overflow, Self::Exact));
        }
        let digits = text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.')).count();
        match text.get(digits..)? {
            b"" if last.is_ascii_digit() => Some(Self::Rounded),
            [unit] | [unit, b'b' | b'B'] if b"kmgtp".contains(&unit.to_ascii_lowercase()) => {
                Some(Self::Rounded)
            }
            _ => None,
        }
    }

    /// Parses a size that a standard defines as digits only; anything else is not a size that a file can have.
    pub(super) fn strict(digits: &[u8]) -> Self {
        number(digits, 20).map_or(Self::Overflow, Self::Exact)
    }

    /// Returns the number of bytes, if known.
    pub(super) const fn bytes(self) -> Option<u64> {
        match self {
            Self::Exact(bytes) => Some(bytes),
            Self::Rounded | Self::Overflow => None,
        }
    }

    /// Returns the reason why a line with this size is not to be trusted.
    pub(super) const fn doubt(self) -> Option<ParseErrorKind> {
        match self {
            Self::Overflow => Some(ParseErrorKind::Size),
            Self::Exact(_) | Self::Rounded => None,
        }
    }
}

/// Parses a size whose thousands are separated by other signs than commas: `1.234.567`, `1'234'567`, or a no-break
/// space in Latin-1, in UTF-8 and as old Windows writes it. A single dot may as well be a decimal point.
fn grouped(text: &[u8]) -> Option<SizeColumn> {
    const SIGNS: [&[u8]; 6] = [b".", b"'", b"\xa0", b"\xff", b"\xc2\xa0", b"\xe2\x80\xaf"];
    let sign = text.get(text.iter().position(|byte| !byte.is_ascii_digit())?..)?;
    let sign = SIGNS.into_iter().find(|one| sign.starts_with(one))?;
    let mut rest = text;
    let (mut digits, mut groups) = (Vec::with_capacity(text.len()), 0);
    while let Some(at) = rest.windows(sign.len()).position(|part| part == sign) {
        let (group, after) = rest.split_at(at);
        let is_group = if groups == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
        if !is_group {
            return None;
        }
        digits.extend_from_slice(group);
        groups += 1;
        rest = after.get(sign.len()..)?;
    }
    if rest.len() != 3 || sign == b"." && groups < 2 {
        return None;
    }
    digits.extend_from_slice(rest);
    number(&digits, 20).map(SizeColumn::Exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_or_unknown() {
        for (text, size) in [
            ("0", Some(SizeColumn::Exact(0))),
            ("1,234,567", Some(SizeColumn::Exact(1_234_567))),
            ("18446744073709551615", Some(SizeColumn::Exact(u64::MAX))),
            ("18446744073709551616", Some(SizeColumn::Overflow)),
            ("33.5k", Some(SizeColumn::Rounded)),
            ("4K", Some(SizeColumn::Rounded)),
            ("1.2GB", Some(SizeColumn::Rounded)),
            ("1.5", Some(SizeColumn::Rounded)),
            ("1,", None),
            ("12x", None),
            ("-1", Some(SizeColumn::Rounded)),
            ("-1794967296", Some(SizeColumn::Rounded)),
            ("-", None),
            ("--1", None),
            ("-1k", None),
            ("1.234.567", Some(SizeColumn::Exact(1_234_567))),
            ("1'234", Some(SizeColumn::Exact(1234))),
            ("1\u{a0}234\u{a0}567", Some(SizeColumn::Exact(1_234_567))),
            ("1.234", Some(SizeColumn::Rounded)),
            ("1.23.456", Some(SizeColumn::Rounded)),
            ("1''234", None),
            ("1234.567.890", Some(SizeColumn::Rounded)),
            ("", None),
        ] {
            assert_eq!(SizeColumn::read(text.as_bytes()), size, "{text}");
        }
    }

    #[test]
    fn a_field_knows_the_exact_rest_of_its_line() {
        let fields = LineFields::of(b" a  b\tc  d ");
        let rests: Vec<_> = fields.as_slice().iter().map(|f| (f.text, f.rest)).collect();
        let wanted: [(&[u8], &[u8]); 4] =
            [(b"a", b"  b\tc  d "), (b"b", b"\tc  d "), (b"c", b"  d "), (b"d", b" ")];
        assert_eq!(rests, wanted);
    }
}
