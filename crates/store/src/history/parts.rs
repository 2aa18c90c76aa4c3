//! The details of a run: its attempts, the files that it moved, and its fallbacks.

use jiff::Timestamp;

use super::{RunState, Sum, look};
use crate::{
    Store,
    fleet::{RunClaim, is_ours},
    sql::{Sql, SqlResult, SqlRow, values},
};
use portolan_core::{error::Result, limits::RUN_FILES_KEPT_MAX};

/// One attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The number of the attempt, from 1.
    pub number: i64,
    /// The start of the attempt.
    pub started_at: Timestamp,
    /// The end of the attempt.
    pub ended_at: Option<Timestamp>,
    /// The final state of the attempt.
    pub state: RunState,
    /// The totals of the attempt.
    pub sum: Sum,
}

/// A file that a run moved, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMoved {
    /// The number of the attempt.
    pub attempt: i64,
    /// The operation: `upload`, `download`, `delete`.
    pub verb: String,
    /// The remote path.
    pub path: String,
    /// The number of bytes moved.
    pub bytes: i64,
    /// True if size or hash were checked and matched.
    pub verified: bool,
    /// The reason why it failed, if it did.
    pub error: Option<String>,
}

/// A fallback to another data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallBack {
    /// The number of the attempt.
    pub attempt: i64,
    /// The host name of the server.
    pub host: String,
    /// The mode that failed.
    pub from: String,
    /// The mode that carried the data.
    pub to: String,
    /// The reason for the fallback.
    pub reason: String,
}

/// The bytes that an attempt had moved at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressPoint {
    /// The number of the attempt.
    pub attempt: i64,
    /// The milliseconds since the attempt began.
    pub elapsed_ms: i64,
    /// The number of bytes so far.
    pub bytes: i64,
}

impl Store {
    /// Records the end and the results of an attempt. Returns false, and records nothing, if the run has another fencing
    /// token or has ended.
    pub fn end_attempt(
        &mut self,
        claim: RunClaim,
        attempt: &AttemptRecord,
        files: &[FileMoved],
        fallbacks: &[FallBack],
    ) -> Result<bool> {
        self.transact(|sql| {
            let is_ours = is_ours(sql, claim, true)?;
            if is_ours {
                end_in(sql, claim.run, attempt, files, fallbacks)?;
            }
            Ok(is_ours)
        })
    }

    /// Records the progress of an attempt, in place of any that was recorded before.
    pub fn put_progress(&mut self, run: i64, points: &[ProgressPoint]) -> Result<()> {
        let put =
            "INSERT INTO run_progress (run, attempt, elapsed_ms, bytes) VALUES ($1, $2, $3, $4)
            ON CONFLICT (run, attempt, elapsed_ms) DO UPDATE SET bytes = excluded.bytes";
        let row = |point: &ProgressPoint| {
            values![run, point.attempt, point.elapsed_ms, point.bytes].into()
        };
        let rows: Vec<_> = points.iter().map(row).collect();
        self.transact(|sql| sql.execute_each(put, &rows).map(drop))
    }

    /// Returns the progress of a run, in order.
    pub fn progress(&self, run: i64) -> Result<Vec<ProgressPoint>> {
        let query = "SELECT attempt, elapsed_ms, bytes FROM run_progress WHERE run = $1
            ORDER BY attempt, elapsed_ms";
        let point = |row: &SqlRow| {
            let (attempt, bytes) = (row.get("attempt")?, row.get("bytes")?);
            Ok(ProgressPoint { attempt, elapsed_ms: row.get("elapsed_ms")?, bytes })
        };
        self.query(|sql| sql.all(query, &values![run], point))
    }

    /// Returns the attempts of a run, in order.
    pub fn attempts(&self, run: i64) -> Result<Vec<AttemptRecord>> {
        let query = "SELECT number, started_at, ended_at, outcome, files, bytes, route, exit_code, error_kind, error
            FROM attempts WHERE run = $1 ORDER BY number";
        self.query(|sql| sql.all(query, &values![run], attempt))
    }

    /// Returns the files of a run, in order, as many as are kept.
    pub fn files(&self, run: i64) -> Result<Vec<FileMoved>> {
        let query = "SELECT attempt, verb, path, bytes, verified, error FROM run_files WHERE run = $1 ORDER BY number";
        self.query(|sql| sql.all(query, &values![run], file))
    }

    /// Returns the fallbacks of a run, in order.
    pub fn fallbacks(&self, run: i64) -> Result<Vec<FallBack>> {
        let query = "SELECT attempt, host, from_mode, to_mode, reason FROM fallbacks WHERE run = $1 ORDER BY number";
        self.query(|sql| sql.all(query, &values![run], fallback))
    }
}

/// Records the end of an attempt.
pub(super) fn end_in(
    sql: &dyn Sql,
    run: i64,
    attempt: &AttemptRecord,
    files: &[FileMoved],
    fallbacks: &[FallBack],
) -> SqlResult<()> {
    let end = "UPDATE attempts SET ended_at = $1, outcome = $2, files = $3, bytes = $4, route = $5, exit_code = $6,
            error_kind = $7, error = $8 WHERE run = $9 AND number = $10";
    let Sum { files: count, bytes, route, exit_code, error_kind, error } = &attempt.sum;
    let ended = attempt.ended_at.map(Timestamp::as_millisecond);
    let word = attempt.state.as_str();
    let values = values![
        ended,
        word,
        count,
        bytes,
        route,
        exit_code,
        error_kind,
        error,
        run,
        attempt.number
    ];
    sql.execute(end, &values)?;
    // The rows may be written a second time after a failure, and must not be duplicated.
    for table in ["run_files", "fallbacks"] {
        let delete = format!("DELETE FROM {table} WHERE run = $1 AND attempt = $2");
        sql.execute(&delete, &values![run, attempt.number])?;
    }
    put_files(sql, run, files)?;
    put_fallbacks(sql, run, fallbacks)
}

fn put_files(sql: &dyn Sql, run: i64, files: &[FileMoved]) -> SqlResult<()> {
    let last = last_number(sql, "run_files", run)?;
    let put = "INSERT INTO run_files (run, number, attempt, verb, path, bytes, verified, error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let row = |(number, file): (i64, &FileMoved)| {
        let FileMoved { attempt, verb, path, bytes, verified, error } = file;
        values![run, number, attempt, verb, path, bytes, verified, error].into()
    };
    let rows: Vec<_> = (last + 1..=RUN_FILES_KEPT_MAX).zip(files).map(row).collect();
    sql.execute_each(put, &rows).map(drop)
}

fn put_fallbacks(sql: &dyn Sql, run: i64, fallbacks: &[FallBack]) -> SqlResult<()> {
    let last = last_number(sql, "fallbacks", run)?;
    let put = "INSERT INTO fallbacks (run, number, attempt, host, from_mode, to_mode, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let row = |(number, one): (i64, &FallBack)| {
        let FallBack { attempt, host, from, to, reason } = one;
        values![run, number, attempt, host, from, to, reason].into()
    };
    let rows: Vec<_> = (last + 1..=RUN_FILES_KEPT_MAX).zip(fallbacks).map(row).collect();
    sql.execute_each(put, &rows).map(drop)
}

/// Returns the highest number of a run's rows in a table; 0 if there are none.
fn last_number(sql: &dyn Sql, table: &str, run: i64) -> SqlResult<i64> {
    let query = format!("SELECT MAX(number) FROM {table} WHERE run = $1");
    Ok(sql.value(&query, &values![run])?.unwrap_or(0))
}

fn attempt(row: &SqlRow) -> SqlResult<AttemptRecord> {
    let ended: Option<i64> = row.get("ended_at")?;
    Ok(AttemptRecord {
        number: row.get("number")?,
        started_at: look::instant(row.get("started_at")?),
        ended_at: ended.map(look::instant),
        state: look::state(row)?,
        sum: look::sum(row)?,
    })
}

fn file(row: &SqlRow) -> SqlResult<FileMoved> {
    Ok(FileMoved {
        attempt: row.get("attempt")?,
        verb: row.get("verb")?,
        path: row.get("path")?,
        bytes: row.get("bytes")?,
        verified: row.get("verified")?,
        error: row.get("error")?,
    })
}

fn fallback(row: &SqlRow) -> SqlResult<FallBack> {
    Ok(FallBack {
        attempt: row.get("attempt")?,
        host: row.get("host")?,
        from: row.get("from_mode")?,
        to: row.get("to_mode")?,
        reason: row.get("reason")?,
    })
}
