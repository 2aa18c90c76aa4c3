//! Errors of PostgreSQL, in words that say what to do.

use tokio_postgres::error::SqlState;

use portolan_core::error::{Error, ErrorKind, Origin};

/// Converts an error of the connection or of the server.
pub(crate) fn fault(doing: &str, place: &str, error: tokio_postgres::Error) -> Error {
    let (kind, side, why) = if let Some(told) = error.as_db_error() {
        let (kind, remedy) = of_state(told.code());
        (kind, Origin::Server, format!("{}{remedy}", told.message()))
    } else {
        let why = causes(&error);
        let (kind, remedy) = of_client(&why);
        (kind, Origin::Network, format!("{why}{remedy}"))
    };
    Error::new(kind, side, format!("cannot {doing}: {why}")).at(place).with_source(error)
}

/// Returns the kind of an error that the server reports, and what to do about it.
fn of_state(state: &SqlState) -> (ErrorKind, &'static str) {
    match *state {
        SqlState::INVALID_PASSWORD => (ErrorKind::Denied, PASSWORD),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
            ErrorKind::Denied,
            "; `createuser` makes a role, and `pg_hba.conf` of the server says which may log in from where",
        ),
        SqlState::INVALID_CATALOG_NAME => (ErrorKind::NotFound, "; `createdb` makes it"),
        SqlState::INSUFFICIENT_PRIVILEGE => (
            ErrorKind::Denied,
            "; the role needs the right to create tables in its schema, and owns them",
        ),
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

/// The places of the password.
const PASSWORD: &str = "; the password is that of `store_password`, of PGPASSWORD, or of the password file (~/.pgpass)";

/// Returns the kind of an error that is not the server's, and what to do about it. The library has no kinds of its own.
fn of_client(why: &str) -> (ErrorKind, &'static str) {
    if why.contains("password missing") {
        return (ErrorKind::Denied, PASSWORD);
    }
    if why.contains("server does not support TLS") {
        let remedy = "; turn `ssl` on in postgresql.conf, or add `?sslmode=disable` on a network that is trusted";
        return (ErrorKind::Tls, remedy);
    }
    if why.contains("certificate") {
        return (ErrorKind::Tls, "; `?sslrootcert=FILE` names the authority that has signed it");
    }
    if why.contains("TLS") {
        return (ErrorKind::Tls, "");
    }
    if why.contains("database does not allow writes") {
        return (
            ErrorKind::Refused,
            "; it is a standby, or read-only: name all hosts in the address",
        );
    }
    (ErrorKind::Unreachable, "")
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
