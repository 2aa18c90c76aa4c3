//! Data connections: passive ports that listen, or only pretend to, and connections to the client.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};

use portolan_core::limits::STRANGERS_MAX;

/// The number of connections that fill the queue of an unresponsive port: one fits, the others make sure.
const FILLERS: usize = 4;
/// The address from which a third party connects; all of 127/8 is local.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// The bytes that a third party sends.
const RUBBISH: &[u8] = b"this is not the file you asked for\r\n";

/// The origin of the next data connection.
#[derive(Debug)]
pub(super) enum DataPort {
    /// No data connection has been agreed.
    Closed,
    /// The client connects to this listener.
    Listening(TcpListener),
    /// The client is to connect, but cannot.
    Deaf {
        /// The sockets that keep the port unresponsive while they are open.
        _sockets: Vec<Socket>,
    },
    /// The server connects to this address.
    Calling(SocketAddr),
}

impl DataPort {
    /// Opens a port to which the client can connect.
    pub(super) fn listening(ip: IpAddr) -> io::Result<(Self, u16)> {
        let listener = std::net::TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((Self::Listening(TcpListener::from_std(listener)?), port))
    }

    /// Returns a port without a listener: one that was free just now.
    pub(super) fn dead(ip: IpAddr) -> io::Result<(Self, u16)> {
        let port = std::net::TcpListener::bind((ip, 0))?.local_addr()?.port();
        Ok((Self::Deaf { _sockets: Vec::new() }, port))
    }

    /// Opens a port that answers no handshake: its queue of connections is full and never emptied.
    pub(super) fn deaf(ip: IpAddr) -> io::Result<(Self, u16)> {
        let domain = Domain::for_address(SocketAddr::new(ip, 0));
        let listener = Socket::new(domain, Type::STREAM, None)?;
        listener.bind(&SocketAddr::new(ip, 0).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let port = address.as_socket().map_or(0, |address| address.port());
        let mut sockets = vec![listener];
        for _ in 0..FILLERS {
            let filler = Socket::new(domain, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            // It returns "in progress", and stays in this state once the queue is full.
            drop(filler.connect(&address));
            sockets.push(filler);
        }
        Ok((Self::Deaf { _sockets: sockets }, port))
    }

    /// Discards the agreement.
    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }

    /// Opens the connection with `peer`; an active one comes from `local`. Has no deadline of its own.
    pub(super) async fn open(&self, local: IpAddr, peer: IpAddr) -> io::Result<TcpStream> {
        let socket = match self {
            Self::Closed => return Err(io::ErrorKind::NotConnected.into()),
            Self::Deaf { .. } => return std::future::pending().await,
            Self::Listening(listener) => accept(listener, peer).await?,
            Self::Calling(address) => connect(local, *address).await?,
        };
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// Lets a third party connect first, if there is another address to connect from.
    pub(super) async fn let_stranger_call(&self) -> io::Result<Option<TcpStream>> {
        let Self::Calling(address @ SocketAddr::V4(_)) = self else { return Ok(None) };
        let mut stranger = connect(STRANGER.into(), *address).await?;
        stranger.write_all(RUBBISH).await?;
        sleep(Duration::from_millis(20)).await;
        Ok(Some(stranger))
    }
}

/// Accepts the connection of `peer`, and no other.
async fn accept(listener: &TcpListener, peer: IpAddr) -> io::Result<TcpStream> {
    for _ in 0..STRANGERS_MAX {
        let (socket, from) = listener.accept().await?;
        if from.ip() == peer {
            return Ok(socket);
        }
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}
