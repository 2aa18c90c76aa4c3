//! The calendar of the next 24 hours.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use axum::response::Response;
use jiff::{RoundMode, Timestamp, ToSpan, Unit, Zoned, ZonedRound, tz::TimeZone};
use maud::{Markup, html};

use super::layout::{badge, foreign, job_address, page as whole};
use crate::{
    error::Result,
    schedule::{jobs::Jobs, slot::Slot, upcoming::MergedSlots},
    store::Store,
    web::access::Caller,
};

/// The maximum number of slots of one job that are looked at: a job of every minute has 1,440.
const SLOTS_OF_JOB_MAX: usize = 1_500;
/// The maximum number of slots that are looked at: they take a tenth of a second, and more are not readable.
const SLOTS_MAX: usize = 20_000;
/// The maximum number of jobs that an hour lists.
const JOBS_OF_HOUR_MAX: usize = 100;
/// The number of times that are written out for a job in an hour.
const TIMES_SHOWN: usize = 4;

/// The slots of the next 24 hours, by the hour of the host's zone.
#[derive(Debug, Default)]
pub(super) struct DayAhead {
    hours: BTreeMap<Timestamp, HourAhead>,
    is_cut: bool,
    /// The time of the first slot that is left out because there are too many.
    until: Option<Zoned>,
}

/// The slots of an hour, by their jobs.
type HourAhead = BTreeMap<Arc<str>, HourOfJob>;

/// The slots of a job within an hour.
#[derive(Debug, Default)]
struct HourOfJob {
    /// The first of their times.
    times: Vec<Timestamp>,
    count: usize,
    is_paused: bool,
    description: Option<String>,
}

/// Collects the slots of all jobs, the earliest first; `coming` has the first of each job.
pub(super) fn read(
    store: &Store,
    jobs: &Jobs,
    coming: &[Option<Slot>],
    now: Timestamp,
) -> Result<DayAhead> {
    let paused: BTreeSet<_> = store.paused_jobs()?.into_iter().map(|state| state.job).collect();
    let end = now.checked_add(24.hours()).unwrap_or(Timestamp::MAX);
    let (zone, mut day) = (TimeZone::system(), DayAhead::default());
    let mut slots = MergedSlots::new(jobs, coming, end);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let (mut hour, mut hour_end) = (HourAhead::new(), Timestamp::MIN);
    let mut begin = now;
    for left in (0..SLOTS_MAX).rev() {
        let Some((job, slot, _)) = slots.next() else { break };
        if left == 0 {
            day.until = Some(slot.at.to_zoned(zone.clone()));
            break;
        }
        let count = counts.entry(&job.name).or_default();
        *count += 1;
        if *count >= SLOTS_OF_JOB_MAX {
            slots.skip_job(job);
            day.is_cut = true;
        }
        // Slots come in the order of time: the hour is computed once for all of its slots.
        if slot.at >= hour_end {
            day.put(begin, std::mem::take(&mut hour));
            begin = hour_of(&slot.at.to_zoned(zone.clone())).unwrap_or(slot.at);
            hour_end = begin.checked_add(1.hour()).unwrap_or(Timestamp::MAX);
        }
        let one = hour.entry(Arc::clone(&job.name)).or_insert_with(|| HourOfJob {
            is_paused: paused.contains(&*job.name),
            description: job.description.clone(),
            ..HourOfJob::default()
        });
        one.count += 1;
        if one.times.len() < TIMES_SHOWN {
            one.times.push(slot.at);
        }
    }
    day.put(begin, hour);
    Ok(day)
}

impl DayAhead {
    fn put(&mut self, begin: Timestamp, hour: HourAhead) {
        if !hour.is_empty() {
            self.hours.insert(begin, hour);
        }
    }
}

/// Returns the beginning of the hour of a time.
fn hour_of(at: &Zoned) -> Option<Timestamp> {
    let begin = ZonedRound::new().smallest(Unit::Hour).mode(RoundMode::Trunc);
    at.round(begin).ok().map(|hour| hour.timestamp())
}

/// Returns the calendar.
pub(super) fn page(day: &DayAhead, caller: &Caller) -> Response {
    let most = day.hours.values().map(slots_of).max().unwrap_or(1).max(1);
    let content = html! {
        h1 { "The next 24 hours" }
        @if day.hours.is_empty() { p { "No job is due." } }
        @if day.is_cut { p.note { "Some jobs run so often that not all of their slots are listed." } }
        @if let Some(until) = &day.until {
            p.note { "There are too many slots to list: here are those before " (until.strftime("%a %H:%M:%S").to_string()) "." }
        }
        @for (hour, jobs) in &day.hours { (section(*hour, jobs, most)) }
    };
    whole("Calendar", "/calendar", caller, &content)
}

fn slots_of(jobs: &HourAhead) -> usize {
    jobs.values().map(|job| job.count).sum()
}

fn section(hour: Timestamp, jobs: &HourAhead, most: usize) -> Markup {
    let zoned = hour.to_zoned(TimeZone::system());
    let count = slots_of(jobs);
    let more = jobs.len().saturating_sub(JOBS_OF_HOUR_MAX);
    html! {
        section.hour {
            h2 {
                time datetime=(hour.to_string()) { (zoned.strftime("%a %d %b %H:%M").to_string()) }
                " " span.count { (count) @if count == 1 { " slot" } @else { " slots" } }
            }
            meter min="0" max=(most) value=(count) aria-label="Slots in this hour" {}
            ul {
                @for (name, job) in jobs.iter().take(JOBS_OF_HOUR_MAX) {
                    li {
                        (times(job)) " "
                        a href=(job_address(name)) { (name) }
                        @if job.is_paused { " " (badge("paused")) }
                        @if let Some(text) = &job.description { " " span.about { (foreign(text)) } }
                    }
                }
                @if more > 0 { li { "and " (more) " more jobs" } }
            }
        }
    }
}

fn times(job: &HourOfJob) -> Markup {
    let form = |at: &Timestamp| {
        let at = at.to_zoned(TimeZone::system());
        let form = if at.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        at.strftime(form).to_string()
    };
    let shown: Vec<_> = job.times.iter().map(form).collect();
    let more = job.count.saturating_sub(shown.len());
    html! { span.times { (shown.join(" ")) @if more > 0 { " +" (more) } } }
}
