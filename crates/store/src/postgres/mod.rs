//! PostgreSQL as a database of the statements: one server that all machines of a fleet use.
//!
//! Every call has a time limit, and one that exceeds it costs the connection: what a server that does not answer has done is
//! not known. The next call connects again, but never in the middle of a transaction.

mod fault;
mod passfile;
mod row;
mod settings;
#[cfg(test)]
pub(crate) mod test_server;
mod tls;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{Client, Error, Statement, error::SqlState, types::ToSql};

pub(super) use self::fault::fault;
pub use self::settings::PostgresSettings;
use super::sql::{Numbered, Sql, SqlError, SqlResult, SqlRow, SqlValue, values};

/// The oldest version of PostgreSQL that is supported: with older ones nothing is tested.
const VERSION_MIN: u32 = 140_000;
/// The time limit of a connection with its login.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// The time limit of a call. The server ends a statement a little earlier, so that it says which one was slow.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);
/// The settings of a session. A client that stops in the middle of a transaction must not hold its locks for long.
const SESSION: &str =
    "SET statement_timeout = '15s'; SET idle_in_transaction_session_timeout = '10s';
    SET client_min_messages = 'warning'; SET default_transaction_isolation = 'read committed'";
/// The sequences that number new rows: no number is used twice by any writers.
const SEQUENCES: &str =
    "CREATE SEQUENCE IF NOT EXISTS run_numbers; CREATE SEQUENCE IF NOT EXISTS notice_numbers";
/// The number of statements that are prepared in a session: there are some hundred.
const STATEMENTS_MAX: usize = 300;
/// The number of statements that are sent without waiting for their answers.
const PIPELINE_MAX: usize = 500;

/// A connection with a PostgreSQL server, made anew when it breaks.
#[derive(Debug)]
pub(super) struct PostgresSession {
    settings: PostgresSettings,
    live: Mutex<Option<OpenConnection>>,
    opened: Instant,
    is_in_transaction: AtomicBool,
}

/// A connection that was made.
struct OpenConnection {
    client: Client,
    statements: HashMap<String, Statement>,
    /// The version of the server, such as 150018.
    version: u32,
}

impl std::fmt::Debug for OpenConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenConnection({} statements)", self.statements.len())
    }
}

impl OpenConnection {
    async fn connect(settings: &PostgresSettings) -> Result<Self, Error> {
        let (client, connection) = settings.config.connect(settings.tls.clone()).await?;
        // It ends when the client is dropped, or when the connection breaks; calls get the error.
        drop(tokio::spawn(async { connection.await.ok() }));
        client.batch_execute(SESSION).await?;
        let version = client.query_one("SHOW server_version_num", &[]).await?;
        let version = version.try_get::<_, String>(0)?.parse().unwrap_or(0);
        Ok(Self { client, statements: HashMap::new(), version })
    }

    async fn statement(&mut self, text: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.get(text) {
            return Ok(known.clone());
        }
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        let statement = self.client.prepare(text).await?;
        self.statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl PostgresSession {
    /// Connects.
    pub(super) fn open(settings: PostgresSettings) -> SqlResult<Self> {
        let live = Mutex::new(None);
        let (opened, is_in_transaction) = (Instant::now(), AtomicBool::new(false));
        let session = Self { settings, live, opened, is_in_transaction };
        let version = session.call(&async |live: &mut OpenConnection| Ok(live.version))?;
        if version < VERSION_MIN {
            let (found, wanted) = (version / 10_000, VERSION_MIN / 10_000);
            let message = format!("it is PostgreSQL {found}, and {wanted} or newer is needed");
            return Err(SqlError::Unsupported(message));
        }
        Ok(session)
    }

    /// Returns the time since it was made, in whole seconds.
    pub(super) fn age_in_seconds(&self) -> i64 {
        i64::try_from(self.opened.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) const fn settings(&self) -> &PostgresSettings {
        &self.settings
    }

    /// Runs `work` in a transaction: all of its changes are written, or none; if the connection breaks at the end, it
    /// is unknown which.
    pub(super) fn transact<T>(&self, work: impl FnOnce(&dyn Sql) -> SqlResult<T>) -> SqlResult<T> {
        self.batch("BEGIN")?;
        self.is_in_transaction.store(true, Ordering::Relaxed);
        let done = work(self).and_then(|result| {
            self.batch("COMMIT")?;
            Ok(result)
        });
        if done.is_err() && self.batch("ROLLBACK").is_err() {
            *self.live() = None;
        }
        self.is_in_transaction.store(false, Ordering::Relaxed);
        done
    }

    fn live(&self) -> MutexGuard<'_, Option<OpenConnection>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with the connection, within the time limit. If the connection turns out to be broken, it is made anew and
    /// `work` is done once more, unless that would continue a transaction.
    fn call<T>(
        &self,
        work: &impl AsyncFn(&mut OpenConnection) -> Result<T, Error>,
    ) -> SqlResult<T> {
        let mut place = self.live();
        let is_in_transaction = self.is_in_transaction.load(Ordering::Relaxed);
        let runtime = runtime()?;
        for is_last in [is_in_transaction, true] {
            let is_usable = |live: &OpenConnection| is_in_transaction || !live.client.is_closed();
            if !place.as_ref().is_some_and(is_usable) {
                if is_in_transaction {
                    return Err(SqlError::Gone);
                }
                let connect = async {
                    timeout(
                        CONNECT_TIME_MAX.min(self.settings.calls),
                        OpenConnection::connect(&self.settings),
                    )
                    .await
                };
                *place = Some(runtime.block_on(connect).map_err(|_| SqlError::Timeout)??);
            }
            let Some(live) = place.as_mut() else { return Err(SqlError::Gone) };
            let result = runtime.block_on(async { timeout(self.settings.calls, work(live)).await });
            let Ok(result) = result else {
                *place = None;
                return Err(SqlError::Timeout);
            };
            let is_broken = result.as_ref().is_err_and(is_end) || live.client.is_closed();
            if is_broken && !is_in_transaction {
                *place = None;
            }
            if is_last || result.is_ok() || !is_broken {
                return Ok(result?);
            }
        }
        Err(SqlError::Gone)
    }
}

/// Returns true for an error after which a connection is of no use.
fn is_end(error: &Error) -> bool {
    let ends = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    error.is_closed() || error.code().is_some_and(|code| ends.contains(code))
}

/// Returns the runtime that drives all connections: one thread.
fn runtime() -> SqlResult<Handle> {
    static RUNTIME: OnceLock<Option<Handle>> = OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let handle = runtime.handle().clone();
        let drive = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("store".into()).spawn(drive).ok()?;
        Some(handle)
    };
    RUNTIME.get_or_init(start).clone().ok_or(SqlError::Gone)
}

fn parameters(values: &[SqlValue]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl Sql for PostgresSession {
    fn execute(&self, statement: &str, values: &[SqlValue]) -> SqlResult<u64> {
        self.call(&async |live: &mut OpenConnection| {
            let statement = live.statement(statement).await?;
            live.client.execute(&statement, &parameters(values)).await
        })
    }

    fn query(&self, query: &str, values: &[SqlValue]) -> SqlResult<Vec<SqlRow>> {
        let rows = self.call(&async |live: &mut OpenConnection| {
            let statement = live.statement(query).await?;
            live.client.query(&statement, &parameters(values)).await
        })?;
        row::rows(&rows)
    }

    fn execute_each(&self, statement: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<u64>> {
        let mut changed = Vec::with_capacity(rows.len());
        for part in rows.chunks(PIPELINE_MAX) {
            changed.extend(self.call(&async |live: &mut OpenConnection| {
                let statement = live.statement(statement).await?;
                let rows: Vec<_> = part.iter().map(|row| parameters(row)).collect();
                try_join_all(rows.iter().map(|row| live.client.execute(&statement, row))).await
            })?);
        }
        Ok(changed)
    }

    fn query_each(&self, query: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<Option<SqlRow>>> {
        let mut found = Vec::with_capacity(rows.len());
        for part in rows.chunks(PIPELINE_MAX) {
            let answers = self.call(&async |live: &mut OpenConnection| {
                let statement = live.statement(query).await?;
                let rows: Vec<_> = part.iter().map(|row| parameters(row)).collect();
                try_join_all(rows.iter().map(|row| live.client.query(&statement, row))).await
            })?;
            for answer in answers {
                found.push(row::rows(&answer)?.into_iter().next());
            }
        }
        Ok(found)
    }

    fn batch(&self, statements: &str) -> SqlResult<()> {
        self.call(&async |live: &mut OpenConnection| live.client.batch_execute(statements).await)
    }

    /// Runs the statements of a migration, but not those that convert the rows of older versions: there are none.
    fn migrate(&self, statements: &str) -> SqlResult<()> {
        let is_wanted = |part: &&str| !part.trim_start().starts_with("UPDATE");
        let parts: Vec<_> = statements.split(';').filter(is_wanted).collect();
        self.batch(&parts.join(";"))?;
        self.batch(SEQUENCES)
    }

    fn new_numbers(&self, table: Numbered, count: usize) -> SqlResult<Vec<i64>> {
        let sequence = match table {
            Numbered::Runs => "run_numbers",
            Numbered::Notices => "notice_numbers",
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        let query = format!("SELECT nextval('{sequence}') FROM generate_series(1, $1) ORDER BY 1");
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut numbers: Vec<i64> =
            (self as &dyn Sql).all(&query, &values![count], |row| row.at(0))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn lock(&self, name: &str) -> SqlResult<()> {
        // Another name with the same hash only waits without need.
        self.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text", &values![name])
            .map(drop)
    }
}

#[cfg(test)]
mod cuts;
#[cfg(test)]
mod tests;
