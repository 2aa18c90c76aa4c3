//! The control connection: one command, one reply, in step, within its time; or it is not used again.

mod ahead;
mod command;
mod dial;
mod resync;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use suppaftp::{Encoding, FtpError, tokio::ImplAsyncFtpStream};
use tokio::time::timeout;

use self::ahead::{Ahead, Called};
pub(super) use self::dial::{Line, connect, dial, resolve};
pub use self::{
    ahead::{Early, End, Prepared},
    command::Command,
};
use super::{
    client::client,
    listing::Listing,
    mask::Mask,
    reply::Reply,
    secure::Security,
    site::Site,
    wire::{Breach, Link, Long, Wire},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    limits::BATCH_BYTES_MAX,
    observe::duration_text,
    stop::Stop,
};

/// Text of suppaftp and bytes of ours, one to one: a name passes as it is, in whatever encoding.
#[derive(Debug)]
struct Bytes;

impl Encoding for Bytes {
    fn decode(&self, bytes: &[u8]) -> String {
        bytes.iter().copied().map(char::from).collect()
    }

    fn encode(&self, text: &str) -> io::Result<Vec<u8>> {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| io::ErrorKind::InvalidInput.into()))
            .collect()
    }
}

/// A control connection with one server.
pub struct Control {
    ftp: ImplAsyncFtpStream<Wire>,
    link: Link,
    host: String,
    /// The server's address and port, or the proxy's.
    pub peer: SocketAddr,
    /// Our own.
    pub local: SocketAddr,
    reply_timeout: Duration,
    stop: Stop,
    broken: Option<Fault>,
    /// A final reply that came before the data it speaks of.
    early: Option<Reply>,
    /// A command that was sent ahead of the end of a transfer.
    ahead: Option<Ahead>,
    /// A transfer in active mode that was asked for ahead of the end of the one before.
    called: Option<Called>,
    /// The shortest time that a reply has taken: close to the round trip, whatever the server had to do for others.
    pub round_trip: Duration,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({} at {})", self.host, self.peer)
    }
}

impl Control {
    /// Reads the greeting of `site`; with `implicit`, through TLS from the first byte.
    pub(super) async fn greeted(
        Line { tcp, peer, local, .. }: Line,
        site: &Site,
        implicit: Option<&Security>,
        stop: &Stop,
    ) -> Outcome<(Self, Reply)> {
        let link = Link::default();
        let mask = Mask::at_login(site);
        link.lock().mask = mask.clone();
        if let Some(security) = implicit {
            link.lock().upgrade = Some(security.handshake());
        }
        let greeting = async {
            let mut ftp = client(tcp, link.clone(), &site.host).await.map_err(read_error)?;
            ftp.set_encoding(Bytes).await;
            let reply = further(&mut ftp).await?;
            Ok((ftp, reply))
        };
        let greeting = timeout(site.reply_timeout, tokio::task::unconstrained(greeting));
        let (ftp, reply) = match stop.race(greeting).await? {
            Ok(greeted) => greeted.map_err(|fault: Fault| fault.on(&site.host))?,
            Err(_) => return Err(late("greeting", site.reply_timeout).on(&site.host)),
        };
        let reply = reply.masked(mask);
        let control = Self {
            ftp,
            link,
            host: site.host.clone(),
            peer,
            local,
            reply_timeout: site.reply_timeout,
            stop: stop.clone(),
            broken: None,
            early: None,
            ahead: None,
            called: None,
            round_trip: Duration::MAX,
        };
        Ok((control, reply))
    }

    /// Sends `command` and gives its reply, whatever it says.
    pub async fn ask(&mut self, command: &Command) -> Outcome<Reply> {
        self.ask_within(self.reply_timeout, command).await
    }

    /// The same for a reply that must come in `time`.
    pub async fn ask_within(&mut self, time: Duration, command: &Command) -> Outcome<Reply> {
        self.ready().await?;
        let text = command.as_text();
        let started = Instant::now();
        let answer = answer(&mut self.ftp, text);
        let waited = wait(&self.stop, &mut self.broken, time, answer).await;
        let reply = self.take(waited, &command.verb());
        if reply.is_ok() {
            self.round_trip = self.round_trip.min(started.elapsed());
        }
        self.own(reply, command).await
    }

    /// Sends `commands` in as few packets as servers bear and gives each one's reply, in order.
    ///
    /// Only for commands without data, but for the last: they save a round trip each.
    pub async fn ask_all(&mut self, commands: &[Command]) -> Outcome<Vec<Reply>> {
        self.ask_all_and(commands, None).await
    }

    /// The same with a command behind them whose reply is taken later; see [`take_ahead`](Self::take_ahead).
    pub async fn ask_all_and(
        &mut self,
        commands: &[Command],
        ahead: Option<&'static str>,
    ) -> Outcome<Vec<Reply>> {
        self.ready().await?;
        self.link.lock().long = commands.iter().any(Command::lists).then(Long::default);
        let mut replies = Vec::with_capacity(commands.len());
        let mut rest = commands;
        while let Some((first, others)) = rest.split_first() {
            let mut room = BATCH_BYTES_MAX.saturating_sub(first.length());
            let together = others
                .iter()
                .take_while(|command| {
                    let fits = room >= command.length();
                    room = room.saturating_sub(command.length());
                    fits
                })
                .count();
            let (now, later) = others.split_at_checked(together).unwrap_or((others, &[]));
            let behind = ahead.filter(|_| later.is_empty()).map(Command::bare);
            let lines = now.iter().chain(&behind).flat_map(Command::line).collect();
            self.link.lock().with_next = lines;
            let reply = self.ask(first).await?;
            replies.push(self.whole(reply));
            for command in now {
                let reply = self.next_reply(self.reply_timeout, &command.verb()).await;
                let reply = self.own(reply, command).await?;
                replies.push(self.whole(reply));
            }
            rest = later;
        }
        self.link.lock().long = None;
        self.ahead = ahead.map(|ahead| Ahead::new(ahead, None)).or(self.ahead.take());
        Ok(replies)
    }

    /// The reply with the lines before its last, where those were kept apart.
    fn whole(&self, reply: Reply) -> Reply {
        let mut raw = match &mut self.link.lock().long {
            Some(long) if !long.lines.is_empty() => std::mem::take(&mut long.lines),
            _ => return reply,
        };
        raw.extend_from_slice(&reply.raw);
        Reply { raw, ..reply }
    }

    /// The command's own reply: one that only ends a transfer belongs to the transfer before, and came a second time.
    /// The true one follows, but what else may come is not known: this connection is not used again.
    async fn own(&mut self, reply: Outcome<Reply>, command: &Command) -> Outcome<Reply> {
        match reply {
            Ok(stray) if matches!(stray.code, 150 | 226) && !command.moves_data() => {
                let waited =
                    wait(&self.stop, &mut self.broken, self.reply_timeout, further(&mut self.ftp))
                        .await;
                let reply = self.take(waited, &command.verb());
                self.give_up(&Fault::protocol(format!("a spare \"{}\"", stray.words())));
                reply
            }
            reply => reply,
        }
    }

    /// The next reply to what was sent before: the end of a transfer.
    pub async fn next_reply(&mut self, time: Duration, verb: &str) -> Outcome<Reply> {
        self.usable()?;
        if let Some(early) = self.early.take() {
            return Ok(early);
        }
        let waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
        self.take(waited, verb)
    }

    /// Keeps a reply for [`next_reply`](Self::next_reply): it came too early.
    pub fn put_back(&mut self, reply: Reply) {
        self.early = Some(reply);
    }

    /// Sends `command` and waits for its reply or for `other`, whichever comes first; a reply that came in part is
    /// kept. For active mode, where a data connection may come before the reply.
    pub async fn ask_or<T>(
        &mut self,
        command: &Command,
        other: impl Future<Output = T>,
    ) -> Outcome<Either<T>> {
        self.ready().await?;
        let text = command.as_text();
        // The command first: it must be sent before anything is waited for.
        let either = async {
            tokio::select! {
                biased;
                reply = answer(&mut self.ftp, text) => Either::Reply(reply),
                other = other => Either::Other(other),
            }
        };
        let waited = wait(&self.stop, &mut self.broken, self.reply_timeout, either).await;
        self.take_either(waited, &command.verb())
    }

    /// Waits for `other` or for the next reply, at most `time`; of two that are there, `other` counts.
    pub async fn reply_or<T>(
        &mut self,
        time: Duration,
        verb: &str,
        other: impl Future<Output = T>,
    ) -> Outcome<Either<T>> {
        self.usable()?;
        let either = async {
            tokio::select! {
                biased;
                other = other => Either::Other(other),
                reply = further(&mut self.ftp) => Either::Reply(reply),
            }
        };
        let waited = wait(&self.stop, &mut self.broken, time, either).await;
        self.take_either(waited, verb)
    }

    /// Turns to TLS; the handshake takes place with the next command. Fails on anything sent behind the 234.
    pub fn upgrade(&mut self, security: &Security) {
        self.link.lock().upgrade = Some(security.handshake());
    }

    /// The protocol of the TLS session, when there is one.
    pub fn tls(&self) -> Option<String> {
        self.link.lock().tls.clone()
    }

    /// The server's certificate (DER), when there is a TLS session.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.link.lock().certificate.clone()
    }

    /// Why this connection must not be used any more, if so.
    pub const fn broken(&self) -> Option<&Fault> {
        self.broken.as_ref()
    }

    /// Whether every command that was sent has its reply, or none was sent.
    pub fn sent_nothing(&self) -> bool {
        self.broken.is_some() && self.link.lock().outstanding == 0
    }

    /// Returns `listing` with no secret in the lines that were not taken: they are shown.
    pub fn without_secrets(&self, mut listing: Listing) -> Listing {
        let mask = &self.link.lock().mask;
        for refused in &mut listing.refused {
            refused.line = mask.hide(&refused.line);
        }
        listing
    }

    /// Notes that the login is over: what is no secret is not masked any more.
    pub fn end_login(&mut self) {
        let mut shared = self.link.lock();
        shared.mask = shared.mask.after_login();
    }

    /// Marks the connection as no longer in step.
    pub fn give_up(&mut self, why: &Fault) {
        self.broken.get_or_insert_with(|| why.clone());
    }

    /// Says goodbye, and does not wait for the answer.
    pub fn farewell(&mut self) {
        if self.usable().is_ok() {
            self.link.lock().with_next = b"QUIT\r\n".to_vec();
            // The first poll sends it.
            drop(further(&mut self.ftp).now_or_never());
        }
    }

    /// Closes the connection, with no word.
    pub fn hang_up(&mut self) {
        self.give_up(&Fault::protocol("the control connection was closed here"));
        self.link.lock().is_over = true;
        // The first poll closes it.
        drop(further(&mut self.ftp).now_or_never());
    }

    /// Waits for replies at most so long from now on; for farewells.
    pub const fn hurry(&mut self, time: Duration) {
        self.reply_timeout = time;
    }

    /// Sends `first` and `second` in one packet and gives the reply to the first; that to the second is the next.
    pub async fn ask_with(
        &mut self,
        time: Duration,
        first: &Command,
        second: &Command,
    ) -> Outcome<Reply> {
        self.ready().await?;
        self.link.lock().with_next = second.line();
        let waited =
            wait(&self.stop, &mut self.broken, time, answer(&mut self.ftp, first.as_text())).await;
        self.take(waited, &first.verb())
    }

    /// Fails where nothing more can be sent, and takes in what is still to come.
    async fn ready(&mut self) -> Outcome<()> {
        self.usable()?;
        self.settle().await
    }

    fn usable(&self) -> Outcome<()> {
        self.stop.check()?;
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    fn take(&mut self, waited: Waited<Result<Reply, Fault>>, verb: &str) -> Outcome<Reply> {
        let result = match waited {
            Waited::Done(result) => result,
            Waited::Late(time) => Err(late(verb, time)),
            Waited::Stopped(fault) => Err(fault),
        };
        let mask = self.link.lock().mask.clone();
        let result = result.map_err(|fault| {
            // The words of a server stand in some of them.
            let message = mask.hide_in(&fault.message);
            Fault { message, ..fault.on(&self.host) }
        });
        let result = result.map(|reply| reply.masked(mask));
        match &result {
            Err(fault) => self.give_up(fault),
            // 421 closes the control connection (RFC 959, 5.4).
            Ok(reply) if reply.code == 421 => self.give_up(&reply.fault().on(&self.host)),
            Ok(_) => {}
        }
        result
    }

    fn take_either<T>(
        &mut self,
        waited: Waited<Either<T, Result<Reply, Fault>>>,
        verb: &str,
    ) -> Outcome<Either<T>> {
        let reply = match waited {
            Waited::Done(Either::Other(other)) => return Ok(Either::Other(other)),
            Waited::Done(Either::Reply(reply)) => Waited::Done(reply),
            Waited::Late(time) => Waited::Late(time),
            Waited::Stopped(fault) => Waited::Stopped(fault),
        };
        self.take(reply, verb).map(Either::Reply)
    }
}

/// A reply, or what was awaited beside it.
#[derive(Debug)]
pub enum Either<T, R = Reply> {
    /// The reply came.
    Reply(R),
    /// The other came; the reply is still to come.
    Other(T),
}

enum Waited<T> {
    Done(T),
    Late(Duration),
    Stopped(Fault),
}

/// Marks a connection as no longer in step when it is dropped: the reply that was waited for may still come.
struct InFlight<'a>(&'a mut Option<Fault>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.get_or_insert_with(|| Fault::protocol("a command was left before its reply came"));
    }
}

async fn wait<T>(
    stop: &Stop,
    broken: &mut Option<Fault>,
    time: Duration,
    work: impl Future<Output = T>,
) -> Waited<T> {
    let in_flight = InFlight(broken);
    // Unconstrained: with its budget used up, tokio would leave a TLS record unsent for ever.
    let waited = match stop.race(timeout(time, tokio::task::unconstrained(work))).await {
        Ok(Ok(done)) => Waited::Done(done),
        Ok(Err(_)) => Waited::Late(time),
        Err(fault) => Waited::Stopped(fault),
    };
    // It came to its end, whatever that is: the caller judges it.
    std::mem::forget(in_flight);
    waited
}

async fn answer(ftp: &mut ImplAsyncFtpStream<Wire>, text: String) -> Result<Reply, Fault> {
    read(ftp.custom_command(text, &[]).await)
}

async fn further(ftp: &mut ImplAsyncFtpStream<Wire>) -> Result<Reply, Fault> {
    read(ftp.read_response_in(&[]).await)
}

/// suppaftp is never told which codes to expect, so every reply comes as "unexpected".
fn read(result: suppaftp::FtpResult<suppaftp::types::Response>) -> Result<Reply, Fault> {
    match result {
        Ok(response) | Err(FtpError::UnexpectedResponse(response)) => Reply::new(response.body),
        Err(error) => Err(read_error(error)),
    }
}

fn read_error(error: FtpError) -> Fault {
    let error = match error {
        FtpError::ConnectionError(error) => error,
        FtpError::UnexpectedResponse(reply) => {
            return Reply::new(reply.body).map_or_else(|fault| fault, |reply| reply.fault());
        }
        other => return Fault::protocol(other.to_string()),
    };
    let inner = error.get_ref();
    if let Some(breach) = inner.and_then(|inner| inner.downcast_ref::<Breach>()) {
        return match breach {
            Breach::Closed => Fault::new(Kind::Unreachable, Side::Server, breach.to_string()),
            Breach::Unasked { code: 421, words } => Fault {
                code: 421,
                ..Fault::new(Kind::Busy, Side::Server, format!("the server said \"{words}\""))
            },
            other => Fault::protocol(other.to_string()),
        };
    }
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return super::secure::tls_fault(tls);
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the control connection".to_owned(),
        _ => format!("the control connection broke: {error}"),
    };
    Fault::new(Kind::Unreachable, Side::Network, message).because(error)
}

fn late(verb: &str, time: Duration) -> Fault {
    let message = format!("no answer to {verb} in {}", duration_text(time));
    Fault::new(Kind::Timeout, Side::Server, message)
}
