//! Replies: the meaning of their codes, and the content of their texts.

use std::net::Ipv4Addr;

use super::{framing::code_of, mask::Mask, telnet::escape_iac};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result, codes::TLS_REQUIRED},
    observe::visible::visible,
};
use portolan_proto::ReplyCode;

/// A complete reply: its code and its lines, as the server sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three digits of its last line.
    pub code: ReplyCode,
    /// All lines, each ended by CRLF, codes included.
    pub raw: Vec<u8>,
    /// The mask that hides secrets in its words.
    pub(super) mask: Mask,
}

impl Reply {
    /// Parses the reply with the lines `raw`; the code is that of the last line.
    pub fn new(raw: Vec<u8>) -> Result<Self> {
        let last = lines(&raw).last().unwrap_or_default();
        let code = code_of(last).ok_or_else(|| {
            Error::protocol(format!("a reply without a code: \"{}\"", visible(last)))
        })?;
        Ok(Self { code, raw, mask: Mask::default() })
    }

    /// Returns the same reply, with a mask for its words.
    #[must_use]
    pub(super) fn masked(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }

    /// Returns true for 1yz: the transfer begins, another reply follows (RFC 959, 4.2.1).
    pub const fn is_preliminary(&self) -> bool {
        self.code.is_preliminary()
    }

    /// Returns true for 2yz: completion.
    pub const fn is_done(&self) -> bool {
        self.code.is_completion()
    }

    /// Returns true for 3yz: the server expects the next command of a sequence.
    pub const fn is_halfway(&self) -> bool {
        self.code.is_intermediate()
    }

    /// Returns the size in a reply to SIZE (RFC 3659, 4).
    pub fn size(&self) -> Option<u64> {
        if self.code == ReplyCode::FILE_STATUS { self.number() } else { None }
    }

    /// Returns the text without codes and without secrets, on one line, safe to show.
    pub fn text(&self) -> String {
        let texts: Vec<_> = lines(&self.raw)
            .map(|line| {
                let skip = if code_of(line).is_some() { 4 } else { 0 };
                let text = line.get(skip..).unwrap_or_default();
                visible(self.mask.hide(text.trim_ascii()))
            })
            .filter(|text| !text.is_empty())
            .collect();
        texts.join(" / ")
    }

    /// Returns the text of the last line in printable form; secrets are not masked.
    pub fn text_of_last(&self) -> String {
        visible(self.last_text())
    }

    /// Returns code and text: the server's words.
    pub fn words(&self) -> String {
        format!("{} {}", self.code, self.text()).trim_end().to_owned()
    }

    /// Returns the reply itself if it is a completion, else its error.
    pub fn done(self) -> Result<Self> {
        if self.is_done() { Ok(self) } else { Err(self.fault()) }
    }

    /// Returns the error of a refusal: 4yz is temporary, 5yz is permanent (RFC 959, 4.2.1). For 550 it is unknown
    /// whether the file is missing or forbidden, since servers use it for both: it is `refused` until there is
    /// evidence.
    pub fn fault(&self) -> Error {
        let kind = match self.code {
            ReplyCode::CANNOT_OPEN_DATA | ReplyCode::TRANSFER_ABORTED => ErrorKind::DataConnection,
            ReplyCode::NO_SPACE | ReplyCode::QUOTA_EXCEEDED => ErrorKind::Full,
            code if code.concerns_login() => ErrorKind::Denied,
            code if code.is_transient() => ErrorKind::Busy,
            ReplyCode::UNKNOWN_COMMAND
            | ReplyCode::NOT_IMPLEMENTED
            | ReplyCode::NOT_IMPLEMENTED_FOR => ErrorKind::Unsupported,
            code if code.concerns_protection() => ErrorKind::Tls,
            code if code.is_permanent() => ErrorKind::Refused,
            _ => ErrorKind::Protocol,
        };
        let message = match kind {
            ErrorKind::Protocol => format!("unexpected reply \"{}\"", self.words()),
            _ => format!("the server said \"{}\"", self.words()),
        };
        let error = Error { code: self.code.value(), ..Error::new(kind, Origin::Server, message) };
        let may_want_tls = matches!(
            kind,
            ErrorKind::Refused | ErrorKind::Busy | ErrorKind::Tls | ErrorKind::DataConnection
        );
        if may_want_tls && self.demands_encryption() {
            error.with_name(TLS_REQUIRED)
        } else {
            error
        }
    }

    /// Returns true if a refusal of a command or a transfer says in so many words that it must be encrypted. Some servers
    /// require it for the data only.
    fn demands_encryption(&self) -> bool {
        const WORDS: [&str; 5] =
            ["must be encrypted", "encryption", "tls required", "ssl required", "requires tls"];
        let words = self.text().to_ascii_lowercase();
        WORDS.iter().any(|wanted| words.contains(wanted))
    }

    /// Returns true if the refusal of a login means that the server accepts no further session now: 421, or the words of
    /// servers that say so by 530 (ProFTPD with `MaxClientsPerUser`, IIS, Serv-U).
    pub(crate) fn refuses_session(&self) -> bool {
        const WORDS: [&str; 8] = [
            "too many",
            "maximum",
            "already connected",
            "already logged in",
            "connection limit",
            "session limit",
            "connections allowed",
            "simultaneous",
        ];
        /// The words of servers that lock an account after wrong passwords.
        const NOT: [&str; 4] = ["fail", "attempt", "incorrect", "password"];
        let words = self.text().to_ascii_lowercase();
        let says = |all: &[&str]| all.iter().any(|word| words.contains(word));
        self.code == ReplyCode::SERVICE_UNAVAILABLE
            || (self.code == ReplyCode::NOT_LOGGED_IN && says(&WORDS) && !says(&NOT))
    }

    /// Returns true if a refusal says that the server requires TLS.
    pub fn wants_tls(&self) -> bool {
        const WORDS: [&str; 8] = [
            "tls",
            "ssl",
            "ftps",
            "ftpes",
            "encrypt",
            "secure connection",
            "secure channel",
            "secured connection",
        ];
        /// The words of servers that do not support TLS.
        const NOT: [&str; 4] = ["not support", "not available", "unsupported", "disabled"];
        let words = self.text().to_ascii_lowercase();
        let says = |all: &[&str]| all.iter().any(|word| words.contains(word));
        self.code.class() >= 4 && says(&WORDS) && !says(&NOT)
    }

    /// Returns true if a refusal says that the data connection came from another address than the control connection.
    pub fn sees_two_addresses(words: &str) -> bool {
        const WHAT: [&str; 5] = ["ip", "address", "host", "peer", "client"];
        const HOW: [&str; 12] = [
            "bad ip",
            "mismatch",
            "differ",
            "not match",
            "n't match",
            "another",
            "wrong",
            "foreign",
            "hijack",
            "theft",
            "stealing",
            "not the same",
        ];
        let words = words.to_ascii_lowercase();
        let mut parts = words.split(|c: char| !c.is_ascii_alphanumeric());
        parts.any(|part| {
            WHAT.iter().any(|what| {
                part.strip_prefix(what).is_some_and(|rest| ["", "s", "es"].contains(&rest))
            })
        }) && HOW.iter().any(|how| words.contains(how))
    }

    /// Returns the quoted path of a 257 reply, with doubled quotes undone (RFC 959, appendix II).
    pub fn quoted_path(&self) -> Option<Vec<u8>> {
        let line = lines(&self.raw).last()?;
        let mut rest = line.get(line.iter().position(|byte| *byte == b'"')? + 1..)?;
        let mut path = Vec::new();
        loop {
            match rest {
                [b'"', b'"', after @ ..] => {
                    path.push(b'"');
                    rest = after;
                }
                [b'"', ..] => break,
                [byte, after @ ..] => {
                    path.push(*byte);
                    rest = after;
                }
                [] => return None,
            }
        }
        // A path with a control character must not be sent back (curl's tests 3217 and 3218).
        (!path.iter().any(u8::is_ascii_control)).then_some(path)
    }

    /// Returns the directory in the reply to PWD, in any form: quoted as it should be (RFC 959, appendix II), or bare,
    /// with backslashes instead of slashes, or with another code than 257. `None` if it cannot be determined for
    /// certain.
    pub fn folder_path(&self) -> Option<Vec<u8>> {
        if !self.is_done() {
            return None;
        }
        let path = self.quoted_path().or_else(|| bare_path(self.last_text().trim_ascii()))?;
        if path.is_empty() || path.iter().any(u8::is_ascii_control) {
            return None;
        }
        // Guardian begins the names of its systems with a backslash, and those of volumes with a dollar sign.
        let is_guardian = path.windows(2).any(|two| two == b".$");
        let is_windows = path.starts_with(b"\\") && !is_guardian || has_drive(&path);
        if is_windows && !path.contains(&b'/') {
            return Some(
                path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect(),
            );
        }
        Some(path)
    }

    /// Returns true if a 257 reply names the directory `path`, in any spelling: Pure-FTPd does not double quotes, and
    /// vsftpd doubles the byte 0xFF.
    pub fn names(&self, path: &[u8]) -> bool {
        let bare = |path: &[u8]| {
            let rest =
                self.last_text().strip_prefix(b"\"").and_then(|rest| rest.strip_prefix(path));
            rest.is_some_and(|rest| rest == b"\"" || rest.starts_with(b"\" "))
        };
        let is_named = |path: &[u8]| self.quoted_path().as_deref() == Some(path) || bare(path);
        is_named(path) || path.contains(&0xff) && is_named(&escape_iac(path))
    }

    /// Returns the number in a 213 reply to SIZE, if the text is a single number.
    pub fn number(&self) -> Option<u64> {
        std::str::from_utf8(self.last_text().trim_ascii()).ok()?.parse().ok()
    }

    /// Returns the text of the last line after its code.
    pub fn last_text(&self) -> &[u8] {
        lines(&self.raw).last().and_then(|line| line.get(4..)).unwrap_or_default()
    }

    /// Returns the lines between the first and the last: features, facts.
    pub fn inner_lines(&self) -> impl Iterator<Item = &[u8]> {
        let count = lines(&self.raw).count();
        lines(&self.raw).take(count.saturating_sub(1)).skip(1)
    }

    /// Returns the port of a 229 reply, `(|||6446|)` (RFC 2428, 3), with any printable delimiter.
    pub fn extended_passive_port(&self) -> Option<u16> {
        let text = self.last_text();
        let start = text.iter().position(|byte| *byte == b'(')? + 1;
        let inner = text.get(start..)?;
        let inner = inner.get(..inner.iter().position(|byte| *byte == b')')?)?;
        let delimiter = *inner.first().filter(|byte| (33..=126).contains(*byte))?;
        let fields: Vec<_> = inner.split(|byte| *byte == delimiter).collect();
        let [b"", _, _, port, b""] = fields.as_slice() else { return None };
        std::str::from_utf8(port).ok()?.parse().ok().filter(|port| *port != 0)
    }

    /// Returns address and port of a 227 reply: the first six numbers separated by commas, with or without parentheses.
    pub fn passive_address(&self) -> Option<(Ipv4Addr, u16)> {
        let text = self.last_text();
        let mut runs = text
            .split(|byte| !byte.is_ascii_digit() && !matches!(byte, b',' | b' '))
            .filter(|run| run.contains(&b','));
        let run = std::str::from_utf8(runs.next()?).ok()?;
        let numbers: Vec<u8> =
            run.trim().split(',').map(|field| field.trim().parse().ok()).collect::<Option<_>>()?;
        let [a, b, c, d, high, low] = *numbers.as_slice() else { return None };
        let port = u16::from_be_bytes([high, low]);
        (port != 0).then_some((Ipv4Addr::new(a, b, c, d), port))
    }
}

/// Returns an unquoted path: the text up to the words about the path, or the last word. `None` for a path with a blank,
/// which may as well be the first of those words.
fn bare_path(text: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&str; 6] = [" is ", " - ", " (", " as current", " current", " selected"];
    let text = text.strip_prefix(b"\"").or_else(|| text.strip_prefix(b"'")).unwrap_or(text);
    let begins = |text: &[u8]| text.starts_with(b"/") || text.starts_with(b"\\") || has_drive(text);
    let path = if begins(text) {
        let end = WORDS.iter().filter_map(|words| {
            text.windows(words.len()).position(|part| part.eq_ignore_ascii_case(words.as_bytes()))
        });
        text.get(..end.min().unwrap_or(text.len()))?
    } else {
        let last = text.rsplit(|byte| *byte == b' ').next()?;
        let last = last.strip_suffix(b".").unwrap_or(last);
        let last = last.strip_prefix(b"'").unwrap_or(last);
        Some(last).filter(|last| begins(last))?
    };
    let path = path.strip_suffix(b"'").unwrap_or(path);
    (!path.contains(&b' ') && !path.contains(&b'"')).then(|| path.to_vec())
}

/// The reply that caused an error.
pub(crate) trait CausedByReply {
    /// Returns the code of the reply that caused it; 0 if there was none.
    fn reply_code(&self) -> ReplyCode;
}

impl CausedByReply for Error {
    fn reply_code(&self) -> ReplyCode {
        ReplyCode::new(self.code)
    }
}

/// Returns true if a path begins with a drive letter: `C:`, `c:\\ftp`, `C:/ftp`.
fn has_drive(path: &[u8]) -> bool {
    matches!(path, [letter, b':'] | [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic())
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn passive_replies_are_read_as_servers_write_them() {
        for (text, found) in [
            ("227 Entering Passive Mode (10,0,0,1,4,1).", Some(([10, 0, 0, 1], 1025))),
            ("227 Entering Passive Mode. 10,0,0,1,4,1", Some(([10, 0, 0, 1], 1025))),
            ("227 =10,0,0,1,4,1", Some(([10, 0, 0, 1], 1025))),
            ("227 (10,0,0,1,0,0)", None),
            ("227 (10,0,0,1216,4,1)", None),
            ("227 (10,0,0,1,4)", None),
            ("227 (10,0,0,1,4,1,7)", None),
            ("227 (10,0,0,1,1000,1)", None),
            ("227 Entering", None),
        ] {
            let address = reply(text).passive_address();
            assert_eq!(address, found.map(|(ip, port)| (Ipv4Addr::from(ip), port)), "{text}");
        }
        for (text, found) in [
            ("229 Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("229 Extended (!!!6446!)", Some(6446)),
            ("229 (|1|10.0.0.1|6446|)", Some(6446)),
            ("229 (|||0|)", None),
            ("229 (|||65536|)", None),
            ("229 (|||6446)", None),
            ("229 |||6446|", None),
            ("229 ()", None),
        ] {
            assert_eq!(reply(text).extended_passive_port(), found, "{text}");
        }
    }

    #[test]
    fn a_quoted_path_is_unquoted_or_refused() {
        for (text, found) in [
            ("257 \"/a b\" is cwd", Some("/a b")),
            ("257 \"/a\"\"b\" created", Some("/a\"b")),
            ("257 text \"/x\"", Some("/x")),
            ("257 \"/never closed", None),
            ("257 /none", None),
            ("257 \"/a\u{3}b\"", None),
        ] {
            assert_eq!(reply(text).quoted_path(), found.map(|path| path.as_bytes().to_vec()));
        }
        let pure = reply("257 \"/a\"b\" is your current location");
        assert!(pure.names(b"/a\"b") && !pure.names(b"/b"));
    }

    #[test]
    fn codes_become_kinds_and_words_become_one_line() {
        for (code, kind) in [
            (421, ErrorKind::Busy),
            (425, ErrorKind::DataConnection),
            (450, ErrorKind::Busy),
            (452, ErrorKind::Full),
            (502, ErrorKind::Unsupported),
            (522, ErrorKind::Tls),
            (530, ErrorKind::Denied),
            (550, ErrorKind::Refused),
            (552, ErrorKind::Full),
            (553, ErrorKind::Refused),
            (220, ErrorKind::Protocol),
        ] {
            assert_eq!(reply(&format!("{code} x")).fault().kind, kind, "{code}");
        }
        assert_eq!(
            reply("550-No\r\n such\x1b[2J\r\n550 file").words(),
            "550 No / such\\u{1b}[2J / file"
        );
        for (line, is_refused) in [
            ("421 Service not available.", true),
            ("530 Sorry, the maximum number of clients (2) for this user already connected.", true),
            ("530 Too many users logged in for this account.", true),
            ("530 Too many failed login attempts.", false),
            ("530 Login incorrect.", false),
            ("550 Too many links.", false),
        ] {
            assert_eq!(reply(line).refuses_session(), is_refused, "{line}");
        }
        assert_eq!(reply("213 file: 213, Size =51").number(), None);
        assert_eq!(reply("213  4096 ").number(), Some(4096));
    }
}
