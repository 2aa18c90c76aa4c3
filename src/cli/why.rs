//! `portolan why`: what became of a moment, or what will.

use jiff::{Timestamp, civil::DateTime, tz::AmbiguousOffset};
use serde_json::{Value, json};

use super::{common::Common, exit, next::no_job, report, slots};
use crate::{
    clock::Clock,
    fault::{Fault, Outcome},
    observe::json::line,
    schedule::{
        cron::Schedule,
        jobs::Job,
        slot::Slot,
        zone::{Zone, Zones},
    },
};

/// What `portolan why` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job
    job: String,
    /// The moment: 2026-03-08T07:00:00Z, or "2026-03-08 02:30" on the wall clock of the job
    #[arg(long, value_name = "T")]
    at: String,
    /// The jobs file
    #[arg(long, value_name = "FILE", default_value = "portolan.toml")]
    jobs: std::path::PathBuf,
}

/// What the schedule says of a moment.
#[derive(Debug)]
pub(super) struct Answer {
    /// The slot that the moment means, if it means one.
    pub(super) slot: Option<Slot>,
    /// In a sentence.
    pub(super) words: String,
    /// The last slot before it, within a year and a day, and the first after it.
    pub(super) around: [Option<Slot>; 2],
}

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    let (zones, now) = (Zones::newest(), Clock::System.now());
    let jobs = match slots::jobs(&args.jobs, &zones, now) {
        Ok(jobs) => jobs,
        Err(code) => return code,
    };
    let answered = || -> Outcome<_> {
        let job = jobs.get(&args.job).ok_or_else(|| no_job(&jobs, &args.job))?;
        let schedule = job.schedule.as_ref().ok_or_else(|| {
            Fault::invalid(format!("job `{}` has no `cron`, so no moment is its own", job.name))
        })?;
        Ok((job, schedule, answer(schedule, &args.at, now)?))
    };
    match answered() {
        Ok((job, schedule, answer)) if common.json() => {
            let value = value(job, schedule, &answer);
            report::output(&(String::from_utf8_lossy(&line(&value)).into_owned() + "\n"));
            exit::DONE
        }
        Ok((job, schedule, answer)) => {
            report::output(&page(job, schedule, &answer));
            exit::DONE
        }
        Err(fault) => report::wrong_usage(&fault),
    }
}

/// What `schedule` says of the moment `text`.
pub(super) fn answer(schedule: &Schedule, text: &str, now: Timestamp) -> Outcome<Answer> {
    let at = slots::moment(text, &schedule.zone, now)?;
    let civil = text.parse::<Timestamp>().is_err().then(|| text.parse::<DateTime>().ok()).flatten();
    let (slot, words) = match civil {
        Some(civil) => on_the_wall(schedule, civil),
        None => at_an_instant(schedule, at),
    };
    let place = slot.map_or(at, |slot| slot.at);
    let (before, after) = (schedule.last(place), schedule.next(place));
    Ok(Answer { slot, words, around: [before, after] })
}

/// A time on the wall: it may come never, once or twice.
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

fn at_an_instant(schedule: &Schedule, at: Timestamp) -> (Option<Slot>, String) {
    let civil = schedule.zone.rules.to_datetime(at);
    if let Some(slot) = slot_at(schedule, at) {
        let words = match slot.moved_from {
            Some(from) => format!(
                "the run for {} is due then: that time did not exist, the clock was put ahead over it",
                from.strftime("%H:%M")
            ),
            None => "a run is due then".to_owned(),
        };
        return (Some(slot), words);
    }
    let words = if schedule.names(civil) {
        "no run is due then: it is the second pass of an hour that came twice, and a fixed time runs once, on the first"
            .to_owned()
    } else {
        "no run is due then: the schedule does not name that time".to_owned()
    };
    (None, words)
}

/// The slot at exactly this instant.
fn slot_at(schedule: &Schedule, at: Timestamp) -> Option<Slot> {
    let before = at.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
    schedule.next(before).filter(|slot| slot.at == at)
}

fn page(job: &Job, schedule: &Schedule, answer: &Answer) -> String {
    let zone = &schedule.zone;
    let kind = if schedule.expression.is_interval() { "an interval" } else { "fixed times" };
    let mut rows = Vec::new();
    let [before, after] = answer.around;
    for (name, slot) in [("before", before), ("slot", answer.slot), ("after", after)] {
        if let Some(slot) = slot {
            let is_exact = slots::has_seconds(slot.at);
            rows.push(vec![
                format!("  {name}"),
                slots::utc(slot.at, is_exact),
                slots::local(slot.at, zone, is_exact),
                slots::note(&slot, zone).unwrap_or_default(),
            ]);
        }
    }
    format!(
        "{}: `{}` in {}, {kind}\n\n{}\n\n{}",
        job.name,
        schedule.expression.text(),
        zone.name,
        slots::wrapped(&answer.words),
        slots::columns(&rows)
    )
}

fn value(job: &Job, schedule: &Schedule, answer: &Answer) -> Value {
    let [before, after] = answer.around.map(|slot| slot.map(|slot| shown(&slot, &schedule.zone)));
    json!({
        "job": &*job.name,
        "cron": schedule.expression.text(),
        "timezone": schedule.zone.name,
        "why": answer.words,
        "slot": answer.slot.map(|slot| shown(&slot, &schedule.zone)),
        "before": before,
        "after": after,
    })
}

/// A slot as `--json` has it.
pub(super) fn shown(slot: &Slot, zone: &Zone) -> Value {
    json!({
        "at": slot.at.to_string(),
        "local": slot.at.to_zoned(zone.rules.clone()).to_string(),
        "moved_from": slot.moved_from.map(|from| from.to_string()),
        "slot": slot.id.to_string(),
    })
}
