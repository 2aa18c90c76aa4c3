//! Durations as text: `90s`, `1.5h`, `5m 30s`, `250ms`.

use std::time::Duration;

use crate::limits::DURATION_MAX;

/// Parses the text form of a duration, at most [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse_time(text).filter(|time| *time <= DURATION_MAX)
}

/// Parses the text form of a duration of any length.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(number_end)?;
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after.trim_start();
    }
    Some(total)
}
