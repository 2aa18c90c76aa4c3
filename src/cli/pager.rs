//! The pager: output that is longer than the terminal is shown page by page.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::{
    report,
    table::{height, is_terminal},
};

/// The pager where `PAGER` names none: it ends by itself if all fits, keeps colours, and leaves the text on the screen.
const USUAL: &str = "less -FRX";

/// Writes `text` to standard output, page by page if that is a terminal with fewer lines.
pub(super) fn show(text: &str) {
    let is_long = height().is_some_and(|lines| text.lines().count() >= lines);
    if !(is_long && is_terminal() && page(text)) {
        report::output(text);
    }
}

/// Shows `text` in the pager; returns false if there is none.
fn page(text: &str) -> bool {
    let line = std::env::var("PAGER").unwrap_or_else(|_| USUAL.to_owned());
    // Set and empty, it asks for none.
    if line.trim().is_empty() {
        return false;
    }
    let started = Command::new("sh")
        .args(["-c", &line])
        .env_remove("PORTOLAN_PASSWORD")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut pager) = started else { return false };
    if let Some(mut input) = pager.stdin.take() {
        // A reader that has seen enough closes its end.
        drop(input.write_all(text.as_bytes()));
    }
    // The shell answers 127 if there is no such program, and 126 if it cannot be executed.
    pager.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
