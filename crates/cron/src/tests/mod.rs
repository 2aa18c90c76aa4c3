//! Expressions and their slots.

mod brute;
mod vectors;
mod words;

use jiff::{SignedDuration, Timestamp};

use super::{Expression, Schedule, without_hash};
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
fn an_expression_fires_at_the_same_times_with_its_hash_written_out() {
    let from: Timestamp = "2026-01-30T00:00:00Z".parse().unwrap();
    let zone = || Zones::bundled().find("Europe/Berlin").unwrap();
    let times = |text: &str, job: &str| -> Vec<_> {
        let expression =
            Expression::parse(text, job).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        expression.in_zone(zone()).firings(from).take(50).map(|slot| slot.at).collect()
    };
    for text in [
        "H 3 * * *",
        "H H * * *",
        "H/15 * * * *",
        "h/59 * * * *",
        "H(0-29)/10,45 H(1-4) * * MON-FRI",
        "0 0 H * *",
        "0 0 * H H",
        "5 H/12 * H/6 *",
        "0 0 H(29-31) * *",
        "15 3 * * *",
    ] {
        for job in ["a", "b", "nightly", "catalogue[x]", "z9"] {
            let written = without_hash(text, job).unwrap();
            assert!(!written.contains(['H', 'h']), "{written}");
            assert_eq!(times(&written, ""), times(text, job), "{text} of {job}: {written}");
        }
    }
    assert_eq!(without_hash("H 3 * *", "a"), None);
    assert_eq!(without_hash("H(x-y) 3 * * *", "a"), None);
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
