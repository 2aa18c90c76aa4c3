//! Recovery of runs that were in progress when an earlier scheduler ended.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    fault::Outcome,
    limits::{DEADLINE_MAX, TAKEN_UP_MAX},
    observe::{Level, Observer},
    schedule::jobs::{Job, Jobs, Misfire},
    store::{
        Store,
        history::{Run, State, Wait},
    },
};

/// Marks runs in progress as interrupted, and queues those that may be resumed.
pub(super) fn take_up(
    store: &mut Store,
    jobs: &Arc<Jobs>,
    now: Timestamp,
    observer: &Observer,
) -> Outcome<()> {
    let killed = "the scheduler ended while it ran";
    for run in store.interrupt_all(killed, now)? {
        observer.warn(format!("run {run} was interrupted: {killed}"));
    }
    for run in store.runs_that_are(State::Interrupted)? {
        let Some(job) = jobs.get(&run.job) else { continue };
        if let Some(wait) = wait_for(store, &run, job, now)? {
            store.take_up(run.id, wait, "taken up again: it was interrupted")?;
            observer
                .say(Level::Info, format!("run {} of `{}` is taken up again", run.id, job.name));
        }
    }
    Ok(())
}

/// Returns the times for resuming an interrupted run; `None` if it is not resumed.
fn wait_for(store: &Store, run: &Run, job: &Job, now: Timestamp) -> Outcome<Option<Wait>> {
    let Some(scheduled_for) = run.scheduled_for.filter(|_| run.slot.is_some()) else {
        return Ok(None);
    };
    let revision = job.schedule.as_ref().map_or("after", |schedule| &schedule.revision);
    let is_wanted = job.catch_up.misfire != Misfire::Skip
        && run.revision == revision
        // A run that was replaced has had its successor.
        && run.sum.error_kind.as_deref() == Some("interrupted");
    if !is_wanted {
        return Ok(None);
    }
    let deadline = job.catch_up.start_deadline.map(SignedDuration::try_from);
    let deadline = deadline.and_then(Result::ok).unwrap_or(DEADLINE_MAX);
    let give_up = scheduled_for.checked_add(deadline).unwrap_or(Timestamp::MAX);
    let interrupted = store.attempts(run.id)?;
    let interrupted = interrupted.iter().filter(|one| one.state == State::Interrupted).count();
    let has_successor = store.runs(Some(&run.job), 1_000)?.iter().any(|later| {
        later.id > run.id && matches!(later.state, State::Done | State::Partial | State::Failed)
    });
    // A run that takes the host down with it would do so for ever.
    let is_taken = now < give_up && interrupted < TAKEN_UP_MAX && !has_successor;
    Ok(is_taken.then_some(Wait { not_before: now, give_up, needs_since: Timestamp::MIN }))
}
