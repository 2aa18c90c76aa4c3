//! Standard output, and the log of a service: both remember the first write that failed.
//!
//! A sink must not end the run because its reader has gone away, so the error is kept here, and [`trouble`] returns it
//! to the one place that knows the exit code: `cli::main`.

use std::{
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

use crate::error::Error;

/// The first write error.
static TROUBLE: OnceLock<Error> = OnceLock::new();

/// A stream that carries the results of a command to people and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output: the results.
    Results,
    /// Standard error as the destination of a service's log, which is its only output.
    Log,
}

impl Output {
    const fn name(self) -> &'static str {
        match self {
            Self::Results => "standard output",
            Self::Log => "the log on standard error",
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one writer, which remembers its errors")]
    fn act<T>(self, act: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let done = match self {
            Self::Results => act(&mut io::stdout()),
            Self::Log => act(&mut io::stderr()),
        };
        done.inspect_err(|error| remember(self, error))
    }
}

/// Returns standard output.
pub const fn results() -> Output {
    Output::Results
}

/// Returns the stream of a service's log.
pub const fn log() -> Output {
    Output::Log
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.act(|out| out.write(bytes))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.act(|out| out.write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.act(|out| out.flush())
    }
}

/// Remembers `error` of a write to `output`, unless it is harmless or another came before.
pub fn remember(output: Output, error: &io::Error) {
    // A reader that has seen enough closes its pipe: `portolan ls URL | head`.
    let is_none = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted);
    if !is_none {
        let error = error.raw_os_error().map_or_else(
            || io::Error::new(error.kind(), error.to_string()),
            io::Error::from_raw_os_error,
        );
        TROUBLE.get_or_init(|| Error::local("write", output.name(), error));
    }
}

/// Returns the first write error, if there was one.
pub fn trouble() -> Option<&'static Error> {
    TROUBLE.get()
}
