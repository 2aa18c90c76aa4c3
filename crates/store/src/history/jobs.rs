//! The state of a job as a whole: its watermark, whether it is paused, and its health.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use super::look::instant;
use crate::{
    Store,
    notify::{Addressee, wake_in},
    sql::{Sql, SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// The health of a job: the result of its last finished run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Health {
    /// No run has finished yet.
    #[default]
    Unknown,
    /// The last run succeeded.
    Good,
    /// The last run failed, in whole or in part.
    Bad,
}

impl Health {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of one job. It is kept apart from history, so that pruned slots are never run again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobStateRecord {
    /// The job.
    pub job: String,
    /// The revision of the schedule that the watermark belongs to.
    pub revision: String,
    /// The time since which the job has that schedule; earlier slots do not count. The store maintains it; `None` for
    /// jobs that are older than this column.
    pub since: Option<Timestamp>,
    /// The watermark: every slot up to it is decided.
    pub watermark: Option<Timestamp>,
    /// The last wall-clock time that was decided, for schedules of fixed times.
    pub label: Option<String>,
    /// The end of the last successful run.
    pub last_success: Option<Timestamp>,
    /// The time since which the job is paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// The time of the last [`Store::resume`], if there was one.
    pub resumed_at: Option<Timestamp>,
    /// The reason for the pause.
    pub pause_reason: Option<String>,
    /// The health of the job.
    pub health: Health,
}

/// Records the watermark of each job. Pause, health and the last success are not changed: the planner does not own them.
pub(super) fn mark(sql: &dyn Sql, states: &[JobStateRecord]) -> SqlResult<()> {
    // A new schedule begins at its first watermark.
    let put = "INSERT INTO job_states (job, revision, watermark, label, last_success, health, since)
        VALUES ($1, $2, $3, $4, $5, $6, $3)
        ON CONFLICT (job) DO UPDATE SET
            since = CASE WHEN job_states.revision = excluded.revision THEN job_states.since ELSE excluded.since END,
            revision = excluded.revision, watermark = excluded.watermark, label = excluded.label";
    let row = |state: &JobStateRecord| {
        let JobStateRecord { job, revision, label, .. } = state;
        let [watermark, last_success] =
            [state.watermark, state.last_success].map(|time| time.map(Timestamp::as_millisecond));
        values![job, revision, watermark, label, last_success, Health::Unknown.as_str()].into()
    };
    sql.execute_each(put, &states.iter().map(row).collect::<Vec<_>>()).map(drop)
}

/// Records the health of a job, and the time of its last success if there is a new one. Returns its previous health.
pub(super) fn fares_in(
    sql: &dyn Sql,
    job: &str,
    health: Health,
    success: Option<Timestamp>,
) -> SqlResult<Health> {
    let find = "SELECT health FROM job_states WHERE job = $1";
    let put = "INSERT INTO job_states (job, revision, health, last_success) VALUES ($1, '', $2, $3)
        ON CONFLICT (job) DO UPDATE SET health = excluded.health,
            last_success = COALESCE(excluded.last_success, job_states.last_success)";
    // Two runs of the job may end at once.
    sql.lock(job)?;
    let before: Option<String> = sql.value(find, &values![job])?;
    let success = success.map(Timestamp::as_millisecond);
    sql.execute(put, &values![job, health.as_str(), success])?;
    Ok(before.and_then(|word| word.parse().ok()).unwrap_or_default())
}

/// A request for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// The job.
    pub job: String,
    /// The time of the request, which identifies it.
    pub asked_at: Timestamp,
    /// The past slot that it is for, if it is for one.
    pub slot_at: Option<Timestamp>,
}

/// Removes a request that has been taken up: it has its row in history now, which gets its arguments.
pub(super) fn hear(sql: &dyn Sql, job: &str, asked_at: Timestamp) -> SqlResult<()> {
    let keep = "UPDATE runs SET args = (SELECT args FROM requests WHERE job = $1 AND asked_at = $2)
        WHERE job = $1 AND slot = $3 AND args IS NULL";
    let at = asked_at.as_millisecond();
    sql.execute(keep, &values![job, at, format!("M{asked_at}")])?;
    let delete = "DELETE FROM requests WHERE job = $1 AND asked_at = $2";
    sql.execute(delete, &values![job, asked_at.as_millisecond()]).map(drop)
}

impl Store {
    /// Returns the state of every job that has one.
    pub fn job_states(&self) -> Result<Vec<JobStateRecord>> {
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, resumed_at, pause_reason, health FROM job_states ORDER BY job";
        self.query(|sql| sql.all(query, &[], job_state))
    }

    /// Returns the states of the jobs that are paused.
    pub fn paused_jobs(&self) -> Result<Vec<JobStateRecord>> {
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, resumed_at, pause_reason, health FROM job_states
            WHERE paused_at IS NOT NULL ORDER BY job";
        self.query(|sql| sql.all(query, &[], job_state))
    }

    /// Returns the states of the jobs whose last run failed.
    pub fn failing_jobs(&self) -> Result<Vec<JobStateRecord>> {
        // A literal, not a parameter: SQLite uses a partial index only if the query implies its condition.
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, resumed_at, pause_reason, health FROM job_states
            WHERE health = 'bad' ORDER BY job";
        self.query(|sql| sql.all(query, &[], job_state))
    }

    /// Returns the state of a job, if it has one.
    pub fn job_state(&self, job: &str) -> Result<Option<JobStateRecord>> {
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, resumed_at, pause_reason, health FROM job_states WHERE job = $1";
        self.query(|sql| sql.first(query, &values![job], job_state))
    }

    /// Returns the states of several jobs, as far as they have one.
    pub fn job_states_of(&self, jobs: &[&str]) -> Result<Vec<JobStateRecord>> {
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, resumed_at, pause_reason, health FROM job_states WHERE job = $1";
        let rows: Vec<_> = jobs.iter().map(|job| values![job].to_vec()).collect();
        self.query(|sql| sql.query_each(query, &rows)?.iter().flatten().map(job_state).collect())
    }

    /// Requests a run of a job. Returns the time of the request, which identifies it: of two at the same time, the
    /// second is moved a little later.
    pub fn ask(&mut self, job: &str, now: Timestamp) -> Result<Timestamp> {
        let asked = self.ask_for(job, None, &[None], now)?;
        Ok(asked.first().copied().unwrap_or(now))
    }

    /// Requests a run of a job for each of `slots`, which are past slots or `None`, with arguments as JSON: all of them
    /// or none. Returns the time of each request.
    pub fn ask_for(
        &mut self,
        job: &str,
        args: Option<&str>,
        slots: &[Option<Timestamp>],
        now: Timestamp,
    ) -> Result<Vec<Timestamp>> {
        let last = "SELECT COALESCE(MAX(asked_at), 0) FROM requests WHERE job = $1";
        let put = "INSERT INTO requests (job, asked_at, args, slot_at) VALUES ($1, $2, $3, $4)";
        self.transact(|sql| {
            sql.lock(job)?;
            let mut last: i64 = sql.value(last, &values![job])?.unwrap_or(0);
            let mut asked = Vec::new();
            for slot in slots {
                last = now.as_millisecond().max(last + 1);
                let slot = slot.map(Timestamp::as_millisecond);
                sql.execute(put, &values![job, last, args, slot])?;
                asked.push(instant(last));
            }
            wake_in(sql, Addressee::Leader)?;
            Ok(asked)
        })
    }

    /// Returns the arguments with which a run was requested, as JSON.
    pub fn args_of(&self, run: i64) -> Result<Option<String>> {
        let query = "SELECT args FROM runs WHERE id = $1";
        self.query(|sql| sql.value(query, &values![run]))
    }

    /// Returns the pending requests, the oldest first.
    pub fn requests(&self) -> Result<Vec<RunRequest>> {
        let query = "SELECT job, asked_at, slot_at FROM requests ORDER BY asked_at, job";
        let request = |row: &SqlRow| {
            Ok(RunRequest {
                job: row.get("job")?,
                asked_at: instant(row.get("asked_at")?),
                slot_at: row.get::<Option<i64>>("slot_at")?.map(instant),
            })
        };
        self.query(|sql| sql.all(query, &[], request))
    }

    /// Pauses a job; a paused job gets the new reason.
    pub fn pause(&mut self, job: &str, reason: Option<&str>, now: Timestamp) -> Result<()> {
        let put = "INSERT INTO job_states (job, revision, paused_at, pause_reason, health) VALUES ($1, '', $2, $3, $4)
            ON CONFLICT (job) DO UPDATE SET paused_at = COALESCE(job_states.paused_at, excluded.paused_at),
                pause_reason = excluded.pause_reason";
        let values = values![job, now.as_millisecond(), reason, Health::Unknown.as_str()];
        self.transact(|sql| {
            sql.execute(put, &values)?;
            wake_in(sql, Addressee::Leader)
        })
    }

    /// Resumes a job. Returns true if it was paused.
    pub fn resume(&mut self, job: &str, now: Timestamp) -> Result<bool> {
        // SQLite numbers parameters in the order in which they occur.
        let put = "UPDATE job_states SET paused_at = NULL, pause_reason = NULL, resumed_at = $1
            WHERE job = $2 AND paused_at IS NOT NULL";
        let values = values![now.as_millisecond(), job];
        self.transact(|sql| {
            let is_resumed = sql.execute(put, &values)? > 0;
            wake_in(sql, Addressee::Leader)?;
            Ok(is_resumed)
        })
    }
}

fn job_state(row: &SqlRow) -> SqlResult<JobStateRecord> {
    let time = |name: &str| row.get::<Option<i64>>(name).map(|ms| ms.map(instant));
    let health: String = row.get("health")?;
    Ok(JobStateRecord {
        job: row.get("job")?,
        revision: row.get("revision")?,
        since: time("since")?,
        watermark: time("watermark")?,
        label: row.get("label")?,
        last_success: time("last_success")?,
        paused_at: time("paused_at")?,
        resumed_at: time("resumed_at")?,
        pause_reason: row.get("pause_reason")?,
        health: health.parse().unwrap_or_default(),
    })
}
