//! Messages about events for people: one line each, understandable on its own.

use super::{Event, Level, Verb, duration_text, running::Transfer, size_text, visible::visible};

/// The importance of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// One of many: a completed file.
    Routine,
    /// A message the user should read.
    Notice,
    /// A problem the user should fix.
    Warning,
    /// A failure.
    Failure,
}

/// Returns the line for `event`; `None` if only a log needs it.
pub(super) fn words(event: &Event, transfer: Option<&Transfer>) -> Option<(Weight, String)> {
    match event {
        Event::FellBack { host, from, to, reason } => {
            let (host, reason) = (visible(host), visible(reason));
            let line = format!("fell back from {from} to {to} on {host}: {reason}");
            Some((Weight::Notice, line))
        }
        Event::TransferDone { bytes, verified, took, .. } => {
            let transfer = transfer?;
            let mut line = done(transfer.verb, &transfer.path)?;
            if matches!(transfer.verb, Verb::Upload | Verb::Download) {
                let check = if *verified { "" } else { "  (not verified)" };
                let time = if took.as_secs() > 0 {
                    format!(" in {}", duration_text(*took))
                } else {
                    String::new()
                };
                line = format!("{line}  {}{time}{check}", size_text(*bytes));
            }
            Some((Weight::Routine, line))
        }
        Event::TransferFailed { fault, .. } => {
            let line = match transfer {
                Some(Transfer { verb, path, .. }) => {
                    let message = visible(&fault.message);
                    format!("failed to {} {}: {message}", infinitive(*verb), visible(path))
                }
                None => format!("failed: {}", visible(fault.to_string())),
            };
            Some((Weight::Failure, line))
        }
        Event::Done { verb, path } => Some((Weight::Routine, done(*verb, path)?)),
        Event::Said { level, text } => {
            let text = visible(text);
            match level {
                Level::Debug => None,
                Level::Info => Some((Weight::Notice, text)),
                Level::Warn => Some((Weight::Warning, format!("warning: {text}"))),
                Level::Error => Some((Weight::Failure, format!("error: {text}"))),
            }
        }
        Event::Rehearsed { changes } => Some((Weight::Notice, rehearsed(changes))),
        _ => None,
    }
}

fn rehearsed(changes: &[String]) -> String {
    let head = "\nrehearsal: nothing real was touched; on the server this would have changed:";
    let mut lines = vec![head.to_owned()];
    lines.extend(changes.iter().map(|change| format!("  {}", visible(change))));
    if changes.is_empty() {
        lines.push("  nothing".into());
    }
    lines.join("\n")
}

/// Returns the word before the path of an active transfer: short, since it stands in a column.
pub(super) const fn column(verb: Verb) -> &'static str {
    match verb {
        Verb::Upload => "up",
        Verb::Download => "down",
        Verb::Delete => "delete",
        Verb::Rename => "rename",
        Verb::Mkdir => "mkdir",
        Verb::List => "list",
    }
}

fn done(verb: Verb, path: &str) -> Option<String> {
    let word = match verb {
        Verb::Upload | Verb::Download => column(verb),
        Verb::Delete => "deleted",
        Verb::Rename => "renamed",
        Verb::Mkdir => "made folder",
        // A listing changes nothing, and a mirror makes one for every directory.
        Verb::List => return None,
    };
    Some(format!("{word}  {}", visible(path)))
}

/// Returns the word after `to`.
pub(super) const fn infinitive(verb: Verb) -> &'static str {
    match verb {
        Verb::Upload => "upload",
        Verb::Download => "download",
        Verb::Delete => "delete",
        Verb::Rename => "rename",
        Verb::Mkdir => "make the folder",
        Verb::List => "list",
    }
}
