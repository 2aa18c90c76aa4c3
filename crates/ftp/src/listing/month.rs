//! Names of months in the languages and encodings that `ls` prints (rule L9).

use super::line::small;

/// The language of a listing that a month's name indicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MonthLanguage {
    /// Any language: the name means one month wherever it is used.
    Any,
    /// `mar`, which is March, but November in Finnish of three letters.
    Mar,
    /// Finnish of three letters, in whose presence `mar` is ambiguous.
    Finnish,
}

/// A month, and the language that its name indicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Month {
    /// The number, 1 to 12.
    pub(super) number: i8,
    /// The language.
    pub(super) protocol: MonthLanguage,
}

/// The month names besides the English ones of three letters, in lower case, from the locales de, fr, es, it, nl, pt,
/// pl, sv, da, no, fi and ru. A name is in the table only if it means the same month in all of them.
const NAMES: [(i8, &[&str]); 12] = [
    (1, &["january", "janv", "ene", "gen", "sty", "tammi", "jän", "янв"]),
    (2, &["february", "févr", "fév", "fev", "lut", "helmi", "фев", "февр"]),
    (3, &["march", "mars", "mär", "märz", "mrz", "mrt", "maalis", "мар", "март", "марта"]),
    (4, &["april", "avr", "avril", "abr", "kwi", "huhti", "апр"]),
    (5, &["mai", "mag", "mei", "maj", "touko", "май", "мая"]),
    (6, &["june", "juin", "juni", "giu", "cze", "kesä", "июн", "июнь", "июня"]),
    (7, &["july", "juil", "juli", "lug", "lip", "heinä", "июл", "июль", "июля"]),
    (8, &["august", "août", "aoû", "ago", "sie", "elo", "авг"]),
    (9, &["september", "sept", "set", "wrz", "syys", "сен", "сент"]),
    (10, &["october", "okt", "ott", "out", "paź", "loka", "окт"]),
    (11, &["november", "lis", "marras", "ноя", "нояб"]),
    (12, &["december", "déc", "dez", "dic", "gru", "des", "joulu", "дек"]),
];

/// The Finnish names of three letters that no other language has.
const FINNISH: [(i8, &str); 10] = [
    (1, "tam"),
    (2, "hel"),
    (3, "maa"),
    (4, "huh"),
    (5, "tou"),
    (6, "kes"),
    (7, "hei"),
    (9, "syy"),
    (10, "lok"),
    (12, "jou"),
];

/// The signs after the number of a month: 月 in UTF-8, Shift JIS, EUC-JP, GBK, Big5 and EUC-KR; 월 in UTF-8 and EUC-KR.
const MONTH_SIGNS: [&[u8]; 8] = [
    b"\xe6\x9c\x88",
    b"\x8c\x8e",
    b"\xb7\xee",
    b"\xd4\xc2",
    b"\xa4\xeb",
    b"\xea\xc5",
    b"\xec\x9b\x94",
    b"\xbf\xf9",
];
/// The signs after the number of a day: 日 and 일.
const DAY_SIGNS: [&[u8]; 8] = [
    b"\xe6\x97\xa5",
    b"\x93\xfa",
    b"\xc6\xfc",
    b"\xc8\xd5",
    b"\xa4\xe9",
    b"\xec\xed",
    b"\xec\x9d\xbc",
    b"\xc0\xcf",
];
/// The signs after the number of a year: 年 and 년.
const YEAR_SIGNS: [&[u8]; 8] = [
    b"\xe5\xb9\xb4",
    b"\x94N",
    b"\xc7\xaf",
    b"\xc4\xea",
    b"\xa6~",
    b"\xd2\xb4",
    b"\xeb\x85\x84",
    b"\xb3\xe2",
];

/// The decoder of a byte above 0x7f in one of the single-byte encodings.
type ByteEncoding = fn(u8) -> char;
const ENCODINGS: [ByteEncoding; 3] = [latin, cp1251, koi8_r];

/// Parses the name of a month: `Jun`, `févr.`, `дек` (in UTF-8, cp1251 or koi8-r), `2月`.
pub(super) fn month(word: &[u8]) -> Option<Month> {
    let word = word.strip_suffix(b".").unwrap_or(word);
    if word.first()?.is_ascii_digit() {
        let number = small(number_before(word, &MONTH_SIGNS)?, 2)?;
        return i8::try_from(number).ok().filter(|number| matches!(number, 1..=12)).map(any);
    }
    english(word).or_else(|| foreign(word))
}

/// Returns the digits of a day (`11`, `11日`).
pub(super) fn day(word: &[u8]) -> Option<&[u8]> {
    number_before(word, &DAY_SIGNS).or(Some(word))
}

/// Returns the digits of a year (`2025`, `2025年`).
pub(super) fn year(word: &[u8]) -> Option<&[u8]> {
    number_before(word, &YEAR_SIGNS).or(Some(word))
}

/// Returns true if it has the shape of a month's name in a language that is not in the table.
pub(super) fn is_word(word: &[u8]) -> bool {
    word.len() >= 2
        && word
            .strip_suffix(b".")
            .unwrap_or(word)
            .iter()
            .all(|b| b.is_ascii_alphabetic() || *b > 0x7f)
}

/// Returns the value of the name that equals `word`, in whatever encoding it is written; the names are in lower case.
pub(super) fn named<'n, T>(
    word: &[u8],
    mut names: impl Iterator<Item = (T, &'n str)> + Clone,
) -> Option<T> {
    let found = if let Ok(text) = std::str::from_utf8(word) {
        names.find(|(_, name)| text.len() == name.len() && is_same(text.chars(), name))
    } else {
        ENCODINGS.iter().find_map(|letter| {
            names.clone().find(|(_, name)| is_same(word.iter().map(|byte| letter(*byte)), name))
        })
    };
    found.map(|(value, _)| value)
}

fn is_same(letters: impl Iterator<Item = char>, name: &str) -> bool {
    letters.flat_map(char::to_lowercase).eq(name.chars())
}

const fn any(number: i8) -> Month {
    Month { number, protocol: MonthLanguage::Any }
}

/// Looks up the names that most servers use, without a search of the table.
fn english(word: &[u8]) -> Option<Month> {
    let &[a, b, c] = word else { return None };
    let number = match &[a | 0x20, b | 0x20, c | 0x20] {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => return Some(Month { number: 3, protocol: MonthLanguage::Mar }),
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    };
    Some(any(number))
}

fn foreign(word: &[u8]) -> Option<Month> {
    let names = NAMES.iter().flat_map(|(number, names)| names.iter().map(|name| (*number, *name)));
    if let Some(number) = named(word, names) {
        return Some(any(number));
    }
    let (number, _) =
        FINNISH.iter().find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(Month { number: *number, protocol: MonthLanguage::Finnish })
}

fn number_before<'a>(word: &'a [u8], signs: &[&[u8]]) -> Option<&'a [u8]> {
    signs.iter().find_map(|sign| word.strip_suffix(*sign))
}

/// Decodes Latin-1, with the one letter of Polish months in Latin-2 and cp1250.
const fn latin(byte: u8) -> char {
    match byte {
        0xbc | 0x9f => 'ź',
        _ => byte as char,
    }
}

fn cp1251(byte: u8) -> char {
    match byte {
        0xc0.. => char::from_u32(0x410 + u32::from(byte - 0xc0)).unwrap_or('?'),
        _ => char::from(byte),
    }
}

fn koi8_r(byte: u8) -> char {
    /// The letters 0xc0 to 0xdf; the capitals follow in the same order.
    const LETTERS: [char; 32] = [
        'ю', 'а', 'б', 'ц', 'д', 'е', 'ф', 'г', 'х', 'и', 'й', 'к', 'л', 'м', 'н', 'о', 'п', 'я',
        'р', 'с', 'т', 'у', 'ж', 'в', 'ь', 'ы', 'з', 'ш', 'э', 'щ', 'ч', 'ъ',
    ];
    match byte {
        0xc0.. => LETTERS.get(usize::from(byte & 0x1f)).copied().unwrap_or('?'),
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Returns `name` in every encoding in which it may be written.
    fn encoded(name: &str) -> Vec<Vec<u8>> {
        let by = |letter: &ByteEncoding| -> Option<Vec<u8>> {
            name.chars().map(|c| (0_u8..=255).rev().find(|byte| letter(*byte) == c)).collect()
        };
        let mut all: Vec<_> = ENCODINGS.iter().filter_map(by).collect();
        all.push(name.as_bytes().to_vec());
        all
    }

    #[test]
    fn no_name_means_two_months_in_any_encoding() {
        let mut seen: HashMap<Vec<u8>, i8> = HashMap::new();
        let names = NAMES.iter().flat_map(|(number, names)| names.iter().map(|n| (*number, *n)));
        for (number, name) in names.chain(FINNISH) {
            for bytes in encoded(name) {
                let before = *seen.entry(bytes.clone()).or_insert(number);
                assert_eq!(before, number, "{name}");
                assert_eq!(month(&bytes).unwrap().number, number, "{name} {bytes:x?}");
            }
        }
    }

    #[test]
    fn months_are_read_in_every_language_of_the_table() {
        for (word, number) in [
            (&b"JUN"[..], 6),
            ("févr.".as_bytes(), 2),
            (b"f\xe9vr.", 2),
            (b"M\xe4r", 3),
            ("Дек".as_bytes(), 12),
            (b"\xe4\xe5\xea", 12),
            (b"\xc4\xc5\xcb", 12),
            (b"\xe4\xc5\xcb", 12),
            ("2月".as_bytes(), 2),
            ("12월".as_bytes(), 12),
            (b"2\x8c\x8e", 2),
            (b"10\xb7\xee", 10),
            (b"9\xbf\xf9", 9),
            (b"maj", 5),
        ] {
            assert_eq!(month(word).map(|month| month.number), Some(number), "{word:x?}");
        }
        for word in ["", ".", "xyz", "13月", "0月", "月", "12", "Januar2"] {
            assert_eq!(month(word.as_bytes()), None, "{word}");
        }
    }
}
