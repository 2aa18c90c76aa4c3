//! Masks credentials in what a server sends: a server may repeat a password in any reply.
//!
//! Replies are masked when their words are read, so that errors, events, history, hooks and webhooks never contain
//! them.
//! - A secret of four bytes or more is masked wherever it occurs, in any case, also with any of its bytes written as
//!   `%41`, with quotes doubled or escaped by backslashes, in hexadecimal, and in Base64 (alone or within more).
//! - A shorter one, one that equals the user name, and the password of an anonymous login is masked in the replies to
//!   the login only, and only as a whole word: it is no secret, or it occurs in half of all texts.
//!
//! What a server sends as data (names of files, the directory in the reply to PWD) is left unchanged, since it is
//! needed.

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};

use super::secret::Secret;
use portolan_core::encoding::to_hex;

/// The length in bytes of the shortest secret that is masked everywhere: shorter ones occur in half of all texts by
/// chance.
const LENGTH_MIN: usize = 4;
/// The length in bytes of the shortest piece of Base64 or hexadecimal that is taken for a secret: shorter ones are
/// words.
const CODED_LENGTH_MIN: usize = 6;
/// The replacement for a secret.
const STARS: &[u8] = b"***";

/// The secrets of one session, in every form in which a server may repeat them. Its debug output shows none of them.
#[derive(Clone, Default)]
pub(super) struct Mask(Arc<Forms>);

#[derive(Default)]
struct Forms {
    /// The secrets that are masked wherever they occur.
    whole: Vec<Vec<u8>>,
    /// The pieces that every encoding of a secret contains, whatever surrounds it.
    coded: Vec<Vec<u8>>,
    /// The secrets that are masked as whole words.
    words: Vec<Vec<u8>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// Replies are compared without regard to their masks.
impl PartialEq for Mask {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Mask {}

impl Mask {
    /// Returns the mask for the replies to the login of `user`, with the `password` and `others`.
    pub(super) fn at_login<'s>(
        user: &str,
        password: Option<&'s Secret>,
        others: impl Iterator<Item = &'s Secret>,
    ) -> Self {
        let is_open = user.eq_ignore_ascii_case("anonymous") || user == "ftp";
        let others = others.map(|secret| (secret, false));
        let secrets = password.into_iter().map(|secret| (secret, is_open)).chain(others);
        let secrets = secrets.map(|(secret, is_open)| (secret.reveal(), is_open));
        let mut forms = Forms::default();
        for (secret, is_open) in secrets.filter(|(secret, _)| !secret.is_empty()) {
            let is_plain =
                secret.len() < LENGTH_MIN || secret == user || is_open && secret.contains('@');
            if is_plain {
                forms.words.push(secret.as_bytes().to_vec());
            } else {
                forms.add_text(secret);
            }
        }
        Self(Arc::new(forms))
    }

    /// Returns the mask for the replies to a login with `secret` alone.
    pub(super) fn of(secret: &Secret) -> Self {
        let mut forms = Forms::default();
        if secret.reveal().len() < LENGTH_MIN {
            forms.words.push(secret.reveal().as_bytes().to_vec());
        } else {
            forms.add_text(secret.reveal());
        }
        forms.words.retain(|word| !word.is_empty());
        Self(Arc::new(forms))
    }

    /// Returns the mask for all replies after the login.
    #[must_use]
    pub(super) fn after_login(&self) -> Self {
        let Forms { whole, coded, .. } = self.0.as_ref();
        Self(Arc::new(Forms { whole: whole.clone(), coded: coded.clone(), words: Vec::new() }))
    }

    /// Returns `text` with `***` in place of each secret.
    pub(super) fn hide(&self, text: &[u8]) -> Vec<u8> {
        let mut shown: Vec<u8> = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            if let Some(length) = self.length_at(text, at) {
                shown.extend_from_slice(STARS);
                at += length;
            } else if self.0.coded.iter().any(|piece| rest.starts_with(piece)) {
                // The whole word is masked: the characters around a piece of Base64 contain some bits of the secret.
                let before = shown.iter().rev().take_while(|byte| is_coding(**byte)).count();
                shown.truncate(shown.len() - before);
                shown.extend_from_slice(STARS);
                at += rest.iter().take_while(|byte| is_coding(**byte)).count().max(1);
            } else {
                shown.extend(rest.first());
                at += 1;
            }
        }
        shown
    }

    /// Returns `text`, which is already printable, with `***` in place of each secret.
    pub(super) fn hide_in(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned()
    }

    /// Returns the length in bytes of the secret at offset `at` of `text`, if there is one.
    fn length_at(&self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        let whole = self.0.whole.iter().filter_map(|secret| length_of(secret, rest)).max();
        let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let words = self.0.words.iter().filter(|word| {
            rest.starts_with(word) && !is_word(before) && !is_word(rest.get(word.len()))
        });
        whole.max(words.map(Vec::len).max())
    }
}

impl Forms {
    fn add_text(&mut self, secret: &str) {
        self.add(secret.as_bytes());
        // A server with Latin-1 names may repeat it in that encoding.
        let latin1: Option<Vec<u8>> =
            secret.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        if let Some(latin1) = latin1.filter(|_| !secret.is_ascii()) {
            self.add(&latin1);
        }
    }

    fn add(&mut self, secret: &[u8]) {
        self.whole.push(secret.to_vec());
        let hexadecimal = to_hex(secret);
        let mut coded = vec![hexadecimal.clone().into_bytes(), hexadecimal.to_uppercase().into()];
        // Three bytes are four letters, so the encoding of a secret depends on the number of bytes before it.
        for before in 0..3 {
            let padded = [vec![0; before].as_slice(), secret].concat();
            let first = (before * 8).div_ceil(6);
            let last = padded.len() * 8 / 6;
            for text in
                [BASE64_STANDARD_NO_PAD.encode(&padded), BASE64_URL_SAFE_NO_PAD.encode(&padded)]
            {
                coded.extend(text.as_bytes().get(first..last).map(<[u8]>::to_vec));
            }
        }
        // The complete encoding of a short secret, with the last letter that has only some of its bits.
        coded.push(BASE64_STANDARD_NO_PAD.encode(secret).into());
        coded.retain(|piece| piece.len() >= CODED_LENGTH_MIN && !self.coded.contains(piece));
        coded.dedup();
        self.coded.extend(coded);
    }
}

const fn is_coding(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// Returns the number of bytes at the beginning of `text` that represent `secret`, in any notation of its bytes.
///
/// Two backslashes are one that is escaped, or two: every reading is followed, and the longest one counts.
fn length_of(secret: &[u8], text: &[u8]) -> Option<usize> {
    let mut ends = vec![0];
    for byte in secret {
        ends = ends
            .into_iter()
            .flat_map(|end| {
                lengths(*byte, text.get(end..).unwrap_or_default()).map(move |length| end + length)
            })
            .collect();
        ends.sort_unstable();
        ends.dedup();
        if ends.is_empty() {
            return None;
        }
    }
    ends.last().copied()
}

/// Returns the possible numbers of bytes at the beginning of `text` that represent `byte`.
fn lengths(byte: u8, text: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let plain = match text {
        [b'+', ..] if byte == b' ' => Some(1),
        [first, ..] if first.eq_ignore_ascii_case(&byte) => Some(1),
        _ => None,
    };
    let written = match text {
        [b'%', high, low, ..]
            if digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low) == Some(byte) =>
        {
            Some(3)
        }
        // `"` as `""` or `\"`; 0xFF doubled for Telnet.
        [first, second, ..]
            if *second == byte
                && (*first == b'\\' && matches!(byte, b'"' | b'\'' | b'\\')
                    || *first == byte && matches!(byte, b'"' | 0xff)) =>
        {
            Some(2)
        }
        _ => None,
    };
    plain.into_iter().chain(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(user: &str, password: &str) -> Mask {
        Mask::at_login(user, Some(&Secret::new(password)), std::iter::empty())
    }

    #[test]
    fn a_secret_is_masked_in_every_form_in_which_a_server_may_repeat_it() {
        for (password, text, shown) in [
            ("hunter2!", "550 hunter2! no", "550 *** no"),
            ("hunter2!", "HUNTER2! and hunter2%21,%68unter2!", "*** and ***,***"),
            ("a b:c@d", "is a%20b%3ac%40d or a+b:c@d", "is *** or ***"),
            ("sa\"y", "as \"sa\"\"y\" or sa\\\"y.", "as \"***\" or ***."),
            ("hunter2", "x 68756e74657232 y", "x *** y"),
            ("hunter2", "basic aHVudGVyMg== or bWU6aHVudGVyMg==", "basic *** or ***"),
            ("hunter2", "plain AG1lAGh1bnRlcjI=", "plain ***"),
            ("gr\u{fc}n\u{fc}", "gr\u{fc}n\u{fc}", "***"),
            ("hunter2", "hunter hunter3 unter2", "hunter hunter3 unter2"),
            (r"ab\\c", r"ab\\c and ab\\%5Cc and ab\\\\c", "*** and *** and ***"),
            ("%41bc", "%41bc and %2541bc", "*** and ***"),
            ("ab\"\"c", "ab\"\"c and ab\"\"\"\"c", "*** and ***"),
        ] {
            let masked = mask("me", password).after_login().hide_in(text);
            assert_eq!(masked, shown, "{password}: {text}");
        }
        assert_eq!(mask("me", "grün").after_login().hide(b"gr\xfcn."), b"***.");
    }

    #[test]
    fn what_is_no_secret_is_masked_in_replies_to_the_login_alone_and_as_a_word() {
        for (user, password, text, at_login) in [
            ("me", "me", "me has no home", "*** has no home"),
            ("deploy", "deploy", "/srv/deploy/deployed", "/srv/***/deployed"),
            ("me", "x", "x-ray of x", "***-ray of ***"),
            ("anonymous", "anna@example.org", "hello anna@example.org", "hello ***"),
            ("ftp", "ftp", "ftp on sftp", "*** on sftp"),
        ] {
            let mask = mask(user, password);
            assert_eq!(mask.hide_in(text), at_login);
            assert_eq!(mask.after_login().hide_in(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_gets_through(
            password in "[ -~]{6,20}",
            before in "[ -~]{0,9}",
            after in "[ -~]{0,9}",
            encoded in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let mask = mask("someone else", &password).after_login();
            let percent: String = password
                .bytes()
                .zip(&encoded)
                .map(|(byte, encode)| {
                    if *encode { format!("%{byte:02X}") } else { char::from(byte).to_string() }
                })
                .collect();
            for form in [password.clone(), percent.clone()] {
                let hidden = mask.hide_in(&format!("{before}\u{1}{form}\u{1}{after}"));
                prop_assert!(!hidden.contains(&password), "{hidden}");
                prop_assert!(hidden.contains("***"), "{hidden}");
            }
            let whole = format!("{before}{password}{after}");
            let coded = BASE64_STANDARD_NO_PAD.encode(&whole);
            prop_assert_eq!(mask.hide_in(&format!("550 {coded} no")), "550 *** no");
        }

        #[test]
        fn any_bytes_are_masked_without_harm(
            password in ".{0,8}",
            text in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let hidden = mask("me", &password).hide(&text);
            prop_assert!(hidden.len() <= text.len() * 3 + 3);
        }
    }
}
