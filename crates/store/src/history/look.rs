//! Queries on the history.

use jiff::Timestamp;

use super::{HistoryRun, RunState, Sum, Trigger, Wait};
use crate::{
    Store,
    sql::{Sql, SqlResult, SqlRow, SqlValue, ToSqlValue, values},
};
use portolan_core::error::Result;

pub(crate) const COLUMNS: &str = "id, job, revision, slot, script, cause, scheduled_for, moved_from, not_before, give_up_at,
    needs_since, decided_at, started_at, ended_at, outcome, reason, covers, up_to, attempts, files, bytes, route, fallbacks, exit_code, error_kind, error, reason_code, covered_by, machine";

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
    fn conditions(&self) -> Vec<(String, Vec<SqlValue>)> {
        let Self { job, since, until, failed, state, below, .. } = self;
        let time = |at: &Option<Timestamp>| at.map(|at| at.as_millisecond().to_value());
        let word = |state: RunState| state.as_str().to_value();
        let one =
            |condition: &str, value: Option<SqlValue>| Some((condition.to_owned(), vec![value?]));
        // Where another index gives the order, that of outcomes is kept out: its list would have to be sorted.
        let outcome =
            if job.is_some() || self.is_by_time() { "(outcome || '')" } else { "outcome" };
        let below = below.map(|id| {
            if !self.is_by_time() {
                return ("id < #".to_owned(), vec![id.to_value()]);
            }
            let last = format!("(SELECT {MOMENT} FROM runs WHERE id = #)");
            let condition = format!("{MOMENT} <= {last} AND ({MOMENT} < {last} OR id < #)");
            (condition, vec![id.to_value(); 3])
        });
        let conditions = [
            one("job = #", job.as_ref().map(ToSqlValue::to_value)),
            one(&format!("{MOMENT} >= #"), time(since)),
            one(&format!("{MOMENT} < #"), time(until)),
            failed.then(|| (format!("{outcome} IN (#, #, #)"), BAD.map(word).to_vec())),
            one(&format!("{outcome} = #"), state.map(word)),
            below,
        ];
        conditions.into_iter().flatten().collect()
    }

    /// Returns the query with its values.
    pub(super) fn query(&self) -> (String, Vec<SqlValue>) {
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
        values.push(self.most.to_value());
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
            found.extend(self.find(&query, &values)?);
        }
        if !is_one {
            found.sort_by_key(|run| std::cmp::Reverse(run.id));
            found.truncate(usize::try_from(filter.most).unwrap_or(usize::MAX));
        }
        Ok(found)
    }

    /// Returns the newest runs of a job in brief, the newest first.
    pub fn brief_runs(&self, job: &str, most: u32) -> Result<Vec<BriefRun>> {
        Ok(self.brief_runs_of(&[job], most)?.pop().unwrap_or_default())
    }

    /// Returns the newest runs of each of several jobs in brief, the newest first.
    pub fn brief_runs_of(&self, jobs: &[&str], most: u32) -> Result<Vec<Vec<BriefRun>>> {
        let query = "SELECT id, outcome, scheduled_for, started_at, ended_at FROM runs
            WHERE job = $1 ORDER BY id DESC LIMIT $2";
        let brief = |row: &SqlRow| {
            let time = |name: &str| row.get::<Option<i64>>(name).map(|ms| ms.map(instant));
            Ok(BriefRun {
                id: row.get("id")?,
                state: state(row)?,
                scheduled_for: time("scheduled_for")?,
                started_at: time("started_at")?,
                ended_at: time("ended_at")?,
            })
        };
        let of_job = |sql: &dyn Sql, job: &str| sql.all(query, &values![job, most], brief);
        self.query(|sql| jobs.iter().map(|job| of_job(sql, job)).collect())
    }

    /// Returns the runs with these numbers, as far as they exist.
    pub fn runs_with(&self, ids: &[i64]) -> Result<Vec<HistoryRun>> {
        let query = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
        let rows: Vec<_> = ids.iter().map(|id| values![id].to_vec()).collect();
        self.query(|sql| sql.query_each(&query, &rows)?.iter().flatten().map(run).collect())
    }

    /// Returns the run with the number `id`.
    pub fn run(&self, id: i64) -> Result<Option<HistoryRun>> {
        self.query(|sql| run_in(sql, id))
    }

    /// Returns the newest runs, of one job or of all, the newest first.
    pub fn runs(&self, job: Option<&str>, most: u32) -> Result<Vec<HistoryRun>> {
        let (query, values) = match job {
            Some(job) => ("WHERE job = $1 ORDER BY id DESC LIMIT $2", values![job, most].to_vec()),
            None => ("ORDER BY id DESC LIMIT $1", values![most].to_vec()),
        };
        self.find(&format!("SELECT {COLUMNS} FROM runs {query}"), &values)
    }

    /// Returns the runs in `state`, the oldest first.
    pub fn runs_that_are(&self, state: RunState) -> Result<Vec<HistoryRun>> {
        let query = format!("SELECT {COLUMNS} FROM runs WHERE outcome = $1 ORDER BY id");
        self.query(|sql| sql.all(&query, &values![state.as_str()], run))
    }

    /// Returns the slots of all jobs that are later than `now`, or than what is decided of their job, and have begun: each
    /// with its job.
    pub fn slots_begun(&self, now: Timestamp) -> Result<Vec<(String, String)>> {
        // One look by time for each job; the index on revisions would lead to every run.
        let query = "SELECT runs.job, runs.slot FROM job_states CROSS JOIN runs
            WHERE runs.job = job_states.job
                AND runs.scheduled_for > CASE WHEN job_states.watermark < $1 THEN job_states.watermark ELSE $1 END
                AND runs.revision || '' = job_states.revision
                AND runs.slot IS NOT NULL AND runs.outcome NOT IN ($2, $3)";
        let [waiting, skipped] = [RunState::Waiting, RunState::Skipped].map(RunState::as_str);
        let values = values![now.as_millisecond(), waiting, skipped];
        let pair = |row: &SqlRow| Ok((row.at(0)?, row.at(1)?));
        self.query(|sql| sql.all(query, &values, pair))
    }

    /// Returns true if a run of a job with a higher number has ended by itself.
    pub fn has_later_result(&self, job: &str, id: i64) -> Result<bool> {
        let query = "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE job = $1 AND id > $2
            AND outcome IN ($3, $4, $5) LIMIT 1) AS later";
        let [done, partial, failed] =
            [RunState::Done, RunState::Partial, RunState::Failed].map(RunState::as_str);
        let values = values![job, id, done, partial, failed];
        Ok(self.query(|sql| sql.value(query, &values))?.unwrap_or(false))
    }

    /// Returns the run of a job's slot.
    pub fn run_of_slot(&self, job: &str, revision: &str, slot: &str) -> Result<Option<HistoryRun>> {
        let query =
            format!("SELECT {COLUMNS} FROM runs WHERE job = $1 AND revision = $2 AND slot = $3");
        let values = values![job, revision, slot];
        self.query(|sql| sql.first(&query, &values, run))
    }

    /// Returns the run of a slot that is the same under any schedule, such as that of a request.
    pub fn run_of_request(&self, job: &str, slot: &str) -> Result<Option<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND slot = $2 ORDER BY id DESC LIMIT 1"
        );
        self.query(|sql| sql.first(&query, &values![job, slot], run))
    }

    /// Returns the decisions on a job's slots at `at`, under any schedule, the newest first; a row that covers many
    /// slots counts for each of them.
    pub fn runs_for(&self, job: &str, at: Timestamp) -> Result<Vec<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND scheduled_for <= $2 AND COALESCE(up_to, scheduled_for) >= $2
            ORDER BY id DESC"
        );
        self.find(&query, &values![job, at.as_millisecond()])
    }

    /// Returns the runs of a job that were in progress at `at`, the newest first.
    pub fn runs_during(&self, job: &str, at: Timestamp) -> Result<Vec<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND attempts > 0 AND started_at <= $2
                AND (ended_at IS NULL OR ended_at > $2) ORDER BY id DESC"
        );
        self.find(&query, &values![job, at.as_millisecond()])
    }

    /// Returns the oldest slot of a job in history.
    pub fn first_slot(&self, job: &str) -> Result<Option<Timestamp>> {
        let query = "SELECT MIN(scheduled_for) FROM runs WHERE job = $1";
        let first = self.query(|sql| sql.value(query, &values![job]))?;
        Ok(first.map(instant))
    }

    fn find(&self, query: &str, values: &[SqlValue]) -> Result<Vec<HistoryRun>> {
        self.query(|sql| sql.all(query, values, run))
    }

    /// Returns the newest successful run of a job.
    pub fn last_success(&self, job: &str) -> Result<Option<HistoryRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND outcome = $2 ORDER BY ended_at DESC, id DESC LIMIT 1"
        );
        let values = values![job, RunState::Done.as_str()];
        self.query(|sql| sql.first(&query, &values, run))
    }

    /// Returns the names of all jobs that have a row.
    pub fn jobs_with_history(&self) -> Result<Vec<String>> {
        let query = "SELECT DISTINCT job FROM runs ORDER BY job";
        self.query(|sql| sql.all(query, &[], |row| row.at(0)))
    }
}

pub(super) fn run_in(sql: &dyn Sql, id: i64) -> SqlResult<Option<HistoryRun>> {
    let query = format!("SELECT {COLUMNS} FROM runs WHERE id = $1");
    sql.first(&query, &values![id], run)
}

/// Returns the time that is `ms` milliseconds after 1970, or the last or first that there is: the milliseconds of
/// [`Timestamp::MAX`] are out of range.
pub(super) fn instant(ms: i64) -> Timestamp {
    let limit = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(limit)
}

pub(super) fn sum(row: &SqlRow) -> SqlResult<Sum> {
    Ok(Sum {
        files: row.get("files")?,
        bytes: row.get("bytes")?,
        route: row.get("route")?,
        exit_code: row.get("exit_code")?,
        error_kind: row.get("error_kind")?,
        error: row.get("error")?,
    })
}

pub(super) fn state(row: &SqlRow) -> SqlResult<RunState> {
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

pub(crate) fn run(row: &SqlRow) -> SqlResult<HistoryRun> {
    let time = |name: &str| row.get::<Option<i64>>(name).map(|ms| ms.map(instant));
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
        machine: row.get("machine")?,
    })
}
