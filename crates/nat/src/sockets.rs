//! The sockets of the host, and the programs that hold them: read from `/proc`.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The files of sockets, each with true for UDP.
const FILES: [(&str, bool); 4] = [("tcp", false), ("tcp6", false), ("udp", true), ("udp6", true)];
/// The states of TCP in these files; a UDP socket without a peer has the third.
const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";

/// A socket that waits for others, or has a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostSocket {
    pub(super) is_udp: bool,
    pub(super) local: SocketAddr,
    /// The other end; `None` if it waits for any.
    pub(super) peer: Option<SocketAddr>,
    pub(super) inode: u64,
}

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketOwner {
    pub(super) process: u32,
    pub(super) name: String,
    /// True if the process also has a tunnel device: what comes in by its sockets goes out there.
    pub(super) has_tunnel: bool,
}

/// Returns the sockets that other hosts reach, or that have a peer on another host.
pub(super) fn sockets() -> Vec<HostSocket> {
    let mut found = Vec::new();
    for (name, is_udp) in FILES {
        let text = fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
        found.extend(read(&text, is_udp));
    }
    found
}

/// Returns the sockets of one file.
fn read(text: &str, is_udp: bool) -> impl Iterator<Item = HostSocket> {
    text.lines().skip(1).filter_map(move |line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, peer, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
            return None;
        };
        let is_waiting = *state == if is_udp { UNCONNECTED } else { LISTENING };
        if !is_waiting && *state != ESTABLISHED {
            return None;
        }
        let local = address(local)?;
        let peer = if is_waiting { None } else { Some(address(peer)?) };
        let is_here = local.ip().is_loopback() || peer.is_some_and(|peer| peer.ip().is_loopback());
        let inode = inode.parse().ok()?;
        (!is_here).then_some(HostSocket { is_udp, local, peer, inode })
    })
}

/// Converts an address that the kernel prints as numbers in native byte order, and its port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Returns the holder of each socket, by its number; the kernel's own have none. `None` if this user may not look.
pub(super) fn owners() -> Option<BTreeMap<u64, SocketOwner>> {
    // The first process belongs to root.
    fs::read_dir("/proc/1/fd").ok()?;
    let mut owners = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let (inodes, has_tunnel) = held_by(process);
        if inodes.is_empty() {
            continue;
        }
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let owner = SocketOwner { process, name: name.trim().to_owned(), has_tunnel };
        // The first is the parent of those that inherited the socket.
        for inode in inodes {
            owners.entry(inode).or_insert_with(|| owner.clone());
        }
    }
    Some(owners)
}

/// Returns the numbers of the sockets that a process holds, and true if it has a tunnel device as well.
pub(super) fn held_by(process: u32) -> (Vec<u64>, bool) {
    let (mut inodes, mut has_tunnel) = (Vec::new(), false);
    for file in fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(file.path()) else { continue };
        let target = target.to_string_lossy();
        let number = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(number.and_then(|number| number.parse::<u64>().ok()));
        has_tunnel |= target == "/dev/net/tun";
    }
    (inodes, has_tunnel)
}

/// Returns the ports from which the kernel takes those of clients.
pub(super) fn ephemeral() -> (u16, u16) {
    let text = super::sysctl::read("net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().filter_map(|port| port.parse().ok());
    (ports.next().unwrap_or(32768), ports.next().unwrap_or(60999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_that_others_reach_are_read_with_their_peers() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:1B6E 00000000:0000 0A 0:0 0:0 0 0 0 17 1\n\
            1: 0100007F:0019 00000000:0000 0A 0:0 0:0 0 0 0 18 1\n\
            2: 0132A8C0:1B6E 0A32A8C0:C350 01 0:0 0:0 0 0 0 19 1\n\
            3: 0132A8C0:1B6E 0A32A8C0:C351 06 0:0 0:0 0 0 0 20 1\n";
        let shown = |text: &str, is_udp| -> Vec<_> {
            let shown = read(text, is_udp).map(|one| {
                let peer = one.peer.map(|peer| peer.to_string()).unwrap_or_default();
                format!("{} {peer} {}", one.local, one.inode)
            });
            shown.collect()
        };
        let wanted = ["0.0.0.0:7022  17", "192.168.50.1:7022 192.168.50.10:50000 19"];
        assert_eq!(shown(text, false), wanted);
        let six = "sl\n0: 00000000000000000000000000000000:CA6C \
            00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 21 2\n\
            1: 0000000000000000FFFF00000132A8C0:0016 0000000000000000FFFF00000A32A8C0:C350 01 0:0 0:0 0 0 0 22 2\n";
        assert_eq!(shown(six, true)[0], "[::]:51820  21");
        assert_eq!(shown(six, true)[1], "192.168.50.1:22 192.168.50.10:50000 22");
    }
}
