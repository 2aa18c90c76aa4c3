//! The error type of all modules: the kind, the side, and the details of a failure.

mod code_names;
pub mod codes;
pub mod fleet_codes;
pub mod web_codes;

use std::{fmt, io, sync::Arc};
use strum::IntoStaticStr;

/// The kind of a failure. Scripts see it as `err.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// No connection could be made: refused, no route, unknown name.
    Unreachable,
    /// No answer arrived in time.
    Timeout,
    /// The login or a permission was refused (reply 530, 532).
    Denied,
    /// The server refused this command (5yz), and there is no evidence that the file is missing.
    Refused,
    /// A file or directory does not exist, and there is evidence of it.
    NotFound,
    /// The server cannot do it now (4yz).
    Busy,
    /// The disk or quota is full, locally or on the server (452, 552, ENOSPC).
    Full,
    /// A TLS handshake, certificate or close is not valid.
    Tls,
    /// A reply or listing violates FTP, or answers another command.
    Protocol,
    /// The data connection could not be made, or broke.
    DataConnection,
    /// An error of a local file or directory.
    Local,
    /// The run was stopped by the user or by its time limit.
    Interrupted,
    /// A value cannot be used: an option, URL, path or argument.
    Invalid,
    /// The server, or this version of portolan, does not support it.
    Unsupported,
    /// A safety rule stopped it, such as too many deletes.
    Guard,
    /// The permissions of the run do not include it.
    DeniedByPolicy,
}

impl ErrorKind {
    /// Every kind, in the order in which the manual lists them.
    pub const ALL: [Self; 16] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Denied,
        Self::Refused,
        Self::NotFound,
        Self::Busy,
        Self::Full,
        Self::Tls,
        Self::Protocol,
        Self::DataConnection,
        Self::Local,
        Self::Interrupted,
        Self::Invalid,
        Self::Unsupported,
        Self::Guard,
        Self::DeniedByPolicy,
    ];

    /// Returns the word that scripts and `--json` use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The side that failed. Scripts see it as `err.side`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Origin {
    /// The user's input: a script, an option, a command line.
    Script,
    /// The local host: its files, its limits.
    Here,
    /// The network in between.
    Network,
    /// The server.
    Server,
}

impl Origin {
    /// Returns the word that scripts and `--json` use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure, kept as data until it is printed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{message}{}", ErrorPlace(self), ErrorContext(self))]
pub struct Error {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The side that failed.
    pub side: Origin,
    /// The message: a lower-case clause without host and path.
    pub message: String,
    /// The reply code of the server, 0 if no reply caused it.
    pub code: u16,
    /// The code of a failure that has one besides its kind, such as `nat.bad_cidr`: one of [`codes::ALL`].
    pub name: Option<&'static str>,
    /// The server, if there is one.
    pub host: Option<String>,
    /// The file or directory it happened to, for display.
    pub path: Option<String>,
    /// The underlying error.
    #[source]
    pub cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// True if an event has reported it already, as for a failed transfer.
    pub is_told: bool,
}

/// The prefix of the message: the path if known, else the host.
struct ErrorPlace<'a>(&'a Error);

impl fmt::Display for ErrorPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.path, &self.0.host) {
            (Some(path), _) => write!(f, "{path}: "),
            (None, Some(host)) => write!(f, "{host}: "),
            (None, None) => Ok(()),
        }
    }
}

/// The suffix of the message: the code of an error of NAT.
struct ErrorContext<'a>(&'a Error);

impl fmt::Display for ErrorContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.nat_code().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// The result type of most functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns a fault without path, code or cause.
    pub fn new(kind: ErrorKind, side: Origin, message: impl Into<String>) -> Self {
        Self {
            kind,
            side,
            message: message.into(),
            code: 0,
            name: None,
            host: None,
            path: None,
            cause: None,
            is_told: false,
        }
    }

    /// Returns a fault for a value from the user that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, Origin::Script, message)
    }

    /// Returns a fault for a reply, listing or handshake that violates the protocol.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, Origin::Server, message)
    }

    /// Returns a fault for a feature that is not supported.
    pub fn unsupported(side: Origin, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, side, message)
    }

    /// Converts an I/O error of a local file.
    pub fn local(doing: &str, path: impl AsRef<std::path::Path>, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            _ => ErrorKind::Local,
        };
        let message = format!("cannot {doing}: {}", plain_io(&error));
        Self::new(kind, Origin::Here, message)
            .at(path.as_ref().to_string_lossy())
            .with_source(error)
    }

    /// Converts an I/O error of a connection.
    pub fn network(doing: &str, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Unreachable,
        };
        let message = format!("{doing}: {}", plain_io(&error));
        Self::new(kind, Origin::Network, message).with_source(error)
    }

    /// Adds the path it happened to, unless one is set already.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path.get_or_insert_with(|| path.into());
        self
    }

    /// Adds the server it happened on, unless one is set already.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.host.get_or_insert_with(|| host.into());
        self
    }

    /// Adds the code of the failure, one of [`codes::ALL`].
    #[must_use]
    pub const fn with_name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// Returns the stable code: that of the failure if it has one, else the word of its kind.
    pub fn stable_code(&self) -> &'static str {
        self.name.unwrap_or_else(|| self.kind.as_str())
    }

    /// Returns the code of an error of NAT, which messages and `err.code` show: no server has a reply code for it.
    pub fn nat_code(&self) -> Option<&'static str> {
        self.name.filter(|name| name.starts_with("nat."))
    }

    /// Returns the hint for the user: the remedy of its code. Of the errors that have only a kind, the message says
    /// enough, but for those of data connections and of paths that the server refuses.
    pub fn hint(&self) -> Option<&'static str> {
        let is_clear = match (self.name, self.kind) {
            (Some(_), _) | (None, ErrorKind::DataConnection) => false,
            (None, ErrorKind::Refused) => !matches!(self.code, 550 | 553),
            _ => true,
        };
        codes::explain(self.stable_code()).filter(|_| !is_clear).map(|row| row.remedy)
    }

    /// Returns true if the same call may succeed later without any change by the user.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable
                | ErrorKind::Timeout
                | ErrorKind::Busy
                | ErrorKind::DataConnection
                | ErrorKind::Protocol
        )
    }
}

/// Returns the text of an I/O error without the `(os error 111)`, which does not help users.
fn plain_io(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut text = text.get(..end).unwrap_or(&text).to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_worth_another_try() {
        use ErrorKind::{Busy, DataConnection, Protocol, Timeout, Unreachable};
        let again: Vec<_> = ErrorKind::ALL
            .into_iter()
            .filter(|kind| Error::new(*kind, Origin::Server, "").is_retryable())
            .collect();
        assert_eq!(again, [Unreachable, Timeout, Busy, Protocol, DataConnection]);
    }

    #[test]
    fn the_text_begins_with_the_path_and_else_with_the_host() {
        let fault = Error::protocol("two replies").with_host("ftp.example.org");
        assert_eq!(fault.to_string(), "ftp.example.org: two replies");
        assert_eq!(fault.at("/a").to_string(), "/a: two replies");
    }

    #[test]
    fn a_missing_file_reads_without_the_number_of_the_error() {
        let error = io::Error::from_raw_os_error(2);
        let fault = Error::local("read", "gone.txt", error);
        assert_eq!(fault.to_string(), "gone.txt: cannot read: no such file or directory");
        assert_eq!(fault.kind, ErrorKind::NotFound);
    }
}
