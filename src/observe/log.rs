//! The log: every event as one record on standard error, as text or JSON.
//!
//! Only records of portolan pass. The libraries below have logs of their own, and one of them writes passwords
//! (suppaftp at level `trace`); none of their records are ever shown.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use tracing::{Subscriber, debug, error, info, warn};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{MakeWriter, format::Writer, layer, time::FormatTime},
    layer::SubscriberExt,
    registry::Registry,
};

use super::{
    Event, Level, Sink, duration_text,
    running::{Running, Transfer},
    visible::visible,
    words::infinitive,
};
use crate::{
    clock::Clock,
    fault::{Fault, Outcome},
};

/// The target of every record.
const TARGET: &str = "portolan";

/// The format of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// Starts the log of this process: records of `level` and above go to `writer`. Fails if it was started before.
pub fn start<W>(level: Level, format: Format, clock: Clock, writer: W) -> Outcome<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing::subscriber::set_global_default(subscriber(level, format, clock, writer))
        .map_err(|error| Fault::invalid("the log was started before").because(error))
}

/// Returns the subscriber for our own records, from `level` up.
fn subscriber<W>(level: Level, format: Format, clock: Clock, writer: W) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let records = layer().with_writer(writer).with_ansi(false).with_timer(Time(clock));
    let records = match format {
        Format::Text => records.with_target(false).boxed(),
        Format::Json => records.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let ours = Targets::new().with_target(TARGET, threshold(level));
    Registry::default().with(records.with_filter(ours))
}

const fn threshold(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

/// The time of a record, from our clock.
struct Time(Clock);

impl FormatTime for Time {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{:.3}", self.0.now())
    }
}

/// The sink that turns events into records. Progress events are left out: a log is read afterwards.
#[derive(Debug, Default)]
pub struct Log(Mutex<Running>);

impl Log {
    /// Creates a sink for the log that [`start`] starts.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Sink for Log {
    fn event(&self, event: &Event) {
        let transfer = self.0.lock().unwrap_or_else(PoisonError::into_inner).follow(event);
        match event {
            Event::Moved { .. } => {}
            Event::Printed { text } => debug!(target: TARGET, "printed: {}", visible(text)),
            Event::Said { level, text } => said(*level, &visible(text)),
            Event::RunStarted { script } => {
                info!(target: TARGET, script = visible(script), "run started");
            }
            Event::RunDone { fault: None, took } => {
                info!(target: TARGET, took = duration_text(*took), "run done");
            }
            Event::RunDone { fault: Some(fault), took } => {
                failed(fault, &format!("run failed after {}", duration_text(*took)));
            }
            Event::Planned { files, bytes } => info!(target: TARGET, files, bytes, "planned"),
            Event::Rehearsed { changes } => {
                info!(target: TARGET, changes = changes.len(), "rehearsed");
            }
            Event::Done { verb, path } => {
                info!(target: TARGET, verb = infinitive(*verb), path = visible(path), "done");
            }
            Event::Connected { .. } | Event::Attempted { .. } | Event::FellBack { .. } => {
                connection(event);
            }
            Event::TransferStarted { .. }
            | Event::TransferDone { .. }
            | Event::TransferFailed { .. } => {
                if let Some(transfer) = transfer {
                    moved(event, &transfer);
                }
            }
        }
    }
}

fn said(level: Level, text: &str) {
    match level {
        Level::Debug => debug!(target: TARGET, "{text}"),
        Level::Info => info!(target: TARGET, "{text}"),
        Level::Warn => warn!(target: TARGET, "{text}"),
        Level::Error => error!(target: TARGET, "{text}"),
    }
}

/// Logs events of sessions and data connections.
fn connection(event: &Event) {
    match event {
        Event::Connected { host, address, tls, took } => {
            let tls = tls.as_ref().map_or_else(|| "none".to_owned(), visible);
            let (host, took) = (visible(host), duration_text(*took));
            info!(target: TARGET, host, address, tls, took, "connected");
        }
        Event::Attempted { host, attempt } => {
            let (host, words) = (visible(host), visible(&attempt.words));
            let (step, address, ms) = (attempt.step, &attempt.address, attempt.ms);
            let outcome = if attempt.worked { "stood" } else { "failed" };
            debug!(target: TARGET, host, step, address, ms, words, "data connection {outcome}");
        }
        Event::FellBack { host, from, to, reason } => {
            let (host, reason) = (visible(host), visible(reason));
            warn!(target: TARGET, host, from, to, reason, "fell back");
        }
        _ => {}
    }
}

/// Logs events of one file.
fn moved(event: &Event, transfer: &Transfer) {
    let (verb, path) = (infinitive(transfer.verb), visible(&transfer.path));
    match event {
        Event::TransferStarted { bytes, .. } => {
            debug!(target: TARGET, verb, path, bytes, "begins");
        }
        Event::TransferDone { bytes, verified, took, .. } => {
            let took = duration_text(*took);
            info!(target: TARGET, verb, path, bytes, verified, took, "done");
        }
        Event::TransferFailed { fault, .. } => failed(fault, &format!("failed to {verb} {path}")),
        _ => {}
    }
}

/// Logs a fault with everything that is known about it.
fn failed(fault: &Fault, what: &str) {
    let (kind, side, code) = (fault.kind.word(), fault.side.word(), fault.code);
    let host = fault.host.as_ref().map(visible);
    let path = fault.path.as_ref().map(visible);
    let message = visible(&fault.message);
    error!(target: TARGET, kind, side, code, host, path, "{what}: {message}");
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Arc,
        time::Duration,
    };

    use super::*;
    use crate::{
        fault::{Kind, Side},
        observe::{Attempt, Verb},
    };

    /// A buffer that keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: Format, events: &[Event]) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let clock = Clock::standing_at(1_767_225_600);
        let subscriber = subscriber(level, format, clock, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let log = Log::new();
            for event in events {
                log.event(event);
            }
            tracing::error!(target: "suppaftp", "CC OUT: PASS secret");
        });
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_run_reads_as_one_record_for_each_event() {
        let fault = Fault::new(Kind::Denied, Side::Server, "550 no\r\n2026 INFO fake").at("in/a");
        let attempt = Attempt {
            step: "epsv",
            address: "192.0.2.1:50000".into(),
            worked: true,
            ms: 3,
            words: "229 ok".into(),
        };
        let events = [
            Event::Attempted { host: "h".into(), attempt },
            Event::FellBack {
                host: "h".into(),
                from: "active",
                to: "passive",
                reason: "no".into(),
            },
            Event::TransferStarted { id: 1, verb: Verb::Upload, path: "in/a".into(), bytes: None },
            Event::Moved { id: 1, bytes: 3 },
            Event::TransferFailed { id: 1, fault },
            Event::RunDone { fault: None, took: Duration::from_secs(2) },
        ];
        assert_eq!(
            logged(Level::Info, Format::Text, &events),
            "2026-01-01T00:00:00.000Z  WARN fell back host=\"h\" from=\"active\" to=\"passive\" reason=\"no\"\n\
             2026-01-01T00:00:00.000Z ERROR failed to upload in/a: 550 no\\r\\n2026 INFO fake kind=\"denied\" side=\"server\" code=0 path=\"in/a\"\n\
             2026-01-01T00:00:00.000Z  INFO run done took=\"2.0 s\"\n"
        );
        assert_eq!(logged(Level::Debug, Format::Text, &events).lines().count(), 5);
        assert_eq!(logged(Level::Error, Format::Text, &events).lines().count(), 1);
    }

    #[test]
    fn records_in_json_are_objects_with_flat_fields() {
        let events = [Event::Done { verb: Verb::Mkdir, path: "in".into() }];
        assert_eq!(
            logged(Level::Info, Format::Json, &events),
            "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"level\":\"INFO\",\"message\":\"done\",\"verb\":\"make the folder\",\"path\":\"in\",\"target\":\"portolan\"}\n"
        );
    }
}
