//! The seam between the statements and the databases: the values of a statement, the rows that it returns, and the trait of
//! whatever runs it.
//!
//! All statements are written once, in the SQL that SQLite and PostgreSQL have in common: numbered parameters in the order
//! of their use, `TEXT`, `BIGINT` and `BOOLEAN`, `ON CONFLICT … DO UPDATE`, `RETURNING`. What differs is a method of
//! [`Sql`].

use std::sync::Arc;

/// A value of a statement or of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SqlValue {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
}

/// An error of a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// A call has exceeded its time limit: what it has done is not known.
    #[cfg(feature = "postgres")]
    #[error("the server does not answer")]
    Timeout,
    /// The connection broke in the middle of a transaction.
    #[cfg(feature = "postgres")]
    #[error("the connection broke")]
    Gone,
    /// The server is not one that can be used.
    #[cfg(feature = "postgres")]
    #[error("{0}")]
    Unsupported(String),
    /// A row is not as its statement says.
    #[error("{0}")]
    Row(String),
}

/// The result of a statement.
pub(crate) type SqlResult<T> = Result<T, SqlError>;

/// Returns the values of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::sql::ToSqlValue::to_value(&$value)),*] };
}
pub(crate) use values;

/// The tables whose rows are numbered by the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbered {
    Runs,
    Notices,
}

/// A database, or a transaction of one, that runs statements.
pub(crate) trait Sql {
    /// Runs a statement, and returns the number of rows that it has changed.
    fn execute(&self, statement: &str, values: &[SqlValue]) -> SqlResult<u64>;

    /// Runs a query.
    fn query(&self, query: &str, values: &[SqlValue]) -> SqlResult<Vec<SqlRow>>;

    /// Runs a statement once for each of `rows`, and returns the number of rows that each time has changed.
    fn execute_each(&self, statement: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<u64>>;

    /// Runs a query once for each of `rows`, and returns the first row of each answer.
    fn query_each(&self, query: &str, rows: &[Vec<SqlValue>]) -> SqlResult<Vec<Option<SqlRow>>>;

    /// Runs several statements without values.
    fn batch(&self, statements: &str) -> SqlResult<()>;

    /// Runs the statements of a migration.
    fn migrate(&self, statements: &str) -> SqlResult<()>;

    /// Returns numbers for new rows, in ascending order, which no other row ever gets.
    fn new_numbers(&self, table: Numbered, count: usize) -> SqlResult<Vec<i64>>;

    /// Wakes the listeners of a channel once the transaction has been committed. It does nothing where changes are seen
    /// without it.
    fn notify(&self, channel: &str) -> SqlResult<()>;

    /// Waits until no other transaction holds the lock of this name, and holds it until the end of this one. It does
    /// nothing where only one transaction writes at a time.
    fn lock(&self, name: &str) -> SqlResult<()>;
}

impl dyn Sql + '_ {
    /// Runs a query, and converts the first row.
    pub(crate) fn first<T>(
        &self,
        query: &str,
        values: &[SqlValue],
        convert: impl Fn(&SqlRow) -> SqlResult<T>,
    ) -> SqlResult<Option<T>> {
        self.query(query, values)?.first().map(convert).transpose()
    }

    /// Runs a query, and converts its rows.
    pub(crate) fn all<T>(
        &self,
        query: &str,
        values: &[SqlValue],
        convert: impl Fn(&SqlRow) -> SqlResult<T>,
    ) -> SqlResult<Vec<T>> {
        self.query(query, values)?.iter().map(convert).collect()
    }

    /// Runs a query for one value; `None` if there is no row, or no value in it.
    pub(crate) fn value<T: FromSqlValue>(
        &self,
        query: &str,
        values: &[SqlValue],
    ) -> SqlResult<Option<T>> {
        Ok(self.first(query, values, |row| row.at::<Option<T>>(0))?.flatten())
    }
}

/// A row of an answer.
#[derive(Debug, Clone)]
pub(crate) struct SqlRow {
    columns: Arc<[String]>,
    values: Vec<SqlValue>,
}

impl SqlRow {
    pub(crate) const fn new(columns: Arc<[String]>, values: Vec<SqlValue>) -> Self {
        Self { columns, values }
    }

    /// Returns the value of a column.
    pub(crate) fn get<T: FromSqlValue>(&self, column: &str) -> SqlResult<T> {
        let index = self.columns.iter().position(|name| name == column);
        self.at(index.ok_or_else(|| SqlError::Row(format!("there is no column `{column}`")))?)
    }

    /// Returns the value of the column with this index.
    pub(crate) fn at<T: FromSqlValue>(&self, index: usize) -> SqlResult<T> {
        let value = self.values.get(index);
        value.and_then(T::from_value).ok_or_else(|| {
            let name = self.columns.get(index).map_or("", String::as_str);
            SqlError::Row(format!("column {index} `{name}` has a value of another type"))
        })
    }
}

/// A type that can be a value of a statement.
pub(crate) trait ToSqlValue {
    fn to_value(&self) -> SqlValue;
}

impl ToSqlValue for i64 {
    fn to_value(&self) -> SqlValue {
        SqlValue::Int(*self)
    }
}

impl ToSqlValue for u32 {
    fn to_value(&self) -> SqlValue {
        SqlValue::Int((*self).into())
    }
}

impl ToSqlValue for bool {
    fn to_value(&self) -> SqlValue {
        SqlValue::Bool(*self)
    }
}

impl ToSqlValue for str {
    fn to_value(&self) -> SqlValue {
        SqlValue::Text(self.to_owned())
    }
}

impl ToSqlValue for String {
    fn to_value(&self) -> SqlValue {
        SqlValue::Text(self.clone())
    }
}

impl<T: ToSqlValue> ToSqlValue for Option<T> {
    fn to_value(&self) -> SqlValue {
        self.as_ref().map_or(SqlValue::Null, T::to_value)
    }
}

impl<T: ToSqlValue + ?Sized> ToSqlValue for &T {
    fn to_value(&self) -> SqlValue {
        (*self).to_value()
    }
}

/// A type that can be the value of a column.
pub(crate) trait FromSqlValue: Sized {
    /// Converts a value; `None` if it is of another type.
    fn from_value(value: &SqlValue) -> Option<Self>;
}

impl FromSqlValue for i64 {
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Int(number) => Some(*number),
            _ => None,
        }
    }
}

impl FromSqlValue for bool {
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Bool(is) => Some(*is),
            // SQLite keeps them as numbers.
            SqlValue::Int(number) => Some(*number != 0),
            _ => None,
        }
    }
}

impl FromSqlValue for String {
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl<T: FromSqlValue> FromSqlValue for Option<T> {
    fn from_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_its_type_and_as_no_other() {
        let columns = ["a", "b", "c"].map(str::to_owned).into();
        let row = SqlRow::new(columns, values![7_i64, None::<i64>, "x"].into());
        assert_eq!(row.get::<i64>("a").unwrap(), 7);
        assert_eq!(row.get::<Option<i64>>("b").unwrap(), None);
        assert!(row.get::<bool>("a").unwrap());
        assert_eq!(row.at::<String>(2).unwrap(), "x");
        for fault in [row.get::<i64>("b"), row.get("c"), row.get("d"), row.at(3)] {
            assert!(matches!(fault, Err(SqlError::Row(_))), "{fault:?}");
        }
    }
}
