//! The walk against an independent reference, which enumerates every time of every day and asks jiff for each.

use std::{collections::BTreeSet, env};

use jiff::{
    Timestamp, ToSpan,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use super::schedule;
use crate::zone::Zones;

/// The default number of cases; `PORTOLAN_CRON_CASES` sets another number, `PORTOLAN_SEED` another seed.
const CASES: u64 = 5_000;
const FIRINGS: usize = 6;

const ZONES: [&str; 20] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "America/Santiago",
    "Africa/Cairo",
    "Pacific/Chatham",
    "America/Nuuk",
    "Atlantic/Azores",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Asia/Gaza",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Almaty",
    "UTC",
    "Asia/Kolkata",
    "Pacific/Apia",
    "America/Vancouver",
    "America/Asuncion",
];

struct Generator(u64);

impl Generator {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn within(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below(u64::try_from(most - least + 1).unwrap())).unwrap()
    }
}

/// A field: its text, and the values that it names.
#[derive(Clone)]
struct TestField {
    text: String,
    values: BTreeSet<i64>,
}

impl TestField {
    fn star(least: i64, most: i64) -> Self {
        Self { text: "*".into(), values: (least..=most).collect() }
    }

    fn one(value: i64) -> Self {
        Self { text: value.to_string(), values: [value].into() }
    }

    fn is_star(&self) -> bool {
        self.text.starts_with('*')
    }

    fn draw(draw: &mut Generator, least: i64, most: i64) -> Self {
        let (a, b) = (draw.within(least, most), draw.within(least, most));
        let (low, high) = (a.min(b), a.max(b));
        let by = |from: i64, to: i64, step: i64| -> BTreeSet<i64> {
            (from..=to).filter(|value| (value - from) % step == 0).collect()
        };
        match draw.below(7) {
            0 | 1 => Self::star(least, most),
            2 => {
                let step = draw.within(1, most - least);
                Self { text: format!("*/{step}"), values: by(least, most, step) }
            }
            3 | 4 => Self::one(a),
            5 => Self { text: format!("{low},{high}"), values: [low, high].into() },
            _ => {
                let step = draw.within(1, 4);
                Self { text: format!("{low}-{high}/{step}"), values: by(low, high, step) }
            }
        }
    }
}

/// A day field that names days by their position in the month: the text, and a predicate for dates.
type Special = (&'static str, fn(Date) -> bool);

fn nth_weekday(date: Date, weekday: i8, nth: i8) -> bool {
    date.weekday().to_sunday_zero_offset() == weekday && (date.day() + 6) / 7 == nth
}

fn is_workday(date: Date) -> bool {
    (1..=5).contains(&date.weekday().to_sunday_zero_offset())
}

/// Returns the workday of the month nearest to `day`.
fn near(date: Date, day: i8) -> bool {
    let Ok(wanted) = Date::new(date.year(), date.month(), day) else { return false };
    let days =
        (1..=date.days_in_month()).map(|day| Date::new(date.year(), date.month(), day).unwrap());
    let distance = |other: &Date| (other.day() - wanted.day()).abs();
    days.filter(|day| is_workday(*day)).min_by_key(distance) == Some(date)
}

const BY_MONTH: [Special; 4] = [
    ("L", |date| date.day() == date.days_in_month()),
    ("L-3", |date| date.day() == date.days_in_month() - 3),
    ("LW", |date| {
        let rest = (date.day()..=date.days_in_month()).skip(1);
        is_workday(date)
            && !rest.map(|day| Date::new(date.year(), date.month(), day).unwrap()).any(is_workday)
    }),
    ("15W", |date| near(date, 15)),
];
const BY_WEEK: [Special; 3] = [
    ("FRI#2", |date| nth_weekday(date, 5, 2)),
    ("1#5", |date| nth_weekday(date, 1, 5)),
    ("3L", |date| {
        date.weekday().to_sunday_zero_offset() == 3 && date.day() + 7 > date.days_in_month()
    }),
];

struct Case {
    second: TestField,
    minute: TestField,
    hour: TestField,
    day: TestField,
    month: TestField,
    weekday: TestField,
    by_month: Option<Special>,
    by_week: Option<Special>,
}

impl Case {
    fn draw(draw: &mut Generator) -> Self {
        let hour = match draw.below(8) {
            0 => TestField::star(0, 23),
            1..=3 => TestField::one(draw.within(0, 4)),
            4 => TestField::one(23),
            _ => TestField::draw(draw, 0, 23),
        };
        let minute = TestField::draw(draw, 0, 59);
        let second = match draw.below(6) {
            0 if minute.values.len() * hour.values.len() < 40 => TestField::draw(draw, 0, 59),
            _ => TestField::one(0),
        };
        let star_mostly = |draw: &mut Generator, least, most, odds| {
            if draw.below(odds) > 0 {
                TestField::star(least, most)
            } else {
                TestField::draw(draw, least, most)
            }
        };
        let mut case = Self {
            second,
            minute,
            hour,
            day: star_mostly(draw, 1, 31, 3),
            month: star_mostly(draw, 1, 12, 5),
            weekday: star_mostly(draw, 0, 6, 3),
            by_month: None,
            by_week: None,
        };
        match draw.below(12) {
            0 => case.by_month = BY_MONTH.get(usize::try_from(draw.below(4)).unwrap()).copied(),
            1 => case.by_week = BY_WEEK.get(usize::try_from(draw.below(3)).unwrap()).copied(),
            _ => {}
        }
        case
    }

    fn text(&self) -> String {
        let day = self.by_month.map_or(&*self.day.text, |(text, _)| text);
        let weekday = self.by_week.map_or(&*self.weekday.text, |(text, _)| text);
        let Self { second, minute, hour, month, .. } = self;
        format!("{} {} {} {day} {} {weekday}", second.text, minute.text, hour.text, month.text)
    }

    fn is_day(&self, date: Date) -> bool {
        let weekday = i64::from(date.weekday().to_sunday_zero_offset());
        let by_month =
            self.by_month.map_or(self.day.values.contains(&date.day().into()), |(_, is)| is(date));
        let by_week =
            self.by_week.map_or(self.weekday.values.contains(&weekday), |(_, is)| is(date));
        let star =
            |special: Option<Special>, field: &TestField| special.is_none() && field.is_star();
        let is_and = star(self.by_month, &self.day) || star(self.by_week, &self.weekday);
        self.month.values.contains(&date.month().into())
            && if is_and { by_month && by_week } else { by_month || by_week }
    }

    fn is_interval(&self) -> bool {
        self.second.is_star() || self.minute.is_star() || self.hour.is_star()
    }

    /// Adds the instants of one date.
    fn of(&self, date: Date, zone: &TimeZone, found: &mut BTreeSet<Timestamp>) {
        for hour in &self.hour.values {
            for minute in &self.minute.values {
                for second in &self.second.values {
                    let [hour, minute, second] =
                        [hour, minute, second].map(|value| i8::try_from(*value).unwrap());
                    self.of_time(date.at(hour, minute, second, 0), zone, found);
                }
            }
        }
    }

    fn of_time(
        &self,
        time: jiff::civil::DateTime,
        zone: &TimeZone,
        found: &mut BTreeSet<Timestamp>,
    ) {
        const SEASON: i32 = 3 * 3600;
        let instant = |offset: jiff::tz::Offset| offset.to_timestamp(time).unwrap();
        match zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                found.insert(instant(offset));
            }
            AmbiguousOffset::Fold { before, after } => {
                found.insert(instant(before));
                if self.is_interval() || before.seconds() - after.seconds() > SEASON {
                    found.insert(instant(after));
                }
            }
            AmbiguousOffset::Gap { before, after } => {
                if !self.is_interval() && after.seconds() - before.seconds() <= SEASON {
                    let late = instant(before).checked_add(1.second()).unwrap();
                    found.insert(zone.preceding(late).next().unwrap().timestamp());
                }
            }
        }
    }

    fn firings(&self, zone: &TimeZone, after: Timestamp) -> Vec<Timestamp> {
        let mut found = BTreeSet::new();
        let mut date = after.to_zoned(zone.clone()).date().checked_sub(2.days()).unwrap();
        let mut rest = 366 * 9;
        // Two more dates: an instant of a later date can be before one of an earlier date.
        let mut more = 2;
        while rest > 0 && more > 0 {
            if self.is_day(date) {
                self.of(date, zone, &mut found);
                found.retain(|at| *at > after);
            }
            if found.len() >= FIRINGS {
                more -= 1;
            }
            rest -= 1;
            date = date.tomorrow().unwrap();
        }
        found.into_iter().take(FIRINGS).collect()
    }
}

#[test]
fn five_thousand_random_schedules_fire_as_a_reference_says() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PORTOLAN_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15);
    let mut draw = Generator(seed.max(1));
    let zones = Zones::bundled();
    let [from, to] = ["2023-12-01T00:00:00Z", "2028-01-01T00:00:00Z"]
        .map(|text| text.parse::<Timestamp>().unwrap());
    let changes: Vec<_> = ZONES
        .iter()
        .flat_map(|name| {
            let rules = zones.find(name).unwrap().rules;
            let all: Vec<_> = rules
                .following(from)
                .map(|change| change.timestamp())
                .take_while(|at| *at < to)
                .collect();
            all.into_iter().map(|at| (*name, at))
        })
        .collect();
    let mut far = 0;
    for case_number in 0..number("PORTOLAN_CRON_CASES").unwrap_or(CASES) {
        let case = Case::draw(&mut draw);
        let (name, near) = if draw.below(5) > 0 {
            changes[usize::try_from(draw.below(changes.len() as u64)).unwrap()]
        } else {
            let day = 24 * 3600 * draw.within(0, 365);
            (
                ZONES[usize::try_from(draw.below(20)).unwrap()],
                from.checked_add(day.seconds()).unwrap(),
            )
        };
        let after = near.checked_add(draw.within(-30 * 3600, 2 * 3600).seconds()).unwrap();
        let text = case.text();
        let schedule = schedule(&text, name);
        let wanted = case.firings(&schedule.zone.rules, after);
        let found: Vec<_> = schedule.firings(after).take(FIRINGS).map(|slot| slot.at).collect();
        let found = &found[..found.len().min(wanted.len())];
        assert_eq!(
            found, wanted,
            "seed {seed}, case {case_number}: `{text}` in {name} after {after}"
        );
        // One call at a time gives the same slots as the iterator.
        let mut at = after;
        for wanted in &wanted {
            at = schedule.next(at).unwrap().at;
            assert_eq!(
                at, *wanted,
                "seed {seed}, case {case_number}: `{text}` in {name} after {after}"
            );
        }
        far += usize::from(wanted.len() == FIRINGS);
    }
    println!("seed {seed}: {far} of the cases have {FIRINGS} firings in nine years");
}
