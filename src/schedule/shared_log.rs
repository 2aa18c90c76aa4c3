//! The log of a run where machines share the store: what its machine puts there, and what others read of it.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use crate::{
    error::{Error, Result},
    limits::{LOG_SHARED_END_BYTES, LOG_SHARED_HEAD_BYTES},
    observe::visible::visible,
    store::{
        Store,
        history::{HistoryRun, LogPart},
    },
};

/// The part of a log that its machine has put into the store.
#[derive(Debug, Clone, Copy)]
pub struct LogCursor {
    /// The number of bytes of the log that were there when the machine took up the run.
    before: u64,
    /// The size of the file at that time.
    from: u64,
    /// The number of bytes of the file that are there, or are left out.
    sent: u64,
}

impl LogCursor {
    /// Begins with what the file has from now on: what it had before is there, or is of an earlier start.
    pub fn new(store: &Store, run: i64, path: &Path) -> Result<Self> {
        let from = path.metadata().map_or(0, |file| file.len());
        Ok(Self { before: store.log_end(run)?, from, sent: from })
    }

    /// Puts what is new in the file into the store, in whole lines: all of the beginning, and of more than is kept the end.
    pub fn send(&mut self, store: &mut Store, run: i64, machine: &str, path: &Path) -> Result<()> {
        let Ok(length) = path.metadata().map(|file| file.len()) else { return Ok(()) };
        while self.sent < length {
            let start = self.before + self.sent.saturating_sub(self.from);
            let head = LOG_SHARED_HEAD_BYTES.saturating_sub(start);
            let left = length - self.sent;
            let most = if head > 0 {
                left.min(head)
            } else {
                self.sent = self.sent.max(length.saturating_sub(LOG_SHARED_END_BYTES));
                length - self.sent
            };
            let start = self.before + self.sent.saturating_sub(self.from);
            let (text, bytes) = read_lines(path, self.sent, most)?;
            if bytes == 0 {
                break;
            }
            store.add_log(run, machine, &LogPart { start, bytes, text })?;
            self.sent += bytes;
        }
        Ok(())
    }
}

/// Reads whole lines of a file from an offset on, and returns the number of their bytes. A line that is longer than `most` is
/// read in parts.
fn read_lines(path: &Path, from: u64, most: u64) -> Result<(String, u64)> {
    let cannot = |error| Error::local("read the log", path, error);
    let mut file = File::open(path).map_err(cannot)?;
    file.seek(SeekFrom::Start(from)).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(cannot)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let is_full = bytes.len() as u64 == most;
    bytes.truncate(whole.unwrap_or(if is_full { bytes.len() } else { 0 }));
    Ok((String::from_utf8_lossy(&bytes).into_owned(), bytes.len() as u64))
}

/// The log of a run as far as it is in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedLog {
    /// The text, with a line in place of what is left out.
    pub text: String,
    /// The number of bytes of the log up to its end.
    pub end: u64,
}

/// Returns what the store has of a log after its first `from` bytes, if it has more than the file on this machine; `None`
/// where the file is all there is, or no machines share the store.
pub fn read(store: &Store, run: &HistoryRun, path: &Path, from: u64) -> Result<Option<SharedLog>> {
    if !store.is_shared() || run.machine.is_none() {
        return Ok(None);
    }
    let end = store.log_end(run.id)?;
    if end == 0 || path.metadata().is_ok_and(|file| file.len() >= end) {
        return Ok(None);
    }
    let parts = store.log_parts(run.id, from)?;
    Ok(Some(SharedLog { text: text_of(&elsewhere(run).unwrap_or_default(), &parts, from), end }))
}

/// Returns the text of parts, after the first `from` bytes of the log. The first part may begin earlier: a reader continues
/// where one has ended.
fn text_of(place: &str, parts: &[LogPart], from: u64) -> String {
    let (mut text, mut read) = (String::new(), from);
    for part in parts {
        if part.start > read {
            let gap = part.start - read;
            text.extend([format!("(… {gap} bytes are left out: all is {place})\n")]);
        }
        let skipped = usize::try_from(read.saturating_sub(part.start)).unwrap_or(usize::MAX);
        text += part.text.get(skipped.min(part.text.len())..).unwrap_or(&part.text);
        read = part.end();
    }
    text
}

/// Returns the place of the whole log of a run, on the machine that had it last.
pub fn elsewhere(run: &HistoryRun) -> Option<String> {
    let machine = run.machine.as_ref()?;
    let file = Path::new("logs").join(&run.job).join(format!("{}.log", run.id));
    Some(format!("on machine `{}`, in {} of its state folder", visible(machine), file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_a_long_one_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"one\ntwo\nthr\xffe\nfo").unwrap();
        for (from, most, text, bytes) in [
            (0, 100, "one\ntwo\nthr\u{FFFD}e\n", 14),
            (0, 5, "one\n", 4),
            (4, 3, "two", 3),
            (14, 100, "", 0),
            (14, 2, "fo", 2),
            (99, 10, "", 0),
        ] {
            assert_eq!(
                read_lines(&path, from, most).unwrap(),
                (text.into(), bytes),
                "{from} {most}"
            );
        }
    }

    #[test]
    fn what_is_left_out_is_told_with_its_place() {
        let part =
            |start: u64, text: &str| LogPart { start, bytes: text.len() as u64, text: text.into() };
        let parts = [part(0, "one\n"), part(4, "two\n"), part(100, "end\n")];
        let gap = "(… 92 bytes are left out: all is on machine `one`)\n";
        assert_eq!(text_of("on machine `one`", &parts, 0), format!("one\ntwo\n{gap}end\n"));
        assert_eq!(text_of("on machine `one`", &parts[1..], 4), format!("two\n{gap}end\n"));
        assert_eq!(text_of("on machine `one`", &parts[2..], 100), "end\n");
    }
}
