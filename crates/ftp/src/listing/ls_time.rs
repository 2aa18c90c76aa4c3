//! Times of LIST: without a zone, often without a year, in the order and language of the server (rule L5).

use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

use super::{
    dates::{dated, numbered},
    line::{Field, number, small},
    month::{self, MonthLanguage},
    time_val::nanoseconds,
};
use portolan_remote::entry::{Modified, Precision};

/// The placeholder for a year that is not listed, until the whole listing is read. It is a leap year, so that 29
/// February is valid.
pub(super) const YEAR_NOT_LISTED: i16 = 0;

/// The evidence that the lines of a listing give together and none of them alone.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is another thing that a line may tell")]
pub(super) struct Hints {
    /// The number of lines whose name begins with a time of day, after a date with its year: `Jun 14  2026 08:30 name`.
    pub(super) clocks: usize,
    /// The number of lines that do not.
    pub(super) others: usize,
    /// True if a month was called `mar`.
    pub(super) mar: bool,
    /// True if a month had a Finnish name of three letters.
    pub(super) finnish: bool,
    /// True if a date of three numbers had its day before its month, although the other order was assumed.
    pub(super) day_first: bool,
    /// The number of directories without a slash after their names.
    pub(super) plain_folders: usize,
    /// True if the header of members of a partitioned data set has been seen.
    pub(super) members: bool,
}

/// A day as it is listed, valid or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    /// The year, with four digits.
    pub(super) year: i16,
    /// The month, 1 to 12 if valid.
    pub(super) month: i16,
    /// The day of the month, 1 to 31 if valid.
    pub(super) number: i16,
}

/// A time of day as it is listed, valid or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockColumn {
    hour: i16,
    minute: i16,
    second: i16,
    nanosecond: i32,
    /// The precision.
    pub(super) precision: Precision,
}

impl Day {
    /// Returns this day at that time in the server's zone; `None` if it is not valid (rule L5).
    pub(super) fn at(self, clock: ClockColumn) -> Option<Modified> {
        clock.on(self.date()?)
    }

    /// Returns this day, without a time of day.
    pub(super) fn alone(self) -> Option<Modified> {
        Some(Modified::Server(self.date()?.to_datetime(Time::midnight()), Precision::Day))
    }

    fn date(self) -> Option<Date> {
        let (month, day) = (i8::try_from(self.month).ok()?, i8::try_from(self.number).ok()?);
        Date::new(self.year, month, day).ok()
    }
}

impl ClockColumn {
    /// Parses `14:22`, `14:22:07`, `14:22:07.50`, `02:22PM`; returns `None` for other forms.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (text, afternoon) = half_day(text);
        let mut parts = text.split(|byte| *byte == b':');
        let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() || minute.len() != 2 {
            return None;
        }
        let hour = small(hour, 2)?;
        let hour = match afternoon {
            None => hour,
            Some(_) if !(1..=12).contains(&hour) => return None,
            Some(afternoon) => hour % 12 + if afternoon { 12 } else { 0 },
        };
        let mut clock = Self {
            hour,
            minute: small(minute, 2)?,
            second: 0,
            nanosecond: 0,
            precision: Precision::Minute,
        };
        if let Some(second) = second {
            let mut parts = second.splitn(2, |byte| *byte == b'.');
            clock.second = parts.next().filter(|text| text.len() == 2).and_then(|t| small(t, 2))?;
            clock.precision = Precision::Second;
            if let Some(fraction) = parts.next() {
                clock.nanosecond = nanoseconds(fraction)?;
                clock.precision = Precision::Millisecond;
            }
        }
        Some(clock)
    }

    /// Returns this time on `date` in the server's zone.
    pub(super) fn on(self, date: Date) -> Option<Modified> {
        Some(Modified::Server(date.to_datetime(self.time()?), self.precision))
    }

    fn time(self) -> Option<Time> {
        let (hour, minute) = (i8::try_from(self.hour).ok()?, i8::try_from(self.minute).ok()?);
        Time::new(hour, minute, i8::try_from(self.second).ok()?, self.nanosecond).ok()
    }
}

/// Returns `text` without `AM` or `PM`, and true if it was `PM`.
fn half_day(text: &[u8]) -> (&[u8], Option<bool>) {
    let bare = match text {
        [bare @ .., b'm' | b'M'] => bare,
        _ => text,
    };
    match bare {
        [bare @ .., b'a' | b'A'] => (bare, Some(false)),
        [bare @ .., b'p' | b'P'] => (bare, Some(true)),
        _ => (text, None),
    }
}

/// Expands a year as servers shorten it: 69 to 99 are 19xx, 00 to 68 are 20xx, three digits count from 1900 (rule L5).
pub(super) fn year(text: &[u8]) -> Option<i16> {
    let year = small(text, 4)?;
    match text.len() {
        4 => Some(year).filter(|year| *year != YEAR_NOT_LISTED),
        3 => Some(1900 + year),
        2 if year >= 69 => Some(1900 + year),
        2 => Some(2000 + year),
        _ => None,
    }
}

/// Parses four digits; the inner `None` is an impossible year.
#[expect(clippy::option_option, reason = "a year that cannot be still ends the time columns")]
pub(super) fn full_year(text: &[u8]) -> Option<Option<i16>> {
    (text.len() == 4 && number(text, 4).is_some()).then(|| year(text))
}

/// Parses `9-FEB-2026` or `11-Feb-26`.
pub(super) fn named_day(text: &[u8]) -> Option<Day> {
    let mut parts = text.splitn(3, |byte| *byte == b'-');
    let number = small(parts.next()?, 2)?;
    let month = month::month(parts.next()?)?.number.into();
    Some(Day { year: year(parts.next()?)?, month, number })
}

/// Returns the separator and the numbers of `03-14-26`, `14.03.2026` or `2026/03/14`.
pub(super) fn numeric_date(text: &[u8]) -> Option<(u8, [&[u8]; 3])> {
    let sign = text.iter().copied().find(|byte| !byte.is_ascii_digit())?;
    let mut parts = text.split(|byte| *byte == sign);
    let numbers = [parts.next()?, parts.next()?, parts.next()?];
    let is_date = matches!(sign, b'-' | b'/' | b'.')
        && parts.next().is_none()
        && numbers.iter().all(|part| number(part, 4).is_some());
    is_date.then_some((sign, numbers))
}

/// The words that are accepted as a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// The words in the table, and numbers in dates that are unambiguous.
    Known,
    /// Any word: the form is right, and the time stays unknown.
    Any,
    /// A number on its own, followed by a number for the day, and a time of day.
    Number,
    /// The same with a year in place of the time of day.
    NumberAndYear,
}

/// The time columns of a line, and the rest of the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParsedTime<'a> {
    /// The time, if it is valid.
    pub(super) modified: Option<Modified>,
    /// The last of its columns.
    pub(super) last: Field<'a>,
    protocol: MonthLanguage,
    has_year: bool,
    /// True if a date in numbers had its day before its month.
    pub(super) day_first: bool,
}

impl<'a> ParsedTime<'a> {
    /// Parses `Jun 14 08:30`, `Jun 14  2026`, `14 Jun 08:30` or `2026-06-14 08:30` at the start of `fields`.
    pub(super) fn read(fields: &[Field<'a>], words: Words) -> Option<Self> {
        let [first, second, ..] = fields else { return None };
        if words == Words::Known
            && let Some(stamp) = iso(fields).or_else(|| dated(fields))
        {
            return Some(stamp);
        }
        let third = fields.get(2)?;
        if matches!(words, Words::Number | Words::NumberAndYear) {
            return numbered(fields, words);
        }
        let (day, word) = match first.text.first()? {
            b'0'..=b'9' if month::month(first.text).is_none() => (first.text, second.text),
            _ => (second.text, first.text),
        };
        let day = day.strip_suffix(b",").or_else(|| day.strip_suffix(b".")).unwrap_or(day);
        let day = small(month::day(day)?, 2)?;
        let month = month::month(word);
        if month.is_none() && (words == Words::Known || !month::is_word(word)) {
            return None;
        }
        let (number, protocol) =
            month.map_or((0, MonthLanguage::Any), |m| (m.number.into(), m.protocol));
        let stamp = |modified, last, has_year| Self {
            modified,
            last,
            protocol,
            has_year,
            day_first: false,
        };
        let day = |year| Day { year, month: number, number: day };
        match ClockColumn::read(third.text) {
            Some(clock) if clock.precision == Precision::Minute => {
                Some(stamp(day(YEAR_NOT_LISTED).at(clock), *third, false))
            }
            // `ls -lT` of BSD shows seconds, and the year after them.
            Some(clock) => {
                let fourth = fields.get(3)?;
                let year = full_year(fourth.text)?;
                Some(stamp(year.and_then(|year| day(year).at(clock)), *fourth, false))
            }
            None => {
                let year = full_year(month::year(third.text)?)?;
                Some(stamp(year.and_then(|year| day(year).alone()), *third, true))
            }
        }
    }

    /// Returns the name after it, and records the evidence that this line gives about the whole listing.
    pub(super) fn name(&self, hints: &mut Hints) -> Option<&'a [u8]> {
        let name = self.last.name()?;
        if self.has_year && leading_clock(name).is_some() {
            hints.clocks += 1;
        } else {
            hints.others += 1;
        }
        hints.day_first |= self.day_first;
        hints.mar |= self.protocol == MonthLanguage::Mar;
        hints.finnish |= self.protocol == MonthLanguage::Finnish;
        Some(name)
    }
}

impl<'a> ParsedTime<'a> {
    /// Returns a time that gives no evidence about its listing.
    pub(super) const fn plain(modified: Option<Modified>, last: Field<'a>) -> Self {
        Self { modified, last, protocol: MonthLanguage::Any, has_year: false, day_first: false }
    }
}

/// Parses `2026-02-11 14:22`, with seconds and a zone as in `ls --full-time`.
fn iso<'a>(fields: &[Field<'a>]) -> Option<ParsedTime<'a>> {
    let [day, clock, ..] = fields else { return None };
    let (b'-', [y, m, d]) = numeric_date(day.text)? else { return None };
    let (month, number) = (small(m, 2)?, small(d, 2)?);
    let day = full_year(y)?.map(|year| Day { year, month, number });
    let at = ClockColumn::read(clock.text)?;
    let stamp = ParsedTime::plain;
    let local = day.and_then(|day| day.at(at));
    let zone = fields.get(2).filter(|_| at.precision != Precision::Minute);
    match zone.and_then(|field| Some((field, offset(field.text)?))) {
        Some((field, offset)) => Some(stamp(local.and_then(|at| in_zone(at, offset)), *field)),
        None => Some(stamp(local, *clock)),
    }
}

/// Parses exactly `+0100`: a name may begin with a sign too.
fn offset(text: &[u8]) -> Option<Offset> {
    let (sign, digits) = text.split_first()?;
    if digits.len() != 4 {
        return None;
    }
    let digits = i32::from(small(digits, 4)?);
    let seconds = digits / 100 * 3600 + digits % 100 * 60;
    match sign {
        b'+' => Offset::from_seconds(seconds).ok(),
        b'-' => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

fn in_zone(at: Modified, offset: Offset) -> Option<Modified> {
    match at {
        Modified::Server(at, precision) => {
            Some(Modified::Utc(offset.to_timestamp(at).ok()?, precision))
        }
        Modified::Utc(..) => Some(at),
    }
}

/// Splits the time of day at the start of a name from the name after it.
pub(super) fn leading_clock(name: &[u8]) -> Option<(ClockColumn, &[u8])> {
    let (clock, rest) = name.split_at_checked(5)?;
    let name = rest.strip_prefix(b" ").filter(|name| !name.is_empty())?;
    Some((ClockColumn::read(clock)?, name))
}

/// Returns the latest time that a line without a year can mean at `now`: no line is older than the last such day, and
/// none is more than a day ahead, which server clocks and zones explain (rule L5).
pub(super) fn latest_possible(now: Timestamp) -> DateTime {
    let now = TimeZone::UTC.to_datetime(now);
    now.checked_add(Span::new().hours(24)).unwrap_or(now)
}

/// Returns `modified` in the last year in which it exists and is not after `latest`, if its year is not listed.
pub(super) fn with_year(modified: Modified, latest: DateTime) -> Option<Modified> {
    /// Leap years are at most eight years apart (1896 and 1904).
    const LEAP_YEARS_APART: i16 = 8;
    let Modified::Server(at, precision) = modified else { return Some(modified) };
    if at.year() != YEAR_NOT_LISTED {
        return Some(modified);
    }
    (0..=LEAP_YEARS_APART).find_map(|back| {
        let date = Date::new(latest.year() - back, at.month(), at.day()).ok()?;
        let at = date.to_datetime(at.time());
        (at <= latest).then_some(Modified::Server(at, precision))
    })
}
