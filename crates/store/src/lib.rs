//! The persistent state, in one file of the state directory that several processes may use at once.
//!
//! The only crate that names the SQL library. What a schedule needs (`history`, `fleet`, `tokens`) is written once for every
//! database, by way of `sql`; what belongs to one host (`routes`, `bases`, `nat`, `values`) is in its file alone.

pub mod backup;
pub mod bases;
#[cfg(test)]
mod conformance;
pub mod fleet;
pub mod history;
pub mod nat;
pub mod routes;
mod schema;
mod sql;
mod sqlite;
pub mod tokens;
mod values;

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use rustix::fs::{Access, access};

use self::{
    sql::{Sql, SqlError, SqlResult},
    sqlite::fault,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
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
        let connection = sqlite::open(&file);
        let connection = connection.map_err(|error| fault("open the store", &file, error))?;
        let mut store = Self { connection, file };
        if schema::migrate(&mut store)?
            && let Some(last) = backup::last_logged_run(folder)
        {
            store.reserve_runs(last)?;
        }
        Ok(store)
    }

    /// Runs the queries of `look`.
    fn query<T>(&self, look: impl FnOnce(&dyn Sql) -> SqlResult<T>) -> Result<T> {
        look(&self.connection).map_err(|error| self.fault("read the store", error))
    }

    /// Runs the statements of `work` in a transaction: all of its changes are written, or none.
    fn transact<T>(&mut self, work: impl FnOnce(&dyn Sql) -> SqlResult<T>) -> Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let written = transaction.map_err(SqlError::from).and_then(|transaction| {
            let result = work(&*transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        written.map_err(|error| self.fault("write the store", error))
    }

    fn fault(&self, doing: &str, error: SqlError) -> Error {
        match error {
            SqlError::Sqlite(error) => fault(doing, &self.file, error),
            SqlError::Row(message) => {
                let fault = Error::new(ErrorKind::Local, Origin::Here, message);
                fault.at(self.file.to_string_lossy())
            }
        }
    }

    /// Returns a number that changes whenever another process has written.
    pub fn version_of_data(&self) -> Result<i64> {
        self.read(|connection| {
            connection.pragma_query_value(None, "data_version", |row| row.get(0))
        })
    }

    /// Runs the query `look` on the file.
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

    /// Runs `work` in a transaction of the file: all of its changes are written, or none. The write lock is taken at the
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

#[cfg(test)]
mod tests;
