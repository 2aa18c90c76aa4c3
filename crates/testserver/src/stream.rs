//! A connection, in clear or under TLS.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A connection to the client.
#[derive(Debug)]
pub(super) enum Stream {
    /// A connection in clear.
    Plain(TcpStream),
    /// A connection under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// The state during the TLS handshake, and after it has failed.
    Gone,
}

impl Stream {
    /// Returns the same connection under TLS, after the handshake.
    pub(super) async fn secure(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        match self {
            Self::Plain(socket) => {
                let secured = TlsAcceptor::from(config).accept(socket).await?;
                Ok(Self::Tls(Box::new(secured)))
            }
            other => Ok(other),
        }
    }

    /// Returns true if TLS is active and resumed an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
            _ => false,
        }
    }

    /// Returns true if TLS is active.
    pub(super) const fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Closes the sending side, under TLS with `close_notify`.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        self.shutdown().await
    }

    /// Closes the sending side, under TLS without `close_notify`.
    pub(super) async fn finish_rudely(mut self) -> io::Result<()> {
        self.flush().await?;
        match self {
            Self::Tls(tls) => tls.into_inner().0.shutdown().await,
            Self::Plain(mut socket) => socket.shutdown().await,
            Self::Gone => Ok(()),
        }
    }

    /// Resets the connection, after a moment in which the client can read what was sent.
    pub(super) async fn reset(mut self) -> io::Result<()> {
        self.flush().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let socket = match &self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Gone => return Ok(()),
        };
        SockRef::from(socket).set_linger(Some(Duration::ZERO))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
