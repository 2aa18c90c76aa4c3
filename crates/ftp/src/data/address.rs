//! Candidate addresses for passive data connections: the server's own address, whatever its reply names (security class
//! C12). The one exception: a private server may name another private address, as servers behind a load balancer do.

use std::net::{IpAddr, Ipv4Addr};

/// The knowledge about the server's own address before PASV is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PasvHint {
    /// No knowledge: the server's own address is tried first.
    #[default]
    Nothing,
    /// A connection to the server's own address has just timed out.
    Deaf,
    /// The announced address carried data when the server's own did not.
    Worse,
}

/// Returns the addresses to connect to, in order, for a server at `peer` that announces `announced`. A foreign public
/// address is never among them, nor a loopback or link-local one.
pub fn targets(peer: IpAddr, announced: Ipv4Addr, known: PasvHint) -> Vec<IpAddr> {
    let announced = IpAddr::from(announced);
    let peer = peer.to_canonical();
    let may_differ = announced != peer && is_internal(peer) && is_internal(announced);
    match (may_differ, known) {
        (false, PasvHint::Deaf) => vec![],
        (false, _) => vec![peer],
        (true, PasvHint::Nothing) => vec![peer, announced],
        (true, PasvHint::Deaf) => vec![announced],
        (true, PasvHint::Worse) => vec![announced, peer],
    }
}

/// Returns true if an address belongs to a private network that cannot be reached from the Internet: RFC 1918, RFC 6598
/// and RFC 4193. Loopback and link-local addresses do not count: other services listen there.
pub fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || is_carriers(v4),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Returns true if an address cannot be reached from outside its own network.
pub fn is_unroutable(address: IpAddr) -> bool {
    let is_near = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_loopback() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified(),
    };
    is_near || is_internal(address)
}

/// Returns true if an address is a carrier-grade NAT address (RFC 6598, 100.64/10).
pub const fn is_carriers(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(peer: &str, announced: &str, known: PasvHint) -> String {
        let targets = targets(peer.parse().unwrap(), announced.parse().unwrap(), known);
        targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_server_itself_comes_first_and_a_foreign_public_address_never() {
        for (peer, announced, first, after_a_wait, worse) in [
            // The normal case.
            ("203.0.113.10", "203.0.113.10", "203.0.113.10", "", "203.0.113.10"),
            // A server behind NAT that announces its own address.
            ("203.0.113.10", "10.1.2.3", "203.0.113.10", "", "203.0.113.10"),
            ("203.0.113.10", "0.0.0.0", "203.0.113.10", "", "203.0.113.10"),
            ("203.0.113.10", "100.64.0.1", "203.0.113.10", "", "203.0.113.10"),
            // A third host, malicious or behind a public load balancer.
            ("203.0.113.10", "198.51.100.7", "203.0.113.10", "", "203.0.113.10"),
            ("10.0.0.5", "198.51.100.7", "10.0.0.5", "", "10.0.0.5"),
            // Services that listen on the loopback interface only, and the metadata service of clouds.
            ("127.0.0.1", "10.0.0.1", "127.0.0.1", "", "127.0.0.1"),
            ("10.0.0.5", "127.0.0.1", "10.0.0.5", "", "10.0.0.5"),
            ("10.0.0.5", "169.254.169.254", "10.0.0.5", "", "10.0.0.5"),
            ("10.0.0.5", "255.255.255.255", "10.0.0.5", "", "10.0.0.5"),
            ("10.0.0.5", "224.0.0.1", "10.0.0.5", "", "10.0.0.5"),
            // A private load balancer.
            ("10.0.0.5", "10.0.0.6", "10.0.0.5 10.0.0.6", "10.0.0.6", "10.0.0.6 10.0.0.5"),
            (
                "::ffff:192.168.0.5",
                "172.16.0.6",
                "192.168.0.5 172.16.0.6",
                "172.16.0.6",
                "172.16.0.6 192.168.0.5",
            ),
            ("100.64.0.5", "10.0.0.6", "100.64.0.5 10.0.0.6", "10.0.0.6", "10.0.0.6 100.64.0.5"),
        ] {
            let what = format!("{peer} announces {announced}");
            assert_eq!(told(peer, announced, PasvHint::Nothing), first, "{what}");
            assert_eq!(told(peer, announced, PasvHint::Deaf), after_a_wait, "{what}, deaf");
            assert_eq!(told(peer, announced, PasvHint::Worse), worse, "{what}, worse");
        }
    }

    #[test]
    fn the_carriers_addresses_are_a_quarter_of_100() {
        for (address, is) in
            [("100.63.255.255", false), ("100.64.0.0", true), ("100.127.255.255", true)]
        {
            assert_eq!(is_carriers(address.parse().unwrap()), is, "{address}");
        }
        assert!(!is_carriers(Ipv4Addr::new(100, 128, 0, 0)));
    }
}
