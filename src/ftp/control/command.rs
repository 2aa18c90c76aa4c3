//! Commands: bytes that are known to be a single line.

use suppaftp::Encoding;

use super::LatinText;
use crate::{
    error::{Error, Result},
    ftp::{path::RemotePath, path_syntax::PathSyntax, reply::Reply},
    limits::COMMAND_BYTES_MAX,
};

/// A command without its line end: bytes that are known to be a single line.
#[derive(Clone, PartialEq, Eq)]
pub struct FtpCommand {
    line: Vec<u8>,
    /// The offset of a path that extends to the end of the line.
    path_at: Option<usize>,
}

impl std::fmt::Debug for FtpCommand {
    /// Shows the verb only: the arguments may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.verb())
    }
}

impl FtpCommand {
    /// Parses a command as written; fails with `invalid` if it would be two commands, or is longer than servers accept.
    pub fn parse(line: impl AsRef<[u8]>) -> Result<Self> {
        let line = line.as_ref();
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(Error::invalid("a command cannot hold a line end or a NUL"));
        }
        if line.is_empty() || line.len() > COMMAND_BYTES_MAX {
            return Err(Error::invalid(format!("a command of {} bytes", line.len())));
        }
        Ok(Self::plain(line.to_vec()))
    }

    /// Returns a command of `verb` alone.
    pub fn bare(verb: &'static str) -> Self {
        Self::plain(verb.as_bytes().to_vec())
    }

    const fn plain(line: Vec<u8>) -> Self {
        Self { line, path_at: None }
    }

    /// Returns a command of `verb` and a path, which never contains a line end. `verb` may include other arguments of
    /// ours before the path.
    pub fn path(verb: &str, path: &RemotePath) -> Self {
        let line = [verb.as_bytes(), b" ", path.as_bytes()].concat();
        Self { line, path_at: Some(verb.len() + 1) }
    }

    /// Returns the command in the path syntax of the server.
    pub(super) fn spelt(&self, syntax: PathSyntax) -> Self {
        let Some((start, path)) = self.path_at.and_then(|at| self.line.split_at_checked(at)) else {
            return self.clone();
        };
        let path = syntax.spell(path);
        let start = if path.is_empty() { start.trim_ascii_end() } else { start };
        Self::plain([start, path.as_slice()].concat())
    }

    /// Returns a command made of our own words and numbers only.
    pub(in crate::ftp) fn from_safe(line: String) -> Self {
        Self::plain(line.into_bytes())
    }

    /// Returns the verb, for messages.
    pub fn verb(&self) -> String {
        let verb = self.line.split(|byte| *byte == b' ').next().unwrap_or_default();
        String::from_utf8_lossy(verb).into_owned()
    }

    /// Returns its bytes on the wire.
    pub(super) fn line(&self) -> Vec<u8> {
        [self.line.as_slice(), b"\r\n"].concat()
    }

    /// Returns the number of bytes on the wire.
    pub(in crate::ftp) fn length(&self) -> usize {
        self.line.len() + 2
    }

    /// Returns true if a 150 or 226 can be the reply to it.
    pub(super) fn moves_data(&self) -> bool {
        let verb = self.verb().to_ascii_uppercase();
        ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD", "ABOR", "STAT", "SITE"]
            .contains(&verb.as_str())
    }

    /// Returns true if it opens a data connection: then the reply may take long, and nothing must be sent meanwhile.
    pub(super) fn transfers(&self) -> bool {
        let verb = self.verb().to_ascii_uppercase();
        ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"].contains(&verb.as_str())
    }

    /// Returns true if `reply` can be the reply to this command: any refusal can, and of the others those that the verb
    /// is known to have.
    pub(super) fn admits(&self, reply: &Reply) -> bool {
        if reply.code >= 400 || self.transfers() {
            return true;
        }
        let ends_with_number = || {
            let text = reply.last_text().trim_ascii();
            text.last().is_some_and(u8::is_ascii_digit)
        };
        match self.verb().to_ascii_uppercase().as_str() {
            "PWD" => reply.code == 257 || reply.is_done() && reply.folder_path().is_some(),
            "SIZE" => reply.code == 213 || reply.is_done() && ends_with_number(),
            "EPSV" => reply.code == 229,
            "PASV" => reply.code == 227,
            "REST" | "RNFR" => reply.is_halfway(),
            "CWD" | "CDUP" | "DELE" | "MKD" | "RMD" | "RNTO" | "TYPE" | "NOOP" | "OPTS"
            | "FEAT" => reply.is_done(),
            _ => true,
        }
    }

    /// Requests the listing of the current directory over the control connection. vsftpd 3.0.3 answers as to `LIST -a`
    /// (measured).
    pub(in crate::ftp) fn list_here() -> Self {
        Self::bare("STAT -a .")
    }

    /// Returns true if its reply is a listing, of any length.
    pub(super) fn lists(&self) -> bool {
        *self == Self::list_here()
    }

    pub(super) fn as_text(&self) -> String {
        LatinText.decode(&self.line)
    }
}
