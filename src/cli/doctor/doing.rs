//! The progress of `doctor` on standard error: one line that changes on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};

use crate::{
    cli::report,
    observe::{Event, MessageLevel, Sink, visible::visible},
};

/// The columns of the line; a longer one would wrap, and could not be erased.
const WIDTH: usize = 78;
/// The control sequence that returns to the first column and erases the line.
const AGAIN: &str = "\r\x1b[K";

/// Returns a sink that shows the current test.
pub(super) fn sink() -> Box<dyn Sink> {
    Box::new(DoctorProgress { is_terminal: stderr().is_terminal() })
}

/// Erases the line, so that the result begins on a clean one.
pub(super) fn done() {
    if stderr().is_terminal() {
        report::print(AGAIN);
    }
}

struct DoctorProgress {
    is_terminal: bool,
}

impl Sink for DoctorProgress {
    fn event(&self, event: &Event) {
        let Event::Said { level: MessageLevel::Debug, text } = event else { return };
        let text = visible(text);
        report::print(&if self.is_terminal {
            let short: String = text.chars().take(WIDTH).collect();
            format!("{AGAIN}{short}")
        } else {
            format!("{text}\n")
        });
    }
}
