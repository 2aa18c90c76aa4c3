//! Sizes, durations and rates formatted for people, in one place so that every line formats them alike.

use std::{fmt, time::Duration};

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Formats a number with what it counts: `1 file`, `2 files`, `3 directories`, `2 matches`.
pub fn counted(count: impl fmt::Display, noun: &str) -> String {
    let count = count.to_string();
    if count == "1" { format!("1 {noun}") } else { format!("{count} {}", plural(noun)) }
}

/// Returns the plural of a noun, by the regular rules of English.
pub fn plural(noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match stem {
        Some(stem) => format!("{stem}ies"),
        None if noun.ends_with(['s', 'x', 'z']) || noun.ends_with("ch") || noun.ends_with("sh") => {
            format!("{noun}es")
        }
        None => format!("{noun}s"),
    }
}

/// Formats a size, such as `17 B`, `1.5 KiB`, `230 MiB`: at most 1000 of a unit (1023 for bytes) before the next, and
/// one decimal below 100.
pub fn format_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit_bytes = 1024_u128;
    let mut units = UNITS.iter().peekable();
    while let Some(unit) = units.next() {
        let tenths = (u128::from(bytes) * 10 + unit_bytes / 2) / unit_bytes;
        if tenths < 10_000 || units.peek().is_none() {
            return if tenths < 1000 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", (tenths + 5) / 10)
            };
        }
        unit_bytes *= 1024;
    }
    format!("{bytes} B")
}

/// Formats a duration, such as `40 ms`, `0.4 s`, `12.3 s`, `3 min 5 s`, `2 h 5 min`.
pub fn format_duration(time: Duration) -> String {
    let ms = time.as_millis();
    let tenths = (ms + 50) / 100;
    let seconds = (ms + 500) / 1000;
    match ms {
        0..100 => format!("{ms} ms"),
        100..59_950 => format!("{}.{} s", tenths / 10, tenths % 10),
        59_950..3_599_500 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a rate, such as `1.5 MiB/s`; `None` if the time is too short to tell.
pub fn format_rate(bytes: u64, time: Duration) -> Option<String> {
    let per_second = (u128::from(bytes) * 1000).checked_div(time.as_millis())?;
    Some(format!("{}/s", format_size(u64::try_from(per_second).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_singular_and_any_other_number_is_plural() {
        for (count, noun, text) in [
            (1, "file", "1 file"),
            (0, "file", "0 files"),
            (2, "directory", "2 directories"),
            (3, "day", "3 days"),
            (2, "match", "2 matches"),
            (5, "address", "5 addresses"),
            (2, "try", "2 tries"),
            (1, "try", "1 try"),
        ] {
            assert_eq!(counted(count, noun), text);
        }
    }

    #[test]
    fn sizes_read_well_at_every_step() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_400, "100 KiB"),
            (1_023_948, "1000 KiB"),
            (1_048_575, "1.0 MiB"),
            (2_202_009, "2.1 MiB"),
            (10 << 30, "10.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(format_size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn times_read_well_at_every_step() {
        for (ms, text) in [
            (0, "0 ms"),
            (99, "99 ms"),
            (400, "0.4 s"),
            (12_340, "12.3 s"),
            (59_949, "59.9 s"),
            (59_960, "1 min 0 s"),
            (185_000, "3 min 5 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text, "{ms}");
        }
        assert_eq!(format_rate(3 << 20, Duration::from_secs(2)).unwrap(), "1.5 MiB/s");
        assert_eq!(format_rate(3 << 20, Duration::ZERO), None);
    }
}
