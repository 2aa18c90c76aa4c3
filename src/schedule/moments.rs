//! Times as people write them.

use jiff::{Timestamp, Zoned, civil::DateTime};

use super::zone::{Zone, Zones};
use crate::{
    duration::parse_duration,
    error::{Error, Result},
};

/// Parses `text` as a moment: an instant, a wall-clock time in `zone`, a date there, or `now`.
pub fn moment(text: &str, zone: &Zone, now: Timestamp) -> Result<Timestamp> {
    if text == "now" {
        return Ok(now);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned.timestamp());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let civil = text.parse::<DateTime>().ok();
    let instant =
        civil.and_then(|civil| zone.rules.to_ambiguous_timestamp(civil).compatible().ok());
    instant.ok_or_else(|| {
        let forms = "2026-03-08T07:00:00Z, 2026-03-08T02:30, 2026-03-08 or now";
        Error::invalid(format!("`{text}` is no time; write {forms}"))
    })
}

/// Parses a time in the past: a duration before now, or a date or time of this host.
pub fn past(text: &str, now: Timestamp) -> Result<Timestamp> {
    let Some(ago) = parse_duration(text) else {
        return moment(text, &Zones::newest().of_this_machine(), now);
    };
    now.checked_sub(ago).map_err(|_| Error::invalid(format!("{text} is too long ago")))
}
