//! SQLite as a database of the statements: one file that several processes may use at once.

use std::{path::Path, sync::Arc};

use rusqlite::{
    Connection, ErrorCode, Statement, ToSql, TransactionBehavior, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    backup,
    sql::{Numbered, Sql, SqlError, SqlResult, SqlRow, SqlValue},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin},
    limits::{STORE_BUSY_TIMEOUT, STORE_ROOM_MIN},
};
use portolan_fs as files;

/// The number of statements that are kept as SQLite has compiled them: more than the program has, since a turn of the
/// scheduler uses the same dozen each time.
const STATEMENTS_KEPT: usize = 256;

/// Opens the file, which exists.
pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(STORE_BUSY_TIMEOUT)?;
    write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A confined run may write no temporary files of the database.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// Runs `work` in a transaction. The write lock is taken at the beginning, as by `Store::write`.
pub(super) fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&dyn Sql) -> SqlResult<T>,
) -> SqlResult<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&*transaction)?;
    transaction.commit()?;
    Ok(result)
}

impl Sql for Connection {
    fn execute(&self, statement: &str, values: &[SqlValue]) -> SqlResult<u64> {
        Ok(self.prepare_cached(statement)?.execute(params_from_iter(values))? as u64)
    }

    fn query(&self, query: &str, values: &[SqlValue]) -> SqlResult<Vec<SqlRow>> {
        rows(&mut *self.prepare_cached(query)?, values, usize::MAX)
    }

    fn execute_each(&self, statement: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<u64>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = self.prepare_cached(statement)?;
        let changed =
            |values: &Vec<SqlValue>| Ok(statement.execute(params_from_iter(values))? as u64);
        rows.iter().map(changed).collect()
    }

    fn query_each(&self, query: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<Option<SqlRow>>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = self.prepare_cached(query)?;
        rows.iter().map(|values| Ok(self::rows(&mut query, values, 1)?.pop())).collect()
    }

    fn batch(&self, statements: &str) -> SqlResult<()> {
        Ok(self.execute_batch(statements)?)
    }

    fn migrate(&self, statements: &str) -> SqlResult<()> {
        self.batch(statements)
    }

    fn new_numbers(&self, table: Numbered, count: usize) -> SqlResult<Vec<i64>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        // The write lock is held already, so no other process takes the numbers.
        let last = match table {
            Numbered::Runs => {
                "SELECT MAX(id) FROM
                (SELECT MAX(id) AS id FROM runs UNION ALL SELECT MAX(up_to) FROM lost_runs) AS taken"
            }
            Numbered::Notices => "SELECT MAX(id) FROM notices",
        };
        let last: i64 = (self as &dyn Sql).value(last, &[])?.unwrap_or(0);
        Ok((last + 1..).take(count).collect())
    }

    fn notify(&self, _channel: &str) -> SqlResult<()> {
        Ok(())
    }

    fn lock(&self, _name: &str) -> SqlResult<()> {
        Ok(())
    }
}

fn rows(statement: &mut Statement<'_>, values: &[SqlValue], most: usize) -> SqlResult<Vec<SqlRow>> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let (columns, count) = (Arc::from(names), statement.column_count());
    let mut found = statement.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    while rows.len() < most
        && let Some(row) = found.next()?
    {
        let values = (0..count).map(|index| value(row.get_ref(index)?));
        rows.push(SqlRow::new(Arc::clone(&columns), values.collect::<SqlResult<_>>()?));
    }
    Ok(rows)
}

fn value(found: ValueRef<'_>) -> SqlResult<SqlValue> {
    match found {
        ValueRef::Null => Ok(SqlValue::Null),
        ValueRef::Integer(number) => Ok(SqlValue::Int(number)),
        ValueRef::Text(text) => Ok(SqlValue::Text(String::from_utf8_lossy(text).into_owned())),
        // No statement of this program writes one.
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(SqlError::Row("a value is neither a number nor a text".into()))
        }
    }
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bool(is) => ValueRef::Integer((*is).into()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// Enables write-ahead logging, so that readers are not blocked while another process writes. A file system without
/// support for it (some network ones) is accepted as it is.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES_MAX: u32 = 10;
    for _ in 1..TRIES_MAX {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())) {
            // If several processes find a new file, only one may change the mode, and SQLite does not let the others
            // wait for that; a transaction does wait.
            Err(error) if is_busy(&error) => connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?,
            other => return other,
        }
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Converts an error of the SQL library into one that the user understands.
pub(super) fn fault(doing: &str, file: &Path, error: rusqlite::Error) -> Error {
    let seconds = STORE_BUSY_TIMEOUT.as_secs();
    let (kind, why) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            let copy = file.parent().is_some_and(|folder| backup::made_at(folder).is_some());
            let remedy = if copy {
                format!("put its copy `{}` in its place, or move it away", backup::BACKUP)
            } else {
                "move it away".into()
            };
            (
                ErrorKind::Local,
                format!("it is damaged; {remedy}, and the next run begins a new one"),
            )
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Local, format!("another process has held it for more than {seconds} s"))
        }
        // The file shared by SQLite's processes cannot grow: SQLite reports that as a disk error.
        Some(ErrorCode::SystemIoFailure)
            if files::free_bytes(file).is_ok_and(|free| free < STORE_ROOM_MIN) =>
        {
            (ErrorKind::Full, "the disk is full".into())
        }
        Some(ErrorCode::DiskFull) => (ErrorKind::Full, "the disk is full".into()),
        Some(ErrorCode::ReadOnly) => (ErrorKind::Local, "it is read-only".into()),
        _ => (ErrorKind::Local, error.to_string()),
    };
    Error::new(kind, Origin::Here, format!("cannot {doing}: {why}"))
        .at(file.to_string_lossy())
        .with_source(error)
}
