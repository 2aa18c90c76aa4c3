//! `portolan next`: shows when jobs run.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use super::{
    ExitResult,
    common::Common,
    place::failed,
    report::{self, Reported, UsageError},
    slots,
    store::JobsStore,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    observe::visible::visible,
    schedule::{
        cron::{Expression, Mistake, Schedule},
        jobs::{FileTrigger, Job, Jobs},
        slot::Slot,
        upcoming::SlotDocument,
        zone::Zones,
    },
    similar::nearest,
};

/// The arguments of `portolan next`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Job to show; all jobs without it and without --cron
    job: Option<String>,
    /// Cron expression to use instead: 5, 6 (seconds first) or 7 fields, @daily, @every 90m
    #[arg(long, value_name = "EXPR", conflicts_with = "job")]
    cron: Option<String>,
    /// Time zone for --cron, such as Europe/Berlin [default: the host's]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    timezone: Option<String>,
    /// Show runs after: 2026-03-08T07:00:00Z, or 2026-03-08T02:30 in the time zone of the schedule
    #[arg(long, value_name = "T")]
    after: Option<String>,
    /// Number of runs to show [default: 1 of each job, or 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: Option<u16>,
    /// Jobs file
    #[arg(long, value_name = "FILE", default_value = "portolan.toml", conflicts_with = "cron")]
    jobs: PathBuf,
}

/// The number of slots of a single job or expression.
const COUNT: usize = 5;

/// A slot with its job and schedule.
struct NextSlot<'r> {
    job: Option<&'r Job>,
    schedule: &'r Schedule,
    slot: Slot,
    /// True if the job is paused: the slot will be skipped unless it is resumed before.
    is_paused: bool,
}

impl Args {
    /// Returns true if neither a job nor an expression is named.
    const fn is_of_all_jobs(&self) -> bool {
        self.job.is_none() && self.cron.is_none()
    }
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let (zones, now) = (Zones::newest(), Clock::System.now());
    if let Some(text) = &args.cron {
        let schedule = schedule(text, args.timezone.as_deref(), &zones)?;
        return show(args, common, &zones, now, &[(None, &schedule)], &BTreeSet::new());
    }
    let jobs = slots::jobs(&args.jobs, &zones, now)?;
    if let Some(job) = args.job.as_ref().and_then(|name| jobs.get(name))
        && job.schedule.is_none()
        && job.files.is_some()
    {
        if common.json() {
            report::json(&Vec::<SlotDocument>::new());
        } else {
            report::output(&format!("{} runs {}\n", job.name, when(job)));
        }
        return Ok(Exit::Done);
    }
    let all = chosen(&jobs, args.job.as_deref()).map_err(UsageError)?;
    let paused = JobsStore::at(&args.jobs).paused(common).map_err(failed)?;
    let exit = show(args, common, &zones, now, &all, &paused)?;
    if args.job.is_none() && !common.json() {
        let line = |job: &Arc<Job>| match (job.active_schedule(), job.active_files()) {
            (None, _) => Some(format!("{} runs {}\n", job.name, when(job))),
            (Some(_), Some(files)) => {
                Some(format!("{} runs {} as well\n", job.name, files.words()))
            }
            (Some(_), None) => None,
        };
        report::output(&jobs.all.iter().filter_map(line).collect::<String>());
    }
    Ok(exit)
}

/// Returns the schedules of the named job, or of all.
fn chosen<'j>(jobs: &'j Jobs, job: Option<&str>) -> Result<Vec<(Option<&'j Job>, &'j Schedule)>> {
    let Some(name) = job else {
        let all = jobs.all.iter();
        return Ok(all.filter_map(|job| Some((Some(&**job), job.active_schedule()?))).collect());
    };
    let job = jobs.get(name).ok_or_else(|| no_job(jobs, name))?;
    let schedule = job.schedule.as_ref().ok_or_else(|| {
        Error::invalid(format!("job `{name}` has no `cron`: it runs {}", when(job)))
    })?;
    Ok(vec![(Some(&**job), schedule)])
}

/// Describes when a job without `cron` runs.
pub(super) fn when(job: &Job) -> String {
    let files = job.files.as_ref().map(FileTrigger::words);
    let after = match &job.after[..] {
        _ if !job.enabled => return "when it is triggered: `enabled` is false".to_owned(),
        [] => return files.unwrap_or_else(|| "when it is triggered".to_owned()),
        [one] => format!("after {one} has succeeded"),
        all => format!("after {} have succeeded", all.join(" and ")),
    };
    files.map_or_else(|| after.clone(), |files| format!("{after}, and {files}"))
}

/// Returns the fault for an unknown job, with the most similar name as a hint.
pub(super) fn no_job(jobs: &Jobs, name: &str) -> Error {
    let known: Vec<_> = jobs.all.iter().map(|job| &*job.name).collect();
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    Error::invalid(format!("there is no job `{name}`; {hint}"))
}

/// Parses the schedule of the command line, and prints its errors.
fn schedule(text: &str, zone: Option<&str>, zones: &Zones) -> anyhow::Result<Schedule> {
    let wrong = |mistake: &Mistake, level: &str| {
        report::print(&(report::mistake(level, text, mistake).join("\n") + "\n"));
        Reported(Exit::Usage)
    };
    let expression = Expression::parse(text, "").map_err(|mistake| wrong(&mistake, "error"))?;
    for warning in &expression.warnings {
        wrong(warning, "warning");
    }
    if let (Some(outer), Some(inner)) = (zone, &expression.zone)
        && outer != inner
    {
        let message = format!(
            "--timezone says \"{outer}\" and the expression says \"{inner}\": one of them is enough"
        );
        return Err(UsageError(Error::invalid(message)).into());
    }
    let named = zone.or(expression.zone.as_deref());
    let zone = named.map_or_else(|| Ok(zones.of_this_machine()), |name| zones.find(name));
    let zone = zone.map_err(|unknown| UsageError(unknown.fault()))?;
    Ok(expression.in_zone(zone))
}

fn show(
    args: &Args,
    common: &Common,
    zones: &Zones,
    now: Timestamp,
    schedules: &[(Option<&Job>, &Schedule)],
    paused: &BTreeSet<String>,
) -> ExitResult {
    let (mut rows, mut since) = (Vec::new(), now);
    let count = args.count.map(usize::from);
    let of_each = count.unwrap_or(if args.is_of_all_jobs() { 1 } else { COUNT });
    for (job, schedule) in schedules {
        let after = args.after.as_deref().map(|text| slots::moment(text, &schedule.zone, now));
        let after = after.unwrap_or(Ok(now)).map_err(UsageError)?;
        since = after;
        let slots = schedule.firings(after).take(of_each);
        let is_paused = job.is_some_and(|job| paused.contains(&*job.name));
        rows.extend(slots.map(|slot| NextSlot { job: *job, schedule, slot, is_paused }));
    }
    rows.sort_by_key(|row| row.slot.at);
    rows.truncate(count.unwrap_or(usize::MAX));
    if let ([], [(_, schedule)]) = (&rows[..], schedules) {
        let text = &schedule.text();
        let message = format!("the schedule `{text}` never fires after that time");
        return Err(UsageError(Error::invalid(message)).into());
    }
    if common.json() {
        let documents = rows.iter().map(|NextSlot { job, schedule, slot, is_paused }| {
            SlotDocument::of(slot, schedule, job.map(|job| (job, *is_paused)))
        });
        report::json(&documents.collect::<Vec<_>>());
    } else {
        report::output(&table(&rows, schedules, zones, now, since));
    }
    Ok(Exit::Done)
}

fn table(
    rows: &[NextSlot<'_>],
    schedules: &[(Option<&Job>, &Schedule)],
    zones: &Zones,
    now: Timestamp,
    since: Timestamp,
) -> String {
    let is_exact = rows.iter().any(|row| slots::has_seconds(row.slot.at));
    let many = schedules.len() > 1;
    let mut cells: Vec<Vec<String>> = Vec::new();
    let mut before = since;
    for row in rows {
        let NextSlot { job, schedule, slot, is_paused } = row;
        let change = slots::change(before, slot.at, &schedule.zone);
        if let Some(change) = change.filter(|_| !many) {
            cells.push(vec![format!("  -- {change}")]);
        }
        before = slot.at;
        let mut line = vec![format!("  {}", slots::utc(slot.at, is_exact))];
        line.push(slots::local(slot.at, &schedule.zone, is_exact));
        if many {
            line.push(job.map_or_else(String::new, |job| job.name.to_string()));
        }
        let until = (since == now).then(|| slot.at.duration_since(now).as_secs());
        let until = until.map(|seconds| format!("in {}", rough(seconds)));
        let paused = is_paused.then(|| "paused".to_owned());
        let notes = until.into_iter().chain(paused).chain(slots::note(slot, &schedule.zone));
        let notes: Vec<_> = notes.collect();
        line.push(notes.join(", "));
        cells.push(line);
    }
    format!("{}{}\n{}\n", heading(schedules), slots::columns(&cells), zones.words())
}

/// Returns the lines above the table: the schedule of a single job, and what is said of each job.
fn heading(schedules: &[(Option<&Job>, &Schedule)]) -> String {
    let described = schedules.iter().filter_map(|(job, _)| {
        let job = (*job)?;
        Some(format!("{}: {}\n", job.name, visible(job.description.as_ref()?)))
    });
    let described: String = described.collect();
    let [(job, schedule)] = schedules else {
        return if described.is_empty() { described } else { described + "\n" };
    };
    let kind = if schedule.expression.is_interval() { "an interval" } else { "fixed times" };
    let job = job.map(|job| format!("{}: ", job.name)).unwrap_or_default();
    let (text, zone) = (schedule.text(), &schedule.zone.name);
    format!("{described}{job}`{text}` in {zone}, {kind}\n\n")
}

/// Formats a duration: `3 d 4 h`, `4 h 12 min`, `12 min`, `40 s`.
pub(super) fn rough(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (_, 0, _) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}
