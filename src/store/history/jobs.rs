//! What is known of a job as a whole: how far its slots are decided, whether it is paused, how it fares.

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

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
    /// Every slot up to here is decided.
    pub watermark: Option<Timestamp>,
    /// Since when it is paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// Why.
    pub pause_reason: Option<String>,
    /// How it fares.
    pub health: Health,
}

/// Notes that every slot of a revision is decided up to `watermark`.
pub(super) fn mark(
    transaction: &Transaction<'_>,
    job: &str,
    revision: &str,
    watermark: Timestamp,
) -> rusqlite::Result<()> {
    let put = "INSERT INTO job_states (job, revision, watermark, health) VALUES ($1, $2, $3, $4)
        ON CONFLICT (job) DO UPDATE SET revision = excluded.revision, watermark = excluded.watermark";
    let at = watermark.as_millisecond();
    transaction.execute(put, params![job, revision, at, Health::Unknown.word()]).map(drop)
}

impl Store {
    /// The state of every job that has one.
    pub fn job_states(&self) -> Outcome<Vec<JobState>> {
        let query = "SELECT job, revision, watermark, paused_at, pause_reason, health FROM job_states ORDER BY job";
        self.read(|connection| connection.prepare(query)?.query_map([], job_state)?.collect())
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

    /// Notes how a job fares, and gives how it fared before.
    pub fn fares(&mut self, job: &str, health: Health) -> Outcome<Health> {
        let find = "SELECT health FROM job_states WHERE job = $1";
        let put = "INSERT INTO job_states (job, revision, health) VALUES ($1, '', $2)
            ON CONFLICT (job) DO UPDATE SET health = excluded.health";
        self.write(|transaction| {
            let mut found = transaction.prepare(find)?;
            let mut rows = found.query([job])?;
            let before = match rows.next()? {
                Some(row) => Health::named(&row.get::<_, String>(0)?),
                None => Health::Unknown,
            };
            transaction.execute(put, params![job, health.word()])?;
            Ok(before)
        })
    }
}

fn job_state(row: &Row<'_>) -> rusqlite::Result<JobState> {
    let time = |name: &str| row.get::<_, Option<i64>>(name).map(|ms| ms.map(instant));
    let health: String = row.get("health")?;
    Ok(JobState {
        job: row.get("job")?,
        revision: row.get("revision")?,
        watermark: time("watermark")?,
        paused_at: time("paused_at")?,
        pause_reason: row.get("pause_reason")?,
        health: Health::named(&health),
    })
}
