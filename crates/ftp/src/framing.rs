//! The framing of replies: which lines belong together, and which input is no reply.

use super::mask::Mask;
use portolan_core::{
    limits::{LISTING_BYTES_MAX, REPLY_BYTES_MAX, REPLY_LINES_MAX},
    observe::visible::visible,
};
use portolan_proto::ReplyCode;

/// The framing of replies (RFC 959, 4.2): a line `123-` opens a reply, and only a line `123 ` with the same code ends
/// it.
///
/// Each line is returned in a form that is safe for a reader that ends a reply at *any* line of three digits and a
/// space, as suppaftp does: such a line in the middle gets a leading space, so that banner text cannot forge a reply.
#[derive(Debug, Default)]
pub struct Framing {
    open: Option<ReplyCode>,
    lines: usize,
    bytes: usize,
    /// True if the caller limits the length.
    is_long: bool,
}

/// The role of a line in its reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A blank line between replies, to be ignored.
    Blank,
    /// One of several lines.
    Part(Vec<u8>),
    /// The last line, with the code.
    End(ReplyCode, Vec<u8>),
}

impl Framing {
    /// Allows replies of any length, if the caller limits them, or disallows them again.
    pub const fn set_long(&mut self, is_long: bool) {
        self.is_long = is_long;
    }

    /// Takes the next line, without its line end.
    pub fn take(&mut self, line: &[u8]) -> Result<Framed, Malformed> {
        if line.contains(&0) {
            return Err(Malformed::Nul);
        }
        self.lines += 1;
        self.bytes += line.len();
        if !self.is_long && (self.lines > REPLY_LINES_MAX || self.bytes > REPLY_BYTES_MAX) {
            return Err(Malformed::Endless);
        }
        let code = code_of(line);
        let ends = line.get(3) != Some(&b'-');
        match (self.open, code) {
            (None, None) if line.trim_ascii().is_empty() => {
                *self = Self::default();
                Ok(Framed::Blank)
            }
            (None, None) => Err(Malformed::NoCode(visible(line.get(..80).unwrap_or(line)))),
            (None, Some(code)) if ends => Ok(self.end(code, line)),
            (Some(open), Some(code)) if ends && open == code => Ok(self.end(code, line)),
            (None, Some(code)) => {
                self.open = Some(code);
                Ok(Framed::Part(line.to_vec()))
            }
            (Some(_), _) => {
                let must_hide = line.first().is_some_and(u8::is_ascii_digit);
                let hidden = if must_hide { [b" ", line].concat() } else { line.to_vec() };
                Ok(Framed::Part(hidden))
            }
        }
    }

    fn end(&mut self, code: ReplyCode, line: &[u8]) -> Framed {
        *self = Self::default();
        // `200` without a text would leave a reader waiting for its fourth byte.
        // It reads no tab there either.
        let (digits, text) = line.split_at_checked(3).unwrap_or((line, &[]));
        let line = [digits, b" ", text.get(1..).unwrap_or_default()].concat();
        Framed::End(code, line)
    }
}

/// The lines before a greeting that are no reply: serial-line converters send some.
#[derive(Debug, Default)]
pub struct Junk {
    lines: usize,
}

impl Junk {
    /// Returns true if the greeting may follow after `line`, which is no reply.
    pub fn may_skip(&mut self, line: &[u8]) -> bool {
        /// The maximum number of lines to skip. A protocol that is not FTP may go on forever.
        const LINES_MAX: usize = 8;
        /// The greetings of other protocols.
        const OTHERS: [&[u8]; 7] = [b"SSH-", b"HTTP/", b"+OK", b"* OK", b"RFB ", b"<", b"@RSYNCD"];
        self.lines += 1;
        self.lines <= LINES_MAX && !OTHERS.iter().any(|other| line.starts_with(other))
    }
}

/// The reason why input on a control connection is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A reply that contains a NUL.
    #[error("the server sent a reply with a NUL in it")]
    Nul,
    /// More lines or bytes than any honest server sends.
    #[error(
        "the server sent a reply without end (more than {REPLY_LINES_MAX} lines or {REPLY_BYTES_MAX} bytes)"
    )]
    Endless,
    /// Listings that are larger than any honest server sends.
    #[error(
        "the server sent listings of more than {LISTING_BYTES_MAX} bytes in reply to one packet"
    )]
    EndlessListings,
    /// A line that does not begin with three digits.
    #[error("the server sent \"{0}\", which is no FTP reply: is this an FTP server?")]
    NoCode(String),
}

impl Malformed {
    /// Returns the same error for a line `raw` in which `mask` hides secrets: before it is truncated, since half a
    /// secret is not found.
    pub(super) fn in_words_of(self, mask: &Mask, raw: &[u8]) -> Self {
        match self {
            Self::NoCode(_) => {
                let shown = mask.hide(raw);
                Self::NoCode(visible(shown.get(..80).unwrap_or(&shown)))
            }
            other => other,
        }
    }
}

/// Returns the code that a line begins with, if three digits are followed by a space, a hyphen, a tab or the end of the
/// line.
pub(super) fn code_of(line: &[u8]) -> Option<ReplyCode> {
    let (digits, rest) = line.split_at_checked(3)?;
    let after_is_fine = matches!(rest.first(), None | Some(b' ' | b'-' | b'\t'));
    let code = std::str::from_utf8(digits).ok().filter(|_| after_is_fine)?.parse().ok()?;
    (100..=699).contains(&code).then(|| ReplyCode::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_another_code_does_not_end_a_reply() {
        let mut framing = Framing::default();
        let shown: Vec<_> =
            ["250-Welcome", "257 \"/evil\"", "230 users online", "250 done", "", "200"]
                .iter()
                .map(|line| framing.take(line.as_bytes()).unwrap())
                .collect();
        let part = |text: &str| Framed::Part(text.as_bytes().to_vec());
        let expected = [
            part("250-Welcome"),
            part(" 257 \"/evil\""),
            part(" 230 users online"),
            Framed::End(ReplyCode::FILE_ACTION_OKAY, b"250 done".to_vec()),
            Framed::Blank,
            Framed::End(ReplyCode::OKAY, b"200 ".to_vec()),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_reply_is_named() {
        let mut framing = Framing::default();
        assert_eq!(framing.take(b"220 a\0b"), Err(Malformed::Nul));
        assert!(matches!(framing.take(b"SSH-2.0-x"), Err(Malformed::NoCode(_))));
        assert!(matches!(framing.take(b"20"), Err(Malformed::NoCode(_))));
        assert!(matches!(framing.take(b"999 no"), Err(Malformed::NoCode(_))));
    }

    #[test]
    fn a_reply_without_end_is_refused() {
        let mut framing = Framing::default();
        let error = (0..10_000).find_map(|_| framing.take(b"220-more").err());
        assert_eq!(error, Some(Malformed::Endless));
    }
}
