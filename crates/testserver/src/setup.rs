//! The configuration of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{personality::Personality, plan::FaultPlan};
use portolan_core::{
    clock::Clock,
    limits::{REHEARSAL_IDLE_TIMEOUT, REHEARSAL_OPEN_TIMEOUT, REHEARSAL_SESSIONS_MAX},
};
use portolan_proto::Verb;

/// The configuration of a server. Start from [`ServerSetup::at`] and change fields.
#[derive(Debug, Clone)]
pub struct ServerSetup {
    /// The directory to serve. No path and no link leads out of it.
    pub root: PathBuf,
    /// The address to listen on; port 0 takes any free one.
    pub address: SocketAddr,
    /// The TLS settings; `None` offers no TLS.
    pub tls: Option<ServerTls>,
    /// The credentials; `None` accepts every login.
    pub login: Option<AllowedLogin>,
    /// The real server to imitate; `None` is one without peculiarities.
    pub personality: Option<Personality>,
    /// The faults, in order of precedence; all of them take precedence over the personality.
    pub plans: Vec<FaultPlan>,
    /// The commands that the server does not have.
    pub without: Vec<Verb>,
    /// The maximum number of concurrent sessions; one more is answered 421.
    pub sessions_max: usize,
    /// The time without a command until the server sends 421 and closes the session.
    pub idle_timeout: Duration,
    /// The time to open a data connection until the server answers 425.
    pub open_timeout: Duration,
    /// The current time for `LIST`.
    pub clock: Clock,
    /// The time zone of `LIST`, which is not announced to the client.
    pub zone: TimeZone,
}

impl ServerSetup {
    /// Returns the configuration of a server of `root` that accepts every login on a free port of 127.0.0.1, without
    /// TLS and without faults.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            login: None,
            personality: None,
            plans: Vec::new(),
            without: Vec::new(),
            sessions_max: REHEARSAL_SESSIONS_MAX,
            idle_timeout: REHEARSAL_IDLE_TIMEOUT,
            open_timeout: REHEARSAL_OPEN_TIMEOUT,
            clock: Clock::default(),
            zone: TimeZone::UTC,
        }
    }
}

/// The credentials of a login.
#[derive(Debug, Clone)]
pub struct AllowedLogin {
    /// The argument of `USER`.
    pub user: String,
    /// The argument of `PASS`.
    pub password: String,
    /// The argument of `ACCT`, if the server asks for one (332).
    pub account: Option<String>,
}

/// The TLS settings. The default is explicit, optional, 1.3, with a valid certificate.
#[derive(Debug, Clone, Default)]
pub struct ServerTls {
    /// The start of TLS.
    pub start: TlsStart,
    /// True if neither login nor data are allowed without it.
    pub required: bool,
    /// The highest version.
    pub version_max: Version,
    /// The kind of certificate.
    pub certificate: CertificateKind,
    /// The host names and addresses in the certificate, besides `localhost`, 127.0.0.1 and `::1`.
    pub names: Vec<String>,
}

/// The point at which TLS starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsStart {
    /// After `AUTH TLS`.
    #[default]
    Explicit,
    /// With the connection.
    Implicit,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

/// The kind of certificate that the server presents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CertificateKind {
    /// A valid one.
    #[default]
    Good,
    /// One that expired in the year 2001.
    Expired,
    /// One for `wrong.example` alone.
    WrongName,
    /// One that is not signed by an authority.
    SelfSigned,
    /// A self-signed one marked as an authority (CA), as `openssl req -x509` makes them.
    Authority,
}
