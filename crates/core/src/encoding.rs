//! Hexadecimal digits, and percent-encoding.

use percent_encoding::percent_decode_str;

/// Formats bytes as lowercase hexadecimal digits.
pub fn to_hex(bytes: impl AsRef<[u8]>) -> String {
    let halves = bytes.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// Parses exactly `N` bytes in hexadecimal digits; `None` for any other text, also for one with a sign.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |letter: u8| char::from(letter).to_digit(16);
        *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(bytes)
}

/// Resolves percent-encoding; `None` if a `%` is not followed by two hexadecimal digits.
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut after_signs = text.split('%').skip(1);
    let is_encoded = after_signs.all(|rest| rest.get(..2).and_then(from_hex::<1>).is_some());
    is_encoded.then(|| percent_decode_str(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_back_as_the_bytes_they_were() {
        assert_eq!(to_hex([0x00, 0x7f, 0xff]), "007fff");
        assert_eq!(to_hex([]), "");
        assert_eq!(from_hex("007FfF"), Some([0x00, 0x7f, 0xff]));
        assert_eq!(from_hex(""), Some([]));
        for text in ["", "0", "000", "0000", "+1", " 1", "0g", "é"] {
            assert_eq!(from_hex::<1>(text), None, "{text}");
        }
    }

    #[test]
    fn percent_encoding_without_two_digits_is_refused() {
        assert_eq!(percent_decoded("a%20b%C3%bc").as_deref(), Some("a bü".as_bytes()));
        assert_eq!(percent_decoded("%2525").as_deref(), Some(&b"%25"[..]));
        for text in ["%", "%4", "%+4", "%zz", "a%%41", "%4é", "%é"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
    }
}
