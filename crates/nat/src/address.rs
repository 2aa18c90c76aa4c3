//! Classification of addresses as reachable from the Internet or not, with the reason.

use std::net::{IpAddr, Ipv4Addr};

/// Returns the reason why `address` cannot be reached from outside, or `None` if it can. Documentation addresses (RFC
/// 5737) count as public: test networks are made of them.
pub fn why_unreachable(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            match v4 {
                _ if is_carriers(v4) => Some("of a carrier's NAT (100.64.0.0/10)"),
                _ if v4.is_private() => Some("private"),
                _ if v4.is_loopback() => Some("loopback"),
                _ if v4.is_link_local() => Some("link-local"),
                _ if a == 0 || v4.is_multicast() || a >= 240 => Some("no host's address"),
                _ if (a, b, c) == (192, 0, 0) => Some("reserved (192.0.0.0/24)"),
                _ if a == 198 && b & 0xfe == 18 => Some("reserved for benchmarks (198.18.0.0/15)"),
                _ => None,
            }
        }
        IpAddr::V6(v6) => match v6 {
            _ if v6.is_unique_local() => Some("private (fc00::/7)"),
            _ if v6.is_unicast_link_local() => Some("link-local"),
            _ if v6.is_loopback() => Some("loopback"),
            _ if v6.is_unspecified() || v6.is_multicast() => Some("no host's address"),
            _ => None,
        },
    }
}

/// Returns true if an address is of the shared space for carrier-grade NAT (RFC 6598).
pub const fn is_carriers(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 100 && b & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_internet_cannot_reach_has_its_reason() {
        for (address, why) in [
            ("10.1.2.3", Some("private")),
            ("172.31.0.1", Some("private")),
            ("192.168.0.1", Some("private")),
            ("100.64.0.1", Some("of a carrier's NAT (100.64.0.0/10)")),
            ("127.0.0.1", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("0.0.0.0", Some("no host's address")),
            ("224.0.0.1", Some("no host's address")),
            ("255.255.255.255", Some("no host's address")),
            ("192.0.0.8", Some("reserved (192.0.0.0/24)")),
            ("198.19.0.1", Some("reserved for benchmarks (198.18.0.0/15)")),
            ("fd00::1", Some("private (fc00::/7)")),
            ("fe80::1", Some("link-local")),
            ("::", Some("no host's address")),
            ("::ffff:10.0.0.1", Some("private")),
            ("203.0.113.1", None),
            ("100.128.0.1", None),
            ("25.0.113.1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(why_unreachable(address.parse().unwrap()), why, "{address}");
        }
    }
}
