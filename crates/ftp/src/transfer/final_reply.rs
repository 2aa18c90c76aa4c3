//! The final reply of a transfer: it must be good, and so must the data.

use std::time::Duration;

use super::{NextTransfer, types::fact_in};
use crate::{
    control::{EndingTransfer, FtpCommand, TransferEnd},
    data::DataConnection,
    listing::Modified,
    reply::Reply,
    session::Session,
};
use portolan_core::{
    error::{Error, Origin, Result},
    limits::{FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_FACTOR, RESYNC_TIMEOUT},
};
use portolan_proto::Verb;

/// A transfer whose data has ended, and whose final reply is still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransferEnding<'a> {
    pub(super) verb: Verb,
    /// True if the server has confirmed the start of the transfer.
    pub(super) has_begun: bool,
    /// The number of bytes that were moved.
    pub(super) bytes: u64,
    pub(super) next: NextTransfer<'a>,
    /// The query for the modification time of the file, which is sent now.
    pub(super) question: Option<&'a FtpCommand>,
}

impl<'a> TransferEnding<'a> {
    /// Returns the end of the transfer `verb`, with nothing to ask and no transfer after it.
    pub(crate) const fn plain(verb: Verb, bytes: u64) -> Self {
        Self { verb, has_begun: true, bytes, next: NextTransfer::None, question: None }
    }

    /// Returns the same end with `next` after it.
    pub(crate) const fn before(self, next: NextTransfer<'a>) -> Self {
        Self { next, ..self }
    }
}

/// The final reply of a transfer, and the time in the reply to the query that was sent with it.
#[derive(Debug)]
pub(crate) struct FinalReply {
    pub(crate) reply: Reply,
    pub(super) modified: Option<Modified>,
}

impl Session {
    /// Closes the data connection, then waits for the final reply: with an open one, ProFTPD would wait 11 s
    /// (measured).
    pub(crate) async fn conclude(
        &mut self,
        data: DataConnection,
        copied: Result<()>,
        ending: TransferEnding<'_>,
    ) -> Result<FinalReply> {
        drop(data);
        self.final_reply(copied, ending).await
    }

    /// Combines the final reply with the result of the data: both must be good. The preliminary reply comes before it,
    /// unless the transfer has begun.
    pub(super) async fn final_reply(
        &mut self,
        copied: Result<()>,
        ending: TransferEnding<'_>,
    ) -> Result<FinalReply> {
        if let Err(error) = &copied
            && (error.side != Origin::Network || self.context.stop.is_set())
        {
            if self.context.stop.is_set() {
                // Only `sweep` will use it again.
                self.control.poison(error);
            } else {
                let reply = self.control.resync(RESYNC_TIMEOUT).await;
                let words = reply.map(|reply| reply.words()).unwrap_or_default();
                tracing::debug!(target: "portolan", "ended from here: {error}; {words}");
            }
            return Err(error.clone());
        }
        let time = self.site.reply_timeout * FINAL_REPLY_FACTOR;
        let time = time + Duration::from_secs(ending.bytes / FINAL_REPLY_BYTES_PER_SECOND);
        let time = if copied.is_ok() { time } else { self.site.reply_timeout.min(time) };
        let ended = self.last_reply(time, copied.is_ok(), ending).await;
        let last = match (ended, copied) {
            (_, Err(error)) if self.control.poison_reason().is_some() => return Err(error),
            (Err(error), _) => return Err(error),
            (Ok(FinalReply { reply, .. }), Err(error)) => {
                // A good reply does not make up for a failed read (security class C15).
                let words = reply.words();
                let message = format!("{}; the server said \"{words}\"", error.message);
                let kind = if reply.is_done() { error.kind } else { reply.fault().kind };
                return Err(Error { code: reply.code.value(), kind, message, ..error });
            }
            (Ok(last), Ok(())) => last,
        };
        Ok(FinalReply { reply: last.reply.done()?, ..last })
    }

    /// Reads the final reply of a transfer; meanwhile prepares the data connection of the next one, if all went well
    /// and the server supports pipelining.
    async fn last_reply(
        &mut self,
        time: Duration,
        is_good: bool,
        ending: TransferEnding<'_>,
    ) -> Result<FinalReply> {
        let TransferEnding { verb, has_begun, next, question, .. } = ending;
        let early = if is_good { self.lookahead(verb, next).await } else { None };
        let question = question.filter(|_| is_good);
        let along = question.filter(|_| self.data_path.profile.is_trusted(verb));
        let is_test = early.is_some() || along.is_some();
        let transfer = EndingTransfer { verb, has_begun, question: along };
        let ended = self.control.end_and_ask(time, transfer, early).await;
        match &ended {
            _ if !is_test => {}
            Ok(TransferEnd { in_turn: true, .. }) => self.data_path.profile.record_in_order(verb),
            _ => self.data_path.profile.disable(verb),
        }
        let TransferEnd { reply, mut told, .. } = ended?;
        if let Some(question) = question.filter(|_| told.is_none() && reply.is_done()) {
            // The file has arrived, whatever the reply is.
            told = self.control.ask(question).await.ok();
        }
        Ok(FinalReply { reply, modified: told.as_ref().and_then(fact_in) })
    }
}
