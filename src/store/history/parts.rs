//! What belongs to one run: its attempts, the files that it moved, and where the data went another way.

use jiff::Timestamp;
use rusqlite::{Row, Transaction, params};

use super::{State, Sum, look};
use crate::{fault::Outcome, limits::RUN_FILES_KEPT_MAX, store::Store};

/// One attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What became of it.
    pub state: State,
    /// What it did.
    pub sum: Sum,
}

/// One file that a run moved, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMoved {
    /// In which attempt.
    pub attempt: i64,
    /// `upload`, `download`, `delete`.
    pub verb: String,
    /// The remote path.
    pub path: String,
    /// How many bytes moved.
    pub bytes: i64,
    /// Whether size or hash were seen to agree.
    pub verified: bool,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// One time that the data went another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallBack {
    /// In which attempt.
    pub attempt: i64,
    /// The server.
    pub host: String,
    /// What failed.
    pub from: String,
    /// What carried the data.
    pub to: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Notes how an attempt ended and what it did.
    pub fn end_attempt(
        &mut self,
        run: i64,
        attempt: &Attempt,
        files: &[FileMoved],
        fallbacks: &[FallBack],
    ) -> Outcome<()> {
        self.write(|transaction| end_in(transaction, run, attempt, files, fallbacks))
    }

    /// The attempts of a run, in order.
    pub fn attempts(&self, run: i64) -> Outcome<Vec<Attempt>> {
        let query = "SELECT number, started_at, ended_at, outcome, files, bytes, route, exit_code, error_kind, error
            FROM attempts WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], attempt)?.collect())
    }

    /// The files of a run, in order, as many as are kept.
    pub fn files(&self, run: i64) -> Outcome<Vec<FileMoved>> {
        let query = "SELECT attempt, verb, path, bytes, verified, error FROM run_files WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], file)?.collect())
    }

    /// Where the data of a run went another way, in order.
    pub fn fallbacks(&self, run: i64) -> Outcome<Vec<FallBack>> {
        let query = "SELECT attempt, host, from_mode, to_mode, reason FROM fallbacks WHERE run = $1 ORDER BY number";
        self.read(|connection| connection.prepare(query)?.query_map([run], fallback)?.collect())
    }
}

/// Writes the end of an attempt.
pub(super) fn end_in(
    transaction: &Transaction<'_>,
    run: i64,
    attempt: &Attempt,
    files: &[FileMoved],
    fallbacks: &[FallBack],
) -> rusqlite::Result<()> {
    let end = "UPDATE attempts SET ended_at = $1, outcome = $2, files = $3, bytes = $4, route = $5, exit_code = $6,
            error_kind = $7, error = $8 WHERE run = $9 AND number = $10";
    let Sum { files: count, bytes, route, exit_code, error_kind, error } = &attempt.sum;
    let ended = attempt.ended_at.map(Timestamp::as_millisecond);
    let word = attempt.state.word();
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
    // Written once more after a failure, it must not stand there twice.
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

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let ended: Option<i64> = row.get("ended_at")?;
    Ok(Attempt {
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
