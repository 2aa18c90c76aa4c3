//! Times in the local time zone.

use jiff::{Timestamp, tz::TimeZone};

/// Formats a time as `2026-11-24 03:15`, with seconds unless they are 0.
pub(super) fn local(at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::system());
    let form = if zoned.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    zoned.strftime(form).to_string()
}
