//! The schedule of a job: `cron`, `timezone`, `window`, `not_on`, `expect_by`, and the rules for missed slots.

use std::{
    cell::RefCell, collections::BTreeMap, ops::Range, path::PathBuf, sync::Arc, time::Duration,
};

use jiff::civil::Time;
use toml::de::DeValue;

use super::{
    CatchUp, Digest, ExpectBy, Job, JobLimits, Misfire,
    job::JobContext,
    rates,
    table::{JobsDocument, JobsTable, Value},
    tell,
};
use crate::{
    files::ops,
    limits::DATES_FILE_BYTES_MAX,
    observe::visible::visible,
    schedule::{
        cron::{DateSet, DayWindow, Expression, Mistake, Schedule, StartLimits},
        zone::Zone,
    },
    script::value::parse_time,
};

/// The files of dates that have been read: their lines with the numbers, or an error.
pub(super) type DateFiles = RefCell<BTreeMap<PathBuf, Result<Vec<(usize, String)>, String>>>;

/// Warns of keys for catching up that have no effect.
pub(super) fn check_catch_up(table: &JobsTable<'_>, rules: &CatchUp, page: &mut JobsDocument<'_>) {
    if let Some(span) = table.place("max_catchup").filter(|_| rules.misfire != Misfire::All) {
        page.warn(span, "`max_catchup` is for `misfire = \"all\"` only", None);
    }
}

/// Reads the keys about time into `job`, which is called `name`.
pub(super) fn times(
    table: &mut JobsTable<'_>,
    name: &str,
    job: &mut Job,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) {
    let limits = limits(table, place, page);
    job.expect_by = expect_by(table, page);
    let zone = table.text("timezone", page);
    let is_needed =
        limits.is_some() || job.expect_by.is_some() || table.get("rate_limit").is_some();
    if let (None, Some(span), false) = (table.get("cron"), table.place("timezone"), is_needed) {
        page.warn(span, "`timezone` does nothing without `cron`", None);
    }
    let found = zone.clone().map(|(name, span)| found(name, span, place, page));
    job.schedule =
        schedule(table, name, (zone, found.clone()), limits.clone(), job.jitter, place, page);
    let zone = job.schedule.as_ref().map(|schedule| schedule.zone.clone()).or(found.flatten());
    let zone = zone.unwrap_or_else(|| place.zones.of_this_machine());
    job.rate_limit = rates::rate_limit(table, &zone, page);
    job.zone = job.schedule.is_none().then(|| zone.clone());
    if let (Some(ExpectBy::Within(_)), None, Some(span)) =
        (job.expect_by, table.get("cron"), table.place("expect_by"))
    {
        let hint = Some("a time of the day such as \"06:30\" is for each day".to_owned());
        let message = "`expect_by` is a duration after the slot, and a job without `cron` has none";
        page.warn(span, message, hint);
    }
    job.limits = limits.map(|limits| JobLimits { limits, zone });
}

/// A zone as it is written, with its position, and the zone of that name.
type NamedZone<'z> = (Option<(&'z str, Range<usize>)>, Option<Option<Zone>>);

/// Returns the schedule; `None` if there is no `cron`, or if it is unusable.
fn schedule(
    table: &mut JobsTable<'_>,
    job: &str,
    (zone, found_zone): NamedZone<'_>,
    limits: Option<Arc<StartLimits>>,
    jitter: Duration,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Schedule> {
    let errors = page.errors();
    let texts = match table.get("cron")?.get_ref() {
        DeValue::Array(_) => table.texts("cron", page),
        _ => table.text("cron", page).into_iter().collect(),
    };
    let mut expressions = Vec::new();
    for (text, span) in &texts {
        expressions.push(expression(text, span, job, page)?);
    }
    let (_, span) = texts.first()?.clone();
    let (text, _) = texts.first()?;
    let inner = expressions.iter().find_map(|one| one.zone.clone());
    if let Some(at) = expressions.iter().position(|one| one.zone.is_some() && one.zone != inner)
        && let Some((_, span)) = texts.get(at)
    {
        page.error(span.clone(), "all `cron` of a job are in one time zone", None);
        return None;
    }
    let rules = match (&inner, zone) {
        (Some(inner), Some((outer, outer_span))) if inner != outer => {
            let message = format!("`timezone` says \"{outer}\" and `cron` says \"{inner}\"");
            page.error(outer_span, message, Some("one of them is enough".into()));
            return None;
        }
        (Some(inner), None) => found_inner(inner, text, &span, place, page)?,
        (_, Some(_)) => found_zone.flatten()?,
        (None, None) => place.zones.of_this_machine(),
    };
    if page.errors() > errors {
        return None;
    }
    let has_limits = limits.is_some();
    let mut expressions = expressions.into_iter();
    let schedule = expressions.next()?.in_zone(rules).with(expressions.collect(), limits);
    if schedule.next(place.now).is_none() {
        let hint = if has_limits {
            "in eight years `window` and `not_on` leave no time that `cron` names"
        } else {
            "no day in the next eight years has that date, or its years are over"
        };
        page.error(span, "this schedule never fires", Some(hint.into()));
        return None;
    }
    let period = (!jitter.is_zero()).then(|| schedule.period(place.now)).flatten();
    let period = period.and_then(|period| Duration::try_from(period).ok());
    if period.is_some_and(|period| jitter >= period) {
        let span = table.get("jitter").map_or(span, Value::span);
        let hint = Some("a slot may then begin after the next one is due".to_owned());
        page.warn(span, "`jitter` is as long as the time between two slots", hint);
    }
    Some(schedule)
}

fn expression(
    text: &str,
    span: &Range<usize>,
    job: &str,
    page: &mut JobsDocument<'_>,
) -> Option<Expression> {
    let expression = match Expression::parse(text, job) {
        Ok(expression) => expression,
        Err(mistake) => {
            let Mistake { message, hint, at } = mistake;
            page.error(page.within(span, text, &at), message, hint);
            return None;
        }
    };
    for Mistake { message, hint, at } in &expression.warnings {
        page.warn(page.within(span, text, at), message.clone(), hint.clone());
    }
    Some(expression)
}

fn found_inner(
    name: &str,
    text: &str,
    span: &Range<usize>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Zone> {
    let at = text.find(name).unwrap_or(0);
    let at = page.within(span, text, &(at..at + name.len()));
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

/// Reads `window` and `not_on`.
fn limits(
    table: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Arc<StartLimits>> {
    let mut limits = StartLimits::default();
    for (text, span) in table.texts("window", page) {
        match DayWindow::parse(text) {
            Ok(window) => limits.windows.push(window),
            Err(message) => page.error(span, visible(message), None),
        }
    }
    for (text, span) in table.texts("not_on", page) {
        // A date stands for itself; anything else is a file.
        if limits.not_on.add(text).is_err() {
            dates(text, &span, &mut limits.not_on, place, page);
        }
    }
    (!limits.is_empty()).then(|| Arc::new(limits))
}

/// Adds the dates of a file, one in each line.
fn dates(
    name: &str,
    span: &Range<usize>,
    dates: &mut DateSet,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) {
    let path = place.folder.join(name);
    let mut files = place.dates.borrow_mut();
    let read = files.entry(path.clone()).or_insert_with(|| {
        let bytes = ops::read(&path, DATES_FILE_BYTES_MAX).map_err(|fault| fault.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let lines = text.lines().enumerate().filter_map(|(at, line)| {
            let line = line.split('#').next().unwrap_or_default().trim();
            // Behind the date, its name.
            let date = line.split_whitespace().next()?;
            Some((at + 1, date.to_owned()))
        });
        Ok(lines.collect())
    });
    let lines = match read {
        Ok(lines) => lines,
        Err(why) => {
            let hint = "a file of dates, one in each line, beside the jobs file; or a date, such as 2026-12-25";
            let message =
                format!("`not_on`: `{}` cannot be read: {}", visible(name), visible(&*why));
            return page.error(span.clone(), message, Some(hint.into()));
        }
    };
    let shown = visible(path.as_os_str().as_encoded_bytes());
    for (line, date) in lines.iter() {
        if let Err(message) = dates.add(date) {
            page.error_in(span, &shown, *line, visible(message));
        }
    }
}

/// Reads a time zone; that of this host without one.
pub(super) fn zone(
    table: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Zone {
    let named = table.text("timezone", page);
    let zone = named.and_then(|(name, span)| found(name, span, place, page));
    zone.unwrap_or_else(|| place.zones.of_this_machine())
}

/// Reads `[digest]`.
pub(super) fn digest(
    root: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) -> Option<Digest> {
    let heading = root.place("digest")?;
    let tell = tell::tell(root, "digest", page)?;
    let mut table = JobsTable::new_unchecked(root.open_table("digest", page)?);
    let zone = zone(&mut table, place, page);
    let hint = || Some("such as `at = \"07:00\"`".to_owned());
    if table.get("at").is_none() {
        page.error(heading, "`digest` has no `at`", hint());
    }
    let (text, span) = table.text("at", page)?;
    let at = time_of_day(text);
    if at.is_none() {
        page.error(span, "`at` wants a time of the day", hint());
    }
    Some(Digest { tell, at: at?, zone })
}

/// Parses `06:30` or `06:30:15`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let mut number = || {
        let part = parts.next()?;
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i8>().ok().filter(|_| is_number)
    };
    let (hour, minute) = (number()?, number()?);
    let second = if text.matches(':').count() == 1 { 0 } else { number()? };
    Time::new(hour, minute, second, 0).ok().filter(|_| parts.next().is_none())
}

/// Reads `expect_by`: a time of the day, or a duration after the slot.
fn expect_by(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<ExpectBy> {
    let (text, span) = table.text("expect_by", page)?;
    let expected = time_of_day(text)
        .map(ExpectBy::Time)
        .or_else(|| parse_time(text).filter(|time| !time.is_zero()).map(ExpectBy::Within));
    if expected.is_none() {
        let hint =
            "a time of the day such as \"06:30\", or a duration after the slot such as \"2h\"";
        page.error(span, format!("`expect_by` cannot be \"{}\"", visible(text)), Some(hint.into()));
    }
    expected
}
