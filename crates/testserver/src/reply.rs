//! Replies on the control connection.

use std::io;

use portolan_proto::ReplyCode;

/// A reply, as bytes on the wire with its line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerReply(Vec<u8>);

/// The result of a command: both variants are replies, and `?` returns the first refusal.
pub(super) type CommandResult = Result<ServerReply, ServerReply>;

impl ServerReply {
    /// Creates a reply of one line.
    pub(super) fn new(code: ReplyCode, text: impl AsRef<[u8]>) -> Self {
        Self(line(code, b' ', text.as_ref()))
    }

    /// Creates a reply of several lines: those between the first and the last begin with a space.
    pub(super) fn lines(code: ReplyCode, first: &str, between: &[Vec<u8>], last: &str) -> Self {
        let mut wire = line(code, b'-', first.as_bytes());
        for text in between {
            wire.push(b' ');
            wire.extend(on_one_line(text));
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend(line(code, b' ', last.as_bytes()));
        Self(wire)
    }

    /// Creates a reply of bytes that are sent unchanged.
    pub(super) fn exactly(wire: Vec<u8>) -> Self {
        Self(wire)
    }

    /// Converts an error of the file system to a reply.
    pub(super) fn refusal(error: &io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => {
                Self::new(ReplyCode::FILE_UNAVAILABLE, "No such file or directory.")
            }
            ErrorKind::PermissionDenied => {
                Self::new(ReplyCode::FILE_UNAVAILABLE, "Permission denied.")
            }
            ErrorKind::AlreadyExists => Self::new(ReplyCode::FILE_UNAVAILABLE, "File exists."),
            ErrorKind::DirectoryNotEmpty => {
                Self::new(ReplyCode::FILE_UNAVAILABLE, "Directory not empty.")
            }
            ErrorKind::NotADirectory => Self::new(ReplyCode::FILE_UNAVAILABLE, "Not a directory."),
            ErrorKind::IsADirectory => Self::new(ReplyCode::FILE_UNAVAILABLE, "Is a directory."),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::new(ReplyCode::NO_SPACE, "No space left on device.")
            }
            _ => Self::new(ReplyCode::FILE_UNAVAILABLE, "Failed."),
        }
    }

    /// Returns the bytes on the wire.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Appends another reply, to be sent in the same packet.
    #[must_use]
    pub(super) fn then(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Replaces the line ends by those of Unix.
    #[must_use]
    pub(super) fn with_line_feeds(mut self) -> Self {
        self.0.retain(|byte| *byte != b'\r');
        self
    }

    /// Removes the text, unless the text is what the client asked for.
    #[must_use]
    pub(super) fn bare(self) -> Self {
        let says_something = [&b"213"[..], b"215", b"227", b"229", b"257"];
        let code = self.0.get(..3).unwrap_or_default();
        if self.0.get(3) == Some(&b'-') || says_something.contains(&code) {
            return self;
        }
        Self([code, b"\r\n"].concat())
    }
}

impl From<io::Error> for ServerReply {
    fn from(error: io::Error) -> Self {
        Self::refusal(&error)
    }
}

fn line(code: ReplyCode, mark: u8, text: &[u8]) -> Vec<u8> {
    let mut wire = code.to_string().into_bytes();
    wire.push(mark);
    wire.extend(on_one_line(text));
    wire.extend_from_slice(b"\r\n");
    wire
}

/// Escapes bytes that names may contain: line feeds, which vsftpd sends as NUL, and 0xFF, which Telnet wants doubled.
fn on_one_line(text: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\n' => safe.push(0),
            0xff => safe.extend_from_slice(&[0xff, 0xff]),
            _ => safe.push(*byte),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_ftp_wants_it() {
        assert_eq!(
            ServerReply::new(ReplyCode::PATH_NAME, b"\"/a\n\xff\"").wire(),
            b"257 \"/a\0\xff\xff\"\r\n"
        );
        let reply =
            ServerReply::lines(ReplyCode::SYSTEM_STATUS, "Features:", &[b"SIZE".to_vec()], "End");
        assert_eq!(reply.wire(), b"211-Features:\r\n SIZE\r\n211 End\r\n");
    }

    #[test]
    fn a_bare_reply_keeps_what_was_asked_for() {
        assert_eq!(ServerReply::new(ReplyCode::OKAY, "Fine.").bare().wire(), b"200\r\n");
        assert_eq!(ServerReply::new(ReplyCode::FILE_STATUS, "17").bare().wire(), b"213 17\r\n");
    }
}
