//! The exit codes of the program, which are an interface like the names of the functions.

use crate::error::{Error, ErrorKind, Origin};

/// The text of `--help` about exit codes.
pub const HELP: &str = "Exit codes: 0 done, 1 output error (or a bug in portolan), 2 usage error, 3 script error, 4 temporary \
failure, 5 permanent failure, 6 partial success, 7 stopped by a guard (deletes), 130 interrupted. `nat plan`: 0 no changes, 2 changes, 1 error. `nat status --check` and `nat verify`: 0 in order, 2 drifted, 1 missing. `nat test`: 0 it passes, 1 it does not. `replay`: 0 it went as recorded, 1 it did not.";

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Done,
    /// Output that could not be written, or a bug in portolan.
    Bug,
    /// A command line that cannot be parsed.
    Usage,
    /// An error in a script, found by checks or thrown.
    Script,
    /// A temporary failure.
    Later,
    /// A permanent failure.
    Never,
    /// Partial success: some files failed.
    InPart,
    /// A stop by a guard against deleting too much.
    Guard,
    /// An interruption.
    Interrupted,
    /// Changes to apply; of `nat plan` only.
    NatChanges,
    /// An error of any kind; of `nat plan` only.
    NatError,
    /// A packet that does not pass; of `nat test` only.
    NatStopped,
    /// Rules, settings or interfaces that are not as they should be; of `nat status --check` and `nat verify` only.
    NatDrifted,
    /// Rules that do not exist; of `nat status --check` and `nat verify` only.
    NatMissing,
    /// A replay that went another way than the recorded run; of `replay` only.
    Diverged,
    /// The code of another process, repeated.
    Other(u8),
}

impl Exit {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug | Self::NatError | Self::NatMissing | Self::NatStopped | Self::Diverged => 1,
            Self::Usage | Self::NatChanges | Self::NatDrifted => 2,
            Self::Script => 3,
            Self::Later => 4,
            Self::Never => 5,
            Self::InPart => 6,
            Self::Guard => 7,
            Self::Interrupted => 130,
            Self::Other(code) => code,
        }
    }

    /// Returns the result of a run whose process ended with `code`; `None` if a process cannot.
    pub fn of_run(code: i64) -> Option<Self> {
        let code = u8::try_from(code).ok()?;
        let known = [
            Self::Done,
            Self::Bug,
            Self::Usage,
            Self::Script,
            Self::Later,
            Self::Never,
            Self::InPart,
            Self::Guard,
            Self::Interrupted,
        ];
        Some(known.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Other(code)))
    }

    /// Returns the result of a command that failed with `error`.
    pub const fn of_failure(error: &Error) -> Self {
        match (error.kind, error.side) {
            (ErrorKind::Interrupted, _) => Self::Interrupted,
            (ErrorKind::Denied | ErrorKind::DeniedByPolicy, _) => Self::Never,
            (_, Origin::Script) => Self::Script,
            (ErrorKind::Guard, _) => Self::Guard,
            _ if error.is_retryable() => Self::Later,
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_code() {
        for (kind, side, expected) in [
            (ErrorKind::Interrupted, Origin::Here, Exit::Interrupted),
            (ErrorKind::Invalid, Origin::Script, Exit::Script),
            (ErrorKind::Guard, Origin::Script, Exit::Script),
            (ErrorKind::Guard, Origin::Here, Exit::Guard),
            (ErrorKind::Timeout, Origin::Server, Exit::Later),
            (ErrorKind::Unreachable, Origin::Network, Exit::Later),
            (ErrorKind::Denied, Origin::Server, Exit::Never),
            (ErrorKind::DeniedByPolicy, Origin::Script, Exit::Never),
            (ErrorKind::NotFound, Origin::Here, Exit::Never),
            (ErrorKind::Tls, Origin::Server, Exit::Never),
        ] {
            let error = Error::new(kind, side, "");
            assert_eq!(Exit::of_failure(&error), expected, "{kind} {side}");
        }
    }

    #[test]
    fn the_code_of_a_process_comes_back_as_it_was() {
        for code in 0..=255 {
            assert_eq!(Exit::of_run(code).unwrap().code(), u8::try_from(code).unwrap());
        }
        assert_eq!(Exit::of_run(2), Some(Exit::Usage));
        assert_eq!((Exit::of_run(-1), Exit::of_run(256)), (None, None));
    }
}
