//! The way in for active data connections, where a router or a packet filter stands before this machine: ports that are
//! known to lead here, and how they are called outside. Whoever runs a session grants it; ftp knows no router.

use std::{fmt::Debug, net::IpAddr, ops::RangeInclusive};

use async_trait::async_trait;

use crate::fault::Outcome;

/// What a session wishes that is about to listen.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Our address on the control connection.
    pub ours: IpAddr,
    /// The server's.
    pub server: IpAddr,
    /// The ports that the user has named.
    pub ports: Option<RangeInclusive<u16>>,
    /// The outside address that the user has named.
    pub address: Option<IpAddr>,
    /// How many data connections there may be at a time.
    pub count: usize,
    /// Whether the user lets the router be asked (`map_ports: "auto"`).
    pub may_ask: bool,
}

/// Ports that lead here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Each as it is here and as it is outside.
    pub ports: Vec<Port>,
    /// The address outside; nothing where it is our own.
    pub address: Option<IpAddr>,
}

/// A port on either side of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Where to listen.
    pub here: u16,
    /// What to announce.
    pub outside: u16,
}

/// Grants ways in.
#[async_trait]
pub trait Doors: Debug + Send + Sync {
    /// The door for a session, if there is one and it needs one. A fault says why the one that it needs cannot be had;
    /// the session goes on without.
    async fn open(&self, wish: &Wish) -> Outcome<Option<Door>>;
}
