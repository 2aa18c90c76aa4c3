//! PostgreSQL as a database of the statements: one server that all machines of a fleet use.
//!
//! Every call has a time limit, and one that exceeds it costs the connection: what a server that does not answer has done is
//! not known. The next call connects again, but never in the middle of a transaction.

mod fault;
mod listen;
mod passfile;
mod pooler;
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
use tokio_postgres::{
    Client, Error, Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

pub(super) use self::fault::fault;
pub(crate) use self::listen::NotificationListener;
use self::pooler::FirstAnswer;
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
/// The same for each transaction, where a pooler shares the sessions of the server: what is set in one is lost in the next.
const POOLED_TRANSACTION: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '15s';
    SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL client_min_messages = 'warning'";
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
    /// The statements that are prepared; `None` where a pooler shares the sessions of the server, in which others have prepared
    /// statements of the same names.
    statements: Option<HashMap<String, Statement>>,
    /// The version of the server, such as 150018.
    version: u32,
}

impl std::fmt::Debug for OpenConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenConnection({:?} statements)", self.statements.as_ref().map(HashMap::len))
    }
}

impl OpenConnection {
    async fn connect(settings: &PostgresSettings) -> Result<Self, Error> {
        let (client, connection) = settings.config.connect(settings.tls.clone()).await?;
        // It ends when the client is dropped, or when the connection breaks; calls get the error.
        drop(tokio::spawn(async { connection.await.ok() }));
        let FirstAnswer { version, is_pooled } = pooler::ask(&client).await?;
        let is_pooled = is_pooled || settings.is_pooled;
        if !is_pooled {
            client.batch_execute(SESSION).await?;
        }
        Ok(Self { client, statements: (!is_pooled).then(HashMap::new), version })
    }

    /// Returns the prepared statement; `None` if nothing may be prepared.
    async fn statement(&mut self, text: &str) -> Result<Option<Statement>, Error> {
        let Some(statements) = &mut self.statements else { return Ok(None) };
        if let Some(known) = statements.get(text) {
            return Ok(Some(known.clone()));
        }
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        let statement = self.client.prepare(text).await?;
        statements.insert(text.to_owned(), statement.clone());
        Ok(Some(statement))
    }

    /// Runs a statement with each of these lists of values, all of which are sent at once.
    async fn execute_all(&mut self, text: &str, lists: &[&[SqlValue]]) -> Result<Vec<u64>, Error> {
        if let Some(statement) = self.statement(text).await? {
            let lists: Vec<_> = lists.iter().map(|values| parameters(values)).collect();
            return try_join_all(lists.iter().map(|row| self.client.execute(&statement, row)))
                .await;
        }
        let lists: Vec<_> = lists.iter().map(|values| typed(values)).collect();
        try_join_all(lists.iter().map(|row| self.client.execute_typed(text, row))).await
    }

    /// Asks a query with each of these lists of values, all of which are sent at once.
    async fn query_all(
        &mut self,
        text: &str,
        lists: &[&[SqlValue]],
    ) -> Result<Vec<Vec<Row>>, Error> {
        if let Some(statement) = self.statement(text).await? {
            let lists: Vec<_> = lists.iter().map(|values| parameters(values)).collect();
            return try_join_all(lists.iter().map(|row| self.client.query(&statement, row))).await;
        }
        let lists: Vec<_> = lists.iter().map(|values| typed(values)).collect();
        try_join_all(lists.iter().map(|row| self.client.query_typed(text, row))).await
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
        self.call(&async |live: &mut OpenConnection| {
            let begin = if live.statements.is_some() { "BEGIN" } else { POOLED_TRANSACTION };
            live.client.batch_execute(begin).await
        })?;
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

/// Returns the values with their types, for a statement that is not prepared. Of texts and NULL the server finds the type, as it
/// does when it prepares one.
fn typed(values: &[SqlValue]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let kind = |value: &SqlValue| match value {
        SqlValue::Int(_) => Type::INT8,
        SqlValue::Bool(_) => Type::BOOL,
        SqlValue::Null | SqlValue::Text(_) => Type::UNKNOWN,
    };
    values.iter().map(|value| (value as &(dyn ToSql + Sync), kind(value))).collect()
}

impl Sql for PostgresSession {
    fn execute(&self, statement: &str, values: &[SqlValue]) -> SqlResult<u64> {
        let changed = self.call(&async |live: &mut OpenConnection| {
            live.execute_all(statement, &[values]).await
        })?;
        Ok(changed.into_iter().next().unwrap_or(0))
    }

    fn query(&self, query: &str, values: &[SqlValue]) -> SqlResult<Vec<SqlRow>> {
        let answers =
            self.call(&async |live: &mut OpenConnection| live.query_all(query, &[values]).await)?;
        row::rows(answers.first().map_or(&[], Vec::as_slice))
    }

    fn execute_each(&self, statement: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<u64>> {
        let mut changed = Vec::with_capacity(rows.len());
        for part in rows.chunks(PIPELINE_MAX) {
            let part: Vec<_> = part.iter().map(Vec::as_slice).collect();
            changed.extend(self.call(&async |live: &mut OpenConnection| {
                live.execute_all(statement, &part).await
            })?);
        }
        Ok(changed)
    }

    fn query_each(&self, query: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<Option<SqlRow>>> {
        let mut found = Vec::with_capacity(rows.len());
        for part in rows.chunks(PIPELINE_MAX) {
            let part: Vec<_> = part.iter().map(Vec::as_slice).collect();
            let answers =
                self.call(&async |live: &mut OpenConnection| live.query_all(query, &part).await)?;
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

    fn notify(&self, channel: &str) -> SqlResult<()> {
        self.query("SELECT pg_notify($1, '')::text", &values![channel]).map(drop)
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
