//! Dates of LIST in one field or in numbers only, in any order (rule L5).

use super::{
    line::{Field, number, small},
    ls_time::{
        ClockColumn, Day, ParsedTime, Words, YEAR_NOT_LISTED, full_year, numeric_date, year,
    },
    month,
};

/// Parses a date in one field, and the year or time of day after it: `1999/10/12 17:12`, `2025-Mar-03 10:00`,
/// `14-Jun-26 08:30`, `09-26 2000`, `26.09. 13:45`. Without a time of day the year has four digits.
pub(super) fn dated<'a>(fields: &[Field<'a>]) -> Option<ParsedTime<'a>> {
    let [first, second, ..] = fields else { return None };
    if !first.text.iter().any(|byte| matches!(byte, b'-' | b'/' | b'.')) {
        return None;
    }
    let clock = ClockColumn::read(second.text);
    let numbers = NumericDay::read(first.text).filter(|numbers| numbers.is_possible());
    let whole = numbers.map(|numbers| (numbers.day, numbers.day_first));
    if let Some((day, day_first)) = whole.or_else(|| Some((word_day(first.text)?, false))) {
        let mut stamp = match clock {
            Some(clock) => ParsedTime::plain(day.at(clock), *second),
            None if has_full_year(first.text) => ParsedTime::plain(day.alone(), *first),
            None => return None,
        };
        stamp.day_first = day_first;
        return Some(stamp);
    }
    let (month, number) = short_date(first.text)?;
    let day = |year| Day { year, month, number };
    if let Some(clock) = clock {
        return Some(ParsedTime::plain(day(YEAR_NOT_LISTED).at(clock), *second));
    }
    let year = full_year(second.text)?;
    Some(ParsedTime::plain(year.and_then(|year| day(year).alone()), *second))
}

/// Parses `3 29 03:26` or `3 29 2004`, month first.
pub(super) fn numbered<'a>(fields: &[Field<'a>], words: Words) -> Option<ParsedTime<'a>> {
    /// The years that a date in numbers only may have: other numbers may be sizes.
    const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;
    let [month, number, last, ..] = fields else { return None };
    let (month, number) = (small(month.text, 2)?, small(number.text, 2)?);
    let is_day = (1..=12).contains(&month) && (1..=31).contains(&number);
    let day = |year| Day { year, month, number };
    let modified = if words == Words::Number {
        day(YEAR_NOT_LISTED).at(ClockColumn::read(last.text)?)
    } else {
        day(full_year(last.text)??)
            .alone()
            .filter(|_| YEARS.contains(&small(last.text, 4).unwrap_or(0)))
    };
    let modified = modified.filter(|_| is_day)?;
    Some(ParsedTime::plain(Some(modified), *last))
}

/// A date of three numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumericDay {
    /// The day. Four leading digits mean year first, dots mean day first; else it is month first.
    pub(super) day: Day,
    /// True if it is no valid date in that order, and is one with the day first.
    pub(super) day_first: bool,
}

impl NumericDay {
    /// Parses `03-14-26`, `10/20/2025`, `14.03.2026` or `2026/03/14`.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (sign, [first, second, third]) = numeric_date(text)?;
        let (of_year, of_month, of_day) = match sign {
            _ if first.len() == 4 => (first, second, third),
            b'.' => (third, second, first),
            _ => (third, first, second),
        };
        let (month, number) = (small(of_month, 2)?, small(of_day, 2)?);
        let day_first =
            first.len() != 4 && sign != b'.' && month > 12 && (1..=12).contains(&number);
        Some(Self { day: Day { year: year(of_year)?, month, number }, day_first })
    }

    fn is_possible(self) -> bool {
        let Day { month, number, .. } = self.day;
        self.day_first && month <= 31 || (1..=12).contains(&month) && (1..=31).contains(&number)
    }
}

/// Parses `2025-Mar-03`, `03-Mar-2025`, `03/Mar/25` or `Mar-03-2025`.
fn word_day(text: &[u8]) -> Option<Day> {
    let sign = text.iter().copied().find(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    let mut parts = text.split(|byte| *byte == sign);
    let [one, two, three] = [parts.next()?, parts.next()?, parts.next()?];
    let (of_year, word, of_day) = match (one, two) {
        _ if parts.next().is_some() => return None,
        (one, two) if one.len() == 4 && number(one, 4).is_some() => (one, two, three),
        (one, two) if month::month(one).is_some() => (three, one, two),
        (one, two) => (three, two, one),
    };
    let month = month::month(word)?.number.into();
    Some(Day { year: year(of_year)?, month, number: small(of_day, 2)? })
}

/// Returns month and day of `09-26`, `09/26`, `26.09.`, `14-Jun` or `Jun-14`.
fn short_date(text: &[u8]) -> Option<(i16, i16)> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let sign = text.iter().copied().find(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    let mut parts = text.split(|byte| *byte == sign);
    let (one, two) = (parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let named = |word, day| Some((month::month(word)?.number.into(), small(day, 2)?));
    let (month, day) = match (small(one, 2), small(two, 2)) {
        (Some(day), Some(month)) if sign == b'.' => (month, day),
        (Some(month), Some(day)) => (month, day),
        (None, Some(_)) => named(one, two)?,
        (Some(_), None) => named(two, one)?,
        (None, None) => return None,
    };
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((month, day))
}

fn has_full_year(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| matches!(byte, b'-' | b'/' | b'.'));
    parts.any(|part| part.len() == 4 && number(part, 4).is_some())
}
