//! Messages for a run's log, which is read afterwards and has more detail than the display of progress.

use super::{
    Event, Level, duration_text,
    running::Transfer,
    visible::{visible, visible_lines},
    words::{Weight, words},
};

/// Returns the severity and the message for `event`; `None` if it has none, as progress events do.
pub(super) fn record(event: &Event, transfer: Option<&Transfer>) -> Option<(Level, String)> {
    let told = match event {
        Event::RunStarted { script } => (Level::Info, format!("begins: {}", visible(script))),
        Event::Connected { host, address, tls, took } => {
            let tls = tls.as_ref().map_or_else(|| "without TLS".to_owned(), visible);
            let (host, took) = (visible(host), duration_text(*took));
            (Level::Info, format!("connected to {host} ({address}, {tls}) in {took}"))
        }
        Event::Attempted { host, attempt } => {
            let how = if attempt.worked { "works".to_owned() } else { visible(&attempt.words) };
            let line = format!("{}: {} {}: {how}", visible(host), attempt.step, attempt.address);
            (Level::Debug, line)
        }
        Event::Said { level, text } => (*level, visible(text)),
        Event::Printed { text } => (Level::Info, visible_lines(text)),
        Event::RunDone { fault: None, took } => {
            (Level::Info, format!("ends after {}", duration_text(*took)))
        }
        Event::RunDone { fault: Some(fault), took } => {
            let fault = visible(fault.to_string());
            (Level::Error, format!("fails after {}: {fault}", duration_text(*took)))
        }
        other => {
            let (weight, words) = words(other, transfer)?;
            let level = match weight {
                Weight::Routine | Weight::Notice => Level::Info,
                Weight::Warning => Level::Warn,
                Weight::Failure => Level::Error,
            };
            (level, words)
        }
    };
    Some(told)
}
