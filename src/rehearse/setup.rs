//! What the caller chooses about a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{command::Verb, personality::Personality, plan::Plan};
use crate::{
    clock::Clock,
    limits::{REHEARSAL_IDLE_TIMEOUT, REHEARSAL_OPEN_TIMEOUT, REHEARSAL_SESSIONS_MAX},
};

/// Everything about a server, to be changed field by field from [`Setup::at`].
#[derive(Debug, Clone)]
pub struct Setup {
    /// The folder to serve. No path and no link leads out of it.
    pub root: PathBuf,
    /// Where to listen; port 0 takes any free one.
    pub address: SocketAddr,
    /// TLS, if it is offered.
    pub tls: Option<Tls>,
    /// Who may log in; `None` lets everyone in.
    pub login: Option<Login>,
    /// Which real server it behaves like; `None` is one without peculiarities.
    pub personality: Option<Personality>,
    /// The faults, in the order in which they win; all of them win over the personality.
    pub plans: Vec<Plan>,
    /// Commands that the server does not have.
    pub without: Vec<Verb>,
    /// Sessions at the same time; one more is answered 421.
    pub sessions_max: usize,
    /// Time without a command until the server says 421 and closes the session.
    pub idle_timeout: Duration,
    /// Time for a data connection to stand until the server answers 425.
    pub open_timeout: Duration,
    /// What time `LIST` believes it is.
    pub clock: Clock,
    /// In which zone `LIST` shows times; it does not say.
    pub zone: TimeZone,
}

impl Setup {
    /// A server of `root` for everyone on a free port of 127.0.0.1, without TLS and without faults.
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

/// Who may log in, and with what.
#[derive(Debug, Clone)]
pub struct Login {
    /// The argument of `USER`.
    pub user: String,
    /// The argument of `PASS`.
    pub password: String,
    /// The argument of `ACCT`, if the server asks for one (332).
    pub account: Option<String>,
}

/// How TLS is offered. The default is explicit, optional, 1.3, with a good certificate.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// When it begins.
    pub start: Start,
    /// Whether neither login nor data are allowed without it.
    pub required: bool,
    /// The highest version.
    pub version_max: Version,
    /// What is wrong with the certificate, if anything.
    pub certificate: Certificate,
    /// Host names and addresses for which it is good, besides `localhost`, 127.0.0.1 and `::1`.
    pub names: Vec<String>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
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

/// What sort of certificate the server shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Certificate {
    /// One that holds.
    #[default]
    Good,
    /// One that ended in the year 2001.
    Expired,
    /// One for `wrong.example` alone.
    WrongName,
    /// One that no authority has signed.
    SelfSigned,
    /// The same, which says that it is an authority's: so `openssl req -x509` makes them.
    Authority,
}
