//! The data-connection method that one session with a server has found, for sessions that were opened before it was
//! known.

use std::sync::{Arc, Mutex, PoisonError};

use super::data::{address::PasvHint, method::FallbackOrder};

/// The shared result.
#[derive(Debug, Clone)]
pub(super) struct SharedMethod {
    pub(super) ladder: FallbackOrder,
    /// The mode that was last reported to the user.
    pub(super) told_mode: Option<&'static str>,
    pub(super) address: PasvHint,
}

/// The result that all sessions with one server share.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedDataMethod(Arc<Mutex<Option<SharedMethod>>>);

impl SharedDataMethod {
    /// Returns the latest result, if there is one.
    pub(super) fn read(&self) -> Option<SharedMethod> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes a result to the other sessions, if it is new.
    pub(super) fn post(
        &self,
        ladder: &FallbackOrder,
        told_mode: Option<&'static str>,
        address: PasvHint,
    ) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_none_or(|found| found.ladder.current() != ladder.current()) {
            *found = Some(SharedMethod { ladder: ladder.clone(), told_mode, address });
        }
    }
}
