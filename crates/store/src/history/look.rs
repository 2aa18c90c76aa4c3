//! Queries on the history.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

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
    /// The maximum number.
    pub most: u32,
}

impl Store {
    /// Returns the newest runs that `filter` is about, the newest first.
    pub fn runs_matching(&self, filter: &RunFilter) -> Result<Vec<HistoryRun>> {
        let RunFilter { job, since, until, failed, most } = filter;
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE ($1 IS NULL OR job = $1)
                AND ($2 IS NULL OR COALESCE(scheduled_for, started_at, decided_at) >= $2)
                AND ($3 IS NULL OR COALESCE(scheduled_for, started_at, decided_at) < $3)
                AND (NOT $4 OR outcome IN ($5, $6, $7))
            ORDER BY id DESC LIMIT $8"
        );
        let [since, until] = [since, until].map(|time| time.map(Timestamp::as_millisecond));
        let [one, two, three] =
            [RunState::Failed, RunState::Partial, RunState::Interrupted].map(RunState::as_str);
        self.read(|connection| {
            let values = params![job, since, until, failed, one, two, three, most];
            connection.prepare(&query)?.query_map(values, run)?.collect()
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
