//! The codes of replies (RFC 959, 4.2).

use std::fmt;

/// A reply code: three digits, of which the first tells success from failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

/// Defines a constant for each code that has a meaning to this program.
macro_rules! codes {
    ($($name:ident $code:literal $text:literal),+ $(,)?) => {
        impl ReplyCode {
            $(
                #[doc = concat!($code, ": ", $text)]
                pub const $name: Self = Self($code);
            )+
        }
    };
}

codes! {
    READY_LATER 120 "the server will be ready in some minutes.",
    DATA_ALREADY_OPEN 125 "the data connection is open, and the transfer begins.",
    OPENING_DATA 150 "the server is about to open the data connection.",
    OKAY 200 "the command was executed.",
    SUPERFLUOUS 202 "the command is not needed here.",
    SYSTEM_STATUS 211 "the status of the system, or its features (RFC 2389).",
    DIRECTORY_STATUS 212 "the status of a directory.",
    FILE_STATUS 213 "the status of a file: its size or its time (RFC 3659).",
    HELP 214 "a help message.",
    SYSTEM_TYPE 215 "the name of the system.",
    READY 220 "the server is ready for a new user.",
    CLOSING_CONTROL 221 "the server closes the control connection.",
    NO_TRANSFER 225 "the data connection is open, and no transfer is in progress.",
    TRANSFER_COMPLETE 226 "the transfer has succeeded, and the data connection is closed.",
    PASSIVE_MODE 227 "the address and port for passive mode.",
    EXTENDED_PASSIVE_MODE 229 "the port for extended passive mode (RFC 2428).",
    LOGGED_IN 230 "the user is logged in.",
    TLS_ACCEPTED 234 "TLS begins (RFC 2228, RFC 4217).",
    FILE_ACTION_OKAY 250 "the command on a file was executed.",
    PATH_NAME 257 "a path, in quotes.",
    PASSWORD_NEEDED 331 "the user name is known, and a password is needed.",
    ACCOUNT_NEEDED 332 "an account is needed for the login.",
    MORE_SECURITY_DATA 334 "more security data is needed (RFC 2228).",
    PENDING 350 "the command awaits further information.",
    SERVICE_UNAVAILABLE 421 "the server closes the control connection.",
    CANNOT_OPEN_DATA 425 "the data connection cannot be opened.",
    TRANSFER_ABORTED 426 "the data connection was closed, and the transfer aborted.",
    BAD_CREDENTIALS 430 "the user name or the password is wrong.",
    FILE_BUSY 450 "the file is not available now.",
    LOCAL_ERROR 451 "the server has failed to process the command.",
    NO_SPACE 452 "the storage of the server is full.",
    UNKNOWN_COMMAND 500 "the command is not known, or too long.",
    BAD_ARGUMENT 501 "the argument is not valid.",
    NOT_IMPLEMENTED 502 "the command is not implemented.",
    BAD_SEQUENCE 503 "another command must come before.",
    NOT_IMPLEMENTED_FOR 504 "the command is not implemented for this argument.",
    BAD_PROTECTION_LEVEL 521 "data connections cannot be opened at this protection level (RFC 4217).",
    PROTOCOL_REFUSED 522 "the network protocol is not supported (RFC 2428); also the TLS of the data connection (vsftpd).",
    NOT_LOGGED_IN 530 "the user is not logged in.",
    ACCOUNT_NEEDED_TO_STORE 532 "an account is needed to store files.",
    PROTECTION_DENIED 533 "the protection level of the command is denied for reasons of policy (RFC 2228).",
    REQUEST_DENIED 534 "the request is denied for reasons of policy (RFC 2228).",
    PROTECTION_UNSUPPORTED 536 "the requested protection level is not supported (RFC 2228).",
    COMMAND_PROTECTION_UNSUPPORTED 537 "the protection level of the command is not supported (RFC 2228).",
    FILE_UNAVAILABLE 550 "the file is missing, or access to it is denied.",
    UNKNOWN_PAGE_TYPE 551 "the page type is not known.",
    QUOTA_EXCEEDED 552 "the quota of the user is exceeded.",
    BAD_FILE_NAME 553 "the file name is not allowed.",
    BAD_RESTART 554 "the restart offset is not valid (RFC 3659).",
}

impl ReplyCode {
    /// Returns the code with this value; 0 means that no reply caused the error.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// Returns the value.
    pub const fn value(self) -> u16 {
        self.0
    }

    /// Returns the first digit.
    pub const fn class(self) -> u16 {
        self.0 / 100
    }

    /// Returns true for 1yz: the transfer begins, another reply follows (RFC 959, 4.2.1).
    pub const fn is_preliminary(self) -> bool {
        self.class() == 1
    }

    /// Returns true for 2yz: completion.
    pub const fn is_completion(self) -> bool {
        self.class() == 2
    }

    /// Returns true for 3yz: the server expects the next command of a sequence.
    pub const fn is_intermediate(self) -> bool {
        self.class() == 3
    }

    /// Returns true for 4yz: the refusal is temporary.
    pub const fn is_transient(self) -> bool {
        self.class() == 4
    }

    /// Returns true for 5yz: the refusal is permanent.
    pub const fn is_permanent(self) -> bool {
        self.class() == 5
    }

    /// Returns true for 4yz and 5yz.
    pub const fn is_refusal(self) -> bool {
        self.is_transient() || self.is_permanent()
    }

    /// Returns true if the user is not logged in, or may not do this without an account.
    pub const fn concerns_login(self) -> bool {
        matches!(self.0, 430 | 530..=532)
    }

    /// Returns true if the TLS of the control or data connection is not sufficient.
    pub const fn concerns_protection(self) -> bool {
        matches!(self.0, 522 | 533..=537)
    }

    /// Returns true for 500 to 504: the server does not understand the command, or its argument, or its place in the
    /// sequence.
    pub const fn is_syntax_error(self) -> bool {
        matches!(self.0, 500..=504)
    }

    /// Returns true for 211 to 213: the status of the system, a directory or a file.
    pub const fn is_status(self) -> bool {
        matches!(self, Self::SYSTEM_STATUS | Self::DIRECTORY_STATUS | Self::FILE_STATUS)
    }

    /// Returns true if it ends a transfer that has begun, and answers neither EPSV, PASV nor NOOP.
    pub const fn ends_transfer(self) -> bool {
        matches!(
            self,
            Self::TRANSFER_COMPLETE
                | Self::FILE_ACTION_OKAY
                | Self::SERVICE_UNAVAILABLE
                | Self::CANNOT_OPEN_DATA
                | Self::TRANSFER_ABORTED
                | Self::LOCAL_ERROR
                | Self::NO_SPACE
                | Self::FILE_UNAVAILABLE
                | Self::UNKNOWN_PAGE_TYPE
                | Self::QUOTA_EXCEEDED
                | Self::BAD_FILE_NAME
        )
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_of_one_class() {
        for value in 0..700 {
            let code = ReplyCode::new(value);
            let classes = [
                code.is_preliminary(),
                code.is_completion(),
                code.is_intermediate(),
                code.is_transient(),
                code.is_permanent(),
            ];
            let count = classes.iter().filter(|is| **is).count();
            assert_eq!(count, usize::from((100..600).contains(&value)), "{code}");
            assert_eq!(code.is_refusal(), (400..600).contains(&value), "{code}");
        }
    }

    #[test]
    fn a_preliminary_or_passive_reply_ends_no_transfer() {
        let ends: Vec<_> =
            (100..600).filter(|value| ReplyCode::new(*value).ends_transfer()).collect();
        assert_eq!(ends, [226, 250, 421, 425, 426, 451, 452, 550, 551, 552, 553]);
    }
}
