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

/// The time at which a run was due, or at which it began; it has an index.
const MOMENT: &str = "COALESCE(scheduled_for, started_at, decided_at)";

/// The states of runs that did not do everything.
const BAD: [RunState; 3] = [RunState::Failed, RunState::Partial, RunState::Interrupted];

impl RunFilter {
    /// Returns true if its list is in the order of time: all others are in the order of their numbers, which is nearly the
    /// same. A job has few runs.
    const fn is_by_time(&self) -> bool {
        self.job.is_none() && (self.since.is_some() || self.until.is_some())
    }

    /// Returns the conditions in SQL, each with a `#` for each of its values. Only what is asked for: with `$1 IS NULL OR …`
    /// no index would be used.
    fn conditions(&self) -> Vec<(String, Vec<Value>)> {
        let Self { job, since, until, failed, state, below, .. } = self;
        let time = |at: &Option<Timestamp>| at.map(|at| Value::from(at.as_millisecond()));
        let word = |state: RunState| Value::from(state.as_str().to_owned());
        let one =
            |condition: &str, value: Option<Value>| Some((condition.to_owned(), vec![value?]));
        // Where another index gives the order, that of outcomes is kept out: its list would have to be sorted.
        let outcome =
            if job.is_some() || self.is_by_time() { "(outcome || '')" } else { "outcome" };
        let below = below.map(|id| {
            if !self.is_by_time() {
                return ("id < #".to_owned(), vec![Value::from(id)]);
            }
            let last = format!("(SELECT {MOMENT} FROM runs WHERE id = #)");
            let condition = format!("{MOMENT} <= {last} AND ({MOMENT} < {last} OR id < #)");
            (condition, vec![Value::from(id); 3])
        });
        let conditions = [
            one("job = #", job.clone().map(Value::from)),
            one(&format!("{MOMENT} >= #"), time(since)),
            one(&format!("{MOMENT} < #"), time(until)),
            failed.then(|| (format!("{outcome} IN (#, #, #)"), BAD.map(word).to_vec())),
            one(&format!("{outcome} = #"), state.map(word)),
            below,
        ];
        conditions.into_iter().flatten().collect()
    }

    /// Returns the query with its values.
    pub(super) fn query(&self) -> (String, Vec<Value>) {
        let (mut which, mut values) = (Vec::new(), Vec::new());
        for (condition, given) in self.conditions() {
            let mut numbered = String::new();
            for (number, part) in (values.len()..).zip(condition.split('#')) {
                if number > values.len() {
                    numbered.push('$');
                    numbered.push_str(&number.to_string());
                }
                numbered.push_str(part);
            }
            which.push(numbered);
            values.extend(given);
        }
        values.push(Value::from(i64::from(self.most)));
        let which =
            if which.is_empty() { String::new() } else { format!("WHERE {}", which.join(" AND ")) };
        let order = if self.is_by_time() {
            format!("{MOMENT} DESC, id DESC")
        } else {
            "id DESC".to_owned()
        };
        let last = values.len();
        (format!("SELECT {COLUMNS} FROM runs {which} ORDER BY {order} LIMIT ${last}"), values)
    }

    /// Returns the filters whose lists together are this one: each is read by an index.
    fn parts(&self) -> Vec<Self> {
        let is_one = !self.failed || self.state.is_some() || self.job.is_some();
        if is_one || self.is_by_time() {
            return vec![self.clone()];
        }
        BAD.map(|state| Self { failed: false, state: Some(state), ..self.clone() }).to_vec()
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
        let parts = filter.parts();
        let is_one = parts.len() == 1;
        let mut found = Vec::new();
        for part in parts {
            let (query, values) = part.query();
            found.extend(self.find(&query, rusqlite::params_from_iter(values))?);
        }
        if !is_one {
            found.sort_by_key(|run| std::cmp::Reverse(run.id));
            found.truncate(usize::try_from(filter.most).unwrap_or(usize::MAX));
        }
        Ok(found)
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

    /// Returns the slots of all jobs that are later than `now`, or than what is decided of their job, and have begun: each
    /// with its job.
    pub fn slots_begun(&self, now: Timestamp) -> Result<Vec<(String, String)>> {
        // One look by time for each job; the index on revisions would lead to every run.
        let query = "SELECT runs.job, runs.slot FROM job_states CROSS JOIN runs
            WHERE runs.job = job_states.job AND runs.scheduled_for > MIN(job_states.watermark, $1)
                AND runs.revision || '' = job_states.revision
                AND runs.slot IS NOT NULL AND runs.outcome NOT IN ($2, $3)";
        let [waiting, skipped] = [RunState::Waiting, RunState::Skipped].map(RunState::as_str);
        let values = params![now.as_millisecond(), waiting, skipped];
        self.read(|connection| {
            let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            connection.prepare(query)?.query_map(values, pair)?.collect()
        })
    }

    /// Returns true if a run of a job with a higher number has ended by itself.
    pub fn has_later_result(&self, job: &str, id: i64) -> Result<bool> {
        let query = "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE job = $1 AND id > $2
            AND outcome IN ($3, $4, $5) LIMIT 1) AS later";
        let [done, partial, failed] =
            [RunState::Done, RunState::Partial, RunState::Failed].map(RunState::as_str);
        let values = params![job, id, done, partial, failed];
        self.read(|connection| connection.query_row(query, values, |row| row.get(0)))
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
