//! The data of one transfer and its final reply: both must be good.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    ByteSink, ByteSource, RemoteMeta, TransferStats, ending::is_rude_end, min_rate::LeastRate,
    unchanged::fact_in,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        control::{FtpCommand, TransferEnd},
        data::{DataConnection, method::is_matter_of_mode},
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

impl Session {
    pub(in crate::ftp) async fn fetch(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
    ) -> Result<TransferStats> {
        let (id, started) = self.begin(Operation::Download, remote, known.size)?;
        let (result, known) = match self.fetch_same(remote, sink, known, id).await {
            Ok((bytes, known)) => (Ok((bytes, known.size.is_some())), known),
            Err(fault) => (Err(fault), known),
        };
        let moved = self.end(id, started, remote, result)?;
        Ok(TransferStats { modified: known.modified, ..moved })
    }

    /// Does the same for a transfer that has started and whose end is reported elsewhere. Afterwards `heard` holds the
    /// time of the file, if the server reported it.
    pub(super) async fn fetch_begun(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        id: TransferId,
    ) -> Result<u64> {
        self.heard = None;
        let question = self.wonders.take().or_else(|| self.doubt_of(remote, known));
        self.wonders.clone_from(&question);
        let mut result = self.fetch_once(remote, sink, known.size, Some(id)).await;
        if let Err(fault) = &result
            && self.is_refused_for_fresh_tls(fault)
        {
            let renewed = self.reconnect_with_tls12().await.and_then(|()| sink.restart());
            self.wonders = question;
            result = match renewed {
                Ok(()) => self.fetch_once(remote, sink, known.size, Some(id)).await,
                Err(fault) => Err(fault),
            };
        }
        self.wonders = None;
        match result {
            Err(fault) => Err(self.explain(fault, remote).await),
            fetched => fetched,
        }
    }

    /// Makes one attempt and returns the number of bytes received; without an `id` it emits no events.
    pub(super) async fn fetch_once(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        size: Option<u64>,
        id: Option<TransferId>,
    ) -> Result<u64> {
        let offset = sink.offset();
        let opened = self.open_data(&FtpCommand::path("RETR", remote), offset).await?;
        let mut data = opened.data;
        let (mut buffer, piece) = (self.take_buffer(), self.piece());
        let mut bytes = offset;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let room = buffer.get_mut(..piece).unwrap_or_default();
                let count = if size == Some(bytes) {
                    self.read_end(&mut data, room).await?
                } else {
                    data.read(room).await?
                };
                if count == 0 {
                    return Ok(());
                }
                sink.take(buffer.get(..count).unwrap_or_default())?;
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
        match self.conclude("RETR", data, copied.clone(), bytes).await {
            Err(fault) if copied.is_ok() && is_private && size == Some(bytes) => {
                self.see_end(remote, fault, bytes).await?;
            }
            concluded => drop(concluded?),
        }
        match size {
            Some(size) if size != bytes => {
                self.way.manners.disable("RETR");
                let message = format!(
                    "only {bytes} of {size} bytes came, though the server said all was well"
                );
                Err(Error::new(ErrorKind::DataConnection, Origin::Server, message))
            }
            _ => Ok(bytes - offset),
        }
    }

    /// Sends all of `source` by `verb` to `remote` and returns the number of bytes.
    pub(in crate::ftp) async fn store(
        &mut self,
        verb: &str,
        remote: &RemotePath,
        source: &mut impl ByteSource,
        id: TransferId,
    ) -> Result<u64> {
        let result = self.store_once(verb, remote, source, id).await;
        match result {
            // APPE is not retried: it is unknown how much of the first attempt the server kept.
            Err(fault) if verb == "STOR" && self.is_refused_for_fresh_tls(&fault) => {
                self.reconnect_with_tls12().await?;
                source.restart()?;
                self.store_once(verb, remote, source, id).await
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
    ) -> Result<u64> {
        self.has_moved = false;
        let opened = self.open_data(&FtpCommand::path(verb, remote), 0).await?;
        self.has_moved = true;
        let (mut data, has_begun) = (opened.data, opened.has_begun);
        let (mut buffer, piece) = (self.take_buffer(), self.piece().min(SEND_BYTES));
        let mut bytes = 0_u64;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let count = source.give(buffer.get_mut(..piece).unwrap_or_default())?;
                if count == 0 {
                    return Ok(());
                }
                let piece = buffer.get(..count).unwrap_or_default();
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
        let ended = self.final_reply((verb, has_begun), copied, bytes).await;
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
        verb: &str,
        data: DataConnection,
        copied: Result<()>,
        bytes: u64,
    ) -> Result<Reply> {
        drop(data);
        self.final_reply((verb, true), copied, bytes).await
    }

    /// Combines the final reply with the result of the data: both must be good. The preliminary reply comes before it,
    /// unless the transfer `has_begun`.
    async fn final_reply(
        &mut self,
        (verb, has_begun): (&str, bool),
        copied: Result<()>,
        bytes: u64,
    ) -> Result<Reply> {
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
        let time = time + Duration::from_secs(bytes / FINAL_REPLY_BYTES_PER_SECOND);
        let time = if copied.is_ok() { time } else { self.site.reply_timeout.min(time) };
        let ended = self.last_reply((verb, has_begun), time, copied.is_ok()).await;
        let reply = match (ended, copied) {
            (_, Err(fault)) if self.control.poison_reason().is_some() => return Err(fault),
            (Err(fault), _) => return Err(fault),
            (Ok(reply), Err(fault)) => {
                // A good reply does not make up for a failed read (security class C15).
                let words = reply.words();
                let message = format!("{}; the server said \"{words}\"", fault.message);
                let kind = if reply.is_done() { fault.kind } else { reply.fault().kind };
                return Err(Error { code: reply.code, kind, message, ..fault });
            }
            (Ok(reply), Ok(())) => reply,
        };
        reply.done()
    }

    /// Reads the final reply of a transfer; meanwhile prepares the data connection of the next one, if all went well
    /// and the server supports pipelining.
    async fn last_reply(
        &mut self,
        (verb, has_begun): (&str, bool),
        time: Duration,
        is_good: bool,
    ) -> Result<Reply> {
        let early = self.early(verb).await.filter(|_| is_good);
        let question = self.wonders.take().filter(|_| is_good && verb == "RETR");
        let along = question.as_ref().filter(|_| self.way.manners.is_trusted(verb));
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
            told = self.control.ask(&question).await.ok();
        }
        self.heard = told.as_ref().and_then(fact_in);
        Ok(reply)
    }

    /// Returns true if a transfer failed in the way of servers that require TLS session resumption, when no ticket was
    /// left.
    pub(in crate::ftp) fn is_refused_for_fresh_tls(&self, fault: &Error) -> bool {
        self.way.began_fresh_tls
            && !self.site.trust.tls12_only
            && (fault.code == 450 || is_matter_of_mode(fault.code))
    }
}
