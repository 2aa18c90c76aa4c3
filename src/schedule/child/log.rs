//! The log of one run: a separate file of limited size, whose last lines can be read quickly.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    clock::Clock,
    error::{Error, Result},
    files::owned,
    limits::{LOG_END_BYTES, LOG_TAIL_BYTES},
    observe::MessageLevel,
};

/// A log that is being written.
#[derive(Debug)]
pub struct RunLog {
    file: Option<File>,
    clock: Clock,
    /// The number of bytes that may still be written.
    room: u64,
    is_full: bool,
}

/// Returns the path of the log of a run.
pub fn path(state: &Path, job: &str, run: i64) -> PathBuf {
    state.join("logs").join(job).join(format!("{run}.log"))
}

/// Returns the end of a log, in whole lines.
pub fn tail(path: &Path) -> Result<String> {
    let cannot = |error| Error::local("read the log", path, error);
    let mut file = File::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    let from = length.saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(from)).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let begin = if from == 0 { 0 } else { text.find('\n').map_or(0, |at| at + 1) };
    Ok(text.get(begin..).unwrap_or_default().to_owned())
}

impl RunLog {
    /// Opens the log of a run for appending; it holds at most `bytes`.
    pub fn open(path: &Path, bytes: u64, clock: Clock) -> Result<Self> {
        let folder = path.parent().unwrap_or(path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let file =
            made.and_then(|()| owned::open(path, OpenOptions::new().append(true).create(true)));
        let file = file.map_err(|error| Error::local("write the log", path, error))?;
        let used = file.metadata().map_or(0, |data| data.len());
        let room = bytes.saturating_sub(used);
        Ok(Self { file: Some(file), clock, room, is_full: room == 0 })
    }

    /// Creates a log that discards everything, for when no file can be opened.
    pub fn none(clock: Clock) -> Self {
        Self { file: None, clock, room: 0, is_full: true }
    }

    /// Takes the log; the one left behind discards everything.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let clock = self.clock.clone();
        std::mem::replace(self, Self::none(clock))
    }

    /// Writes a line with the time of its event.
    pub fn put(&mut self, time: Option<&str>, level: &str, text: &str) {
        if self.is_full {
            return;
        }
        let now = || format!("{:.3}", self.clock.now());
        let time = time.map_or_else(now, |time| {
            let made = time.parse::<Timestamp>();
            made.map_or_else(|_| time.to_owned(), |made| format!("{made:.3}"))
        });
        let line = format!("{time} {level:<5} {text}\n");
        let length = line.len() as u64;
        if length > self.room {
            self.is_full = true;
            self.write("(the log is full: what follows is left out)\n");
            return;
        }
        self.room -= length;
        self.write(&line);
    }

    /// Writes a line with the current time.
    pub fn say(&mut self, level: MessageLevel, text: &str) {
        self.put(None, word(level), text);
    }

    /// Writes a line with the current time even if the log is full, for the end of an attempt or of the run.
    pub fn end(&mut self, level: MessageLevel, text: &str) {
        self.room = self.room.max(LOG_END_BYTES);
        self.is_full = self.file.is_none();
        self.say(level, text);
    }

    fn write(&mut self, line: &str) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(line.as_bytes())
        {
            // A full disk must not end the run; its outcome is in the store as well.
            tracing::warn!(target: "portolan", "a log cannot be written: {error}");
            self.file = None;
            self.is_full = true;
        }
    }
}

const fn word(level: MessageLevel) -> &'static str {
    match level {
        MessageLevel::Debug => "debug",
        MessageLevel::Info => "info",
        MessageLevel::Warn => "warn",
        MessageLevel::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_goes_on_and_always_tells_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "a", 7);
        let clock = Clock::standing_at(0);
        let mut log = RunLog::open(&path, 95, clock.clone()).unwrap();
        log.say(MessageLevel::Info, "one");
        log.put(Some("1970-01-01T00:00:01Z"), "warn", "two");
        let mut log = RunLog::open(&path, 95, clock).unwrap();
        for _ in 0..100 {
            log.say(MessageLevel::Error, "far too much of it");
        }
        log.end(MessageLevel::Info, "the end");
        assert_eq!(
            tail(&path).unwrap(),
            "1970-01-01T00:00:00.000Z info  one\n1970-01-01T00:00:01.000Z warn  two\n\
             (the log is full: what follows is left out)\n1970-01-01T00:00:00.000Z info  the end\n"
        );
    }
}
