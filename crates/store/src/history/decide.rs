//! The decisions of a turn: recorded together, or not at all.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{HandOut, JobStateRecord, NewRun, RunState, arrivals, jobs};
use crate::{
    Store,
    fleet::{Dispatch, LeaderLease, put_dispatches, renew_in},
    sql::{Numbered, Sql, SqlResult, SqlRow, SqlValue, values},
};
use portolan_core::error::Result;

/// The decisions of a turn, with all that follows from them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decisions<'d> {
    /// The rows of slots.
    pub runs: &'d [NewRun],
    /// The files that runs are given.
    pub files: &'d [HandOut<'d>],
    /// The watermark of each job that was decided.
    pub states: &'d [JobStateRecord],
    /// The requests that are taken up, each by its job and time.
    pub heard: &'d [(String, Timestamp)],
    /// The workers of the runs that begin.
    pub dispatches: &'d [Dispatch<'d>],
}

/// A row that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedRow {
    /// The number of the run; `None` if the slot had been finished before.
    pub run: Option<i64>,
    /// The fencing token of its worker, if it was dispatched.
    pub fence: Option<i64>,
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
        let decisions = Decisions { runs, states, heard, ..Decisions::default() };
        self.transact(|sql| decide_in(sql, &decisions, now))
    }

    /// Records the decisions of the leader, and dispatches runs to their workers, in one transaction. Returns `None` if
    /// another process has taken the lease: nothing is recorded then.
    pub fn decide_as(
        &mut self,
        lease: &LeaderLease,
        decisions: &Decisions<'_>,
        now: Timestamp,
    ) -> Result<Option<Vec<DecidedRow>>> {
        let count = decisions.dispatches.len();
        self.transact(|sql| {
            let Some(fences) = renew_in(sql, lease, count)? else { return Ok(None) };
            let ids = decide_in(sql, decisions, now)?;
            let mut recorded: Vec<_> =
                ids.into_iter().map(|run| DecidedRow { run, fence: None }).collect();
            put_dispatches(sql, decisions.dispatches, fences, &mut recorded)?;
            Ok(Some(recorded))
        })
    }
}

fn decide_in(
    sql: &dyn Sql,
    decisions: &Decisions<'_>,
    now: Timestamp,
) -> SqlResult<Vec<Option<i64>>> {
    let ids = put(sql, decisions.runs, now)?;
    for one in decisions.files {
        if let Some(run) = ids.get(one.row).copied().flatten() {
            arrivals::hand_out(sql, one, run)?;
        }
    }
    jobs::mark(sql, decisions.states)?;
    for (job, asked_at) in decisions.heard {
        jobs::hear(sql, job, *asked_at)?;
    }
    Ok(ids)
}

/// Inserts new rows, or updates the rows of slots that wait, or that were skipped: those are decided anew only if a clock
/// that was ahead decided them. A slot that has begun is never begun again.
fn put(sql: &dyn Sql, runs: &[NewRun], now: Timestamp) -> SqlResult<Vec<Option<i64>>> {
    let mut ids = Vec::with_capacity(runs.len());
    let mut left = runs;
    while !left.is_empty() {
        // A slot that is decided twice has its row before its second decision.
        let mut slots = HashSet::new();
        let is_first = |run: &NewRun| match &run.slot {
            Some(slot) => slots.insert((run.job.clone(), slot.clone())),
            None => true,
        };
        let count = left.iter().map(is_first).take_while(|is| *is).count();
        let (part, rest) = left.split_at(count);
        put_part(sql, part, now, &mut ids)?;
        left = rest;
    }
    Ok(ids)
}

/// Works like [`put`], for rows of different slots.
fn put_part(
    sql: &dyn Sql,
    runs: &[NewRun],
    now: Timestamp,
    ids: &mut Vec<Option<i64>>,
) -> SqlResult<()> {
    let found = known_rows(sql, runs)?;
    let (mut new, mut turned) = (Vec::new(), Vec::new());
    for (run, row) in runs.iter().zip(found) {
        match row.as_ref().map(id_and_state).transpose()? {
            None => new.push((ids.len(), run)),
            Some((id, Some(RunState::Waiting | RunState::Skipped))) => {
                turned.push(turned_row(id, run, now));
                ids.push(Some(id));
                continue;
            }
            Some(_) => {}
        }
        ids.push(None);
    }
    let numbers = sql.new_numbers(Numbered::Runs, new.len())?;
    let mut inserted = Vec::new();
    for ((at, run), id) in new.into_iter().zip(numbers) {
        inserted.push(new_row(id, run, now));
        if let Some(place) = ids.get_mut(at) {
            *place = Some(id);
        }
    }
    sql.execute_each(INSERT, &inserted)?;
    sql.execute_each(TURN, &turned).map(drop)
}

/// Returns the row that each slot has, if it has one.
fn known_rows(sql: &dyn Sql, runs: &[NewRun]) -> SqlResult<Vec<Option<SqlRow>>> {
    let known = "SELECT id, outcome FROM runs WHERE job = $1 AND revision = $2 AND slot = $3";
    // Without a revision it matches a waiting run of any revision: the schedule has changed since.
    let waiting = "SELECT id, outcome FROM runs WHERE job = $1 AND revision <> $2 AND slot = $3
        AND outcome = 'waiting'";
    let mut found = vec![None; runs.len()];
    for (query, has_revision) in [(known, true), (waiting, false)] {
        let is_asked = |run: &NewRun| run.slot.is_some() && run.revision.is_empty() != has_revision;
        let asked = found.iter_mut().zip(runs).filter(|(_, run)| is_asked(run));
        let (places, slots): (Vec<_>, Vec<_>) = asked
            .map(|(place, run)| (place, values![run.job, run.revision, run.slot].to_vec()))
            .unzip();
        for (place, row) in places.into_iter().zip(sql.query_each(query, &slots)?) {
            *place = row;
        }
    }
    Ok(found)
}

fn id_and_state(row: &SqlRow) -> SqlResult<(i64, Option<RunState>)> {
    let word: String = row.get("outcome")?;
    Ok((row.get("id")?, word.parse().ok()))
}

const INSERT: &str = "INSERT INTO runs (id, job, revision, slot, script, cause, scheduled_for, moved_from, not_before,
        give_up_at, needs_since, decided_at, started_at, ended_at, outcome, reason, covers, up_to, attempts, files,
        bytes, fallbacks, reason_code, covered_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, 0, 0, 0, 0, $19, $20)";

/// Inserts one row, and returns its number.
pub(super) fn insert(sql: &dyn Sql, run: &NewRun, now: Timestamp) -> SqlResult<i64> {
    let id = sql.new_numbers(Numbered::Runs, 1)?.first().copied().unwrap_or_default();
    sql.execute(INSERT, &new_row(id, run, now))?;
    Ok(id)
}

fn new_row(id: i64, run: &NewRun, now: Timestamp) -> Vec<SqlValue> {
    let NewRun { job, revision, slot, script, moved_from, reason, covers, .. } = run;
    let [scheduled_for, up_to, covered_by] =
        [run.scheduled_for, run.up_to, run.covered_by].map(|at| at.map(Timestamp::as_millisecond));
    let [not_before, give_up, needs_since] = waits(run);
    let [started, ended] = times(run.state, now);
    values![
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
    ]
    .into()
}

const TURN: &str = "UPDATE runs SET cause = $1, not_before = $2, give_up_at = $3, needs_since = $4,
    started_at = COALESCE(started_at, $5), ended_at = $6, outcome = $7, reason = $8, covers = $9,
    reason_code = $10, covered_by = $11, up_to = $12,
    decided_at = CASE WHEN decided_at < $13 THEN decided_at ELSE $13 END WHERE id = $14";

fn turned_row(id: i64, run: &NewRun, now: Timestamp) -> Vec<SqlValue> {
    let [not_before, give_up, needs_since] = waits(run);
    let [started, ended] = times(run.state, now);
    values![
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
    ]
    .into()
}

fn waits(run: &NewRun) -> [Option<i64>; 3] {
    run.wait.map_or([None; 3], |wait| wait.columns().map(Some))
}

/// Returns the start and end times of a run that enters `state` at `now`.
fn times(state: RunState, now: Timestamp) -> [Option<i64>; 2] {
    let is = |wanted| (state == wanted).then(|| now.as_millisecond());
    [is(RunState::Running), is(RunState::Skipped)]
}
