//! The schedule of a job: `cron`, `timezone`, and the rules for missed slots.

use std::{ops::Range, time::Duration};

use super::{
    CatchUp, Misfire,
    job::JobContext,
    table::{JobsDocument, JobsTable, Value},
};
use crate::schedule::{
    cron::{Expression, Mistake, Schedule},
    zone::Zone,
};

/// Warns of keys for catching up that have no effect.
pub(super) fn check_catch_up(table: &JobsTable<'_>, rules: &CatchUp, page: &mut JobsDocument<'_>) {
    if let Some(span) = table.place("max_catchup").filter(|_| rules.misfire != Misfire::All) {
        page.warn(span, "`max_catchup` is for `misfire = \"all\"` only", None);
    }
}

/// Reads `cron` and `timezone`; returns `None` if there is no `cron`, or if it is unusable.
pub(super) fn schedule(
    table: &mut JobsTable<'_>,
    job: &str,
    jitter: Duration,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Schedule> {
    let cron = table.text("cron", page);
    let zone = table.text("timezone", page);
    if let (None, Some(span)) = (table.get("cron"), table.place("timezone")) {
        page.warn(span, "`timezone` does nothing without `cron`", None);
    }
    let found = zone.clone().and_then(|(name, span)| found(name, span, place, page));
    let (text, span) = cron?;
    let expression = match Expression::parse(text, job) {
        Ok(expression) => expression,
        Err(mistake) => {
            let Mistake { message, hint, at } = mistake;
            page.error(page.within(&span, text, &at), message, hint);
            return None;
        }
    };
    for Mistake { message, hint, at } in &expression.warnings {
        page.warn(page.within(&span, text, at), message.clone(), hint.clone());
    }
    let rules = match (&expression.zone, zone) {
        (Some(inner), Some((outer, outer_span))) if inner != outer => {
            let message = format!("`timezone` says \"{outer}\" and `cron` says \"{inner}\"");
            page.error(outer_span, message, Some("one of them is enough".into()));
            return None;
        }
        (Some(inner), None) => found_inner(inner, &span, place, page)?,
        (_, Some(_)) => found?,
        (None, None) => place.zones.of_this_machine(),
    };
    let schedule = expression.in_zone(rules);
    let first = schedule.next(place.now);
    if first.is_none() {
        let hint = "no day in the next eight years has that date, or its years are over";
        page.error(span, "this schedule never fires", Some(hint.into()));
        return None;
    }
    let period = schedule.period(place.now).and_then(|period| Duration::try_from(period).ok());
    if period.is_some_and(|period| !jitter.is_zero() && jitter >= period) {
        let span = table.get("jitter").map_or(span, Value::span);
        let hint = Some("a slot may then begin after the next one is due".to_owned());
        page.warn(span, "`jitter` is as long as the time between two slots", hint);
    }
    Some(schedule)
}

fn found_inner(
    name: &str,
    span: &Range<usize>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Zone> {
    let at = page.within(span, name, &(0..name.len()));
    found(name, at, place, page)
}

fn found(
    name: &str,
    span: Range<usize>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Zone> {
    match place.zones.find(name) {
        Ok(zone) => Some(zone),
        Err(unknown) => {
            page.error(span, unknown.message, Some(unknown.hint));
            None
        }
    }
}
