//! The suppaftp client on top of our own stream.

use std::{
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{Mutex, PoisonError},
};

use suppaftp::{
    FtpError, FtpResult,
    tokio::{AsyncTlsConnector, ImplAsyncFtpStream},
};
use tokio::net::TcpStream;

use super::{stream::GuardedStream, stream_state::StreamHandle};

/// Returns a suppaftp client on top of the wire over `tcp`.
///
/// suppaftp accepts a custom stream only as the result of the TLS handshake after AUTH. To avoid a second connection,
/// its greeting and AUTH take place over a socket pair inside this process; the wire itself answers the PBSZ and PROT
/// that follow. The server sees none of it.
pub(super) async fn client(
    tcp: TcpStream,
    link: StreamHandle,
    host: &str,
) -> FtpResult<ImplAsyncFtpStream<GuardedStream>> {
    let (host_end, stand_in) = pair().map_err(FtpError::ConnectionError)?;
    let client = ImplAsyncFtpStream::connect_with_stream(stand_in).await?;
    let client = client.into_secure(Connector::new(tcp, link), host).await;
    drop(host_end);
    client
}

/// The number of commands that the wire answers itself: PBSZ and PROT.
const FORMALITIES: u8 = 2;

/// Returns two ends of an in-memory connection: one that has sent all that suppaftp waits for, and suppaftp's own.
fn pair() -> io::Result<(UnixStream, TcpStream)> {
    let (mut host_end, stand_in) = UnixStream::pair()?;
    host_end.write_all(b"220 .\r\n234 .\r\n")?;
    stand_in.set_nonblocking(true)?;
    let stand_in = TcpStream::from_std(OwnedFd::from(stand_in).into())?;
    Ok((host_end, stand_in))
}

/// A connector that gives suppaftp the wire instead of a TLS stream; the end of the socket pair serves as a placeholder
/// when suppaftp asks for a bare socket.
struct Connector {
    tcp: Mutex<Option<TcpStream>>,
    link: StreamHandle,
}

impl Connector {
    const fn new(tcp: TcpStream, link: StreamHandle) -> Self {
        Self { tcp: Mutex::new(Some(tcp)), link }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

#[async_trait::async_trait]
impl AsyncTlsConnector for Connector {
    type Stream = GuardedStream;

    async fn connect(&self, _domain: &str, stand_in: TcpStream) -> FtpResult<GuardedStream> {
        let tcp = self.tcp.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(GuardedStream::new(tcp, self.link.clone(), stand_in, FORMALITIES))
    }
}
