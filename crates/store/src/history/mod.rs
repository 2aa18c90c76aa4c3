//! History: the decision on each slot, the state of its run, and the details.
//!
//! A decision is recorded before it is carried out: a process that is killed in between leaves a row that says so.

mod arrivals;
mod by_hand;
mod close;
mod decide;
mod jobs;
mod logs;
mod look;
mod notices;
mod parts;
mod prune;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

pub use self::{
    arrivals::{ArrivedFile, HandOut, SeenFile},
    close::RunEnd,
    decide::{DecidedRow, Decisions},
    jobs::{Health, JobStateRecord, RunRequest},
    logs::LogPart,
    notices::{NewNotice, Notice},
    parts::{AttemptRecord, FallBack, FileMoved, ProgressPoint},
};
use super::{
    Store,
    fleet::{LeaderLease, RunClaim, is_ours, renew_in},
    sql::{Sql, SqlResult, values},
};
pub use look::{BriefRun, RunFilter};
pub(crate) use look::{COLUMNS, run as read_run};
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
    /// The machine of its last attempt, if several share the store.
    pub machine: Option<String>,
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

impl Store {
    /// Records that attempt `number` of a run has begun. Returns false, and records nothing, if the run has another fencing
    /// token or has ended.
    pub fn begin(&mut self, claim: RunClaim, number: i64, now: Timestamp) -> Result<bool> {
        let name = "UPDATE runs SET machine = (SELECT worker FROM dispatches WHERE dispatches.run = runs.id) WHERE id = $1";
        let is_shared = self.is_shared();
        self.transact(|sql| {
            let is_ours = is_ours(sql, claim, false)?;
            if is_ours {
                begin_in(sql, claim.run, number, now)?;
            }
            if is_ours && is_shared {
                sql.execute(name, &values![claim.run])?;
            }
            Ok(is_ours)
        })
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
        self.transact(|sql| finish_in(sql, run, state, reason, sum, now))
    }

    /// Returns an interrupted run to the waiting state, to be resumed because of `cause`. Returns false if it is not
    /// interrupted, or if another process has the lease.
    pub fn take_up(
        &mut self,
        lease: &LeaderLease,
        run: i64,
        cause: Trigger,
        wait: Wait,
        reason: &str,
    ) -> Result<bool> {
        let turn = "UPDATE runs SET outcome = $1, cause = $2, reason = $3, reason_code = NULL, not_before = $4, give_up_at = $5,
            needs_since = $6, ended_at = NULL WHERE id = $7 AND outcome = $8";
        let (word, cause) = (RunState::Waiting.as_str(), cause.as_str());
        let [not_before, give_up, needs_since] = wait.columns();
        let was = RunState::Interrupted.as_str();
        let values = values![word, cause, reason, not_before, give_up, needs_since, run, was];
        self.transact(|sql| {
            let leads = renew_in(sql, lease, 0)?.is_some();
            Ok(leads && sql.execute(turn, &values)? == 1)
        })
    }

    /// Records that every run in progress was interrupted, as no process is left that could end it. Returns their
    /// numbers.
    pub fn interrupt_all(&mut self, error: &str, now: Timestamp) -> Result<Vec<i64>> {
        let find = "SELECT id FROM runs WHERE outcome = $1 AND slot IS NOT NULL ORDER BY id";
        self.transact(|sql| {
            let found: Vec<i64> =
                sql.all(find, &values![RunState::Running.as_str()], |row| row.at(0))?;
            for run in &found {
                interrupt_in(sql, *run, error, now)?;
            }
            Ok(found)
        })
    }
}

pub(crate) fn interrupt_in(sql: &dyn Sql, run: i64, error: &str, now: Timestamp) -> SqlResult<()> {
    let runs =
        "UPDATE runs SET outcome = $1, ended_at = $2, error_kind = $1, error = $3 WHERE id = $4";
    let attempts = "UPDATE attempts SET outcome = $1, ended_at = $2, error_kind = $1, error = $3
        WHERE run = $4 AND ended_at IS NULL";
    let (word, at) = (RunState::Interrupted.as_str(), now.as_millisecond());
    sql.execute(runs, &values![word, at, error, run])?;
    sql.execute(attempts, &values![word, at, error, run])?;
    sql.execute("DELETE FROM dispatches WHERE run = $1", &values![run]).map(drop)
}

fn begin_in(sql: &dyn Sql, run: i64, number: i64, now: Timestamp) -> SqlResult<()> {
    let begin = "UPDATE runs SET outcome = $1, attempts = $2, started_at = COALESCE(started_at, $3), ended_at = NULL
        WHERE id = $4";
    let attempt = "INSERT INTO attempts (run, number, started_at, outcome, files, bytes)
        VALUES ($1, $2, $3, $4, 0, 0)
        ON CONFLICT (run, number) DO UPDATE SET started_at = excluded.started_at WHERE attempts.ended_at IS NULL";
    let (now, running) = (now.as_millisecond(), RunState::Running.as_str());
    sql.execute(begin, &values![running, number, now, run])?;
    sql.execute(attempt, &values![run, number, now, running]).map(drop)
}

fn finish_in(
    sql: &dyn Sql,
    run: i64,
    state: RunState,
    reason: Option<&str>,
    sum: &Sum,
    now: Timestamp,
) -> SqlResult<()> {
    let finish = "UPDATE runs SET outcome = $1, ended_at = $2, reason = COALESCE($3, reason),
        reason_code = CASE WHEN $3 IS NULL THEN reason_code END, route = COALESCE($4, route), exit_code = $5, error_kind = $6, error = $7,
        files = (SELECT COALESCE(SUM(files), 0) FROM attempts WHERE attempts.run = runs.id),
        bytes = (SELECT COALESCE(SUM(bytes), 0) FROM attempts WHERE attempts.run = runs.id),
        fallbacks = (SELECT COUNT(*) FROM fallbacks WHERE fallbacks.run = runs.id) WHERE id = $8";
    let Sum { route, exit_code, error_kind, error, .. } = sum;
    let at = now.as_millisecond();
    let values = values![state.as_str(), at, reason, route, exit_code, error_kind, error, run];
    sql.execute(finish, &values).map(drop)
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

#[cfg(test)]
mod tests;
