//! The rules by example: gaps, overlaps, odd zones, days. The instants come from an independent reference.

use super::{instants, schedule, slots};

/// The zone, expression, start, and expected instants; `<` precedes the local time from which one was moved.
const VECTORS: &str = "
America/New_York | 30 2 * * * | 2026-03-07T12:00Z | 2026-03-08T07:00<2026-03-08T02:30 2026-03-09T06:30 2026-03-10T06:30
America/New_York | 0,30 2 * * * | 2026-03-07T12:00Z | 2026-03-08T07:00<2026-03-08T02:00 2026-03-09T06:00 2026-03-09T06:30
America/New_York | 0 2,14 * * * | 2026-03-07T12:00Z | 2026-03-07T19:00 2026-03-08T07:00<2026-03-08T02:00 2026-03-08T18:00 2026-03-09T06:00
America/New_York | 0 2,3 * * * | 2026-03-07T12:00Z | 2026-03-08T07:00<2026-03-08T02:00 2026-03-09T06:00 2026-03-09T07:00
America/New_York | 0 3 * * * | 2026-03-07T12:00Z | 2026-03-08T07:00 2026-03-09T07:00
America/New_York | */15 * * * * | 2026-03-08T06:40Z | 2026-03-08T06:45 2026-03-08T07:00 2026-03-08T07:15 2026-03-08T07:30
America/New_York | */20 2 * * * | 2026-03-08T04:00Z | 2026-03-09T06:00 2026-03-09T06:20
America/New_York | 0 */2 * * * | 2026-03-08T04:00Z | 2026-03-08T05:00 2026-03-08T08:00 2026-03-08T10:00
America/New_York | 30 1 * * * | 2026-10-31T12:00Z | 2026-11-01T05:30 2026-11-02T06:30
America/New_York | 30 1 * * * | 2026-11-01T05:45Z | 2026-11-02T06:30
America/New_York | 30 1,13 * * * | 2026-10-31T18:00Z | 2026-11-01T05:30 2026-11-01T18:30 2026-11-02T06:30
America/New_York | */30 * * * * | 2026-11-01T04:40Z | 2026-11-01T05:00 2026-11-01T05:30 2026-11-01T06:00 2026-11-01T06:30 2026-11-01T07:00 2026-11-01T07:30
America/New_York | */30 * * * * | 2026-11-01T06:10Z | 2026-11-01T06:30 2026-11-01T07:00 2026-11-01T07:30
Australia/Lord_Howe | 15 2 * * * | 2026-10-03T00:00Z | 2026-10-03T15:30<2026-10-04T02:15 2026-10-04T15:15
Australia/Lord_Howe | */10 * * * * | 2026-04-04T14:20Z | 2026-04-04T14:30 2026-04-04T14:40 2026-04-04T14:50 2026-04-04T15:00 2026-04-04T15:10 2026-04-04T15:20 2026-04-04T15:30
Pacific/Apia | 0 12 * * * | 2011-12-28T00:00Z | 2011-12-28T22:00 2011-12-29T22:00 2011-12-30T22:00 2011-12-31T22:00
America/Vancouver | 0 9 * * * | 2026-10-31T00:00Z | 2026-10-31T16:00 2026-11-01T16:00 2026-11-02T16:00
UTC | 0 0 29 2 * | 2026-01-01T00:00Z | 2028-02-29T00:00 2032-02-29T00:00 2036-02-29T00:00
UTC | 0 0 29 2 * | 2096-01-01T00:00Z | 2096-02-29T00:00 2104-02-29T00:00
UTC | 0 0 L * * | 2028-01-15T00:00Z | 2028-01-31T00:00 2028-02-29T00:00 2028-03-31T00:00 2028-04-30T00:00
UTC | 0 0 13 * 5 | 2026-06-10T00:00Z | 2026-06-12T00:00 2026-06-13T00:00 2026-06-19T00:00 2026-06-26T00:00 2026-07-03T00:00
UTC | 0 0 */2 * MON | 2026-06-10T00:00Z | 2026-06-15T00:00 2026-06-29T00:00
UTC | 0 2 * * 7 | 2026-06-01T00:00Z | 2026-06-07T02:00 2026-06-14T02:00
UTC | 0 2 * * 1-5 | 2026-06-04T12:00Z | 2026-06-05T02:00 2026-06-08T02:00 2026-06-09T02:00
America/Los_Angeles | @yearly | 2026-06-01T00:00Z | 2027-01-01T08:00 2028-01-01T08:00
Asia/Kolkata | 0 9 * * * | 2026-03-28T12:00Z | 2026-03-29T03:30 2026-03-30T03:30
Europe/Dublin | 30 1 * * * | 2026-03-28T12:00Z | 2026-03-29T01:00<2026-03-29T01:30 2026-03-30T00:30
UTC | 0 0 31 2 * | 2026-01-01T00:00Z |
UTC | 0 0 1 1 * | 1969-12-31T23:59:59.5Z | 1970-01-01T00:00 1971-01-01T00:00
UTC | 0 0 0 1 1 * 2024,2040 | 2026-01-01T00:00Z | 2040-01-01T00:00
UTC | 0 0 0 1 1 * 2020-2025 | 2026-01-01T00:00Z |
UTC | 0 0 L-2 * * | 2026-02-01T00:00Z | 2026-02-26T00:00 2026-03-29T00:00
UTC | 0 0 LW * * | 2026-01-01T00:00Z | 2026-01-30T00:00 2026-02-27T00:00 2026-03-31T00:00
UTC | 0 0 15W * * | 2026-02-01T00:00Z | 2026-02-16T00:00 2026-03-16T00:00 2026-04-15T00:00
UTC | 0 0 1W * * | 2026-08-01T00:00Z | 2026-08-03T00:00 2026-09-01T00:00
UTC | 0 0 31W * * | 2026-01-01T00:00Z | 2026-01-30T00:00 2026-03-31T00:00
UTC | 0 0 * * FRI#2 | 2026-06-01T00:00Z | 2026-06-12T00:00 2026-07-10T00:00
UTC | 0 0 * * 1#5 | 2026-06-01T00:00Z | 2026-06-29T00:00 2026-08-31T00:00
UTC | 0 0 * * 5L | 2026-06-01T00:00Z | 2026-06-26T00:00 2026-07-31T00:00
UTC | 0 0 * * FRI-SUN | 2026-06-01T00:00Z | 2026-06-05T00:00 2026-06-06T00:00 2026-06-07T00:00 2026-06-12T00:00
UTC | 30 0 12 * * ? | 2026-06-01T00:00Z | 2026-06-01T12:00:30 2026-06-02T12:00:30
UTC | @every 90m | 2026-06-01T00:10Z | 2026-06-01T01:30 2026-06-01T03:00
UTC | @MIDNIGHT | 2026-06-01T00:00Z | 2026-06-02T00:00
";

#[test]
fn every_vector_gives_its_instants() {
    let mut count = 0;
    for line in VECTORS.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<_> = line.split('|').map(str::trim).collect();
        let [zone, text, after, wanted] = parts[..] else { panic!("{line}") };
        let after = after.replacen('Z', ":00Z", usize::from(after.len() == 17));
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        // One more than expected if no further slot may come.
        let found = slots(text, zone, &after, wanted.len().max(1));
        let shown: Vec<_> = found
            .iter()
            .map(|slot| {
                let at = slot.at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
                let at = at.strip_suffix(":00").unwrap_or(&at).to_owned();
                let moved =
                    slot.moved_from.map(|from| format!("<{}", from.strftime("%Y-%m-%dT%H:%M")));
                at + moved.as_deref().unwrap_or_default()
            })
            .collect();
        assert_eq!(shown, wanted, "{line}");
        count += 1;
    }
    assert_eq!(count, 43);
}

#[test]
fn a_slot_of_a_fixed_time_is_known_by_the_wall_and_one_of_an_interval_by_its_instant() {
    let id = |text: &str, after: &str| slots(text, "America/New_York", after, 1)[0].id.to_string();
    assert_eq!(id("30 1 * * *", "2026-11-01T00:00:00Z"), "L2026-11-01T01:30");
    assert_eq!(id("30 2 * * *", "2026-03-08T00:00:00Z"), "L2026-03-08T02:30");
    assert_eq!(id("*/30 * * * *", "2026-11-01T05:10:00Z"), "U2026-11-01T05:30:00Z");
}

/// A repeated day: Juneau moved from Russia's side of the date line to America's in 1867.
#[test]
fn a_day_that_came_twice_runs_twice_and_each_run_has_its_own_name() {
    let found = slots("0 12 * * *", "America/Juneau", "1867-10-17T00:00:00Z", 4);
    let names: Vec<_> = found.iter().map(|slot| slot.id.to_string()).collect();
    assert_eq!(
        names,
        ["L1867-10-18T12:00", "L1867-10-19T12:00", "L1867-10-19T12:00+2", "L1867-10-20T12:00"]
    );
    assert!(found.is_sorted_by(|a, b| a.at < b.at));
}

#[test]
fn a_schedule_ends_with_the_calendar_and_not_before() {
    assert_eq!(instants("@yearly", "UTC", "2099-06-01T00:00:00Z", 2).len(), 2);
    assert_eq!(instants("@yearly", "UTC", "9990-06-01T00:00:00Z", 20).len(), 9);
    assert_eq!(instants("@daily", "Europe/Berlin", "9999-12-20T23:30:00Z", 20).len(), 9);
    assert!(schedule("* * * * * *", "UTC").next(jiff::Timestamp::MAX).is_none());
    assert!(schedule("* * * * * *", "Europe/Berlin").next(jiff::Timestamp::MIN).is_some());
}

#[test]
fn the_hash_of_a_job_is_its_own_and_stays() {
    let at = |job: &str, text: &str| {
        let zone = crate::zone::Zones::bundled().find("UTC").unwrap();
        let schedule = super::Expression::parse(text, job).unwrap().in_zone(zone);
        let after = "2026-06-01T00:00:00Z".parse().unwrap();
        schedule.firings(after).take(3).map(|slot| slot.at.to_string()).collect::<Vec<_>>()
    };
    // These must never change: a new version of the program must not move existing jobs.
    assert_eq!(at("catalogue", "H H * * *")[0], "2026-06-01T22:17:00Z");
    assert_eq!(at("prices", "H H * * *")[0], "2026-06-01T06:19:00Z");
    let both = ["2026-06-01T03:04:00Z", "2026-06-01T03:09:00Z", "2026-06-02T03:04:00Z"];
    assert_eq!(at("prices", "H(0-9)/5 3 * * *"), both);
    assert_eq!(at("prices", "@every 1h")[0], "2026-06-01T00:41:22Z");
}
