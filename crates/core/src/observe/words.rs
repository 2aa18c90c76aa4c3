//! Messages about events for people: one line each, understandable on its own.

use super::{
    Event, MessageLevel, Operation, format_duration, format_size, running::Transfer,
    visible::visible,
};

/// The importance of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineWeight {
    /// One of many: a completed file.
    Routine,
    /// A message the user should read.
    Notice,
    /// A problem the user should fix.
    Warning,
    /// A failure.
    Failure,
}

/// Returns true if a path is that of a file of portolan's own, such as the state on a server, which no user has asked for.
fn is_own(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with(".portolan-"))
}

/// Returns the line for `event`; `None` if only a log needs it.
pub(super) fn words(event: &Event, transfer: Option<&Transfer>) -> Option<(LineWeight, String)> {
    match event {
        Event::FellBack { host, from, to, reason } => {
            let (host, reason) = (visible(host), visible(reason));
            let line = format!("fell back from {from} to {to} on {host}: {reason}");
            Some((LineWeight::Notice, line))
        }
        Event::TransferDone { bytes, verified, took, .. } => {
            let transfer = transfer.filter(|transfer| !is_own(&transfer.path))?;
            let mut line = done(transfer.verb, &transfer.path)?;
            if matches!(transfer.verb, Operation::Upload | Operation::Download) {
                let check = if *verified { "" } else { "  (not verified)" };
                let time = if took.as_secs() > 0 {
                    format!(" in {}", format_duration(*took))
                } else {
                    String::new()
                };
                line = format!("{line}  {}{time}{check}", format_size(*bytes));
            }
            Some((LineWeight::Routine, line))
        }
        Event::TransferFailed { fault, .. } => {
            let line = match transfer {
                Some(Transfer { verb, path, .. }) => {
                    let message = visible(&fault.message);
                    format!("failed to {} {}: {message}", infinitive(*verb), visible(path))
                }
                None => format!("failed: {}", visible(fault.to_string())),
            };
            Some((LineWeight::Failure, line))
        }
        Event::Done { path, .. } if is_own(path) => None,
        Event::Done { verb, path } => Some((LineWeight::Routine, done(*verb, path)?)),
        Event::Said { level, text } => {
            let text = visible(text);
            match level {
                MessageLevel::Debug => None,
                MessageLevel::Info => Some((LineWeight::Notice, text)),
                MessageLevel::Warn => Some((LineWeight::Warning, format!("warning: {text}"))),
                MessageLevel::Error => Some((LineWeight::Failure, format!("error: {text}"))),
            }
        }
        Event::Rehearsed { changes } => Some((LineWeight::Notice, rehearsed(changes))),
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
pub(super) const fn column(verb: Operation) -> &'static str {
    match verb {
        Operation::Upload => "up",
        Operation::Download => "down",
        Operation::Delete => "delete",
        Operation::Rename => "rename",
        Operation::Mkdir => "mkdir",
        Operation::List => "list",
    }
}

fn done(verb: Operation, path: &str) -> Option<String> {
    let word = match verb {
        Operation::Upload | Operation::Download => column(verb),
        Operation::Delete => "deleted",
        Operation::Rename => "renamed",
        Operation::Mkdir => "made folder",
        // A listing changes nothing, and a mirror makes one for every directory.
        Operation::List => return None,
    };
    Some(format!("{word}  {}", visible(path)))
}

/// Returns the word after `to`.
pub(super) const fn infinitive(verb: Operation) -> &'static str {
    match verb {
        Operation::Upload => "upload",
        Operation::Download => "download",
        Operation::Delete => "delete",
        Operation::Rename => "rename",
        Operation::Mkdir => "make the folder",
        Operation::List => "list",
    }
}
