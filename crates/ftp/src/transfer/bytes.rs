//! The data of one transfer, between the data connection and its source or sink.

use crate::reply::CausedByReply as _;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    ByteSink, ByteSource, NextTransfer, RemoteMeta, TransferHints, TransferStats,
    ending::is_rude_end, final_reply::TransferEnding, min_rate::LeastRate, unchanged::FetchedFile,
};
use crate::{
    control::FtpCommand, data::method::is_matter_of_mode, data_path::DataCommand,
    listing::Modified, path::RemotePath, session::Session, tls::TlsVersions,
};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result},
    limits::{COPY_BYTES, SEND_BYTES},
    observe::{Event, Operation, TransferId},
};
use portolan_proto::{ReplyCode, Verb};
use portolan_remote::{
    rate_limit::{RateLimiter, piece_of},
    shared_rate::SharedRateLimits,
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
pub(super) struct FetchResult {
    /// The number of bytes received.
    pub(super) bytes: u64,
    /// The time of the file, if the server reported it afterwards.
    pub(super) modified: Option<Modified>,
}

/// The longest wait for a shared rate limit before it is read again: it may have changed.
const SHARED_WAIT: Duration = Duration::from_secs(1);

/// The wait for another process to release the shared rate limits, which it holds for microseconds, and how often there is
/// one: a stopped process delays no other.
const SHARED_LOCK_WAIT: Duration = Duration::from_millis(1);
const SHARED_LOCK_TRIES: u32 = 100;

impl Session {
    pub(crate) async fn fetch(
        &mut self,
        remote: &RemotePath,
        sink: &mut impl ByteSink,
        known: RemoteMeta,
        hints: TransferHints<'_>,
    ) -> Result<TransferStats> {
        let start = self.begin(Operation::Download, remote, known.size)?;
        let fetched = self.fetch_same(remote, sink, known, start.id, hints).await;
        let modified = fetched.as_ref().map_or(None, |fetched| fetched.known.modified);
        let result = fetched.map(|FetchedFile { bytes, known }| (bytes, known.size.is_some()));
        let moved = self.end(start, remote, result)?;
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
    ) -> Result<FetchResult> {
        let wanted = if hints.wants_mtime { self.mtime_question(remote) } else { None };
        let question = wanted.or_else(|| self.doubt_of(remote, known));
        let (size, question) = (known.size, question.as_ref());
        let fetch = Fetch { remote, size, id: Some(id), next: hints.next, question };
        let mut result = self.fetch_once(sink, fetch).await;
        if let Err(error) = &result
            && self.is_refused_for_fresh_tls(error)
        {
            let renewed = self.reconnect_with_tls12().await.and_then(|()| sink.restart());
            result = match renewed {
                Ok(()) => self.fetch_once(sink, fetch).await,
                Err(error) => Err(error),
            };
        }
        match result {
            Err(error) => Err(self.explain(error, remote).await),
            fetched => fetched,
        }
    }

    /// Makes one attempt.
    pub(super) async fn fetch_once(
        &mut self,
        sink: &mut impl ByteSink,
        fetch: Fetch<'_>,
    ) -> Result<FetchResult> {
        let Fetch { remote, size, id, next, question } = fetch;
        let offset = sink.offset();
        let command = FtpCommand::path(Verb::Retr, remote);
        let transfer = DataCommand { offset, ..DataCommand::whole(&command) };
        let mut data = self.open_data(transfer).await?.data;
        let mut buffer = self.take_buffer();
        let mut bytes = offset;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let room = buffer::room(&mut buffer, self.piece())?;
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
            Err(error) if size == Some(bytes) && is_rude_end(&error) => {
                tracing::info!(target: "portolan", "{remote}: all bytes came, and then {error}");
                Ok(())
            }
            copied => copied,
        };
        self.buffer = buffer;
        let is_private = data.is_tls();
        let ending =
            TransferEnding { question, ..TransferEnding::plain(Verb::Retr, bytes).before(next) };
        let modified = match self.conclude(data, copied.clone(), ending).await {
            Err(error) if copied.is_ok() && is_private && size == Some(bytes) => {
                self.see_end(remote, error, bytes).await?;
                None
            }
            concluded => concluded?.modified,
        };
        match size {
            Some(size) if size != bytes => {
                self.data_path.profile.disable(Verb::Retr);
                let message = format!(
                    "only {bytes} of {size} bytes came, though the server said all was well"
                );
                Err(Error::new(ErrorKind::DataConnection, Origin::Server, message))
            }
            _ => Ok(FetchResult { bytes: bytes - offset, modified }),
        }
    }

    /// Sends all of `source` by `verb` to `remote` and returns the number of bytes.
    pub(crate) async fn store(
        &mut self,
        verb: Verb,
        remote: &RemotePath,
        source: &mut impl ByteSource,
        id: TransferId,
        next: NextTransfer<'_>,
    ) -> Result<u64> {
        let result = self.store_once(verb, remote, source, id, next).await;
        match result {
            // APPE is not retried: it is unknown how much of the first attempt the server kept.
            Err(error) if verb == Verb::Stor && self.is_refused_for_fresh_tls(&error) => {
                self.reconnect_with_tls12().await?;
                source.restart()?;
                self.store_once(verb, remote, source, id, next).await
            }
            result => result,
        }
    }

    async fn store_once(
        &mut self,
        verb: Verb,
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
        let mut buffer = self.take_buffer();
        let mut bytes = 0_u64;
        let mut rate = self.least_rate();
        let copy = async {
            loop {
                let piece = self.piece().min(SEND_BYTES);
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
            Err(error) => {
                drop(data);
                Err(error)
            }
        };
        let ending = TransferEnding { verb, has_begun, bytes, next, question: None };
        let ended = self.final_reply(copied, ending).await;
        if !has_begun && ended.is_err() {
            self.data_path.profile.disable(verb);
        }
        ended.map(|_| bytes)
    }

    /// Returns the number of bytes to move at once: the buffer size, or less if a rate limit requires it.
    pub(super) fn piece(&self) -> usize {
        let own = self.paces.iter().flatten().map(RateLimiter::piece);
        let shared = self.context.paces.shared().and_then(|shared| shared.rate(&self.site.host));
        own.chain(shared.map(piece_of)).min().unwrap_or(COPY_BYTES)
    }

    /// Returns the check for the minimum rate of a transfer.
    pub(super) fn least_rate(&self) -> LeastRate {
        LeastRate::new(self.site.min_rate, Instant::now())
    }

    /// Waits as long as the rate limits require after `bytes` have moved; the wait does not count as slowness.
    pub(super) async fn rest(&self, bytes: usize, rate: &mut LeastRate) -> Result<()> {
        if self.context.paces.shared().is_none() && self.paces.iter().flatten().next().is_none() {
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
        if let Some(wait) = waits.max().filter(|wait| !wait.is_zero()) {
            self.sleep(wait).await?;
        }
        match self.context.paces.shared() {
            Some(shared) => self.keep_shared_step(shared, bytes).await,
            None => Ok(()),
        }
    }

    /// Waits as long as the rate limits that the run shares with others require, as they change.
    async fn keep_shared_step(&self, shared: &SharedRateLimits, bytes: usize) -> Result<()> {
        let (mut ticket, mut tries) = (None, 0);
        while tries < SHARED_LOCK_TRIES {
            ticket = ticket.or_else(|| shared.count(&self.site.host, bytes));
            match ticket.as_ref().and_then(|ticket| shared.wait(ticket)) {
                Some(Duration::ZERO) => break,
                Some(wait) => {
                    tries = 0;
                    self.sleep(wait.min(SHARED_WAIT)).await?;
                }
                None => {
                    tries += 1;
                    self.sleep(SHARED_LOCK_WAIT).await?;
                }
            }
        }
        Ok(())
    }

    async fn sleep(&self, time: Duration) -> Result<()> {
        self.context.stop.run_until_cancelled(tokio::time::sleep(time)).await
    }

    /// Takes the session's own buffer: to allocate and clear another one for each small file costs more than the file.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() { vec![0; COPY_BYTES] } else { buffer }
    }

    /// Returns true if a transfer failed in the way of servers that require TLS session resumption, when no ticket was
    /// left.
    pub(crate) fn is_refused_for_fresh_tls(&self, error: &Error) -> bool {
        self.data_path.history.began_fresh_tls
            && self.security.as_ref().is_some_and(|tls| tls.versions() != TlsVersions::Only12)
            && (error.reply_code() == ReplyCode::FILE_BUSY || is_matter_of_mode(error.reply_code()))
    }
}
