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
mod notify;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
pub mod releases;
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

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use rustix::fs::{Access, access};

pub use self::notify::StoreNews;
pub use self::place::{StoreListener, StorePlace};
#[cfg(feature = "postgres")]
use self::postgres::PostgresSession;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresSettings;
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
    database: Database,
}

/// The database of a store.
#[derive(Debug)]
enum Database {
    /// A file of the state directory.
    Sqlite(Connection, PathBuf),
    /// A server that the machines of a fleet share.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresSession>),
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
        let mut store = Self { database: Database::Sqlite(connection, file) };
        if schema::migrate(&mut store)?
            && let Some(last) = backup::last_logged_run(folder)
        {
            store.reserve_runs(last)?;
        }
        Ok(store)
    }

    /// Connects to a store in PostgreSQL, and creates its tables if they do not exist. Fails with `unreachable`, `denied` or
    /// `tls` if that is not possible, and with `local` if a newer portolan has made the tables.
    #[cfg(feature = "postgres")]
    pub fn connect(settings: &PostgresSettings) -> Result<Self> {
        let session = PostgresSession::open(settings.clone());
        let session =
            session.map_err(|error| server_fault("open the store", settings.place(), error))?;
        let mut store = Self { database: Database::Postgres(Box::new(session)) };
        schema::migrate(&mut store)?;
        Ok(store)
    }

    /// Runs the queries of `look`.
    fn query<T>(&self, look: impl FnOnce(&dyn Sql) -> SqlResult<T>) -> Result<T> {
        let found = match &self.database {
            Database::Sqlite(connection, _) => look(connection),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => look(&**session),
        };
        found.map_err(|error| self.fault("read the store", error))
    }

    /// Runs the statements of `work` in a transaction: all of its changes are written, or none.
    fn transact<T>(&mut self, work: impl FnOnce(&dyn Sql) -> SqlResult<T>) -> Result<T> {
        let written = match &mut self.database {
            Database::Sqlite(connection, _) => sqlite::transact(connection, work),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => session.transact(work),
        };
        written.map_err(|error| self.fault("write the store", error))
    }

    fn fault(&self, doing: &str, error: SqlError) -> Error {
        match (&self.database, error) {
            (Database::Sqlite(_, file), SqlError::Sqlite(error)) => fault(doing, file, error),
            #[cfg(feature = "postgres")]
            (Database::Postgres(session), error) => {
                server_fault(doing, session.settings().place(), error)
            }
            (Database::Sqlite(_, file), error) => {
                let message = format!("cannot {doing}: {error}");
                Error::new(ErrorKind::Local, Origin::Here, message).at(file.to_string_lossy())
            }
        }
    }

    /// Returns a number that changes whenever another process has written. On a server it changes every second, whether
    /// anybody has written or not.
    pub fn version_of_data(&self) -> Result<i64> {
        match &self.database {
            Database::Sqlite(..) => self.read(|connection| {
                connection.pragma_query_value(None, "data_version", |row| row.get(0))
            }),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => Ok(session.age_in_seconds()),
        }
    }

    /// Returns true if other machines may use it.
    pub const fn is_shared(&self) -> bool {
        !matches!(self.database, Database::Sqlite(..))
    }

    /// Returns the time of the server; `None` if the store is a file of this host.
    pub fn server_time(&self) -> Result<Option<Timestamp>> {
        if !self.is_shared() {
            return Ok(None);
        }
        let query = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
        let ms: Option<i64> = self.query(|sql| sql.value(query, &[]))?;
        Ok(ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }

    /// Returns the place of the store: its file, or the address of its server without secrets.
    pub fn place(&self) -> String {
        match &self.database {
            Database::Sqlite(_, file) => file.display().to_string(),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => session.settings().place().to_owned(),
        }
    }

    /// Returns the file of the store. Fails with `unsupported` if it is on a server, which has nothing that belongs to one
    /// host.
    fn connection(&self) -> Result<(&Connection, &Path)> {
        match &self.database {
            Database::Sqlite(connection, file) => Ok((connection, file)),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => Err(not_shared(session)),
        }
    }

    /// Runs the query `look` on the file.
    fn read<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let (connection, file) = self.connection()?;
        look(connection).map_err(|error| fault("read the store", file, error))
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
        let (connection, file) = match &mut self.database {
            Database::Sqlite(connection, file) => (connection, file),
            #[cfg(feature = "postgres")]
            Database::Postgres(session) => return Err(not_shared(session)),
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let written = transaction.and_then(|transaction| {
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        written.map_err(|error| fault("write the store", file, error))
    }
}

/// Converts an error of a store on a server.
#[cfg(feature = "postgres")]
fn server_fault(doing: &str, place: &str, error: SqlError) -> Error {
    let (kind, side, why) = match error {
        SqlError::Postgres(error) => return postgres::fault(doing, place, error),
        error @ SqlError::Timeout => (ErrorKind::Timeout, Origin::Network, error.to_string()),
        error @ SqlError::Gone => (ErrorKind::Unreachable, Origin::Network, error.to_string()),
        SqlError::Unsupported(why) => (ErrorKind::Unsupported, Origin::Server, why),
        error => (ErrorKind::Local, Origin::Here, error.to_string()),
    };
    Error::new(kind, side, format!("cannot {doing}: {why}")).at(place)
}

#[cfg(feature = "postgres")]
fn not_shared(session: &PostgresSession) -> Error {
    let message =
        "this is kept in the state folder of each host, and not in a store that hosts share";
    Error::new(ErrorKind::Unsupported, Origin::Here, message).at(session.settings().place())
}

#[cfg(test)]
mod tests;
