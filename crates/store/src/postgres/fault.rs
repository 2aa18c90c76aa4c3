//! Errors of PostgreSQL, in words that say what to do.

use tokio_postgres::error::SqlState;

use portolan_core::error::{Error, ErrorKind, Origin};

/// Converts an error of the connection or of the server.
pub(crate) fn fault(doing: &str, place: &str, error: tokio_postgres::Error) -> Error {
    let (kind, side, why) = if let Some(told) = error.as_db_error() {
        let (kind, remedy) = of_state(told.code());
        (kind, Origin::Server, format!("{}{remedy}", told.message()))
    } else {
        let kind = if is_tls(&error) { ErrorKind::Tls } else { ErrorKind::Unreachable };
        (kind, Origin::Network, causes(&error))
    };
    Error::new(kind, side, format!("cannot {doing}: {why}")).at(place).with_source(error)
}

/// Returns the kind of an error that the server reports, and what to do about it.
fn of_state(state: &SqlState) -> (ErrorKind, &'static str) {
    match *state {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            (ErrorKind::Denied, "; the login is that of the address, or of PGPASSWORD")
        }
        SqlState::INVALID_CATALOG_NAME => (ErrorKind::NotFound, "; `createdb` makes it"),
        SqlState::INSUFFICIENT_PRIVILEGE => {
            (ErrorKind::Denied, "; the role needs the right to create tables in its schema")
        }
        SqlState::DISK_FULL => (ErrorKind::Full, ""),
        SqlState::TOO_MANY_CONNECTIONS => {
            (ErrorKind::Busy, "; see `max_connections` of the server")
        }
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => (ErrorKind::Unreachable, ""),
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => (ErrorKind::Timeout, ""),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            (ErrorKind::Refused, "; it is a standby: name all hosts in the address")
        }
        _ => (ErrorKind::Refused, ""),
    }
}

fn is_tls(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.contains("TLS")
}

/// Returns the text of an error with those of its causes.
fn causes(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    text
}
