//! The active transfers by number, for events that carry only the number.

use std::collections::HashMap;

use super::{Event, Operation, TransferId};

/// A transfer that has begun.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) verb: Operation,
    pub(super) path: String,
    pub(super) bytes: Option<u64>,
    pub(super) moved: u64,
}

/// The active transfers: those that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct RunningTransfers(HashMap<TransferId, Transfer>);

impl RunningTransfers {
    /// Updates the active transfers with `event`, and returns the state of its transfer after the event.
    pub(super) fn follow(&mut self, event: &Event) -> Option<Transfer> {
        match event {
            Event::TransferStarted { id, verb, path, bytes } => {
                let (verb, path) = (*verb, path.clone());
                self.0.insert(*id, Transfer { verb, path, bytes: *bytes, moved: 0 });
                self.0.get(id).cloned()
            }
            Event::Moved { id, bytes } => {
                let transfer = self.0.get_mut(id)?;
                transfer.moved = transfer.moved.saturating_add(*bytes);
                Some(transfer.clone())
            }
            Event::TransferDone { id, .. } | Event::TransferFailed { id, .. } => self.0.remove(id),
            _ => None,
        }
    }
}
