//! The way to data that one session with a server has found, for those that were opened before it was known.

use std::sync::{Arc, Mutex, PoisonError};

use super::data::{address::Known, route::Ladder};

/// What there is to know of it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) ladder: Ladder,
    /// The mode that the user knows of.
    pub(super) told_mode: Option<&'static str>,
    pub(super) address: Known,
}

/// Where all sessions with one server look.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<Option<Found>>>);

impl Board {
    /// What was found last, if anything was.
    pub(super) fn read(&self) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the others know, where it is news.
    pub(super) fn post(&self, ladder: &Ladder, told_mode: Option<&'static str>, address: Known) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref().is_none_or(|found| found.ladder.current() != ladder.current()) {
            *found = Some(Found { ladder: ladder.clone(), told_mode, address });
        }
    }
}
