//! Names as other file systems and servers have them: more than one name for one file, or another name than was asked for.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// Characters that no name has on Windows.
const NOT_ON_WINDOWS: &str = "<>:\"|?*";

/// A way in which a server treats names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Keeps the case of a name, and takes two names that differ in case for one.
    FoldCase,
    /// Stores names in lower case.
    LowerCase,
    /// Like NTFS behind IIS: folds case, drops dots and blanks at the end, and stores `_` for characters that no name has.
    Windows,
    /// Like HFS+: stores names in decomposed form (NFD), and finds them in any form.
    Decomposed,
    /// Stores a blank for each `+`.
    PlusBlank,
    /// Drops `?` and everything behind it, as servers behind a web form do.
    DropQuery,
    /// Stores at most so many bytes of a name, less those of a character that does not fit.
    Cut(u64),
}

impl Naming {
    /// The name under which `name` is stored.
    pub(super) fn stored(self, name: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(name) else { return name.to_vec() };
        let stored = match self {
            Self::FoldCase => text.to_owned(),
            Self::LowerCase => text.to_lowercase(),
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

    /// The value that two names share which are one.
    pub(super) fn key(self, name: &[u8]) -> Vec<u8> {
        let stored = self.stored(name);
        match (self, std::str::from_utf8(&stored)) {
            (Self::FoldCase | Self::Windows, Ok(text)) => {
                text.to_uppercase().to_lowercase().into_bytes()
            }
            (Self::Decomposed, Ok(text)) => {
                ComposingNormalizerBorrowed::new_nfc().normalize(text).as_bytes().to_vec()
            }
            _ => stored,
        }
    }
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
        ] {
            let is_same = naming.key(one.as_bytes()) == naming.key(other.as_bytes());
            assert_eq!(is_same, is_one, "{naming:?} {one} {other}");
        }
    }
}
