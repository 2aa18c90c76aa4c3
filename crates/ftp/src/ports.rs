//! Inbound ports for active data connections behind a router or packet filter: ports that are known to be forwarded to
//! the local host, and their external numbers. The owner of a session provides them; the `ftp` module knows no router.

use std::{fmt::Debug, net::IpAddr, ops::RangeInclusive};

use async_trait::async_trait;

use portolan_core::error::Result;

/// A request for inbound ports by a session that is about to listen.
#[derive(Debug, Clone)]
pub struct PortRequest {
    /// The local address of the control connection.
    pub ours: IpAddr,
    /// The server's address.
    pub server: IpAddr,
    /// The ports that the user has configured.
    pub ports: Option<RangeInclusive<u16>>,
    /// The external address that the user has configured.
    pub address: Option<IpAddr>,
    /// The maximum number of simultaneous data connections.
    pub count: usize,
    /// True if the user allows requests to the router (`map_ports: "auto"`).
    pub may_ask: bool,
}

/// A set of ports that lead to the local host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundPorts {
    /// The ports, each with its local and its external number.
    pub ports: Vec<MappedPort>,
    /// The external address; `None` if it is the local one.
    pub address: Option<IpAddr>,
}

/// A port on both sides of a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedPort {
    /// The local port to listen on.
    pub here: u16,
    /// The external port to announce.
    pub outside: u16,
}

/// A provider of inbound ports.
#[async_trait]
pub trait PortProvider: Debug + Send + Sync {
    /// Returns the inbound ports for a session, if there are any and it needs them. An error tells why the ports that
    /// it needs are not available; the session continues without.
    async fn open(&self, wish: &PortRequest) -> Result<Option<InboundPorts>>;
}
