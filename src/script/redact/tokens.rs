//! A tokenizer of scripts and jobs files for masking, which also accepts invalid text.

use std::ops::Range;

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rhai,
    Toml,
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Number,
    /// A quoted string of any sort, or a character.
    Literal,
    Comment,
    Mark(char),
}

/// A token and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// The byte range, without the quotes of a literal.
    pub(super) range: Range<usize>,
}

/// Returns the tokens of `text`. A literal that is not closed ends with its line, or with the text if its kind may have
/// several lines. The content of `${…}` in a literal follows the literal as tokens of its own.
pub(super) fn tokens(text: &str, language: Language) -> Vec<Token> {
    let mut scanner = Scanner { text, at: 0, found: Vec::new(), language, templates: 0 };
    while scanner.at < text.len() {
        scanner.scan(false);
        // An excess closing brace is one more mark.
        scanner.at += 1;
    }
    scanner.found
}

/// The maximum nesting depth of literals in backticks: the language accepts fewer, and each needs some of the stack.
const TEMPLATES_MAX: usize = 64;

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    found: Vec<Token>,
    language: Language,
    /// The nesting depth of literals in backticks at this position.
    templates: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: TokenKind, range: Range<usize>) {
        self.found.push(Token { kind, range });
    }

    /// Scans to the end, or inside of `${…}` to the closing brace.
    fn scan(&mut self, is_inside: bool) {
        let mut depth = 0_usize;
        while let Some(first) = self.rest().chars().next() {
            match first {
                '{' => depth += 1,
                '}' if is_inside && depth == 0 => return,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.one(first);
        }
    }

    fn one(&mut self, first: char) {
        let (rest, start) = (self.rest(), self.at);
        let is_rhai = self.language == Language::Rhai;
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let line = rest.find('\n').unwrap_or(rest.len());
        if is_rhai && rest.starts_with("//") || !is_rhai && first == '#' {
            self.at += line;
            self.push(TokenKind::Comment, start..self.at);
        } else if is_rhai && rest.starts_with("/*") {
            self.at += block(rest);
            self.push(TokenKind::Comment, start..self.at);
        } else if is_rhai && hashes > 0 && rest.get(hashes..).is_some_and(|it| it.starts_with('"'))
        {
            self.delimited(hashes + 1, &format!("\"{}", "#".repeat(hashes)), rest.len());
        } else if !is_rhai && (rest.starts_with("\"\"\"") || rest.starts_with("'''")) {
            let quotes = rest.get(..3).unwrap_or_default().to_owned();
            self.delimited(3, &quotes, rest.len());
        } else if first == '"' {
            self.escaped();
        } else if first == '\'' {
            self.delimited(1, "'", line);
        } else if is_rhai && first == '`' {
            self.template();
        } else if first.is_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || !is_rhai && c == '-';
            self.run(TokenKind::Word, is_part);
        } else if first.is_ascii_digit() {
            self.run(TokenKind::Number, |c| c.is_alphanumeric() || matches!(c, '_' | '.'));
        } else {
            self.at += first.len_utf8();
            let is_end_of_line = !is_rhai && first == '\n';
            if !first.is_whitespace() || is_end_of_line {
                self.push(TokenKind::Mark(first), start..self.at);
            }
        }
    }

    fn run(&mut self, kind: TokenKind, is_part: impl Fn(char) -> bool) {
        let start = self.at;
        let rest = self.rest();
        self.at += rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.push(kind, start..self.at);
    }

    /// Scans a literal that begins after `open` bytes, up to `close`, or to byte `limit` from here.
    fn delimited(&mut self, open: usize, close: &str, limit: usize) {
        let start = self.at + open;
        let inner = self.text.get(start..self.at + limit).unwrap_or_default();
        let (length, end) = inner
            .find(close)
            .map_or((inner.len(), inner.len()), |found| (found, found + close.len()));
        self.push(TokenKind::Literal, start..start + length);
        self.at = start + end;
    }

    /// Scans a literal in double quotes.
    fn escaped(&mut self) {
        let start = self.at + 1;
        let mut chars = self.text.get(start..).unwrap_or_default().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '"' | '\n' => {
                    self.push(TokenKind::Literal, start..start + at);
                    self.at = start + at + 1;
                    return;
                }
                _ => {}
            }
        }
        self.push(TokenKind::Literal, start..self.text.len());
        self.at = self.text.len();
    }

    /// Scans a literal in backticks.
    fn template(&mut self) {
        let start = self.at + 1;
        let place = self.found.len();
        self.at = start;
        self.push(TokenKind::Literal, start..start);
        while let Some(first) = self.rest().chars().next() {
            if first == '`' {
                break;
            }
            if self.templates < TEMPLATES_MAX && self.rest().starts_with("${") {
                self.at += 2;
                self.templates += 1;
                self.scan(true);
                self.templates -= 1;
            }
            self.at = (self.at + self.rest().chars().next().map_or(0, char::len_utf8))
                .min(self.text.len());
        }
        let end = self.at;
        if let Some(token) = self.found.get_mut(place) {
            token.range.end = end;
        }
        self.at = (end + 1).min(self.text.len());
    }
}

/// Returns the length of the comment that begins here; such comments can be nested.
fn block(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, language: Language) -> Vec<(TokenKind, &str)> {
        tokens(text, language).into_iter().map(|token| (token.kind, &text[token.range])).collect()
    }

    #[test]
    fn literals_that_stand_too_deep_in_one_another_are_found_all_the_same() {
        let count = 20_000;
        let text = format!("let x = {}\"deep\"{};", "`${".repeat(count), "}`".repeat(count));
        let found = tokens(&text, Language::Rhai);
        assert!(found.iter().any(|one| text.get(one.range.clone()) == Some("deep")));
        assert!(found.iter().all(|one| text.get(one.range.clone()).is_some()));
    }

    #[test]
    fn literals_of_every_sort_are_found_and_end_where_they_end() {
        use TokenKind::{Comment, Literal, Mark, Number, Word};
        let rhai =
            "f(\"a\\\"b\", 'c', `d ${e + \"f\"} g`, #\"h\"i\"#, 12) // j\n/* k /* l */ m */ n \"o";
        assert_eq!(
            shown(rhai, Language::Rhai),
            [
                (Word, "f"),
                (Mark('('), "("),
                (Literal, "a\\\"b"),
                (Mark(','), ","),
                (Literal, "c"),
                (Mark(','), ","),
                (Literal, "d ${e + \"f\"} g"),
                (Word, "e"),
                (Mark('+'), "+"),
                (Literal, "f"),
                (Mark(','), ","),
                (Literal, "h\"i"),
                (Mark(','), ","),
                (Number, "12"),
                (Mark(')'), ")"),
                (Comment, "// j"),
                (Comment, "/* k /* l */ m */"),
                (Word, "n"),
                (Literal, "o"),
            ]
        );
        let toml = "a-b = 'c' # d\n\"e\" = \"\"\"f\ng\"\"\"";
        assert_eq!(
            shown(toml, Language::Toml),
            [
                (Word, "a-b"),
                (Mark('='), "="),
                (Literal, "c"),
                (Comment, "# d"),
                (Mark('\n'), "\n"),
                (Literal, "e"),
                (Mark('='), "="),
                (Literal, "f\ng"),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_has_tokens_within_it(text in "[\"'`#${}/*\\\\a1 \né]{0,60}", toml: bool) {
            let language = if toml { Language::Toml } else { Language::Rhai };
            for token in tokens(&text, language) {
                prop_assert!(text.get(token.range).is_some());
            }
        }
    }
}
