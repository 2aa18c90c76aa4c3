//! Windows of the day and dates without runs, which limit the slots of a schedule. Pure.

use std::collections::BTreeSet;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time, Weekday},
};

use crate::zone::Zone;

/// The number of seconds of a day.
const DAY: i64 = 86_400;

/// The number of days for which a permitted time is searched: eight years, as for slots.
const DAYS_MAX: usize = 8 * 366;

/// The days of the week, as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A time of the day, on some or all days of the week: `22:00-06:00`, `Mon-Fri 22:00-06:00`. It ends before its last
/// minute begins; one over midnight belongs to the day on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayWindow {
    /// The days on which it begins, from Monday.
    days: [bool; 7],
    from: i64,
    to: i64,
}

impl DayWindow {
    /// Parses a window. The error is a lower-case clause.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((days, times)) => (week(days)?, times),
            None => ([true; 7], text.trim()),
        };
        let wants =
            || format!("`{text}` is no window: write `22:00-06:00` or `Mon-Fri 22:00-06:00`");
        let (from, to) = times.split_once('-').ok_or_else(wants)?;
        let (from, to) = (seconds(from).ok_or_else(wants)?, seconds(to).ok_or_else(wants)?);
        if from == DAY || from == to {
            return Err(format!("`{text}` is no time at all; `00:00-24:00` is a whole day"));
        }
        Ok(Self { days, from, to })
    }

    /// Returns true for a local time within the window.
    pub fn contains(&self, civil: DateTime) -> bool {
        let at = of_day(civil.time());
        self.parts(civil.date()).any(|(from, to)| (from..to).contains(&at))
    }

    fn has_day(&self, day: Weekday) -> bool {
        self.days.get(usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)) == Some(&true)
    }

    /// Returns the parts of `date` that it covers, as seconds: the first and the one after the last.
    fn parts(&self, date: Date) -> impl Iterator<Item = (i64, i64)> {
        let is_over_midnight = self.to <= self.from;
        let begins = self.has_day(date.weekday());
        let from_before = is_over_midnight && self.has_day(date.weekday().previous());
        let end = if is_over_midnight { DAY } else { self.to };
        let own = begins.then_some((self.from, end));
        from_before.then_some((0, self.to)).into_iter().chain(own)
    }
}

/// Returns true for days of the week, such as `Mon-Fri` or `Sat,Sun`.
pub(crate) fn is_week(text: &str) -> bool {
    let is_of_days = |c: char| c.is_ascii_alphabetic() || matches!(c, '-' | ',');
    text.chars().all(is_of_days) && week(text).is_ok()
}

/// Parses `Mon-Fri`, `Sat,Sun`.
fn week(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        let found = DAYS.iter().position(|(day, _)| name.len() >= 3 && name.starts_with(day));
        found.ok_or_else(|| {
            format!("`{name}` is not a day of the week: write Mon, Tue, Wed, Thu, Fri, Sat or Sun")
        })
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + 7 - first) % 7;
        for at in 0..=count {
            if let Some(day) = days.get_mut((first + at) % 7) {
                *day = true;
            }
        }
    }
    Ok(days)
}

/// Parses `22:00` or `24:00` as seconds of the day.
fn seconds(text: &str) -> Option<i64> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_short.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = hour * 3600 + minute * 60;
    (minute < 60 && at <= DAY).then_some(at)
}

/// Dates: single ones, ones of every year, and ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DateSet {
    single: BTreeSet<Date>,
    yearly: BTreeSet<(i8, i8)>,
    ranges: Vec<(Date, Date)>,
}

impl DateSet {
    /// Adds the date of a line: `2026-12-25`, `12-25` for every year, or `2026-12-24..2027-01-01`. The error is a
    /// lower-case clause.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = || {
            format!(
                "`{text}` is no date: write `2026-12-25`, `12-25` for every year, or `2026-12-24..2027-01-01`"
            )
        };
        let date = |text: &str| full_date(text.trim()).ok_or_else(wrong);
        if let Some((first, last)) = text.split_once("..").or_else(|| text.split_once('/')) {
            let (first, last) = (date(first)?, date(last)?);
            if last < first {
                return Err(format!("`{text}` ends before it begins"));
            }
            self.ranges.push((first, last));
        } else if let Some(yearly) = yearly(text.trim()) {
            self.yearly.insert(yearly);
        } else {
            self.single.insert(date(text)?);
        }
        Ok(())
    }

    /// Returns true if it has `date`.
    pub fn has(&self, date: Date) -> bool {
        self.single.contains(&date)
            || self.yearly.contains(&(date.month(), date.day()))
            || self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&date))
    }

    /// Returns true if it has no date.
    pub fn is_empty(&self) -> bool {
        self.single.is_empty() && self.yearly.is_empty() && self.ranges.is_empty()
    }
}

/// Parses a date of ten characters; jiff alone would read more forms.
fn full_date(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    is_plain.then(|| text.parse().ok()).flatten()
}

fn yearly(text: &str) -> Option<(i8, i8)> {
    let text = text.strip_prefix("*-").unwrap_or(text);
    // A leap year has all days.
    (text.len() == 5)
        .then(|| full_date(&format!("2028-{text}")))
        .flatten()
        .map(|date| (date.month(), date.day()))
}

/// The limits of a schedule: its slots are within a window, if it has any, and on no date of `not_on`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartLimits {
    /// The windows; none is all of the day.
    pub windows: Vec<DayWindow>,
    /// The dates without slots.
    pub not_on: DateSet,
}

impl StartLimits {
    /// Returns true if nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.not_on.is_empty()
    }

    /// Returns true for a local time at which a run may begin.
    pub fn allows(&self, civil: DateTime) -> bool {
        self.refusal(civil).is_none()
    }

    /// Returns the key that excludes a local time.
    pub fn refusal(&self, civil: DateTime) -> Option<&'static str> {
        let is_within = |window: &DayWindow| window.contains(civil);
        if self.not_on.has(civil.date()) {
            Some("not_on")
        } else if !self.windows.is_empty() && !self.windows.iter().any(is_within) {
            Some("window")
        } else {
            None
        }
    }

    /// Returns the first permitted local time from `civil` on; `None` if there is none within eight years.
    pub fn next_allowed(&self, civil: DateTime) -> Option<DateTime> {
        if self.allows(civil) {
            return Some(civil);
        }
        let mut from = of_day(civil.time());
        let mut date = civil.date();
        for _ in 0..DAYS_MAX {
            if !self.not_on.has(date)
                && let Some(at) = self.first_of(date, from)
            {
                return date.at(0, 0, 0, 0).checked_add(jiff::SignedDuration::from_secs(at)).ok();
            }
            date = date.tomorrow().ok()?;
            from = 0;
        }
        None
    }

    /// Returns the first permitted second of a date that is not excluded.
    fn first_of(&self, date: Date, from: i64) -> Option<i64> {
        if self.windows.is_empty() {
            return Some(from);
        }
        let parts = self.windows.iter().flat_map(|window| window.parts(date));
        parts.filter(|(_, to)| *to > from).map(|(begin, _)| begin.max(from)).min()
    }

    /// Returns the first local time from `from` to before `until` at which the starts of a day begin to be permitted: a
    /// window begins, or midnight where there is no window.
    pub fn first_opening(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        while date <= until.date() {
            let midnight = date.at(0, 0, 0, 0);
            let openings = self
                .openings(date)
                .into_iter()
                .filter_map(|at| midnight.checked_add(jiff::SignedDuration::from_secs(at)).ok());
            let first = openings.filter(|at| (from..until).contains(at)).min();
            if first.is_some() {
                return first;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Returns the seconds of a date at which it opens.
    fn openings(&self, date: Date) -> Vec<i64> {
        if self.not_on.has(date) {
            return Vec::new();
        }
        if self.windows.is_empty() {
            return vec![0];
        }
        // A window that crosses midnight is open on the next day, unless the date on which it began was excluded.
        let is_first = date.yesterday().is_ok_and(|before| self.not_on.has(before));
        let parts = self.windows.iter().flat_map(|window| {
            let own = window.has_day(date.weekday()).then_some(window.from);
            own.into_iter().chain(window.parts(date).map(|(from, _)| from).filter(|_| is_first))
        });
        parts.collect()
    }

    /// Returns the first instant from `at` on at which a run may begin in `zone`.
    pub fn opens(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let mut at = at;
        // A clock that is put forward may leave the window; after a few steps it is found.
        for _ in 0..10 {
            let civil = zone.rules.to_datetime(at);
            if self.allows(civil) {
                return Some(at);
            }
            let open = self.next_allowed(civil)?;
            let then = zone.rules.to_ambiguous_timestamp(open).compatible().ok()?;
            // In the second pass of a repeated hour, the first pass is over.
            at = if then > at {
                then
            } else {
                at.checked_add(jiff::SignedDuration::from_mins(1)).ok()?
            };
        }
        Some(at)
    }
}

fn of_day(time: Time) -> i64 {
    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(windows: &[&str], dates: &[&str]) -> StartLimits {
        let mut not_on = DateSet::default();
        for date in dates {
            not_on.add(date).unwrap();
        }
        let windows = windows.iter().map(|text| DayWindow::parse(text).unwrap()).collect();
        StartLimits { windows, not_on }
    }

    #[test]
    fn a_day_opens_when_a_window_begins() {
        for (windows, dates, from, until, wanted) in [
            (&[][..], &[][..], "2026-06-09T06:30", "2026-06-10T06:30", Some("2026-06-10T00:00")),
            (&[], &[], "2026-06-09T00:00", "2026-06-10T00:00", Some("2026-06-09T00:00")),
            (&[], &["2026-06-10"], "2026-06-09T06:30", "2026-06-10T06:30", None),
            (
                &["22:00-04:00"],
                &[],
                "2026-06-09T04:30",
                "2026-06-10T04:30",
                Some("2026-06-09T22:00"),
            ),
            // What is open at the beginning has opened before.
            (&["22:00-04:00"], &[], "2026-06-09T23:00", "2026-06-10T04:30", None),
            (&["05:00-20:00"], &[], "2026-06-09T06:30", "2026-06-10T05:00", None),
            // Of a window whose first day is excluded, the rest.
            (
                &["22:00-04:00"],
                &["2026-06-09"],
                "2026-06-09T04:30",
                "2026-06-10T04:30",
                Some("2026-06-10T00:00"),
            ),
            (&["20:00-23:00"], &["2026-06-09"], "2026-06-09T06:30", "2026-06-10T06:30", None),
            // Friday to Saturday, and Saturday to Sunday.
            (
                &["Mon-Fri 20:00-23:00"],
                &[],
                "2026-06-12T06:30",
                "2026-06-13T06:30",
                Some("2026-06-12T20:00"),
            ),
            (&["Mon-Fri 20:00-23:00"], &[], "2026-06-13T06:30", "2026-06-14T06:30", None),
            (
                &["20:00-21:00", "05:00-06:00"],
                &[],
                "2026-06-09T06:30",
                "2026-06-10T06:30",
                Some("2026-06-09T20:00"),
            ),
        ] {
            let at = |text: &str| text.parse::<DateTime>().unwrap();
            let found = limits(windows, dates).first_opening(at(from), at(until));
            assert_eq!(found, wanted.map(at), "{windows:?} {dates:?} {from} {until}");
        }
    }

    #[test]
    fn a_window_has_its_first_minute_and_not_its_last() {
        for (windows, dates, civil, allowed) in [
            (&["22:00-06:00"][..], &[][..], "2026-06-01T22:00", true),
            (&["22:00-06:00"], &[], "2026-06-01T21:59:59", false),
            (&["22:00-06:00"], &[], "2026-06-01T05:59:59", true),
            (&["22:00-06:00"], &[], "2026-06-01T06:00", false),
            (&["Fri 22:00-06:00"], &[], "2026-06-06T03:00", true),
            (&["Fri 22:00-06:00"], &[], "2026-06-05T03:00", false),
            (&["Sat-Mon 00:00-24:00"], &[], "2026-06-07T23:59", true),
            (&["Sat-Mon 00:00-24:00"], &[], "2026-06-09T00:00", false),
            (&["08:00-10:00", "12:00-13:00"], &[], "2026-06-09T12:30", true),
            (&[], &["2026-12-25"], "2026-12-25T03:00", false),
            (&[], &["12-25"], "2031-12-25T03:00", false),
            (&[], &["2026-12-24..2027-01-01"], "2027-01-01T23:59", false),
            (&[], &["2026-12-24/2027-01-01"], "2027-01-02T00:00", true),
        ] {
            let found = limits(windows, dates).allows(civil.parse().unwrap());
            assert_eq!(found, allowed, "{windows:?} {dates:?} {civil}");
        }
    }

    #[test]
    fn the_next_permitted_time_is_the_first_one() {
        for (windows, dates, from, wanted) in [
            (&["22:00-06:00"][..], &[][..], "2026-06-01T12:00", Some("2026-06-01T22:00")),
            (&["22:00-06:00"], &["2026-06-01"], "2026-06-01T12:00", Some("2026-06-02T00:00")),
            (&["Sun 22:00-23:00"], &[], "2026-06-01T12:00", Some("2026-06-07T22:00")),
            (&[], &["2026-06-01", "2026-06-02"], "2026-06-01T12:00", Some("2026-06-03T00:00")),
            (&[], &["2026-01-01..2999-01-01"], "2026-06-01T12:00", None),
        ] {
            let found = limits(windows, dates).next_allowed(from.parse().unwrap());
            assert_eq!(found, wanted.map(|text| text.parse().unwrap()), "{windows:?} {from}");
        }
    }

    #[test]
    fn what_is_no_window_or_date_is_refused() {
        for text in [
            "",
            "22",
            "22:00",
            "25:00-26:00",
            "22:00-22:00",
            "24:00-06:00",
            "Foo 1:00-2:00",
            "Mo 1:00-2:00",
        ] {
            assert!(DayWindow::parse(text).is_err(), "{text}");
        }
        for text in [
            "",
            "2026-13-01",
            "2026-2-1",
            "25.12.2026",
            "2026-02-30",
            "2027-01-01..2026-01-01",
            "02-30",
        ] {
            assert!(DateSet::default().add(text).is_err(), "{text}");
        }
    }
}
