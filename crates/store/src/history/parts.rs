//! The details of a run: its attempts, the files that it moved, and its fallbacks.

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::{RunState, Sum, look};
use crate::Store;
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
    /// Records the end and the results of an attempt.
    pub fn end_attempt(
        &mut self,
        run: i64,
        attempt: &AttemptRecord,
        files: &[FileMoved],
        fallbacks: &[FallBack],
    ) -> Result<()> {
        self.write(|transaction| end_in(transaction, run, attempt, files, fallbacks))
    }

    /// Records the progress of an attempt, in place of any that was recorded before.
    pub fn put_progress(&mut self, run: i64, points: &[ProgressPoint]) -> Result<()> {
        let put =
            "INSERT INTO run_progress (run, attempt, elapsed_ms, bytes) VALUES ($1, $2, $3, $4)
            ON CONFLICT (run, attempt, elapsed_ms) DO UPDATE SET bytes = excluded.bytes";
        self.write(|transaction| {
            let mut put = transaction.prepare(put)?;
            for ProgressPoint { attempt, elapsed_ms, bytes } in points {
                put.execute(params![run, attempt, elapsed_ms, bytes])?;
            }
            Ok(())
        })
    }

    /// Returns the progress of a run, in order.
    pub fn progress(&self, run: i64) -> Result<Vec<ProgressPoint>> {
        let query = "SELECT attempt, elapsed_ms, bytes FROM run_progress WHERE run = $1
            ORDER BY attempt, elapsed_ms";
        let point = |row: &Row<'_>| {
            let (attempt, bytes) = (row.get("attempt")?, row.get("bytes")?);
            Ok(ProgressPoint { attempt, elapsed_ms: row.get("elapsed_ms")?, bytes })
        };
        self.read(|connection| connection.prepare(query)?.query_map([run], point)?.collect())
    }

    /// Returns the attempts of a run, in order.
    pub fn attempts(&self, run: i64) -> Result<Vec<AttemptRecord>> {
        let query = "SELECT number, started_at, ended_at, outcome, files, bytes, route, exit_code, error_kind, error
            FROM attempts WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], attempt)?.collect())
    }

    /// Returns the files of a run, in order, as many as are kept.
    pub fn files(&self, run: i64) -> Result<Vec<FileMoved>> {
        let query = "SELECT attempt, verb, path, bytes, verified, error FROM run_files WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], file)?.collect())
    }

    /// Returns the fallbacks of a run, in order.
    pub fn fallbacks(&self, run: i64) -> Result<Vec<FallBack>> {
        let query = "SELECT attempt, host, from_mode, to_mode, reason FROM fallbacks WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], fallback)?.collect())
    }
}

/// Records the end of an attempt.
pub(super) fn end_in(
    transaction: &Transaction<'_>,
    run: i64,
    attempt: &AttemptRecord,
    files: &[FileMoved],
    fallbacks: &[FallBack],
) -> rusqlite::Result<()> {
    let end = "UPDATE attempts SET ended_at = $1, outcome = $2, files = $3, bytes = $4, route = $5, exit_code = $6,
            error_kind = $7, error = $8 WHERE run = $9 AND number = $10";
    let Sum { files: count, bytes, route, exit_code, error_kind, error } = &attempt.sum;
    let ended = attempt.ended_at.map(Timestamp::as_millisecond);
    let word = attempt.state.as_str();
    let values = params![
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
    transaction.execute(end, values)?;
    // The rows may be written a second time after a failure, and must not be duplicated.
    for table in ["run_files", "fallbacks"] {
        let delete = format!("DELETE FROM {table} WHERE run = $1 AND attempt = $2");
        transaction.execute(&delete, params![run, attempt.number])?;
    }
    put_files(transaction, run, files)?;
    put_fallbacks(transaction, run, fallbacks)
}

fn put_files(transaction: &Transaction<'_>, run: i64, files: &[FileMoved]) -> rusqlite::Result<()> {
    let last: i64 = transaction.query_row(
        "SELECT COALESCE(MAX(number), 0) FROM run_files WHERE run = $1",
        [run],
        |row| row.get(0),
    )?;
    let put = "INSERT INTO run_files (run, number, attempt, verb, path, bytes, verified, error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let mut put = transaction.prepare(put)?;
    for (number, file) in (last + 1..=RUN_FILES_KEPT_MAX).zip(files) {
        let FileMoved { attempt, verb, path, bytes, verified, error } = file;
        put.execute(params![run, number, attempt, verb, path, bytes, verified, error])?;
    }
    Ok(())
}

fn put_fallbacks(
    transaction: &Transaction<'_>,
    run: i64,
    fallbacks: &[FallBack],
) -> rusqlite::Result<()> {
    let last: i64 = transaction.query_row(
        "SELECT COALESCE(MAX(number), 0) FROM fallbacks WHERE run = $1",
        [run],
        |row| row.get(0),
    )?;
    let put = "INSERT INTO fallbacks (run, number, attempt, host, from_mode, to_mode, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let mut put = transaction.prepare(put)?;
    for (number, one) in (last + 1..=RUN_FILES_KEPT_MAX).zip(fallbacks) {
        let FallBack { attempt, host, from, to, reason } = one;
        put.execute(params![run, number, attempt, host, from, to, reason])?;
    }
    Ok(())
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    let ended: Option<i64> = row.get("ended_at")?;
    Ok(AttemptRecord {
        number: row.get("number")?,
        started_at: look::instant(row.get("started_at")?),
        ended_at: ended.map(look::instant),
        state: look::state(row)?,
        sum: look::sum(row)?,
    })
}

fn file(row: &Row<'_>) -> rusqlite::Result<FileMoved> {
    Ok(FileMoved {
        attempt: row.get("attempt")?,
        verb: row.get("verb")?,
        path: row.get("path")?,
        bytes: row.get("bytes")?,
        verified: row.get("verified")?,
        error: row.get("error")?,
    })
}

fn fallback(row: &Row<'_>) -> rusqlite::Result<FallBack> {
    Ok(FallBack {
        attempt: row.get("attempt")?,
        host: row.get("host")?,
        from: row.get("from_mode")?,
        to: row.get("to_mode")?,
        reason: row.get("reason")?,
    })
}
