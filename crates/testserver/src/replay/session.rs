//! One session of a replay: reads commands, and answers them as the recorded server did.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    ReplayShared, cargo,
    normal::renamed,
    playbook::SessionCursor,
    ports::{announced, passive_reply},
    transcript::{Exchange, ExchangeEnd, PlayedReply, PortFate},
};
use crate::{data::DataPort, stream::Stream};
use portolan_core::limits::{COMMAND_BYTES_MAX, REHEARSAL_OPEN_TIMEOUT};
use portolan_proto::Verb;

/// The reply to a command that the recording does not have.
const UNKNOWN: &[u8] = b"502 This command is not in the recording.\r\n";
/// The placeholder for an address in a reply that was not the server's own.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A session with the client.
pub(super) struct ReplayedSession {
    stream: Stream,
    shared: Arc<ReplayShared>,
    cursor: SessionCursor,
    /// The address of the server in the recording.
    recorded_peer: String,
    local: IpAddr,
    peer: IpAddr,
    tls: Option<Arc<ServerConfig>>,
    /// True if data connections are under TLS.
    is_protected: bool,
    port: DataPort,
    /// The number of the port that was named last.
    named_port: u16,
    /// True if the TLS handshake failed.
    tls_failed: bool,
    /// The offset at which the next transfer begins.
    offset: u64,
    /// The bytes that were received and not yet read.
    received: Vec<u8>,
}

impl ReplayedSession {
    /// Serves a client until either side ends the session.
    pub(super) async fn serve(socket: TcpStream, shared: Arc<ReplayShared>) {
        let (Ok(local), Ok(peer)) = (socket.local_addr(), socket.peer_addr()) else { return };
        // Small packets go at once: a reply must not wait for the acknowledgement of the one before.
        drop(socket.set_nodelay(true));
        let (cursor, facts) = shared.book().begin();
        let mut session = Self {
            stream: Stream::Plain(socket),
            tls: Some(shared.identity.config()),
            shared,
            cursor,
            recorded_peer: facts.peer,
            local: local.ip(),
            peer: peer.ip(),
            is_protected: false,
            port: DataPort::Closed,
            named_port: 0,
            tls_failed: facts.tls_failed,
            offset: 0,
            received: Vec::new(),
        };
        if facts.is_implicit && session.secure().await.is_err() {
            return;
        }
        // An error of the connection ends the session: the client has gone.
        session.converse().await.ok();
    }

    async fn converse(&mut self) -> io::Result<()> {
        let mut goes_on = self.hear(b"").await?;
        while goes_on {
            let Some(line) = self.line().await? else { return Ok(()) };
            goes_on = self.hear(&line).await?;
        }
        Ok(())
    }

    /// Returns the next command without its line end; `None` if the client has closed the connection.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=end).collect();
                while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.received.len() > 2 * COMMAND_BYTES_MAX {
                return Ok(None);
            }
            let mut space = [0; 4096];
            let count = self.stream.read(&mut space).await?;
            if count == 0 {
                return Ok(None);
            }
            self.received.extend_from_slice(space.get(..count).unwrap_or_default());
        }
    }

    /// Answers a command; the greeting answers an empty one. Returns false if the session is over.
    async fn hear(&mut self, line: &[u8]) -> io::Result<bool> {
        let found = self.shared.book().answer(&mut self.cursor, line);
        let Some(exchange) = found else {
            self.stream.write_all(UNKNOWN).await?;
            self.stream.flush().await?;
            return Ok(true);
        };
        self.prepare(&exchange, line)?;
        let begin = exchange.replies.iter().take_while(|reply| reply.is_preliminary()).count();
        let (early, late) = exchange.replies.split_at(begin);
        self.say(early, &exchange, line).await?;
        if exchange.verb().is_transfer() {
            let port = std::mem::replace(&mut self.port, DataPort::Closed);
            let offset = std::mem::take(&mut self.offset);
            if let Some(data) = &exchange.data {
                let opened = timeout(REHEARSAL_OPEN_TIMEOUT, self.open(&port)).await;
                if let Ok(Ok(stream)) = opened {
                    let names = self.shared.book().names().to_vec();
                    let is_upload = exchange.verb().is_upload();
                    cargo::carry(stream, data, is_upload, offset, &names).await;
                }
            }
        }
        self.say(late, &exchange, line).await?;
        self.follow(&exchange).await
    }

    /// Does what a command asks for, before it is answered.
    fn prepare(&mut self, exchange: &Exchange, line: &[u8]) -> io::Result<()> {
        let argument = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let text = String::from_utf8_lossy(argument);
        match exchange.verb() {
            Verb::Rest => self.offset = text.trim().parse().unwrap_or(0),
            Verb::Prot => self.is_protected = text.eq_ignore_ascii_case("P") && is_good(exchange),
            Verb::Port | Verb::Eprt => {
                // The client is on this host: no other address is connected.
                let port = announced(exchange.verb(), &text);
                let calling = |port| DataPort::Calling(SocketAddr::new(self.peer, port));
                self.port = port.map_or(DataPort::Closed, calling);
            }
            Verb::Pasv | Verb::Epsv if is_good(exchange) => {
                let ip = if exchange.is_elsewhere { ELSEWHERE } else { self.local };
                let (port, number) = match exchange.port {
                    PortFate::Open => DataPort::listening(ip),
                    PortFate::Refused => DataPort::dead(ip),
                    PortFate::Silent => DataPort::deaf(ip),
                }?;
                self.port = port;
                self.named_port = number;
            }
            _ => {}
        }
        Ok(())
    }

    async fn say(
        &mut self,
        replies: &[PlayedReply],
        exchange: &Exchange,
        line: &[u8],
    ) -> io::Result<()> {
        for reply in replies {
            let names = self.shared.book().names().to_vec();
            let mut bytes = renamed(&reply.bytes, &names);
            match exchange.verb() {
                Verb::Pasv | Verb::Epsv => {
                    let (peer, port) = (&self.recorded_peer, self.named_port);
                    bytes = passive_reply(&bytes, peer, self.local, port);
                }
                Verb::Rest => bytes = renamed(&bytes, &numbers(&exchange.line, line)),
                _ => {}
            }
            self.stream.write_all(&bytes).await?;
        }
        self.stream.flush().await
    }

    /// Switches to TLS, or ends the session, as the recorded one did.
    async fn follow(&mut self, exchange: &Exchange) -> io::Result<bool> {
        if exchange.verb() == Verb::Auth && is_good(exchange) && exchange.end == ExchangeEnd::Open {
            if self.tls_failed {
                return Ok(false);
            }
            self.secure().await?;
        }
        match exchange.end {
            ExchangeEnd::Open => Ok(exchange.verb() != Verb::Quit),
            ExchangeEnd::Closed => {
                std::mem::replace(&mut self.stream, Stream::Gone).finish().await.map(|()| false)
            }
            ExchangeEnd::Reset => {
                std::mem::replace(&mut self.stream, Stream::Gone).reset().await.map(|()| false)
            }
        }
    }

    async fn secure(&mut self) -> io::Result<()> {
        let Some(config) = self.tls.clone() else { return Ok(()) };
        let stream = std::mem::replace(&mut self.stream, Stream::Gone);
        self.stream = stream.secure(config).await?;
        Ok(())
    }

    async fn open(&self, port: &DataPort) -> io::Result<Stream> {
        let stream = Stream::Plain(port.open(self.local, self.peer).await?);
        match &self.tls {
            Some(config) if self.is_protected => stream.secure(Arc::clone(config)).await,
            _ => Ok(stream),
        }
    }
}

fn is_good(exchange: &Exchange) -> bool {
    exchange.replies.last().is_some_and(|reply| (200..300).contains(&reply.code))
}

/// Returns the number in the recorded REST beside that of the one that was sent.
fn numbers(recorded: &[u8], sent: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let number = |line: &[u8]| line.split(|byte| *byte == b' ').nth(1).map(<[u8]>::to_vec);
    number(recorded).zip(number(sent)).into_iter().filter(|(one, other)| one != other).collect()
}
