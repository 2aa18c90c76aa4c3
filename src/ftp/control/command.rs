//! Commands: bytes that are known to be one line.

use suppaftp::Encoding;

use super::Bytes;
use crate::{
    fault::{Fault, Outcome},
    ftp::path::RemotePath,
    limits::COMMAND_BYTES_MAX,
};

/// One command, without its line end: bytes that are known to be one line.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Vec<u8>);

impl std::fmt::Debug for Command {
    /// The verb alone: what stands behind it may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.verb())
    }
}

impl Command {
    /// A command as it stands; fails with `invalid` when it would be two, or is longer than servers take.
    pub fn parse(line: impl AsRef<[u8]>) -> Outcome<Self> {
        let line = line.as_ref();
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(Fault::invalid("a command cannot hold a line end or a NUL"));
        }
        if line.is_empty() || line.len() > COMMAND_BYTES_MAX {
            return Err(Fault::invalid(format!("a command of {} bytes", line.len())));
        }
        Ok(Self(line.to_vec()))
    }

    /// `verb` alone.
    pub fn bare(verb: &'static str) -> Self {
        Self(verb.as_bytes().to_vec())
    }

    /// `verb` and a path; a path never holds a line end.
    pub fn path(verb: &str, path: &RemotePath) -> Self {
        Self([verb.as_bytes(), b" ", path.as_bytes()].concat())
    }

    /// A command made of our own words and numbers only.
    pub(in crate::ftp) fn from_safe(line: String) -> Self {
        Self(line.into_bytes())
    }

    /// The verb, for messages.
    pub fn verb(&self) -> String {
        let verb = self.0.split(|byte| *byte == b' ').next().unwrap_or_default();
        String::from_utf8_lossy(verb).into_owned()
    }

    /// Its bytes on the wire.
    pub(super) fn line(&self) -> Vec<u8> {
        [self.0.as_slice(), b"\r\n"].concat()
    }

    /// How many bytes that is.
    pub(in crate::ftp) fn length(&self) -> usize {
        self.0.len() + 2
    }

    /// Whether a 150 or 226 can be the reply to it.
    pub(super) fn moves_data(&self) -> bool {
        let verb = self.verb().to_ascii_uppercase();
        ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD", "ABOR", "STAT", "SITE"]
            .contains(&verb.as_str())
    }

    /// Asks for the listing of the folder where the session is, over the control connection. vsftpd 3.0.3 says the
    /// same as to `LIST -a` (measured).
    pub(in crate::ftp) fn list_here() -> Self {
        Self::bare("STAT -a .")
    }

    /// Whether its reply is a listing, of any length.
    pub(super) fn lists(&self) -> bool {
        *self == Self::list_here()
    }

    pub(super) fn as_text(&self) -> String {
        Bytes.decode(&self.0)
    }
}
