//! Poolers such as pgbouncer between this host and the server.
//!
//! In transaction mode each transaction may get another session of the server, in which prepared statements of other clients
//! have the same names: to use them would run what others have prepared. So a pooler must be noticed. It answers the login
//! with a number of its own for the session, as the key with which calls are cancelled, and the server has another one.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio_postgres::{
    Client, SimpleQueryMessage,
    tls::{ChannelBinding, TlsConnect, TlsStream},
};

use super::Error;

/// The length of a request to cancel: its length, its code, the number of the session, and a key.
const CANCEL_REQUEST_BYTES: usize = 16;
/// The code of a request to cancel.
const CANCEL_CODE: [u8; 4] = 80_877_102_u32.to_be_bytes();

/// The answer of a server to the first question.
pub(super) struct FirstAnswer {
    /// The version of the server, such as 150018.
    pub(super) version: u32,
    /// True if something between this host and the server shares its sessions.
    pub(super) is_pooled: bool,
}

/// Asks a server for its version, and whether it is the one that has answered the login. A question without preparation, which
/// every pooler passes on.
pub(super) async fn ask(client: &Client) -> Result<FirstAnswer, Error> {
    let question = "SELECT pg_backend_pid(), current_setting('server_version_num')";
    let answer = client.simple_query(question).await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let number = |index| row.and_then(|row| row.try_get(index).ok()??.parse::<u32>().ok());
    let told = session_told(client).await;
    Ok(FirstAnswer {
        version: number(1).unwrap_or(0),
        is_pooled: told.is_none() || told != number(0),
    })
}

/// Returns the number of the session that the login was answered with. The library shows it in requests to cancel only: one is
/// written here that goes nowhere.
async fn session_told(client: &Client) -> Option<u32> {
    let (near, mut far) = duplex(4 * CANCEL_REQUEST_BYTES);
    // The answer to a question for TLS, if it asks.
    far.write_all(b"S").await.ok()?;
    client.cancel_token().cancel_query_raw(near, Nowhere).await.ok()?;
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.ok()?;
    session_in(&bytes)
}

/// Returns the number of the session in what ends with a request to cancel.
fn session_in(bytes: &[u8]) -> Option<u32> {
    let request = bytes.get(bytes.len().checked_sub(CANCEL_REQUEST_BYTES)?..)?;
    let session = request.get(8..12)?.try_into().ok()?;
    (request.get(4..8)? == CANCEL_CODE).then(|| u32::from_be_bytes(session))
}

/// TLS that is none, for a stream that leaves no memory of this process.
struct Nowhere;

impl TlsConnect<DuplexStream> for Nowhere {
    type Stream = PlainStream;
    type Error = io::Error;
    type Future = Ready<io::Result<PlainStream>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(PlainStream(stream)))
    }
}

struct PlainStream(DuplexStream);

impl TlsStream for PlainStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_session_is_read_from_a_request_to_cancel_only() {
        let mut request = vec![0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 1, 2, 9, 9, 9, 9];
        assert_eq!(session_in(&request), Some(258));
        request.splice(0..0, [0, 0, 0, 8, 4, 210, 22, 47]);
        assert_eq!(session_in(&request), Some(258), "after a question for TLS");
        assert_eq!(session_in(&request[..20]), None);
        assert_eq!(session_in(&[]), None);
    }
}
