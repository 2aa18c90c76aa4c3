//! z/OS: data sets, the members of partitioned ones, and the job queue.

use super::{
    line::{Field, LineFields, ParsedLine, number, small},
    ls_time::{ClockColumn, Day, Hints, numeric_date, year},
    parse_error::ParseErrorKind,
};
use portolan_remote::entry::{Entry, EntryKind};

/// Parses a data set: `WRK015 3390   2026/02/12  3   45  VB     255 27998  PO  SOURCE.COBOL`.
///
/// The date is that of the last use and the sizes are in tracks, so neither time nor size is known.
pub(super) fn data_set(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    if fields.begin_with(&["Volume", "Unit"]) {
        return ParsedLine::Noise;
    }
    let entry = |name: &[u8], kind| ParsedLine::judged(Entry::new(name, kind));
    match fields.as_slice() {
        [columns @ .., organisation, name]
            if (is_volume(columns) || columns.is_empty() && line.starts_with(b" "))
                && is_data_set(name.text)
                && organised(organisation.text).is_some() =>
        {
            entry(name.text, organised(organisation.text).unwrap_or(EntryKind::Other))
        }
        [a, b, name] if [a.text, b.text] == [&b"Pseudo"[..], b"Directory"] => {
            entry(name.text, EntryKind::Dir)
        }
        [a, b, c, name]
            if [a.text, b.text, c.text] == [&b"Error"[..], b"determining", b"attributes"] =>
        {
            ParsedLine::noted(Entry::new(name.text, EntryKind::Other), Some(ParseErrorKind::Kind))
        }
        [_, tape, name] if tape.text.eq_ignore_ascii_case(b"tape") && is_data_set(name.text) => {
            entry(name.text, EntryKind::Other)
        }
        [_, _, used, extents, tracks, _, length, block, organisation, name]
            if is_last_use(used.text)
                && [extents, tracks, length, block].iter().all(|f| number(f.text, 9).is_some()) =>
        {
            let is_folder = organisation.text.starts_with(b"PO");
            entry(name.text, if is_folder { EntryKind::Dir } else { EntryKind::File })
        }
        [_, a, b, c, d, name]
            if [a.text, b.text, c.text, d.text]
                == [&b"Not"[..], b"Direct", b"Access", b"Device"] =>
        {
            entry(name.text, EntryKind::Other)
        }
        [migrated, name] if matches!(migrated.text, b"Migrated" | b"MIGRAT") => {
            entry(name.text, EntryKind::Other)
        }
        _ => ParsedLine::Unread,
    }
}

/// Parses a member, of source (`NAME  01.04 2024/01/02 2024/05/06 10:11  25  20  0 LEE`) or of programs
/// (`NAME  0003A8 00000C  00 FO  RN RU  31 ANY`), whose size is in hexadecimal digits.
///
/// Below the header a line may have only a name, if no statistics of that member are kept.
pub(super) fn member(line: &[u8], hints: &mut Hints) -> ParsedLine {
    let fields = LineFields::of(line);
    if fields.begin_with(&["Name", "VV.MM"]) || fields.begin_with(&["Name", "Size", "TTR"]) {
        hints.members = true;
        return ParsedLine::Noise;
    }
    match fields.as_slice() {
        [name] if hints.members && is_member(name.text) => {
            ParsedLine::judged(Entry::new(name.text, EntryKind::File))
        }
        [name, version, created, changed, clock, records, ..]
            if is_member(name.text)
                && is_version(version.text)
                && date(created.text).is_some()
                && number(records.text, 9).is_some() =>
        {
            let (Some(day), Some(clock)) = (date(changed.text), ClockColumn::read(clock.text))
            else {
                return ParsedLine::Unread;
            };
            let modified = day.at(clock);
            ParsedLine::judged(Entry { modified, ..Entry::new(name.text, EntryKind::File) })
        }
        [name, size, place, aliases, _, ..]
            if is_member(name.text) && place.text.len() == 6 && aliases.text.len() == 2 =>
        {
            let (Some(size), Some(_), Some(_)) =
                (hexadecimal(size.text), hexadecimal(place.text), hexadecimal(aliases.text))
            else {
                return ParsedLine::Unread;
            };
            ParsedLine::judged(Entry { size: Some(size), ..Entry::new(name.text, EntryKind::File) })
        }
        _ => ParsedLine::Unread,
    }
}

/// Parses a job: `LEEOPS1  JOB04211 LEEOPS   OUTPUT A        RC=0000 4 spool files`. It is not a file.
pub(super) fn job(line: &[u8]) -> ParsedLine {
    let fields = LineFields::of(line);
    if fields.begin_with(&["JOBNAME", "JOBID"])
        || fields.begin_with(&["ID", "STEPNAME"])
        || line.starts_with(b"--------")
    {
        return ParsedLine::Noise;
    }
    let is_status = |text: &[u8]| matches!(text, b"INPUT" | b"ACTIVE" | b"OUTPUT" | b"HELD");
    // The older form of the interface does not show the owner.
    let (id, owner, status) = match fields.as_slice() {
        [_, id, status, ..] if is_status(status.text) => (id, None, status),
        [_, id, owner, status, ..] => (id, Some(owner), status),
        _ => return ParsedLine::Unread,
    };
    let digits = [&b"JOB"[..], b"STC", b"TSU", b"J", b"S", b"T"]
        .iter()
        .find_map(|prefix| id.text.strip_prefix(*prefix));
    let is_job = digits.is_some_and(|digits| number(digits, 7).is_some()) && is_status(status.text);
    if !is_job {
        return ParsedLine::Unread;
    }
    let owner = owner.map(|owner| owner.text.to_vec());
    ParsedLine::judged(Entry { owner, ..Entry::new(id.text, EntryKind::Other) })
}

/// Returns true for the columns of a volume: its name and unit, and the columns after them. Numbers that are too wide
/// run into one another (`1+++++`, `309200`), and unknown columns are empty or have question marks.
fn is_volume(columns: &[Field<'_>]) -> bool {
    let [volume, unit, rest @ ..] = columns else { return false };
    let is_word = |text: &[u8]| text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let is_used =
        |field: &Field<'_>| is_last_use(field.text) || field.text.iter().all(|byte| *byte == b'?');
    volume.text.len() <= 6
        && is_word(volume.text)
        && is_word(unit.text)
        && rest.len() <= 6
        && rest.first().is_none_or(is_used)
}

/// Returns the kind of a data set of this organisation, or `None` if there is no such organisation.
fn organised(text: &[u8]) -> Option<EntryKind> {
    match text.split(|byte| *byte == b'-').next()? {
        b"PO" => Some(EntryKind::Dir),
        b"PS" | b"DA" | b"PSU" | b"DAU" => Some(EntryKind::File),
        // Data sets that only their own program can read.
        b"VSAM" | b"VS" | b"IS" | b"GDG" | b"PATH" | b"AIX" | b"HFS" | b"ZFS" | b"CX" | b"GS"
        | b"USERCAT" | b"ALIAS" => Some(EntryKind::Other),
        _ => None,
    }
}

/// Returns true for a name of letters, digits and national characters, with dots between its parts; in quotes if it is
/// fully qualified.
fn is_data_set(text: &[u8]) -> bool {
    (1..=46).contains(&text.len())
        && text
            .iter()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"@#$.-'()+".contains(b))
}

fn is_last_use(text: &[u8]) -> bool {
    text == b"**NONE**" || date(text).is_some()
}

/// Parses `2026/02/12`.
fn date(text: &[u8]) -> Option<Day> {
    let (b'/', [y, m, d]) = numeric_date(text)? else { return None };
    Some(Day { year: year(y)?, month: small(m, 2)?, number: small(d, 2)? })
}

/// Returns true for a name of one to eight letters, digits and national characters.
fn is_member(text: &[u8]) -> bool {
    (1..=8).contains(&text.len())
        && text.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"@#$".contains(b))
}

/// Returns true for a version such as `01.04`.
fn is_version(text: &[u8]) -> bool {
    matches!(text, [_, _, b'.', _, _])
        && text.split(|byte| *byte == b'.').all(|part| number(part, 2).is_some())
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    text.iter().try_fold(0, |sum, byte| Some(sum << 4 | u64::from(char::from(*byte).to_digit(16)?)))
}
