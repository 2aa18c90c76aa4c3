//! The packets that are sent into a twin, by ordinary sockets of the kernel at the other end of the cable.

use std::{
    fmt,
    fmt::Write,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};
use strum::{EnumString, IntoStaticStr};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, socket_with,
    sockopt::set_socket_reuseaddr,
};

use crate::check::Family;

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Returns its name, as nft writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its source; port 0 stands for any.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Its protocol.
    pub transport: Transport,
    /// The interface by which it comes in; `None` for a packet of the host itself.
    pub device: Option<String>,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, transport, device } = self;
        write!(f, "{} -> {to} ({}", from.ip(), transport.as_str())?;
        match device {
            Some(device) => write!(f, ", in by {device})"),
            None => write!(f, ", from this host)"),
        }
    }
}

impl Packet {
    /// Returns the rule that traces it.
    pub(super) fn trace_rule(&self) -> String {
        let (family, proto) = (Family::of(self.to.ip()).as_str(), self.transport.as_str());
        let (from, to, port) = (self.from.ip(), self.to.ip(), self.to.port());
        format!("{family} saddr {from} {family} daddr {to} {proto} dport {port} meta nftrace set 1")
    }

    /// Returns a datagram that goes after it the same way, to be seen when its trace is complete.
    pub(super) fn follower(&self) -> Self {
        const DISCARD: u16 = 9;
        const ECHO: u16 = 7;
        let port = if self.transport == Transport::Udp && self.to.port() == DISCARD {
            ECHO
        } else {
            DISCARD
        };
        let (from, to) = (SocketAddr::new(self.from.ip(), 0), SocketAddr::new(self.to.ip(), port));
        Self { from, to, transport: Transport::Udp, device: self.device.clone() }
    }

    /// Sends it from this network namespace, and returns its source.
    pub(super) fn send(&self) -> io::Result<SocketAddr> {
        if self.transport == Transport::Udp {
            let socket = UdpSocket::bind(self.from)?;
            socket.send_to(b"portolan", self.to)?;
            return socket.local_addr();
        }
        let family = if self.to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &self.from)?;
        match connect(&socket, &self.to) {
            // The SYN is on its way; nothing more is wanted of the connection.
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        SocketAddr::try_from(getsockname(&socket)?).map_err(io::Error::from)
    }
}

/// Returns the commands of `ip` that let the host at the other end of a cable send `packets`: its addresses, and the
/// address of the gateway's interface for every destination.
pub(super) fn neighbour_commands(packets: &[&Packet], mac: &str) -> String {
    let mut text = String::new();
    for packet in packets {
        let (from, to) = (packet.from.ip(), packet.to.ip());
        let (prefix, more) = if from.is_ipv4() { (32, "") } else { (128, " nodad") };
        writeln!(text, "addr replace {from}/{prefix} dev w{more}").ok();
        writeln!(text, "route replace {to} dev w src {from}").ok();
        writeln!(text, "neigh replace {to} lladdr {mac} dev w nud permanent").ok();
    }
    text
}

/// Returns the table that traces `packets`, as text for nft: from the interfaces of `devices` on, and to the last hooks.
pub(super) fn trace_tables(packets: &[Packet], devices: &[&str]) -> [String; 2] {
    use super::trace::{HERE, SENT, TRACE_TABLE};
    let rules: Vec<_> =
        packets.iter().map(|packet| format!("\t\t{}\n", packet.trace_rule())).collect();
    let (first, last) = (-2_000_000_000, 2_000_000_000);
    let rules = rules.concat();
    let chain = |name: &str, hook: &str, priority: i32, rules: &str| {
        format!("\tchain {name} {{\n\t\ttype filter hook {hook} priority {priority}\n{rules}\t}}\n")
    };
    let head = |family: &str| {
        format!(
            "table {family} {TRACE_TABLE}\ndelete table {family} {TRACE_TABLE}\ntable {family} {TRACE_TABLE} {{\n"
        )
    };
    let inet = [
        head("inet"),
        chain("pre", "prerouting", first, &rules),
        chain("own", "output", first, &rules),
        chain(SENT, "postrouting", last, ""),
        chain(HERE, "input", last, ""),
        "}\n".to_owned(),
    ];
    let mut netdev = head("netdev");
    for (number, device) in devices.iter().enumerate() {
        netdev.push_str(&chain(
            &format!("c{number}"),
            &format!("ingress device \"{device}\""),
            first,
            &rules,
        ));
    }
    netdev.push_str("}\n");
    [inet.concat(), netdev]
}

/// Returns an address of any family as a source whose port the kernel chooses.
pub(super) const fn any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(from: &str, to: &str) -> Packet {
        let from = any_port(from.parse().unwrap());
        let device = Some("eth1".to_owned());
        Packet { from, to: to.parse().unwrap(), transport: Transport::Tcp, device }
    }

    #[test]
    fn a_packet_is_traced_and_followed() {
        let packet = packet("203.0.113.30", "203.0.113.1:21");
        assert_eq!(packet.to_string(), "203.0.113.30 -> 203.0.113.1:21 (tcp, in by eth1)");
        assert_eq!(
            packet.trace_rule(),
            "ip saddr 203.0.113.30 ip daddr 203.0.113.1 tcp dport 21 meta nftrace set 1"
        );
        let after = packet.follower();
        assert_eq!((after.to.port(), after.transport), (9, Transport::Udp));
        assert_eq!(after.follower().to.port(), 7);
    }

    #[test]
    fn a_neighbour_has_the_addresses_of_the_packets() {
        let (four, six) = (packet("10.0.0.9", "10.0.0.1:1"), packet("fd00::9", "[fd00::1]:1"));
        let text = neighbour_commands(&[&four, &six], "02:00:00:00:00:01");
        assert_eq!(
            text,
            "addr replace 10.0.0.9/32 dev w\nroute replace 10.0.0.1 dev w src 10.0.0.9\n\
             neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev w nud permanent\n\
             addr replace fd00::9/128 dev w nodad\nroute replace fd00::1 dev w src fd00::9\n\
             neigh replace fd00::1 lladdr 02:00:00:00:00:01 dev w nud permanent\n"
        );
    }

    #[test]
    fn packets_leave_a_socket() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let from = any_port(to.ip());
        for transport in [Transport::Udp, Transport::Tcp] {
            let sent = Packet { from, to, transport, device: None }.send().unwrap();
            assert!(sent.port() > 0, "{transport:?}");
        }
        assert_eq!("udp".parse(), Ok(Transport::Udp));
    }
}
