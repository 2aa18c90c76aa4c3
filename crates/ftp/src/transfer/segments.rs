//! Segmented downloads: one large file by several sessions at once, a piece each.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    ops::Range,
    pin::pin,
    time::Instant,
};

use futures_util::future::{Either, join_all, select};
use tokio::sync::{Notify, SetOnce};

use super::{RemoteMeta, TransferStats, final_reply::TransferEnding, unchanged::changed, utc};
use crate::{control::FtpCommand, data_path::DataCommand, path::RemotePath, session::Session};
use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result},
    limits::{RESYNC_TIMEOUT, SEGMENT_BYTES_MIN, STEP_RETRY_WAITS},
    observe::{Event, Operation, TransferId},
};
use portolan_fs::AtomicFile;
use portolan_proto::Verb;

/// The queue of the pieces of a file.
struct SegmentQueue<'l> {
    remote: RemotePath,
    landing: &'l AtomicFile,
    size: u64,
    id: TransferId,
    /// The number of sessions that take part.
    sessions: u64,
    /// The number of sessions still at work, without the leader.
    busy: Cell<u64>,
    /// A notification that one of these has ended.
    ended: Notify,
    /// The pieces that no session has begun; the last is taken first.
    waiting: RefCell<Vec<Range<u64>>>,
    /// The first error that kept a piece from completing.
    error: RefCell<Option<Error>>,
}

impl Session {
    /// Downloads `remote` by up to `sessions` sessions including this one, as [`download`](Self::download) does. A file
    /// that is too small for that, or whose size the server does not report, is downloaded by this session alone.
    ///
    /// The others connect while this one queries the size, and log in when they are needed.
    pub(crate) async fn download_in_segments(
        &mut self,
        remote: &RemotePath,
        landing: AtomicFile,
        sessions: u16,
        keep_time: bool,
    ) -> Result<TransferStats> {
        let remote = self.absolute(remote)?;
        let sessions = sessions.min(self.context.sessions_max.unwrap_or(sessions)).max(1);
        let known = self.ask_and_fetch(&remote, &landing, sessions.into()).await?;
        match known {
            (known, Some(moved)) => {
                landing.commit(utc(known.modified).filter(|_| keep_time))?;
                Ok(moved)
            }
            (known, None) => self.download(&remote, landing, known, keep_time).await,
        }
    }

    /// Queries size and time of `remote`, and downloads it if it is large enough for several sessions.
    async fn ask_and_fetch(
        &mut self,
        remote: &RemotePath,
        landing: &AtomicFile,
        sessions: u64,
    ) -> Result<(RemoteMeta, Option<TransferStats>)> {
        let plan = &SetOnce::new();
        let others = (1..sessions).map(|number| {
            let coming = self.open_sibling_after(async move {
                let SegmentQueue { sessions, .. } = plan.wait().await;
                if number >= *sessions {
                    pending::<()>().await;
                }
            });
            async {
                let coming = coming.await;
                plan.wait().await.help(coming).await;
            }
        });
        let others = join_all(others.collect::<Vec<_>>());
        let lead = async {
            let known = self.ask_known(remote).await?;
            let size = known.size.unwrap_or(0);
            let sessions = sessions.min(size / SEGMENT_BYTES_MIN);
            if sessions < 2 {
                return Ok((known, None));
            }
            let start = self.begin(Operation::Download, remote, known.size)?;
            let pieces = SegmentQueue::new(remote, size, landing, sessions, start.id);
            plan.set(pieces).map_err(|_| Error::protocol("it was begun twice"))?;
            let result = match self.lead(plan.wait().await).await {
                Ok(()) => self.is_still(remote, known).await.map(|()| (size, true)),
                Err(error) => Err(self.explain(error, remote).await),
            };
            Ok((known, Some(self.end(start, remote, result)?)))
        };
        match select(pin!(lead), pin!(others)).await {
            // The other sessions have ended as well, or were not needed.
            Either::Left((fetched, _)) => fetched,
            Either::Right((_, lead)) => lead.await,
        }
    }

    /// Fails unless `remote` is still as `known`: data of two versions must not be mixed.
    pub(super) async fn is_still(&mut self, remote: &RemotePath, known: RemoteMeta) -> Result<()> {
        let now = self.ask_known_and(remote, None).await?;
        if now == known {
            return Ok(());
        }
        Err(changed())
    }

    /// Downloads pieces alongside the other sessions until all are complete, or cannot be completed.
    async fn lead(&mut self, pieces: &SegmentQueue<'_>) -> Result<()> {
        loop {
            pieces.work(self, true).await;
            if pieces.busy.get() == 0 {
                break;
            }
            // The other sessions have deadlines of their own, and may leave pieces.
            pieces.ended.notified().await;
        }
        for wait in STEP_RETRY_WAITS {
            if pieces.waiting.borrow().is_empty() {
                return Ok(());
            }
            let error = pieces.error.borrow_mut().take();
            if let Some(error) = error.filter(|error| !error.is_retryable()) {
                return Err(error);
            }
            self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
            pieces.work(self, true).await;
        }
        let lacking = Error::protocol("not all pieces of it came");
        let error = pieces.error.borrow_mut().take();
        if pieces.waiting.borrow().is_empty() { Ok(()) } else { Err(error.unwrap_or(lacking)) }
    }
}

impl<'l> SegmentQueue<'l> {
    fn new(
        remote: &RemotePath,
        size: u64,
        landing: &'l AtomicFile,
        sessions: u64,
        id: TransferId,
    ) -> Self {
        let ends: Vec<_> = (0..=sessions).map(|number| size / sessions * number).collect();
        let mut waiting: Vec<_> =
            ends.windows(2).filter_map(|two| Some(*two.first()?..*two.last()?)).collect();
        if let Some(last) = waiting.last_mut() {
            last.end = size;
        }
        Self {
            remote: remote.clone(),
            landing,
            size,
            id,
            sessions,
            busy: Cell::new(sessions - 1),
            ended: Notify::new(),
            waiting: RefCell::new(waiting),
            error: RefCell::new(None),
        }
    }

    /// Runs another session, once it is open.
    async fn help(&self, coming: Result<Session>) {
        match coming {
            Ok(mut session) => self.work(&mut session, false).await,
            // A server that accepts no more sessions is no failure: the open ones suffice.
            Err(error) => {
                tracing::info!(target: "portolan", "continuing with one session fewer: {error}");
            }
        }
        self.busy.set(self.busy.get().saturating_sub(1));
        self.ended.notify_one();
    }

    /// Downloads pieces as long as there are any, and puts back the rest of one that fails. A session that `stays` is
    /// in step afterwards; another is not waited for when no pieces are left for it.
    async fn work(&self, session: &mut Session, stays: bool) {
        loop {
            let Some(mut piece) = self.waiting.borrow_mut().pop() else { return };
            match self.fetch(session, &mut piece).await {
                Ok(true) => {}
                // The rest belongs to another session: closing the connection tells the server, which replies to that.
                Ok(false) if stays || !self.waiting.borrow().is_empty() => {
                    session.control.resync(RESYNC_TIMEOUT).await;
                }
                Ok(false) => return session.control.close_abruptly(),
                Err(error) => {
                    self.waiting.borrow_mut().push(piece);
                    self.error.borrow_mut().get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// Downloads one piece; in any case, the rest of `piece` is still missing. Returns true if the final reply has been
    /// read, false if it is still to come.
    async fn fetch(&self, session: &mut Session, piece: &mut Range<u64>) -> Result<bool> {
        let is_last = piece.end == self.size;
        let command = FtpCommand::path(Verb::Retr, &self.remote);
        let mut data = session
            .open_data(DataCommand { offset: piece.start, ..DataCommand::whole(&command) })
            .await?
            .data;
        let mut buffer = session.take_buffer();
        let began_at = piece.start;
        let mut sent_on = began_at;
        let mut rate = session.least_rate();
        let copy = async {
            while piece.start < piece.end {
                let left = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
                let space = buffer::room(&mut buffer, session.piece().min(left))?;
                let count = data.read(space).await?;
                if count == 0 {
                    let message = "the file ended before its size";
                    return Err(Error::new(ErrorKind::DataConnection, Origin::Server, message));
                }
                self.landing.write_at(buffer::filled(space, count)?, piece.start)?;
                piece.start += count as u64;
                if self.landing.send(sent_on..piece.start) {
                    sent_on = piece.start;
                }
                let event = Event::Moved { id: self.id, bytes: count as u64 };
                session.context.observer.emit(&event);
                rate.moved(count, Instant::now())?;
                session.rest(count, &mut rate).await?;
            }
            if is_last && session.read_end(&mut data, &mut buffer).await? > 0 {
                let message = "more bytes came than its size: is it being written?";
                return Err(Error::protocol(message));
            }
            Ok(())
        };
        let copied = copy.await;
        session.buffer = buffer;
        let moved = piece.start - began_at;
        if is_last || copied.is_err() {
            let ending = TransferEnding::plain(Verb::Retr, moved);
            return session.conclude(data, copied, ending).await.map(|_| true);
        }
        Ok(false)
    }
}
