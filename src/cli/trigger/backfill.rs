//! Requests for past slots, and their arguments.

use jiff::Timestamp;

use super::Args;
use crate::{
    cli::{next::no_job, slots::moment},
    error::{Error, Result},
    limits::BACKFILL_SLOTS_MAX,
    schedule::{
        cron::Schedule,
        jobs::{Jobs, args},
        zone::{Zone, Zones},
    },
};

/// Returns the past slots that are requested; one `None` if none is named.
pub(super) fn slots(args: &Args, now: Timestamp) -> Result<Vec<Option<Timestamp>>> {
    if args.slot.is_none() && args.from.is_none() {
        return Ok(vec![None]);
    }
    let jobs = args.jobs.read()?;
    let schedule = schedule(&jobs, &args.job)?;
    let zone = &schedule.zone;
    if let Some(text) = &args.slot {
        return one(schedule, moment(text, zone, now)?, text, now).map(|at| vec![Some(at)]);
    }
    let from = moment(args.from.as_deref().unwrap_or_default(), zone, now)?;
    let to = args.to.as_deref().map_or(Ok(now), |text| moment(text, zone, now))?;
    let to = to.min(now);
    let before = from.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(from);
    let firings = schedule.firings(before).take_while(|slot| slot.at <= to);
    let all: Vec<_> = firings.take(BACKFILL_SLOTS_MAX + 1).map(|slot| Some(slot.at)).collect();
    if all.len() > BACKFILL_SLOTS_MAX {
        let message =
            format!("more than {BACKFILL_SLOTS_MAX} slots are in that time: name a shorter one");
        return Err(Error::invalid(message));
    }
    if all.is_empty() {
        let message = format!("`{}` has no slot from {from} to {to}", args.job);
        return Err(Error::invalid(message));
    }
    Ok(all)
}

fn schedule<'j>(jobs: &'j Jobs, name: &str) -> Result<&'j Schedule> {
    let job = jobs.get(name).ok_or_else(|| no_job(jobs, name))?;
    job.schedule.as_ref().ok_or_else(|| {
        Error::invalid(format!("job `{name}` has no `cron`, and so no slots: --slot is for those"))
    })
}

/// Returns the slot within the second of `at`.
fn one(schedule: &Schedule, at: Timestamp, text: &str, now: Timestamp) -> Result<Timestamp> {
    let before = at.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(at);
    let slot = schedule.next(before).filter(|slot| slot.at <= at);
    let Some(slot) = slot else {
        let shown = |at: Timestamp, zone: &Zone| at.to_zoned(zone.rules.clone()).to_string();
        let near = [schedule.last(at), schedule.next(at)].into_iter().flatten();
        let near: Vec<_> = near.map(|slot| shown(slot.at, &schedule.zone)).collect();
        let message = format!("`{text}` is no slot of the job; near it are {}", near.join(" and "));
        return Err(Error::invalid(message));
    };
    if slot.at > now {
        return Err(Error::invalid(format!("the slot `{text}` is still to come")));
    }
    Ok(slot.at)
}

/// Returns the arguments of the request as JSON, if there are any.
pub(super) fn arguments(wanted: &Args) -> Result<Option<String>> {
    let given = args::parse(&wanted.values)?;
    if wanted.values.is_empty() {
        return Ok(None);
    }
    // A jobs file that is being edited does not keep anybody from triggering a job.
    let jobs =
        crate::schedule::jobs::read(wanted.jobs.path(), &Zones::newest(), Timestamp::UNIX_EPOCH);
    let jobs = jobs.ok().and_then(|reading| reading.jobs);
    if let Some(job) = jobs.as_ref().and_then(|jobs| jobs.get(&wanted.job)) {
        args::check(&job.name, &job.args, &given)?;
    }
    Ok(Some(given.to_string()))
}
