//! A summary of a run, built from its events: the files it transferred, the data path it used, and its failures.
//!
//! It is kept where the events are emitted (a run started by hand) or where they arrive as lines of JSON (the
//! scheduler, which must know what a run did even if the run dies without a final event).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use super::{Event, Sink, json::describe, running::RunningTransfers};
use crate::limits::RUN_FILES_KEPT_MAX;

/// A summary of a run so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSummary {
    /// The number of files transferred.
    pub files: u64,
    /// The number of bytes in these files.
    pub bytes: u64,
    /// The step (`epsv`, `pasv`, `eprt` or `port`) that opened a data connection last.
    pub route: Option<String>,
    /// The files that were transferred or removed, or failed; the first thousand.
    pub moved: Vec<MovedFile>,
    /// The fallbacks.
    pub fallbacks: Vec<FallbackRecord>,
    /// The paths that failed and did not succeed in a later attempt, with the failure of each.
    pub failed: BTreeMap<String, FailureSummary>,
    /// The error that ended the run, if it failed.
    pub fault: Option<FailureSummary>,
    /// The number of events that show progress.
    pub moves: u64,
}

/// A file that was transferred or removed, or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedFile {
    /// The kind of work: `upload`, `download`, `delete`.
    pub verb: String,
    /// The remote path.
    pub path: String,
    /// The number of bytes transferred.
    pub bytes: u64,
    /// True if the size or hash was confirmed to match.
    pub verified: bool,
    /// The error, if it failed.
    pub error: Option<String>,
}

/// A fallback from one mode of data connection to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackRecord {
    /// The server.
    pub host: String,
    /// The mode that failed.
    pub from: String,
    /// The mode that carried the data instead.
    pub to: String,
    /// The reason.
    pub reason: String,
}

/// A failure, reduced to the fields that the record needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureSummary {
    /// The kind of error, such as `timeout`.
    pub kind: String,
    /// The message, with its path or host.
    pub words: String,
    /// True if the error is transient, so that a retry may succeed.
    pub may_retry: bool,
    /// The code, if the error has one besides that of its kind.
    pub name: Option<String>,
}

impl FailureSummary {
    fn read(fault: &Value) -> Self {
        let part = |name: &str| fault.get(name).and_then(Value::as_str);
        let message = part("message").unwrap_or_default();
        let place = part("path").or_else(|| part("host"));
        let words = place.map_or_else(|| message.to_owned(), |place| format!("{place}: {message}"));
        let may_retry = fault.get("may_retry").and_then(Value::as_bool).unwrap_or(false);
        let is_script = part("side") == Some("script");
        let kind = part("kind").unwrap_or_default().to_owned();
        let name = part("name").map(str::to_owned);
        Self { kind, words, may_retry: may_retry && !is_script, name }
    }
}

impl RunSummary {
    /// Adds one line of `--json` to the summary.
    pub fn take(&mut self, line: &Value) {
        let name = text(line, "event");
        self.read(&name, line);
    }

    fn read(&mut self, name: &str, fields: &Value) {
        match name {
            "moved" | "transfer_started" | "connected" => self.moves += 1,
            "attempted" if fields.get("worked") == Some(&Value::Bool(true)) => {
                self.moves += 1;
                self.route = Some(text(fields, "step"));
            }
            "fell_back" => self.fallbacks.push(FallbackRecord {
                host: text(fields, "host"),
                from: text(fields, "from"),
                to: text(fields, "to"),
                reason: text(fields, "reason"),
            }),
            "transfer_done" => {
                self.moves += 1;
                self.arrived(fields);
            }
            "transfer_failed" => {
                let failed = FailureSummary::read(fields.get("fault").unwrap_or(&Value::Null));
                let path = text(fields, "path");
                if text(fields, "verb") != "list" {
                    self.note(fields, 0, Some(failed.words.clone()));
                }
                self.failed.insert(path, failed);
            }
            "done" => {
                self.moves += 1;
                if text(fields, "verb") == "delete" {
                    self.note(fields, 0, None);
                }
            }
            "run_done" => {
                let fault = fields.get("fault").filter(|fault| !fault.is_null());
                self.fault = fault.map(FailureSummary::read);
            }
            _ => {}
        }
    }

    fn arrived(&mut self, fields: &Value) {
        self.failed.remove(&text(fields, "path"));
        let bytes = fields.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        let verb = text(fields, "verb");
        if verb == "upload" || verb == "download" {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        if verb != "list" {
            self.note(fields, bytes, None);
        }
    }

    fn note(&mut self, fields: &Value, bytes: u64, error: Option<String>) {
        let most = usize::try_from(RUN_FILES_KEPT_MAX).unwrap_or(usize::MAX);
        if self.moved.len() < most {
            let verified = fields.get("verified").and_then(Value::as_bool).unwrap_or(false);
            let (verb, path) = (text(fields, "verb"), text(fields, "path"));
            self.moved.push(MovedFile { verb, path, bytes, verified, error });
        }
    }
}

fn text(fields: &Value, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The sink that keeps the summary of a run in this process.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<(RunningTransfers, RunSummary)>);

impl Accounts {
    /// Returns the summary so far.
    pub fn account(&self) -> RunSummary {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl Sink for Accounts {
    fn event(&self, event: &Event) {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (running, account) = &mut *both;
        let transfer = running.follow(event);
        // There are thousands of these a second, and the summary uses none of them.
        if !matches!(event, Event::Moved { .. } | Event::Printed { .. }) {
            let (name, fields) = describe(event, transfer.as_ref());
            account.read(name, &fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::Clock,
        error::{Error, ErrorKind, Origin},
        observe::{ConnectAttempt, EventEmitter, Operation, json::JsonLines},
    };

    fn events() -> Vec<Event> {
        let start = |id, path: &str| Event::TransferStarted {
            id,
            verb: Operation::Upload,
            path: path.into(),
            bytes: None,
        };
        let fault = || Error::new(ErrorKind::Busy, Origin::Server, "421 later").at("b");
        let took = Duration::ZERO;
        let attempt = ConnectAttempt {
            step: "epsv",
            address: "h:1".into(),
            worked: true,
            ms: 1,
            words: String::new(),
        };
        vec![
            Event::FellBack {
                host: "h".into(),
                from: "active",
                to: "passive",
                reason: "500 no".into(),
            },
            Event::Attempted { host: "h".into(), attempt },
            start(1, "a"),
            Event::TransferFailed { id: 1, fault: fault() },
            start(2, "a"),
            Event::TransferDone { id: 2, bytes: 17, verified: true, took },
            start(3, "b"),
            Event::TransferFailed { id: 3, fault: fault() },
            Event::Done { verb: Operation::Delete, path: "c".into() },
            Event::RunDone { fault: Some(fault()), took },
        ]
    }

    #[test]
    fn lines_of_json_and_events_make_the_same_account() {
        let accounts = std::sync::Arc::new(Accounts::default());
        let out = std::sync::Arc::new(Mutex::new(Vec::new()));
        let lines =
            JsonLines::new("1", Clock::standing_at(0), SharedAccount(out.clone())).with_log();
        let sinks: Vec<Box<dyn Sink>> =
            vec![Box::new(std::sync::Arc::clone(&accounts)), Box::new(lines)];
        let observer = EventEmitter::new(sinks);
        for event in events() {
            observer.emit(&event);
        }
        let mut read = RunSummary::default();
        for line in String::from_utf8(out.lock().unwrap().clone()).unwrap().lines() {
            read.take(&serde_json::from_str(line).unwrap());
        }
        let kept = accounts.account();
        assert_eq!(read, kept);
        assert_eq!((kept.files, kept.bytes, kept.route.as_deref()), (1, 17, Some("epsv")));
        assert_eq!(kept.failed.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(kept.fault.unwrap().words, "b: 421 later");
        assert_eq!(kept.fallbacks[0].reason, "500 no");
        let moved: Vec<_> = kept.moved.iter().map(|moved| moved.path.as_str()).collect();
        assert_eq!(moved, ["a", "a", "b", "c"]);
    }

    #[derive(Clone)]
    struct SharedAccount(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for SharedAccount {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
