//! A failure is told once: the line for a transfer that failed waits until it is known that nobody else tells it.

use super::Event;

/// The line that waits.
#[derive(Debug, Default)]
pub(super) struct Held(Option<Failed>);

#[derive(Debug)]
struct Failed {
    /// The fault as an error or a warning about it begins.
    words: String,
    line: String,
}

impl Held {
    /// Keeps `line`, which tells `event`, for later.
    pub(super) fn hold(&mut self, event: &Event, line: String) {
        if let Event::TransferFailed { fault, .. } = event {
            self.0 = Some(Failed { words: fault.to_string(), line });
        }
    }

    /// The line to write before `event`; nothing if `event` tells the same, and what fails a run is told at its end.
    pub(super) fn before(&mut self, event: &Event) -> Option<String> {
        let Failed { words, line } = self.0.take()?;
        let is_told = match event {
            Event::RunDone { fault: Some(fault), .. } => fault.to_string() == words,
            Event::Said { text, .. } => text.starts_with(&words),
            _ => false,
        };
        (!is_told).then_some(line)
    }
}
