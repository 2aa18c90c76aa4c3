//! Deduplication of failures: the line for a failed transfer is held back until it is known that no later event reports
//! the same failure.

use super::Event;

/// The line that is held back.
#[derive(Debug, Default)]
pub(super) struct PendingLine(Option<FailedTransfer>);

#[derive(Debug)]
struct FailedTransfer {
    /// The text with which an error or warning about this fault begins.
    words: String,
    line: String,
}

impl PendingLine {
    /// Holds back `line`, which reports `event`.
    pub(super) fn hold(&mut self, event: &Event, line: String) {
        if let Event::TransferFailed { fault, .. } = event {
            self.0 = Some(FailedTransfer { words: fault.to_string(), line });
        }
    }

    /// Returns the held line, to be written before `event`. Returns `None` if `event` reports the same failure; the
    /// fault that ends a run is reported at its end.
    pub(super) fn before(&mut self, event: &Event) -> Option<String> {
        // Neither prints a line: the failure may still be reported by a later event.
        if matches!(event, Event::Connected { .. } | Event::Attempted { .. }) {
            return None;
        }
        let FailedTransfer { words, line } = self.0.take()?;
        let is_told = match event {
            // A clause may have been added to it since.
            Event::RunDone { fault: Some(fault), .. } => fault
                .to_string()
                .strip_prefix(&words)
                .is_some_and(|added| added.is_empty() || added.starts_with("; ")),
            Event::Said { text, .. } => text.starts_with(&words),
            _ => false,
        };
        (!is_told).then_some(line)
    }
}
