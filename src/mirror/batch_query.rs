//! Queries to the server that all sessions of a pool ask together, in any order.

use super::pool::{JobQueue, QueueHandle, SessionPool};
use crate::{
    error::{Error, Result},
    ftp::session::Session,
    limits::BATCH_BYTES_MAX,
};

/// Queries of one kind, with the answers so far.
pub(super) struct BatchQuery<Q, A> {
    waiting: Vec<Q>,
    /// The answers, each with its query.
    pub(super) answers: Vec<(Q, A)>,
    /// The queries without an answer, in the order in which they failed.
    pub(super) failed: Vec<(Q, Error)>,
    /// Returns true for a failure that ends all queries.
    is_fatal: fn(&Error) -> bool,
}

impl<Q, A> BatchQuery<Q, A> {
    /// Asks all of `queries` by `ask`, which is told as well whether another query is likely to follow in its session.
    /// Fails with the first error that `is_fatal`.
    pub(super) async fn ask(
        crew: &mut SessionPool<'_>,
        queries: Vec<Q>,
        is_fatal: fn(&Error) -> bool,
        ask: impl AsyncFn(&mut Session, &Q, bool) -> Result<A>,
    ) -> Result<Self> {
        let mut all = Self { waiting: queries, answers: Vec::new(), failed: Vec::new(), is_fatal };
        let turn = async |session: &mut Session, query: Q, feed: QueueHandle<'_, '_, Self>| {
            let answer = ask(session, &query, feed.goes_on()).await;
            vec![(query, answer)]
        };
        crew.run(&mut all, turn).await?;
        Ok(all)
    }
}

impl<Q, A> JobQueue for BatchQuery<Q, A> {
    type Job = Q;
    type Found = A;

    fn next(&mut self) -> Option<Q> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, query: Q) {
        self.waiting.push(query);
    }

    fn done(&mut self, query: Q, answer: Result<A>) -> Result<()> {
        match answer {
            Ok(answer) => self.answers.push((query, answer)),
            Err(fault) if (self.is_fatal)(&fault) => return Err(fault),
            Err(fault) => self.failed.push((query, fault)),
        }
        Ok(())
    }
}

/// Splits `paths` into packets of queries, of which each takes the number of bytes that `bytes` returns.
pub(super) fn packets(paths: Vec<Vec<u8>>, bytes: impl Fn(&[u8]) -> usize) -> Vec<Vec<Vec<u8>>> {
    let mut packets: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut room = 0;
    for path in paths {
        let bytes = bytes(&path);
        if bytes > room {
            room = BATCH_BYTES_MAX;
            packets.push(Vec::new());
        }
        room = room.saturating_sub(bytes);
        if let Some(packet) = packets.last_mut() {
            packet.push(path);
        }
    }
    packets
}
