//! Where a server's data connections are awaited, and what it is told of that.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{
        door::{Door, Port},
        site::Site,
    },
};

/// Where a session may listen, and what it says of that.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The ports that the user has named.
    pub port_range: Option<&'a RangeInclusive<u16>>,
    /// What to announce, when it is not our own address.
    pub external_address: Option<IpAddr>,
    /// The way in, where a router or packet filter leaves one.
    pub door: Option<&'a Door>,
}

impl<'a> Ground<'a> {
    /// What the options of `site` say of it, and the way in.
    pub(in crate::ftp) const fn of(site: &'a Site, door: Option<&'a Door>) -> Self {
        let Site { port_range, external_address, .. } = site;
        Self { port_range: port_range.as_ref(), external_address: *external_address, door }
    }
}

/// A listener, and how the server reaches it.
#[derive(Debug)]
pub struct Post {
    /// The listener.
    pub listener: TcpListener,
    /// What the server is told to connect to.
    pub announced: SocketAddr,
}

/// Listens on the next free port that leads here. In turn, not lowest first: a server that connects from port 20 cannot
/// come to the same port again so soon (Pure-FTPd: 425, measured).
pub fn listen(ours: IpAddr, ground: Ground<'_>) -> Outcome<Post> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let ports = ports(ground);
    let first = NEXT.fetch_add(1, Ordering::Relaxed) % ports.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for port in ports.iter().cycle().skip(first).take(ports.len()) {
        match bind(SocketAddr::new(ours, port.here)) {
            Ok(listener) => return post(listener, *port, announced(ours, ground)),
            Err(error) => last = error,
        }
    }
    let fault = cannot_listen(&last);
    Err(match ground.port_range {
        Some(range) => {
            let (first, end) = (range.start(), range.end());
            let message = format!("no free port in {first}-{end} to listen on: {last}");
            Fault { message, ..fault }
        }
        None => fault,
    })
}

fn post(listener: TcpListener, port: Port, address: IpAddr) -> Outcome<Post> {
    let outside = match port.outside {
        0 => listener.local_addr().map_err(|error| cannot_listen(&error))?.port(),
        outside => outside,
    };
    Ok(Post { listener, announced: SocketAddr::new(address, outside) })
}

/// Where to listen: at the door, else where the user says, else anywhere. Port 0 outside is the one here.
fn ports(ground: Ground<'_>) -> Vec<Port> {
    if let Some(door) = ground.door.filter(|door| !door.ports.is_empty()) {
        return door.ports.clone();
    }
    let here = ground.port_range.cloned().map_or_else(|| vec![0], Iterator::collect);
    here.into_iter().map(|here: u16| Port { here, outside: 0 }).collect()
}

/// The address to announce: what the user says wins.
fn announced(ours: IpAddr, ground: Ground<'_>) -> IpAddr {
    ground.external_address.or(ground.door.and_then(|door| door.address)).unwrap_or(ours)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(8)
}

pub(super) fn cannot_listen(error: &io::Error) -> Fault {
    Fault::new(Kind::DataConnection, Side::Here, format!("cannot listen for the server: {error}"))
}
