//! Commands: bytes that are known to be a single line.

use std::{borrow::Cow, fmt::Display, io};

use suppaftp::Encoding;

use crate::{path::RemotePath, path_syntax::PathSyntax, reply::Reply};
use portolan_core::{
    error::{Error, Result},
    limits::COMMAND_BYTES_MAX,
};
use portolan_proto::{ReplyCode, Verb};

/// A one-to-one mapping between suppaftp's text and our bytes: a name passes unchanged, in any encoding.
#[derive(Debug)]
pub(super) struct LatinText;

impl Encoding for LatinText {
    fn decode(&self, bytes: &[u8]) -> String {
        bytes.iter().copied().map(char::from).collect()
    }

    fn encode(&self, text: &str) -> io::Result<Vec<u8>> {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| io::ErrorKind::InvalidInput.into()))
            .collect()
    }
}

/// A command without its line end: bytes that are known to be a single line.
#[derive(Clone, PartialEq, Eq)]
pub struct FtpCommand {
    verb: Verb,
    line: Vec<u8>,
    /// The offset of a path that extends to the end of the line.
    path_at: Option<usize>,
}

impl std::fmt::Debug for FtpCommand {
    /// Shows the verb only: the arguments may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.word())
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
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        Ok(Self { verb: Verb::of_word(word), line: line.to_vec(), path_at: None })
    }

    /// Returns a command of `verb` alone.
    pub fn bare(verb: Verb) -> Self {
        Self { verb, line: verb.as_str().into(), path_at: None }
    }

    /// Returns a command of `verb` and `argument`, which consists of our own words and numbers only.
    pub(crate) fn with(verb: Verb, argument: impl Display) -> Self {
        Self { verb, line: format!("{verb} {argument}").into_bytes(), path_at: None }
    }

    /// Returns a command of `verb` and a path, which never contains a line end.
    pub fn path(verb: Verb, path: &RemotePath) -> Self {
        Self::bare(verb).before(path)
    }

    /// Returns the same command with a path after it.
    pub(crate) fn before(self, path: &RemotePath) -> Self {
        let path_at = self.line.len() + 1;
        let line = [self.line.as_slice(), b" ", path.as_bytes()].concat();
        Self { verb: self.verb, line, path_at: Some(path_at) }
    }

    /// Returns the command in the path syntax of the server.
    fn spelt(&self, syntax: PathSyntax) -> Cow<'_, [u8]> {
        let Some((start, path)) = self.path_at.and_then(|at| self.line.split_at_checked(at)) else {
            return Cow::Borrowed(&self.line);
        };
        let spelt = syntax.spell(path);
        if *spelt == *path {
            return Cow::Borrowed(&self.line);
        }
        let start = if spelt.is_empty() { start.trim_ascii_end() } else { start };
        Cow::Owned([start, &*spelt].concat())
    }

    /// Returns the verb.
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns the verb as it was written, for messages.
    pub(crate) fn word(&self) -> Cow<'_, str> {
        let word = self.line.split(|byte| *byte == b' ').next().unwrap_or_default();
        String::from_utf8_lossy(word)
    }

    /// Returns the number of bytes on the wire.
    pub(crate) fn length(&self) -> usize {
        self.line.len() + 2
    }

    /// Returns true if a 150 or 226 can be the reply to it.
    pub(super) fn moves_data(&self) -> bool {
        self.transfers() || matches!(self.verb, Verb::Abor | Verb::Stat | Verb::Site)
    }

    /// Returns true if it opens a data connection: then the reply may take long, and nothing must be sent meanwhile.
    pub(super) const fn transfers(&self) -> bool {
        self.verb.is_transfer()
    }

    /// Returns true if `reply` can be the reply to this command: any refusal can, and of the others those that the verb
    /// is known to have.
    pub(super) fn admits(&self, reply: &Reply) -> bool {
        if reply.code.class() >= 4 || self.transfers() {
            return true;
        }
        let ends_with_number = || {
            let text = reply.last_text().trim_ascii();
            text.last().is_some_and(u8::is_ascii_digit)
        };
        let is_done = reply.is_done();
        match self.verb {
            Verb::Pwd => {
                reply.code == ReplyCode::PATH_NAME || is_done && reply.folder_path().is_some()
            }
            Verb::Size => reply.code == ReplyCode::FILE_STATUS || is_done && ends_with_number(),
            Verb::Epsv => reply.code == ReplyCode::EXTENDED_PASSIVE_MODE,
            Verb::Pasv => reply.code == ReplyCode::PASSIVE_MODE,
            Verb::Rest | Verb::Rnfr => reply.is_halfway(),
            Verb::Cwd
            | Verb::Cdup
            | Verb::Dele
            | Verb::Mkd
            | Verb::Rmd
            | Verb::Rnto
            | Verb::Type
            | Verb::Noop
            | Verb::Opts
            | Verb::Feat => is_done,
            _ => true,
        }
    }

    /// Requests the listing of the current directory over the control connection. vsftpd 3.0.3 answers as to `LIST -a`
    /// (measured).
    pub(crate) fn list_here() -> Self {
        Self::with(Verb::Stat, "-a .")
    }

    /// Returns true if its reply is a listing, of any length.
    pub(super) fn lists(&self) -> bool {
        *self == Self::list_here()
    }

    pub(super) fn as_text(&self, syntax: PathSyntax) -> String {
        LatinText.decode(&self.spelt(syntax))
    }
}

/// Returns the bytes of `commands` on the wire, in the path syntax of the server.
pub(super) fn lines<'c>(
    commands: impl IntoIterator<Item = &'c FtpCommand>,
    syntax: PathSyntax,
) -> Vec<u8> {
    let mut lines = Vec::new();
    for command in commands {
        lines.extend_from_slice(&command.spelt(syntax));
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
