//! The settings of a connection: everything a user may specify about one server.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};
use strum::{EnumString, IntoStaticStr};

pub use portolan_core::limits::PARALLEL_AUTO;
pub use portolan_remote::{transfer::InPlace, transfer_options::TransferType};

pub use super::site_options::OPTIONS;
use super::{
    mask::Mask,
    path::{NameEncoding, RemotePath},
    proxy::Proxy,
    secret::Secret,
};
use portolan_core::{
    error::{Error, Result},
    limits::{CONNECT_TIMEOUT, DATA_TIMEOUT, REPLY_TIMEOUT, RETRY_WAIT},
};

/// The minimum rate of a transfer in bytes per second: the slowest links in use (GSM, satellites) carry ten times as
/// much, and an occasional byte that keeps a connection alive is less.
const MIN_RATE: u64 = 100;

/// The silence after which a control connection is probed: NAT boxes forget one after a minute at the earliest.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);

/// The protection of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
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
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The side that opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
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
    /// Returns the word that scripts use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The family of the addresses to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// Both; the first address that answers is used.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl AddressFamily {
    /// Returns true if `address` is of this family.
    pub(super) const fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    /// Returns its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "IP",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
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

/// The source of a password, queried only at login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The secret of that name.
    Secret(String),
    /// The first line that a program prints: its name and its arguments.
    Command(Vec<String>),
}

/// The form of temporary names on a server: that of the file, with something before and after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TempNames {
    /// The text before the name.
    pub prefix: String,
    /// The text behind it.
    pub suffix: String,
    /// The directory; one that is not absolute is below that of the file.
    pub directory: Option<RemotePath>,
}

impl TempNames {
    /// Returns the path of the temporary file for `remote`.
    pub(super) fn path_of(&self, remote: &RemotePath) -> Result<RemotePath> {
        let folder = match &self.directory {
            Some(directory) => remote.parent().resolve(directory)?,
            None => remote.parent(),
        };
        folder.join(&[self.prefix.as_bytes(), remote.name(), self.suffix.as_bytes()].concat())
    }
}

/// The origin of the proxy of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyOrigin {
    /// None: the environment may name a proxy.
    Unset,
    /// The option `proxy`, which may also ask for none.
    Option,
    /// The environment variable of that name.
    Environment(&'static str),
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
    /// The source of the password, if there is none yet.
    pub password_from: Option<PasswordSource>,
    /// The account, for servers that ask for one (332).
    pub account: Option<Secret>,
    /// The directory to enter after the login; `None` for the login directory.
    pub folder: Option<RemotePath>,
    /// The protection of the control connection.
    pub tls: TlsMode,
    /// True if a server without TLS may be used without it, unless it has offered TLS before.
    pub tls_if_offered: bool,
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
    /// The family of the addresses to connect to.
    pub family: AddressFamily,
    /// The address to connect from.
    pub source_address: Option<IpAddr>,
    /// The proxy for all connections.
    pub proxy: Option<Proxy>,
    /// The origin of the proxy, or of its absence.
    pub proxy_origin: ProxyOrigin,
    /// The time limit for making a connection.
    pub connect_timeout: Duration,
    /// The time limit without a byte on a data connection.
    pub data_timeout: Duration,
    /// The time limit for a reply.
    pub reply_timeout: Duration,
    /// The silence on the control connection after which TCP probes it; `None` for no probes.
    pub keepalive: Option<Duration>,
    /// The maximum wait before the first retry after a temporary error.
    pub retry_wait: Duration,
    /// The encoding of names on the server.
    pub encoding: NameEncoding,
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
    /// The form of temporary names on the server, if it is not the usual one.
    pub temp: Option<Box<TempNames>>,
    /// The SITE commands that are sent after each login.
    pub site_commands: Vec<String>,
    /// The type of the transfer that is on its way.
    pub transfer_type: TransferType,
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

    /// Returns the mask for the replies to its login.
    pub(super) fn login_mask(&self) -> Mask {
        let proxy = self.proxy.iter().filter_map(Proxy::password);
        Mask::at_login(&self.user, self.password.as_ref(), self.account.iter().chain(proxy))
    }

    /// Changes the protection; the port follows it if it is a default port.
    pub(super) fn set_tls(&mut self, tls: TlsMode) {
        match (tls, self.port) {
            (TlsMode::Implicit, 21) => self.port = 990,
            (TlsMode::Off | TlsMode::Explicit, 990) => self.port = 21,
            _ => {}
        }
        self.tls = tls;
        self.tls_if_offered = false;
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
            password_from: None,
            account: None,
            folder: None,
            tls: TlsMode::Off,
            tls_if_offered: false,
            trust: Trust::default(),
            mode: Mode::Auto,
            fallback: true,
            port_range: None,
            external_address: None,
            map_ports: false,
            family: AddressFamily::Any,
            source_address: None,
            proxy: None,
            proxy_origin: ProxyOrigin::Unset,
            connect_timeout: CONNECT_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            reply_timeout: REPLY_TIMEOUT,
            keepalive: Some(KEEPALIVE),
            retry_wait: RETRY_WAIT,
            encoding: NameEncoding::Same,
            list_command: None,
            parallel: PARALLEL_AUTO,
            min_rate: MIN_RATE,
            in_place: InPlace::Auto,
            temp: None,
            site_commands: Vec::new(),
            transfer_type: TransferType::Binary,
            rate_limit: None,
            address: None,
            last_address: None,
            detour: None,
        }
    }
}
