//! The means by which several processes share one schedule: the lease of the leader, the workers with their heartbeats, and
//! the dispatch of each run to one worker, which claims it with a fencing token.
//!
//! Clocks of different hosts are never compared. A lease and a worker have counters, which their owner increments; the
//! observer measures with its own monotonic clock for how long they have not changed. A lease is taken, and a worker is declared dead, only if
//! its counter is still the one that was seen. The token of a run is larger than those of all dispatches before: what a
//! worker writes counts only as long as the run has the token that the worker was given.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Store,
    history::{COLUMNS, DecidedRow, HistoryRun, interrupt_in, read_run},
    notify::{Addressee, wake_in, wake_worker_of},
    sql::{Sql, SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// The lease of the leader, as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderLease {
    /// The name of the worker that leads.
    pub holder: String,
    /// The number of its term: each leader has a higher one than the leader before.
    pub epoch: i64,
}

/// The state of the lease at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderState {
    /// The lease; its holder is empty if there is no leader.
    pub lease: LeaderLease,
    /// A counter that moves with everything that the leader writes.
    pub beat: i64,
    /// The release of the jobs that the last leader had; empty if there was none since the last machine has left.
    pub release: String,
}

/// A worker: a process that runs what is dispatched to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerRecord {
    /// The name, unique in the fleet.
    pub name: String,
    /// The number of its start: each start of any worker has a higher one than those before.
    pub boot: i64,
    /// A counter that moves with each heartbeat.
    pub beat: i64,
    /// The labels, as `key=value`, one in a line.
    pub labels: String,
    /// The number of runs that it may have at a time.
    pub room: i64,
    /// The release of the jobs that it has.
    pub release: String,
    /// Its version of portolan.
    pub version: String,
    /// The time for which it may act after a heartbeat; the leader waits longer before it declares the worker dead.
    pub lease_ms: i64,
    /// The time by which its clock is ahead of that of the database.
    pub clock_ahead_ms: i64,
    /// True if it ends when its runs have ended.
    pub is_draining: bool,
    /// True if it never leads.
    pub never_leads: bool,
    /// The secrets that its jobs name and that it does not have, one in a line; a last line [`WorkerRecord::MORE`] stands for
    /// those that are too many to tell.
    pub missing: String,
    /// The reason why it cannot use the current release; empty if it can.
    pub fault: String,
    /// The time of its start.
    pub started_at: Timestamp,
    /// The time of its last heartbeat. It is shown, and nothing is decided by it.
    pub beat_at: Timestamp,
}

impl WorkerRecord {
    /// The line of missing secrets that are too many to tell.
    pub const MORE: &str = "*";
}

/// The dispatch of a run that is recorded in the same turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch<'d> {
    /// The index of the run among those that are recorded.
    pub row: usize,
    /// The name of the worker.
    pub worker: &'d str,
    /// The number of its start.
    pub boot: i64,
}

/// A run that was dispatched, with the token of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunClaim {
    /// The number of the run.
    pub run: i64,
    /// The fencing token.
    pub fence: i64,
}

/// A run that was dispatched and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchedRun {
    /// The run.
    pub run: HistoryRun,
    /// The fencing token.
    pub fence: i64,
    /// The name of its worker.
    pub worker: String,
    /// The number of the start of its worker.
    pub boot: i64,
    /// The release of the jobs by which the leader has decided it; empty if machines share no store.
    pub release: String,
    /// True if an attempt has ended and the next one has not begun.
    pub is_between_attempts: bool,
    /// The reason for which it is to be stopped, if it is.
    pub stop: Option<String>,
    /// The name of the person who stops it, if one does.
    pub stopped_by: Option<String>,
}

impl DispatchedRun {
    /// Returns the claim of its worker.
    pub const fn claim(&self) -> RunClaim {
        RunClaim { run: self.run.id, fence: self.fence }
    }
}

impl Store {
    /// Returns the state of the leader's lease.
    pub fn lease(&self) -> Result<LeaderState> {
        let query = "SELECT holder, epoch, beat, release FROM leases WHERE name = 'leader'";
        let state = |row: &SqlRow| {
            let lease = LeaderLease { holder: row.get("holder")?, epoch: row.get("epoch")? };
            Ok(LeaderState { lease, beat: row.get("beat")?, release: row.get("release")? })
        };
        let none = LeaderLease { holder: String::new(), epoch: 0 };
        let none = LeaderState { lease: none, beat: 0, release: String::new() };
        Ok(self.query(|sql| sql.first(query, &[], state))?.unwrap_or(none))
    }

    /// Takes the lease if it is still as it was `seen`; `None` if its holder has moved it, or another process was first.
    pub fn take_lease(&mut self, holder: &str, seen: &LeaderState) -> Result<Option<LeaderLease>> {
        let take = "UPDATE leases SET holder = $1, epoch = epoch + 1, beat = 0
            WHERE name = 'leader' AND epoch = $2 AND beat = $3";
        let values = values![holder, seen.lease.epoch, seen.beat];
        let taken = self.transact(|sql| sql.execute(take, &values))?;
        let epoch = seen.lease.epoch + 1;
        Ok((taken == 1).then(|| LeaderLease { holder: holder.to_owned(), epoch }))
    }

    /// Renews the lease. Returns false if another process has taken it.
    pub fn renew_lease(&mut self, lease: &LeaderLease) -> Result<bool> {
        Ok(self.transact(|sql| renew_in(sql, lease, 0))?.is_some())
    }

    /// Records the release of the jobs by which the leader decides. Returns false if another process has taken the lease.
    pub fn lead_with(&mut self, lease: &LeaderLease, release: &str) -> Result<bool> {
        let note = "UPDATE leases SET release = $1 WHERE name = 'leader'";
        self.transact(|sql| {
            let is_ours = renew_in(sql, lease, 0)?.is_some();
            if is_ours {
                sql.execute(note, &values![release])?;
            }
            Ok(is_ours)
        })
    }

    /// Gives the lease up, so that another process need not wait for it to lapse.
    pub fn release_lease(&mut self, lease: &LeaderLease) -> Result<()> {
        let release = "UPDATE leases SET holder = '', beat = beat + 1
            WHERE name = 'leader' AND holder = $1 AND epoch = $2";
        let values = values![lease.holder, lease.epoch];
        self.transact(|sql| sql.execute(release, &values).map(drop))
    }

    /// Registers a worker in place of any of its name, and returns the number of its start.
    pub fn register_worker(&mut self, worker: &WorkerRecord) -> Result<i64> {
        let number = "UPDATE leases SET fence = fence + 1 WHERE name = 'leader' RETURNING fence";
        let put = "INSERT INTO workers (name, boot, beat, labels, room, release, version, clock_ahead_ms, is_draining,
                started_at, lease_ms, beat_at, missing, fault, never_leads)
            VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $9, $11, $12, $13)
            ON CONFLICT (name) DO UPDATE SET boot = excluded.boot, beat = 0, labels = excluded.labels,
                room = excluded.room, release = excluded.release, version = excluded.version,
                clock_ahead_ms = excluded.clock_ahead_ms, is_draining = excluded.is_draining,
                started_at = excluded.started_at, lease_ms = excluded.lease_ms, beat_at = excluded.beat_at,
                missing = excluded.missing, fault = excluded.fault, never_leads = excluded.never_leads";
        self.transact(|sql| {
            let boot: i64 = sql.value(number, &[])?.unwrap_or_default();
            let WorkerRecord { name, labels, room, release, version, .. } = worker;
            let WorkerRecord { clock_ahead_ms, is_draining, lease_ms, missing, fault, .. } = worker;
            let never_leads = worker.never_leads;
            let since = worker.started_at.as_millisecond();
            let values = values![
                name,
                boot,
                labels,
                room,
                release,
                version,
                clock_ahead_ms,
                is_draining,
                since,
                lease_ms,
                missing,
                fault,
                never_leads
            ];
            sql.execute(put, &values)?;
            Ok(boot)
        })
    }

    /// Moves the counter of a worker, and records what has changed. Returns false if it was declared dead, or if another
    /// process has its name.
    pub fn heartbeat(&mut self, worker: &WorkerRecord) -> Result<bool> {
        let beat = "UPDATE workers SET beat = beat + 1, clock_ahead_ms = $1, is_draining = $2, release = $3,
            beat_at = $4, room = $5, labels = $6, missing = $7, fault = $8 WHERE name = $9 AND boot = $10";
        let WorkerRecord { name, boot, release, clock_ahead_ms, is_draining, room, labels, .. } =
            worker;
        let (at, missing, fault) =
            (worker.beat_at.as_millisecond(), &worker.missing, &worker.fault);
        let values = values![
            clock_ahead_ms,
            is_draining,
            release,
            at,
            room,
            labels,
            missing,
            fault,
            name,
            boot
        ];
        Ok(self.transact(|sql| sql.execute(beat, &values))? == 1)
    }

    /// Removes a worker that has ended and has no runs. When the last one has left, the next leader may have any jobs.
    pub fn remove_worker(&mut self, name: &str, boot: i64) -> Result<()> {
        let remove = "DELETE FROM workers WHERE name = $1 AND boot = $2";
        let forget = "UPDATE leases SET release = ''
            WHERE name = 'leader' AND holder = '' AND NOT EXISTS (SELECT 1 FROM workers)";
        // As a start of a machine does: of two that leave at once, the second one sees that the first one has left.
        let lock = "UPDATE leases SET fence = fence WHERE name = 'leader'";
        self.transact(|sql| {
            sql.execute(lock, &[])?;
            sql.execute(remove, &values![name, boot])?;
            sql.execute(forget, &[]).map(drop)
        })
    }

    /// Returns the workers, sorted by name.
    pub fn workers(&self) -> Result<Vec<WorkerRecord>> {
        let query = "SELECT name, boot, beat, labels, room, release, version, clock_ahead_ms, is_draining, started_at,
                lease_ms, beat_at, missing, fault, never_leads
            FROM workers ORDER BY name";
        self.query(|sql| sql.all(query, &[], worker))
    }

    /// Returns the runs that were dispatched and have not ended, of one start of a worker or of all, the oldest first.
    pub fn dispatched(&self, of: Option<(&str, i64)>) -> Result<Vec<DispatchedRun>> {
        let (which, values) = match of {
            Some((worker, boot)) => {
                ("AND worker = $1 AND boot = $2", values![worker, boot].to_vec())
            }
            None => ("", Vec::new()),
        };
        // A cross join, for SQLite would read all runs in their order otherwise.
        let query = format!(
            "SELECT {COLUMNS}, worker, boot, fence, is_between, stop, stopped_by, release
            FROM dispatches CROSS JOIN runs WHERE runs.id = dispatches.run {which} ORDER BY dispatches.run"
        );
        self.query(|sql| sql.all(&query, &values, dispatched))
    }

    /// Asks for a run to be ended by its worker because of a decision of the leader. A run that has ended, or is to be stopped
    /// already, stays as it is. Returns false if another process has taken the lease.
    pub fn cancel(&mut self, lease: &LeaderLease, run: i64, why: &str) -> Result<bool> {
        let ask = "UPDATE dispatches SET stop = $1 WHERE run = $2 AND COALESCE(stop, '') = ''";
        self.transact(|sql| {
            let is_ours = renew_in(sql, lease, 0)?.is_some();
            if is_ours {
                sql.execute(ask, &values![why, run])?;
                wake_worker_of(sql, run)?;
            }
            Ok(is_ours)
        })
    }

    /// Notes that the worker ends an attempt of a run. Returns false if the run is not its own any more, or is to be stopped
    /// already.
    pub fn note_ending(&mut self, claim: RunClaim) -> Result<bool> {
        let note = "UPDATE dispatches SET stop = '' WHERE run = $1 AND fence = $2 AND stop IS NULL";
        Ok(self.transact(|sql| sql.execute(note, &values![claim.run, claim.fence]))? == 1)
    }

    /// Asks for a run to be stopped by its worker at its next file, because of the person of this name. Returns false if the
    /// run is not in progress, or is to be stopped already.
    pub fn ask_to_stop_by(&mut self, run: i64, name: &str) -> Result<bool> {
        let ask = "UPDATE dispatches SET stop = $1, stopped_by = $2 WHERE run = $3 AND COALESCE(stop, '') = ''";
        let why = format!("stopped by `{name}`");
        self.transact(|sql| {
            let is_asked = sql.execute(ask, &values![why, name, run])? == 1;
            if is_asked {
                wake_worker_of(sql, run)?;
            }
            Ok(is_asked)
        })
    }

    /// Declares one start of a worker dead: its runs are interrupted, and what it still writes about them does not count.
    /// With `beat`, only if its counter is still that one; without, only if it is registered no more. Returns the numbers of
    /// the runs; `None` if another process has taken the lease.
    pub fn declare_dead(
        &mut self,
        lease: &LeaderLease,
        (name, boot): (&str, i64),
        beat: Option<i64>,
        error: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<i64>>> {
        let remove = "DELETE FROM workers WHERE name = $1 AND boot = $2 AND beat = $3";
        let find = "SELECT COUNT(*) FROM workers WHERE name = $1 AND boot = $2";
        let runs = "SELECT run FROM dispatches WHERE worker = $1 AND boot = $2 ORDER BY run";
        self.transact(|sql| {
            if renew_in(sql, lease, 0)?.is_none() {
                return Ok(None);
            }
            let is_gone = match beat {
                Some(beat) => sql.execute(remove, &values![name, boot, beat])? == 1,
                None => sql.value::<i64>(find, &values![name, boot])? == Some(0),
            };
            if !is_gone {
                return Ok(Some(Vec::new()));
            }
            let found: Vec<i64> = sql.all(runs, &values![name, boot], |row| row.at(0))?;
            for run in &found {
                interrupt_in(sql, *run, error, now)?;
            }
            Ok(Some(found))
        })
    }
}

/// Renews a lease, and reserves `count` fencing tokens: the first of them; `None` if another process has the lease. It comes
/// first in everything that a leader writes: one that was deposed meanwhile waits for the row, and finds another epoch.
pub(crate) fn renew_in(sql: &dyn Sql, lease: &LeaderLease, count: usize) -> SqlResult<Option<i64>> {
    let renew = "UPDATE leases SET beat = beat + 1, fence = fence + $1
        WHERE name = 'leader' AND holder = $2 AND epoch = $3 RETURNING fence";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: Option<i64> = sql.value(renew, &values![count, lease.holder, lease.epoch])?;
    Ok(last.map(|last| last - count + 1))
}

/// Records the dispatches of new rows, with tokens from `fence` on.
pub(crate) fn put_dispatches(
    sql: &dyn Sql,
    dispatches: &[Dispatch<'_>],
    fence: i64,
    recorded: &mut [DecidedRow],
) -> SqlResult<()> {
    let put = "INSERT INTO dispatches (run, worker, boot, fence, is_between, release)
        VALUES ($1, $2, $3, $4, FALSE, (SELECT release FROM leases WHERE name = 'leader'))";
    let (mut rows, mut workers) = (Vec::new(), BTreeSet::new());
    for (fence, dispatch) in (fence..).zip(dispatches) {
        let Some(recorded) = recorded.get_mut(dispatch.row) else { continue };
        let Some(run) = recorded.run else { continue };
        recorded.fence = Some(fence);
        rows.push(values![run, dispatch.worker, dispatch.boot, fence].into());
        workers.insert(dispatch.worker);
    }
    sql.execute_each(put, &rows)?;
    workers.into_iter().try_for_each(|worker| wake_in(sql, Addressee::Worker(worker)))
}

/// Records that an attempt of a run begins, or has ended. Returns false if the run has another token, or none.
pub(crate) fn is_ours(sql: &dyn Sql, claim: RunClaim, is_between: bool) -> SqlResult<bool> {
    let mark = "UPDATE dispatches SET is_between = $1, stop = CASE WHEN stop <> '' THEN stop END
        WHERE run = $2 AND fence = $3";
    Ok(sql.execute(mark, &values![is_between, claim.run, claim.fence])? == 1)
}

/// Records that a run is dispatched no more. Returns false if it has another token, or none.
pub(crate) fn release_run(sql: &dyn Sql, claim: RunClaim) -> SqlResult<bool> {
    let remove = "DELETE FROM dispatches WHERE run = $1 AND fence = $2";
    Ok(sql.execute(remove, &values![claim.run, claim.fence])? == 1)
}

fn worker(row: &SqlRow) -> SqlResult<WorkerRecord> {
    Ok(WorkerRecord {
        name: row.get("name")?,
        boot: row.get("boot")?,
        beat: row.get("beat")?,
        labels: row.get("labels")?,
        room: row.get("room")?,
        release: row.get("release")?,
        version: row.get("version")?,
        clock_ahead_ms: row.get("clock_ahead_ms")?,
        is_draining: row.get("is_draining")?,
        started_at: Timestamp::from_millisecond(row.get("started_at")?).unwrap_or_default(),
        lease_ms: row.get("lease_ms")?,
        beat_at: Timestamp::from_millisecond(row.get("beat_at")?).unwrap_or_default(),
        missing: row.get("missing")?,
        fault: row.get("fault")?,
        never_leads: row.get("never_leads")?,
    })
}

fn dispatched(row: &SqlRow) -> SqlResult<DispatchedRun> {
    Ok(DispatchedRun {
        run: read_run(row)?,
        fence: row.get("fence")?,
        worker: row.get("worker")?,
        boot: row.get("boot")?,
        release: row.get("release")?,
        is_between_attempts: row.get("is_between")?,
        stop: row.get("stop")?,
        stopped_by: row.get("stopped_by")?,
    })
}

#[cfg(test)]
#[cfg(feature = "postgres")]
mod campaign;
#[cfg(test)]
#[cfg(feature = "postgres")]
mod speed;
#[cfg(test)]
pub(crate) mod tests;
