//! The removal of old history, and the daily copy of the store: on a thread of its own, which the scheduler does not wait
//! for.

use std::{
    fs,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::{Daemon, Leader, Message};
use crate::{
    error::{Error, Result},
    limits::{FILES_GONE_TIME, PRUNE_INTERVAL, PRUNE_ROWS_MAX},
    schedule::{child::log, jobs::Retention},
    store::{StorePlace, backup},
};

/// The wait between two parts of the work: other writers come in between.
const PART_WAIT: Duration = Duration::from_millis(5);
/// The wait after a failure, for example for lack of disk space.
const RETRY_WAIT: Duration = Duration::from_mins(1);

/// The state of the removal.
#[derive(Debug, Default)]
pub(super) struct Pruning {
    /// The time from which it is due again; `None` at once.
    due: Option<Instant>,
    /// The end of a channel that ends the thread when it is dropped; `None` if there is no thread.
    working: Option<Sender<()>>,
}

impl Leader {
    /// Removes old or surplus history with its logs, at intervals.
    pub(super) fn prune(&mut self) {
        if self.pruning.working.is_some()
            || self.pruning.due.is_some_and(|due| Instant::now() < due)
        {
            return;
        }
        let (working, stop) = channel();
        self.pruning =
            Pruning { due: Some(Instant::now() + PRUNE_INTERVAL), working: Some(working) };
        let (state, retention) =
            (self.context.start.state.clone(), self.planner.jobs().runner.retention);
        let (now, outbox, observer) =
            (self.context.clock.now(), self.context.outbox.clone(), self.context.observer.clone());
        let place = self.context.place.clone();
        thread::spawn(move || {
            let pruned = prune(&place, &state, retention, now, &stop);
            if pruned.is_ok()
                && !place.is_shared()
                && backup::is_due(&state, now)
                && let Err(fault) = backup::back_up(&state)
            {
                observer.warn(fault.to_string());
            }
            // The scheduler may have ended.
            outbox.send(Message::Pruned(pruned)).ok();
        });
    }

    /// Takes note of the end of the removal.
    pub(super) fn pruned(&mut self, result: Result<()>) {
        self.pruning.working = None;
        if let Err(fault) = result {
            self.context.observer.warn(format!("old history stays for now: {fault}"));
            self.pruning.due = Some(Instant::now() + RETRY_WAIT);
        }
    }
}

/// Removes what is beyond the limits, in small parts, until `stop` tells that the scheduler has ended.
fn prune(
    place: &StorePlace,
    state: &Path,
    limits: Retention,
    now: Timestamp,
    stop: &Receiver<()>,
) -> Result<()> {
    let mut store = place.open()?;
    let age = SignedDuration::try_from(limits.age).unwrap_or_default();
    let before = now.checked_sub(age).unwrap_or(Timestamp::MIN);
    let is_over = || stop.recv_timeout(PART_WAIT) == Err(RecvTimeoutError::Disconnected);
    let part = usize::try_from(PRUNE_ROWS_MAX).unwrap_or(usize::MAX);
    for job in store.jobs_to_prune(limits.runs, before)? {
        loop {
            let gone = store.prune(&job, limits.runs, before)?;
            for run in &gone {
                remove_log(state, &job, *run);
            }
            if is_over() {
                return Ok(());
            }
            if gone.len() < part {
                break;
            }
        }
    }
    store.prune_notices(before)?;
    store.forget_gone(now.checked_sub(FILES_GONE_TIME).unwrap_or(Timestamp::MIN))?;
    let mut surplus = store.surplus_runs(limits.total)?;
    while surplus > 0 {
        let gone = store.prune_oldest(surplus)?;
        for (run, job) in &gone {
            remove_log(state, job, *run);
        }
        surplus = surplus.saturating_sub(gone.len() as u64);
        if gone.is_empty() || is_over() {
            break;
        }
    }
    Ok(())
}

fn remove_log(state: &Path, job: &str, run: i64) {
    // A skipped run has no log.
    fs::remove_file(log::path(state, job, run)).ok();
}

/// The removal of old logs on a machine of a fleet: those of its own runs, whose rows the leader removes.
#[derive(Debug, Default)]
pub(super) struct LogPruning {
    due: Option<Instant>,
}

impl Daemon {
    /// Removes old or surplus logs of this machine, at intervals, if it is one of a fleet.
    pub(super) fn prune_logs(&mut self) {
        let is_due = self.logs.due.is_none_or(|due| Instant::now() >= due);
        if self.context.fleet.is_none() || !is_due {
            return;
        }
        self.logs.due = Some(Instant::now() + PRUNE_INTERVAL);
        let (state, limits) =
            (self.context.start.state.clone(), self.context.jobs().runner.retention);
        let observer = self.context.observer.clone();
        thread::spawn(move || {
            if let Err(fault) = prune_logs(&state.join("logs"), limits) {
                observer.warn(format!("old logs stay for now: {fault}"));
            }
        });
    }
}

/// Removes the logs that are older than `limits` say, and all but the newest of each job.
fn prune_logs(folder: &Path, limits: Retention) -> Result<()> {
    let failed = |error| Error::local("look at the logs in", folder, error);
    let jobs = match fs::read_dir(folder) {
        // No run has begun here yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        jobs => jobs.map_err(failed)?,
    };
    let most = usize::try_from(limits.runs).unwrap_or(usize::MAX);
    for job in jobs {
        let Ok(logs) = fs::read_dir(job.map_err(failed)?.path()) else { continue };
        let mut found: Vec<_> = logs
            .filter_map(|log| {
                let log = log.ok()?;
                let age = log.metadata().ok()?.modified().ok()?.elapsed().unwrap_or_default();
                Some((age, log.path()))
            })
            .collect();
        found.sort();
        let old = found.iter().position(|(age, _)| *age > limits.age).unwrap_or(found.len());
        for (_, path) in found.iter().skip(old.min(most)) {
            fs::remove_file(path).map_err(failed)?;
        }
    }
    Ok(())
}
