//! The time by which a job must have succeeded: `expect_by`. Pure.

use jiff::{SignedDuration, Timestamp};

use super::{
    cron::Schedule,
    jobs::{ExpectBy, Job},
    slot::Slot,
};
use crate::store::history::JobStateRecord;

/// Returns the time by which a job should have succeeded and has not; `None` if it is not late. A job that is paused or
/// turned off, or has had no slot since it is known, is not.
pub fn late_since(job: &Job, state: Option<&JobStateRecord>, now: Timestamp) -> Option<Timestamp> {
    let (rule, schedule) = (job.expect_by?, job.active_schedule()?);
    let state = state.filter(|state| state.revision == job.revision())?;
    let slot = newest_due(rule, schedule, now)?;
    let is_known = state.since.is_none_or(|since| since < slot.at);
    let has_succeeded = state.last_success.is_some_and(|success| success >= slot.at);
    if !is_known || has_succeeded || state.paused_at.is_some() {
        return None;
    }
    deadline(rule, schedule, &slot)
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
    use std::time::Duration;

    use jiff::civil::time;

    use super::*;
    use crate::{
        schedule::{cron::Expression, zone::Zones},
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
            let off = Job { enabled: false, ..job };
            assert_eq!(
                late_since(&off, Some(&state(&off, None)), at("2026-06-10T06:00:00Z")),
                None
            );
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
