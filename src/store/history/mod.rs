//! History: what was decided for each slot, what became of it, and how.
//!
//! A decision is a row before it is an act: who is killed between the two leaves a row that says so.

mod by_hand;
mod close;
mod jobs;
mod look;
mod notices;
mod parts;
mod prune;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

pub use self::{
    close::End,
    jobs::{Health, JobState},
    notices::{NewNotice, Notice},
    parts::{Attempt, FallBack, FileMoved},
};
use super::Store;
use crate::fault::Outcome;

/// What became of a run. The words are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It will be run, but not yet.
    Waiting,
    /// It goes on.
    Running,
    /// All was done.
    Done,
    /// Some files failed.
    Partial,
    /// It failed.
    Failed,
    /// Its slot was not run, for a reason.
    Skipped,
    /// It was ended before its end: the scheduler stopped, or was killed.
    Interrupted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Partial,
        Self::Failed,
        Self::Skipped,
        Self::Interrupted,
    ];

    /// The word for it in the store, in `--json` and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state of that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// What made a run begin. The words are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its time had come.
    Schedule,
    /// Its time had passed while nobody ran it.
    CatchUp,
    /// Somebody asked for it.
    Manual,
    /// The jobs that it waits for had succeeded.
    Dependency,
}

impl Cause {
    /// The word for it; what scripts see as `job::TRIGGER`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catchup",
            Self::Manual => "manual",
            Self::Dependency => "dependency",
        }
    }

    /// The cause of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Schedule, Self::CatchUp, Self::Manual, Self::Dependency]
            .into_iter()
            .find(|cause| cause.word() == word)
    }
}

/// One slot, or one run by hand, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its number, counted from 1 in each store.
    pub id: i64,
    /// Its job; the name of the script for a run by hand.
    pub job: String,
    /// The revision of the job's schedule.
    pub revision: String,
    /// The slot; none for a run by hand.
    pub slot: Option<String>,
    /// The script.
    pub script: String,
    /// What made it begin.
    pub cause: Cause,
    /// When it was due.
    pub scheduled_for: Option<Timestamp>,
    /// The last slot that it stands for, where it is a row for many that were skipped.
    pub up_to: Option<Timestamp>,
    /// The time on the wall that the clock jumped over, if the slot was moved behind the jump.
    pub moved_from: Option<String>,
    /// Until when it waits, or waited.
    pub wait: Option<Wait>,
    /// When its row was written.
    pub decided_at: Timestamp,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When its last attempt ended.
    pub ended_at: Option<Timestamp>,
    /// What became of it.
    pub state: State,
    /// Why it was skipped, waits, or was taken up again.
    pub reason: Option<String>,
    /// How many slots it stands for, itself included.
    pub covers: i64,
    /// Attempts so far.
    pub attempts: i64,
    /// What it did.
    pub sum: Sum,
    /// How often the data went another way.
    pub fallbacks: i64,
}

/// What a run or an attempt did, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files that arrived.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// The way that carried the last of them.
    pub route: Option<String>,
    /// The exit code of its process.
    pub exit_code: Option<i64>,
    /// The sort of failure.
    pub error_kind: Option<String>,
    /// The failure in words.
    pub error: Option<String>,
}

/// A decision on a slot, or a run by hand, that is to be written.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// As in [`Run`].
    pub job: String,
    /// As in [`Run`].
    pub revision: String,
    /// As in [`Run`].
    pub slot: Option<String>,
    /// As in [`Run`].
    pub script: String,
    /// As in [`Run`].
    pub cause: Cause,
    /// As in [`Run`].
    pub scheduled_for: Option<Timestamp>,
    /// As in [`Run`].
    pub up_to: Option<Timestamp>,
    /// As in [`Run`].
    pub moved_from: Option<String>,
    /// As in [`Run`].
    pub wait: Option<Wait>,
    /// `Waiting`, `Running` or `Skipped`.
    pub state: State,
    /// As in [`Run`].
    pub reason: Option<String>,
    /// As in [`Run`].
    pub covers: i64,
}

/// Until when a run waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// It does not begin earlier.
    pub not_before: Timestamp,
    /// It is skipped when it has not begun by then.
    pub give_up: Timestamp,
    /// The jobs before it must have succeeded later than this.
    pub needs_since: Timestamp,
}

/// The next number of a table. The right to write is ours already, so nobody else takes it.
fn next_id(transaction: &Transaction<'_>, table: &str) -> rusqlite::Result<i64> {
    let query = format!("SELECT COALESCE(MAX(id), 0) + 1 FROM {table}");
    transaction.query_row(&query, [], |row| row.get(0))
}

impl Store {
    /// Writes what was decided, how far each job's slots are decided now, and which requests are heard, all or nothing.
    /// Gives the number of each row; none where the slot had come to its end before.
    pub fn decide(
        &mut self,
        runs: &[NewRun],
        states: &[JobState],
        heard: &[(String, Timestamp)],
        now: Timestamp,
    ) -> Outcome<Vec<Option<i64>>> {
        self.write(|transaction| {
            let ids = runs.iter().map(|run| put(transaction, run, now)).collect();
            for state in states {
                jobs::mark(transaction, state)?;
            }
            for (job, asked_at) in heard {
                jobs::hear(transaction, job, *asked_at)?;
            }
            ids
        })
    }

    /// Notes that a run has begun: its attempt `number` starts.
    pub fn begin(&mut self, run: i64, number: i64, now: Timestamp) -> Outcome<()> {
        self.write(|transaction| begin_in(transaction, run, number, now))
    }

    /// Notes what became of a run whose attempts have ended: its state, and how the last of them ended. Files and bytes are
    /// those of all of them.
    pub fn finish(
        &mut self,
        run: i64,
        state: State,
        reason: Option<&str>,
        sum: &Sum,
        now: Timestamp,
    ) -> Outcome<()> {
        self.write(|transaction| finish_in(transaction, run, state, reason, sum, now))
    }

    /// Lets a run that was interrupted wait to be taken up again.
    pub fn take_up(&mut self, run: i64, wait: Wait, reason: &str) -> Outcome<()> {
        let turn = "UPDATE runs SET outcome = $1, cause = $2, reason = $3, not_before = $4, give_up_at = $5,
            needs_since = $6, ended_at = NULL WHERE id = $7";
        let (word, cause) = (State::Waiting.word(), Cause::CatchUp.word());
        let [not_before, give_up, needs_since] = wait.columns();
        let values = params![word, cause, reason, not_before, give_up, needs_since, run];
        self.write(|transaction| transaction.execute(turn, values).map(drop))
    }

    /// Notes that every run that goes on was interrupted: nobody is left who could end it. Gives their numbers.
    pub fn interrupt_all(&mut self, error: &str, now: Timestamp) -> Outcome<Vec<i64>> {
        let find = "SELECT id FROM runs WHERE outcome = $1 AND slot IS NOT NULL ORDER BY id";
        self.write(|transaction| {
            let found = transaction
                .prepare(find)?
                .query_map([State::Running.word()], |row| row.get(0))?
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
    let (word, at) = (State::Interrupted.word(), now.as_millisecond());
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
    let (now, running) = (now.as_millisecond(), State::Running.word());
    transaction.execute(begin, params![running, number, now, run])?;
    transaction.execute(attempt, params![run, number, now, running]).map(drop)
}

fn finish_in(
    transaction: &Transaction<'_>,
    run: i64,
    state: State,
    reason: Option<&str>,
    sum: &Sum,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let finish = "UPDATE runs SET outcome = $1, ended_at = $2, reason = COALESCE($3, reason),
        route = COALESCE($4, route), exit_code = $5, error_kind = $6, error = $7,
        files = (SELECT COALESCE(SUM(files), 0) FROM attempts WHERE attempts.run = runs.id),
        bytes = (SELECT COALESCE(SUM(bytes), 0) FROM attempts WHERE attempts.run = runs.id),
        fallbacks = (SELECT COUNT(*) FROM fallbacks WHERE fallbacks.run = runs.id) WHERE id = $8";
    let Sum { route, exit_code, error_kind, error, .. } = sum;
    let at = now.as_millisecond();
    let values = params![state.word(), at, reason, route, exit_code, error_kind, error, run];
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

/// Writes a new row, or turns the one of a slot that waits.
fn put(
    transaction: &Transaction<'_>,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    // Without a revision it is of whichever waits: the schedule has been changed since.
    let known = if run.revision.is_empty() {
        "SELECT id, outcome FROM runs WHERE job = $1 AND revision <> $2 AND slot = $3 AND outcome = 'waiting'"
    } else {
        "SELECT id, outcome FROM runs WHERE job = $1 AND revision = $2 AND slot = $3"
    };
    let NewRun { job, revision, slot, .. } = run;
    let found = transaction
        .query_row(known, params![job, revision, slot], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let found: Option<(i64, String)> = found.filter(|_| slot.is_some());
    match found {
        None => insert(transaction, run, now).map(Some),
        Some((id, state)) if state == State::Waiting.word() => turn(transaction, id, run, now),
        Some(_) => Ok(None),
    }
}

fn insert(transaction: &Transaction<'_>, run: &NewRun, now: Timestamp) -> rusqlite::Result<i64> {
    let insert = "INSERT INTO runs (id, job, revision, slot, script, cause, scheduled_for, moved_from, not_before,
            give_up_at, needs_since, decided_at, started_at, ended_at, outcome, reason, covers, up_to, attempts, files,
            bytes, fallbacks)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0, 0, 0, 0)";
    let NewRun { job, revision, slot, script, moved_from, reason, covers, .. } = run;
    let [scheduled_for, up_to] =
        [run.scheduled_for, run.up_to].map(|at| at.map(Timestamp::as_millisecond));
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
        run.cause.word(),
        scheduled_for,
        moved_from,
        not_before,
        give_up,
        needs_since,
        now.as_millisecond(),
        started,
        ended,
        run.state.word(),
        reason,
        covers,
        up_to
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
        started_at = COALESCE(started_at, $5), ended_at = $6, outcome = $7, reason = $8, covers = $9 WHERE id = $10";
    let [not_before, give_up, needs_since] = waits(run);
    let [started, ended] = times(run.state, now);
    let values = params![
        run.cause.word(),
        not_before,
        give_up,
        needs_since,
        started,
        ended,
        run.state.word(),
        run.reason,
        run.covers,
        id
    ];
    transaction.execute(turn, values)?;
    Ok(Some(id))
}

fn waits(run: &NewRun) -> [Option<i64>; 3] {
    run.wait.map_or([None; 3], |wait| wait.columns().map(Some))
}

/// When a run that is in `state` since `now` began, and ended.
fn times(state: State, now: Timestamp) -> [Option<i64>; 2] {
    let is = |wanted| (state == wanted).then(|| now.as_millisecond());
    [is(State::Running), is(State::Skipped)]
}

#[cfg(test)]
mod tests;
