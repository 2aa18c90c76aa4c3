//! A control connection: commands and their replies.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use suppaftp::{FtpError, tokio::ImplAsyncFtpStream};
use tokio::time::timeout;

use super::{
    command::{FtpCommand, lines},
    pipeline::{PipelinedCommand, PipelinedTransfer},
};
use crate::{
    listing::Listing,
    path_syntax::PathSyntax,
    profile::ServerProfile,
    recorder::SessionRecorder,
    reply::Reply,
    stream::{GuardedStream, ProtocolViolation},
    stream_state::StreamHandle,
    tls::TlsContext,
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    observe::format_duration,
};
use portolan_proto::{ReplyCode, Verb};

/// A control connection with one server.
pub struct ControlConnection {
    pub(super) ftp: ImplAsyncFtpStream<GuardedStream>,
    pub(super) link: StreamHandle,
    pub(super) host: String,
    /// The server's address and port, or the proxy's.
    pub peer: SocketAddr,
    /// The local address and port.
    pub local: SocketAddr,
    pub(super) reply_timeout: Duration,
    pub(super) stop: CancelToken,
    pub(super) broken: Option<Error>,
    /// A final reply that came before the data it refers to.
    pub(super) early: Option<Reply>,
    /// A command that was sent before the end of a transfer.
    pub(super) ahead: Option<PipelinedCommand>,
    /// A transfer in active mode that was pipelined before the end of the one before.
    pub(super) called: Option<PipelinedTransfer>,
    /// The path syntax of the server.
    pub(crate) syntax: PathSyntax,
    /// The knowledge about the server.
    pub(super) profile: ServerProfile,
    /// The command that was answered last, if it was sent alone.
    pub(super) answered: Option<Verb>,
    /// Set once a packet of several commands was not answered in full.
    pub(super) lost_packet: bool,
    /// The greeting, in which most servers name their software. It came before TLS: nothing but advice relies on it.
    pub(crate) greeting: Box<str>,
}

impl std::fmt::Debug for ControlConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({} at {})", self.host, self.peer)
    }
}

impl ControlConnection {
    /// Sends `command` and returns its reply, whatever it is.
    pub async fn ask(&mut self, command: &FtpCommand) -> Result<Reply> {
        self.ask_within(self.reply_timeout, command).await
    }

    /// Sends `command` and returns its reply, which must come within `time`.
    pub async fn ask_within(&mut self, time: Duration, command: &FtpCommand) -> Result<Reply> {
        self.ready().await?;
        let text = command.as_text(self.syntax);
        let started = Instant::now();
        let answer = answer(&mut self.ftp, text);
        let waited = wait(&self.stop, &mut self.broken, time, answer).await;
        let reply = self.take(waited, &command.word());
        if reply.is_ok() {
            self.profile.record_reply_time(started.elapsed());
        }
        let reply = self.own(reply, command).await?;
        self.answered = Some(command.verb());
        self.without_spare(reply, command).await
    }

    /// Uses `profile`, so that sessions share their observations of the server.
    pub(crate) fn share(&mut self, profile: &ServerProfile) {
        self.profile = profile.clone();
    }

    /// Returns the next reply to a command that was sent before: the end of a transfer.
    pub async fn next_reply(&mut self, time: Duration, what: &str) -> Result<Reply> {
        self.usable()?;
        self.answered = None;
        if let Some(early) = self.early.take() {
            return Ok(early);
        }
        let waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
        self.take(waited, what)
    }

    /// Keeps a reply that came too early for [`next_reply`](Self::next_reply).
    pub fn unread(&mut self, reply: Reply) {
        self.early = Some(reply);
    }

    /// Sends `command` and waits for its reply or for `other`, whichever comes first; a partial reply is kept. For
    /// active mode, in which a data connection may come before the reply.
    pub async fn ask_or<T>(
        &mut self,
        command: &FtpCommand,
        other: impl Future<Output = T>,
    ) -> Result<Either<T>> {
        self.ready().await?;
        self.answered = None;
        let text = command.as_text(self.syntax);
        // The command comes first: it must be sent before anything is awaited.
        let either = async {
            tokio::select! {
                biased;
                reply = answer(&mut self.ftp, text) => Either::Reply(reply),
                other = other => Either::Other(other),
            }
        };
        let waited = wait(&self.stop, &mut self.broken, self.reply_timeout, either).await;
        self.take_either(waited, &command.word())
    }

    /// Waits for `other` or for the next reply, at most `time`; if both are there, `other` wins.
    pub async fn reply_or<T>(
        &mut self,
        time: Duration,
        what: &str,
        other: impl Future<Output = T>,
    ) -> Result<Either<T>> {
        self.usable()?;
        let either = async {
            tokio::select! {
                biased;
                other = other => Either::Other(other),
                reply = further(&mut self.ftp) => Either::Reply(reply),
            }
        };
        let waited = wait(&self.stop, &mut self.broken, time, either).await;
        self.take_either(waited, what)
    }

    /// Switches to TLS; the handshake takes place with the next command. Fails if the server sent anything after the
    /// 234.
    pub fn upgrade(&mut self, security: &TlsContext) {
        self.link.lock().upgrade = Some(security.handshake());
    }

    /// Returns the protocol of the TLS session, if there is one.
    pub fn tls(&self) -> Option<String> {
        self.link.lock().tls.clone()
    }

    /// Returns the server's certificate (DER), if there is a TLS session.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.link.lock().certificate.clone()
    }

    /// Returns the reason why this connection must not be used any more, if there is one.
    pub const fn poison_reason(&self) -> Option<&Error> {
        self.broken.as_ref()
    }

    /// Returns true if it is unusable because several commands in one packet were not answered in full.
    pub const fn lost_packet(&self) -> bool {
        self.broken.is_some() && self.lost_packet
    }

    /// Returns true if the connection is broken and every command that was sent has its reply, or none was sent.
    pub fn sent_nothing(&self) -> bool {
        self.broken.is_some() && self.link.lock().outstanding == 0
    }

    /// Returns `listing` with the secrets masked in the lines that were rejected, because these lines are shown.
    pub fn without_secrets(&self, mut listing: Listing) -> Listing {
        let mask = &self.link.lock().mask;
        for refused in &mut listing.refused {
            refused.line = mask.hide(&refused.line);
        }
        listing
    }

    /// Lets `work` record a data connection, if the run is recorded.
    pub(crate) fn record_data(&self, work: impl FnOnce(&SessionRecorder)) {
        if let Some(recorder) = &self.link.lock().recorder {
            work(recorder);
        }
    }

    /// Marks the login as over: text that is not secret is no longer masked.
    pub fn end_login(&mut self) {
        let mut shared = self.link.lock();
        shared.mask = shared.mask.after_login();
    }

    /// Marks the connection as out of step, so that it is not used again.
    pub fn poison(&mut self, why: &Error) {
        self.broken.get_or_insert_with(|| why.clone());
    }

    /// Sends QUIT without waiting for the reply.
    pub fn quit_nowait(&mut self) {
        if self.usable().is_ok() {
            self.link.lock().with_next = b"QUIT\r\n".to_vec();
            // The first poll sends it.
            drop(further(&mut self.ftp).now_or_never());
        }
    }

    /// Closes the connection without QUIT.
    pub fn close_abruptly(&mut self) {
        self.poison(&Error::protocol("the control connection was closed here"));
        self.link.lock().is_over = true;
        // The first poll closes it.
        drop(further(&mut self.ftp).now_or_never());
    }

    /// Sets the time limit for further replies; for example a short one for QUIT.
    pub const fn set_reply_timeout(&mut self, time: Duration) {
        self.reply_timeout = time;
    }

    /// Sends `first` and `second` in one packet and returns the reply to the first; the next reply is that to the
    /// second.
    pub async fn ask_with(
        &mut self,
        time: Duration,
        first: &FtpCommand,
        second: &FtpCommand,
    ) -> Result<Reply> {
        self.ready().await?;
        self.link.lock().with_next = lines([second], self.syntax);
        let text = first.as_text(self.syntax);
        let waited = wait(&self.stop, &mut self.broken, time, answer(&mut self.ftp, text)).await;
        self.take(waited, &first.word())
    }

    /// Fails if nothing more can be sent, and reads pending replies to pipelined commands.
    pub(super) async fn ready(&mut self) -> Result<()> {
        self.usable()?;
        self.settle().await
    }

    pub(super) fn usable(&self) -> Result<()> {
        self.stop.check()?;
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }

    pub(super) fn take(
        &mut self,
        waited: Waited<Result<Reply, Error>>,
        what: &str,
    ) -> Result<Reply> {
        let result = match waited {
            Waited::Done(result) => result,
            Waited::Late(time) => Err(late(what, time)),
            Waited::Stopped(error) => Err(error),
        };
        let mask = self.link.lock().mask.clone();
        let result = result.map_err(|error| {
            // Some messages contain the server's words.
            let message = mask.hide_in(&error.message);
            Error { message, ..error.with_host(&self.host) }
        });
        let result = result.map(|reply| reply.masked(mask));
        if std::mem::take(&mut self.link.lock().has_spare) {
            self.profile.pipelining().saw_spare(self.answered.take());
        }
        match &result {
            Err(error) => self.poison(error),
            // 421 closes the control connection (RFC 959, 5.4).
            Ok(reply) if reply.code == ReplyCode::SERVICE_UNAVAILABLE => {
                self.poison(&reply.fault().with_host(&self.host));
            }
            Ok(_) => {}
        }
        result
    }

    pub(super) fn take_either<T>(
        &mut self,
        waited: Waited<Either<T, Result<Reply, Error>>>,
        what: &str,
    ) -> Result<Either<T>> {
        let reply = match waited {
            Waited::Done(Either::Other(other)) => return Ok(Either::Other(other)),
            Waited::Done(Either::Reply(reply)) => Waited::Done(reply),
            Waited::Late(time) => Waited::Late(time),
            Waited::Stopped(error) => Waited::Stopped(error),
        };
        self.take(reply, what).map(Either::Reply)
    }
}

/// A reply, or another event that was awaited at the same time.
#[derive(Debug)]
pub enum Either<T, R = Reply> {
    /// The reply came.
    Reply(R),
    /// The other event came first; the reply is still to come.
    Other(T),
}

/// The end of a wait.
pub(super) enum Waited<T> {
    Done(T),
    Late(Duration),
    Stopped(Error),
}

/// A guard that marks a connection as out of step when it is dropped: the awaited reply may still come.
struct InFlight<'a>(&'a mut Option<Error>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.get_or_insert_with(|| Error::protocol("a command was left before its reply came"));
    }
}

pub(super) async fn wait<T>(
    stop: &CancelToken,
    broken: &mut Option<Error>,
    time: Duration,
    work: impl Future<Output = T>,
) -> Waited<T> {
    let in_flight = InFlight(broken);
    // Unconstrained: with its budget used up, tokio would leave a TLS record unsent forever.
    let waited =
        match stop.run_until_cancelled(timeout(time, tokio::task::unconstrained(work))).await {
            Ok(Ok(done)) => Waited::Done(done),
            Ok(Err(_)) => Waited::Late(time),
            Err(error) => Waited::Stopped(error),
        };
    // The wait has finished, whatever the result: the caller judges it.
    std::mem::forget(in_flight);
    waited
}

pub(super) async fn answer(
    ftp: &mut ImplAsyncFtpStream<GuardedStream>,
    text: String,
) -> Result<Reply, Error> {
    read(ftp.custom_command(text, &[]).await)
}

pub(super) async fn further(ftp: &mut ImplAsyncFtpStream<GuardedStream>) -> Result<Reply, Error> {
    read(ftp.read_response_in(&[]).await)
}

/// Converts a result of suppaftp. suppaftp is never told which codes to expect, so every reply comes as "unexpected".
fn read(result: suppaftp::FtpResult<suppaftp::types::Response>) -> Result<Reply, Error> {
    match result {
        Ok(response) | Err(FtpError::UnexpectedResponse(response)) => Reply::new(response.body),
        Err(error) => Err(read_error(error)),
    }
}

pub(super) fn read_error(error: FtpError) -> Error {
    let error = match error {
        FtpError::ConnectionError(error) => error,
        FtpError::UnexpectedResponse(reply) => {
            return Reply::new(reply.body).map_or_else(|error| error, |reply| reply.fault());
        }
        other => return Error::protocol(other.to_string()),
    };
    let inner = error.get_ref();
    if let Some(breach) = inner.and_then(|inner| inner.downcast_ref::<ProtocolViolation>()) {
        return match breach {
            ProtocolViolation::Closed => {
                Error::new(ErrorKind::Unreachable, Origin::Server, breach.to_string())
            }
            ProtocolViolation::Unasked { code: Some(ReplyCode::SERVICE_UNAVAILABLE), words } => {
                Error {
                    code: ReplyCode::SERVICE_UNAVAILABLE.value(),
                    ..Error::new(
                        ErrorKind::Busy,
                        Origin::Server,
                        format!("the server said \"{words}\""),
                    )
                }
            }
            other => Error::protocol(other.to_string()),
        };
    }
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return crate::tls::tls_fault(tls);
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the control connection".to_owned(),
        _ => format!("the control connection broke: {error}"),
    };
    Error::new(ErrorKind::Unreachable, Origin::Network, message).with_source(error)
}

pub(super) fn late(what: &str, time: Duration) -> Error {
    let message = format!("no answer to {what} in {}", format_duration(time));
    Error::new(ErrorKind::Timeout, Origin::Server, message)
}
