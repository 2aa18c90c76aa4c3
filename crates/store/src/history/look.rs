//! Queries on the history.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Value};

use super::{HistoryRun, RunState, Sum, Trigger, Wait};
use crate::Store;
use portolan_core::error::Result;

const COLUMNS: &str = "id, job, revision, slot, script, cause, scheduled_for, moved_from, not_before, give_up_at,
    needs_since, decided_at, started_at, ended_at, outcome, reason, covers, up_to, attempts, files, bytes, route, fallbacks, exit_code, error_kind, error, reason_code, covered_by";

/// The runs that a query is about.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only runs of this job.
    pub job: Option<String>,
    /// Only runs that were due, or that began, at this time or later.
    pub since: Option<Timestamp>,
    /// Only runs that were due, or that began, before this time.
    pub until: Option<Timestamp>,
    /// Only runs that did not do everything: failed, partial and interrupted ones.
    pub failed: bool,
    /// Only runs of this state.
    pub state: Option<RunState>,
    /// Only runs with a lower number: those that follow in a list, the newest first.
    pub below: Option<i64>,
    /// The maximum number.
    pub most: u32,
}

impl RunFilter {
    /// Returns the conditions in SQL, each with a `#` for its values.
    fn conditions(&self) -> Vec<(&'static str, Vec<Value>)> {
        let Self { job, since, until, failed, state, below, .. } = self;
        let one = |condition, value: Option<Value>| Some((condition, vec![value?]));
        let time = |at: &Option<Timestamp>| at.map(|at| at.as_millisecond().into());
        let bad = [RunState::Failed, RunState::Partial, RunState::Interrupted];
        let bad = bad.map(|state| Value::from(state.as_str().to_owned())).to_vec();
        let conditions = [
            one("job = #", job.clone().map(Value::from)),
            one("COALESCE(scheduled_for, started_at, decided_at) >= #", time(since)),
            one("COALESCE(scheduled_for, started_at, decided_at) < #", time(until)),
            failed.then_some(("outcome IN (#)", bad)),
            one("outcome = #", state.map(|state| state.as_str().to_owned().into())),
            one("id < #", below.map(Value::from)),
        ];
        conditions.into_iter().flatten().collect()
    }
}

/// A run as far as overviews need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BriefRun {
    /// The number of the run.
    pub id: i64,
    /// The state of the run.
    pub state: RunState,
    /// The time at which it was due.
    pub scheduled_for: Option<Timestamp>,
    /// The start of its first attempt.
    pub started_at: Option<Timestamp>,
    /// The end of its last attempt.
    pub ended_at: Option<Timestamp>,
}

impl BriefRun {
    /// Returns the time at which it was due, or its start for a run without a slot.
    pub fn at(&self) -> Option<Timestamp> {
        self.scheduled_for.or(self.started_at)
    }

    /// Returns its duration in seconds, if it has ended.
    pub fn seconds(&self) -> Option<f64> {
        Some(self.ended_at?.duration_since(self.started_at?).as_secs_f64())
    }
}

impl Store {
    /// Returns the newest runs that `filter` is about, the newest first.
    pub fn runs_matching(&self, filter: &RunFilter) -> Result<Vec<HistoryRun>> {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        // Only what is asked for: with `$1 IS NULL OR …` no index would be used.
        for (condition, value) in filter.conditions() {
            let numbers = values.len() + 1..=values.len() + value.len();
            let numbers: Vec<_> = numbers.map(|number| format!("${number}")).collect();
            conditions.push(condition.replace('#', &numbers.join(", ")));
            values.extend(value);
        }
        values.push(Value::from(i64::from(filter.most)));
        let (which, last) = (conditions.join(" AND "), values.len());
        let which = if which.is_empty() { which } else { format!("WHERE {which}") };
        let query = format!("SELECT {COLUMNS} FROM runs {which} ORDER BY id DESC LIMIT ${last}");
        self.find(&query, rusqlite::params_from_iter(values))
    }

    /// Returns the newest runs of a job in brief, the newest first.
    pub fn brief_runs(&self, job: &str, most: u32) -> Result<Vec<BriefRun>> {
        let query = "SELECT id, outcome, scheduled_for, started_at, ended_at FROM runs
            WHERE job = $1 ORDER BY id DESC LIMIT $2";
        let brief = |row: &Row<'_>| {
            let time = |name: &str| row.get::<_, Option<i64>>(name).map(|ms| ms.map(instant));
            Ok(BriefRun {
                id: row.get("id")?,
                state: state(row)?,
                scheduled_for: time("scheduled_for")?,
                started_at: time("started_at")?,
                ended_at: time("ended_at")?,
            })
        };
        self.read(|connection| {
            connection.prepare(query)?.query_map(params![job, most], brief)?.collect()
        })
    }

    /// Returns the run with the number `id`.
    pub fn run(&self, id: i64) -> Result<Option<HistoryRun>> {
        self.read(|connection| run_in(connection, id))
    }

    /// Returns the newest runs, of one job or of all, the newest first.
    pub fn runs(&self, job: Option<&str>, most: u32) -> Result<Vec<HistoryRun>> {
        let which = if job.is_some() { "job = $1" } else { "$1 IS NULL" };
        let query = format!("SELECT {COLUMNS} FROM runs WHERE {which} ORDER BY id DESC LIMIT $2");
        self.read(|connection| {
            connection.prepare(&query)?.query_map(params![job, most], run)?.collect()
        })
    }

    /// Returns the runs in `state`, the oldest first.
    pub fn runs_that_are(&self, state: RunState) -> Result<Vec<HistoryRun>> {
        let query = format!("SELECT {COLUMNS} FROM runs WHERE outcome = $1 ORDER BY id");
        self.read(|connection| {
            connection.prepare(&query)?.query_map([state.as_str()], run)?.collect()
        })
    }

    /// Returns the slots of a job, later than `at`, that have begun.
    pub fn slots_begun(&self, job: &str, revision: &str, at: Timestamp) -> Result<Vec<String>> {
        let query = "SELECT slot FROM runs WHERE job = $1 AND revision = $2 AND scheduled_for > $3
            AND slot IS NOT NULL AND outcome NOT IN ($4, $5)";
        let [waiting, skipped] = [RunState::Waiting, RunState::Skipped].map(RunState::as_str);
        let values = params![job, revision, at.as_millisecond(), waiting, skipped];
        self.read(|connection| {
            connection.prepare(query)?.query_map(values, |row| row.get(0))?.collect()
        })
    }

    /// Returns the run of a job's slot.
    pub fn run_of_slot(&self, job: &str, revision: &str, slot: &str) -> Result<Option<HistoryRun>> {
        let query =
            format!("SELECT {COLUMNS} FROM runs WHERE job = $1 AND revision = $2 AND slot = $3");
        let values = params![job, revision, slot];
        self.read(|connection| connection.query_row(&query, values, run).optional())
    }

    /// Returns the run of a slot that is the same under any schedule, such as that of a request.
    pub fn run_of_request(&self, job: &str, slot: &str) -> Result<Option<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND slot = $2 ORDER BY id DESC LIMIT 1"
        );
        self.read(|connection| connection.query_row(&query, params![job, slot], run).optional())
    }

    /// Returns the decisions on a job's slots at `at`, under any schedule, the newest first; a row that covers many
    /// slots counts for each of them.
    pub fn runs_for(&self, job: &str, at: Timestamp) -> Result<Vec<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND scheduled_for <= $2 AND COALESCE(up_to, scheduled_for) >= $2
            ORDER BY id DESC"
        );
        self.find(&query, params![job, at.as_millisecond()])
    }

    /// Returns the runs of a job that were in progress at `at`, the newest first.
    pub fn runs_during(&self, job: &str, at: Timestamp) -> Result<Vec<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND attempts > 0 AND started_at <= $2
                AND (ended_at IS NULL OR ended_at > $2) ORDER BY id DESC"
        );
        self.find(&query, params![job, at.as_millisecond()])
    }

    /// Returns the oldest slot of a job in history.
    pub fn first_slot(&self, job: &str) -> Result<Option<Timestamp>> {
        let query = "SELECT MIN(scheduled_for) FROM runs WHERE job = $1";
        let first: Option<i64> =
            self.read(|connection| connection.query_row(query, [job], |row| row.get(0)))?;
        Ok(first.map(instant))
    }

    fn find(&self, query: &str, values: impl rusqlite::Params) -> Result<Vec<HistoryRun>> {
        self.read(|connection| connection.prepare(query)?.query_map(values, run)?.collect())
    }

    /// Returns the newest successful run of a job.
    pub fn last_success(&self, job: &str) -> Result<Option<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND outcome = $2 ORDER BY ended_at DESC, id DESC LIMIT 1"
        );
        let values = params![job, RunState::Done.as_str()];
        self.read(|connection| connection.query_row(&query, values, run).optional())
    }

    /// Returns the names of all jobs that have a row.
    pub fn jobs_with_history(&self) -> Result<Vec<String>> {
        let query = "SELECT DISTINCT job FROM runs ORDER BY job";
        self.read(|connection| {
            connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Returns a number that changes whenever another process has written.
    pub fn version_of_data(&self) -> Result<i64> {
        self.read(|connection| {
            connection.pragma_query_value(None, "data_version", |row| row.get(0))
        })
    }
}

pub(super) fn run_in(connection: &Connection, id: i64) -> rusqlite::Result<Option<HistoryRun>> {
    let query = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
    connection.query_row(&query, [id], run).optional()
}

pub(super) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

pub(super) fn sum(row: &Row<'_>) -> rusqlite::Result<Sum> {
    Ok(Sum {
        files: row.get("files")?,
        bytes: row.get("bytes")?,
        route: row.get("route")?,
        exit_code: row.get("exit_code")?,
        error_kind: row.get("error_kind")?,
        error: row.get("error")?,
    })
}

pub(super) fn state(row: &Row<'_>) -> rusqlite::Result<RunState> {
    let word: String = row.get("outcome")?;
    // An unknown word was written by another version; such a run is not in progress here.
    Ok(word.parse().unwrap_or(RunState::Interrupted))
}

const fn wait(times: [Option<Timestamp>; 3]) -> Option<Wait> {
    match times {
        [Some(not_before), Some(give_up), Some(needs_since)] => {
            Some(Wait { not_before, give_up, needs_since })
        }
        _ => None,
    }
}

fn run(row: &Row<'_>) -> rusqlite::Result<HistoryRun> {
    let time = |name: &str| row.get::<_, Option<i64>>(name).map(|ms| ms.map(instant));
    let cause: String = row.get("cause")?;
    Ok(HistoryRun {
        id: row.get("id")?,
        job: row.get("job")?,
        revision: row.get("revision")?,
        slot: row.get("slot")?,
        script: row.get("script")?,
        cause: cause.parse().unwrap_or(Trigger::Manual),
        scheduled_for: time("scheduled_for")?,
        moved_from: row.get("moved_from")?,
        wait: wait([time("not_before")?, time("give_up_at")?, time("needs_since")?]),
        decided_at: instant(row.get("decided_at")?),
        started_at: time("started_at")?,
        ended_at: time("ended_at")?,
        state: state(row)?,
        reason: row.get("reason")?,
        reason_code: row.get("reason_code")?,
        covered_by: time("covered_by")?,
        covers: row.get("covers")?,
        up_to: time("up_to")?,
        attempts: row.get("attempts")?,
        sum: sum(row)?,
        fallbacks: row.get("fallbacks")?,
    })
}
