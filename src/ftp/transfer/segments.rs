//! One large file by several sessions at once, each with a piece of it.

use std::{cell::RefCell, ops::Range};

use futures_util::future::{join, join_all};

use super::{Known, Moved};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::Landing,
    ftp::{control::Command, path::RemotePath, session::Session},
    limits::{RESYNC_TIMEOUT, SEGMENT_BYTES_MIN, STEP_RETRY_WAITS},
    observe::{Event, TransferId, Verb},
};

/// The pieces of a file on their way.
struct Pieces<'l> {
    remote: RemotePath,
    landing: &'l Landing,
    size: u64,
    id: TransferId,
    /// What nobody has begun; the last is taken first.
    waiting: RefCell<Vec<Range<u64>>>,
    /// What kept a piece from coming whole.
    fault: RefCell<Option<Fault>>,
}

impl Session {
    /// Fetches `remote` by up to `sessions` sessions, this one among them, as [`download`](Self::download) does. A
    /// file that is too small for that, or whose size the server does not tell, comes by this one alone.
    pub async fn download_in_segments(
        &mut self,
        remote: &RemotePath,
        landing: Landing,
        sessions: u16,
        keep_time: bool,
    ) -> Outcome<Moved> {
        let remote = self.absolute(remote)?;
        let known = self.ask_known(&remote).await?;
        let size = known.size.unwrap_or(0);
        let count = u64::from(sessions).min(size / SEGMENT_BYTES_MIN);
        if count < 2 {
            return self.download(&remote, landing, known, keep_time).await;
        }
        let (id, started) = self.begin(Verb::Download, &remote, known.size)?;
        let result = self.fetch_pieces(&remote, &landing, (size, count), id).await;
        let result = match result {
            Ok(()) => self.is_still(&remote, known).await.map(|()| (size, true)),
            Err(fault) => Err(self.explain(fault, &remote).await),
        };
        let moved = self.end(id, started, &remote, result)?;
        landing.commit(known.modified.filter(|_| keep_time))?;
        Ok(moved)
    }

    /// Fails unless `remote` is still what was `known` of it: bytes of two versions must not become one file.
    pub(super) async fn is_still(&mut self, remote: &RemotePath, known: Known) -> Outcome<()> {
        let now = self.ask_known_and(remote, None).await?;
        if now == known {
            return Ok(());
        }
        let message = "it was changed on the server while it was fetched";
        Err(Fault::new(Kind::DataConnection, Side::Server, message))
    }

    async fn fetch_pieces(
        &mut self,
        remote: &RemotePath,
        landing: &Landing,
        (size, count): (u64, u64),
        id: TransferId,
    ) -> Outcome<()> {
        let ends: Vec<_> = (0..=count).map(|number| size / count * number).collect();
        let mut waiting: Vec<_> =
            ends.windows(2).filter_map(|two| Some(*two.first()?..*two.last()?)).collect();
        if let Some(last) = waiting.last_mut() {
            last.end = size;
        }
        let remote = remote.clone();
        let (waiting, fault) = (RefCell::new(waiting), RefCell::new(None));
        let pieces = Pieces { remote, landing, size, id, waiting, fault };
        let others = (1..count).map(|_| self.another()).map(async |coming| match coming.await {
            Ok(mut session) => pieces.work(&mut session, false).await,
            // A server that takes no more sessions is no failure: what is there will do.
            Err(fault) => tracing::info!(target: "portolan", "one session less: {fault}"),
        });
        let others = join_all(others.collect::<Vec<_>>());
        join(pieces.work(self, true), others).await;
        // What others left undone.
        for wait in STEP_RETRY_WAITS {
            if pieces.waiting.borrow().is_empty() {
                return Ok(());
            }
            let fault = pieces.fault.borrow_mut().take();
            if let Some(fault) = fault.filter(|fault| !fault.may_retry()) {
                return Err(fault);
            }
            self.context.stop.race(tokio::time::sleep(wait)).await?;
            pieces.work(self, true).await;
        }
        let lacking = Fault::protocol("not all pieces of it came");
        let fault = pieces.fault.borrow_mut().take();
        if pieces.waiting.borrow().is_empty() { Ok(()) } else { Err(fault.unwrap_or(lacking)) }
    }
}

impl Pieces<'_> {
    /// Fetches pieces as long as there are any, and gives back what is lacking of one that fails. A session that
    /// `stays` is in step afterwards; another is not waited for when there is nothing left for it.
    async fn work(&self, session: &mut Session, stays: bool) {
        loop {
            let Some(mut piece) = self.waiting.borrow_mut().pop() else { return };
            match self.fetch(session, &mut piece).await {
                Ok(true) => {}
                // The rest is another's: the server is told by the end of the connection, and says so.
                Ok(false) if stays || !self.waiting.borrow().is_empty() => {
                    session.control.resync(RESYNC_TIMEOUT).await;
                }
                Ok(false) => return session.control.hang_up(),
                Err(fault) => {
                    self.waiting.borrow_mut().push(piece);
                    self.fault.borrow_mut().get_or_insert(fault);
                    return;
                }
            }
        }
    }

    /// Fetches one piece; whatever happens, what is left of `piece` has not come. True where the server has said the
    /// last word; false where it is still to come.
    async fn fetch(&self, session: &mut Session, piece: &mut Range<u64>) -> Outcome<bool> {
        let is_last = piece.end == self.size;
        let command = Command::path("RETR", &self.remote);
        let mut data = session.open_data(&command, piece.start).await?.data;
        let (mut buffer, room) = (session.take_buffer(), session.piece());
        let began_at = piece.start;
        let copy = async {
            while piece.start < piece.end {
                let left = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
                let space = buffer.get_mut(..room.min(left)).unwrap_or_default();
                let count = data.read(space).await?;
                if count == 0 {
                    let message = "the file ended before its size";
                    return Err(Fault::new(Kind::DataConnection, Side::Server, message));
                }
                self.landing.write_at(space.get(..count).unwrap_or_default(), piece.start)?;
                piece.start += count as u64;
                let event = Event::Moved { id: self.id, bytes: count as u64 };
                session.context.observer.tell(&event);
                session.keep_step(count).await?;
            }
            if is_last && data.read(&mut buffer).await? > 0 {
                let message = "more bytes came than its size: is it being written?";
                return Err(Fault::protocol(message));
            }
            Ok(())
        };
        let copied = copy.await;
        session.buffer = buffer;
        let moved = piece.start - began_at;
        if is_last || copied.is_err() {
            return session.conclude("RETR", data, copied, moved).await.map(|()| true);
        }
        Ok(false)
    }
}
