//! The times of scripts: points in time with the time zone in which they are shown.

use std::{cmp::Ordering, fmt};

use jiff::{
    Span, Timestamp, ToSpan, Zoned,
    civil::{Date, DateTime},
    fmt::strtime::{self, BrokenDownTime},
    tz::TimeZone,
};
use portolan_cron::zone::Zones;
use rhai::Dynamic;

use super::value::shown;
use crate::error::{Error, Result};

/// The forms of a time as text, for errors.
const FORMS: &str = "\"2026-02-11\", \"2026-02-11 14:22\" or \"2026-02-11T14:22:07Z\"";

/// A point in time of a script. It prints as RFC 3339 in its zone, compares by the instant, and subtracts to seconds.
#[derive(Debug, Clone)]
pub struct Time(Zoned);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.0.time_zone() == TimeZone::UTC {
            return write!(f, "{}", self.0.timestamp());
        }
        write!(f, "{}", self.0.timestamp().display_with_offset(self.0.offset()))
    }
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Time {
    /// Creates a time that is shown in UTC.
    pub fn utc(at: Timestamp) -> Self {
        Self(at.to_zoned(TimeZone::UTC))
    }

    /// Returns the instant.
    pub fn at(&self) -> Timestamp {
        self.0.timestamp()
    }

    /// Returns the local date and time in its zone.
    pub fn zoned(&self) -> &Zoned {
        &self.0
    }

    /// Returns the order of the instants.
    pub fn order(&self, other: &Self) -> Ordering {
        self.at().cmp(&other.at())
    }

    /// Converts a value that a script gives: a [`Time`], seconds since 1970, or a text that [`Self::parse`] accepts.
    pub fn read(value: &Dynamic) -> Result<Self> {
        if let Some(time) = value.clone().try_cast::<Self>() {
            return Ok(time);
        }
        if let Ok(seconds) = value.as_int() {
            return Timestamp::from_second(seconds).map(Self::utc).map_err(|_| out_of_range());
        }
        match value.clone().into_string() {
            Ok(text) => Self::parse(&text, &TimeZone::UTC),
            Err(_) => Err(Error::invalid(format!(
                "a time is wanted: now(), seconds since 1970, or {FORMS}; got {}",
                shown(value)
            ))),
        }
    }

    /// Parses a date, a date with a time of day, or either with an offset or a zone (RFC 3339, RFC 9557). Without one
    /// it is local time in `zone`; if the clock skips that time, the time is as much later, and if it repeats it, the
    /// first is meant.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self> {
        let text = text.trim();
        if let Ok(time) = text.parse::<Zoned>() {
            return Ok(Self(time));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            // The offset in the text is kept: it is what its author sees on the clock.
            let offset = DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", cut_offset(text)).ok();
            let offset = offset.and_then(|local| {
                let utc = TimeZone::UTC.to_datetime(at);
                jiff::tz::Offset::from_seconds(
                    i32::try_from(local.duration_since(utc).as_secs()).ok()?,
                )
                .ok()
            });
            let zone = offset.filter(|offset| offset.seconds() != 0).map(TimeZone::fixed);
            return Ok(Self(at.to_zoned(zone.unwrap_or(TimeZone::UTC))));
        }
        let local = text
            .parse::<DateTime>()
            .or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)));
        let local = local.map_err(|_| {
            Error::invalid(format!(
                "this is no time: {text:?}; {FORMS} are, and parse_time(text, format) reads other forms"
            ))
        })?;
        local.to_zoned(zone.clone()).map(Self).map_err(|_| out_of_range())
    }

    /// Parses `text` by a format of strptime (POSIX). What the format leaves out is the beginning: of the day, the month
    /// or the year. Without an offset or a zone it is local time in `zone`.
    pub fn parse_by(text: &str, format: &str, zone: &TimeZone) -> Result<Self> {
        let parsed = strtime::parse(format, text).map_err(|error| {
            Error::invalid(format!("{text:?} is not of the form {format:?}: {error}"))
        })?;
        if let Some(year) = parsed.year().filter(|year| (0..100).contains(year)) {
            return Err(Error::invalid(format!(
                "{text:?} would be of the year {year} by {format:?}: %y reads a year of two digits, %Y one of four"
            )));
        }
        let nothing = || {
            Error::invalid(format!(
                "{format:?} has no date: it wants a year (%Y), and may have %m, %d, %H, %M and %S"
            ))
        };
        if let Ok(time) = parsed.to_zoned() {
            return Ok(Self(time));
        }
        if let Ok(at) = parsed.to_timestamp() {
            return Ok(Self(at.to_zoned(zone.clone())));
        }
        let date = parsed.to_date().or_else(|error| {
            let year = parsed.year().ok_or_else(|| error.clone())?;
            Date::new(year, parsed.month().unwrap_or(1), parsed.day().unwrap_or(1))
        });
        let date = date.map_err(|_| nothing())?;
        let time = parsed.to_time().unwrap_or_default();
        date.to_datetime(time).to_zoned(zone.clone()).map(Self).map_err(|_| out_of_range())
    }

    /// Returns the time as text by a format of strftime (POSIX).
    pub fn format(&self, format: &str) -> Result<String> {
        BrokenDownTime::from(&self.0)
            .to_string(format)
            .map_err(|error| Error::invalid(format!("{format:?} is no format of a time: {error}")))
    }

    /// Returns the same instant in another zone.
    #[must_use]
    pub fn in_zone(&self, zone: TimeZone) -> Self {
        Self(self.0.with_time_zone(zone))
    }

    /// Returns the time a span later, such as `"1d"`, `"2h 30m"` or `"1mo"`, or earlier if `back`. Days, weeks, months and
    /// years are those of the calendar in its zone: a day later is the same time of day.
    pub fn moved(&self, span: &str, back: bool) -> Result<Self> {
        let span: Span = span.trim().parse().map_err(|_| {
            let units = "ms, s, m (minutes), h, d, w, mo (months) and y";
            Error::invalid(format!(
                "{span:?} is no span of time: \"1d\" or \"2h 30m\" is; units are {units}"
            ))
        })?;
        let moved = if back { self.0.checked_sub(span) } else { self.0.checked_add(span) };
        moved.map(Self).map_err(|_| out_of_range())
    }

    /// Returns the time a number of seconds later.
    pub fn after(&self, seconds: jiff::SignedDuration) -> Result<Self> {
        self.0.checked_add(seconds).map(Self).map_err(|_| out_of_range())
    }

    /// Returns the beginning of the `unit` in which it is: "minute", "hour", "day", "week" (Monday), "month" or "year".
    pub fn start_of(&self, unit: &str) -> Result<Self> {
        let local = self.0.datetime();
        let (date, time) = (local.date(), local.time());
        let day = |date: Date| date.at(0, 0, 0, 0);
        let begin = match unit {
            "minute" => date.at(time.hour(), time.minute(), 0, 0),
            "hour" => date.at(time.hour(), 0, 0, 0),
            "day" => day(date),
            "week" => {
                let monday = date.weekday().to_monday_zero_offset();
                day(date.checked_sub(i64::from(monday).days()).map_err(|_| out_of_range())?)
            }
            "month" => day(date.first_of_month()),
            "year" => day(date.first_of_year()),
            _ => {
                let units = "\"minute\", \"hour\", \"day\", \"week\", \"month\" and \"year\"";
                return Err(Error::invalid(format!("{unit:?} is none of {units}")));
            }
        };
        // Of an hour that is repeated, the beginning of the same one.
        let zone = self.0.time_zone().clone();
        let time = if matches!(unit, "minute" | "hour") {
            self.0.checked_sub(local.duration_since(begin))
        } else {
            begin.to_zoned(zone)
        };
        time.map(Self).map_err(|_| out_of_range())
    }
}

/// Returns a text of RFC 3339 without its offset.
fn cut_offset(text: &str) -> &str {
    let time = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let at = text.get(time..).and_then(|rest| rest.find(['Z', 'z', '+', '-'])).map(|at| at + time);
    text.get(..at.unwrap_or(text.len())).unwrap_or(text)
}

fn out_of_range() -> Error {
    Error::invalid("that is beyond the times that can be told")
}

/// Returns the rules of a zone by its name (`Europe/Berlin`, `UTC`), or of this host's (`local`).
pub fn zone(name: &str) -> Result<TimeZone> {
    if name == "local" {
        return Ok(Zones::newest().of_this_machine().rules);
    }
    Zones::newest().find(name).map(|zone| zone.rules).map_err(|unknown| unknown.fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str, zone: &str) -> Time {
        Time::parse(text, &super::zone(zone).unwrap()).unwrap()
    }

    #[test]
    fn times_are_read_in_the_usual_forms() {
        for (text, zone, shown) in [
            ("2026-02-11", "UTC", "2026-02-11T00:00:00Z"),
            ("2026-02-11 14:22", "UTC", "2026-02-11T14:22:00Z"),
            ("2026-02-11T14:22:07Z", "Europe/Berlin", "2026-02-11T14:22:07Z"),
            ("2026-02-11T14:22:07+02:00", "UTC", "2026-02-11T14:22:07+02:00"),
            ("2026-02-11T14:22:07-03:30", "UTC", "2026-02-11T14:22:07-03:30"),
            ("2026-02-11", "Europe/Berlin", "2026-02-11T00:00:00+01:00"),
            ("2026-07-11 08:00", "Europe/Berlin", "2026-07-11T08:00:00+02:00"),
            // Skipped and repeated local times.
            ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29T03:30:00+02:00"),
            ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        ] {
            assert_eq!(time(text, zone).to_string(), shown, "{text} {zone}");
        }
        for text in ["", "yesterday", "2026-13-01", "11.02.2026", "14:22"] {
            let fault = Time::parse(text, &TimeZone::UTC).unwrap_err();
            assert!(fault.message.contains("parse_time(text, format)"), "{fault}");
        }
    }

    #[test]
    fn a_year_of_two_digits_is_no_year_of_the_first_century() {
        let fault = Time::parse_by("11.02.26", "%d.%m.%Y", &TimeZone::UTC).unwrap_err();
        assert!(fault.message.contains("%y reads a year of two digits"), "{fault}");
    }

    #[test]
    fn other_forms_are_read_by_a_format() {
        let parse = |text, format| Time::parse_by(text, format, &TimeZone::UTC);
        for (text, format, shown) in [
            ("20260211", "%Y%m%d", "2026-02-11T00:00:00Z"),
            ("11.02.26", "%d.%m.%y", "2026-02-11T00:00:00Z"),
            ("11.02.2026 14:22", "%d.%m.%Y %H:%M", "2026-02-11T14:22:00Z"),
            ("2026-02", "%Y-%m", "2026-02-01T00:00:00Z"),
            ("report-2026.csv", "report-%Y.csv", "2026-01-01T00:00:00Z"),
            ("1770819727", "%s", "2026-02-11T14:22:07Z"),
            ("11 Feb 2026 14:22:07 +0100", "%d %b %Y %H:%M:%S %z", "2026-02-11T14:22:07+01:00"),
        ] {
            let found = parse(text, format).unwrap();
            assert_eq!(found.at(), time(shown, "UTC").at(), "{text} {found}");
        }
        assert!(parse("20261301", "%Y%m%d").unwrap_err().message.contains("is not of the form"));
        assert!(parse("14:22", "%H:%M").unwrap_err().message.contains("has no date"));
        assert!(parse("x", "%").is_err() && parse("x", "%Q").is_err());
    }

    #[test]
    fn days_are_those_of_the_calendar_and_hours_those_of_the_clock() {
        let noon = time("2026-03-28 12:00", "Europe/Berlin");
        let moved = |span, back| noon.moved(span, back).unwrap().to_string();
        assert_eq!(moved("1d", false), "2026-03-29T12:00:00+02:00");
        assert_eq!(moved("24h", false), "2026-03-29T13:00:00+02:00");
        assert_eq!(moved("1mo", true), "2026-02-28T12:00:00+01:00");
        assert_eq!(moved("1w 2d", false), "2026-04-06T12:00:00+02:00");
        assert_eq!(moved("90s", false), "2026-03-28T12:01:30+01:00");
        for span in ["", "1x", "d", "soon"] {
            let fault = noon.moved(span, false).unwrap_err();
            assert!(fault.message.contains("is no span of time"), "{fault}");
        }
        assert!(noon.moved("99999y", false).is_err());
    }

    #[test]
    fn a_unit_begins_where_the_calendar_says() {
        let wednesday = time("2026-02-11T14:22:07Z", "UTC");
        for (unit, shown) in [
            ("minute", "2026-02-11T14:22:00Z"),
            ("hour", "2026-02-11T14:00:00Z"),
            ("day", "2026-02-11T00:00:00Z"),
            ("week", "2026-02-09T00:00:00Z"),
            ("month", "2026-02-01T00:00:00Z"),
            ("year", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(wednesday.start_of(unit).unwrap().to_string(), shown, "{unit}");
        }
        assert!(wednesday.start_of("fortnight").is_err());
        // The second of two equal hours begins an hour after the first.
        let second = Time::utc("2026-10-25T01:30:00Z".parse().unwrap());
        let second = second.in_zone(zone("Europe/Berlin").unwrap()).start_of("hour").unwrap();
        assert_eq!(second.to_string(), "2026-10-25T02:00:00+01:00");
    }
}
