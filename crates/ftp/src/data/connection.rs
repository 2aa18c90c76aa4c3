//! A data connection, in the clear or under TLS.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::recorder::DataRecorder;
use portolan_core::{
    buffer,
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    limits::{DRAIN_TIMEOUT, TLS_READ_BYTES},
};

/// The connection under TLS. rustls reads 4 KiB at a time; the buffer keeps that from costing a quarter of a million
/// system calls per gigabyte.
pub(super) type Buffered = BufReader<TcpStream>;

/// Wraps `tcp` in the buffer that TLS reads through.
pub(super) fn buffered(tcp: TcpStream) -> Buffered {
    BufReader::with_capacity(TLS_READ_BYTES, tcp)
}

enum DataTransport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<Buffered>>),
}

impl DataTransport {
    /// Reads the available data; under TLS, as many records as fit into the buffer.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
        failed: &mut Option<io::Error>,
    ) -> Poll<io::Result<()>> {
        let tls = match self {
            Self::Tcp(tcp) => return Pin::new(tcp).poll_read(cx, space),
            Self::Tls(tls) => tls,
        };
        ready!(Pin::new(tls.as_mut()).poll_read(cx, space))?;
        let mut before = 0;
        while space.filled().len() > before && space.remaining() > 0 {
            before = space.filled().len();
            match Pin::new(tls.as_mut()).poll_read(cx, space) {
                Poll::Ready(Ok(())) => {}
                // The received data comes first, then the error: the system reports a reset only once.
                Poll::Ready(Err(error)) => *failed = Some(error),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// An open data connection. Dropping it abandons the transfer with a plain close: a `close_notify` there makes
/// ProFTPD close the control connection too (measured).
pub struct DataConnection {
    io: DataTransport,
    idle: Duration,
    stop: CancelToken,
    /// The error that the next read returns.
    failed: Option<io::Error>,
    /// The recorder of its bytes, if the run is recorded.
    recorder: Option<DataRecorder>,
}

impl std::fmt::Debug for DataConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.io, DataTransport::Tls(_)) { "Data(TLS)" } else { "Data" })
    }
}

impl DataConnection {
    pub(super) const fn plain(tcp: TcpStream, idle: Duration, stop: CancelToken) -> Self {
        Self { io: DataTransport::Tcp(tcp), idle, stop, failed: None, recorder: None }
    }

    pub(super) fn secure(tls: TlsStream<Buffered>, idle: Duration, stop: CancelToken) -> Self {
        let io = DataTransport::Tls(Box::new(tls));
        Self { io, idle, stop, failed: None, recorder: None }
    }

    /// Hands its bytes to `recorder` from now on.
    pub(super) fn record(&mut self, recorder: DataRecorder) {
        self.recorder = Some(recorder);
    }

    /// Returns true if TLS made a full handshake although the control connection has a session to resume: some servers
    /// refuse that with 425 or 522.
    pub fn is_fresh_tls(&self) -> bool {
        match &self.io {
            DataTransport::Tcp(_) => false,
            DataTransport::Tls(tls) => {
                tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Full)
            }
        }
    }

    /// Returns true if the connection uses TLS.
    pub const fn is_tls(&self) -> bool {
        matches!(self.io, DataTransport::Tls(_))
    }

    /// Reads the available data into `buffer`; 0 is the end of the data. TLS that ends without a `close_notify` is an
    /// error: the data may have been cut off (security class C15).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.read_some(buffer).await;
        if let Some(recorder) = &mut self.recorder {
            match &read {
                Ok(count) => recorder.received(buffer::filled(buffer, *count)?),
                Err(error) => recorder.failed(error),
            }
        }
        read
    }

    async fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(broken(error));
        }
        let mut space = ReadBuf::new(buffer);
        let read = poll_fn(|cx| {
            ready!(self.io.read(cx, &mut space, &mut self.failed))?;
            Poll::Ready(Ok(space.filled().len()))
        });
        match self.stop.run_until_cancelled(timeout(self.idle, read)).await? {
            Ok(read) => read.map_err(broken),
            Err(_) => Err(self.stalled()),
        }
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.write_whole(bytes).await;
        if let (Some(recorder), Err(error)) = (&mut self.recorder, &written) {
            recorder.failed(error);
        }
        written
    }

    async fn write_whole(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let write = async {
                match &mut self.io {
                    DataTransport::Tcp(tcp) => tcp.write(rest).await,
                    DataTransport::Tls(tls) => tls.write(rest).await,
                }
            };
            let count = match self.stop.run_until_cancelled(timeout(self.idle, write)).await? {
                Ok(written) => written.map_err(broken)?,
                Err(_) => return Err(self.stalled()),
            };
            if let Some(recorder) = &mut self.recorder {
                recorder.sent(count);
            }
            rest = buffer::rest(rest, count)?;
        }
        Ok(())
    }

    /// Ends an upload: sends all data and the end of the stream and, under TLS, reads the server's last records, since
    /// its session tickets are among them and the next transfer needs one (vsftpd and TLS 1.3, measured).
    pub async fn finish(mut self) -> Result<()> {
        let stop = self.stop.clone();
        let idle = self.idle;
        let end = async {
            match &mut self.io {
                DataTransport::Tcp(tcp) => tcp.shutdown().await,
                DataTransport::Tls(tls) => {
                    tls.flush().await?;
                    tls.shutdown().await
                }
            }
        };
        match stop.run_until_cancelled(timeout(idle, end)).await? {
            Ok(ended) => ended.map_err(broken)?,
            Err(_) => return Err(self.stalled()),
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.finished();
        }
        if let DataTransport::Tls(tls) = &mut self.io {
            let mut rest = [0_u8; 1024];
            let drain = async { while matches!(tls.read(&mut rest).await, Ok(1..)) {} };
            // A server that keeps the connection open has had its time; the final reply decides.
            let drained = stop.run_until_cancelled(timeout(DRAIN_TIMEOUT, drain)).await?;
            tracing::trace!(target: "portolan::data", "drained: {}", drained.is_ok());
        }
        Ok(())
    }

    fn stalled(&self) -> Error {
        let message = format!("no data moved for {} s", self.idle.as_secs_f32());
        Error::new(ErrorKind::Timeout, Origin::Network, message)
    }
}

fn broken(error: io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the data connection ended without TLS's own end: it may have been cut".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the data connection was closed by the other side".to_owned()
        }
        _ => format!("the data connection broke: {error}"),
    };
    Error::new(ErrorKind::DataConnection, Origin::Network, message).with_source(error)
}
