//! Queries to the server that all sessions of a pool ask together, in any order.

use super::{
    endpoints::place,
    pool::{JobQueue, QueueHandle, SessionPool},
};
use portolan_core::error::{Error, Result};
use portolan_remote::{
    fs::{Query, ROUND_TRIP_COST, RemoteFs},
    path::RemotePath,
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
    /// Sends all of `queries` by `ask`. Its last argument is true if another query is likely to follow in the same session.
    /// Fails with the first error that `is_fatal`.
    pub(super) async fn ask<R: RemoteFs>(
        crew: &mut SessionPool<'_, R>,
        queries: Vec<Q>,
        is_fatal: fn(&Error) -> bool,
        ask: impl AsyncFn(&mut R, &Q, bool) -> Result<A>,
    ) -> Result<Self> {
        let mut all = Self { waiting: queries, answers: Vec::new(), failed: Vec::new(), is_fatal };
        let turn = async |session: &mut R, query: Q, feed: QueueHandle<'_, '_, Self>| {
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

/// Splits `paths` below `top` into batches, of each of which `query` takes one round trip.
pub(super) fn batches(
    session: &impl RemoteFs,
    query: Query,
    top: &RemotePath,
    paths: Vec<Vec<u8>>,
) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut room = 0;
    for path in paths {
        // A path that leads elsewhere is refused when it is asked for.
        let cost = place(top, &path).map_or(0, |place| session.cost(query, &place));
        if batches.is_empty() || cost > room {
            room = ROUND_TRIP_COST;
            batches.push(Vec::new());
        }
        room = room.saturating_sub(cost);
        if let Some(batch) = batches.last_mut() {
            batch.push(path);
        }
    }
    batches
}
