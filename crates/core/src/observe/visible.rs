//! Escaping of foreign names and messages for display.
//!
//! A server may name a file `ESC[2J` or answer with a line that looks like a second log record. Everything that comes
//! from a server or a file name passes here before it reaches a terminal or a log (security class C7).

/// Escapes everything in `bytes` that could move a cursor, start a line, change the direction of text or be invisible:
/// control characters (C0 and C1), bidirectional and zero-width marks, and bytes that are not UTF-8.
pub fn visible(bytes: impl AsRef<[u8]>) -> String {
    let mut shown = String::new();
    for piece in bytes.as_ref().utf8_chunks() {
        for c in piece.valid().chars() {
            show(&mut shown, c);
        }
        for byte in piece.invalid() {
            shown.push_str("\\x");
            shown.extend(
                [byte >> 4, byte & 15]
                    .iter()
                    .filter_map(|half| char::from_digit(u32::from(*half), 16)),
            );
        }
    }
    shown
}

/// Escapes script output as [`visible`] does, but keeps line feeds and tabs.
pub fn visible_lines(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if matches!(c, '\n' | '\t') { shown.push(c) } else { show(&mut shown, c) }
    }
    shown
}

fn show(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        _ if is_unsafe(c) => shown.extend(c.escape_unicode()),
        _ => shown.push(c),
    }
}

/// Returns true for characters that change how their neighbours are displayed, or are invisible.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the first `most` bytes of `text`, cut between two characters, and the number of bytes omitted. `where_all`
/// tells where the rest can be found, such as `; the log has all`.
pub fn cut(text: &str, most: usize, where_all: &str) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    format!("{kept}… ({} more bytes{where_all})", text.len() - kept.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_text_is_the_beginning_and_the_number_of_bytes_that_lack(text in "\\PC{0,80}", most in 0..100_usize) {
            let short = cut(&text, most, "; x");
            if text.len() <= most {
                prop_assert_eq!(short, text);
            } else {
                let (kept, rest) = short.rsplit_once("… (").unwrap();
                prop_assert!(text.starts_with(kept) && kept.len() <= most && kept.len() + 4 > most);
                prop_assert_eq!(rest, format!("{} more bytes; x)", text.len() - kept.len()));
            }
        }
    }

    #[test]
    fn what_could_fool_a_terminal_is_escaped_and_the_rest_is_left_alone() {
        for (bytes, shown) in [
            (&b"plain name.txt"[..], "plain name.txt"),
            ("grüße 日本語 🚢".as_bytes(), "grüße 日本語 🚢"),
            (b"\x1b[2J\x1b]0;x\x07", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            (b"a\r\nb", "a\\r\\nb"),
            (b"\xc2\x9b31m", "\\u{9b}31m"),
            (b"\x9b", "\\x9b"),
            ("\u{202e}txt.exe\u{200b}".as_bytes(), "\\u{202e}txt.exe\\u{200b}"),
        ] {
            assert_eq!(visible(bytes), shown);
        }
        assert_eq!(visible_lines("a\tb\nc\x1b"), "a\tb\nc\\u{1b}");
    }
}
