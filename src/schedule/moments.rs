//! Times as people write them.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime, Time},
};

use super::zone::{Zone, Zones};
use crate::{
    duration::parse_time,
    error::{Error, Result},
};

/// The forms of times, for messages.
const FORMS: &str = "2026-03-08T07:00:00Z, 2026-03-08T02:30, 2026-03-08, yesterday, today, tomorrow, 02:30, \
                     yesterday 02:30 or now";

/// Parses `text` as a moment: an instant, a wall-clock time in `zone`, a date there, a day such as `yesterday` with or
/// without a time, a time of today, or `now`.
pub fn moment(text: &str, zone: &Zone, now: Timestamp) -> Result<Timestamp> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned.timestamp());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let instant = wall_clock(text, zone, now)
        .and_then(|civil| zone.rules.to_ambiguous_timestamp(civil).compatible().ok());
    instant.ok_or_else(|| Error::invalid(format!("`{text}` is no time; write {FORMS}")))
}

/// Parses a time of the clocks of a zone, which may occur there never, once or twice; `None` for an instant.
pub fn wall_clock(text: &str, zone: &Zone, now: Timestamp) -> Option<DateTime> {
    if text.parse::<Timestamp>().is_ok() {
        return None;
    }
    let today = now.to_zoned(zone.rules.clone()).date();
    text.parse::<DateTime>().ok().or_else(|| near(text, today))
}

/// Returns the day that is meant by a word such as `yesterday`.
pub fn day(text: &str, zone: &Zone, now: Timestamp) -> Option<Date> {
    let today = now.to_zoned(zone.rules.clone()).date();
    near(text, today).map(DateTime::date).filter(|_| text.bytes().all(|b| b.is_ascii_alphabetic()))
}

/// Parses a time that is relative to the date of today: `yesterday`, `yesterday 02:30`, `02:30`. A day alone is its
/// midnight.
fn near(text: &str, today: Date) -> Option<DateTime> {
    let (day, time) = text.split_once(' ').unwrap_or((text, ""));
    let date = match day.to_ascii_lowercase().as_str() {
        "today" => today,
        "yesterday" => today.yesterday().ok()?,
        "tomorrow" => today.tomorrow().ok()?,
        _ => return Some(today.to_datetime(clock(text)?)),
    };
    let time = time.trim();
    Some(date.to_datetime(if time.is_empty() { Time::midnight() } else { clock(time)? }))
}

/// Parses the time of a clock: `2:30`, `02:30`, `02:30:15`.
fn clock(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i8>().ok().filter(|_| is_number)
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().map_or(Some(0), |second| second)?;
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// Parses a time in the past: a duration before now, or a date or time of this host.
pub fn past(text: &str, now: Timestamp) -> Result<Timestamp> {
    let Some(ago) = parse_time(text) else {
        return moment(text, &Zones::newest().of_this_machine(), now);
    };
    now.checked_sub(ago).map_err(|_| Error::invalid(format!("{text} is too long ago")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_of_the_clock_are_those_of_the_zone() {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        // 00:30 on the day on which the clocks are put forward, at 02:00.
        let now: Timestamp = "2026-03-28T23:30:00Z".parse().unwrap();
        for (text, wanted) in [
            ("now", "2026-03-28T23:30:00Z"),
            ("today", "2026-03-28T23:00:00Z"),
            ("Yesterday", "2026-03-27T23:00:00Z"),
            ("tomorrow", "2026-03-29T22:00:00Z"),
            ("yesterday 02:30", "2026-03-28T01:30:00Z"),
            ("today 02:30", "2026-03-29T01:30:00Z"),
            ("2:30", "2026-03-29T01:30:00Z"),
            ("16:50:15", "2026-03-29T14:50:15Z"),
            ("tomorrow  9:00", "2026-03-30T07:00:00Z"),
            ("2026-03-08", "2026-03-07T23:00:00Z"),
            ("2026-03-08T02:30", "2026-03-08T01:30:00Z"),
            ("2026-03-08 02:30", "2026-03-08T01:30:00Z"),
            ("2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z"),
        ] {
            assert_eq!(moment(text, &zone, now).unwrap().to_string(), wanted, "{text}");
        }
        for text in [
            "",
            " ",
            "soon",
            "monday",
            "todays",
            "today x",
            "today 25:00",
            "24:00",
            "1:60",
            "1:2:3:4",
            "+1:30",
            "yesterday yesterday",
            "-1:00",
            "1:000",
            ":",
        ] {
            let told = moment(text, &zone, now).unwrap_err().message;
            assert!(told.contains(&format!("`{text}` is no time; write 2026-")), "{told}");
        }
    }

    #[test]
    fn a_duration_is_a_time_in_the_past() {
        let now: Timestamp = "2026-03-28T23:30:00Z".parse().unwrap();
        assert_eq!(past("90m", now).unwrap().to_string(), "2026-03-28T22:00:00Z");
        assert_eq!(past("90d", now).unwrap().to_string(), "2025-12-28T23:30:00Z");
        assert!(past("10000000d", now).unwrap_err().message.contains("too long ago"));
        assert!(past("yesterday", now).unwrap() < past("today", now).unwrap());
        assert!(past("yestermorn", now).is_err());
    }
}
