//! The default gateway of the host, as the kernel's routing table has it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

use super::NatError;
use portolan_core::error::Result;

/// The kernel's table of IPv4 routes.
const ROUTES: &str = "/proc/net/route";
/// The flags of a route that is up and leads to a gateway (`linux/route.h`).
const UP_AND_GATEWAY: u32 = 0x1 | 0x2;
/// The destination port for asking the kernel for a source address; no packet is sent.
const PORT: u16 = 5351;

/// The default gateway, and the host's address towards it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its address on the local network.
    pub address: Ipv4Addr,
    /// The host's address on the way to it.
    pub ours: Ipv4Addr,
    /// The interface that leads to it.
    pub interface: String,
}

impl Gateway {
    /// Returns the gateway of the default route. Fails with `nat.no_gateway` if there is none.
    pub fn find() -> Result<Self> {
        let table = fs::read_to_string(ROUTES).map_err(|error| {
            NatError::NoGateway.fault(format!("cannot read {ROUTES}: {error}")).with_source(error)
        })?;
        let (interface, address) = default_route(&table).ok_or_else(|| {
            let message = "this machine has no default route over IPv4: there is no router to ask";
            NatError::NoGateway.fault(message)
        })?;
        let ours = source_towards(address).ok_or_else(|| {
            let message = format!("this machine has no IPv4 address towards its router {address}");
            NatError::NoGateway.fault(message)
        })?;
        Ok(Self { address, ours, interface })
    }
}

/// Returns the interface and gateway of the default route with the lowest metric. Pure: `table` is `/proc/net/route`.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    let routes = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let interface = fields.next()?;
        let (destination, gateway) = (hex(fields.next()?)?, hex(fields.next()?)?);
        let flags = hex(fields.next()?)?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = hex(fields.next()?)?;
        let is_default = destination == 0 && mask == 0 && gateway != 0;
        (is_default && flags & UP_AND_GATEWAY == UP_AND_GATEWAY)
            .then(|| (metric, interface.to_owned(), address(gateway)))
    });
    routes.min_by_key(|route| route.0).map(|(_, interface, gateway)| (interface, gateway))
}

fn hex(field: &str) -> Option<u32> {
    u32::from_str_radix(field, 16).ok()
}

/// Converts an address that the kernel prints as a number in native byte order.
const fn address(number: u32) -> Ipv4Addr {
    let [a, b, c, d] = number.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// Returns the source address of packets to `gateway`; the kernel chooses it for a connected UDP socket that sends
/// nothing.
fn source_towards(gateway: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddr::from((gateway, PORT))).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ours) if !ours.is_unspecified() => Some(ours),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let own = "eth0\t0032A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let slow = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
        let fast = "eth0\t00000000\t0132A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        let down = "eth1\t00000000\t0137A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n";
        let half = "tun0\t00000000\t0139A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n";
        let link = "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";
        let table = [HEAD, own, slow, fast, down, half, link, "nonsense\n\n"].concat();
        let found = default_route(&table);
        assert_eq!(found, Some(("eth0".to_owned(), Ipv4Addr::new(192, 168, 50, 1))));
        assert_eq!(default_route(&[HEAD, own, link].concat()), None);
        assert_eq!(default_route(""), None);
    }
}
