//! What is known of a job as a whole: how far its slots are decided, whether it is paused, how it fares.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::look::instant;
use crate::{fault::Outcome, store::Store};

/// How a job fares: what its last run that came to an end came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It has not run to an end yet.
    #[default]
    Unknown,
    /// It succeeded.
    Good,
    /// It failed, in whole or in part.
    Bad,
}

impl Health {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }

    fn named(word: &str) -> Self {
        match word {
            "good" => Self::Good,
            "bad" => Self::Bad,
            _ => Self::Unknown,
        }
    }
}

/// The state of one job. It is kept apart from history, so that what is pruned is never run again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobState {
    /// The job.
    pub job: String,
    /// The revision of its schedule that the watermark is of.
    pub revision: String,
    /// Since when it has that schedule: slots before are nobody's. The store keeps it by itself; unknown for jobs that
    /// are older than this column.
    pub since: Option<Timestamp>,
    /// Every slot up to here is decided.
    pub watermark: Option<Timestamp>,
    /// The last time on the wall that was decided, for schedules of fixed times.
    pub label: Option<String>,
    /// When a run last succeeded.
    pub last_success: Option<Timestamp>,
    /// Since when it is paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// Why.
    pub pause_reason: Option<String>,
    /// How it fares.
    pub health: Health,
}

/// Notes how far the slots of a job are decided. Pause and health are not the planner's to say.
pub(super) fn mark(transaction: &Transaction<'_>, state: &JobState) -> rusqlite::Result<()> {
    // A schedule that is new begins at the first watermark.
    let put = "INSERT INTO job_states (job, revision, watermark, label, last_success, health, since)
        VALUES ($1, $2, $3, $4, $5, $6, $3)
        ON CONFLICT (job) DO UPDATE SET
            since = CASE WHEN job_states.revision = excluded.revision THEN job_states.since ELSE excluded.since END,
            revision = excluded.revision, watermark = excluded.watermark, label = excluded.label,
            last_success = excluded.last_success";
    let JobState { job, revision, watermark, label, last_success, .. } = state;
    let [watermark, last_success] =
        [watermark, last_success].map(|time| time.map(Timestamp::as_millisecond));
    let unknown = Health::Unknown.word();
    let values = params![job, revision, watermark, label, last_success, unknown];
    transaction.execute(put, values).map(drop)
}

/// Notes how a job fares, and gives how it fared before.
pub(super) fn fares_in(
    transaction: &Transaction<'_>,
    job: &str,
    health: Health,
) -> rusqlite::Result<Health> {
    let find = "SELECT health FROM job_states WHERE job = $1";
    let put = "INSERT INTO job_states (job, revision, health) VALUES ($1, '', $2)
        ON CONFLICT (job) DO UPDATE SET health = excluded.health";
    let before: Option<String> = transaction.query_row(find, [job], |row| row.get(0)).optional()?;
    transaction.execute(put, params![job, health.word()])?;
    Ok(before.map_or(Health::Unknown, |word| Health::named(&word)))
}

/// A request is heard: it has its row in history now.
pub(super) fn hear(
    transaction: &Transaction<'_>,
    job: &str,
    asked_at: Timestamp,
) -> rusqlite::Result<()> {
    let delete = "DELETE FROM requests WHERE job = $1 AND asked_at = $2";
    transaction.execute(delete, params![job, asked_at.as_millisecond()]).map(drop)
}

impl Store {
    /// The state of every job that has one.
    pub fn job_states(&self) -> Outcome<Vec<JobState>> {
        let query = "SELECT job, revision, since, watermark, label, last_success, paused_at, pause_reason, health FROM job_states ORDER BY job";
        self.read(|connection| connection.prepare(query)?.query_map([], job_state)?.collect())
    }

    /// Asks for a run of a job. Gives the time of the request, by which it is known: of two at one time, the second is a
    /// little later.
    pub fn ask(&mut self, job: &str, now: Timestamp) -> Outcome<Timestamp> {
        let last = "SELECT COALESCE(MAX(asked_at), 0) FROM requests WHERE job = $1";
        let put = "INSERT INTO requests (job, asked_at) VALUES ($1, $2)";
        self.write(|transaction| {
            let last: i64 = transaction.query_row(last, [job], |row| row.get(0))?;
            let at = now.as_millisecond().max(last + 1);
            transaction.execute(put, params![job, at])?;
            Ok(instant(at))
        })
    }

    /// The requests that nobody has heard, the oldest first.
    pub fn requests(&self) -> Outcome<Vec<(String, Timestamp)>> {
        let query = "SELECT job, asked_at FROM requests ORDER BY asked_at, job";
        let request =
            |row: &Row<'_>| Ok((row.get("job")?, instant(row.get::<_, i64>("asked_at")?)));
        self.read(|connection| connection.prepare(query)?.query_map([], request)?.collect())
    }

    /// Pauses a job; one that is paused gets the new reason.
    pub fn pause(&mut self, job: &str, reason: Option<&str>, now: Timestamp) -> Outcome<()> {
        let put = "INSERT INTO job_states (job, revision, paused_at, pause_reason, health) VALUES ($1, '', $2, $3, $4)
            ON CONFLICT (job) DO UPDATE SET paused_at = COALESCE(job_states.paused_at, excluded.paused_at),
                pause_reason = excluded.pause_reason";
        let values = params![job, now.as_millisecond(), reason, Health::Unknown.word()];
        self.write(|transaction| transaction.execute(put, values).map(drop))
    }

    /// Lets a job go on; whether it was paused.
    pub fn resume(&mut self, job: &str) -> Outcome<bool> {
        let put = "UPDATE job_states SET paused_at = NULL, pause_reason = NULL
            WHERE job = $1 AND paused_at IS NOT NULL";
        self.write(|transaction| transaction.execute(put, [job]).map(|rows| rows > 0))
    }
}

fn job_state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let time = |name: &str| row.get::<_, Option<i64>>(name).map(|ms| ms.map(instant));
    let health: String = row.get("health")?;
    Ok(JobState {
        job: row.get("job")?,
        revision: row.get("revision")?,
        since: time("since")?,
        watermark: time("watermark")?,
        label: row.get("label")?,
        last_success: time("last_success")?,
        paused_at: time("paused_at")?,
        pause_reason: row.get("pause_reason")?,
        health: Health::named(&health),
    })
}
