//! A command that is sent ahead: as soon as the data of a transfer has ended, before the reply that ends the transfer.
//!
//! This saves one round trip per file. Not every server supports it: some answer the pipelined command first, some
//! refuse it while they still wait for the end of the data. [`ServerProfile`](crate::profile) decides which servers get
//! such a command, and when.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{
    command::{FtpCommand, lines},
    connection::ControlConnection,
};
use crate::{data::listen::DataListener, path_syntax::PathSyntax, reply::Reply};
use portolan_core::{
    error::{Error, Result},
    limits::{AHEAD_AGE_MAX, STEP_TIME_MAX},
};
use portolan_proto::{ReplyCode, Verb};

/// A pipelined command whose reply has not been consumed yet.
#[derive(Debug)]
pub(super) struct PipelinedCommand {
    command: Verb,
    /// Its reply, if that has arrived already.
    reply: Option<Reply>,
    /// The connection to the port in the reply, if it is made already.
    tcp: Option<TcpStream>,
    /// The time at which it was sent.
    at: Instant,
}

/// A pipelined transfer in active mode that nothing waits for yet: the server connects to the listener.
#[derive(Debug)]
pub(super) struct PipelinedTransfer {
    command: FtpCommand,
    data_listener: DataListener,
}

/// A command that is sent before the reply that ends a transfer.
#[derive(Debug)]
pub enum Lookahead {
    /// A command without data.
    Ask(Verb),
    /// EPRT or PORT for the listener, and the next transfer.
    Call(DataListener, [FtpCommand; 2]),
}

impl Lookahead {
    fn lines(&self, syntax: PathSyntax) -> Vec<u8> {
        match self {
            Self::Ask(ahead) => format!("{ahead}\r\n").into_bytes(),
            Self::Call(_, commands) => lines(commands, syntax),
        }
    }
}

/// The result of a pipelined command.
#[derive(Debug)]
pub struct LookaheadReply {
    /// The reply to it.
    pub reply: Reply,
    /// The connection to the port in the reply, if it is made already.
    pub tcp: Option<TcpStream>,
}

impl PipelinedCommand {
    pub(super) fn new(command: Verb, reply: Option<Reply>) -> Self {
        Self { command, reply, tcp: None, at: Instant::now() }
    }
}

/// A transfer whose final reply is awaited.
#[derive(Debug, Clone, Copy)]
pub struct EndingTransfer<'a> {
    /// The verb of the transfer.
    pub verb: Verb,
    /// True if the server has confirmed the start of the transfer.
    pub has_begun: bool,
    /// The command to send with the wait. Only for servers that are known to answer in order.
    pub question: Option<&'a FtpCommand>,
}

/// The reply that ends a transfer.
#[derive(Debug)]
pub struct TransferEnd {
    /// The reply.
    pub reply: Reply,
    /// True if it came in order, before the reply to the pipelined command.
    pub in_turn: bool,
    /// The reply to the question that was sent along with it.
    pub told: Option<Reply>,
}

impl TransferEnd {
    const fn in_turn(reply: Reply, told: Option<Reply>) -> Self {
        Self { reply, in_turn: true, told }
    }
}

impl ControlConnection {
    /// Waits for the reply that ends `transfer`, and meanwhile sends its question followed by `early`; waits first for
    /// the reply that begins the transfer, unless it has begun.
    pub async fn end_and_ask(
        &mut self,
        time: Duration,
        transfer: EndingTransfer<'_>,
        early: Option<Lookahead>,
    ) -> Result<TransferEnd> {
        let EndingTransfer { verb, has_begun, question } = transfer;
        self.usable()?;
        if let Some(reply) = self.early.take() {
            return Ok(TransferEnd::in_turn(reply, None));
        }
        let mut next = lines(question, self.syntax);
        if let Some(early) = &early {
            next.append(&mut early.lines(self.syntax));
        }
        self.link.lock().with_next = next;
        let mut first = self.next_reply(time, verb.as_str()).await?;
        if !has_begun && first.is_preliminary() {
            first = self.next_reply(time, verb.as_str()).await?;
        }
        let told = match question {
            Some(question) => Some(self.told(verb, &first, question).await?),
            None => None,
        };
        let ahead = match early {
            None => return Ok(TransferEnd::in_turn(first, told)),
            Some(Lookahead::Ask(ahead)) => ahead,
            Some(Lookahead::Call(data_listener, [_, command])) if first.code.ends_transfer() => {
                self.called = Some(PipelinedTransfer { command, data_listener });
                return Ok(TransferEnd::in_turn(first, told));
            }
            Some(Lookahead::Call(_, [_, command])) => {
                return Err(self.out_of_step(verb, &first, &command));
            }
        };
        if first.code.ends_transfer() {
            self.ahead = Some(PipelinedCommand::new(ahead, None));
            return Ok(TransferEnd::in_turn(first, told));
        }
        let second = self.next_reply(self.reply_timeout, ahead.as_str()).await?;
        let Some(in_turn) = are_in_turn(first.code, second.code, ahead) else {
            let said = format!("\"{}\" and \"{}\"", first.words(), second.words());
            let error = Error::protocol(format!("{verb} and {ahead} were answered by {said}"));
            self.poison(&error);
            return Err(error.with_host(&self.host));
        };
        let (reply, answer) = if in_turn { (first, second) } else { (second, first) };
        // A port that was opened in the middle of another transfer is not trusted.
        self.ahead = in_turn.then(|| PipelinedCommand::new(ahead, Some(answer)));
        Ok(TransferEnd { reply, in_turn, told })
    }

    /// Returns the reply to the `question` that follows the end of the transfer `verb`.
    async fn told(&mut self, verb: Verb, end: &Reply, question: &FtpCommand) -> Result<Reply> {
        if !end.code.ends_transfer() {
            return Err(self.out_of_step(verb, end, question));
        }
        let told = self.next_reply(self.reply_timeout, question.verb().as_str()).await?;
        match told.code {
            ReplyCode::SERVICE_UNAVAILABLE => Err(told.fault().with_host(&self.host)),
            ReplyCode::FILE_STATUS => Ok(told),
            ReplyCode::FILE_ACTION_OKAY if question.verb() == Verb::Mlst => Ok(told),
            code if code.is_refusal() => Ok(told),
            _ => Err(self.out_of_step(question.verb(), &told, question)),
        }
    }

    fn out_of_step(&mut self, verb: Verb, reply: &Reply, behind: &FtpCommand) -> Error {
        let message = format!("{verb} was answered by \"{}\"", reply.words());
        let error = Error::protocol(format!("{message} with {} behind it", behind.verb()));
        self.poison(&error);
        error.with_host(&self.host)
    }

    /// Returns true if a transfer was requested that has not been taken up.
    #[cfg(test)]
    pub(crate) const fn has_transfer_ahead(&self) -> bool {
        self.called.is_some()
    }

    /// Returns true if there is a pipelined command whose reply has not been consumed.
    pub const fn has_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// Returns the result of `command` if it was pipelined, and not too long ago: servers close unused ports.
    pub async fn take_ahead(
        &mut self,
        command: Verb,
        time: Duration,
    ) -> Option<Result<LookaheadReply>> {
        let mut ahead = self.ahead.take_if(|ahead| ahead.command == command)?;
        let tcp = ahead.tcp.take();
        let is_fresh = ahead.at.elapsed() < AHEAD_AGE_MAX;
        match self.answer_to(ahead, time).await {
            Ok(_) if !is_fresh => None,
            answer => Some(answer.map(|reply| LookaheadReply { reply, tcp })),
        }
    }

    /// Returns the listener that the server was told to connect to for the pipelined transfer `command`, if there is
    /// one.
    pub fn take_called(&mut self, command: &FtpCommand) -> Option<DataListener> {
        let called = self.called.take_if(|called| called.command == *command)?;
        Some(called.data_listener)
    }

    /// Returns the port from a pipelined EPSV, if nothing is connected to it yet. A second connection would be useless:
    /// the server accepts the first, and if that one is closed by then vsftpd ends the session (3.0.3, measured).
    pub async fn port_ahead(&mut self, time: Duration) -> Option<u16> {
        let ahead =
            self.ahead.take_if(|ahead| ahead.command == Verb::Epsv && ahead.tcp.is_none())?;
        let at = ahead.at;
        let reply = self.answer_to(ahead, time).await.ok()?;
        let port = reply.extended_passive_port();
        self.ahead =
            Some(PipelinedCommand { at, ..PipelinedCommand::new(Verb::Epsv, Some(reply)) });
        port
    }

    /// Keeps the connection to that port for the next transfer.
    pub fn keep_ahead(&mut self, tcp: TcpStream) {
        if let Some(ahead) = &mut self.ahead {
            ahead.tcp = Some(tcp);
        }
    }

    /// Reads the reply to a pipelined command; the port that it names may still be useful.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if let Some(called) = self.called.take() {
            let verb = called.command.word().into_owned();
            let error = Error::protocol(format!("the pipelined {verb} is no longer needed"));
            self.poison(&error);
            // The command that is about to be sent has not been sent yet.
            self.link.lock().outstanding = 0;
            return Err(error);
        }
        let Some(ahead) = self.ahead.take_if(|ahead| ahead.reply.is_none()) else { return Ok(()) };
        let (command, at) = (ahead.command, ahead.at);
        // The pipelined command only saves time, so it gets no long wait.
        let reply = self.answer_to(ahead, self.reply_timeout.min(STEP_TIME_MAX)).await?;
        if command != Verb::Noop {
            self.ahead =
                Some(PipelinedCommand { at, ..PipelinedCommand::new(command, Some(reply)) });
        }
        Ok(())
    }

    async fn answer_to(&mut self, ahead: PipelinedCommand, time: Duration) -> Result<Reply> {
        let command = FtpCommand::bare(ahead.command);
        let reply = match ahead.reply {
            Some(reply) => Ok(reply),
            None => self.next_reply(time, ahead.command.as_str()).await,
        };
        let reply = self.own(reply, &command).await;
        if reply.is_err() {
            // The next command has not been sent yet.
            self.link.lock().outstanding = 0;
        }
        reply
    }
}

/// Returns true if the first of two replies ends the transfer and the second answers `ahead`, false for the opposite
/// order, and `None` if neither order is possible.
fn are_in_turn(first: ReplyCode, second: ReplyCode, ahead: Verb) -> Option<bool> {
    let own = match ahead {
        Verb::Epsv => ReplyCode::EXTENDED_PASSIVE_MODE,
        Verb::Pasv => ReplyCode::PASSIVE_MODE,
        _ => ReplyCode::OKAY,
    };
    match (first, second) {
        (_, end) if end.ends_transfer() => Some(false),
        (end, answer) if end.class() >= 4 && answer == own => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_replies_find_their_commands_or_the_connection_is_given_up() {
        for (first, second, ahead, in_turn) in [
            (229, 226, Verb::Epsv, Some(false)),
            (227, 426, Verb::Pasv, Some(false)),
            (200, 250, Verb::Noop, Some(false)),
            // ProFTPD and Pure-FTPd refuse commands that arrive while they still receive data.
            (450, 226, Verb::Epsv, Some(false)),
            (500, 226, Verb::Noop, Some(false)),
            (450, 229, Verb::Epsv, Some(true)),
            (229, 200, Verb::Epsv, None),
            (229, 229, Verb::Epsv, None),
            (500, 500, Verb::Noop, None),
        ] {
            let codes = (ReplyCode::new(first), ReplyCode::new(second));
            let found = are_in_turn(codes.0, codes.1, ahead);
            assert_eq!(found, in_turn, "{first} {second} {ahead}");
        }
    }
}
