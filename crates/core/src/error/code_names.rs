//! The codes that several modules name, and the explanation of any code as a value.

/// A code, with its explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// The code: the word of an [`super::ErrorKind`], or `area.word` for an error that has a code of its own.
    pub code: &'static str,
    /// The meaning, as one sentence.
    pub meaning: &'static str,
    /// The usual causes.
    pub cause: &'static str,
    /// The remedy. It is printed as the hint of an error with a code of its own.
    pub remedy: &'static str,
}

/// Returns the explanation of one code.
pub(super) const fn row(
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    remedy: &'static str,
) -> ErrorCode {
    ErrorCode { code, meaning, cause, remedy }
}

/// No program listens at the port.
pub const CONNECT_REFUSED: &str = "connect.refused";
/// The name of the server cannot be resolved.
pub const CONNECT_UNKNOWN_HOST: &str = "connect.unknown_host";
/// One data-connection mode failed, and `fallback` is off.
pub const DATA_FALLBACK_OFF: &str = "data.fallback_off";
/// A deployment was undone, since the site did not answer.
pub const DEPLOY_UNDONE: &str = "deploy.undone";
/// The run would transfer more than `max_total`.
pub const LIMIT_MAX_TOTAL: &str = "limit.max_total";
/// The local disk would have less free than `min_free`.
pub const LIMIT_MIN_FREE: &str = "limit.min_free";
/// A directory above a local file does not exist.
pub const LOCAL_NO_DIRECTORY: &str = "local.no_directory";
/// The server refused the login.
pub const LOGIN_DENIED: &str = "login.denied";
/// The server accepts no further session at present.
pub const LOGIN_TOO_MANY_SESSIONS: &str = "login.too_many_sessions";
/// A program before or after the work of a job failed.
pub const PROGRAM_FAILED: &str = "program.failed";
/// A certificate is not trusted.
pub const TLS_CERTIFICATE: &str = "tls.certificate";
/// The server refused AUTH TLS.
pub const TLS_NOT_OFFERED: &str = "tls.not_offered";
/// The server refused to go on without TLS.
pub const TLS_REQUIRED: &str = "tls.required";
/// The server answered a TLS handshake with something else.
pub const TLS_WRONG_PORT: &str = "tls.wrong_port";
/// The server refuses temporary names.
pub const TRANSFER_NAME_REFUSED: &str = "transfer.name_refused";
/// The server shortens names.
pub const TRANSFER_NAME_SHORTENED: &str = "transfer.name_shortened";
/// The server refuses to rename.
pub const TRANSFER_RENAME_REFUSED: &str = "transfer.rename_refused";
/// A file changed while it was transferred.
pub const TRANSFER_SOURCE_CHANGED: &str = "transfer.source_changed";
/// The target of a transfer exists.
pub const TRANSFER_TARGET_EXISTS: &str = "transfer.target_exists";

/// The explanation of [`LOCAL_NO_DIRECTORY`].
pub(super) const LOCAL_NO_DIRECTORY_ROW: ErrorCode = row(
    LOCAL_NO_DIRECTORY,
    "The directory of a local file does not exist.",
    "Directories above a file are not created by `get` and `put`.",
    "folders above a file are not made by themselves: mkdir, or local::mkdir() in a script",
);
/// The explanation of [`LOGIN_DENIED`].
pub(super) const LOGIN_DENIED_ROW: ErrorCode = row(
    LOGIN_DENIED,
    "The server refused the login (reply 530).",
    "A wrong user name or password, an account that is locked, or one that may not log in from this address.",
    "check user and password; a password comes from secret(\"NAME\"), --password-file, --netrc or PORTOLAN_PASSWORD",
);
/// The explanation of [`LOGIN_TOO_MANY_SESSIONS`].
pub(super) const LOGIN_TOO_MANY_SESSIONS_ROW: ErrorCode = row(
    LOGIN_TOO_MANY_SESSIONS,
    "The server accepts no further session at present.",
    "Too many sessions are open, of this account, of this address or of all clients (reply 421, or 530 that says so), or the server is about to stop.",
    "try again later; `--parallel 1` needs one session at a time; other programs with the same account count as well",
);
