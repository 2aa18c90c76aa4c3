//! Events as JSON, one object per line, for other programs (`--json`).
//!
//! Every line has `event`, `time` (RFC 3339, UTC) and `run`; the rest depends on the event. Fields are never renamed;
//! new ones may be added. Times are in milliseconds, sizes in bytes, missing values `null`.
//!
//! ```text
//! run_started        script
//! connected          host, address, tls, ms
//! attempted          host, step ("epsv" "pasv" "eprt" "port"), address, worked, ms, words
//! fell_back          host, from, to, reason
//! planned            files, bytes; at the start of a mirror
//! transfer_started   id, verb ("upload" "download" "delete" "rename" "mkdir" "list"), path, bytes
//! moved              id, verb, path, bytes (so far), total; at most once a second for each transfer
//! transfer_done      id, verb, path, bytes, verified, ms
//! transfer_failed    id, verb, path, fault
//! done               verb, path
//! said               level ("debug" "info" "warn" "error"), text
//! printed            text
//! run_done           fault (or null), ms
//! rehearsed          changes (an array of strings), after the end of a rehearsal
//! ```
//!
//! A fault is an object `{kind, side, message, code, host, path, may_retry}`, with the same values that scripts see;
//! one that has a code of its own besides its kind (docs/errors.md) has it as `name`. Characters that could fool a terminal are written
//! as `\u001b`: the line is safe to display and loses no information.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json, ser::Formatter};

use super::{
    Event, Sink, TransferId,
    record::record,
    running::{RunningTransfers, Transfer},
    visible::is_unsafe,
};
use crate::{clock::Clock, error::Error};

/// The minimum time between two progress lines of one transfer: a large file moves in thousands of pieces.
const MOVED_INTERVAL: Duration = Duration::from_secs(1);

/// A sink that writes every event of a run as a line of JSON.
#[derive(Debug)]
pub struct JsonLines<W> {
    run: String,
    clock: Clock,
    has_log: bool,
    state: Mutex<JsonState<W>>,
}

#[derive(Debug)]
struct JsonState<W> {
    out: W,
    running: RunningTransfers,
    /// The time of the last progress line of each transfer.
    told: HashMap<TransferId, Timestamp>,
}

impl<W: Write> JsonLines<W> {
    /// Creates a sink that writes the events of the run `run` to `out`.
    pub fn new(run: impl Into<String>, clock: Clock, out: W) -> Self {
        let state = JsonState { out, running: RunningTransfers::default(), told: HashMap::new() };
        Self { run: run.into(), clock, has_log: false, state: Mutex::new(state) }
    }

    /// Adds the text for a run's log to each line that has one, as `log_level` and `log`.
    #[must_use]
    pub fn with_log(self) -> Self {
        Self { has_log: true, ..self }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn event(&self, event: &Event) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let transfer = state.running.follow(event);
        if !state.is_due(event, now) {
            return;
        }
        let (name, fields) = describe(event, transfer.as_ref());
        let mut whole = json!({ "event": name, "time": now.to_string(), "run": self.run });
        if let (Value::Object(whole), Value::Object(fields)) = (&mut whole, fields) {
            whole.extend(fields);
            if let Some((level, words)) = record(event, transfer.as_ref()).filter(|_| self.has_log)
            {
                whole.insert("log_level".into(), json!(level));
                whole.insert("log".into(), words.into());
            }
        }
        let mut line = line(&whole);
        line.push(b'\n');
        // A reader that has gone away must not end the run.
        state.out.write_all(&line).and_then(|()| state.out.flush()).ok();
    }
}

impl<W> JsonState<W> {
    fn is_due(&mut self, event: &Event, now: Timestamp) -> bool {
        match event {
            Event::TransferStarted { id, .. } => {
                self.told.insert(*id, now);
            }
            Event::TransferDone { id, .. } | Event::TransferFailed { id, .. } => {
                self.told.remove(id);
            }
            Event::Moved { id, .. } => {
                let interval = MOVED_INTERVAL.as_secs().cast_signed();
                let told = self.told.entry(*id).or_insert(Timestamp::MIN);
                if now.as_second().saturating_sub(told.as_second()) < interval {
                    return false;
                }
                *told = now;
            }
            _ => {}
        }
        true
    }
}

/// Converts a fault to JSON for other programs.
pub fn fault_value(fault: &Error) -> Value {
    let mut value = json!({
        "kind": fault.kind.as_str(),
        "side": fault.side.as_str(),
        "message": fault.message,
        "code": fault.code,
        "host": fault.host,
        "path": fault.path,
        "may_retry": fault.is_retryable(),
    });
    if let (Some(name), Some(fields)) = (fault.name, value.as_object_mut()) {
        fields.insert("name".into(), name.into());
    }
    value
}

/// Serializes `value` to one line that is safe to display: it contains nothing that moves a cursor or changes the
/// direction of text.
pub fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Safe);
    // The keys of our values are strings, and a vector accepts every byte: nothing here can fail.
    value.serialize(&mut serializer).ok();
    line
}

/// A formatter for compact JSON that also escapes characters JSON itself allows (C1 controls, bidirectional marks).
struct Safe;

impl Formatter for Safe {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut utf8 = [0; 4];
        let mut utf16 = [0; 2];
        for c in fragment.chars() {
            if is_unsafe(c) {
                for unit in c.encode_utf16(&mut utf16) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut utf8).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Returns the name of an event and its fields.
pub(super) fn describe(event: &Event, transfer: Option<&Transfer>) -> (&'static str, Value) {
    let verb = transfer.map(|transfer| transfer.verb);
    let path = transfer.map(|transfer| transfer.path.as_str());
    match event {
        Event::RunStarted { script } => ("run_started", json!({ "script": script })),
        Event::Connected { host, address, tls, took } => {
            ("connected", json!({ "host": host, "address": address, "tls": tls, "ms": ms(*took) }))
        }
        Event::Attempted { host, attempt } => (
            "attempted",
            json!({
                "host": host, "step": attempt.step, "address": attempt.address,
                "worked": attempt.worked, "ms": attempt.ms, "words": attempt.words,
            }),
        ),
        Event::FellBack { host, from, to, reason } => {
            ("fell_back", json!({ "host": host, "from": from, "to": to, "reason": reason }))
        }
        Event::TransferStarted { id, bytes, .. } => {
            ("transfer_started", json!({ "id": id, "verb": verb, "path": path, "bytes": bytes }))
        }
        Event::Moved { id, bytes } => {
            let moved = transfer.map_or(*bytes, |transfer| transfer.moved);
            let total = transfer.and_then(|transfer| transfer.bytes);
            let fields = json!({
                "id": id, "verb": verb, "path": path, "bytes": moved, "total": total,
            });
            ("moved", fields)
        }
        Event::TransferDone { id, bytes, verified, took } => (
            "transfer_done",
            json!({
                "id": id, "verb": verb, "path": path, "bytes": bytes,
                "verified": verified, "ms": ms(*took),
            }),
        ),
        Event::TransferFailed { id, fault } => (
            "transfer_failed",
            json!({ "id": id, "verb": verb, "path": path, "fault": fault_value(fault) }),
        ),
        Event::Done { verb, path } => ("done", json!({ "verb": verb, "path": path })),
        Event::Said { level, text } => ("said", json!({ "level": level, "text": text })),
        Event::Printed { text } => ("printed", json!({ "text": text })),
        Event::Planned { files, bytes } => ("planned", json!({ "files": files, "bytes": bytes })),
        Event::Rehearsed { changes } => ("rehearsed", json!({ "changes": changes })),
        Event::RunDone { fault, took } => {
            ("run_done", json!({ "fault": fault.as_ref().map(fault_value), "ms": ms(*took) }))
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::observe::{ConnectAttempt, MessageLevel, Operation};

    fn lines(events: &[Event]) -> Vec<String> {
        let sink = JsonLines::new("r1", Clock::standing_at(1_767_225_600), Vec::new());
        for event in events {
            sink.event(event);
        }
        let text = String::from_utf8(sink.state.into_inner().unwrap().out).unwrap();
        let head = r#","time":"2026-01-01T00:00:00Z","run":"r1""#;
        text.lines().map(|line| line.replacen(head, "", 1)).collect()
    }

    #[test]
    fn every_event_is_a_line_of_its_own() {
        let took = Duration::from_millis(12);
        let host = || "ftp.example.org".to_owned();
        let attempt = ConnectAttempt {
            step: "eprt",
            address: "10.0.0.2:50000".into(),
            worked: false,
            ms: 4,
            words: "500 no".into(),
        };
        let fault = Error::protocol("two replies").with_host(host());
        let events = [
            Event::RunStarted { script: "a.rhai".into() },
            Event::Connected { host: host(), address: "192.0.2.1:21".into(), tls: None, took },
            Event::Attempted { host: host(), attempt },
            Event::FellBack {
                host: host(),
                from: "active",
                to: "passive",
                reason: "500 no".into(),
            },
            Event::TransferStarted {
                id: 7,
                verb: Operation::Upload,
                path: "in/a".into(),
                bytes: Some(17),
            },
            Event::TransferDone { id: 7, bytes: 17, verified: true, took },
            Event::TransferFailed { id: 8, fault: fault.clone() },
            Event::Done { verb: Operation::Delete, path: "old".into() },
            Event::Said { level: MessageLevel::Warn, text: "careful".into() },
            Event::Printed { text: "one\ntwo".into() },
            Event::RunDone { fault: None, took },
        ];
        let fault = r#"{"kind":"protocol","side":"server","message":"two replies","code":0,"host":"ftp.example.org","path":null,"may_retry":true}"#;
        assert_eq!(
            lines(&events),
            [
                r#"{"event":"run_started","script":"a.rhai"}"#,
                r#"{"event":"connected","host":"ftp.example.org","address":"192.0.2.1:21","tls":null,"ms":12}"#,
                r#"{"event":"attempted","host":"ftp.example.org","step":"eprt","address":"10.0.0.2:50000","worked":false,"ms":4,"words":"500 no"}"#,
                r#"{"event":"fell_back","host":"ftp.example.org","from":"active","to":"passive","reason":"500 no"}"#,
                r#"{"event":"transfer_started","id":7,"verb":"upload","path":"in/a","bytes":17}"#,
                r#"{"event":"transfer_done","id":7,"verb":"upload","path":"in/a","bytes":17,"verified":true,"ms":12}"#,
                &format!(
                    r#"{{"event":"transfer_failed","id":8,"verb":null,"path":null,"fault":{fault}}}"#
                ),
                r#"{"event":"done","verb":"delete","path":"old"}"#,
                r#"{"event":"said","level":"warn","text":"careful"}"#,
                r#"{"event":"printed","text":"one\ntwo"}"#,
                r#"{"event":"run_done","fault":null,"ms":12}"#,
            ]
        );
    }

    #[test]
    fn what_could_fool_a_terminal_is_escaped_and_still_read_back() {
        let text = "\u{1b}[2J \u{9b}31m \u{202e}txt \u{e0001} grüße 🚢";
        let found = lines(&[Event::Printed { text: text.into() }]).remove(0);
        let shown =
            r#"{"event":"printed","text":"\u001b[2J \u009b31m \u202etxt \udb40\udc01 grüße 🚢"}"#;
        assert_eq!(found, shown);
        let back: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(back["text"], text);
    }

    #[test]
    fn progress_is_told_once_a_second() {
        let clock = Clock::standing_at(0);
        let sink = JsonLines::new("r1", clock.clone(), Vec::new());
        let start = Event::TransferStarted {
            id: 1,
            verb: Operation::Download,
            path: "a".into(),
            bytes: None,
        };
        sink.event(&start);
        for _ in 0..10 {
            sink.event(&Event::Moved { id: 1, bytes: 100 });
        }
        let Clock::Set(seconds) = &clock else { panic!("the clock is a set one") };
        seconds.store(1, Ordering::Relaxed);
        sink.event(&Event::Moved { id: 1, bytes: 100 });
        sink.event(&Event::Moved { id: 1, bytes: 100 });
        let text = String::from_utf8(sink.state.into_inner().unwrap().out).unwrap();
        let moved: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            moved,
            [
                r#"{"event":"moved","time":"1970-01-01T00:00:01Z","run":"r1","id":1,"verb":"download","path":"a","bytes":1100,"total":null}"#
            ]
        );
    }
}
