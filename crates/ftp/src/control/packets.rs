//! Several commands in one packet, and the handling of missing or surplus replies.

use std::borrow::Cow;

use super::{
    command::{FtpCommand, lines},
    connection::{ControlConnection, Waited, further, late, wait},
    pipeline::PipelinedCommand,
};
use crate::{
    long_reply::LongReplyBuffer,
    pipelining::{SIGN_OF_LIFE_TIME, next_reply_time, spare_reply_time},
    reply::Reply,
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::BATCH_BYTES_MAX,
    random::random_u64,
};
use portolan_proto::{ReplyCode, Verb};

/// The result of looking for commands whose replies did not come.
enum Fate {
    /// The server was slow, and these are the replies.
    Answered(Vec<Reply>),
    /// The server has not seen the commands.
    ThrownAway,
}

impl ControlConnection {
    /// Sends `commands` in as few packets as servers accept and returns their replies, in order.
    ///
    /// Only for commands without data, except for the last: each one saves a round trip.
    pub async fn ask_all(&mut self, commands: &[FtpCommand]) -> Result<Vec<Reply>> {
        self.ask_all_and(commands, None).await
    }

    /// Does the same as [`ask_all`](Self::ask_all) with a further command whose reply is consumed later; see
    /// [`take_ahead`](Self::take_ahead). The further command is not sent to a server that accepts only one command per
    /// packet.
    pub async fn ask_all_and(
        &mut self,
        commands: &[FtpCommand],
        ahead: Option<Verb>,
    ) -> Result<Vec<Reply>> {
        if self.profile.pipelining().is_off() {
            return self.ask_each(commands).await;
        }
        self.ready().await?;
        self.link.lock().long =
            commands.iter().any(FtpCommand::lists).then(LongReplyBuffer::default);
        let mut replies = Vec::with_capacity(commands.len());
        let mut rest = commands;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_checked(fitting(rest)).unwrap_or((rest, &[]));
            let behind = ahead.filter(|_| later.is_empty());
            match self.ask_packet(now, behind).await {
                Ok(answered) => replies.extend(answered),
                Err(error) => {
                    self.mark_lost(now, behind.is_some(), &error);
                    return Err(error);
                }
            }
            rest = later;
        }
        self.link.lock().long = None;
        if let Some(ahead) = ahead.filter(|_| !self.profile.pipelining().is_off()) {
            // If the server was slow, the reply is here already.
            let reply = if replies.len() > commands.len() { replies.pop() } else { None };
            self.ahead = Some(PipelinedCommand::new(ahead, reply));
        }
        replies.truncate(commands.len());
        Ok(replies)
    }

    /// Sends each of `commands` once the one before is answered.
    pub async fn ask_each(&mut self, commands: &[FtpCommand]) -> Result<Vec<Reply>> {
        self.ready().await?;
        self.link.lock().long =
            commands.iter().any(FtpCommand::lists).then(LongReplyBuffer::default);
        let replies = self.ask_in_turn(commands).await?;
        self.link.lock().long = None;
        Ok(replies)
    }

    /// Sends one packet, and sends the unanswered commands again if the server has discarded them. The replies include
    /// that to the command `behind` the others if it had to be awaited.
    async fn ask_packet(
        &mut self,
        commands: &[FtpCommand],
        behind: Option<Verb>,
    ) -> Result<Vec<Reply>> {
        let Some((first, others)) = commands.split_first() else { return Ok(Vec::new()) };
        let all = match behind {
            None => Cow::Borrowed(commands),
            Some(verb) => Cow::Owned([commands, &[FtpCommand::bare(verb)]].concat()),
        };
        let is_several = all.len() > 1;
        self.link.lock().with_next = lines(all.iter().skip(1), self.syntax);
        let mut time = self.reply_timeout;
        if is_several
            && !self.profile.pipelining().is_proven()
            && !all.iter().any(FtpCommand::transfers)
        {
            time = time.min(SIGN_OF_LIFE_TIME);
        }
        let reply = self.ask_within(time, first).await?;
        let mut replies = vec![self.whole(reply)];
        if !others.is_empty() {
            // Of several commands it is unknown which one a spare reply belongs to.
            self.answered = None;
        }
        while let Some(command) = commands.get(replies.len()) {
            let pending = all.get(replies.len()..).unwrap_or_default();
            if let Some(reply) = self.next_of_packet(pending).await? {
                if !command.admits(&reply)
                    && let Some(before) = commands.get(replies.len() - 1)
                    && before.admits(&reply)
                {
                    // This is only likely; the replies after each of the next commands will tell.
                    self.profile.pipelining().suspect(before.verb());
                }
                let reply = self.own(Ok(reply), command).await?;
                replies.push(self.whole(reply));
                continue;
            }
            match self.fate_of(pending).await? {
                Fate::Answered(more) => replies.extend(more),
                Fate::ThrownAway => {
                    self.profile.pipelining().turn_off();
                    // RNTO needs its RNFR directly before it.
                    let again = replies.len() - usize::from(command.verb() == Verb::Rnto);
                    replies.truncate(again);
                    let missing = commands.get(again..).unwrap_or_default();
                    replies.extend(self.ask_in_turn(missing).await?);
                }
            }
        }
        if is_several && !self.profile.pipelining().is_off() {
            self.profile.pipelining().prove();
        }
        Ok(replies)
    }

    async fn ask_in_turn(&mut self, commands: &[FtpCommand]) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            let reply = self.ask(command).await?;
            replies.push(self.whole(reply));
        }
        Ok(replies)
    }

    /// Returns the next reply to a packet, or `None` if it does not come within a few round trips and the server may be
    /// probed for it.
    async fn next_of_packet(&mut self, pending: &[FtpCommand]) -> Result<Option<Reply>> {
        self.usable()?;
        let Some(command) = pending.first() else { return Ok(None) };
        // A command between REST and its transfer would undo the REST.
        if pending.iter().any(FtpCommand::transfers) {
            return self.next_reply(self.reply_timeout, &command.word()).await.map(Some);
        }
        let patience = next_reply_time(self.profile.round_trip());
        if patience >= self.reply_timeout {
            return self.next_reply(self.reply_timeout, &command.word()).await.map(Some);
        }
        match wait(&self.stop, &mut self.broken, patience, further(&mut self.ftp)).await {
            Waited::Late(_) => Ok(None),
            waited => self.take(waited, &command.word()).map(Some),
        }
    }

    /// Finds out what happened to `pending`, the last commands of a packet, whose replies are missing: sends a probe
    /// whose reply contains an unguessable number. Replies before that one belong to the commands.
    async fn fate_of(&mut self, pending: &[FtpCommand]) -> Result<Fate> {
        let proof = random_u64() % 1_000_000_000_000;
        let question = FtpCommand::with(Verb::Rest, proof);
        self.link.lock().with_next = lines([&question], self.syntax);
        let is_harmless = may_be_repeated(pending);
        let mut time = self.reply_timeout;
        if is_harmless && !self.profile.pipelining().is_proven() {
            time = time.min(SIGN_OF_LIFE_TIME);
        }
        let mut replies = Vec::new();
        loop {
            let waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
            if matches!(waited, Waited::Late(_)) {
                if !replies.is_empty() {
                    return Err(self.missing(pending));
                }
                let verb = pending.first().map(FtpCommand::word).unwrap_or_default();
                let error = late(&verb, time);
                self.poison(&error);
                return Err(error.with_host(&self.host));
            }
            let reply = self.take(waited, "REST")?;
            let reply = self.whole(reply);
            let says = |word: &[u8]| word == proof.to_string().as_bytes();
            let is_proof = reply.is_halfway()
                && reply.last_text().split(|byte| !byte.is_ascii_digit()).any(says);
            if is_proof {
                self.undo_proof().await?;
                return match replies.len() {
                    0 => Ok(Fate::ThrownAway),
                    count if count == pending.len() => Ok(Fate::Answered(replies)),
                    _ => Err(self.missing(pending)),
                };
            }
            // It may have been the reply to the probe itself, from a server that does not echo the number.
            let code = reply.code;
            let may_be_own = code.is_intermediate() || code.is_syntax_error();
            if may_be_own || code == ReplyCode::NOT_LOGGED_IN {
                time = next_reply_time(self.profile.round_trip()).min(self.reply_timeout);
            }
            replies.push(reply);
            if replies.len() > pending.len() {
                // The last reply is the one to the probe.
                let is_taken = replies.pop().is_some_and(|reply| reply.is_halfway());
                if is_taken {
                    self.undo_proof().await?;
                }
                return Ok(Fate::Answered(replies));
            }
        }
    }

    /// Resets the restart offset, so that the next transfer begins at offset 0.
    async fn undo_proof(&mut self) -> Result<()> {
        self.link.lock().outstanding = 0;
        let reply = self.ask(&FtpCommand::with(Verb::Rest, 0)).await?;
        if reply.is_halfway() {
            return Ok(());
        }
        let error = reply.fault();
        self.poison(&error);
        Err(error.with_host(&self.host))
    }

    fn missing(&mut self, pending: &[FtpCommand]) -> Error {
        let verbs: Vec<_> = pending.iter().map(FtpCommand::word).collect();
        let message = format!("the server answered some of {} and not others", verbs.join(", "));
        let error = Error::protocol(message);
        self.poison(&error);
        self.profile.pipelining().turn_off();
        error.with_host(&self.host)
    }

    /// Records that a packet was not answered in full, because of `error`.
    fn mark_lost(&mut self, commands: &[FtpCommand], has_more: bool, error: &Error) {
        let is_one = commands.len() + usize::from(has_more) < 2;
        if is_one || error.code != 0 || error.kind == ErrorKind::Interrupted || self.sent_nothing()
        {
            return;
        }
        self.lost_packet = true;
        if matches!(error.kind, ErrorKind::Timeout | ErrorKind::Unreachable) {
            // A server that ends the session at STAT does so at any position in the packet.
            let is_harmless = may_be_repeated(commands) || commands.iter().any(FtpCommand::lists);
            self.profile.pipelining().lost(is_harmless);
        }
    }

    /// Returns the reply including the lines before its last, if those were buffered separately.
    fn whole(&self, reply: Reply) -> Reply {
        let mut raw = match &mut self.link.lock().long {
            Some(long) if !long.lines.is_empty() => std::mem::take(&mut long.lines),
            _ => return reply,
        };
        raw.extend_from_slice(&reply.raw);
        Reply { raw, ..reply }
    }

    /// Returns the command's own reply. A reply that only ends a transfer belongs to the previous transfer and came a
    /// second time, as does one that no server gives to such a command. The true reply follows, but further replies may
    /// come as well: this connection is not used again.
    pub(super) async fn own(
        &mut self,
        reply: Result<Reply>,
        command: &FtpCommand,
    ) -> Result<Reply> {
        let reply = reply?;
        let is_end = matches!(reply.code, ReplyCode::OPENING_DATA | ReplyCode::TRANSFER_COMPLETE)
            && !command.moves_data();
        if !is_end && command.admits(&reply) {
            return Ok(reply);
        }
        let mut time = self.reply_timeout;
        if !is_end {
            // It may still be the only reply.
            time = time.min(spare_reply_time(self.profile.round_trip()));
        }
        let waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
        if !is_end && matches!(waited, Waited::Late(_)) {
            return Ok(reply);
        }
        let own = self.take(waited, &command.word());
        if !is_end {
            self.profile.pipelining().saw_spare(self.answered.take());
        }
        self.poison(&Error::protocol(format!("a spare \"{}\"", reply.words())));
        own
    }

    /// Returns the reply to `command` if the server may send a second one to it: of two replies the one that promises
    /// less counts.
    pub(super) async fn without_spare(
        &mut self,
        reply: Reply,
        command: &FtpCommand,
    ) -> Result<Reply> {
        let verb = command.verb();
        if !self.profile.pipelining().expects_spare(verb) || self.broken.is_some() {
            return Ok(reply);
        }
        let time = spare_reply_time(self.profile.round_trip()).min(self.reply_timeout);
        let waited = wait(&self.stop, &mut self.broken, time, further(&mut self.ftp)).await;
        if matches!(waited, Waited::Late(_)) {
            self.profile.pipelining().saw_no_spare(verb);
            return Ok(reply);
        }
        let second = self.take(waited, &command.word())?;
        self.profile.pipelining().saw_spare(Some(verb));
        tracing::debug!(target: "portolan", "{verb} was answered twice: {}", second.words());
        Ok(if second.code.class() > reply.code.class() { second } else { reply })
    }
}

/// Returns the number of leading `commands` that fit into one packet.
fn fitting(commands: &[FtpCommand]) -> usize {
    let mut bytes = 0;
    let fits = |command: &&FtpCommand| {
        bytes += command.length();
        bytes <= BATCH_BYTES_MAX
    };
    commands.iter().take_while(fits).count().max(1)
}

/// Returns true if all of `commands` may be sent again when it is unknown which of them were executed.
pub(crate) fn may_be_repeated(commands: &[FtpCommand]) -> bool {
    let is_harmless = |verb| {
        matches!(
            verb,
            Verb::Cwd
                | Verb::Pwd
                | Verb::Size
                | Verb::Mdtm
                | Verb::Mfmt
                | Verb::Mlst
                | Verb::Rest
                | Verb::Noop
                | Verb::Type
                | Verb::Opts
        )
    };
    commands.iter().all(|command| is_harmless(command.verb()))
}
