//! The lines of a local file, read one by one.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex, PoisonError},
};

use rhai::{Engine, ImmutableString, Position};

use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    limits::SCRIPT_STRING_BYTES_MAX,
    script::raise::{RhaiResultOf, raised},
};

/// The lines of a file, for a `for` loop. The file is read as far as the loop comes.
#[derive(Debug, Clone)]
pub struct LineReader {
    state: Arc<Mutex<LineState>>,
    path: String,
    stop: CancelToken,
}

#[derive(Debug)]
struct LineState {
    file: BufReader<File>,
    number: u64,
}

impl LineReader {
    /// Returns the lines of `file`, which is called `path` in errors.
    pub(super) fn new(file: File, path: &str, stop: CancelToken) -> Self {
        let state = LineState { file: BufReader::new(file), number: 0 };
        Self { state: Arc::new(Mutex::new(state)), path: path.to_owned(), stop }
    }

    fn read(&self) -> Result<Option<String>> {
        self.stop.check()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.number += 1;
        let number = state.number;
        let mut line = Vec::new();
        let most = SCRIPT_STRING_BYTES_MAX as u64;
        let read = (&mut state.file).take(most + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Error::local("read", &self.path, error))?;
        if read == 0 {
            return Ok(None);
        }
        if line.len() > SCRIPT_STRING_BYTES_MAX {
            let message = format!("line {number} has more than {most} bytes: is it a text?");
            return Err(Error::invalid(message).at(&self.path));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        let text = String::from_utf8(line);
        let text = text.map_err(|_| {
            Error::invalid(format!("line {number} is not UTF-8 text")).at(&self.path)
        })?;
        let is_marked = number == 1 && text.starts_with('\u{feff}');
        Ok(Some(if is_marked { text.trim_start_matches('\u{feff}').into() } else { text }))
    }
}

impl Iterator for LineReader {
    type Item = RhaiResultOf<ImmutableString>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().map(|line| line.map(ImmutableString::from));
        next.map_err(|error| raised(error, Position::NONE)).transpose()
    }
}

/// Registers the iteration over lines.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<LineReader>("LineReader");
    engine.register_iterator_result::<LineReader, ImmutableString>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_a_broken_one_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        std::fs::write(&path, b"\xef\xbb\xbfone\r\n\ntwo\n\xff\nlast").unwrap();
        let mut lines = LineReader::new(File::open(&path).unwrap(), "a", CancelToken::new());
        let mut next = || lines.next().map(|line| line.map_err(|error| error.to_string()));
        for wanted in ["one", "", "two"] {
            assert_eq!(next().unwrap().unwrap(), wanted);
        }
        assert!(next().unwrap().is_err());
        assert_eq!(next().unwrap().unwrap(), "last");
        assert!(next().is_none());
    }
}
