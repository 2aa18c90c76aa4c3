//! Progress for a person: progress bars on a terminal, and plain lines otherwise.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use super::{
    Event, MessageLevel, Sink,
    bars::Bars,
    held::PendingLine,
    output,
    paint::{Paint, is_coloured},
    running::RunningTransfers,
    tally::Tally,
    visible::visible_lines,
    words::{LineWeight, words},
};

/// Returns the sink for a person: progress bars if standard error is a terminal and `wanted` is true, else plain lines.
/// Script output goes to standard output in both cases.
pub fn progress(wanted: bool) -> Box<dyn Sink> {
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if wanted && !is_dumb && io::stderr().is_terminal() {
        Box::new(Bars::new(output::results(), is_coloured(true)))
    } else {
        Box::new(plain())
    }
}

/// Returns the sink for a person who wants to see problems only: output of scripts, warnings and errors, in plain lines.
pub fn problems() -> Box<dyn Sink> {
    Box::new(ProblemsOnly(plain()))
}

/// Returns the sink of plain lines, with colours where standard error has them.
fn plain() -> PlainProgress<output::Output, io::Stderr> {
    let is_coloured = is_coloured(io::stderr().is_terminal());
    PlainProgress { is_coloured, ..PlainProgress::new(output::results(), io::stderr()) }
}

/// A sink that passes on output, warnings and errors.
#[derive(Debug)]
struct ProblemsOnly<O, E>(PlainProgress<O, E>);

impl<O: Write + Send, E: Write + Send> Sink for ProblemsOnly<O, E> {
    fn event(&self, event: &Event) {
        let is_problem = match event {
            Event::Printed { .. }
            | Event::TransferStarted { .. }
            | Event::TransferFailed { .. } => true,
            Event::Said { level, .. } => matches!(level, MessageLevel::Warn | MessageLevel::Error),
            _ => false,
        };
        if is_problem {
            self.0.event(event);
        }
    }
}

/// A sink of plain lines: script output goes to `out`; each finished or failed file and the messages go to `err`. A
/// summary line follows at the end of a run.
#[derive(Debug)]
pub struct PlainProgress<O, E> {
    tally: Tally,
    is_coloured: bool,
    state: Mutex<ProgressState<O, E>>,
}

#[derive(Debug)]
struct ProgressState<O, E> {
    out: O,
    err: E,
    running: RunningTransfers,
    held: PendingLine,
}

impl<O: Write, E: Write> PlainProgress<O, E> {
    /// Creates a sink that writes to `out` and `err`.
    pub fn new(out: O, err: E) -> Self {
        let state = ProgressState {
            out,
            err,
            running: RunningTransfers::default(),
            held: PendingLine::default(),
        };
        Self { tally: Tally::new(), is_coloured: false, state: Mutex::new(state) }
    }

    /// Returns the line, in the colour of its weight if this sink has colours.
    fn painted(&self, (weight, line): (LineWeight, String)) -> String {
        if self.is_coloured { coloured(weight, line) } else { line }
    }
}

impl<O: Write + Send, E: Write + Send> Sink for PlainProgress<O, E> {
    fn event(&self, event: &Event) {
        self.tally.event(event);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let transfer = state.running.follow(event);
        if let Some(line) = state.held.before(event) {
            write_line(&mut state.err, &line);
        }
        match event {
            Event::Printed { text } => write_line(&mut state.out, &visible_lines(text)),
            Event::TransferFailed { .. } => {
                if let Some(line) = words(event, transfer.as_ref()) {
                    state.held.hold(event, self.painted(line));
                }
            }
            Event::RunDone { took, .. } => {
                let summary = self.tally.summary(*took);
                if !summary.is_empty() {
                    write_line(&mut state.err, &summary);
                }
            }
            _ => {
                if let Some(line) = words(event, transfer.as_ref()) {
                    write_line(&mut state.err, &self.painted(line));
                }
            }
        }
    }
}

/// Writes a line in a single call, so that the lines of several programs do not mix.
pub(super) fn write_line(out: &mut impl Write, text: &str) {
    // A reader that has gone away must not end the run.
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).ok();
}

/// Colours `line` according to its weight.
pub(super) fn coloured(weight: LineWeight, line: String) -> String {
    match weight {
        LineWeight::Routine | LineWeight::Notice => line,
        LineWeight::Warning => Paint::Yellow.on(&line),
        LineWeight::Failure => Paint::Red.on(&line),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        error::{Error, ErrorKind, Origin},
        observe::{MessageLevel, Operation},
    };

    /// Returns what the events write to standard output and standard error.
    fn shown(events: &[Event]) -> (String, String) {
        let sink = PlainProgress::new(Vec::new(), Vec::new());
        for event in events {
            sink.event(event);
        }
        let ProgressState { out, err, .. } = sink.state.into_inner().unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn started(id: u64, verb: Operation, path: &str) -> Event {
        Event::TransferStarted { id, verb, path: path.into(), bytes: None }
    }

    fn done(id: u64, bytes: u64, verified: bool, ms: u64) -> Event {
        Event::TransferDone { id, bytes, verified, took: Duration::from_millis(ms) }
    }

    #[test]
    fn a_run_reads_as_plain_lines() {
        let fault =
            Error::new(ErrorKind::Denied, Origin::Server, "550 permission denied").at("in/b.txt");
        let (out, err) = shown(&[
            Event::RunStarted { script: "a.rhai".into() },
            Event::FellBack {
                host: "ftp.example.org".into(),
                from: "active",
                to: "passive",
                reason: "500 illegal PORT command".into(),
            },
            started(1, Operation::Upload, "in/a.txt"),
            started(2, Operation::Upload, "in/b.txt"),
            started(3, Operation::Download, "big.iso"),
            Event::Moved { id: 1, bytes: 17 },
            done(1, 17, true, 20),
            Event::TransferFailed { id: 2, fault },
            Event::Printed { text: "one\ntwo".into() },
            done(3, 2_202_009, false, 3200),
            Event::Done { verb: Operation::Mkdir, path: "in/new".into() },
            Event::Done { verb: Operation::Delete, path: "in/old.txt".into() },
            Event::Done { verb: Operation::List, path: "in".into() },
            Event::Said { level: MessageLevel::Warn, text: "this server offers TLS".into() },
            Event::Said { level: MessageLevel::Debug, text: "not for people".into() },
            Event::RunDone { fault: None, took: Duration::from_millis(3400) },
        ]);
        assert_eq!(out, "one\ntwo\n");
        assert_eq!(
            err,
            "fell back from active to passive on ftp.example.org: 500 illegal PORT command\n\
             up  in/a.txt  17 B\n\
             failed to upload in/b.txt: 550 permission denied\n\
             down  big.iso  2.1 MiB in 3.2 s  (not verified)\n\
             made folder  in/new\n\
             deleted  in/old.txt\n\
             warning: this server offers TLS\n\
             1 up, 1 down, 1 deleted, 1 failed, 1 not verified, 2.1 MiB in 3.4 s, passive after active failed\n"
        );
    }

    #[test]
    fn a_run_that_moves_nothing_says_nothing() {
        let (out, err) = shown(&[
            Event::RunStarted { script: "a.rhai".into() },
            Event::RunDone { fault: None, took: Duration::from_secs(1) },
        ]);
        assert_eq!((out, err), (String::new(), String::new()));
    }

    #[test]
    fn names_and_words_from_outside_stay_in_their_line() {
        let (out, err) = shown(&[
            started(1, Operation::Download, "a\u{1b}[2J\r\nb"),
            done(1, 1, true, 0),
            Event::Said { level: MessageLevel::Info, text: "x\nup  fake  1 B".into() },
            Event::Printed { text: "\u{1b}]0;title\u{7}".into() },
        ]);
        assert_eq!(err, "down  a\\u{1b}[2J\\r\\nb  1 B\nx\\nup  fake  1 B\n");
        assert_eq!(out, "\\u{1b}]0;title\\u{7}\n");
    }

    #[test]
    fn an_end_of_the_reader_is_no_end_of_the_work() {
        let gone = std::fs::File::open("/dev/null").unwrap();
        PlainProgress::new(gone.try_clone().unwrap(), gone)
            .event(&Event::Printed { text: "x".into() });
    }
}
