//! `portolan why`: explains the past or future of a moment of a job.

mod told;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::AmbiguousOffset,
};
use serde_json::{Value, json};

use self::told::HistoryAnswer;
use super::{
    ExitResult,
    common::Common,
    next::{no_job, when},
    place::failed,
    report::{self, UsageError},
    slots,
    store::{JobsStore, is_served},
};
use crate::{
    clock::Clock,
    error::Result,
    exit_code::Exit,
    schedule::{
        cron::Schedule,
        facts,
        jobs::Job,
        slot::Slot,
        slot_status::SlotQuery,
        zone::{Zone, Zones},
    },
};

/// The arguments of `portolan why`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "portolan why [OPTIONS] <JOB> [--at <T>]")]
pub(super) struct Args {
    /// Job to explain
    job: String,
    /// Time to explain: 2026-03-08T07:00:00Z, "2026-03-08 02:30" or "yesterday 02:30" in the time zone of the job, or yesterday for the last of that day [default: its last run time]
    #[arg(long, value_name = "T")]
    at: Option<String>,
    #[command(flatten)]
    jobs: JobsStore,
}

/// The words for a slot of a job that is turned off.
const OFF: &str =
    "`enabled` is false: the job runs only when it is triggered, and this slot is none of its own";

/// The answer for an ordinary slot.
const DUE: &str = "a run is due then";

/// The answer of the schedule about a moment.
#[derive(Debug)]
pub(super) struct SlotAnswer {
    /// The moment.
    pub(super) at: Timestamp,
    /// The slot that the moment means, if it means one.
    pub(super) slot: Option<Slot>,
    /// The answer in a sentence.
    pub(super) words: String,
    /// The last slot before it, within a year and a day, and the first after it.
    pub(super) around: [Option<Slot>; 2],
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let (zones, now) = (Zones::newest(), Clock::System.now());
    let jobs = slots::jobs(args.jobs.path(), &zones, now)?;
    let Some(job) = jobs.get(&args.job) else {
        return Err(UsageError(no_job(&jobs, &args.job)).into());
    };
    let zone =
        job.schedule.as_ref().map_or_else(|| zones.of_this_machine(), |one| one.zone.clone());
    let answered = || -> Result<_> {
        let last = || {
            let slot = job.schedule.as_ref().and_then(|schedule| schedule.last(now));
            slot.map_or_else(|| "now".to_owned(), |slot| slot.at.to_string())
        };
        let given = last_given(args, common, job)?;
        let at = args.at.clone().unwrap_or_else(last);
        let answer = match &job.schedule {
            _ if given.is_some() => with_files(job, given.unwrap_or(now)),
            Some(schedule) => {
                let answer = answer(schedule, &at, now)?;
                let is_off = !job.enabled && answer.words == DUE;
                let words = if is_off { OFF.to_owned() } else { answer.words };
                SlotAnswer { words, ..answer }
            }
            None => without_schedule(job, slots::moment(&at, &zone, now)?),
        };
        let told = history(args, common, job, &answer, now)?;
        Ok((answer, told))
    };
    let (answer, told) = answered().map_err(failed)?;
    if common.json() {
        let value = value(job, &zone, &answer, told.as_ref());
        report::json(&value);
    } else {
        report::output(&page(job, &zone, &answer, told.as_ref()));
    }
    Ok(Exit::Done)
}

/// Returns the answer of history about the moment; `None` if nothing has ever run.
fn history(
    args: &Args,
    common: &Common,
    job: &Job,
    answer: &SlotAnswer,
    now: Timestamp,
) -> Result<Option<HistoryAnswer>> {
    let Some((folder, store)) = args.jobs.store_if_placed(common)? else { return Ok(None) };
    let is_served = is_served(&folder, &store)?;
    let question = SlotQuery { job, at: answer.at, slot: answer.slot, now, is_served };
    HistoryAnswer::read(&question, answer.around[0], &store).map(Some)
}

/// Returns the time at which files were last given to a job that is started by them; `None` for a question about another
/// time, and if a later slot of its schedule has passed.
fn last_given(args: &Args, common: &Common, job: &Job) -> Result<Option<Timestamp>> {
    if args.at.is_some() || job.files.is_none() {
        return Ok(None);
    }
    let Some((_, store)) = args.jobs.store_if_placed(common)? else { return Ok(None) };
    let last = job.schedule.as_ref().and_then(|schedule| schedule.last(Clock::System.now()));
    let given = store.last_given(&job.name)?;
    Ok(given.filter(|given| last.is_none_or(|last| last.at < *given)))
}

/// Returns the answer for the time at which files were given to a job.
fn with_files(job: &Job, at: Timestamp) -> SlotAnswer {
    let words = job.files.as_ref().map(|files| format!("it runs {}", files.words()));
    let around = job.schedule.as_ref().map(|schedule| [schedule.last(at), schedule.next(at)]);
    let around = around.unwrap_or([None, None]);
    SlotAnswer { at, slot: None, words: words.unwrap_or_default(), around }
}

/// Returns the answer for a job without a schedule.
fn without_schedule(job: &Job, at: Timestamp) -> SlotAnswer {
    let words = format!("no moment is its own: the job has no `cron`, and runs {}", when(job));
    SlotAnswer { at, slot: None, words, around: [None, None] }
}

/// Returns the answer of `schedule` about the moment `text`.
pub(super) fn answer(schedule: &Schedule, text: &str, now: Timestamp) -> Result<SlotAnswer> {
    // Slots are whole seconds; any time within the second means that slot.
    let at = whole_second(slots::moment(text, &schedule.zone, now)?);
    let of_day = slots::day(text, &schedule.zone, now).and_then(|day| last_of(schedule, day, now));
    let civil = slots::wall_clock(text, &schedule.zone, now).filter(|_| of_day.is_none());
    let at = of_day.unwrap_or(at);
    let (slot, words) = match civil {
        Some(civil) => on_the_wall(schedule, civil),
        None => at_an_instant(schedule, at),
    };
    let at = slot.map_or(at, |slot| slot.at);
    Ok(SlotAnswer { at, slot, words, around: [schedule.last(at), schedule.next(at)] })
}

/// Returns the last slot of a day, up to now.
fn last_of(schedule: &Schedule, day: Date, now: Timestamp) -> Option<Timestamp> {
    let midnight = |day: Date| {
        let civil = day.to_datetime(Time::midnight());
        schedule.zone.rules.to_ambiguous_timestamp(civil).compatible().ok()
    };
    let (begin, end) = (midnight(day)?, midnight(day.tomorrow().ok()?)?);
    let slot = schedule.last(end.min(now))?;
    Some(slot.at).filter(|at| *at >= begin)
}

/// Returns the slot of a wall-clock time, which may occur never, once or twice, and the answer in words.
fn on_the_wall(schedule: &Schedule, civil: DateTime) -> (Option<Slot>, String) {
    let zone = &schedule.zone;
    let time = civil.strftime("%H:%M:%S").to_string();
    let time = time.strip_suffix(":00").unwrap_or(&time);
    match zone.rules.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let Ok(at) = offset.to_timestamp(civil) else { return (None, "no such time".into()) };
            at_an_instant(schedule, at)
        }
        AmbiguousOffset::Gap { before, .. } => {
            let slot = before.to_timestamp(civil).ok().and_then(|late| {
                let jump = zone.rules.preceding(late).next()?.timestamp();
                let slot = slot_at(schedule, jump)?;
                (slot.moved_from.is_some_and(|from| from <= civil) && schedule.names(civil))
                    .then_some(slot)
            });
            let words = match &slot {
                Some(slot) => format!(
                    "{time} did not exist that day: the clock was put ahead over it, and a fixed time that is skipped \
                     runs at the first moment after, at {}",
                    zone.rules.to_datetime(slot.at).strftime("%H:%M")
                ),
                None if schedule.names(civil) => format!(
                    "{time} did not exist that day: the clock was put ahead over it, and an interval runs only at \
                     moments that happen"
                ),
                None => format!("{time} did not exist that day, and the schedule does not name it"),
            };
            (slot, words)
        }
        AmbiguousOffset::Fold { before, after } => {
            let [first, second] = [before, after].map(|offset| offset.to_timestamp(civil).ok());
            let [one, other] = [first, second].map(|at| slot_at(schedule, at?));
            let words = match (&one, &other) {
                (Some(_), Some(_)) => {
                    format!("{time} came twice that day, and an interval runs in both passes")
                }
                (Some(_), None) => format!(
                    "{time} came twice that day, and a fixed time runs once, on the first pass"
                ),
                _ => format!("{time} came twice that day, and the schedule does not name it"),
            };
            (one.or(other), words)
        }
    }
}

fn whole_second(at: Timestamp) -> Timestamp {
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second).unwrap_or(at)
}

fn at_an_instant(schedule: &Schedule, at: Timestamp) -> (Option<Slot>, String) {
    let civil = schedule.zone.rules.to_datetime(at);
    if let Some(slot) = slot_at(schedule, at) {
        let words = match slot.moved_from {
            Some(from) => format!(
                "the run for {} is due then: that time did not exist, the clock was put ahead over it",
                from.strftime("%H:%M")
            ),
            None => DUE.to_owned(),
        };
        return (Some(slot), words);
    }
    let words = if let Some(key) = schedule.refusal(at) {
        match key {
            "window" => {
                "no run is due then: `cron` names that time, and it is outside `window`".to_owned()
            }
            _ => format!(
                "no run is due then: `cron` names that time, and {} is one of the dates of `not_on`",
                civil.date()
            ),
        }
    } else if schedule.names(civil) {
        "no run is due then: it is the second pass of an hour that came twice, and a fixed time runs once, on the first"
            .to_owned()
    } else {
        "no run is due then: the schedule does not name that time".to_owned()
    };
    (None, words)
}

/// Returns the slot at exactly this instant.
fn slot_at(schedule: &Schedule, at: Timestamp) -> Option<Slot> {
    let before = at.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
    schedule.next(before).filter(|slot| slot.at == at)
}

fn page(job: &Job, zone: &Zone, answer: &SlotAnswer, told: Option<&HistoryAnswer>) -> String {
    let mut parts = vec![heading(job)];
    let words = told.and_then(|told| told.words(zone));
    // If the slot has had its run, its line in the table is enough to say that it was due.
    let is_said = words.is_some() && answer.words == DUE;
    parts.extend(words.map(|words| slots::wrapped(&words)));
    parts.extend((!is_said).then(|| slots::wrapped(&answer.words)));
    let mut rows = Vec::new();
    let [before, after] = answer.around;
    let all = [("before", before), ("slot", answer.slot), ("after", after)];
    let is_exact = all.iter().filter_map(|(_, slot)| *slot).any(|slot| slots::has_seconds(slot.at));
    for (name, slot) in all {
        if let Some(slot) = slot {
            rows.push(vec![
                format!("  {name}"),
                slots::utc(slot.at, is_exact),
                slots::local(slot.at, zone, is_exact),
                slots::note(&slot, zone).unwrap_or_default(),
            ]);
        }
    }
    parts.extend((!rows.is_empty()).then(|| slots::columns(&rows).trim_end().to_owned()));
    let run = told.and_then(HistoryAnswer::run);
    parts.extend(run.map(|run| format!("all of it: portolan show {}", run.id)));
    parts.join("\n\n") + "\n"
}

fn heading(job: &Job) -> String {
    let Some(schedule) = &job.schedule else { return job.name.to_string() };
    let kind = if schedule.expression.is_interval() { "an interval" } else { "fixed times" };
    let (text, zone) = (schedule.text(), &schedule.zone.name);
    format!("{}: `{text}` in {zone}, {kind}", job.name)
}

fn value(job: &Job, zone: &Zone, answer: &SlotAnswer, told: Option<&HistoryAnswer>) -> Value {
    let [before, after] = answer.around.map(|slot| slot.map(|slot| shown(&slot, zone)));
    let words = told.and_then(|told| told.words(zone));
    let is_said = words.is_some() && answer.words == DUE;
    let rule = (!is_said).then(|| answer.words.clone());
    let why: Vec<_> = words.into_iter().chain(rule).collect();
    json!({
        "job": &*job.name,
        "cron": job.schedule.as_ref().map(Schedule::text),
        "timezone": job.schedule.as_ref().map(|schedule| &schedule.zone.name),
        "at": answer.at.to_string(),
        "why": why.join("; "),
        "became": told.map(|told| told.became.as_str()),
        "run": told.and_then(|told| told.became.row()).map(facts::run),
        "covered_by": told.and_then(HistoryAnswer::covering).map(facts::run),
        "during": told.map(|told| told.during.iter().map(facts::run).collect::<Vec<_>>()),
        "slot": answer.slot.map(|slot| shown(&slot, zone)),
        "before": before,
        "after": after,
    })
}

/// Returns a slot for `--json`.
pub(super) fn shown(slot: &Slot, zone: &Zone) -> Value {
    json!({
        "at": slot.at.to_string(),
        "local": slot.at.to_zoned(zone.rules.clone()).to_string(),
        "moved_from": slot.moved_from.map(|from| from.to_string()),
        "slot": slot.id.to_string(),
    })
}
