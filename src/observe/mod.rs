//! What happens, as values: one event enum, and the sinks that show, log and count it.
//!
//! Nothing else in the house prints. A [`Sink`] that draws on a terminal, one that writes JSON lines and one that
//! keeps the log each see the same [`Event`]s in the same order.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use crate::fault::Fault;

pub mod account;
mod bars;
mod course;
mod held;
pub mod json;
pub mod log;
pub mod metrics;
pub mod output;
pub mod progress;
mod record;
mod running;
pub mod tally;
mod text;
pub mod visible;
mod words;

pub use text::{duration_text, rate_text, size_text};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For someone who looks for a cause.
    Debug,
    /// What a run normally says.
    Info,
    /// Something to mend, though the run goes on.
    Warn,
    /// Something failed.
    Error,
}

/// What is done to one file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// From the server to here.
    Download,
    /// From here to the server.
    Upload,
    /// Removed, here or there.
    Delete,
    /// Renamed, here or there.
    Rename,
    /// A folder made, here or there.
    Mkdir,
    /// A folder's entries read.
    List,
}

/// One try to make a data connection.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// `epsv`, `pasv`, `eprt` or `port`.
    pub step: &'static str,
    /// Where it went or listened; empty when it came to no address.
    pub address: String,
    /// Whether the data connection stood.
    pub worked: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The server's words, or the error of this machine.
    pub words: String,
}

/// Number of one transfer within a run, so that several at a time can be told apart.
pub type TransferId = u64;

/// What happens in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// A script begins.
    RunStarted {
        /// Its file, as the user named it.
        script: String,
    },
    /// A session stands and is logged in.
    Connected {
        /// The server as the user named it.
        host: String,
        /// The address that was reached.
        address: String,
        /// `TLSv1.3` and the like; nothing for a plain connection.
        tls: Option<String>,
        /// From the first packet to the reply to the login.
        took: Duration,
    },
    /// A try to make a data connection ended.
    Attempted {
        /// The server.
        host: String,
        /// The try.
        attempt: Attempt,
    },
    /// The data connection goes another way from here on.
    FellBack {
        /// The server.
        host: String,
        /// What failed: `active` or `passive`.
        from: &'static str,
        /// What carries the data now.
        to: &'static str,
        /// Why, in the server's words where there are any.
        reason: String,
    },
    /// A mirror knows what it has to do, and begins with it.
    Planned {
        /// Files to be moved.
        files: u64,
        /// How many bytes they have, as far as that is known.
        bytes: u64,
    },
    /// Work on one file begins.
    TransferStarted {
        /// Which one.
        id: TransferId,
        /// What is done to it.
        verb: Verb,
        /// The remote path, made visible.
        path: String,
        /// How many bytes it has, when that is known.
        bytes: Option<u64>,
    },
    /// Bytes of one file have moved.
    Moved {
        /// Which one.
        id: TransferId,
        /// How many since the last such event.
        bytes: u64,
    },
    /// Work on one file is done, as far as its checks go.
    TransferDone {
        /// Which one.
        id: TransferId,
        /// How many bytes moved.
        bytes: u64,
        /// Whether the size (or hash) at the other end was seen to agree.
        verified: bool,
        /// How long it took.
        took: Duration,
    },
    /// Work on one file failed.
    TransferFailed {
        /// Which one.
        id: TransferId,
        /// Why.
        fault: Fault,
    },
    /// Something without bytes was done to a file or folder.
    Done {
        /// What.
        verb: Verb,
        /// To which path, made visible.
        path: String,
    },
    /// A script or portolan itself has something to say.
    Said {
        /// How much it matters.
        level: Level,
        /// What.
        text: String,
    },
    /// A script printed a line: output, not a message.
    Printed {
        /// The line.
        text: String,
    },
    /// What a rehearsal would have changed on the server, a line each.
    Rehearsed {
        /// The changes.
        changes: Vec<String>,
    },
    /// A script has ended.
    RunDone {
        /// Why it failed, when it did.
        fault: Option<Fault>,
        /// How long it ran.
        took: Duration,
    },
}

/// Something that takes events: a terminal, a log, a record.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block for long and cannot fail: what a sink cannot write, [`output`]
    /// remembers.
    fn event(&self, event: &Event);
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn event(&self, event: &Event) {
        self.as_ref().event(event);
    }
}

/// The place where events go in, and from which every sink gets them. Clones are the same place.
#[derive(Clone, Default)]
pub struct Observer {
    sinks: Arc<Vec<Box<dyn Sink>>>,
    numbers: Arc<std::sync::atomic::AtomicU64>,
    said: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({} sinks)", self.sinks.len())
    }
}

impl Observer {
    /// An observer that hands each event to every one of `sinks`, in this order.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { sinks: Arc::new(sinks), ..Self::default() }
    }

    /// Tells every sink.
    pub fn tell(&self, event: &Event) {
        for sink in self.sinks.iter() {
            sink.event(event);
        }
    }

    /// Says something worth knowing.
    pub fn say(&self, level: Level, text: impl Into<String>) {
        self.tell(&Event::Said { level, text: text.into() });
    }

    /// Says something that the user should mend.
    pub fn warn(&self, text: impl Into<String>) {
        self.say(Level::Warn, text);
    }

    /// The same, unless this run has said so already.
    pub fn warn_once(&self, text: impl Into<String>) {
        self.say_once(Level::Warn, text);
    }

    /// Says something, unless this run has said so already.
    pub fn say_once(&self, level: Level, text: impl Into<String>) {
        let text = text.into();
        let is_new = match self.said.lock() {
            Ok(mut said) => said.insert(text.clone()),
            Err(_) => true,
        };
        if is_new {
            self.say(level, text);
        }
    }

    /// A number that no other transfer of this run has.
    pub fn next_transfer(&self) -> TransferId {
        self.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}
