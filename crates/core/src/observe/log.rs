//! The log: every event as one record on standard error, as text or JSON.
//!
//! Only records of portolan pass. The libraries below have logs of their own, and one of them writes passwords
//! (suppaftp at level `trace`); none of their records are ever shown.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
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
    Event, MessageLevel, Sink, format_duration,
    running::{RunningTransfers, Transfer},
    visible::visible,
    words::infinitive,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
};

/// The target of every record.
const TARGET: &str = "portolan";

/// The format of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecordFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// Starts the log of this process: records of `level` and above go to `writer`. Fails if it was started before.
pub fn start<W>(level: MessageLevel, format: RecordFormat, clock: Clock, writer: W) -> Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing::subscriber::set_global_default(subscriber(level, format, clock, writer))
        .map_err(|error| Error::invalid("the log was started before").with_source(error))
}

/// Returns the subscriber for our own records, from `level` up.
fn subscriber<W>(
    level: MessageLevel,
    format: RecordFormat,
    clock: Clock,
    writer: W,
) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let records = layer().with_writer(writer).with_ansi(false);
    let records = match format {
        // The journal has the time of each line.
        RecordFormat::Text if is_journal() => records.without_time().with_target(false).boxed(),
        RecordFormat::Text => records.with_timer(ClockTime(clock)).with_target(false).boxed(),
        RecordFormat::Json => {
            let records = records.with_timer(ClockTime(clock)).json();
            records.flatten_event(true).with_current_span(false).boxed()
        }
    };
    let ours = Targets::new().with_target(TARGET, threshold(level));
    Registry::default().with(records.with_filter(ours))
}

/// Returns true if standard error is the journal of systemd, which names it in `JOURNAL_STREAM`.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stream| is_stream(&named, stream.dev(), stream.ino()))
}

/// Returns true if `named` is `DEVICE:INODE` of a file.
fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    let parts = named.split_once(':');
    parts.is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

const fn threshold(level: MessageLevel) -> LevelFilter {
    match level {
        MessageLevel::Debug => LevelFilter::DEBUG,
        MessageLevel::Info => LevelFilter::INFO,
        MessageLevel::Warn => LevelFilter::WARN,
        MessageLevel::Error => LevelFilter::ERROR,
    }
}

/// The time of a record, from our clock.
struct ClockTime(Clock);

impl FormatTime for ClockTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{:.3}", self.0.now())
    }
}

/// The sink that turns events into records. Progress events are left out: a log is read afterwards.
#[derive(Debug, Default)]
pub struct LogSink(Mutex<RunningTransfers>);

impl LogSink {
    /// Creates a sink for the log that [`start`] starts.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Sink for LogSink {
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
                info!(target: TARGET, took = format_duration(*took), "run done");
            }
            Event::RunDone { fault: Some(fault), took } => {
                failed(fault, &format!("run failed after {}", format_duration(*took)));
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

fn said(level: MessageLevel, text: &str) {
    match level {
        MessageLevel::Debug => debug!(target: TARGET, "{text}"),
        MessageLevel::Info => info!(target: TARGET, "{text}"),
        MessageLevel::Warn => warn!(target: TARGET, "{text}"),
        MessageLevel::Error => error!(target: TARGET, "{text}"),
    }
}

/// Logs events of sessions and data connections.
fn connection(event: &Event) {
    match event {
        Event::Connected { host, address, tls, took } => {
            let tls = tls.as_ref().map_or_else(|| "none".to_owned(), visible);
            let (host, took) = (visible(host), format_duration(*took));
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
            let took = format_duration(*took);
            info!(target: TARGET, verb, path, bytes, verified, took, "done");
        }
        Event::TransferFailed { fault, .. } => failed(fault, &format!("failed to {verb} {path}")),
        _ => {}
    }
}

/// Logs a fault with everything that is known about it.
fn failed(fault: &Error, what: &str) {
    let (kind, side, code) = (fault.kind.as_str(), fault.side.as_str(), fault.code);
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
        error::{ErrorKind, Origin},
        observe::{ConnectAttempt, Operation},
    };

    #[test]
    fn the_journal_is_known_by_its_device_and_inode() {
        assert!(is_stream("8:21", 8, 21));
        for other in ["", "8", "8:22", "9:21", "8:21:1", "x:21"] {
            assert!(!is_stream(other, 8, 21), "{other}");
        }
    }

    /// A buffer that keeps what is written.
    #[derive(Clone, Default)]
    struct SharedWriter(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: MessageLevel, format: RecordFormat, events: &[Event]) -> String {
        let kept = SharedWriter::default();
        let writer = kept.clone();
        let clock = Clock::standing_at(1_767_225_600);
        let subscriber = subscriber(level, format, clock, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let log = LogSink::new();
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
        let fault =
            Error::new(ErrorKind::Denied, Origin::Server, "550 no\r\n2026 INFO fake").at("in/a");
        let attempt = ConnectAttempt {
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
            Event::TransferStarted {
                id: 1,
                verb: Operation::Upload,
                path: "in/a".into(),
                bytes: None,
            },
            Event::Moved { id: 1, bytes: 3 },
            Event::TransferFailed { id: 1, fault },
            Event::RunDone { fault: None, took: Duration::from_secs(2) },
        ];
        assert_eq!(
            logged(MessageLevel::Info, RecordFormat::Text, &events),
            "2026-01-01T00:00:00.000Z  WARN fell back host=\"h\" from=\"active\" to=\"passive\" reason=\"no\"\n\
             2026-01-01T00:00:00.000Z ERROR failed to upload in/a: 550 no\\r\\n2026 INFO fake kind=\"denied\" side=\"server\" code=0 path=\"in/a\"\n\
             2026-01-01T00:00:00.000Z  INFO run done took=\"2.0 s\"\n"
        );
        assert_eq!(logged(MessageLevel::Debug, RecordFormat::Text, &events).lines().count(), 5);
        assert_eq!(logged(MessageLevel::Error, RecordFormat::Text, &events).lines().count(), 1);
    }

    #[test]
    fn records_in_json_are_objects_with_flat_fields() {
        let events = [Event::Done { verb: Operation::Mkdir, path: "in".into() }];
        assert_eq!(
            logged(MessageLevel::Info, RecordFormat::Json, &events),
            "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"level\":\"INFO\",\"message\":\"done\",\"verb\":\"make the folder\",\"path\":\"in\",\"target\":\"portolan\"}\n"
        );
    }
}
