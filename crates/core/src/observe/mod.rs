//! The event stream: one enum of events, and the sinks that display, log and count them.
//!
//! No other module prints. A [`Sink`] that draws on a terminal, one that writes JSON lines and one that keeps the log
//! each see the same [`Event`]s in the same order.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use crate::error::Error;

pub mod account;
mod bars;
mod course;
mod held;
pub mod json;
pub mod log;
pub mod metrics;
pub mod output;
pub mod paint;
pub mod progress;
mod record;
mod running;
pub mod tally;
mod text;
pub mod visible;
mod words;

pub use text::{counted, format_duration, format_rate, format_size, plural};

/// The severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageLevel {
    /// Detail for diagnosing a problem.
    Debug,
    /// The normal messages of a run.
    Info,
    /// A problem that should be fixed, though the run continues.
    Warn,
    /// A failure.
    Error,
}

/// The kind of work done on one file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A transfer from the server to the local host.
    Download,
    /// A transfer from the local host to the server.
    Upload,
    /// A removal, local or remote.
    Delete,
    /// A rename, local or remote.
    Rename,
    /// The creation of a directory, local or remote.
    Mkdir,
    /// The listing of a directory.
    List,
}

/// An attempt to open a data connection.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectAttempt {
    /// The step: `epsv`, `pasv`, `eprt` or `port`.
    pub step: &'static str,
    /// The address it connected to or listened on; empty if no address was obtained.
    pub address: String,
    /// True if the data connection was established.
    pub worked: bool,
    /// The duration in milliseconds.
    pub ms: u64,
    /// The server's reply, or the local error.
    pub words: String,
}

/// The number of a transfer within a run, which tells concurrent transfers apart.
pub type TransferId = u64;

/// An event of a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The start of a script.
    RunStarted {
        /// The script file, as the user named it.
        script: String,
    },
    /// A session that is connected and logged in.
    Connected {
        /// The server, as the user named it.
        host: String,
        /// The address that was reached.
        address: String,
        /// The TLS version, such as `TLSv1.3`; `None` for a plain connection.
        tls: Option<String>,
        /// The time from the first packet to the reply to the login.
        took: Duration,
    },
    /// The end of an attempt to open a data connection.
    Attempted {
        /// The server.
        host: String,
        /// The attempt.
        attempt: ConnectAttempt,
    },
    /// A fallback: data connections use the other mode from here on.
    FellBack {
        /// The server.
        host: String,
        /// The mode that failed: `active` or `passive`.
        from: &'static str,
        /// The mode that carries the data now.
        to: &'static str,
        /// The reason, in the server's words if there are any.
        reason: String,
    },
    /// The start of a mirror's transfers, once its plan is known.
    Planned {
        /// The number of files to transfer.
        files: u64,
        /// The total size of these files in bytes, as far as it is known.
        bytes: u64,
    },
    /// The start of work on one file.
    TransferStarted {
        /// The transfer.
        id: TransferId,
        /// The kind of work.
        verb: Operation,
        /// The remote path, escaped for display.
        path: String,
        /// The size of the file in bytes, if it is known.
        bytes: Option<u64>,
    },
    /// The progress of one transfer.
    Moved {
        /// The transfer.
        id: TransferId,
        /// The number of bytes since the last such event.
        bytes: u64,
    },
    /// The end of work on one file; it succeeded as far as the checks can tell.
    TransferDone {
        /// The transfer.
        id: TransferId,
        /// The number of bytes transferred.
        bytes: u64,
        /// True if the size or hash at the other end was confirmed to match.
        verified: bool,
        /// The duration.
        took: Duration,
    },
    /// The failure of work on one file.
    TransferFailed {
        /// The transfer.
        id: TransferId,
        /// The cause.
        fault: Error,
    },
    /// The completion of an operation that moves no bytes, such as a rename or delete.
    Done {
        /// The kind of operation.
        verb: Operation,
        /// The path, escaped for display.
        path: String,
    },
    /// A message from a script or from portolan itself.
    Said {
        /// The severity.
        level: MessageLevel,
        /// The message.
        text: String,
    },
    /// A line that a script printed: output, not a message.
    Printed {
        /// The line.
        text: String,
    },
    /// The changes that a rehearsal made on its test server, one line each.
    Rehearsed {
        /// The changes.
        changes: Vec<String>,
    },
    /// The end of a script.
    RunDone {
        /// The error, if the run failed.
        fault: Option<Error>,
        /// The duration of the run.
        took: Duration,
    },
}

/// A consumer of events: a terminal, a log, a record.
pub trait Sink: Send + Sync {
    /// Handles one event. Must not block for long and cannot fail: write errors are remembered by [`output`].
    fn event(&self, event: &Event);
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn event(&self, event: &Event) {
        self.as_ref().event(event);
    }
}

/// The emitter of events, which passes each to every sink. Clones share all state.
#[derive(Clone, Default)]
pub struct EventEmitter {
    sinks: Arc<Vec<Box<dyn Sink>>>,
    numbers: Arc<std::sync::atomic::AtomicU64>,
    said: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for EventEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({} sinks)", self.sinks.len())
    }
}

impl EventEmitter {
    /// Creates an observer that passes each event to every one of `sinks`, in this order.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { sinks: Arc::new(sinks), ..Self::default() }
    }

    /// Passes an event to every sink.
    pub fn emit(&self, event: &Event) {
        for sink in self.sinks.iter() {
            sink.event(event);
        }
    }

    /// Emits a message.
    pub fn message(&self, level: MessageLevel, text: impl Into<String>) {
        self.emit(&Event::Said { level, text: text.into() });
    }

    /// Emits a warning about something the user should fix.
    pub fn warn(&self, text: impl Into<String>) {
        self.message(MessageLevel::Warn, text);
    }

    /// Emits a warning, unless this run has emitted the same text before.
    pub fn warn_once(&self, text: impl Into<String>) {
        self.message_once(MessageLevel::Warn, text);
    }

    /// Emits a message, unless this run has emitted the same text before.
    pub fn message_once(&self, level: MessageLevel, text: impl Into<String>) {
        let text = text.into();
        let is_new = match self.said.lock() {
            Ok(mut said) => said.insert(text.clone()),
            Err(_) => true,
        };
        if is_new {
            self.message(level, text);
        }
    }

    /// Returns a transfer number that is unique within this run.
    pub fn next_transfer(&self) -> TransferId {
        self.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}
