//! The persistent state, in one file of the state directory that several processes may use at once.
//!
//! The only module that names the SQL library. The statements are those that PostgreSQL would accept as well:
//! numbered parameters in the order of their use, `TEXT`, `BIGINT` and `BOOLEAN`, `ON CONFLICT … DO UPDATE`.

pub mod backup;
pub mod bases;
pub mod history;
pub mod nat;
pub mod routes;
mod schema;
pub mod tokens;
mod values;

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use rustix::fs::{Access, access};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{STORE_BUSY_TIMEOUT, STORE_ROOM_MIN},
};
use portolan_fs as files;
use portolan_fs::owned::{self, Exposed};

/// The database file in the state directory. SQLite puts others beside it while it is in use.
const FILE: &str = "portolan.db";
/// The suffixes of SQLite's other files.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The store of everything that outlives a run.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    file: PathBuf,
}

/// Creates the state directory, accessible to its owner only, if it does not exist. Fails if it is not writable, or
/// if all users may write into it.
pub fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?))
        .and_then(|()| owned::exposed(folder))
        .map_err(|error| Error::local("use the state folder", folder, error))
        .and_then(|exposed| match exposed.filter(Exposed::is_open) {
            // Any user could plant a link there, or a forged store.
            Some(exposed) => Err(exposed.fault()),
            None => Ok(()),
        })
}

impl Store {
    /// Opens the store in `folder`, and creates both if they do not exist. Fails with `local` if the file is damaged
    /// or was written by a newer portolan.
    pub fn open(folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let file = folder.join(FILE);
        // Created here, so that only the owner has access; SQLite gives its other files the same permissions.
        let made = owned::open(&file, OpenOptions::new().append(true).create(true));
        let beside = BESIDE.map(|end| folder.join(format!("{FILE}{end}")));
        made.and_then(|_| beside.iter().try_for_each(|path| owned::plain(path)))
            .map_err(|error| Error::local("open the store", &file, error))?;
        let prepared = Connection::open(&file).and_then(|connection| {
            connection.busy_timeout(STORE_BUSY_TIMEOUT)?;
            write_ahead(&connection)?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            // A confined run may write no temporary files of the database.
            connection.pragma_update(None, "temp_store", "memory")?;
            Ok(connection)
        });
        let connection = prepared.map_err(|error| fault("open the store", &file, error))?;
        let mut store = Self { connection, file };
        if schema::migrate(&mut store)?
            && let Some(last) = backup::last_logged_run(folder)
        {
            store.reserve_runs(last)?;
        }
        Ok(store)
    }

    /// Runs the query `look`.
    fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        look(&self.connection).map_err(|error| fault("read the store", &self.file, error))
    }

    /// Runs `work` while no other process and no other connection can write, as another program that holds the
    /// database does; for tests.
    #[doc(hidden)]
    pub fn held(&mut self, work: impl FnOnce()) -> Result<()> {
        self.write(|_| {
            work();
            Ok(())
        })
    }

    /// Runs `work` in a transaction: all of its changes are written, or none. The write lock is taken at the
    /// beginning: a transaction that reads first and writes later fails if another process has written in between.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let written = transaction.and_then(|transaction| {
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        written.map_err(|error| fault("write the store", &self.file, error))
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
fn fault(doing: &str, file: &Path, error: rusqlite::Error) -> Error {
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

#[cfg(test)]
mod tests;
