//! What to connect to, and how: everything a user may say about one server.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{path::RemotePath, proxy::Proxy, secret::Secret};
use crate::{
    fault::{Fault, Outcome},
    limits::{CONNECT_TIMEOUT, DATA_TIMEOUT, REPLY_TIMEOUT},
};

/// Bytes per second that a transfer must reach: the slowest links in use (GSM, satellites) carry ten times as many, and a
/// byte now and then, that keeps a connection alive, is less.
const MIN_RATE: u64 = 100;

/// In place of a number of sessions: as many as make it faster.
pub const PARALLEL_AUTO: u16 = u16::MAX;

/// How the control connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// By AUTH TLS on the ordinary port (RFC 4217).
    Explicit,
    /// From the first byte, on port 990.
    Implicit,
}

impl Tls {
    /// The word that scripts use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        }
    }
}

/// Who opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What worked last, else passive.
    Auto,
    /// The server.
    Active,
    /// The client.
    Passive,
    /// Whichever delivers first where nothing is known of the server yet, else as `Auto`.
    Race,
}

impl Mode {
    /// The mode of that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Auto, Self::Active, Self::Passive, Self::Race]
            .into_iter()
            .find(|mode| mode.word() == word)
    }

    /// The word that scripts use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Race => "race",
        }
    }
}

/// Whether an upload goes under its final name at once, without a temporary one and a rename.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// Never: where the server refuses the temporary name or the rename, the upload fails.
    Never,
    /// Where the server refuses the one or the other, and no file is seen under the final name.
    #[default]
    Auto,
    /// Always: what stands under the final name is lost when the upload begins.
    Always,
}

impl InPlace {
    /// Every word that scripts and the command line use, and what it means.
    pub const ALL: [(&str, Self); 3] =
        [("false", Self::Never), ("auto", Self::Auto), ("true", Self::Always)];
}

/// Whose certificates are believed.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// A PEM file of authorities to believe besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The same as text, for the embedded server of a rehearsal.
    pub ca_pem: Option<String>,
    /// Our own certificate, PEM.
    pub client_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// SHA-256 of the only certificate to believe, in hexadecimal.
    pub pin: Option<[u8; 32]>,
    /// Believe any certificate; warned about in every run.
    pub insecure: bool,
    /// Speak TLS 1.2 only.
    pub tls12_only: bool,
}

/// One server and everything said about how to reach it.
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
    /// Where to go after the login; the login folder if nothing.
    pub folder: Option<RemotePath>,
    /// Protection of the control connection.
    pub tls: Tls,
    /// Certificates.
    pub trust: Trust,
    /// Who opens data connections.
    pub mode: Mode,
    /// Whether the other mode may be tried when this one fails.
    pub fallback: bool,
    /// Where to listen in active mode.
    pub port_range: Option<RangeInclusive<u16>>,
    /// The address to announce in active mode, when it is not our own.
    pub external_address: Option<IpAddr>,
    /// Whether a router between us and the server may be asked to let data connections in.
    pub map_ports: bool,
    /// The address to connect from.
    pub source_address: Option<IpAddr>,
    /// What every connection goes through.
    pub proxy: Option<Proxy>,
    /// Time to make a connection.
    pub connect_timeout: Duration,
    /// Time without a byte on a data connection.
    pub data_timeout: Duration,
    /// Time for a reply.
    pub reply_timeout: Duration,
    /// Whether names on the server are Latin-1 instead of UTF-8.
    pub latin1: bool,
    /// The command that lists a folder, in place of MLSD or LIST.
    pub list_command: Option<String>,
    /// Sessions that a mirror may use, or [`PARALLEL_AUTO`].
    pub parallel: u16,
    /// Bytes per second to and from this host, in all sessions of a run together.
    pub rate_limit: Option<u64>,
    /// Bytes per second that a transfer must reach over some minutes; 0 is no limit.
    pub min_rate: u64,
    /// Whether uploads go under their final names at once.
    pub in_place: InPlace,
    /// Which of the host's addresses to connect to, where one is chosen.
    pub address: Option<SocketAddr>,
    /// Which of the host's addresses answered last, to be asked first.
    pub last_address: Option<IpAddr>,
    /// Where to go in place of the host: the embedded server of a rehearsal.
    pub detour: Option<SocketAddr>,
}

impl Site {
    /// The name that its certificate must have.
    pub fn certified_name(&self) -> &str {
        if self.detour.is_some() { "localhost" } else { &self.host }
    }

    /// Fails with `invalid` where two things that were said cannot both be.
    pub fn check(&self) -> Outcome<()> {
        if self.proxy.is_some() && self.mode == Mode::Active && !self.fallback {
            let message = "a `proxy` cannot carry mode \"active\", and `fallback` is false";
            return Err(Fault::invalid(message));
        }
        Ok(())
    }

    /// Who opens the data connections that may be tried first, and whether the other may after it. Nobody can
    /// connect to us through a proxy.
    pub(super) fn modes(&self) -> (Mode, bool) {
        if self.proxy.is_some() { (Mode::Passive, false) } else { (self.mode, self.fallback) }
    }

    /// The server `host` with everything as it is by default: anonymous, plain, `auto`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 21,
            user: "anonymous".into(),
            password: None,
            account: None,
            folder: None,
            tls: Tls::Off,
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
