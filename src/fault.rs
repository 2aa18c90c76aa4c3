//! The one error that crosses modules: what failed, on which side, and what to know of it.

use std::{error::Error, fmt, sync::Arc};

/// What sort of failure it is. Scripts see it as `err.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No connection could be made: refused, no route, unknown name.
    Unreachable,
    /// Something did not answer in its time.
    Timeout,
    /// The login or a permission was refused (reply 530, 532).
    Denied,
    /// The server refused this command (5yz), and it is not known to be for want of the file.
    Refused,
    /// A file or folder is not there, and there is evidence of it.
    NotFound,
    /// The server cannot do it now (4yz).
    Busy,
    /// No room, here or there (452, 552, ENOSPC).
    Full,
    /// A TLS handshake, certificate or close that is not as it must be.
    Tls,
    /// A reply or listing that FTP does not allow, or that answers something else.
    Protocol,
    /// The data connection could not be made, or broke.
    DataConnection,
    /// A file or folder of this machine.
    Local,
    /// Stopped by the user or by the end of the run's time.
    Interrupted,
    /// A value that cannot be used: an option, URL, path or argument.
    Invalid,
    /// The server, or this version of portolan, does not have it.
    Unsupported,
    /// A safety rule stopped it, such as too many deletes.
    Guard,
}

impl Kind {
    /// Every kind, in the order in which the manual lists them.
    pub const ALL: [Self; 15] = [
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
    ];

    /// The word that scripts and `--json` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::DataConnection => "data_connection",
            Self::Local => "local",
            Self::Interrupted => "interrupted",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Guard => "guard",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which side failed. Scripts see it as `err.side`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// What the user wrote: a script, an option, a command line.
    Script,
    /// This machine: its files, its limits.
    Here,
    /// What lies between.
    Network,
    /// The server.
    Server,
}

impl Side {
    /// The word that scripts and `--json` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Here => "here",
            Self::Network => "network",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One failure, kept as data until it is printed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{message}{}", Place(self), Named(self))]
pub struct Fault {
    /// What sort of failure.
    pub kind: Kind,
    /// On which side.
    pub side: Side,
    /// A lower-case clause that says what went wrong, without host and path.
    pub message: String,
    /// The reply code of the server, 0 when no reply is behind it.
    pub code: u16,
    /// The name of a failure that has one besides its kind, such as `nat.bad_cidr`; it stays the same between versions.
    pub name: Option<&'static str>,
    /// The server, when there is one.
    pub host: Option<String>,
    /// The file or folder it happened to, as shown to people.
    pub path: Option<String>,
    /// What lies behind it.
    #[source]
    pub cause: Option<Arc<dyn Error + Send + Sync>>,
    /// Whether an event has told of it already: of a transfer that failed.
    pub is_told: bool,
}

/// What stands before the message: the path if known, else the host.
struct Place<'a>(&'a Fault);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.path, &self.0.host) {
            (Some(path), _) => write!(f, "{path}: "),
            (None, Some(host)) => write!(f, "{host}: "),
            (None, None) => Ok(()),
        }
    }
}

/// What stands behind the message: the name, if it has one.
struct Named<'a>(&'a Fault);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.name.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// What most functions return.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// A fault without place, code or cause.
    pub fn new(kind: Kind, side: Side, message: impl Into<String>) -> Self {
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

    /// A value from the user that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, Side::Script, message)
    }

    /// A reply, listing or handshake that breaks the protocol.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(Kind::Protocol, Side::Server, message)
    }

    /// Something that the server does not offer.
    pub fn unsupported(side: Side, message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, side, message)
    }

    /// Reads an error of this machine's files.
    pub fn local(doing: &str, path: impl AsRef<std::path::Path>, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::Full,
            _ => Kind::Local,
        };
        let message = format!("cannot {doing}: {}", plain_io(&error));
        Self::new(kind, Side::Here, message).at(path.as_ref().to_string_lossy()).because(error)
    }

    /// Reads an error of a connection.
    pub fn network(doing: &str, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Unreachable,
        };
        let message = format!("{doing}: {}", plain_io(&error));
        Self::new(kind, Side::Network, message).because(error)
    }

    /// With the path it happened to, unless one is named already.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path.get_or_insert_with(|| path.into());
        self
    }

    /// With the server it happened on, unless one is named already.
    #[must_use]
    pub fn on(mut self, host: impl Into<String>) -> Self {
        self.host.get_or_insert_with(|| host.into());
        self
    }

    /// With its name.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// With what lies behind it.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// Whether the same call may succeed later with nobody changing anything.
    pub const fn may_retry(&self) -> bool {
        matches!(
            self.kind,
            Kind::Unreachable | Kind::Timeout | Kind::Busy | Kind::DataConnection | Kind::Protocol
        )
    }
}

/// The words of an I/O error without the `(os error 111)` that helps nobody.
fn plain_io(error: &std::io::Error) -> String {
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
        use Kind::{Busy, DataConnection, Protocol, Timeout, Unreachable};
        let again: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| Fault::new(*kind, Side::Server, "").may_retry())
            .collect();
        assert_eq!(again, [Unreachable, Timeout, Busy, Protocol, DataConnection]);
    }

    #[test]
    fn the_text_begins_with_the_path_and_else_with_the_host() {
        let fault = Fault::protocol("two replies").on("ftp.example.org");
        assert_eq!(fault.to_string(), "ftp.example.org: two replies");
        assert_eq!(fault.at("/a").to_string(), "/a: two replies");
    }

    #[test]
    fn a_missing_file_reads_without_the_number_of_the_error() {
        let error = std::io::Error::from_raw_os_error(2);
        let fault = Fault::local("read", "gone.txt", error);
        assert_eq!(fault.to_string(), "gone.txt: cannot read: no such file or directory");
        assert_eq!(fault.kind, Kind::NotFound);
    }
}
