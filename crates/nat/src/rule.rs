//! A single rule for any packet filter: pure.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{
    check::{Family, Interface, Net, Ports, Protocol},
    nets::NetSet,
};

/// The hook at which packets are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// Assigns the helper to control connections that come in or pass through.
    Helper,
    /// Assigns the helper to the host's own control connections.
    HelperLocal,
    /// Rewrites the destination of connections from other hosts.
    Prerouting,
    /// Rewrites the destination of the host's own connections.
    Output,
    /// Rewrites the source address of outgoing packets.
    Postrouting,
    /// Limits the segments of forwarded TCP connections.
    Clamp,
    /// Filters forwarded packets.
    Forward,
    /// Filters packets to the host.
    Input,
}

impl Hook {
    pub(super) const ALL: [Self; 8] = [
        Self::Helper,
        Self::HelperLocal,
        Self::Prerouting,
        Self::Output,
        Self::Postrouting,
        Self::Clamp,
        Self::Forward,
        Self::Input,
    ];
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// It comes in by one of these interfaces.
    In(Vec<Interface>),
    /// It goes out by this interface.
    Out(Interface),
    /// It is local, over loopback.
    Loopback,
    Source(NetSet),
    Destination(NetSet),
    /// Its destination is in none of these networks.
    NotTo(Vec<Net>),
    /// The destination of its connection, before any translation, is in one of these networks.
    FirstTo(NetSet),
    /// Its destination is an address of the host.
    Local,
    /// It is of this protocol, also where the rule has ports; without this, ports are those of TCP.
    Protocol(Protocol),
    /// It is TCP, from this port.
    SourcePort(u16),
    /// It is to one of these ports.
    Ports(Ports),
    /// It is ICMP, such as an error message.
    Icmp,
    /// It belongs to an established connection.
    Established,
    /// Its connection is related to another one.
    Related,
    /// It is a data connection announced in an FTP session, to an unprivileged port.
    FtpData,
    /// The destination of its connection was translated.
    Translated,
    /// It begins a connection.
    New,
    /// It belongs to no connection, and is not translated therefore.
    Invalid,
    /// It is TCP and announces the size of segments.
    Syn,
    /// It is a DHCP reply, by which the host keeps its own addresses.
    Lease,
}

/// The action on a matching packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RuleAction {
    Helper,
    Masquerade,
    Snat(IpAddr),
    Dnat(DnatTarget),
    /// Limits the segments to those that fit the route.
    ClampMss,
    Accept,
    Drop,
}

/// The destination that a connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DnatTarget {
    pub(super) address: IpAddr,
    /// The port; the same as before if `None`.
    pub(super) port: Option<u16>,
}

impl fmt::Display for DnatTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) hook: Hook,
    /// The only family that it applies to.
    pub(super) family: Option<Family>,
    pub(super) matches: Vec<Match>,
    pub(super) action: RuleAction,
    /// The description of its part, the same for all rules of one part.
    pub(super) note: String,
}

impl Rule {
    /// Returns the protocol of the ports that it matches.
    pub(super) fn protocol(&self) -> Protocol {
        let find = |one: &Match| match one {
            Match::Protocol(protocol) => Some(*protocol),
            _ => None,
        };
        self.matches.iter().find_map(find).unwrap_or_default()
    }

    /// Returns the ports that it matches; `None` if it matches any.
    pub(super) fn ports(&self) -> Option<&Ports> {
        self.matches.iter().find_map(|one| match one {
            Match::Ports(ports) => Some(ports),
            _ => None,
        })
    }
}

/// Creates a rule.
pub(super) fn rule(
    hook: Hook,
    family: Option<Family>,
    matches: Vec<Match>,
    action: RuleAction,
    note: &str,
) -> Rule {
    Rule { hook, family, matches, action, note: note.to_owned() }
}
