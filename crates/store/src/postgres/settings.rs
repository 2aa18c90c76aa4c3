//! The address of a PostgreSQL server, with login and TLS.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use super::{
    CALL_TIME_MAX,
    passfile::{self, PasswordOwner},
    tls::PostgresTls,
};
use crate::StorePlace;
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The time without traffic after which a connection is checked.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(10);
/// The time after which a connection whose packets are not acknowledged is broken.
const SILENT_TIME_MAX: Duration = Duration::from_secs(20);
/// The time limit of a connection with each host, before its login.
const HOST_TIME_MAX: Duration = Duration::from_secs(5);

/// The address of a PostgreSQL server, with the login and TLS.
#[derive(Clone)]
pub struct PostgresSettings {
    pub(super) config: Config,
    pub(super) tls: PostgresTls,
    /// The address without its secrets.
    place: String,
    /// The time limit of a call.
    pub(super) calls: Duration,
    /// True if a pooler is to be assumed between this host and the server. One that is there is noticed.
    pub(super) is_pooled: bool,
}

impl std::fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)
    }
}

impl PostgresSettings {
    /// Parses `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE[?OPTIONS]`. TLS with a certificate that is checked is
    /// the default; `sslmode=disable` does without, as does a host that is this one. Fails with `invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, Origin::Script, message);
        if !StorePlace::is_server(text) {
            return Err(invalid("the address of a store begins with `postgres://`".into()));
        }
        // The library would take what follows the first for the host, and show it.
        if text.matches('@').count() > 1 {
            return Err(invalid(
                "the address of the store has more than one `@`: write one in a password as `%40`, or give the password by \
                 PGPASSWORD"
                    .into(),
            ));
        }
        // A password may contain a question mark.
        let (login, place) = text.split_at(text.rfind('@').map_or(0, |at| at + 1));
        let (place, options) = place.split_once('?').unwrap_or((place, ""));
        let address = format!("{login}{place}");
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                    roots = Some(PathBuf::from(path.into_owned()));
                }
                _ => rest.push(option),
            }
        }
        let url =
            if rest.is_empty() { address.clone() } else { format!("{address}?{}", rest.join("&")) };
        // The text of the error says which part, and none of its values.
        let config = url.parse::<Config>();
        let mut config = config.map_err(|error| {
            invalid(format!("the address of the store cannot be used: {}", reason(&error)))
        })?;
        if config.get_hosts().is_empty() {
            return Err(invalid("the address of the store names no host".into()));
        }
        let is_socket = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let is_secured = match mode.as_deref() {
            None => !is_here(&config) || (roots.is_some() && !is_socket),
            Some("verify-full") => !is_socket,
            Some("disable") => false,
            Some(other) => {
                return Err(invalid(format!(
                    "`sslmode={other}` does not check which server answers: use `verify-full`, which is the default, or \
                     `disable` on a network that is trusted"
                )));
            }
        };
        config.ssl_mode(if is_secured { SslMode::Require } else { SslMode::Disable });
        let tls = if is_secured { PostgresTls::new(roots)? } else { PostgresTls::NONE };
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name("portolan");
        config.connect_timeout(HOST_TIME_MAX);
        config.keepalives(true).keepalives_idle(KEEP_ALIVE_IDLE).tcp_user_timeout(SILENT_TIME_MAX);
        let place = place_of(&config);
        Ok(Self { config, tls, place, calls: CALL_TIME_MAX, is_pooled: false })
    }

    /// Returns the same settings, with a pooler assumed.
    #[cfg(test)]
    pub(crate) fn pooled(self) -> Self {
        Self { is_pooled: true, ..self }
    }

    /// Returns the address without its password and its options.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Takes the password from a file in the form of libpq's, unless there is one already. Fails if other users may read it.
    pub fn read_passfile(&mut self, file: &Path) -> Result<()> {
        if self.config.get_password().is_some() {
            return Ok(());
        }
        let Some(text) = passfile::read(file)? else { return Ok(()) };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        let ports = self.config.get_ports();
        let found = self.config.get_hosts().iter().enumerate().find_map(|(at, host)| {
            let host = match host {
                Host::Tcp(name) => name.as_str(),
                Host::Unix(_) => "localhost",
            };
            let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(PORT).to_string();
            passfile::find(&text, PasswordOwner { host, port: &port, database, user })
        });
        if let Some(password) = found {
            self.config.password(password);
        }
        Ok(())
    }

    /// Returns the same settings with a lower time limit of calls and connections.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.calls = time.min(CALL_TIME_MAX);
        self.config.connect_timeout(time.min(HOST_TIME_MAX));
        self.config.tcp_user_timeout(time.min(SILENT_TIME_MAX));
        self
    }

    /// Returns true if the address has a password, which a command line or a file shows.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Sets the password, unless the address has one.
    pub fn set_password(&mut self, password: &str) {
        if self.config.get_password().is_none() {
            self.config.password(password);
        }
    }
}

/// The port of PostgreSQL.
const PORT: u16 = 5432;

/// Returns true if all hosts are this one.
fn is_here(config: &Config) -> bool {
    let is_loopback = |name: &str| {
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback(name),
        Host::Unix(_) => true,
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn reason(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns the address without password and options.
fn place_of(config: &Config) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let host = match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => encoded(&path.to_string_lossy()),
        };
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(PORT);
        if port == PORT { host } else { format!("{host}:{port}") }
    });
    let hosts: Vec<_> = hosts.collect();
    let user = config.get_user().map(|user| encoded(user) + "@").unwrap_or_default();
    let database = config.get_dbname().map(|name| format!("/{name}")).unwrap_or_default();
    format!("postgres://{user}{}{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_address_has_no_password() {
        for (address, place) in [
            ("postgres://u:se%40cret@h:5433/d?sslmode=disable", "postgres://u@h:5433/d"),
            ("postgres://u@h/d?password=secret&sslmode=disable", "postgres://u@h/d"),
            ("postgres://u@%2Frun%2Fpg/d?password=secret", "postgres://u@%2Frun%2Fpg/d"),
            ("postgres://u@[::1]:5433,h:5433/d", "postgres://u@[::1]:5433,h:5433/d"),
            ("postgres://u:se?cret@h/d?sslmode=disable", "postgres://u@h/d"),
            ("postgres://u:se?c=ret@h/d?sslmode=disable", "postgres://u@h/d"),
            ("postgres://u@a,b/d?application_name=x&sslmode=disable", "postgres://u@a,b/d"),
            ("postgresql://h/d?sslmode=disable", "postgres://h/d"),
        ] {
            let settings = PostgresSettings::parse(address).unwrap();
            assert_eq!(settings.place(), place);
            assert!(!format!("{settings:?}").contains("cret"));
        }
        for address in ["postgres://u:se@cret@h/d", "postgres://u@h/d?password=se@cret"] {
            let message = PostgresSettings::parse(address).unwrap_err().message;
            assert!(message.contains("%40") && !message.contains("cret"), "{message}");
        }
    }

    #[test]
    fn a_certificate_is_checked_unless_there_is_none() {
        let mode = |address: &str| PostgresSettings::parse(address).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgres://u@h/d"), SslMode::Require);
        assert_eq!(mode("postgres://u@h/d?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres://u@h/d?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@localhost,127.0.0.1:5433,[::1]/d"), SslMode::Disable);
        assert_eq!(mode("postgres://u@localhost/d?sslmode=verify-full"), SslMode::Require);
        // The name of this host for another one.
        assert_eq!(mode("postgres://u@localhost,db/d"), SslMode::Require);
        assert_eq!(mode("postgres://u@localhost/d?hostaddr=192.0.2.1"), SslMode::Require);
    }

    #[test]
    fn an_address_that_cannot_be_used_says_why_and_no_secret() {
        for (address, word) in [
            ("mysql://h/d", "begins with `postgres://`"),
            ("postgres://u:secret@h/d?sslmode=require", "does not check which server answers"),
            ("postgres://u:secret@h/d?sslmode=prefer", "use `verify-full`"),
            ("postgres://u:secret@h:port/d", "cannot be used"),
            ("postgres://u:secret@h/d?nonsense=1", "cannot be used"),
            ("postgres://u:secret@h/d?sslrootcert=/nowhere/ca.pem", "ca.pem"),
        ] {
            let fault = PostgresSettings::parse(address).unwrap_err().to_string();
            assert!(fault.contains(word) && !fault.contains("secret"), "{address}: {fault}");
        }
    }
}
