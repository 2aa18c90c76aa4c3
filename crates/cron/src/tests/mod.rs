//! Expressions and their slots.

mod brute;
mod vectors;
mod words;

use jiff::{SignedDuration, Timestamp};

use super::{Expression, Schedule};
use crate::{slot::Slot, zone::Zones};

/// Returns the schedule of `text` in `zone`, by the built-in rules.
fn schedule(text: &str, zone: &str) -> Schedule {
    let expression =
        Expression::parse(text, "").unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
    expression.in_zone(Zones::bundled().find(zone).unwrap())
}

fn slots(text: &str, zone: &str, after: &str, count: usize) -> Vec<Slot> {
    schedule(text, zone).firings(after.parse::<Timestamp>().unwrap()).take(count).collect()
}

/// Returns only the instants, as text.
fn instants(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    slots(text, zone, after, count).iter().map(|slot| slot.at.to_string()).collect()
}

#[test]
fn the_last_slot_of_a_year_with_one_per_second_is_found_by_halves() {
    for (text, before, last) in [
        ("* * * * * * 2024", "2026-06-01T00:00:00Z", "2024-12-31T23:59:59Z"),
        ("*/7 * * * * * 2021", "2028-04-01T12:00:00Z", "2021-12-31T23:59:56Z"),
        ("* * 3 * 2 * 2023", "2026-06-01T00:00:00Z", "2023-02-28T03:59:59Z"),
        ("0 30 2 29 2 * *", "2027-01-01T00:00:00Z", "2024-02-29T02:30:00Z"),
    ] {
        let found = schedule(text, "UTC").last(before.parse().unwrap()).unwrap();
        assert_eq!(found.at, last.parse::<Timestamp>().unwrap(), "{text}");
    }
}

#[test]
fn the_last_slot_is_the_same_by_halves_as_by_walking() {
    let texts = ["30 2 * * *", "0 */6 * * *", "15 1-3 * * SUN", "*/20 * * * *", "0 0 1 * *"];
    for zone in ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"] {
        for text in texts {
            let schedule = schedule(text, zone);
            for begin in ["2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z", "2026-04-03T00:00:00Z"] {
                let begin: Timestamp = begin.parse().unwrap();
                for hour in 0..100 {
                    let before = begin + SignedDuration::from_mins(hour * 60 + 7);
                    let from = before - SignedDuration::from_hours(24 * 40);
                    let walked = schedule.firings(from).take_while(|slot| slot.at < before).last();
                    let found = schedule.last(before);
                    assert_eq!(
                        found.map(|slot| slot.at),
                        walked.map(|slot| slot.at),
                        "{text} {zone} {before}"
                    );
                }
            }
        }
    }
}
