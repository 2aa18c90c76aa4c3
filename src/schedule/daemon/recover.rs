//! Recovery of runs that were in progress when an earlier scheduler ended.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::rows;
use crate::{
    error::Result,
    limits::{DEADLINE_MAX, TAKEN_UP_MAX},
    observe::{EventEmitter, MessageLevel},
    schedule::jobs::{Job, Jobs, Misfire},
    store::{
        Store,
        fleet::LeaderLease,
        history::{HistoryRun, RunState, Trigger, Wait},
    },
};

/// Marks runs in progress as interrupted, and queues those that may be resumed.
pub(super) fn recover(
    store: &mut Store,
    lease: &LeaderLease,
    jobs: &Arc<Jobs>,
    now: Timestamp,
    observer: &EventEmitter,
) -> Result<()> {
    if !store.is_shared() {
        // No other process uses the store. Where others do, their runs go on.
        let killed = "the scheduler ended while it ran";
        for run in store.interrupt_all(killed, now)? {
            observer.warn(format!("run {run} was interrupted: {killed}"));
        }
    }
    for run in store.runs_that_are(RunState::Interrupted)? {
        resume(store, lease, jobs, &run, (now, observer))?;
    }
    Ok(())
}

/// Queues an interrupted run, if it may be resumed. Returns true if it waits then.
pub(super) fn resume(
    store: &mut Store,
    lease: &LeaderLease,
    jobs: &Jobs,
    run: &HistoryRun,
    (now, observer): (Timestamp, &EventEmitter),
) -> Result<bool> {
    let Some(job) = jobs.get(&run.job) else { return Ok(false) };
    let is_of_files = rows::slot_of(run).is_some_and(|slot| slot.is_of_files());
    let wait = if is_of_files {
        wait_with_files(store, run, now)?
    } else {
        wait_for(store, run, job, now)?
    };
    let Some(wait) = wait else { return Ok(false) };
    let cause = if is_of_files { run.cause } else { Trigger::CatchUp };
    let is_taken = store.take_up(lease, run.id, cause, wait, "resumed: it was interrupted")?;
    observer.message(
        MessageLevel::Info,
        format!("resuming run {} of `{}` after an interruption", run.id, job.name),
    );
    Ok(is_taken)
}

/// Returns the times for resuming an interrupted run with files, which no other run has; `None` if it is not resumed.
fn wait_with_files(store: &Store, run: &HistoryRun, now: Timestamp) -> Result<Option<Wait>> {
    let is_interrupted = run.sum.error_kind.as_deref() == Some("interrupted");
    let is_wanted = is_interrupted && interruptions(store, run)? < TAKEN_UP_MAX;
    Ok(is_wanted.then_some(Wait {
        not_before: now,
        give_up: Timestamp::MAX,
        needs_since: Timestamp::MIN,
    }))
}

fn interruptions(store: &Store, run: &HistoryRun) -> Result<usize> {
    let attempts = store.attempts(run.id)?;
    Ok(attempts.iter().filter(|one| one.state == RunState::Interrupted).count())
}

/// Returns the times for resuming an interrupted run; `None` if it is not resumed.
fn wait_for(store: &Store, run: &HistoryRun, job: &Job, now: Timestamp) -> Result<Option<Wait>> {
    let Some(scheduled_for) = run.scheduled_for.filter(|_| run.slot.is_some()) else {
        return Ok(None);
    };
    let revision = job.revision();
    // One that its machine never began has missed nothing: it was decided to run.
    let is_unbegun = store.is_shared() && store.attempts(run.id)?.is_empty();
    let is_wanted = (job.catch_up.misfire != Misfire::Skip || is_unbegun)
        && run.revision == revision
        // A run that was replaced has had its successor.
        && run.sum.error_kind.as_deref() == Some("interrupted");
    if !is_wanted {
        return Ok(None);
    }
    let deadline = job.catch_up.start_deadline.map(SignedDuration::try_from);
    let deadline = deadline.and_then(Result::ok).unwrap_or(DEADLINE_MAX);
    let give_up = scheduled_for.checked_add(deadline).unwrap_or(Timestamp::MAX);
    // Machines that share a store take a while to find that one is gone, and by then later slots have ended.
    let is_each_wanted = is_unbegun || store.is_shared() && job.catch_up.misfire == Misfire::All;
    if now >= give_up || (!is_each_wanted && store.has_later_result(&run.job, run.id)?) {
        return Ok(None);
    }
    let interrupted = interruptions(store, run)?;
    // A run that takes the host down with it would do so for ever.
    let is_taken = interrupted < TAKEN_UP_MAX;
    Ok(is_taken.then_some(Wait { not_before: now, give_up, needs_since: Timestamp::MIN }))
}
