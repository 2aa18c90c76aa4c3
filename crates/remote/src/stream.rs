//! Pipes, terminals and devices as the local end of a transfer: what was read or written cannot be taken back.

use std::{
    io::{Read, Write},
    os::fd::AsFd,
};

use portolan_core::{
    buffer,
    error::{Error, Result},
    limits::{PIPE_BYTES, STREAM_REPLAY_BYTES},
};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use super::source_sink::{ByteSink, ByteSource};

/// Lets a pipe hold more, so that its two ends wait for each other less often. Files that are no pipes stay as they are, and
/// so does a pipe that holds as much, or may not grow (`pipe-user-pages-soft`, pipe(7)).
pub fn widen_pipe(file: impl AsFd) {
    if fcntl_getpipe_size(&file).is_ok_and(|bytes| bytes < PIPE_BYTES) {
        fcntl_setpipe_size(&file, PIPE_BYTES).ok();
    }
}

/// A source that can be read once. Its beginning is kept, so that an attempt that fails early can be repeated.
#[derive(Debug)]
pub struct StreamSource<R> {
    from: R,
    name: String,
    /// The beginning; `None` if more was read than is kept.
    begun: Option<Vec<u8>>,
    /// The number of bytes of the beginning that are given out again.
    at: usize,
}

impl<R: Read> StreamSource<R> {
    /// Creates a source of the bytes of `from`, which errors call `name`.
    pub fn new(from: R, name: impl Into<String>) -> Self {
        Self { from, name: name.into(), begun: Some(Vec::new()), at: 0 }
    }
}

impl<R: Read> ByteSource for StreamSource<R> {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if let Some(begun) = &self.begun
            && self.at < begun.len()
        {
            let rest = buffer::rest(begun, self.at)?;
            let count = rest.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(rest) {
                *to = *from;
            }
            self.at += count;
            return Ok(count);
        }
        let count = loop {
            match self.from.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| Error::local("read", &self.name, error))?,
            }
        };
        if let Some(begun) = &mut self.begun {
            if begun.len() + count <= STREAM_REPLAY_BYTES {
                begun.extend_from_slice(buffer::filled(buffer, count)?);
                self.at = begun.len();
            } else {
                self.begun = None;
            }
        }
        Ok(count)
    }

    fn restart(&mut self) -> Result<()> {
        if self.begun.is_none() {
            let message = format!("the transfer broke, and {} cannot be read again", self.name);
            return Err(Error::invalid(message));
        }
        self.at = 0;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn is_stream(&self) -> bool {
        true
    }
}

/// A sink that takes each byte once. After a failed attempt, the next one leaves out what has been written.
#[derive(Debug)]
pub struct StreamSink<W> {
    to: W,
    name: String,
    /// The number of bytes that were written.
    written: u64,
    /// The number of bytes that this attempt has taken.
    taken: u64,
}

impl<W: Write> StreamSink<W> {
    /// Creates a sink that writes to `to`, which errors call `name`.
    pub fn new(to: W, name: impl Into<String>) -> Self {
        Self { to, name: name.into(), written: 0, taken: 0 }
    }

    /// Returns the writer, to look at.
    pub const fn writer(&self) -> &W {
        &self.to
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.to
    }

    /// Writes what is buffered.
    pub fn finish(&mut self) -> Result<()> {
        self.to.flush().map_err(|error| Error::local("write", &self.name, error))
    }
}

impl<W: Write> ByteSink for StreamSink<W> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let begin = self.written.saturating_sub(self.taken);
        self.taken += bytes.len() as u64;
        let known = usize::try_from(begin).unwrap_or(usize::MAX).min(bytes.len());
        let new = buffer::rest(bytes, known)?;
        self.to.write_all(new).map_err(|error| Error::local("write", &self.name, error))?;
        self.written += new.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.taken = 0;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        // Another version of the file must not follow the beginning of this one.
        self.written == 0
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    fn drain(source: &mut impl ByteSource) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 700]);
        loop {
            match source.give(&mut buffer).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn the_beginning_of_a_stream_can_be_read_again_and_no_more() {
        let bytes: Vec<u8> = (0..=255).cycle().take(STREAM_REPLAY_BYTES).collect();
        let mut source = StreamSource::new(&bytes[..], "standard input");
        assert_eq!(drain(&mut source), bytes);
        source.restart().unwrap();
        assert_eq!(drain(&mut source), bytes);
        let more = [&bytes[..], b"x"].concat();
        let mut source = StreamSource::new(&more[..], "standard input");
        assert_eq!(drain(&mut source), more);
        let fault = source.restart().unwrap_err();
        assert!(fault.message.contains("standard input cannot be read again"), "{fault}");
    }

    #[test]
    fn a_second_attempt_writes_only_what_is_missing() {
        let mut out = Vec::new();
        let mut sink = StreamSink::new(&mut out, "standard output");
        sink.take(b"abc").unwrap();
        assert!(!sink.is_whole());
        sink.restart().unwrap();
        sink.take(b"ab").unwrap();
        sink.take(b"cdef").unwrap();
        sink.take(b"g").unwrap();
        sink.finish().unwrap();
        assert_eq!(out, b"abcdefg");
    }

    #[test]
    fn a_pipe_is_widened_and_a_file_stays_as_it_is() {
        let (reader, _writer) = pipe().unwrap();
        widen_pipe(&reader);
        assert_eq!(fcntl_getpipe_size(&reader).unwrap(), PIPE_BYTES);
        let (large, _writer) = pipe().unwrap();
        // Beyond the limit of users only root may go; then the pipe has the default of Linux.
        let before = fcntl_setpipe_size(&large, 2 * PIPE_BYTES);
        widen_pipe(&large);
        assert_eq!(fcntl_getpipe_size(&large).unwrap(), before.unwrap_or(PIPE_BYTES));
        widen_pipe(std::fs::File::open("/dev/null").unwrap());
    }
}
