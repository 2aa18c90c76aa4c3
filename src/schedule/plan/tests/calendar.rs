//! Windows, dates and several expressions over a simulated year, against an oracle that looks at each slot by itself.

use std::{collections::BTreeSet, time::Duration};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{at, jobs};
use crate::schedule::{
    plan::DecisionKind,
    simulate::{Happened, Scenario, simulate},
};

const FROM: &str = "2026-01-01T00:00:00Z";
const TO: &str = "2027-01-01T00:00:00Z";

/// Returns the times at which the planner starts the job over a year.
fn simulated(job: &str, outages: &[(&str, &str)]) -> BTreeSet<Timestamp> {
    let scenario = Scenario {
        from: at(FROM),
        to: at(TO),
        outages: outages.iter().map(|(from, to)| (at(from), at(to))).collect(),
        run_time: Duration::from_secs(5),
    };
    let mut starts = BTreeSet::new();
    simulate(&jobs(job), &scenario, |now, happened| {
        if let Happened::Decided(decision) = happened
            && decision.action == DecisionKind::Start
        {
            starts.insert(now);
        }
    });
    starts
}

/// Returns the local times of all slots of one expression over the year, with the instants.
fn slots(cron: &str, zone: &str) -> Vec<(Timestamp, DateTime)> {
    let all = jobs(&format!("[[job]]\nname = \"a\"\ncron = \"{cron}\"\ntimezone = \"{zone}\"\n"));
    let schedule = all.all[0].schedule.clone().unwrap();
    let rules = TimeZone::get(zone).unwrap();
    let firings = schedule.firings(at(FROM)).take_while(|slot| slot.at <= at(TO));
    firings
        .map(|slot| (slot.at, slot.moved_from.unwrap_or_else(|| rules.to_datetime(slot.at))))
        .collect()
}

/// The oracle for `22:00-06:00`, written as text is compared: independent of the arithmetic of windows.
fn at_night(civil: DateTime) -> bool {
    let time = civil.strftime("%H:%M:%S").to_string();
    time.as_str() >= "22:00:00" || time.as_str() < "06:00:00"
}

fn in_the_week(civil: DateTime) -> bool {
    let (time, day) = (civil.strftime("%H:%M").to_string(), civil.strftime("%a").to_string());
    // From Monday 20:00 to Tuesday 04:00, and so on to Saturday 04:00.
    let evening =
        ["Mon", "Tue", "Wed", "Thu", "Fri"].contains(&day.as_str()) && time.as_str() >= "20:00";
    let morning =
        ["Tue", "Wed", "Thu", "Fri", "Sat"].contains(&day.as_str()) && time.as_str() < "04:00";
    evening || morning
}

fn no_holiday(civil: DateTime) -> bool {
    let date = civil.strftime("%Y-%m-%d").to_string();
    !(date == "2026-05-01"
        || date.ends_with("-12-25")
        || ("2026-08-01".."2026-08-15").contains(&date.as_str()))
}

/// Tells of a local time whether a run may begin then.
type Oracle = fn(DateTime) -> bool;

#[test]
fn a_year_of_windows_and_dates_agrees_with_the_oracle() {
    let holidays = "not_on = [\"2026-05-01\", \"12-25\", \"2026-08-01..2026-08-14\"]\n";
    let night = "window = \"22:00-06:00\"\n";
    let week = "window = \"Mon-Fri 20:00-04:00\"\n";
    let cases: [(&[&str], &str, Oracle); 6] = [
        (&["*/30 * * * *"], night, at_night),
        (&["15 3 * * *", "30 2 * * *", "0 23 * * *"], night, at_night),
        (&["0 */2 * * *"], week, in_the_week),
        (&["30 1,2,12 * * *"], holidays, no_holiday),
        (&["7 * * * *", "0 0 * * 1-5"], holidays, no_holiday),
        (&["@every 50m"], night, at_night),
    ];
    for zone in ["UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin"] {
        for (crons, limits, allows) in &cases {
            let quoted: Vec<_> = crons.iter().map(|cron| format!("\"{cron}\"")).collect();
            let job = format!(
                "[[job]]\nname = \"a\"\ncron = [{}]\ntimezone = \"{zone}\"\noverlap = \"allow\"\n{limits}",
                quoted.join(", ")
            );
            let all = crons.iter().flat_map(|cron| slots(cron, zone));
            let wanted: BTreeSet<_> =
                all.filter(|(_, civil)| allows(*civil)).map(|(at, _)| at).collect();
            assert!(wanted.len() > 200, "{job}");
            let found = simulated(&job, &[]);
            let differs: Vec<_> = wanted.symmetric_difference(&found).take(5).collect();
            assert!(differs.is_empty(), "{job}{differs:?}");
        }
    }
}

#[test]
fn what_was_missed_starts_when_the_window_opens() {
    let job = "[[job]]\nname = \"a\"\ncron = \"0 3 * * *\"\ntimezone = \"UTC\"\nwindow = \"02:00-04:00\"\nnot_on = \"2026-03-03\"\n";
    // Down over the slot of the second, back at noon: the third has no runs, so it is caught up on the fourth.
    let late = job.to_owned() + "start_deadline = \"3d\"\n";
    let found = simulated(&late, &[("2026-03-02T01:00:00Z", "2026-03-02T12:00:00Z")]);
    let after: Vec<_> =
        found.range(at("2026-03-01T12:00:00Z")..).take(3).map(ToString::to_string).collect();
    assert_eq!(after, ["2026-03-04T02:00:00Z", "2026-03-04T03:00:00Z", "2026-03-05T03:00:00Z"]);
    let follower = format!(
        "{}[[job]]\nname = \"b\"\nafter = [\"a\"]\ntimezone = \"UTC\"\nwindow = \"20:00-21:00\"\n",
        job.replace("window = \"02:00-04:00\"\n", "")
    );
    let found = simulated(&follower, &[]);
    let evening = found.iter().filter(|start| start.to_string().ends_with("T20:00:00Z")).count();
    assert_eq!(evening, 364);
    assert_eq!(found.len(), 2 * 364);
}

#[test]
fn a_job_that_is_turned_off_has_no_runs() {
    let job = "[[job]]\nname = \"a\"\ncron = \"0 3 * * *\"\nenabled = false\n";
    assert!(simulated(job, &[]).is_empty());
}

#[test]
fn a_time_in_a_gap_that_a_window_excludes_hides_no_other() {
    for (cron, window, wanted) in [
        // 02:00 is not in the window, and 02:30 is: both are in the gap.
        ("\"0,30 2 * * *\"", "02:15-05:00", "2026-03-08T07:00:00Z"),
        // 03:00 exists, at the same instant as the end of the gap.
        ("\"0 2,3 * * *\"", "03:00-05:00", "2026-03-08T07:00:00Z"),
        ("[\"30 2 * * *\", \"0 3 * * *\"]", "03:00-05:00", "2026-03-08T07:00:00Z"),
    ] {
        let job = format!(
            "[[job]]\nname = \"a\"\ncron = {cron}\ntimezone = \"America/New_York\"\nwindow = \"{window}\"\n"
        );
        let found = simulated(&job, &[]);
        let of_day: Vec<_> = found
            .range(at("2026-03-08T00:00:00Z")..at("2026-03-09T00:00:00Z"))
            .map(ToString::to_string)
            .collect();
        assert_eq!(of_day, [wanted], "{job}");
        assert_eq!(found.len(), 365, "{job}");
    }
}

#[test]
fn a_slot_that_jitter_delays_beyond_the_next_one_runs() {
    let job = "[[job]]\nname = \"a\"\ncron = \"0,1 3 * * *\"\ntimezone = \"UTC\"\njitter = \"10m\"\noverlap = \"allow\"\n";
    assert_eq!(simulated(job, &[]).len(), 2 * 365);
}
