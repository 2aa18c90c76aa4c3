//! Questions to the kernel over netlink: its links, addresses, routes and rules.
//!
//! A few messages of rtnetlink (`rtnetlink(7)`) are all that is needed, so they are built and read here; a crate for them
//! would be larger than this module. No message needs a privilege.

pub(super) mod filter;
mod identity;
mod message;
mod routes;

use std::{io, net::IpAddr, os::fd::OwnedFd, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
    socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

pub use self::identity::network_cookie;
use self::message::{Attributes, NetlinkReply, replies, request, u32_of};
use self::routes::default_routes;
pub(super) use self::routes::{DefaultRoute, route};
use super::check::Family;

/// The maximum time until the kernel answers: it does so at once, so more is a fault.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// The size of the buffer for one datagram: the kernel fills at most 32 KiB for a dump.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// The maximum number of datagrams of one answer, so that a fault of the kernel cannot hold us.
const DATAGRAMS_MAX: usize = 4096;

/// The protocol of rtnetlink: the number 0, which is that of no choice.
const ROUTE: Option<Protocol> = None;

/// The types of messages (`linux/rtnetlink.h`).
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const GET_RULE: u16 = 34;

/// The state of the network, as far as rules depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NetworkState {
    pub(super) links: Vec<NetworkLink>,
    /// The addresses of interfaces.
    pub(super) addresses: Vec<(String, IpAddr)>,
    /// The default routes of all tables to which packets may be led.
    pub(super) defaults: Vec<DefaultRoute>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NetworkLink {
    pub(super) index: u32,
    pub(super) name: String,
    /// Its kind, such as `vlan`, `wireguard` or `bridge`; empty for hardware.
    pub(super) kind: String,
    /// The index of the bridge, bond or VRF to which it belongs.
    pub(super) master: Option<u32>,
    /// Its MAC address; empty without one.
    pub(super) mac: String,
}

impl NetworkState {
    /// Asks the kernel; `None` if it cannot be asked, such as under a filter for system calls.
    pub(super) fn read() -> Option<Self> {
        let links = links().ok()?;
        let addresses = addresses(&links).ok()?;
        let defaults = default_routes(&links).ok()?;
        Some(Self { links, addresses, defaults })
    }
}

/// Sends one question about routes and links; see [`ask_of`].
fn ask(kind: u16, is_dump: bool, body: &[u8]) -> io::Result<Vec<NetlinkReply>> {
    ask_of(ROUTE, kind, is_dump, body)
}

/// Sends one question and returns the messages of the answer. A question about everything is a dump.
fn ask_of(
    protocol: Option<Protocol>,
    kind: u16,
    is_dump: bool,
    body: &[u8],
) -> io::Result<Vec<NetlinkReply>> {
    let socket = open(protocol, SocketFlags::empty())?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
    send(&socket, &request(kind, is_dump, body), SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut found = Vec::new();
    for _ in 0..DATAGRAMS_MAX {
        let (_, count) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for reply in replies(buffer.get(..count).unwrap_or_default()) {
            match reply {
                NetlinkReply::Done | NetlinkReply::Failed(0) => return Ok(found),
                NetlinkReply::Failed(number) => return Err(io::Error::from_raw_os_error(number)),
                reply @ NetlinkReply::Data { .. } => {
                    found.push(reply);
                    if !is_dump {
                        return Ok(found);
                    }
                }
            }
        }
    }
    Err(io::Error::other("the kernel's answer has no end"))
}

/// Opens a socket to the kernel.
pub(super) fn open(protocol: Option<Protocol>, flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?)
}

fn links() -> io::Result<Vec<NetworkLink>> {
    const ADDRESS: u16 = 1;
    const NAME: u16 = 3;
    const MASTER: u16 = 10;
    const INFO: u16 = 18;
    const INFO_KIND: u16 = 1;
    // struct ifinfomsg: the family, then the index after the type of hardware.
    const HEAD: usize = 16;
    let replies = ask(GET_LINK, true, &[0; HEAD])?;
    let link = |reply: &NetlinkReply| {
        let (head, attributes) = reply.parts(HEAD)?;
        let mut link = NetworkLink { index: u32_of(head.get(4..8)?)?, ..NetworkLink::default() };
        for (kind, value) in attributes {
            match kind {
                NAME => link.name = message::text(value),
                ADDRESS => link.mac = mac(value),
                MASTER => link.master = u32_of(value),
                INFO => {
                    let kind = Attributes(value).find(|(kind, _)| *kind == INFO_KIND);
                    link.kind = kind.map(|(_, value)| message::text(value)).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(link)
    };
    Ok(replies.iter().filter_map(link).collect())
}

/// Returns a MAC address as text; empty if there is none.
fn mac(bytes: &[u8]) -> String {
    const LENGTH: usize = 6;
    if bytes.len() != LENGTH || bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn addresses(links: &[NetworkLink]) -> io::Result<Vec<(String, IpAddr)>> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    // struct ifaddrmsg: the family first, the index last.
    const HEAD: usize = 8;
    let replies = ask(GET_ADDRESS, true, &[0; HEAD])?;
    let address = |reply: &NetlinkReply| {
        let (head, attributes) = reply.parts(HEAD)?;
        let device = name_of(links, u32_of(head.get(4..8)?)?)?;
        // On a point-to-point link ADDRESS is that of the peer; IPv6 has no LOCAL elsewhere.
        let mut found = None;
        for (kind, value) in attributes {
            match kind {
                LOCAL => found = message::address(value),
                ADDRESS => found = found.or_else(|| message::address(value)),
                _ => {}
            }
        }
        Some((device.to_owned(), found?))
    };
    Ok(replies.iter().filter_map(address).collect())
}

fn name_of(links: &[NetworkLink], index: u32) -> Option<&str> {
    links.iter().find(|link| link.index == index).map(|link| link.name.as_str())
}

/// Returns the number of an address family in messages.
const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_loopback() {
        let Some(state) = NetworkState::read() else {
            assert!(
                open(ROUTE, SocketFlags::empty()).is_err(),
                "netlink is there, and tells nothing"
            );
            return;
        };
        let lo = state.links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.kind.as_str()), (1, ""));
    }
}
