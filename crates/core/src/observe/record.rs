//! Messages for a run's log, which is read afterwards and has more detail than the display of progress.

use super::{
    Event, MessageLevel, format_duration,
    running::Transfer,
    visible::{visible, visible_lines},
    words::{LineWeight, words},
};

/// Returns the severity and the message for `event`; `None` if it has none, as progress events do.
pub(super) fn record(event: &Event, transfer: Option<&Transfer>) -> Option<(MessageLevel, String)> {
    let told = match event {
        Event::RunStarted { script } => {
            (MessageLevel::Info, format!("begins: {}", visible(script)))
        }
        Event::Connected { host, address, tls, took } => {
            let tls = tls.as_ref().map_or_else(|| "without TLS".to_owned(), visible);
            let (host, took) = (visible(host), format_duration(*took));
            (MessageLevel::Info, format!("connected to {host} ({address}, {tls}) in {took}"))
        }
        Event::Attempted { host, attempt } => {
            let how = if attempt.worked { "works".to_owned() } else { visible(&attempt.words) };
            let line = format!("{}: {} {}: {how}", visible(host), attempt.step, attempt.address);
            (MessageLevel::Debug, line)
        }
        Event::Said { level, text } => (*level, visible(text)),
        Event::Printed { text } => (MessageLevel::Info, visible_lines(text)),
        Event::RunDone { fault: None, took } => {
            (MessageLevel::Info, format!("ends after {}", format_duration(*took)))
        }
        // The error itself is on standard error, with its place and a hint.
        Event::RunDone { fault: Some(_), took } => {
            (MessageLevel::Error, format!("fails after {}", format_duration(*took)))
        }
        other => {
            let (weight, words) = words(other, transfer)?;
            let level = match weight {
                LineWeight::Routine | LineWeight::Notice => MessageLevel::Info,
                LineWeight::Warning => MessageLevel::Warn,
                LineWeight::Failure => MessageLevel::Error,
            };
            (level, words)
        }
    };
    Some(told)
}
