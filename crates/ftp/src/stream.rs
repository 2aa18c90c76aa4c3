//! The stream under suppaftp: it decides what may pass on a control connection.
//!
//! suppaftp writes commands and reads replies; this stream sits below it and
//! - returns one line at a time and hides codes inside a reply, so that no text can forge a reply ([`Framing`]);
//! - refuses a command while an unread reply waits: otherwise the command would get the reply to another one;
//! - limits lines and replies, refuses NUL, and repairs `200` without text;
//! - flushes its output whenever it is asked to read (rustls may hold a record back, `facts` guard 1);
//! - switches to TLS in place, and only if nothing came after the 234 (STARTTLS injection);
//! - doubles the byte 0xFF for servers that interpret Telnet codes, and for no others (`facts` on names);
//! - acknowledges replies at once, for servers with Nagle's algorithm on;
//! - writes the dialogue to the log, without passwords.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use suppaftp::{FtpResult, tokio::TokioTlsStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Connect, client::TlsStream};

use super::{
    framing::{Framed, Framing, Junk, Malformed},
    stream_state::StreamHandle,
    telnet::{escape_iac, first_packet, redact, unescape_iac, without_telnet},
};
use portolan_core::{limits::REPLY_LINE_BYTES_MAX, observe::visible::visible};
use portolan_proto::ReplyCode;

/// The servers whose names contain 0xFF unchanged. The Telnet rules of RFC 959 require it doubled, and ProFTPD does so.
const WITHOUT_TELNET: [&[u8]; 2] = [b"vsFTPd", b"Pure-FTPd"];

/// The reason why this stream, not the network, ended the conversation.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ProtocolViolation {
    /// A reply that nothing had asked for.
    #[error("the server sent a reply that nothing had asked for: \"{words}\"")]
    Unasked {
        /// Its code, if it has one.
        code: Option<ReplyCode>,
        /// Its words.
        words: String,
    },
    /// Input that is no reply, or one without end.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection is closed.
    #[error("the server closed the control connection")]
    Closed,
}

impl From<ProtocolViolation> for io::Error {
    fn from(breach: ProtocolViolation) -> Self {
        Self::new(io::ErrorKind::InvalidData, breach)
    }
}

enum ControlTransport {
    Tcp(TcpStream),
    Shaking(Box<Connect<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    Failed,
}

/// The stream below suppaftp on a control connection.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of another layer")]
pub(super) struct GuardedStream {
    io: ControlTransport,
    link: StreamHandle,
    framing: Framing,
    /// The bytes that were received and not yet returned.
    raw: Vec<u8>,
    /// A line on its way up.
    line: Vec<u8>,
    /// The bytes on their way down.
    out: Vec<u8>,
    /// The number of commands that suppaftp still sends for setup, and that the server never sees; see
    /// [`client`](super::client).
    formalities: u8,
    /// The greeting received so far.
    greeting: Vec<u8>,
    greeted: bool,
    /// The lines before the greeting.
    junk: Junk,
    /// True if 0xFF must be doubled in commands.
    telnet: bool,
    ended: bool,
    /// True if the kernel may still delay the acknowledgement of what was received last.
    is_unacknowledged: bool,
    /// The placeholder that suppaftp takes for the socket; see [`client`](super::client).
    stand_in: TcpStream,
}

impl std::fmt::Debug for GuardedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardedStream")
    }
}

impl GuardedStream {
    /// Returns a stream over `tcp` for a client that still sends this number of `formalities`.
    pub(super) fn new(
        tcp: Option<TcpStream>,
        link: StreamHandle,
        stand_in: TcpStream,
        formalities: u8,
    ) -> Self {
        Self {
            io: tcp.map_or(ControlTransport::Failed, ControlTransport::Tcp),
            link,
            framing: Framing::default(),
            raw: Vec::new(),
            line: Vec::new(),
            out: Vec::new(),
            formalities,
            greeting: Vec::new(),
            greeted: false,
            junk: Junk::default(),
            telnet: true,
            ended: false,
            is_unacknowledged: false,
            stand_in,
        }
    }

    /// Reads what has been received; `Pending` if there is nothing.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Uninitialized: zeros for each read were a tenth of the instructions of a small upload.
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(match &mut self.io {
            ControlTransport::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            ControlTransport::Tls(tls) => Pin::new(tls).poll_read(cx, &mut buffer),
            ControlTransport::Shaking(_) | ControlTransport::Failed => Poll::Pending,
        });
        if read.is_err() || buffer.filled().is_empty() {
            self.link.lock().record_end(read.as_ref().err());
        }
        read?;
        if buffer.filled().is_empty() {
            self.ended = true;
        }
        self.is_unacknowledged = true;
        self.raw.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Switches to TLS if requested; `Pending` during the handshake.
    fn upgrade(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let asked = self.link.lock().upgrade.take();
        if let Some((connector, name)) = asked {
            self.io = match std::mem::replace(&mut self.io, ControlTransport::Failed) {
                ControlTransport::Tcp(tcp) => {
                    ControlTransport::Shaking(Box::new(connector.connect(name, tcp)))
                }
                other => other,
            };
        }
        let ControlTransport::Shaking(connect) = &mut self.io else { return Poll::Ready(Ok(())) };
        match ready!(Pin::new(connect.as_mut()).poll(cx)) {
            Ok(tls) => {
                let session = tls.get_ref().1;
                let mut shared = self.link.lock();
                let version = session.protocol_version();
                shared.tls = version.map(|version| format!("{version:?}").replace('_', "."));
                shared.certificate = session
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .map(|certificate| certificate.to_vec());
                if let Some(recorder) = &shared.recorder {
                    recorder.secured(session);
                }
                drop(shared);
                self.io = ControlTransport::Tls(Box::new(tls));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.io = ControlTransport::Failed;
                self.link.lock().record_end(Some(&error));
                Poll::Ready(Err(error))
            }
        }
    }

    /// Returns a line from the server in printable form, with secrets masked.
    fn without_secrets(&self, line: &[u8]) -> String {
        visible(self.link.lock().mask.hide(line))
    }

    /// Queues whole lines for sending.
    fn queue(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            tracing::debug!(target: "portolan::control", "> {}", redact(line, &self.link.lock().mask));
            self.out.extend_from_slice(line);
            let mut shared = self.link.lock();
            shared.outstanding += 1;
            if let Some(recorder) = &shared.recorder {
                recorder.sent(line, &shared.mask);
            }
        }
    }

    /// Sends what is queued. A full send buffer or a handshake is no error: reading continues it.
    fn push(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.upgrade(cx)?.is_pending() {
            return Ok(());
        }
        while !self.out.is_empty() {
            let packet = first_packet(&self.out);
            let sent = match &mut self.io {
                ControlTransport::Tcp(tcp) => Pin::new(tcp).poll_write(cx, packet),
                ControlTransport::Tls(tls) => Pin::new(tls).poll_write(cx, packet),
                ControlTransport::Shaking(_) | ControlTransport::Failed => {
                    return Err(ProtocolViolation::Closed.into());
                }
            };
            match sent? {
                Poll::Ready(count) => {
                    self.is_unacknowledged = false;
                    drop(self.out.drain(..count));
                }
                Poll::Pending => return Ok(()),
            }
        }
        // `Pending` is fine here as well: the next poll tries again.
        if let ControlTransport::Tls(tls) = &mut self.io
            && let Poll::Ready(flushed) = Pin::new(tls).poll_flush(cx)
        {
            flushed?;
        }
        Ok(())
    }

    /// Puts the next whole line into `self.line`; returns false if there is none yet.
    fn next_line(&mut self) -> io::Result<bool> {
        while let Some(end) = self.raw.iter().position(|byte| *byte == b'\n') {
            let mut raw: Vec<u8> = self.raw.drain(..=end).collect();
            raw.pop();
            if raw.last() == Some(&b'\r') {
                raw.pop();
            }
            tracing::debug!(target: "portolan::control", "< {}", self.without_secrets(&raw));
            if !self.greeted {
                raw = without_telnet(&raw);
            }
            let mut shared = self.link.lock();
            if let Some(recorder) = &shared.recorder {
                recorder.received(&raw, &shared.mask);
            }
            self.framing.set_long(shared.long.is_some());
            let framed = match self.framing.take(&raw) {
                Err(wrong @ Malformed::NoCode(_)) if !self.greeted && self.junk.may_skip(&raw) => {
                    let wrong = wrong.in_words_of(&shared.mask, &raw);
                    shared.babble.get_or_insert(wrong.to_string());
                    continue;
                }
                framed => framed.map_err(|wrong| {
                    ProtocolViolation::from(wrong.in_words_of(&shared.mask, &raw))
                })?,
            };
            let (code, line) = match framed {
                Framed::Blank => continue,
                Framed::Part(_) if let Some(long) = &mut shared.long => {
                    long.take(&raw).map_err(ProtocolViolation::from)?;
                    continue;
                }
                Framed::Part(line) => (None, line),
                Framed::End(code, line) => (Some(code), line),
            };
            drop(shared);
            self.line = line;
            self.line.extend_from_slice(b"\r\n");
            if self.greeted {
                self.count(code);
            } else if !self.greet(code) {
                continue;
            }
            return Ok(true);
        }
        if self.raw.len() > REPLY_LINE_BYTES_MAX {
            return Err(ProtocolViolation::Malformed(Malformed::Endless).into());
        }
        Ok(false)
    }

    /// Buffers the greeting until it is complete, and then returns true; 120 only announces the 220.
    fn greet(&mut self, code: Option<ReplyCode>) -> bool {
        self.greeting.append(&mut self.line);
        match code {
            None => return false,
            Some(ReplyCode::READY_LATER) => {
                self.greeting.clear();
                return false;
            }
            Some(_) => {}
        }
        let says = |name: &&[u8]| self.greeting.windows(name.len()).any(|part| part == *name);
        self.telnet = !WITHOUT_TELNET.iter().any(says);
        self.line = std::mem::take(&mut self.greeting);
        self.greeted = true;
        true
    }

    fn count(&mut self, code: Option<ReplyCode>) {
        let Some(code) = code else { return };
        if code.is_preliminary() {
            self.acknowledge();
        } else {
            let mut shared = self.link.lock();
            shared.outstanding = shared.outstanding.saturating_sub(1);
        }
    }

    /// Acknowledges received data at once: a server with Nagle's algorithm holds its 226 until the 150 is acknowledged,
    /// which costs 40 ms per file (measured). The next command acknowledges as well, so that this is called only where
    /// the server has more to say before one.
    fn acknowledge(&mut self) {
        if !std::mem::take(&mut self.is_unacknowledged) {
            return;
        }
        if let Some(tcp) = self.tcp()
            && let Err(error) = SockRef::from(tcp).set_tcp_quickack(true)
        {
            tracing::trace!(target: "portolan::control", "no quick acknowledgement: {error}");
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match &self.io {
            ControlTransport::Tcp(tcp) => Some(tcp),
            ControlTransport::Tls(tls) => Some(tls.get_ref().0),
            ControlTransport::Shaking(connect) => connect.get_ref(),
            ControlTransport::Failed => None,
        }
    }

    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.line.len().min(buffer.remaining());
        buffer.put_slice(self.line.drain(..count).as_slice());
    }

    /// Fails if there is anything to read although every command was answered.
    fn refuse_unasked(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.link.lock().outstanding > 0 {
            return Ok(());
        }
        if let Poll::Ready(filled) = self.fill(cx) {
            filled?;
        }
        if !self.line.is_empty() || !self.raw.is_empty() {
            let waiting = [self.line.as_slice(), self.raw.as_slice()].concat();
            let code = waiting.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            let code = code.and_then(|digits| digits.parse().ok()).map(ReplyCode::new);
            // Masked before it is truncated: half a secret is not found.
            let shown = self.link.lock().mask.hide(&waiting);
            let words = visible(shown.get(..120).unwrap_or(&shown).trim_ascii_end());
            let is_of_transfer = |code: ReplyCode| {
                code.is_preliminary()
                    || matches!(code, ReplyCode::TRANSFER_COMPLETE | ReplyCode::SERVICE_UNAVAILABLE)
            };
            self.link.lock().has_spare = !code.is_some_and(is_of_transfer);
            return Err(ProtocolViolation::Unasked { code, words }.into());
        }
        if self.ended { Err(ProtocolViolation::Closed.into()) } else { Ok(()) }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if !wire.greeted && !wire.line.is_empty() {
            wire.hand_out(buffer);
            return Poll::Ready(Ok(()));
        }
        if wire.link.lock().is_over {
            wire.io = ControlTransport::Failed;
            return Poll::Ready(Err(ProtocolViolation::Closed.into()));
        }
        let more = std::mem::take(&mut wire.link.lock().with_next);
        let lines = if wire.telnet { escape_iac(&more) } else { more };
        wire.queue(&lines);
        loop {
            wire.push(cx)?;
            ready!(wire.upgrade(cx))?;
            if wire.line.is_empty() && !wire.next_line()? {
                if wire.ended {
                    return Poll::Ready(Err(ProtocolViolation::Closed.into()));
                }
                let filled = wire.fill(cx);
                if filled.is_pending() {
                    wire.acknowledge();
                }
                ready!(filled)?;
                continue;
            }
            wire.hand_out(buffer);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for GuardedStream {
    /// Accepts a command as a whole, so that a cancelled call never leaves half a line.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        command: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if let Some(left) = wire.formalities.checked_sub(1) {
            wire.formalities = left;
            wire.line.extend_from_slice(b"200 .\r\n");
            return Poll::Ready(Ok(command.len()));
        }
        wire.refuse_unasked(cx)?;
        let more = std::mem::take(&mut wire.link.lock().with_next);
        // suppaftp has doubled every 0xFF of `command`, but not those of `more`.
        let lines = if wire.telnet {
            [command, escape_iac(&more).as_slice()].concat()
        } else {
            [unescape_iac(command).as_slice(), &more].concat()
        };
        wire.queue(&lines);
        wire.push(cx)?;
        Poll::Ready(Ok(command.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().push(cx)?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            ControlTransport::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            ControlTransport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            ControlTransport::Shaking(_) | ControlTransport::Failed => Poll::Ready(Ok(())),
        }
    }
}

impl TokioTlsStream for GuardedStream {
    type InnerStream = TcpStream;

    fn tcp_stream(self) -> FtpResult<TcpStream> {
        Ok(self.stand_in)
    }

    fn get_ref(&self) -> &TcpStream {
        &self.stand_in
    }

    fn mut_ref(&mut self) -> &mut TcpStream {
        &mut self.stand_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::long_reply::LongReplyBuffer;
    use portolan_core::limits::LISTING_BYTES_MAX;

    #[test]
    fn the_listings_of_one_packet_take_no_more_than_one_may() {
        let mut long = LongReplyBuffer::default();
        let line = vec![b'x'; LISTING_BYTES_MAX / 4 - 2];
        for _ in 0..4 {
            assert_eq!(long.take(&line), Ok(()));
            // Consumed or not, these bytes count.
            long.lines.clear();
        }
        assert_eq!(long.take(b""), Err(Malformed::EndlessListings));
    }
}
