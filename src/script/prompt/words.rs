//! Splitting of a line into words, like a shell: `get "annual report.pdf" in/`.

use crate::error::{Error, Result};

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PromptWord {
    /// The text without quotes and backslashes.
    pub(super) text: String,
    /// True if a part of it was quoted or escaped: it is not a pattern then.
    pub(super) is_quoted: bool,
    /// The byte offset of its beginning.
    pub(super) start: usize,
    /// The quote that is still open at the end of the line.
    pub(super) open: Option<char>,
}

impl PromptWord {
    fn at(start: usize) -> Self {
        Self { text: String::new(), is_quoted: false, start, open: None }
    }
}

/// Splits `line` into words; fails if a quote is not closed.
pub(super) fn split(line: &str) -> Result<Vec<PromptWord>> {
    let words = read(line);
    match words.last().and_then(|word| word.open) {
        Some(quote) => Err(Error::invalid(format!("a {quote} is opened and never closed"))),
        None => Ok(words),
    }
}

/// Splits a line that may be incomplete.
pub(super) fn read(line: &str) -> Vec<PromptWord> {
    let mut words = Vec::new();
    let mut word: Option<PromptWord> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        let open = word.as_ref().and_then(|word| word.open);
        match (c, open) {
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            ('"' | '\'', None) => {
                let word = word.get_or_insert_with(|| PromptWord::at(at));
                (word.open, word.is_quoted) = (Some(c), true);
            }
            (c, Some(quote)) if c == quote => {
                word.get_or_insert_with(|| PromptWord::at(at)).open = None;
            }
            // In single quotes a backslash is an ordinary character.
            ('\\', None | Some('"')) => {
                let word = word.get_or_insert_with(|| PromptWord::at(at));
                word.is_quoted = true;
                word.text.push(chars.next().map_or('\\', |(_, next)| next));
            }
            (c, _) => word.get_or_insert_with(|| PromptWord::at(at)).text.push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns `text` quoted as one word.
pub(super) fn quoted(text: &str, open: Option<char>) -> String {
    let must_hide = |c: &char| match open {
        Some('\'') => false,
        Some(_) => matches!(c, '"' | '\\'),
        None => c.is_whitespace() || "\"'\\*?[{".contains(*c),
    };
    let mut shown: String = open.into_iter().collect();
    for c in text.chars() {
        if must_hide(&c) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// Returns `text` as a string literal of a script.
pub fn literal(text: &str) -> String {
    let mut shown = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() => shown.extend(["\\u", &format!("{:04x}", u32::from(c))]),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_read_as_a_shell_reads_them() {
        for (line, wanted) in [
            ("get a.txt  b.txt", vec!["get", "a.txt", "b.txt"]),
            (r#"get "annual report.pdf""#, vec!["get", "annual report.pdf"]),
            (r"get annual\ report.pdf", vec!["get", "annual report.pdf"]),
            (r"get 'a\b'", vec!["get", r"a\b"]),
            (r#"get a"b c"d"#, vec!["get", "ab cd"]),
            (r#"get """#, vec!["get", ""]),
            ("  ", vec![]),
        ] {
            assert_eq!(texts(line), wanted, "{line}");
        }
        assert!(split("get \"a").unwrap_err().message.contains("never closed"));
    }

    #[test]
    fn a_name_comes_back_from_its_quotes() {
        for name in ["plain", "two words", "q\"uote", "it's", "back\\slash", "*.csv", "größe"] {
            assert_eq!(texts(&quoted(name, None)), [name]);
            assert_eq!(texts(&(quoted(name, Some('"')) + "\"")), [name]);
        }
    }

    #[test]
    fn a_literal_means_what_it_was_made_of() {
        let engine = rhai::Engine::new();
        for text in ["plain", "q\"uote", "back\\slash", "line\nend", "bell\u{7}", "größe", "${x}"]
        {
            assert_eq!(engine.eval::<String>(&literal(text)).unwrap(), text);
        }
    }
}
