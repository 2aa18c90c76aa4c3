//! Exit codes, which are an interface like the names of the functions.

use crate::{
    error::{ErrorKind, Origin},
    script::raise::ScriptFailure,
};

/// Success.
pub const DONE: u8 = 0;
/// Output that could not be written, or a bug in portolan.
pub const BUG: u8 = 1;
/// A command line that cannot be parsed.
pub const USAGE: u8 = 2;
/// An error in a script, found by checks or thrown.
pub const SCRIPT: u8 = 3;
/// A temporary failure.
pub const LATER: u8 = 4;
/// A permanent failure.
pub const NEVER: u8 = 5;
/// Partial success: some files failed.
pub const IN_PART: u8 = 6;
/// A stop by a guard against deleting too much.
pub const GUARD: u8 = 7;
/// An interruption.
pub const INTERRUPTED: u8 = 130;

/// An error of any kind; for `nat plan` only.
pub const NAT_ERROR: u8 = 1;
/// Changes to apply; for `nat plan` only.
pub const NAT_CHANGES: u8 = 2;

/// The text of `--help` about exit codes.
pub const HELP: &str = "Exit codes: 0 done, 1 output error (or a bug in portolan), 2 usage error, 3 script error, 4 temporary \
failure, 5 permanent failure, 6 partial success, 7 stopped by a guard (deletes), 130 interrupted. `nat plan`: 0 no changes, 2 changes, 1 error.";

/// Returns the exit code for a run or command that ended with `failure`.
pub fn code(failure: &ScriptFailure) -> u8 {
    if failure.is_bug {
        return BUG;
    }
    match (failure.fault.kind, failure.fault.side) {
        (ErrorKind::Interrupted, _) => INTERRUPTED,
        (ErrorKind::Denied, _) => NEVER,
        (_, Origin::Script) => SCRIPT,
        (ErrorKind::Guard, _) => GUARD,
        _ if failure.fault.is_retryable() => LATER,
        _ => NEVER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn each_failure_has_its_code() {
        for (kind, side, expected) in [
            (ErrorKind::Interrupted, Origin::Here, INTERRUPTED),
            (ErrorKind::Invalid, Origin::Script, SCRIPT),
            (ErrorKind::Guard, Origin::Script, SCRIPT),
            (ErrorKind::Guard, Origin::Here, GUARD),
            (ErrorKind::Timeout, Origin::Server, LATER),
            (ErrorKind::Unreachable, Origin::Network, LATER),
            (ErrorKind::Denied, Origin::Server, NEVER),
            (ErrorKind::NotFound, Origin::Here, NEVER),
            (ErrorKind::Tls, Origin::Server, NEVER),
        ] {
            assert_eq!(
                code(&ScriptFailure::from(Error::new(kind, side, ""))),
                expected,
                "{kind} {side}"
            );
        }
    }
}
