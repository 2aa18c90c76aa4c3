//! Recordings of runs: the dialogue with the servers as JSON lines, from which a run can be played again without them.
//!
//! The first line is the header. Each further line is an event of the run, or of one of its sessions. Credentials and the
//! contents of files are in none of them; listings are, since they decide what a run does.
//!
//! A later version may add events and fields, which older ones skip. A change that older ones would misread raises
//! [`VERSION`].

mod anonymous;
mod read;
mod wire_text;

use serde::{Deserialize, Serialize};

pub use self::{anonymous::anonymized, read::Recording, wire_text::WireText};
use crate::error::{Error, ErrorKind, Origin, codes};

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

/// A line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLine {
    /// The number of the session, from 1; 0 for the run itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub session: u32,
    /// The time since the run began, in milliseconds.
    #[serde(default)]
    pub ms: u64,
    /// The event.
    #[serde(flatten)]
    pub event: RecordedEvent,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An event of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RecordedEvent {
    /// The header, on the first line.
    Recording(RecordingHeader),
    /// The knowledge about a server from earlier runs.
    Known(RecordedServer),
    /// The state of a local path before the run first used it.
    Local(RecordedPath),
    /// A connection with a server that failed.
    DialFailed {
        /// The server as the script names it.
        host: String,
        /// Its port.
        port: u16,
        /// The failure.
        failure: RecordedFailure,
    },
    /// The begin of a session: a connection with a server.
    Dialed {
        /// The server as the script names it.
        host: String,
        /// Its port.
        port: u16,
        /// The login name.
        user: String,
        /// The protection: `off`, `explicit` or `implicit`.
        tls: String,
        /// The address of the server.
        peer: String,
        /// The local address.
        local: String,
    },
    /// A command that was sent, without its line end; a password is `***`.
    Sent {
        /// The command.
        line: WireText,
    },
    /// A line that was received, without its line end.
    Received {
        /// The line.
        line: WireText,
    },
    /// The control connection has switched to TLS.
    Tls {
        /// The version, such as `TLSv1.3`.
        version: String,
        /// The cipher suite.
        cipher: String,
        /// True if it resumed an earlier session.
        resumed: bool,
    },
    /// The end of the control connection.
    Closed {
        /// The side that closed it.
        by: ClosedBy,
        /// The failure, if it was no orderly end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<RecordedFailure>,
    },
    /// A data connection that could not be opened.
    DataFailed {
        /// The method: `epsv`, `pasv`, `eprt` or `port`.
        method: String,
        /// The verb of the transfer.
        verb: String,
        /// The failure.
        failure: RecordedFailure,
    },
    /// A data connection that was opened.
    DataOpened {
        /// Its number in the run, from 1.
        data: u32,
        /// The method: `epsv`, `pasv`, `eprt` or `port`.
        method: String,
        /// The verb of the transfer.
        verb: String,
        /// The address that the client connected to, or announced.
        address: String,
        /// True if it is protected by TLS.
        tls: bool,
        /// True if its TLS session was resumed.
        resumed: bool,
    },
    /// The end of a data connection.
    DataEnded(RecordedData),
    /// The end of the run.
    Ended {
        /// The exit code.
        exit: u8,
        /// The error with which it ended, if it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<RecordedFailure>,
    },
    /// An event of a later version.
    #[serde(other)]
    Unknown,
}

/// The header of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingHeader {
    /// The version of the format.
    pub version: u32,
    /// The version of the program that wrote it.
    pub portolan: String,
    /// The command: `run` or `doctor`.
    pub command: String,
    /// The time at which the run began, in seconds since 1970.
    #[serde(default)]
    pub started: i64,
    /// The script, if one was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<RecordedScript>,
    /// The arguments of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The name of the job; that of the script outside the scheduler.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// The arguments of the job.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub job_args: serde_json::Value,
    /// The connect options of the command line, without secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The script of a recorded run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedScript {
    /// Its path, as it was named.
    pub path: String,
    /// The SHA-256 of its text, in hexadecimal digits.
    pub sha256: String,
}

/// The knowledge about a server with which a run begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a server")]
pub struct RecordedServer {
    /// The server, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// True if a session with it was protected by TLS.
    #[serde(default)]
    pub used_tls: bool,
    /// The method that carried data; empty if none is known.
    #[serde(default)]
    pub step: String,
    /// The mode that failed; empty if none did.
    #[serde(default)]
    pub failed_mode: String,
    /// True if it accepts data connections with TLS 1.2 only.
    #[serde(default)]
    pub tls12_only: bool,
    /// True if it does not accept `LIST -a`.
    #[serde(default)]
    pub refuses_list_all: bool,
    /// True if data is reachable at the address that PASV announces.
    #[serde(default)]
    pub is_elsewhere: bool,
    /// The shortest time from a command to its reply, in microseconds.
    #[serde(default)]
    pub round_trip_us: u64,
    /// Its behaviour towards commands, in words.
    #[serde(default)]
    pub habits: String,
}

/// The state of a local path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPath {
    /// The path, as the script names it.
    pub path: String,
    /// The paths below it and their states, if it is a directory; or itself alone, with an empty path. Empty if it did
    /// not exist.
    pub entries: Vec<RecordedEntry>,
    /// True if some of its entries were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// A local file or directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEntry {
    /// Its path below the recorded one.
    pub path: String,
    /// Its size in bytes; `None` for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its modification time, in milliseconds since 1970.
    #[serde(default)]
    pub modified: i64,
}

/// The side that closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The server, or something in between.
    Server,
    /// This side.
    Client,
}

/// The bytes of a data connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedData {
    /// Its number in the run.
    pub data: u32,
    /// The number of bytes that were received.
    pub received: u64,
    /// The number of bytes that were sent.
    pub sent: u64,
    /// True if the end of the data was seen, or sent.
    pub ended: bool,
    /// The bytes of a listing; `None` for files, and for a listing beyond the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<WireText>,
    /// The failure, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<RecordedFailure>,
}

/// A failure, reduced to what can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFailure {
    /// The kind, such as `timeout`.
    pub kind: String,
    /// The side that failed, such as `network`.
    #[serde(default)]
    pub side: String,
    /// The code, if the error has one besides that of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reply code of the server; 0 if no reply caused it.
    #[serde(default)]
    pub reply: u16,
    /// The number of the system's error, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// The message.
    #[serde(default)]
    pub message: String,
}

impl RecordedFailure {
    /// Reduces `error`.
    pub fn of(error: &Error) -> Self {
        let cause = error.cause.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        Self {
            kind: error.kind.as_str().to_owned(),
            side: error.side.as_str().to_owned(),
            code: error.name.map(str::to_owned),
            reply: error.code,
            errno: cause.and_then(std::io::Error::raw_os_error),
            message: error.message.clone(),
        }
    }

    /// Returns the error as it was, but for its cause.
    pub fn error(&self) -> Error {
        let kind = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        let sides = [Origin::Script, Origin::Here, Origin::Network, Origin::Server];
        let side = sides.into_iter().find(|side| side.as_str() == self.side);
        let mut error = Error::new(
            kind.unwrap_or(ErrorKind::Protocol),
            side.unwrap_or(Origin::Network),
            self.message.clone(),
        );
        error.code = self.reply;
        let code = self.code.as_deref().and_then(codes::explain);
        error.name = code.map(|row| row.code);
        error
    }

    /// Returns the stable code: that of the failure if it has one, else the word of its kind.
    pub fn stable_code(&self) -> &str {
        self.code.as_deref().unwrap_or(&self.kind)
    }

    /// Returns true if something was awaited in vain.
    pub fn is_timeout(&self) -> bool {
        self.kind == ErrorKind::Timeout.as_str()
    }
}

/// The bytes that stand for the contents of files, which are not recorded.
const FILLER: &[u8; 16] = b"portolan replay\n";

/// Fills `space` with made-up contents of a file, from `offset` on.
pub fn fill(offset: u64, space: &mut [u8]) {
    let start = usize::try_from(offset % FILLER.len() as u64).unwrap_or(0);
    let bytes = FILLER.iter().cycle().skip(start);
    space.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_as_the_error_that_it_was() {
        let error = Error::new(ErrorKind::Unreachable, Origin::Network, "cannot find the host")
            .with_name(codes::CONNECT_UNKNOWN_HOST);
        let failure = RecordedFailure::of(&error);
        assert_eq!(failure.stable_code(), codes::CONNECT_UNKNOWN_HOST);
        let again = failure.error();
        assert_eq!((again.kind, again.side, again.name), (error.kind, error.side, error.name));
        assert_eq!(again.message, error.message);
    }

    #[test]
    fn an_event_of_a_later_version_is_skipped() {
        let line: RecordedLine =
            serde_json::from_str(r#"{"session":3,"ms":7,"event":"later","more":[1]}"#).unwrap();
        assert_eq!(line, RecordedLine { session: 3, ms: 7, event: RecordedEvent::Unknown });
    }
}
