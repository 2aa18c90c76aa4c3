//! History: the decision on each slot, the state of its run, and the details.
//!
//! A decision is recorded before it is carried out: a process that is killed in between leaves a row that says so.

mod arrivals;
mod by_hand;
mod close;
mod jobs;
mod look;
mod notices;
mod parts;
mod prune;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use strum::{EnumString, IntoStaticStr, VariantNames};

pub use self::{
    arrivals::{ArrivedFile, HandOut, SeenFile},
    close::RunEnd,
    jobs::{Health, JobStateRecord, RunRequest},
    notices::{NewNotice, Notice},
    parts::{AttemptRecord, FallBack, FileMoved, ProgressPoint},
};
use super::Store;
pub use look::{BriefRun, RunFilter};
use portolan_core::error::Result;

/// The state of a run. The words are an interface.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    IntoStaticStr,
    EnumString,
    VariantNames,
)]
#[strum(serialize_all = "lowercase")]
pub enum RunState {
    /// It will run, but not yet.
    Waiting,
    /// It is in progress.
    Running,
    /// Everything was done.
    Done,
    /// Some files failed.
    Partial,
    /// It failed.
    Failed,
    /// Its slot was not run, for a reason.
    Skipped,
    /// It was ended early: the scheduler stopped, or was killed.
    Interrupted,
}

impl RunState {
    /// The word for each state.
    pub const NAMES: &[&str] = Self::VARIANTS;

    /// Returns the word for it in the store, in `--json` and in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The trigger of a slot or a run. The words are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Trigger {
    /// Its slot was due.
    Schedule,
    /// Its slot had passed without a run.
    CatchUp,
    /// A user requested it.
    Manual,
    /// The jobs that it waits for had succeeded.
    Dependency,
    /// Files had arrived in a directory of this host.
    Watch,
    /// Files had arrived on a server.
    Arrival,
}

impl Trigger {
    /// Returns the word for it, which scripts see as `job::TRIGGER`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One slot, or one manual run, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRun {
    /// The number of the run, counted from 1 in each store.
    pub id: i64,
    /// The job; the name of the script for a manual run.
    pub job: String,
    /// The revision of the job's schedule.
    pub revision: String,
    /// The slot; `None` for a manual run.
    pub slot: Option<String>,
    /// The script of the run.
    pub script: String,
    /// The trigger of the run.
    pub cause: Trigger,
    /// The time at which it was due.
    pub scheduled_for: Option<Timestamp>,
    /// The last slot that it covers, if the row stands for many skipped slots.
    pub up_to: Option<Timestamp>,
    /// The wall-clock time that the clock jumped over, if the slot was moved behind the jump.
    pub moved_from: Option<String>,
    /// The limits of its wait, if it waits or has waited.
    pub wait: Option<Wait>,
    /// The time at which its row was written.
    pub decided_at: Timestamp,
    /// The start of its first attempt.
    pub started_at: Option<Timestamp>,
    /// The end of its last attempt.
    pub ended_at: Option<Timestamp>,
    /// The state of the run.
    pub state: RunState,
    /// The reason why it was skipped, waits, or was resumed.
    pub reason: Option<String>,
    /// The word of that reason, such as `paused`; `None` if it has none.
    pub reason_code: Option<String>,
    /// The time of the slot whose run covers this one, if it was skipped for that reason.
    pub covered_by: Option<Timestamp>,
    /// The number of slots that it covers, itself included.
    pub covers: i64,
    /// The number of attempts so far.
    pub attempts: i64,
    /// The totals of the run.
    pub sum: Sum,
    /// The number of fallbacks to another data path.
    pub fallbacks: i64,
}

/// The totals of a run or an attempt, and its error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// The number of files that arrived.
    pub files: i64,
    /// The number of their bytes.
    pub bytes: i64,
    /// The data path of the last of them.
    pub route: Option<String>,
    /// The exit code of the process.
    pub exit_code: Option<i64>,
    /// The kind of the error.
    pub error_kind: Option<String>,
    /// The message of the error.
    pub error: Option<String>,
}

/// A decision on a slot, or a manual run, to be recorded.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// As in [`HistoryRun`].
    pub job: String,
    /// As in [`HistoryRun`].
    pub revision: String,
    /// As in [`HistoryRun`].
    pub slot: Option<String>,
    /// As in [`HistoryRun`].
    pub script: String,
    /// As in [`HistoryRun`].
    pub cause: Trigger,
    /// As in [`HistoryRun`].
    pub scheduled_for: Option<Timestamp>,
    /// As in [`HistoryRun`].
    pub up_to: Option<Timestamp>,
    /// As in [`HistoryRun`].
    pub moved_from: Option<String>,
    /// As in [`HistoryRun`].
    pub wait: Option<Wait>,
    /// `Waiting`, `Running` or `Skipped`.
    pub state: RunState,
    /// As in [`HistoryRun`].
    pub reason: Option<String>,
    /// As in [`HistoryRun`].
    pub reason_code: Option<&'static str>,
    /// As in [`HistoryRun`].
    pub covered_by: Option<Timestamp>,
    /// As in [`HistoryRun`].
    pub covers: i64,
}

/// The time limits of a run that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The run does not begin earlier.
    pub not_before: Timestamp,
    /// The run is skipped if it has not begun by then.
    pub give_up: Timestamp,
    /// The jobs that it depends on must have succeeded later than this.
    pub needs_since: Timestamp,
}

/// Returns the next number of a table. The write lock is held already, so no other process takes it.
fn next_id(transaction: &Transaction<'_>, table: &str) -> rusqlite::Result<i64> {
    let query = format!("SELECT COALESCE(MAX(id), 0) + 1 FROM {table}");
    transaction.query_row(&query, [], |row| row.get(0))
}

impl Store {
    /// Records the decisions, the watermark of each job, and the requests that are taken up, in one transaction.
    /// Returns the number of each row; `None` if the slot had been finished before.
    pub fn decide(
        &mut self,
        runs: &[NewRun],
        states: &[JobStateRecord],
        heard: &[(String, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<Option<i64>>> {
        self.decide_with(runs, &[], states, heard, now)
    }

    /// Works like [`decide`](Self::decide), and records in the same transaction which files each run is given.
    pub fn decide_with(
        &mut self,
        runs: &[NewRun],
        files: &[HandOut<'_>],
        states: &[JobStateRecord],
        heard: &[(String, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<Option<i64>>> {
        self.write(|transaction| {
            let ids: rusqlite::Result<Vec<_>> =
                runs.iter().map(|run| put(transaction, run, now)).collect();
            let ids = ids?;
            for one in files {
                if let Some(run) = ids.get(one.row).copied().flatten() {
                    arrivals::hand_out(transaction, one, run)?;
                }
            }
            jobs::mark(transaction, states)?;
            for (job, asked_at) in heard {
                jobs::hear(transaction, job, *asked_at)?;
            }
            Ok(ids)
        })
    }

    /// Records that attempt `number` of a run has begun.
    pub fn begin(&mut self, run: i64, number: i64, now: Timestamp) -> Result<()> {
        self.write(|transaction| begin_in(transaction, run, number, now))
    }

    /// Records the final state of a run whose attempts have ended, and the result of the last of them. Files and
    /// bytes are the sums of all attempts.
    pub fn finish(
        &mut self,
        run: i64,
        state: RunState,
        reason: Option<&str>,
        sum: &Sum,
        now: Timestamp,
    ) -> Result<()> {
        self.write(|transaction| finish_in(transaction, run, state, reason, sum, now))
    }

    /// Returns an interrupted run to the waiting state, to be resumed because of `cause`.
    pub fn take_up(&mut self, run: i64, cause: Trigger, wait: Wait, reason: &str) -> Result<()> {
        let turn = "UPDATE runs SET outcome = $1, cause = $2, reason = $3, reason_code = NULL, not_before = $4, give_up_at = $5,
            needs_since = $6, ended_at = NULL WHERE id = $7";
        let (word, cause) = (RunState::Waiting.as_str(), cause.as_str());
        let [not_before, give_up, needs_since] = wait.columns();
        let values = params![word, cause, reason, not_before, give_up, needs_since, run];
        self.write(|transaction| transaction.execute(turn, values).map(drop))
    }

    /// Records that every run in progress was interrupted, as no process is left that could end it. Returns their
    /// numbers.
    pub fn interrupt_all(&mut self, error: &str, now: Timestamp) -> Result<Vec<i64>> {
        let find = "SELECT id FROM runs WHERE outcome = $1 AND slot IS NOT NULL ORDER BY id";
        self.write(|transaction| {
            let found = transaction
                .prepare(find)?
                .query_map([RunState::Running.as_str()], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()?;
            for run in &found {
                interrupt_in(transaction, *run, error, now)?;
            }
            Ok(found)
        })
    }
}

fn interrupt_in(
    transaction: &Transaction<'_>,
    run: i64,
    error: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let runs =
        "UPDATE runs SET outcome = $1, ended_at = $2, error_kind = $1, error = $3 WHERE id = $4";
    let attempts = "UPDATE attempts SET outcome = $1, ended_at = $2, error_kind = $1, error = $3
        WHERE run = $4 AND ended_at IS NULL";
    let (word, at) = (RunState::Interrupted.as_str(), now.as_millisecond());
    transaction.execute(runs, params![word, at, error, run])?;
    transaction.execute(attempts, params![word, at, error, run]).map(drop)
}

fn begin_in(
    transaction: &Transaction<'_>,
    run: i64,
    number: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let begin = "UPDATE runs SET outcome = $1, attempts = $2, started_at = COALESCE(started_at, $3), ended_at = NULL
        WHERE id = $4";
    let attempt = "INSERT INTO attempts (run, number, started_at, outcome, files, bytes)
        VALUES ($1, $2, $3, $4, 0, 0)";
    let (now, running) = (now.as_millisecond(), RunState::Running.as_str());
    transaction.execute(begin, params![running, number, now, run])?;
    transaction.execute(attempt, params![run, number, now, running]).map(drop)
}

fn finish_in(
    transaction: &Transaction<'_>,
    run: i64,
    state: RunState,
    reason: Option<&str>,
    sum: &Sum,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let finish = "UPDATE runs SET outcome = $1, ended_at = $2, reason = COALESCE($3, reason),
        reason_code = CASE WHEN $3 IS NULL THEN reason_code END, route = COALESCE($4, route), exit_code = $5, error_kind = $6, error = $7,
        files = (SELECT COALESCE(SUM(files), 0) FROM attempts WHERE attempts.run = runs.id),
        bytes = (SELECT COALESCE(SUM(bytes), 0) FROM attempts WHERE attempts.run = runs.id),
        fallbacks = (SELECT COUNT(*) FROM fallbacks WHERE fallbacks.run = runs.id) WHERE id = $8";
    let Sum { route, exit_code, error_kind, error, .. } = sum;
    let at = now.as_millisecond();
    let values = params![state.as_str(), at, reason, route, exit_code, error_kind, error, run];
    transaction.execute(finish, values).map(drop)
}

impl Wait {
    fn columns(self) -> [i64; 3] {
        [
            self.not_before.as_millisecond(),
            self.give_up.as_millisecond(),
            self.needs_since.as_millisecond(),
        ]
    }
}

/// Inserts a new row, or updates the row of a slot that waits, or that was skipped: it is decided anew only if a clock
/// that was ahead decided it. A slot that has begun is never begun again.
fn put(
    transaction: &Transaction<'_>,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    // Without a revision it matches a waiting run of any revision: the schedule has changed since.
    let known = if run.revision.is_empty() {
        "SELECT id, outcome FROM runs WHERE job = $1 AND revision <> $2 AND slot = $3 AND outcome = 'waiting'"
    } else {
        "SELECT id, outcome FROM runs WHERE job = $1 AND revision = $2 AND slot = $3"
    };
    let NewRun { job, revision, slot, .. } = run;
    let found = transaction
        .prepare(known)?
        .query_row(params![job, revision, slot], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let found: Option<(i64, String)> = found.filter(|_| slot.is_some());
    match found.map(|(id, state)| (id, state.parse().ok())) {
        None => insert(transaction, run, now).map(Some),
        Some((id, Some(RunState::Waiting | RunState::Skipped))) => turn(transaction, id, run, now),
        Some(_) => Ok(None),
    }
}

fn insert(transaction: &Transaction<'_>, run: &NewRun, now: Timestamp) -> rusqlite::Result<i64> {
    let insert = "INSERT INTO runs (id, job, revision, slot, script, cause, scheduled_for, moved_from, not_before,
            give_up_at, needs_since, decided_at, started_at, ended_at, outcome, reason, covers, up_to, attempts, files,
            bytes, fallbacks, reason_code, covered_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0, 0, 0, 0, $19, $20)";
    let NewRun { job, revision, slot, script, moved_from, reason, covers, .. } = run;
    let [scheduled_for, up_to, covered_by] =
        [run.scheduled_for, run.up_to, run.covered_by].map(|at| at.map(Timestamp::as_millisecond));
    let next = "SELECT COALESCE(MAX(id), 0) + 1 FROM
        (SELECT MAX(id) AS id FROM runs UNION ALL SELECT MAX(up_to) FROM lost_runs) AS taken";
    let id: i64 = transaction.query_row(next, [], |row| row.get(0))?;
    let [not_before, give_up, needs_since] = waits(run);
    let [started, ended] = times(run.state, now);
    let values = params![
        id,
        job,
        revision,
        slot,
        script,
        run.cause.as_str(),
        scheduled_for,
        moved_from,
        not_before,
        give_up,
        needs_since,
        now.as_millisecond(),
        started,
        ended,
        run.state.as_str(),
        reason,
        covers,
        up_to,
        run.reason_code,
        covered_by
    ];
    transaction.execute(insert, values)?;
    Ok(id)
}

fn turn(
    transaction: &Transaction<'_>,
    id: i64,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    let turn = "UPDATE runs SET cause = $1, not_before = $2, give_up_at = $3, needs_since = $4,
        started_at = COALESCE(started_at, $5), ended_at = $6, outcome = $7, reason = $8, covers = $9,
        reason_code = $10, covered_by = $11, up_to = $12, decided_at = MIN(decided_at, $13) WHERE id = $14";
    let [not_before, give_up, needs_since] = waits(run);
    let [started, ended] = times(run.state, now);
    let values = params![
        run.cause.as_str(),
        not_before,
        give_up,
        needs_since,
        started,
        ended,
        run.state.as_str(),
        run.reason,
        run.covers,
        run.reason_code,
        run.covered_by.map(Timestamp::as_millisecond),
        run.up_to.map(Timestamp::as_millisecond),
        now.as_millisecond(),
        id
    ];
    transaction.execute(turn, values)?;
    Ok(Some(id))
}

fn waits(run: &NewRun) -> [Option<i64>; 3] {
    run.wait.map_or([None; 3], |wait| wait.columns().map(Some))
}

/// Returns the start and end times of a run that enters `state` at `now`.
fn times(state: RunState, now: Timestamp) -> [Option<i64>; 2] {
    let is = |wanted| (state == wanted).then(|| now.as_millisecond());
    [is(RunState::Running), is(RunState::Skipped)]
}

#[cfg(test)]
mod tests;
