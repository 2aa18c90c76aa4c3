//! The encoding of names on the server, relative to local names, which are UTF-8.

use encoding_rs::{Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};

/// The labels of Latin-1 proper: each byte is the character of that number. For the web they mean windows-1252.
const LATIN_1: [&str; 3] = ["latin-1", "latin1", "iso-8859-1"];

/// The first character of those that stand for bytes without a character: U+F700 and up, in Unicode's private use area.
const PRIVATE: u32 = 0xF700;

/// The encoding of names on the server, relative to local names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NameEncoding {
    /// The same bytes on both sides: UTF-8.
    #[default]
    Same,
    /// Latin-1 on the server: each byte is the character of that number.
    Latin1,
    /// Another encoding on the server.
    Other(&'static Encoding),
}

impl NameEncoding {
    /// Returns the encoding with that label, one of the WHATWG list or of Latin-1. Fails with `invalid` for another one,
    /// and for those in which a name may contain a slash or a NUL that is none.
    pub fn parse(label: &str) -> Result<Self> {
        let label = label.trim().to_ascii_lowercase();
        if LATIN_1.contains(&label.as_str()) {
            return Ok(Self::Latin1);
        }
        // Code pages have several names, of which the list has some.
        let found = Encoding::for_label(label.as_bytes()).or_else(|| {
            let digits = label.strip_prefix("cp").or_else(|| label.strip_prefix("windows"))?;
            let digits = digits.trim_start_matches(['-', '_']);
            let known = match digits {
                "932" => "shift_jis".to_owned(),
                "936" => "gbk".to_owned(),
                "949" => "euc-kr".to_owned(),
                "950" => "big5".to_owned(),
                "866" => "ibm866".to_owned(),
                digits => format!("windows-{digits}"),
            };
            Encoding::for_label(known.as_bytes())
        });
        match found {
            Some(encoding) if encoding == UTF_8 => Ok(Self::Same),
            Some(encoding)
                if [UTF_16LE, UTF_16BE, REPLACEMENT, ISO_2022_JP].contains(&encoding) =>
            {
                let message = format!(
                    "`encoding` cannot be \"{label}\": in {} the bytes of a name may be those of a slash or a NUL",
                    encoding.name()
                );
                Err(Error::invalid(message))
            }
            Some(encoding) => Ok(Self::Other(encoding)),
            None => Err(Error::invalid(format!(
                "`encoding` wants \"utf-8\", \"latin-1\" or another label of the WHATWG list, such as \"windows-1251\", \
                 \"shift_jis\", \"gbk\", \"big5\", \"euc-kr\" or \"koi8-r\", got \"{}\"",
                visible(&label)
            ))),
        }
    }

    /// Returns the name of the encoding, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "UTF-8",
            Self::Latin1 => "Latin-1",
            Self::Other(encoding) => encoding.name(),
        }
    }

    /// Converts a local name or path to its bytes on the server; fails with `refused` if it has none there, or none that
    /// would be the same name when they come back.
    pub fn encode(self, name: &[u8]) -> Result<Vec<u8>> {
        if self == Self::Same {
            return Ok(name.to_vec());
        }
        let bytes = std::str::from_utf8(name).ok().and_then(|text| self.bytes(text));
        bytes.ok_or_else(|| {
            let encoding = self.name();
            let message =
                format!("its name is not in {encoding}, in which this server's names are");
            Error::new(ErrorKind::Refused, Origin::Here, message).at(visible(name))
        })
    }

    /// Converts a name of the server to its local name; fails with `refused` if it is none in this encoding, or would not
    /// be the same name when it is sent back.
    pub fn decode(self, name: &[u8]) -> Result<Vec<u8>> {
        if self == Self::Same {
            return Ok(name.to_vec());
        }
        self.characters(name).map(String::into_bytes).ok_or_else(|| {
            let encoding = self.name();
            let message =
                format!("its name is not in {encoding}, the encoding that `encoding` names");
            Error::new(ErrorKind::Refused, Origin::Here, message).at(visible(name))
        })
    }

    /// Returns the text of a name for people and scripts. Bytes that are no characters of the encoding are kept one by one,
    /// as characters of the private use area.
    pub fn text(self, name: &[u8]) -> String {
        let hidden = |byte: &u8| char::from_u32(PRIVATE + u32::from(*byte));
        if self != Self::Same {
            let bytewise = |byte: &u8| {
                if byte.is_ascii() { Some(char::from(*byte)) } else { hidden(byte) }
            };
            let text = self.characters(name);
            // One that is such a character itself is kept byte by byte as well.
            let text = text.filter(|text| self == Self::Latin1 || !text.chars().any(is_private));
            return text.unwrap_or_else(|| name.iter().filter_map(bytewise).collect());
        }
        let mut text = String::new();
        for piece in name.utf8_chunks() {
            text.push_str(piece.valid());
            text.extend(piece.invalid().iter().filter_map(hidden));
        }
        text
    }

    /// Returns the bytes of a text that [`text`](Self::text) returns; fails with `invalid` if it has none.
    pub fn bytes_of(self, text: &str) -> Result<Vec<u8>> {
        let hidden = |c: char| u8::try_from(u32::from(c).wrapping_sub(PRIVATE)).ok();
        if self == Self::Latin1 || !text.chars().any(is_private) {
            let bytes = if self == Self::Same { Some(text.into()) } else { self.bytes(text) };
            return bytes.ok_or_else(|| self.foreign(text));
        }
        let mut bytes = Vec::with_capacity(text.len());
        for c in text.chars() {
            match hidden(c) {
                Some(byte) => bytes.push(byte),
                None if self == Self::Same || c.is_ascii() => {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => {
                    let one = self.bytes(c.encode_utf8(&mut [0; 4]));
                    bytes.extend(one.ok_or_else(|| self.foreign(text))?);
                }
            }
        }
        Ok(bytes)
    }

    fn foreign(self, text: &str) -> Error {
        let is_foreign = |c: &char| self.bytes(c.encode_utf8(&mut [0; 4])).is_none();
        let first = text.chars().find(is_foreign).unwrap_or('?');
        let encoding = self.name();
        Error::invalid(format!("`{first}` is not in {encoding}, in which this server's names are"))
            .at(text)
    }

    /// Returns the bytes of a text, if it would be the same when they come back.
    fn bytes(self, text: &str) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Same => return Some(text.as_bytes().to_vec()),
            Self::Latin1 => return text.chars().map(|c| u8::try_from(c).ok()).collect(),
            Self::Other(encoding) => {
                let (bytes, used, has_failed) = encoding.encode(text);
                if has_failed || used != encoding {
                    return None;
                }
                bytes.into_owned()
            }
        };
        (self.raw(&bytes)? == text).then_some(bytes)
    }

    /// Returns the characters of a name, if they would be the same bytes when they are sent back.
    fn characters(self, name: &[u8]) -> Option<String> {
        let text = self.raw(name)?;
        let is_same = match self {
            Self::Other(encoding) => {
                let (bytes, used, has_failed) = encoding.encode(&text);
                !has_failed && used == encoding && *bytes == *name
            }
            Self::Same | Self::Latin1 => true,
        };
        is_same.then_some(text)
    }

    fn raw(self, name: &[u8]) -> Option<String> {
        match self {
            Self::Same => String::from_utf8(name.to_vec()).ok(),
            Self::Latin1 => Some(name.iter().copied().map(char::from).collect()),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(name)?;
                Some(text.into_owned())
            }
        }
    }
}

fn is_private(c: char) -> bool {
    u32::from(c).wrapping_sub(PRIVATE) < 0x100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(label: &str) -> NameEncoding {
        NameEncoding::parse(label).unwrap()
    }

    #[test]
    fn a_name_has_its_bytes_there_and_is_the_same_when_it_comes_back() {
        for (label, here, there) in [
            ("latin-1", "caf\u{e9}", &b"caf\xe9"[..]),
            ("ISO-8859-1", "\u{85}", b"\x85"),
            ("windows-1252", "5\u{20ac}", b"5\x80"),
            ("windows-1251", "\u{41f}\u{440}\u{438}", b"\xcf\xf0\xe8"),
            ("cp1251", "\u{41f}", b"\xcf"),
            ("koi8-r", "\u{41f}", b"\xf0"),
            ("shift_jis", "\u{8868}\u{65e5}.csv", b"\x95\x5c\x93\xfa.csv"),
            ("cp932", "\u{65e5}", b"\x93\xfa"),
            ("gbk", "\u{6587}\u{4ef6}", b"\xce\xc4\xbc\xfe"),
            ("GB18030", "\u{6587}/\u{4ef6}", b"\xce\xc4/\xbc\xfe"),
            ("big5", "\u{6a94}", b"\xc0\xc9"),
            ("euc-kr", "\u{d55c}", b"\xc7\xd1"),
            ("utf8", "\u{65e5}", "\u{65e5}".as_bytes()),
        ] {
            let encoding = named(label);
            assert_eq!(encoding.encode(here.as_bytes()).unwrap(), there, "{label}");
            assert_eq!(encoding.decode(there).unwrap(), here.as_bytes(), "{label}");
            assert_eq!(encoding.text(there), here, "{label}");
            assert_eq!(encoding.bytes_of(here).unwrap(), there, "{label}");
        }
    }

    #[test]
    fn a_name_that_does_not_come_back_the_same_is_refused_by_name() {
        for (label, bad) in [
            ("latin-1", "\u{65e5}".as_bytes()),
            ("latin-1", "\u{20ac}5".as_bytes()),
            ("latin-1", b"caf\xe9"),
            ("windows-1251", "\u{65e5}".as_bytes()),
            ("shift_jis", "\u{a5}".as_bytes()),
            ("gbk", "\u{1f600}".as_bytes()),
            ("gbk", b"\xff"),
        ] {
            let error = named(label).encode(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{label}");
            assert!(error.path.is_some() && error.message.contains(named(label).name()), "{error}");
        }
        for (label, bad) in [("shift_jis", &b"\x93"[..]), ("gbk", b"a\xff"), ("euc-kr", b"\xc7")] {
            let error = named(label).decode(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{label}");
            let text = named(label).text(bad);
            assert_eq!(named(label).bytes_of(&text).unwrap(), bad, "{label}: kept byte by byte");
        }
    }

    #[test]
    fn a_label_that_is_none_has_some_that_are() {
        for label in ["", "nonsense", "utf-16le", "iso-2022-jp", "utf-7", "hz-gb-2312"] {
            let error = NameEncoding::parse(label).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{label}");
            assert!(error.message.contains("`encoding`"), "{error}");
        }
    }

    const LABELS: [&str; 8] =
        ["latin-1", "windows-1251", "shift_jis", "gbk", "gb18030", "big5", "euc-jp", "euc-kr"];

    proptest::proptest! {
        #[test]
        fn any_name_comes_back_or_is_refused(bytes: Vec<u8>, index in 0_usize..8) {
            let label = LABELS[index];
            let encoding = named(label);
            if let Ok(here) = encoding.decode(&bytes) {
                proptest::prop_assert_eq!(encoding.encode(&here).unwrap(), bytes.clone());
            }
            proptest::prop_assert_eq!(encoding.bytes_of(&encoding.text(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn any_local_name_comes_back_or_is_refused(name: String, index in 0_usize..8) {
            let label = LABELS[index];
            let encoding = named(label);
            if let Ok(there) = encoding.encode(name.as_bytes()) {
                proptest::prop_assert_eq!(encoding.decode(&there).unwrap(), name.as_bytes());
            }
        }
    }
}
