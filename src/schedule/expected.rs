//! The time by which a job must have succeeded: `expect_by`. Pure.

use jiff::{
    SignedDuration, Timestamp,
    civil::{DateTime, Time},
};

use super::{
    cron::{Schedule, StartLimits},
    jobs::{ExpectBy, Job},
    slot::Slot,
};
use crate::store::history::JobStateRecord;

/// Returns the time by which a job should have succeeded and has not; `None` if it is not late. A job that is paused or
/// turned off, or has had no slot since it is known, or no such time since it was resumed, is not; nor is one without a
/// schedule that has had no such time.
pub fn late_since(job: &Job, state: Option<&JobStateRecord>, now: Timestamp) -> Option<Timestamp> {
    let rule = job.expect_by.filter(|_| job.enabled)?;
    let state = state.filter(|state| state.revision == job.revision())?;
    // A success counts from `begin` on, and the job has to be known before `known`.
    let (begin, known, deadline) = match (&job.schedule, rule) {
        (Some(schedule), _) => {
            let slot = newest_due(rule, schedule, now)?;
            (slot.at, slot.at, deadline(rule, schedule, &slot)?)
        }
        (None, ExpectBy::Time(time)) => {
            let (begin, deadline) = newest_of_days(job, time, now)?;
            (begin, deadline, deadline)
        }
        (None, ExpectBy::Within(_)) => return None,
    };
    let is_known = state.since.is_none_or(|since| since < known)
        && state.resumed_at.is_none_or(|resumed| resumed <= deadline);
    let has_succeeded = state.last_success.is_some_and(|success| success >= begin);
    (is_known && !has_succeeded && state.paused_at.is_none()).then_some(deadline)
}

/// The number of days among which the newest is looked for on which a job without a schedule is expected to run.
const DAYS_MAX: usize = 14;

/// Returns the newest time, up to now, by which a job without a schedule must have succeeded on a day, preceded by the
/// time from which on a success counts: the first opening of its limits since the same time of the day before, which is
/// midnight without a window. A day without such an opening does not count.
fn newest_of_days(job: &Job, time: Time, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let rules = job.time_zone();
    let at = |civil: DateTime| rules.to_ambiguous_timestamp(civil).compatible().ok();
    let none = StartLimits::default();
    let limits = job.limits.as_ref().map_or(&none, |limits| &limits.limits);
    let mut date = now.to_zoned(rules.clone()).date();
    for _ in 0..DAYS_MAX {
        let (before, civil) = (date.yesterday().ok()?, date.to_datetime(time));
        let deadline = at(civil)?;
        if deadline <= now
            && let Some(begin) = limits.first_opening(before.to_datetime(time), civil)
        {
            return Some((at(begin)?, deadline));
        }
        date = before;
    }
    None
}

/// Returns the newest slot that should have succeeded by `now`.
fn newest_due(rule: ExpectBy, schedule: &Schedule, now: Timestamp) -> Option<Slot> {
    match rule {
        ExpectBy::Within(time) => {
            let due = now.checked_sub(SignedDuration::try_from(time).ok()?).ok()?;
            schedule.last(due.checked_add(SignedDuration::from_nanos(1)).ok()?)
        }
        ExpectBy::Time(time) => {
            let rules = &schedule.zone.rules;
            let today = now.to_zoned(rules.clone()).date();
            let at = |date: jiff::civil::Date| {
                rules.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()
            };
            let due = at(today).filter(|due| *due <= now).or_else(|| at(today.yesterday().ok()?));
            schedule.last(due?)
        }
    }
}

/// Returns the time by which a slot must have succeeded.
fn deadline(rule: ExpectBy, schedule: &Schedule, slot: &Slot) -> Option<Timestamp> {
    match rule {
        ExpectBy::Within(time) => slot.at.checked_add(SignedDuration::try_from(time).ok()?).ok(),
        ExpectBy::Time(time) => {
            let rules = &schedule.zone.rules;
            let mut date = slot.at.to_zoned(rules.clone()).date();
            // The clock may be put back behind the time of the slot: the next day is after it in any case.
            for _ in 0..2 {
                let civil = date.to_datetime(time);
                let due = rules.to_ambiguous_timestamp(civil).compatible().ok()?;
                if due > slot.at {
                    return Some(due);
                }
                date = date.tomorrow().ok()?;
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use jiff::civil::time;

    use super::*;
    use crate::{
        schedule::{
            cron::{DayWindow, Expression},
            jobs::JobLimits,
            zone::Zones,
        },
        store::history::Health,
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn job(rule: ExpectBy) -> Job {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        let schedule = Expression::parse("0 3 * * *", "a").unwrap().in_zone(zone);
        Job { schedule: Some(schedule), expect_by: Some(rule), ..Job::default() }
    }

    fn state(job: &Job, last_success: Option<&str>) -> JobStateRecord {
        JobStateRecord {
            job: "a".into(),
            revision: job.revision().to_owned(),
            since: Some(at("2026-01-01T00:00:00Z")),
            watermark: None,
            label: None,
            last_success: last_success.map(at),
            paused_at: None,
            resumed_at: None,
            pause_reason: None,
            health: Health::Good,
        }
    }

    #[test]
    fn a_job_is_late_from_its_time_until_it_has_succeeded() {
        for rule in [ExpectBy::Time(time(6, 30, 0, 0)), ExpectBy::Within(Duration::from_mins(210))]
        {
            let job = job(rule);
            // 03:00 and 06:30 in Berlin, in summer.
            for (success, now, wanted) in [
                (None, "2026-06-10T04:29:59Z", Some("2026-06-09T04:30:00Z")),
                (None, "2026-06-10T04:30:00Z", Some("2026-06-10T04:30:00Z")),
                (Some("2026-06-09T01:05:00Z"), "2026-06-10T04:29:59Z", None),
                (
                    Some("2026-06-09T01:05:00Z"),
                    "2026-06-10T04:30:00Z",
                    Some("2026-06-10T04:30:00Z"),
                ),
                (Some("2026-06-10T05:00:00Z"), "2026-06-10T06:00:00Z", None),
                (None, "2026-01-01T03:00:00Z", None),
            ] {
                let found = late_since(&job, Some(&state(&job, success)), at(now));
                assert_eq!(found, wanted.map(at), "{rule:?} {success:?} {now}");
            }
            let paused =
                JobStateRecord { paused_at: Some(at("2026-06-10T00:00:00Z")), ..state(&job, None) };
            assert_eq!(late_since(&job, Some(&paused), at("2026-06-10T06:00:00Z")), None);
            // Resumed after the time of the day, between its slot and that, and before the slot.
            for (resumed, wanted) in [
                ("2026-06-10T05:00:00Z", None),
                ("2026-06-10T04:30:01Z", None),
                ("2026-06-10T02:00:00Z", Some("2026-06-10T04:30:00Z")),
                ("2026-06-10T00:59:00Z", Some("2026-06-10T04:30:00Z")),
            ] {
                let resumed = JobStateRecord { resumed_at: Some(at(resumed)), ..state(&job, None) };
                let found = late_since(&job, Some(&resumed), at("2026-06-10T06:00:00Z"));
                assert_eq!(found, wanted.map(at), "{rule:?}");
                let next = late_since(&job, Some(&resumed), at("2026-06-11T04:30:00Z"));
                assert_eq!(next, Some(at("2026-06-11T04:30:00Z")), "{rule:?}");
            }
            let off = Job { enabled: false, ..job };
            assert_eq!(
                late_since(&off, Some(&state(&off, None)), at("2026-06-10T06:00:00Z")),
                None
            );
        }
    }

    #[test]
    fn a_job_without_a_schedule_is_expected_to_succeed_on_each_day() {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        let mut limits = StartLimits {
            windows: vec![DayWindow::parse("Mon-Fri 05:00-20:00").unwrap()],
            ..StartLimits::default()
        };
        limits.not_on.add("2026-06-08").unwrap();
        let limits = JobLimits { limits: Arc::new(limits), zone: zone.clone() };
        let daily = |time| Job {
            expect_by: Some(ExpectBy::Time(time)),
            zone: Some(zone.clone()),
            ..Job::default()
        };
        let morning = daily(time(6, 30, 0, 0));
        let working = Job { limits: Some(limits), ..morning.clone() };
        let midnight = daily(time(0, 0, 0, 0));
        for (job, success, now, wanted) in [
            // A success of the day counts, and only that: midnight in Berlin is 22:00Z.
            (&morning, "2026-06-09T22:00:00Z", "2026-06-10T04:30:00Z", None),
            (
                &morning,
                "2026-06-09T21:59:59Z",
                "2026-06-10T04:30:00Z",
                Some("2026-06-10T04:30:00Z"),
            ),
            (&morning, "2026-06-09T12:00:00Z", "2026-06-10T04:29:59Z", None),
            (
                &morning,
                "2026-06-08T12:00:00Z",
                "2026-06-10T04:29:59Z",
                Some("2026-06-09T04:30:00Z"),
            ),
            (&morning, "2026-06-10T05:00:00Z", "2026-06-10T06:00:00Z", None),
            // Saturday, Sunday, and a Monday that is a holiday.
            (&working, "2026-06-05T04:00:00Z", "2026-06-08T20:00:00Z", None),
            (
                &working,
                "2026-06-05T04:00:00Z",
                "2026-06-09T04:30:00Z",
                Some("2026-06-09T04:30:00Z"),
            ),
            (
                &working,
                "2026-06-04T04:00:00Z",
                "2026-06-08T20:00:00Z",
                Some("2026-06-05T04:30:00Z"),
            ),
            (&midnight, "2026-06-09T12:00:00Z", "2026-06-09T22:00:00Z", None),
            (
                &midnight,
                "2026-06-08T12:00:00Z",
                "2026-06-09T22:00:00Z",
                Some("2026-06-09T22:00:00Z"),
            ),
        ] {
            let found = late_since(job, Some(&state(job, Some(success))), at(now));
            assert_eq!(found, wanted.map(at), "{success} {now}");
        }
        // One that is new is late from its first such time on.
        let new = |since| JobStateRecord { since: Some(at(since)), ..state(&morning, None) };
        let late = |since| late_since(&morning, Some(&new(since)), at("2026-06-10T05:00:00Z"));
        assert_eq!(late("2026-06-10T04:29:00Z"), Some(at("2026-06-10T04:30:00Z")));
        assert_eq!(late("2026-06-10T04:31:00Z"), None);
        let resumed = JobStateRecord {
            resumed_at: Some(at("2026-06-10T04:31:00Z")),
            ..state(&morning, None)
        };
        assert_eq!(late_since(&morning, Some(&resumed), at("2026-06-11T04:29:00Z")), None);
        let off = Job { enabled: false, ..morning.clone() };
        assert_eq!(late_since(&off, Some(&state(&off, None)), at("2026-06-10T05:00:00Z")), None);
    }

    #[test]
    fn a_success_in_a_window_before_the_expected_time_counts() {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        let job = |window: &str, time| {
            let windows = vec![DayWindow::parse(window).unwrap()];
            let limits = StartLimits { windows, ..StartLimits::default() };
            Job {
                expect_by: Some(ExpectBy::Time(time)),
                limits: Some(JobLimits { limits: Arc::new(limits), zone: zone.clone() }),
                zone: Some(zone.clone()),
                ..Job::default()
            }
        };
        let night = job("22:00-04:00", time(4, 30, 0, 0));
        let evening = job("20:00-23:00", time(6, 30, 0, 0));
        let week = job("Mon-Fri 20:00-23:00", time(6, 30, 0, 0));
        let late = job("22:00-04:00", time(23, 0, 0, 0));
        for (job, success, now, wanted) in [
            // 23:30, and 21:59 in Berlin, on the evening before.
            (&night, "2026-06-09T21:30:00Z", "2026-06-10T02:30:00Z", None),
            (&night, "2026-06-09T19:59:00Z", "2026-06-10T02:30:00Z", Some("2026-06-10T02:30:00Z")),
            (&evening, "2026-06-09T18:00:00Z", "2026-06-10T04:30:00Z", None),
            (
                &evening,
                "2026-06-08T20:30:00Z",
                "2026-06-10T04:30:00Z",
                Some("2026-06-10T04:30:00Z"),
            ),
            // The window of Friday is expected on Saturday, and none on Sunday and Monday.
            (&week, "2026-06-11T20:00:00Z", "2026-06-13T04:30:00Z", Some("2026-06-13T04:30:00Z")),
            (&week, "2026-06-12T20:00:00Z", "2026-06-15T12:00:00Z", None),
            // What was due on the day before is late by now, and not early.
            (&late, "2026-06-09T23:00:00Z", "2026-06-10T21:00:00Z", Some("2026-06-10T21:00:00Z")),
        ] {
            let found = late_since(job, Some(&state(job, Some(success))), at(now));
            assert_eq!(found, wanted.map(at), "{success} {now}");
        }
    }

    #[test]
    fn a_time_of_the_day_that_is_the_slot_itself_is_that_of_the_next_day() {
        let job = job(ExpectBy::Time(time(3, 0, 0, 0)));
        let found = |now: &str| late_since(&job, Some(&state(&job, None)), at(now));
        assert_eq!(found("2026-06-10T01:00:00Z"), Some(at("2026-06-10T01:00:00Z")));
        assert_eq!(found("2026-06-10T00:59:00Z"), Some(at("2026-06-09T01:00:00Z")));
    }
}
