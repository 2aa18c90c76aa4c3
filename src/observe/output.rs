//! Standard output, and the log of a service: both remember the first write that failed.
//!
//! A sink must not end the work because nobody can read of it, so the error is kept here, and [`trouble`] hands it to
//! the one place that knows the exit code: `cli::main`.

use std::{
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

use crate::fault::Fault;

/// The first write that failed.
static TROUBLE: OnceLock<Fault> = OnceLock::new();

/// A stream that people and programs read what a command has to say from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output: the results.
    Results,
    /// Standard error as the place of a service's log, which is all that it has to say.
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

/// Returns the place of a service's log.
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

/// Keeps `error` of a write to `output`, unless it is no failure or another came before.
pub fn remember(output: Output, error: &io::Error) {
    // A reader that has seen enough closes its pipe: `portolan ls URL | head`.
    let is_none = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted);
    if !is_none {
        let error = error.raw_os_error().map_or_else(
            || io::Error::new(error.kind(), error.to_string()),
            io::Error::from_raw_os_error,
        );
        TROUBLE.get_or_init(|| Fault::local("write", output.name(), error));
    }
}

/// Returns the first write that failed, if one did.
pub fn trouble() -> Option<&'static Fault> {
    TROUBLE.get()
}
