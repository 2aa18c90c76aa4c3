//! File names as other file systems and servers treat them: several names for one file, or a name other than the one
//! requested.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

use super::reply::ServerReply;
use portolan_proto::ReplyCode;

/// The characters that Windows does not allow in names.
const NOT_ON_WINDOWS: &str = "<>:\"|?*";
/// The names that Windows reserves for devices, with any extension.
const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];

/// A way in which a server treats names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Keeps the case of a name, and treats names that differ only in case as one.
    FoldCase,
    /// The same, and an existing entry keeps its first spelling when it is renamed to another.
    FirstSpelling,
    /// Stores names in lower case.
    LowerCase,
    /// Stores names in upper case.
    UpperCase,
    /// Like NTFS behind IIS: folds case, drops dots and spaces at the end, and stores `_` for characters that are not
    /// allowed.
    Windows,
    /// Like Win32 itself: folds case, drops dots and spaces at the end, and refuses names that are invalid there.
    WindowsStrict,
    /// Stores names in composed form (NFC), and finds them in any form.
    Composed,
    /// Like APFS: keeps the form of a name, and treats names that differ only in form as one.
    FoldForm,
    /// Like HFS+: stores names in decomposed form (NFD), and finds them in any form.
    Decomposed,
    /// Stores a space for each `+`.
    PlusBlank,
    /// Drops `?` and everything behind it, as servers behind a web form do.
    DropQuery,
    /// Stores `_` for spaces, `+`, `#`, `%` and every byte that is not ASCII.
    Underscores,
    /// Like FAT: stores upper case, eight characters and up to three more behind a dot.
    EightThree,
    /// Refuses names that begin with a dot.
    NoDots,
    /// Stores at most this many bytes of a name, without splitting a character.
    Cut(u64),
}

impl Naming {
    /// Returns the name under which `name` is stored.
    pub(super) fn stored(self, name: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(name) else { return name.to_vec() };
        let stored = match self {
            Self::FoldCase | Self::FirstSpelling | Self::FoldForm | Self::NoDots => text.to_owned(),
            Self::LowerCase => text.to_lowercase(),
            Self::UpperCase => text.to_uppercase(),
            Self::WindowsStrict => text.trim_end_matches(['.', ' ']).to_owned(),
            Self::Composed => composed(text),
            Self::Underscores => text.bytes().map(plain).collect(),
            Self::EightThree => eight_three(text),
            Self::Windows => {
                let text = text.trim_end_matches(['.', ' ']);
                text.replace(|c| NOT_ON_WINDOWS.contains(c), "_")
            }
            Self::Decomposed => {
                DecomposingNormalizerBorrowed::new_nfd().normalize(text).into_owned()
            }
            Self::PlusBlank => text.replace('+', " "),
            Self::DropQuery => text.split('?').next().unwrap_or_default().to_owned(),
            Self::Cut(bytes) => {
                let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(text.len());
                let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                text.get(..end).unwrap_or_default().to_owned()
            }
        };
        stored.into_bytes()
    }

    /// Returns the key that equivalent names share.
    pub(super) fn key(self, name: &[u8]) -> Vec<u8> {
        let stored = self.stored(name);
        match (self, std::str::from_utf8(&stored)) {
            (
                Self::FoldCase | Self::FirstSpelling | Self::Windows | Self::WindowsStrict,
                Ok(text),
            ) => text.to_uppercase().to_lowercase().into_bytes(),
            (Self::Decomposed | Self::FoldForm, Ok(text)) => composed(text).into_bytes(),
            _ => stored,
        }
    }

    /// Returns the reply to a name that is refused.
    pub(super) fn refusal(self, name: &[u8]) -> Option<ServerReply> {
        match self {
            Self::NoDots if name.starts_with(b".") => Some(ServerReply::new(
                ReplyCode::BAD_FILE_NAME,
                [b"Prohibited file name: ", name].concat(),
            )),
            Self::WindowsStrict if !is_on_windows(name) => {
                let text = "The filename, directory name, or volume label syntax is incorrect.";
                Some(ServerReply::new(ReplyCode::FILE_UNAVAILABLE, text))
            }
            _ => None,
        }
    }

    /// Returns true if a rename to another spelling of the same name keeps the old one.
    pub(super) const fn keeps_spelling(self) -> bool {
        matches!(self, Self::FirstSpelling | Self::FoldForm)
    }
}

fn composed(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

/// Returns true if Win32 accepts it as a name.
fn is_on_windows(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let is_bad = |c: char| c < ' ' || NOT_ON_WINDOWS.contains(c);
    let stem = text.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let is_port = port.is_some_and(|port| matches!(port.as_bytes(), [b'1'..=b'9']));
    !text.contains(is_bad) && !is_port && !DEVICES.contains(&stem.as_str())
}

/// Shortens a name: `long-name.html` to `LONG-NAM.HTM`.
fn eight_three(text: &str) -> String {
    let upper = text.to_uppercase();
    let (stem, end) =
        upper.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).unwrap_or((&upper, ""));
    let stem: String = stem.chars().map(|c| if c == '.' { '_' } else { c }).take(8).collect();
    let end: String = end.chars().take(3).collect();
    if end.is_empty() { stem } else { format!("{stem}.{end}") }
}

const fn plain(byte: u8) -> char {
    if matches!(byte, b' ' | b'+' | b'#' | b'%') || !byte.is_ascii() { '_' } else { byte as char }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_as_the_server_has_it() {
        for (naming, name, stored) in [
            (Naming::FoldCase, "Ab", "Ab"),
            (Naming::LowerCase, "ÄB.TXT", "äb.txt"),
            (Naming::Windows, "a:b?. .", "a_b_"),
            (Naming::Decomposed, "\u{e9}", "e\u{301}"),
            (Naming::PlusBlank, "a+b", "a b"),
            (Naming::DropQuery, "a.php?x=1", "a.php"),
            (Naming::Cut(2), "aé", "a"),
            (Naming::UpperCase, "straße", "STRASSE"),
            (Naming::WindowsStrict, "report. .", "report"),
            (Naming::Composed, "e\u{301}", "\u{e9}"),
            (Naming::EightThree, "long-name.html", "LONG-NAM.HTM"),
            (Naming::EightThree, ".htaccess", "_HTACCES"),
            (Naming::EightThree, "a.b.c", "A_B.C"),
            (Naming::Underscores, "a b+é.txt", "a_b___.txt"),
        ] {
            assert_eq!(naming.stored(name.as_bytes()), stored.as_bytes(), "{naming:?}");
        }
        assert_eq!(Naming::LowerCase.stored(b"\xe9A"), b"\xe9A");
    }

    #[test]
    fn names_that_are_one_share_a_key() {
        for (naming, one, other, is_one) in [
            (Naming::FoldCase, "STRASSE", "straße", true),
            (Naming::FoldCase, "a.", "a", false),
            (Naming::Windows, "A.", "a", true),
            (Naming::Decomposed, "\u{e9}", "e\u{301}", true),
            (Naming::Decomposed, "A", "a", false),
            (Naming::Cut(3), "abcd", "abce", true),
            (Naming::FirstSpelling, "A", "a", true),
            (Naming::FoldForm, "\u{e9}", "e\u{301}", true),
            (Naming::FoldForm, "A", "a", false),
        ] {
            let is_same = naming.key(one.as_bytes()) == naming.key(other.as_bytes());
            assert_eq!(is_same, is_one, "{naming:?} {one} {other}");
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for (naming, name, is_refused) in [
            (Naming::WindowsStrict, "con.txt", true),
            (Naming::WindowsStrict, "COM7", true),
            (Naming::WindowsStrict, "COM77", false),
            (Naming::WindowsStrict, "a:b", true),
            (Naming::WindowsStrict, "console", false),
            (Naming::Windows, "con.txt", false),
            (Naming::NoDots, ".htaccess", true),
            (Naming::NoDots, "a.b", false),
        ] {
            assert_eq!(naming.refusal(name.as_bytes()).is_some(), is_refused, "{naming:?} {name}");
        }
    }
}
