//! The reading of recordings, which come from others: every size is bounded.

use std::io::{BufRead, BufReader, Read};

use super::{RecordedEvent, RecordedFailure, RecordedLine, RecordingHeader, VERSION};
use crate::{
    error::{Error, Result},
    limits::{RECORDING_BYTES_MAX, RECORDING_LINE_BYTES_MAX, RECORDING_SESSIONS_MAX},
};

/// A recording that has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// The header.
    pub header: RecordingHeader,
    /// The lines after it, in order.
    pub lines: Vec<RecordedLine>,
    /// True if it has the end of the run.
    pub is_whole: bool,
}

impl Recording {
    /// Reads a recording. One that ends in the middle of a line, as that of a killed run may, lacks this line.
    ///
    /// # Errors
    ///
    /// `invalid` if it is none, of a later version, too large, or damaged; `local` if it cannot be read.
    pub fn read(source: impl Read) -> Result<Self> {
        let mut reader = BufReader::new(source.take(RECORDING_BYTES_MAX + 1));
        let mut recording = Self::default();
        let mut bytes = 0;
        for number in 1_u64.. {
            let mut line = Vec::new();
            let limit = RECORDING_LINE_BYTES_MAX + 1;
            let count = reader.by_ref().take(limit).read_until(b'\n', &mut line);
            let count = count.map_err(|error| Error::local("read", "the recording", error))?;
            bytes += count as u64;
            if bytes > RECORDING_BYTES_MAX {
                let mib = RECORDING_BYTES_MAX / (1024 * 1024);
                return Err(Error::invalid(format!("a recording has at most {mib} MiB")));
            }
            if line.len() as u64 == limit {
                return Err(Error::invalid(format!("line {number} of the recording is too long")));
            }
            let is_end = !line.ends_with(b"\n");
            if is_end && line.is_empty() {
                break;
            }
            if number == 1 {
                recording.header = header(&line)?;
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(line) => recording.push(line, number)?,
                // The run, or the copy, was cut off here.
                Err(_) if is_end => break,
                Err(error) => {
                    let message = format!("line {number} of the recording: {error}");
                    return Err(Error::invalid(message));
                }
            }
        }
        if recording.header.version == 0 {
            return Err(Error::invalid(NO_RECORDING));
        }
        Ok(recording)
    }

    fn push(&mut self, line: RecordedLine, number: u64) -> Result<()> {
        if line.session > RECORDING_SESSIONS_MAX {
            let message = format!("line {number} of the recording: session {}", line.session);
            return Err(Error::invalid(message));
        }
        self.is_whole |= matches!(line.event, RecordedEvent::Ended { .. });
        if line.event != RecordedEvent::Unknown {
            self.lines.push(line);
        }
        Ok(())
    }

    /// Returns the exit code and the failure with which the run ended; `None` if the end is not in the recording.
    pub fn outcome(&self) -> Option<(u8, Option<&RecordedFailure>)> {
        self.lines.iter().rev().find_map(|line| match &line.event {
            RecordedEvent::Ended { exit, failure } => Some((*exit, failure.as_ref())),
            _ => None,
        })
    }

    /// Returns every failure in it.
    pub fn failures(&self) -> impl Iterator<Item = &RecordedFailure> {
        self.lines.iter().filter_map(|line| match &line.event {
            RecordedEvent::DialFailed { failure, .. }
            | RecordedEvent::DataFailed { failure, .. }
            | RecordedEvent::Closed { failure: Some(failure), .. }
            | RecordedEvent::Ended { failure: Some(failure), .. } => Some(failure),
            RecordedEvent::DataEnded(data) => data.failure.as_ref(),
            _ => None,
        })
    }
}

const NO_RECORDING: &str = "this is no recording: `portolan run --record FILE SCRIPT` makes one";

fn header(line: &[u8]) -> Result<RecordingHeader> {
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|_| Error::invalid(NO_RECORDING))?;
    if value.get("event").and_then(serde_json::Value::as_str) != Some("recording") {
        return Err(Error::invalid(NO_RECORDING));
    }
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if version > u64::from(VERSION) {
        let message = format!(
            "the recording has format {version}, and this version of portolan reads format {VERSION}: play it with \
             a newer one"
        );
        return Err(Error::invalid(message));
    }
    match serde_json::from_value(value) {
        Ok(RecordedLine { event: RecordedEvent::Recording(header), .. }) if version > 0 => {
            Ok(header)
        }
        _ => Err(Error::invalid("the first line of the recording is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str =
        "{\"event\":\"recording\",\"version\":1,\"portolan\":\"0.1.0\",\"command\":\"run\"}\n";

    #[test]
    fn what_is_no_whole_recording_is_said_or_read_as_far_as_it_goes() {
        let sent = "{\"session\":1,\"ms\":2,\"event\":\"sent\",\"line\":\"NOOP\"}\n";
        let end = "{\"ms\":3,\"event\":\"ended\",\"exit\":0}\n";
        for (text, lines, is_whole) in [
            (format!("{HEAD}{sent}{end}"), 2, true),
            (format!("{HEAD}{sent}{{\"ms\":3,\"event\":\"en"), 1, false),
            (format!("{HEAD}{{\"event\":\"of_tomorrow\",\"ms\":1}}\n{sent}"), 1, false),
            (HEAD.to_owned(), 0, false),
        ] {
            let read = Recording::read(text.as_bytes()).unwrap();
            assert_eq!((read.lines.len(), read.is_whole), (lines, is_whole), "{text}");
        }
        for (text, why) in [
            (String::new(), "this is no recording"),
            ("hello\n".into(), "this is no recording"),
            ("{\"event\":\"recording\"}\n".into(), "damaged"),
            (HEAD.replace(":1,", ":2,"), "play it with a newer one"),
            (format!("{HEAD}nonsense\n{end}"), "line 2 of the recording"),
            (format!("{HEAD}{}", sent.replace(":1,", ":4000000,")), "session 4000000"),
            (format!("{HEAD}{}", sent.replace("NOOP", "%0")), "line 2 of the recording"),
        ] {
            let error = Recording::read(text.as_bytes()).unwrap_err();
            assert!(error.message.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let all = [HEAD.as_bytes(), bytes.as_slice()].concat();
            Recording::read(all.as_slice()).ok();
            Recording::read(bytes.as_slice()).ok();
        }
    }
}
