//! Graceful stop at the next file: transfers in progress are finished, and no further ones are started.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use crate::{
    cancel::CancelToken,
    observe::{Event, Sink, TransferId},
};

/// An event sink that tracks transfers in progress, and sets the stop signal when all of them have finished.
#[derive(Debug)]
pub struct Drain {
    stop: CancelToken,
    state: Mutex<DrainState>,
}

#[derive(Debug, Default)]
struct DrainState {
    under_way: BTreeSet<TransferId>,
    /// The transfers that were in progress when the request came and have not finished.
    awaited: Option<BTreeSet<TransferId>>,
}

impl Drain {
    /// Creates a drain that sets `stop`.
    pub fn new(stop: CancelToken) -> Self {
        Self { stop, state: Mutex::default() }
    }

    /// Requests the stop: each session may finish its file, and none starts another.
    pub fn request(&self) {
        self.stop.drain();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.awaited = Some(state.under_way.clone());
        self.look(&state);
    }

    fn look(&self, state: &DrainState) {
        if state.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.stop.set();
        }
    }
}

impl Sink for Drain {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::TransferStarted { id, .. } => {
                state.under_way.insert(*id);
            }
            Event::TransferDone { id, .. } | Event::TransferFailed { id, .. } => {
                state.under_way.remove(id);
                if let Some(awaited) = &mut state.awaited {
                    awaited.remove(id);
                }
                self.look(&state);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::observe::Operation;

    fn begin(id: TransferId) -> Event {
        Event::TransferStarted { id, verb: Operation::Upload, path: "a".into(), bytes: None }
    }

    fn end(id: TransferId) -> Event {
        Event::TransferDone { id, bytes: 1, verified: true, took: Duration::ZERO }
    }

    #[test]
    fn what_is_under_way_is_finished_and_nothing_else() {
        let stop = CancelToken::new();
        let drain = Drain::new(stop.clone());
        for event in [begin(1), end(1), begin(2), begin(3)] {
            drain.event(&event);
        }
        drain.request();
        assert!(stop.accepts_new_work().is_err());
        // A transfer that was admitted just before the request is not waited for.
        for event in [end(2), begin(4)] {
            drain.event(&event);
            assert!(!stop.is_set());
        }
        drain.event(&end(3));
        assert!(stop.is_set());
    }

    #[test]
    fn where_nothing_is_under_way_it_stops_at_once() {
        let stop = CancelToken::new();
        Drain::new(stop.clone()).request();
        assert!(stop.is_set());
    }
}
