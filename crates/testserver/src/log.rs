//! A log of the control connections.

use std::sync::{Mutex, PoisonError};

use portolan_core::{limits::REHEARSAL_LOG_LINES_MAX, observe::visible::visible};

/// The commands and replies of all sessions, in order.
#[derive(Debug, Default)]
pub(super) struct DialogueLog(Mutex<Vec<String>>);

impl DialogueLog {
    /// Logs a command of session `number`.
    pub(super) fn command(&self, number: usize, line: &[u8]) {
        self.push(format!("{number} > {}", visible(line)));
    }

    /// Logs the bytes sent to session `number`, line by line.
    pub(super) fn reply(&self, number: usize, wire: &[u8]) {
        let wire = wire.strip_suffix(b"\n").unwrap_or(wire);
        for line in wire.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.push(format!("{number} < {}", visible(line)));
        }
    }

    /// Returns all lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < REHEARSAL_LOG_LINES_MAX {
            lines.push(line);
        }
    }
}
