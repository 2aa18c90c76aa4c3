//! Notifications: kept until they are delivered, or given up.

use jiff::Timestamp;

use super::look::instant;
use crate::{
    Store,
    sql::{Numbered, Sql, SqlResult, SqlRow, values},
};
use portolan_core::error::Result;

/// A notification to send. Its destination is not stored: such addresses are secrets and belong in the jobs file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// The run that it is about; 0 if it is about none.
    pub run: i64,
    /// The job of the run; empty for a digest.
    pub job: String,
    /// The event: `success`, `failure`, `change`, `missed`, `late`, `slow`, `empty`, `remind`, `digest`, `start`.
    pub event: String,
    /// The channel: `webhook`, `ping`, `command`, `mail`, or a service such as `slack`.
    pub channel: String,
    /// The text to send.
    pub body: String,
}

/// A notification with its delivery status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The number of the notification.
    pub id: i64,
    /// The notification itself.
    pub what: NewNotice,
    /// The time of the next attempt.
    pub due_at: Timestamp,
    /// The number of attempts so far.
    pub tries: i64,
    /// The delivery status: `due`, `told`, `given_up`.
    pub outcome: String,
    /// The error of the last attempt.
    pub error: Option<String>,
}

const COLUMNS: &str = "id, run, job, event, channel, body, due_at, tries, outcome, error";

pub(super) fn add_in(sql: &dyn Sql, notices: &[NewNotice], now: Timestamp) -> SqlResult<()> {
    let put = "INSERT INTO notices (id, run, job, event, channel, body, due_at, tries, outcome)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 'due')";
    let row = |(id, notice): (i64, &NewNotice)| {
        let NewNotice { run, job, event, channel, body } = notice;
        values![id, run, job, event, channel, body, now.as_millisecond()].into()
    };
    let ids = sql.new_numbers(Numbered::Notices, notices.len())?;
    let rows: Vec<_> = ids.into_iter().zip(notices).map(row).collect();
    sql.execute_each(put, &rows).map(drop)
}

impl Store {
    /// Stores notifications that are due at once.
    pub fn add_notices(&mut self, notices: &[NewNotice], now: Timestamp) -> Result<()> {
        self.transact(|sql| add_in(sql, notices, now))
    }

    /// Returns the notifications due at `now`, the oldest first, without their texts.
    pub fn due_notices(&self, now: Timestamp, most: u32) -> Result<Vec<Notice>> {
        let columns = COLUMNS.replace("body", "'' AS body");
        let query = format!(
            "SELECT {columns} FROM notices WHERE outcome = 'due' AND due_at <= $1 ORDER BY due_at, id LIMIT $2"
        );
        let values = values![now.as_millisecond(), most];
        self.query(|sql| sql.all(&query, &values, notice))
    }

    /// Returns the text of a notification.
    pub fn notice_body(&self, id: i64) -> Result<String> {
        let query = "SELECT body FROM notices WHERE id = $1";
        Ok(self.query(|sql| sql.value(query, &values![id]))?.unwrap_or_default())
    }

    /// Returns the time that is noted for an alert of a job: that of what was last told.
    pub fn alert(&self, job: &str, kind: &str) -> Result<Option<Timestamp>> {
        let query = "SELECT at FROM alerts WHERE job = $1 AND kind = $2";
        let at = |row: &SqlRow| row.at::<i64>(0);
        let found = self.query(|sql| sql.first(query, &values![job, kind], at));
        Ok(found?.map(instant))
    }

    /// Notes the time of an alert of a job, `None` if it is over, together with the notifications of it.
    pub fn put_alert(
        &mut self,
        job: &str,
        kind: &str,
        at: Option<Timestamp>,
        notices: &[NewNotice],
        now: Timestamp,
    ) -> Result<()> {
        let put = "INSERT INTO alerts (job, kind, at) VALUES ($1, $2, $3)
            ON CONFLICT (job, kind) DO UPDATE SET at = excluded.at";
        let delete = "DELETE FROM alerts WHERE job = $1 AND kind = $2";
        self.transact(|sql| {
            match at {
                Some(at) => sql.execute(put, &values![job, kind, at.as_millisecond()])?,
                None => sql.execute(delete, &values![job, kind])?,
            };
            add_in(sql, notices, now)
        })
    }

    /// Removes notifications of no run that were due before `before` and are due no more.
    pub fn prune_notices(&mut self, before: Timestamp) -> Result<()> {
        let delete = "DELETE FROM notices WHERE run = 0 AND outcome <> 'due' AND due_at < $1";
        let before = before.as_millisecond();
        self.transact(|sql| sql.execute(delete, &values![before]).map(drop))
    }

    /// Returns the notifications of a run, delivered or not.
    pub fn notices_of(&self, run: i64) -> Result<Vec<Notice>> {
        let query = format!("SELECT {COLUMNS} FROM notices WHERE run = $1 ORDER BY id");
        self.query(|sql| sql.all(&query, &values![run], notice))
    }

    /// Records the result of an attempt: `due` again at `due_at`, `told`, or `given_up`. The text is dropped when it
    /// is not needed again.
    pub fn tried_notice(
        &mut self,
        id: i64,
        outcome: &str,
        due_at: Timestamp,
        error: Option<&str>,
    ) -> Result<()> {
        let put = "UPDATE notices SET tries = tries + 1, outcome = $1, due_at = $2, error = $3,
            body = CASE WHEN $1 = 'due' THEN body ELSE '' END WHERE id = $4";
        let values = values![outcome, due_at.as_millisecond(), error, id];
        self.transact(|sql| sql.execute(put, &values).map(drop))
    }
}

fn notice(row: &SqlRow) -> SqlResult<Notice> {
    Ok(Notice {
        id: row.get("id")?,
        what: NewNotice {
            run: row.get("run")?,
            job: row.get("job")?,
            event: row.get("event")?,
            channel: row.get("channel")?,
            body: row.get("body")?,
        },
        due_at: instant(row.get("due_at")?),
        tries: row.get("tries")?,
        outcome: row.get("outcome")?,
        error: row.get("error")?,
    })
}
