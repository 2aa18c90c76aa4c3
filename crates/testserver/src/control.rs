//! The control connection: command lines in, replies out.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{
    command::ClientCommand,
    effect::{CommandEffect, Effect, Twist},
    plan::Scene,
    reply::ServerReply,
    server::ServerShared,
    session::Next,
    stream::Stream,
};
use portolan_core::limits::{COMMAND_BYTES_MAX, LISTING_TIME_MAX, REPLY_TIMEOUT};
use portolan_proto::{ReplyCode, Verb};

/// The pause between two bytes of a slow control connection.
const SLOW_PAUSE: Duration = Duration::from_millis(5);

/// The length of a pause of the control connection.
pub(super) const PAUSE: Duration = Duration::from_millis(300);
/// The delay of a late reply.
pub(super) const LATE: Duration = Duration::from_secs(2);
/// The time for the close of a session.
const FAREWELL: Duration = Duration::from_millis(200);
/// Lines inside of a reply that look like replies.
const TRAP: &[u8] = b"250-Welcome.\r\n257 \"/evil\"\r\n230 users online\r\n 250 not the end\r\n";

/// An interruption of a transfer by the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The client has sent `ABOR`.
    Abort,
    /// The client has closed the control connection.
    Gone,
}

/// A line from the client, if it is of use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReceivedLine {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line longer than the maximum; it was discarded.
    TooLong,
    /// The end of the connection.
    End,
}

/// The control connection of one session.
#[derive(Debug)]
pub(super) struct ClientConnection {
    stream: Stream,
    received: Vec<u8>,
    stage: Arc<ServerShared>,
    number: usize,
    /// True while the rest of a line that is too long is being discarded.
    skipping: bool,
    /// Set once no more commands are read.
    leaving: bool,
    /// The number of bytes of replies so far.
    sent: u64,
    /// The number of commands so far.
    pub(super) heard: u64,
}

impl ClientConnection {
    /// Creates the control connection of a session; `number` identifies the session in the log.
    pub(super) fn new(stream: Stream, stage: Arc<ServerShared>, number: usize) -> Self {
        Self {
            stream,
            received: Vec::new(),
            stage,
            number,
            skipping: false,
            leaving: false,
            sent: 0,
            heard: 0,
        }
    }

    /// Returns true if TLS is active.
    pub(super) const fn is_secure(&self) -> bool {
        self.stream.is_secure()
    }

    /// Starts TLS. Bytes in clear behind the command are an attack, and end the session.
    pub(super) async fn secure(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        if !self.received.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let plain = std::mem::replace(&mut self.stream, Stream::Gone);
        self.stream = timeout(REPLY_TIMEOUT, plain.secure(config)).await??;
        Ok(())
    }

    /// Returns the next line.
    pub(super) async fn line(&mut self) -> io::Result<ReceivedLine> {
        loop {
            if self.leaving {
                return Ok(ReceivedLine::End);
            }
            if let Some(line) = self.take_line() {
                return Ok(line);
            }
            if !self.receive().await? {
                return Ok(ReceivedLine::End);
            }
        }
    }

    /// Waits until the client interrupts a transfer; other commands wait for their turn.
    pub(super) async fn interruption(&mut self) -> Interruption {
        loop {
            if self.leaving {
                return Interruption::Gone;
            }
            if self.received.split_inclusive(|byte| *byte == b'\n').any(is_abort) {
                return Interruption::Abort;
            }
            if self.received.len() >= COMMAND_BYTES_MAX {
                return std::future::pending().await;
            }
            if !self.receive().await.unwrap_or(false) {
                return Interruption::Gone;
            }
        }
    }

    /// Sends the reply to a command, altered by the plans.
    pub(super) async fn reply(&mut self, scene: &Scene<'_>, reply: ServerReply) -> io::Result<()> {
        self.bent(scene, Some(self.heard), reply).await
    }

    /// Sends a reply; `of` is the number of the command of which it is the last reply.
    async fn bent(
        &mut self,
        scene: &Scene<'_>,
        of: Option<u64>,
        reply: ServerReply,
    ) -> io::Result<()> {
        let stage = Arc::clone(&self.stage);
        let twists = stage.plans.every(scene, |effect| match effect {
            Effect::TwistAt(at, twist) if of == Some(*at) => Some(twist.clone()),
            Effect::Twist(verbs, twist) if verbs.is_empty() || verbs.contains(&scene.verb) => {
                Some(twist.clone())
            }
            _ => None,
        });
        let mut reply = reply;
        for twist in twists {
            match twist {
                Twist::Late => sleep(LATE).await,
                Twist::Lost => return Ok(()),
                Twist::Gone => {
                    self.leaving = true;
                    return Ok(());
                }
                Twist::Leave => {
                    self.leaving = true;
                    reply =
                        reply.then(&ServerReply::new(ReplyCode::SERVICE_UNAVAILABLE, "Timeout."));
                }
                Twist::Alone => self.received.clear(),
                Twist::Twice => reply = reply.clone().then(&reply),
                Twist::After(wire) => reply = ServerReply::exactly(wire.to_vec()).then(&reply),
                Twist::More(wire) => reply = reply.then(&ServerReply::exactly(wire.to_vec())),
                Twist::As(wire) => reply = ServerReply::exactly(wire),
                Twist::Bare => reply = reply.bare(),
                Twist::LineFeeds => reply = reply.with_line_feeds(),
                Twist::Trap if reply.wire().starts_with(b"250") => {
                    reply = ServerReply::exactly(TRAP.to_vec()).then(&reply);
                }
                Twist::Trap => {}
            }
        }
        self.send(reply.wire()).await
    }

    /// Sends the first reply of a transfer. Plans for a command alter only its last.
    pub(super) async fn begin(&mut self, reply: ServerReply) -> io::Result<()> {
        self.bent(&Scene::of(Verb::Other), None, reply).await
    }

    /// Performs the action that a plan puts in place of a command.
    pub(super) async fn act(&mut self, verb: Verb, act: CommandEffect) -> io::Result<Next> {
        match act {
            CommandEffect::Say(wire) => self.send(&wire).await.map(|()| Next::Command),
            CommandEffect::SayAndClose(wire) => self.send(&wire).await.map(|()| Next::Close),
            CommandEffect::Silence => Ok(Next::Command),
            CommandEffect::Close => Ok(Next::Close),
            CommandEffect::Endless => {
                self.repeat(verb, "-And another line of a reply without end.\r\n").await
            }
            CommandEffect::EndlessLine => {
                self.repeat(verb, " and more of a line without end").await
            }
        }
    }

    /// Sends the same text repeatedly until the client has gone, or would have had every reason to.
    async fn repeat(&mut self, verb: Verb, text: &str) -> io::Result<Next> {
        let code = if verb == Verb::Greeting { 220 } else { 211 };
        let wire = format!("{code}{text}").repeat(64);
        let endless = async {
            loop {
                if let Err(error) = self.write(wire.as_bytes()).await {
                    return error;
                }
            }
        };
        Err(timeout(LISTING_TIME_MAX, endless).await?)
    }

    /// Sends bytes and logs them.
    pub(super) async fn send(&mut self, wire: &[u8]) -> io::Result<()> {
        self.stage.log.reply(self.number, wire);
        let scene = Scene::of(Verb::Other);
        let before = self.sent;
        self.sent += wire.len() as u64;
        let cut = self.stage.plans.first(&scene, |effect| match effect {
            Effect::CutControl(at) if *at < self.sent => at.checked_sub(before),
            _ => None,
        });
        let end = cut.and_then(|end| usize::try_from(end).ok());
        if let Some(part) = end.and_then(|end| wire.get(..end)) {
            self.write(part).await?;
            self.leaving = true;
            return Ok(());
        }
        let pause = self.stage.plans.first(&scene, |effect| match effect {
            Effect::PauseControl(at) if (before..self.sent).contains(at) => Some(at - before),
            _ => None,
        });
        let middle = pause.and_then(|at| wire.split_at_checked(usize::try_from(at).ok()?));
        if let Some((first, rest)) = middle {
            self.write(first).await?;
            sleep(PAUSE).await;
            return self.write(rest).await;
        }
        let slow = |effect: &Effect| (*effect == Effect::SlowControl).then_some(());
        if self.stage.plans.first(&scene, slow).is_none() {
            return self.write(wire).await;
        }
        for byte in wire {
            self.write(&[*byte]).await?;
            sleep(SLOW_PAUSE).await;
        }
        Ok(())
    }

    async fn write(&mut self, wire: &[u8]) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(wire).await?;
            self.stream.flush().await
        };
        timeout(REPLY_TIMEOUT, writing).await?
    }

    /// Closes the connection, under TLS with `close_notify`. Reads for a moment what still arrives: a socket closed
    /// with unread bytes is reset, and a reset can discard the last reply before the client has read it.
    pub(super) async fn close(mut self) {
        let last = async {
            self.stream.shutdown().await?;
            while self.receive().await? {
                self.received.clear();
            }
            io::Result::Ok(())
        };
        drop(timeout(FAREWELL, last).await);
    }

    /// Returns the next command if it has arrived.
    pub(super) fn take_line(&mut self) -> Option<ReceivedLine> {
        let end = self.received.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            if self.received.len() > COMMAND_BYTES_MAX {
                self.received.clear();
                self.skipping = true;
            }
            return None;
        };
        let mut line: Vec<u8> = self.received.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if std::mem::take(&mut self.skipping) || line.len() > COMMAND_BYTES_MAX {
            return Some(ReceivedLine::TooLong);
        }
        self.heard += 1;
        self.stage.log.command(self.number, &ClientCommand::parse(&line).masked(&line));
        Some(ReceivedLine::Whole(line))
    }

    /// Reads the available bytes; returns false at the end of the connection.
    async fn receive(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).await?;
        self.received.extend_from_slice(bytes.get(..read).unwrap_or_default());
        Ok(read > 0)
    }
}

/// Returns true if a complete line is `ABOR`, whatever Telnet codes precede it.
fn is_abort(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").is_some_and(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        ClientCommand::parse(line).verb == Verb::Abor
    })
}
