//! Bytes from the wire as the text of a recording.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::encoding::percent_decoded;

/// Bytes that are written as text: what is no UTF-8, and each `%`, as `%` and two hexadecimal digits.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct WireText(pub Vec<u8>);

impl WireText {
    /// Returns the text as it is written.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().for_each(|c| match c {
                '%' => text.push_str("%25"),
                c => text.push(c),
            });
            for byte in chunk.invalid() {
                text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        text
    }
}

fn digit(half: u8) -> char {
    char::from_digit(half.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

impl From<&[u8]> for WireText {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for WireText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl Serialize for WireText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = percent_decoded(&text);
        bytes.map(Self).ok_or_else(|| D::Error::custom("a `%` without two hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = serde_json::to_string(&WireText(bytes.clone())).unwrap();
            let again: WireText = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(again.0, bytes);
        }
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        for (bytes, text) in [
            (&b"RETR a b"[..], "RETR a b"),
            ("STOR grün".as_bytes(), "STOR grün"),
            (b"100%", "100%25"),
            (b"a\xffb", "a%FFb"),
            (b"a\r\n", "a\r\n"),
        ] {
            assert_eq!(WireText::from(bytes).text(), text);
        }
    }
}
