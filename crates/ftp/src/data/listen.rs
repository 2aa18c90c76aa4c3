//! Listeners for active data connections, and the address that the server is told to connect to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::{
    ports::{InboundPorts, MappedPort},
    site::Site,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The listen configuration of a session: local ports and the advertised address.
#[derive(Debug, Clone, Copy)]
pub struct ListenConfig<'a> {
    /// The local port range set by the user.
    pub port_range: Option<&'a RangeInclusive<u16>>,
    /// The address to advertise instead of the local one.
    pub external_address: Option<IpAddr>,
    /// The inbound ports, if a router or packet filter provides them.
    pub door: Option<&'a InboundPorts>,
}

impl<'a> ListenConfig<'a> {
    /// Returns the configuration from the options of `site` and the inbound ports.
    pub(crate) const fn of(site: &'a Site, door: Option<&'a InboundPorts>) -> Self {
        let Site { port_range, external_address, .. } = site;
        Self { port_range: port_range.as_ref(), external_address: *external_address, door }
    }
}

/// A listener, and the address at which the server reaches it.
#[derive(Debug)]
pub struct DataListener {
    /// The listener.
    pub listener: TcpListener,
    /// The address that the server is told to connect to.
    pub announced: SocketAddr,
}

/// Listens on the next free inbound port. Ports are used in rotation, not lowest first: a server that connects from
/// port 20 cannot connect to the same port again so soon (Pure-FTPd: 425, measured).
pub fn listen(ours: IpAddr, listen_config: ListenConfig<'_>) -> Result<DataListener> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let ports = ports(listen_config);
    let first = NEXT.fetch_add(1, Ordering::Relaxed) % ports.len().max(1);
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for port in ports.iter().cycle().skip(first).take(ports.len()) {
        match bind(SocketAddr::new(ours, port.here)) {
            Ok(listener) => return data_listener(listener, *port, announced(ours, listen_config)),
            Err(error) => last = error,
        }
    }
    let error = cannot_listen(&last);
    Err(match listen_config.port_range {
        Some(range) => {
            let (first, end) = (range.start(), range.end());
            let message = format!("no free port in {first}-{end} to listen on: {last}");
            Error { message, ..error }
        }
        None => error,
    })
}

fn data_listener(listener: TcpListener, port: MappedPort, address: IpAddr) -> Result<DataListener> {
    let outside = match port.outside {
        0 => listener.local_addr().map_err(|error| cannot_listen(&error))?.port(),
        outside => outside,
    };
    Ok(DataListener { listener, announced: SocketAddr::new(address, outside) })
}

/// Returns the ports to listen on: those of the door, else the user's range, else any port. An external port of 0 means
/// that it equals the local one.
fn ports(listen_config: ListenConfig<'_>) -> Vec<MappedPort> {
    if let Some(door) = listen_config.door.filter(|door| !door.ports.is_empty()) {
        return door.ports.clone();
    }
    let here = listen_config.port_range.cloned().map_or_else(|| vec![0], Iterator::collect);
    here.into_iter().map(|here: u16| MappedPort { here, outside: 0 }).collect()
}

/// Returns the address to advertise: the user's setting takes precedence.
fn announced(ours: IpAddr, listen_config: ListenConfig<'_>) -> IpAddr {
    listen_config
        .external_address
        .or(listen_config.door.and_then(|door| door.address))
        .unwrap_or(ours)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(8)
}

pub(super) fn cannot_listen(error: &io::Error) -> Error {
    Error::new(
        ErrorKind::DataConnection,
        Origin::Here,
        format!("cannot listen for the server: {error}"),
    )
}
