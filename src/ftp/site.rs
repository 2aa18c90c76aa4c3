//! The settings of a connection: everything a user may specify about one server.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

pub use crate::{limits::PARALLEL_AUTO, remote::transfer::InPlace};

use super::{path::RemotePath, proxy::Proxy, secret::Secret};
use crate::{
    error::{Error, Result},
    limits::{CONNECT_TIMEOUT, DATA_TIMEOUT, REPLY_TIMEOUT},
};

/// The minimum rate of a transfer in bytes per second: the slowest links in use (GSM, satellites) carry ten times as
/// much, and an occasional byte that keeps a connection alive is less.
const MIN_RATE: u64 = 100;

/// The protection of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// None.
    Off,
    /// AUTH TLS on the ordinary port (RFC 4217).
    Explicit,
    /// TLS from the first byte, on port 990.
    Implicit,
}

impl TlsMode {
    /// Returns the word that scripts use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        }
    }
}

/// The side that opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The mode that worked last, else passive.
    Auto,
    /// The server.
    Active,
    /// The client.
    Passive,
    /// The mode that delivers first if nothing is known of the server yet, else as `Auto`.
    Race,
}

impl Mode {
    /// Returns the mode with that name.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Auto, Self::Active, Self::Passive, Self::Race]
            .into_iter()
            .find(|mode| mode.word() == word)
    }

    /// Returns the word that scripts use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Race => "race",
        }
    }
}

/// The certificates that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// A PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The same as text, for the embedded test server of a rehearsal.
    pub ca_pem: Option<String>,
    /// The client certificate, PEM.
    pub client_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// The SHA-256 of the only certificate to trust.
    pub pin: Option<[u8; 32]>,
    /// True to trust any certificate; warned about in every run.
    pub insecure: bool,
    /// True to speak TLS 1.2 only.
    pub tls12_only: bool,
}

/// A server with all settings for reaching it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name or address, as the user wrote it.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub user: String,
    /// The password.
    pub password: Option<Secret>,
    /// The account, for servers that ask for one (332).
    pub account: Option<Secret>,
    /// The directory to enter after the login; `None` for the login directory.
    pub folder: Option<RemotePath>,
    /// The protection of the control connection.
    pub tls: TlsMode,
    /// The trusted certificates.
    pub trust: Trust,
    /// The side that opens data connections.
    pub mode: Mode,
    /// True if the other mode may be tried when this one fails.
    pub fallback: bool,
    /// The ports to listen on in active mode.
    pub port_range: Option<RangeInclusive<u16>>,
    /// The address to announce in active mode, if it is not the local one.
    pub external_address: Option<IpAddr>,
    /// True if a router between the local host and the server may be asked to let data connections in.
    pub map_ports: bool,
    /// The address to connect from.
    pub source_address: Option<IpAddr>,
    /// The proxy for all connections.
    pub proxy: Option<Proxy>,
    /// The time limit for making a connection.
    pub connect_timeout: Duration,
    /// The time limit without a byte on a data connection.
    pub data_timeout: Duration,
    /// The time limit for a reply.
    pub reply_timeout: Duration,
    /// True if names on the server are Latin-1 instead of UTF-8.
    pub latin1: bool,
    /// The command that lists a directory, in place of MLSD or LIST.
    pub list_command: Option<String>,
    /// The number of sessions that a mirror may use, or [`PARALLEL_AUTO`].
    pub parallel: u16,
    /// The rate limit in bytes per second to and from this host, for all sessions of a run together.
    pub rate_limit: Option<u64>,
    /// The minimum rate of a transfer over some minutes in bytes per second; 0 is no limit.
    pub min_rate: u64,
    /// The rule for uploading directly to final names.
    pub in_place: InPlace,
    /// The address of the host to connect to, if one is chosen.
    pub address: Option<SocketAddr>,
    /// The address of the host that answered last, to be tried first.
    pub last_address: Option<IpAddr>,
    /// The address to connect to in place of the host: the embedded test server of a rehearsal.
    pub detour: Option<SocketAddr>,
}

impl Site {
    /// Returns the name that its certificate must have.
    pub fn certified_name(&self) -> &str {
        if self.detour.is_some() { "localhost" } else { &self.host }
    }

    /// Fails with `invalid` if two settings contradict each other.
    pub fn check(&self) -> Result<()> {
        if self.proxy.is_some() && self.mode == Mode::Active && !self.fallback {
            let message = "a `proxy` cannot carry mode \"active\", and `fallback` is false";
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// Returns the mode to try first, and whether the other may be tried after it. Through a proxy no server can
    /// connect to us.
    pub(super) fn modes(&self) -> (Mode, bool) {
        if self.proxy.is_some() { (Mode::Passive, false) } else { (self.mode, self.fallback) }
    }

    /// Returns the server `host` with default settings: anonymous, plain, `auto`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 21,
            user: "anonymous".into(),
            password: None,
            account: None,
            folder: None,
            tls: TlsMode::Off,
            trust: Trust::default(),
            mode: Mode::Auto,
            fallback: true,
            port_range: None,
            external_address: None,
            map_ports: false,
            source_address: None,
            proxy: None,
            connect_timeout: CONNECT_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            reply_timeout: REPLY_TIMEOUT,
            latin1: false,
            list_command: None,
            parallel: 1,
            min_rate: MIN_RATE,
            in_place: InPlace::Auto,
            rate_limit: None,
            address: None,
            last_address: None,
            detour: None,
        }
    }
}
