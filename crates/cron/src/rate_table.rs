//! Rate limits by the clock: `Mon-Fri 08:00-18:00 1MiB, off`. Pure.

use jiff::civil::DateTime;

use crate::start_limits::{DayWindow, is_week};

/// The maximum number of entries: each day of the week can have a handful.
const ENTRIES_MAX: usize = 100;

/// The rate limits of the times of a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateTable(Vec<RateEntry>);

/// The limit of one time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RateEntry {
    /// The time; `None` for any other.
    window: Option<DayWindow>,
    /// The bytes per second; `None` for no limit.
    rate: Option<u64>,
}

impl RateTable {
    /// Parses entries with commas between them, each a window of the day and a rate, or a rate alone for any other time.
    /// `parse_rate` parses a rate. The error is a lower-case clause.
    pub fn parse(text: &str, parse_rate: impl Fn(&str) -> Option<u64>) -> Result<Self, String> {
        let mut entries: Vec<RateEntry> = Vec::new();
        for entry in split(text) {
            if entries.last().is_some_and(|last| last.window.is_none()) {
                return Err(format!("`{entry}` comes too late: what is before it is for any time"));
            }
            if entries.len() >= ENTRIES_MAX {
                return Err(format!("more than {ENTRIES_MAX} times"));
            }
            entries.push(RateEntry::parse(&entry, &parse_rate)?);
        }
        Ok(Self(entries))
    }

    /// Returns the bytes per second at a local time: those of the first entry for it. `None` is no limit.
    pub fn rate_at(&self, civil: DateTime) -> Option<u64> {
        let is_for =
            |entry: &&RateEntry| entry.window.as_ref().is_none_or(|window| window.contains(civil));
        self.0.iter().find(is_for).and_then(|entry| entry.rate)
    }
}

/// Splits a text at its commas, but for those between days of the week.
fn split(text: &str) -> Vec<String> {
    let mut entries = Vec::new();
    let mut days = String::new();
    for part in text.split(',').map(str::trim) {
        if is_week(part) {
            days = format!("{days}{part},");
        } else {
            entries.push(format!("{days}{part}"));
            days.clear();
        }
    }
    if !days.is_empty() {
        entries.push(days.trim_end_matches(',').to_owned());
    }
    entries
}

impl RateEntry {
    fn parse(text: &str, parse_rate: impl Fn(&str) -> Option<u64>) -> Result<Self, String> {
        let (window, rate) = match text.rsplit_once(char::is_whitespace) {
            Some((window, rate)) => (Some(window.trim()), rate),
            None => (None, text),
        };
        let rate = match parse_rate(rate) {
            _ if rate.eq_ignore_ascii_case("off") => None,
            Some(0) => return Err("a rate of 0 would never end: `off` is no limit".into()),
            Some(rate) => Some(rate),
            None => {
                return Err(format!(
                    "`{text}` does not end with a rate: write `1MiB`, `Mon-Fri 08:00-18:00 1MiB`, or `off` for no limit"
                ));
            }
        };
        let window = match window {
            // Days alone are whole days.
            Some(days) if is_week(days) => Some(DayWindow::parse(&format!("{days} 00:00-24:00"))?),
            Some(window) => Some(DayWindow::parse(window)?),
            None => None,
        };
        Ok(Self { window, rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        let (number, factor) = match text.strip_suffix("MiB") {
            Some(number) => (number, 1 << 20),
            None => (text, 1),
        };
        number.parse::<u64>().ok().map(|number| number * factor)
    }

    /// Returns the rate at a time in the week of Monday, 1 June 2026.
    fn at(text: &str, day: i8, hour: i8, minute: i8) -> Option<u64> {
        let table = RateTable::parse(text, bytes).unwrap_or_else(|why| panic!("{text}: {why}"));
        table.rate_at(jiff::civil::date(2026, 6, day).at(hour, minute, 0, 0))
    }

    #[test]
    fn the_first_entry_for_a_time_is_its_rate() {
        const OFFICE: &str = "Mon-Fri 08:00-18:00 1MiB, off";
        const WEEK: &str = "Sat,Sun 5, Mon-Fri 22:00-06:00 4, Fri 12:00-13:00 3, 08:00-18:00 2, 1";
        for (text, day, hour, minute, wanted) in [
            (OFFICE, 1, 7, 59, None),
            (OFFICE, 1, 8, 0, Some(1 << 20)),
            (OFFICE, 1, 17, 59, Some(1 << 20)),
            (OFFICE, 1, 18, 0, None),
            (OFFICE, 6, 12, 0, None),
            ("1MiB", 6, 12, 0, Some(1 << 20)),
            ("off", 6, 12, 0, None),
            ("OFF", 6, 12, 0, None),
            ("22:00-06:00 7", 1, 12, 0, None),
            ("22:00-06:00 7", 1, 5, 59, Some(7)),
            (WEEK, 6, 12, 0, Some(5)),
            (WEEK, 1, 23, 0, Some(4)),
            // A range that began on Friday night ends on Saturday; the rows of Saturday count first.
            (WEEK, 6, 3, 0, Some(5)),
            (WEEK, 2, 3, 0, Some(4)),
            // The night of Sunday is none.
            (WEEK, 1, 3, 0, Some(1)),
            (WEEK, 5, 12, 30, Some(3)),
            (WEEK, 4, 12, 30, Some(2)),
            (WEEK, 4, 20, 0, Some(1)),
            ("Mon,Wed-Fri 9, 8", 2, 12, 0, Some(8)),
            ("Mon,Wed-Fri 9, 8", 3, 12, 0, Some(9)),
        ] {
            assert_eq!(at(text, day, hour, minute), wanted, "{text} on {day} at {hour}:{minute}");
        }
    }

    #[test]
    fn a_table_agrees_with_a_look_at_each_minute_of_a_week() {
        let table =
            RateTable::parse("Tue-Thu 21:30-02:15 1, Sat 4, 10:00-11:00 2, 3", bytes).unwrap();
        for minute in 0..7 * 24 * 60_i64 {
            let (day, of_day) = (minute / 1440, minute % 1440);
            let begins = |day: i64| (1..=3).contains(&day.rem_euclid(7));
            let in_evening = begins(day) && of_day >= 21 * 60 + 30;
            let wanted = if in_evening || begins(day - 1) && of_day < 2 * 60 + 15 {
                1
            } else if day == 5 {
                4
            } else if (600..660).contains(&of_day) {
                2
            } else {
                3
            };
            let monday = jiff::civil::date(2026, 6, 1).at(0, 0, 0, 0);
            let civil = monday.checked_add(jiff::SignedDuration::from_mins(minute)).unwrap();
            assert_eq!(table.rate_at(civil), Some(wanted), "{civil}");
        }
    }

    #[test]
    fn what_is_no_rate_is_told() {
        for (text, wanted) in [
            ("", "`` does not end with a rate"),
            ("fast", "`fast` does not end with a rate"),
            ("08:00-18:00", "`08:00-18:00` does not end with a rate"),
            ("Mon-Fri", "`Mon-Fri` does not end with a rate"),
            ("0", "a rate of 0"),
            ("8-18 1MiB", "`8-18` is no window"),
            ("Mon-Fry 08:00-18:00 1", "`fry` is not a day"),
            ("off, 1MiB", "`1MiB` comes too late"),
            ("08:00-18:00 1,", "`` does not end with a rate"),
        ] {
            let why = RateTable::parse(text, bytes).unwrap_err();
            assert!(why.starts_with(wanted), "{text}: {why}");
        }
    }
}
