//! The data of one transfer and its final reply: both must be good.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    ByteSink, ByteSource, NextTransfer, RemoteMeta, TransferHints, TransferStats,
    ending::is_rude_end,
    min_rate::LeastRate,
    unchanged::{FetchedFile, fact_in},
};
use crate::{
    buffer,
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        control::{FtpCommand, TransferEnd},
        data::{DataConnection, method::is_matter_of_mode},
        data_path::DataCommand,
        listing::Modified,
        path::RemotePath,
        rate_limit::RateLimiter,
        reply::Reply,
        session::Session,
    },
    limits::{
        COPY_BYTES, FINAL_REPLY_BYTES_PER_SECOND, FINAL_REPLY_FACTOR, RESYNC_TIMEOUT, SEND_BYTES,
    },
    observe::{Event, Operation, TransferId},
};

/// One attempt to download a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetch<'a> {
    remote: &'a RemotePath,
    /// The size of the file, if it is known.
    size: Option<u64>,
    /// The number of the transfer; without one, no events are emitted.
    id: Option<TransferId>,
    next: NextTransfer<'a>,
    /// The query for the modification time of the file, which is sent at its end.
    question: Option<&'a FtpCommand>,
}

impl<'a> Fetch<'a> {
    /// Returns an attempt that is not reported.
    pub(super) const fn quietly(remote: &'a RemotePath, size: Option<u64>) -> Self {
        Self { remote, size, id: None, next: NextTransfer::None, question: None }
    }
}

/// The result of such an attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    /// The number of bytes received.
    pub(super) bytes: u64,
    /// The time of the file, if the server reported it afterwards.
    pub(super) modified: Option<Modified>,
}

/// A transfer whose data has ended, and whose final reply is still to be read.
#[derive(Debug, Clone, Copy)]
pub(in crate::ftp) struct TransferEnding<'a> {
    verb: &'a str,
    /// True if the server has confirmed the start of the transfer.
    has_begun: bool,
    /// The number of bytes that were moved.
    bytes: u64,
    next: NextTransfer<'a>,
    /// The query for the modification time of the file, which is sent now.
    question: Option<&'a FtpCommand>,
}

impl<'a> TransferEnding<'a> {
    /// Returns the end of the transfer `verb`, with nothing to ask and no transfer after it.
    pub(in crate::ftp) const fn plain(verb: &'a str, bytes: u64) -> Self {
        Self { verb, has_begun: true, bytes, next: NextTransfer::None, question: None }
    }

    /// Returns the same end with `next` after it.
    pub(in crate::ftp) const fn before(self, next: NextTransfer<'a>) -> Self {
        Self { next, ..self }
    }
}

/// The final reply of a transfer, and the time in the reply to the query that was sent with it.
#[derive(Debug)]
pub(in crate::ftp) struct FinalReply {
    pub(in crate::ftp) reply: Reply,
    modified: Option<Modified>,
}

impl Session {
    pub(in crate::ftp) async fn fetch(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats> {
        let (id, started) = self.begin(Operation::Download, remote, known.size)?;
        let fetched = self.fetch_same(remote, sink, known, id, hints).await;
        let modified = fetched.as_ref().map_or(None, |fetched| fetched.known.modified);
        let result = fetched.map(|FetchedFile { bytes, known }| (bytes, known.size.is_some()));
        let moved = self.end(id, started, remote, result)?;
        Ok(TransferStats { modified, ..moved })
    }

    /// Does the same for a transfer that has started and whose end is reported elsewhere.
    pub(super) async fn fetch_begun(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        id: TransferId,
        hints: TransferHints<'_>,
    ) -> Result<Fetched> {
        let wanted = if hints.wants_mtime { self.mtime_question(remote) } else { None };
        let question = wanted.or_else(|| self.doubt_of(remote, known));
        let (size, question) = (known.size, question.as_ref());
        let fetch = Fetch { remote, size, id: Some(id), next: hints.next, question };
        let mut result = self.fetch_once(sink, fetch).await;
        if let Err(fault) = &result
            && self.is_refused_for_fresh_tls(fault)
        {
            let renewed = self.reconnect_with_tls12().await.and_then(|()| sink.restart());
            result = match renewed {
                Ok(()) => self.fetch_once(sink, fetch).await,
                Err(fault) => Err(fault),
            };
        }
        match result {
            Err(fault) => Err(self.explain(fault, remote).await),
            fetched => fetched,
        }
    }

    /// Makes one attempt.
    pub(super) async fn fetch_once(
        &mut self,
        sink: &mut impl ByteSink,
        fetch: Fetch<'_>,
    ) -> Result<Fetched> {
        let Fetch { remote, size, id, next, question } = fetch;
        let offset = sink.offset();
        let command = FtpCommand::path("RETR", remote);
        let transfer = DataCommand { offset, ..DataCommand::whole(&command) };
        let mut data = self.open_data(transfer).await?.data;
        let (mut buffer, piece) = (self.take_buffer(), self.piece());
        let mut bytes = offset;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let room = buffer::room(&mut buffer, piece)?;
                let count = if size == Some(bytes) {
                    self.read_end(&mut data, room).await?
                } else {
                    data.read(room).await?
                };
                if count == 0 {
                    return Ok(());
                }
                sink.take(buffer::filled(&buffer, count)?)?;
                bytes += count as u64;
                if size.is_some_and(|size| bytes > size) {
                    let message = format!(
                        "more bytes came than its size of {}: is it being written?",
                        size.unwrap_or(0)
                    );
                    return Err(Error::new(ErrorKind::Protocol, Origin::Server, message));
                }
                if let Some(id) = id {
                    self.context.observer.emit(&Event::Moved { id, bytes: count as u64 });
                }
                rate.moved(count, Instant::now())?;
                self.rest(count, &mut rate).await?;
            }
        };
        let copied = match copy.await {
            // All bytes have arrived; the final reply decides whether the transfer succeeded.
            Err(fault) if size == Some(bytes) && is_rude_end(&fault) => {
                tracing::info!(target: "portolan", "{remote}: all bytes came, and then {fault}");
                Ok(())
            }
            copied => copied,
        };
        self.buffer = buffer;
        let is_private = data.is_tls();
        let ending =
            TransferEnding { question, ..TransferEnding::plain("RETR", bytes).before(next) };
        let modified = match self.conclude(data, copied.clone(), ending).await {
            Err(fault) if copied.is_ok() && is_private && size == Some(bytes) => {
                self.see_end(remote, fault, bytes).await?;
                None
            }
            concluded => concluded?.modified,
        };
        match size {
            Some(size) if size != bytes => {
                self.way.manners.disable("RETR");
                let message = format!(
                    "only {bytes} of {size} bytes came, though the server said all was well"
                );
                Err(Error::new(ErrorKind::DataConnection, Origin::Server, message))
            }
            _ => Ok(Fetched { bytes: bytes - offset, modified }),
        }
    }

    /// Sends all of `source` by `verb` to `remote` and returns the number of bytes.
    pub(in crate::ftp) async fn store(
        &mut self,
        verb: &str,
        remote: &RemotePath,
        source: &mut impl ByteSource,
        id: TransferId,
        next: NextTransfer<'_>,
    ) -> Result<u64> {
        let result = self.store_once(verb, remote, source, id, next).await;
        match result {
            // APPE is not retried: it is unknown how much of the first attempt the server kept.
            Err(fault) if verb == "STOR" && self.is_refused_for_fresh_tls(&fault) => {
                self.reconnect_with_tls12().await?;
                source.restart()?;
                self.store_once(verb, remote, source, id, next).await
            }
            result => result,
        }
    }

    async fn store_once(
        &mut self,
        verb: &str,
        remote: &RemotePath,
        source: &mut impl ByteSource,
        id: TransferId,
        next: NextTransfer<'_>,
    ) -> Result<u64> {
        self.has_moved = false;
        let command = FtpCommand::path(verb, remote);
        let is_followed = next.is_some();
        let opened =
            self.open_data(DataCommand { is_followed, ..DataCommand::whole(&command) }).await?;
        self.has_moved = true;
        let (mut data, has_begun) = (opened.data, opened.has_begun);
        let (mut buffer, piece) = (self.take_buffer(), self.piece().min(SEND_BYTES));
        let mut bytes = 0_u64;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let count = source.give(buffer::room(&mut buffer, piece)?)?;
                if count == 0 {
                    return Ok(());
                }
                let piece = buffer::filled(&buffer, count)?;
                match rate.time_for(count) {
                    Some(time) => timeout(time, data.write_all(piece))
                        .await
                        .unwrap_or_else(|_| Err(rate.too_slow(time)))?,
                    None => data.write_all(piece).await?,
                }
                bytes += count as u64;
                self.context.observer.emit(&Event::Moved { id, bytes: count as u64 });
                rate.moved(count, Instant::now())?;
                self.rest(count, &mut rate).await?;
            }
        };
        let copied = copy.await;
        self.buffer = buffer;
        let copied = match copied {
            Ok(()) => data.finish().await,
            Err(fault) => {
                drop(data);
                Err(fault)
            }
        };
        let ending = TransferEnding { verb, has_begun, bytes, next, question: None };
        let ended = self.final_reply(copied, ending).await;
        if !has_begun && ended.is_err() {
            self.way.manners.disable(verb);
        }
        ended.map(|_| bytes)
    }

    /// Returns the number of bytes to move at once: the buffer size, or less if a rate limit requires it.
    pub(super) fn piece(&self) -> usize {
        self.paces.iter().flatten().map(RateLimiter::piece).min().unwrap_or(COPY_BYTES)
    }

    /// Returns the check for the minimum rate of a transfer.
    pub(super) fn least_rate(&self) -> LeastRate {
        LeastRate::new(self.site.min_rate, Instant::now())
    }

    /// Waits as long as the rate limits require after `bytes` have moved; the wait does not count as slowness.
    pub(super) async fn rest(&self, bytes: usize, rate: &mut LeastRate) -> Result<()> {
        if self.paces.iter().flatten().next().is_none() {
            return Ok(());
        }
        let before = Instant::now();
        self.keep_step(bytes).await?;
        rate.rested(before.elapsed());
        Ok(())
    }

    /// Waits as long as the rate limits require after `bytes` have moved.
    pub(super) async fn keep_step(&self, bytes: usize) -> Result<()> {
        let waits = self.paces.iter().flatten().map(|pace| pace.wait_after(bytes, Instant::now()));
        match waits.max() {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await,
        }
    }

    /// Takes the session's own buffer: to allocate and clear another one for each small file costs more than the file.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() { vec![0; COPY_BYTES] } else { buffer }
    }

    /// Closes the data connection, then waits for the final reply: with an open one, ProFTPD would wait 11 s
    /// (measured).
    pub(in crate::ftp) async fn conclude(
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
    async fn final_reply(
        &mut self,
        copied: Result<()>,
        ending: TransferEnding<'_>,
    ) -> Result<FinalReply> {
        if let Err(fault) = &copied
            && (fault.side != Origin::Network || self.context.stop.is_set())
        {
            if self.context.stop.is_set() {
                // Only `sweep` will use it again.
                self.control.poison(fault);
            } else {
                let reply = self.control.resync(RESYNC_TIMEOUT).await;
                let words = reply.map(|reply| reply.words()).unwrap_or_default();
                tracing::debug!(target: "portolan", "ended from here: {fault}; {words}");
            }
            return Err(fault.clone());
        }
        let time = self.site.reply_timeout * FINAL_REPLY_FACTOR;
        let time = time + Duration::from_secs(ending.bytes / FINAL_REPLY_BYTES_PER_SECOND);
        let time = if copied.is_ok() { time } else { self.site.reply_timeout.min(time) };
        let ended = self.last_reply(time, copied.is_ok(), ending).await;
        let last = match (ended, copied) {
            (_, Err(fault)) if self.control.poison_reason().is_some() => return Err(fault),
            (Err(fault), _) => return Err(fault),
            (Ok(FinalReply { reply, .. }), Err(fault)) => {
                // A good reply does not make up for a failed read (security class C15).
                let words = reply.words();
                let message = format!("{}; the server said \"{words}\"", fault.message);
                let kind = if reply.is_done() { fault.kind } else { reply.fault().kind };
                return Err(Error { code: reply.code, kind, message, ..fault });
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
        let along = question.filter(|_| self.way.manners.is_trusted(verb));
        let is_test = early.is_some() || along.is_some();
        let ended = self.control.end_and_ask(time, (verb, has_begun), along, early).await;
        match &ended {
            _ if !is_test => {}
            Ok(TransferEnd { in_turn: true, .. }) => self.way.manners.record_in_order(verb),
            _ => self.way.manners.disable(verb),
        }
        let TransferEnd { reply, mut told, .. } = ended?;
        if let Some(question) = question.filter(|_| told.is_none() && reply.is_done()) {
            // The file has arrived, whatever the reply is.
            told = self.control.ask(question).await.ok();
        }
        Ok(FinalReply { reply, modified: told.as_ref().and_then(fact_in) })
    }

    /// Returns true if a transfer failed in the way of servers that require TLS session resumption, when no ticket was
    /// left.
    pub(in crate::ftp) fn is_refused_for_fresh_tls(&self, fault: &Error) -> bool {
        self.way.began_fresh_tls
            && !self.site.trust.tls12_only
            && (fault.code == 450 || is_matter_of_mode(fault.code))
    }
}
