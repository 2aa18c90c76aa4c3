//! Times of MLSD, MDTM and MFMT (RFC 3659, 2.3).

use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::line::{number, small};
use portolan_remote::entry::Precision;

/// Parses `20260211142207` or `20260211142207.250`: UTC, to the second or better. An invalid time gives `None`; second
/// 60, which the RFC allows, is read as 59.
pub fn parse_time_val(text: &[u8]) -> Option<(Timestamp, Precision)> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (text.get(..dot)?, text.get(dot + 1..)),
        None => (text, None),
    };
    if whole.len() != 14 {
        return None;
    }
    let (day, clock) = whole.split_at_checked(8)?;
    let (year, month_day) = day.split_at_checked(4)?;
    let month_day = small(month_day, 4)?;
    let clock = i32::try_from(number(clock, 6)?).ok()?;
    let nanosecond = fraction.map_or(Some(0), nanoseconds)?;
    let at = DateTime::new(
        small(year, 4)?,
        i8::try_from(month_day / 100).ok()?,
        i8::try_from(month_day % 100).ok()?,
        i8::try_from(clock / 10_000).ok()?,
        i8::try_from(clock / 100 % 100).ok()?,
        i8::try_from(clock % 100).ok().map(|second| if second == 60 { 59 } else { second })?,
        nanosecond,
    )
    .ok()?;
    let precision = if fraction.is_some() { Precision::Millisecond } else { Precision::Second };
    Some((Offset::UTC.to_timestamp(at).ok()?, precision))
}

/// Formats `at` for MFMT: to the second, since most servers refuse a fraction. Returns `None` outside the years 0 to
/// 9999.
pub fn time_val(at: Timestamp) -> Option<String> {
    let at = TimeZone::UTC.to_datetime(at);
    (at.year() >= 0).then(|| {
        let (date, time) = (at.date(), at.time());
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    })
}

/// Parses a fraction of a second; digits after the ninth are dropped.
pub(super) fn nanoseconds(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_precision_or_not_at_all() {
        use Precision::{Millisecond, Second};
        for (text, read) in [
            ("20260211142207", Some(("2026-02-11T14:22:07Z", Second))),
            ("20260211142207.250", Some(("2026-02-11T14:22:07.25Z", Millisecond))),
            ("20260211142207.1234567891", Some(("2026-02-11T14:22:07.123456789Z", Millisecond))),
            ("20161231235960", Some(("2016-12-31T23:59:59Z", Second))),
            ("20240229000000", Some(("2024-02-29T00:00:00Z", Second))),
            ("20260229000000", None),
            ("20260230000000", None),
            ("20261301000000", None),
            ("20260101240000", None),
            ("20260101006000", None),
            ("20260101000061", None),
            ("2026021114220", None),
            ("202602111422077", None),
            ("20260211142207.", None),
            ("20260211142207.x", None),
            ("+0260211142207", None),
            ("", None),
            (".", None),
        ] {
            let wanted = read.map(|(time, precision)| (time.parse().unwrap(), precision));
            assert_eq!(parse_time_val(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_to_the_second_and_only_where_it_has_four_digits_of_year() {
        assert_eq!(
            time_val("2026-02-11T14:22:07.9Z".parse().unwrap()).as_deref(),
            Some("20260211142207")
        );
        assert_eq!(
            time_val("0001-02-03T04:05:06Z".parse().unwrap()).as_deref(),
            Some("00010203040506")
        );
        assert_eq!(time_val("-000001-01-01T00:00:00Z".parse().unwrap()), None);
    }
}
