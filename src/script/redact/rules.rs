//! The rules that find possible secrets in a text.

use std::{collections::BTreeSet, ops::Range};

use super::tokens::{Language, Token, TokenKind, tokens};

/// The parts of names by which secrets are recognized.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "credential",
    "authorization",
    "bearer",
    "account",
];
/// The names by which secrets are recognized, alone or as the last word of a longer one.
const WORDS: &[&str] = &["pass", "pw", "key", "acct", "auth", "pin_code", "proxy"];
/// The keys of jobs files whose values are URLs that are as sensitive as a password.
const ADDRESSES: &[&str] =
    &["ping", "webhook", "url", "slack", "teams", "discord", "ntfy", "gotify", "telegram"];
/// The endings of names of files and public values.
const NO_SECRETS: &[&str] = &["file", "path", "dir", "folder", "cert", "client_key", "public_key"];
/// The permission whose values are names of secrets, in the jobs file and, with a hyphen, as a flag.
const PERMISSION: &str = "allow_secret";
/// The functions that take the name of a secret, not a secret.
const NAMERS: &[&str] = &["secret", "env", "find", "contains"];
/// The words of the language, which are not variables.
const LANGUAGE: &[&str] = &[
    "true", "false", "let", "const", "if", "else", "switch", "while", "until", "loop", "do", "for",
    "in", "is", "fn", "return", "throw", "try", "catch", "import", "export", "as", "this",
    "private", "break", "continue", "args", "job", "ftp", "local", "log", "nat", "and", "or",
    "not",
];
/// The maximum number of steps by which variables are followed to their values.
const ROUNDS_MAX: usize = 8;

/// Returns the parts of `text` that may be secrets, in bytes, in no order.
pub(super) fn hidden(text: &str, language: Language) -> Vec<Range<usize>> {
    let all = tokens(text, language);
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        urls(line, start, |c| c.is_whitespace() || matches!(c, '"' | '\'' | '`'), &mut found);
        start += line.len();
    }
    for token in &all {
        if let (TokenKind::Literal | TokenKind::Comment, Some(inner)) =
            (token.kind, text.get(token.range.clone()))
        {
            inline(inner, token.range.start, &mut found);
        }
    }
    let code: Vec<Token> =
        all.into_iter().filter(|token| token.kind != TokenKind::Comment).collect();
    let mut reading = MaskingScan {
        text,
        language,
        code: &code,
        declared: BTreeSet::new(),
        used: BTreeSet::new(),
        found,
    };
    let is_declared =
        |at: &usize| reading.kind(*at) == Some(TokenKind::Word) && reading.declares(*at);
    let declared = (0..code.len()).filter(is_declared).map(|at| reading.text_at(at));
    reading.declared = declared.collect();
    for _ in 0..ROUNDS_MAX {
        let known = reading.used.len();
        reading.round();
        if reading.used.len() == known {
            break;
        }
    }
    reading.found
}

/// Hides the passwords of URLs in `text`, which begins at byte `start`; `ends` matches the characters that end a URL.
fn urls(text: &str, start: usize, ends: impl Fn(char) -> bool, found: &mut Vec<Range<usize>>) {
    for (at, sign) in text.match_indices("://") {
        let rest = text.get(at + sign.len()..).unwrap_or_default();
        let rest = rest.find(&ends).and_then(|end| rest.get(..end)).unwrap_or(rest);
        found.extend(login(rest).map(|range| {
            let from = start + at + sign.len();
            from + range.start..from + range.end
        }));
    }
}

/// Returns the password in the text after `://`: up to the last `@`, since an unencoded one may contain others.
fn login(rest: &str) -> Option<Range<usize>> {
    let end = rest.rfind('@')?;
    let colon = rest.find(':').filter(|colon| *colon < end)?;
    Some(colon + 1..end)
}

/// Hides the secrets inside of a literal or comment: URLs, `password = …`, `PASS …`.
fn inline(text: &str, start: usize, found: &mut Vec<Range<usize>>) {
    urls(text, start, |_| false, found);
    let mut hide = |range: Range<usize>| found.push(start + range.start..start + range.end);
    // `me:password@host`, which is the login of a URL as well.
    let has_scheme = text.contains("://");
    if let Some(range) = login(text).filter(|_| !has_scheme)
        && text.get(..range.start - 1).is_some_and(|user| !user.contains(char::is_whitespace))
    {
        hide(range);
    }
    let lower = text.to_ascii_lowercase();
    let permission = PERMISSION.replace('_', "-");
    for part in PARTS {
        for (at, _) in lower.match_indices(part) {
            let behind = at + part.len();
            let before = lower.get(..behind).unwrap_or_default();
            if before.ends_with(&permission) || before.ends_with(PERMISSION) {
                continue;
            }
            let rest = text.get(behind..).unwrap_or_default();
            let name = rest.len()
                - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
            let rest = rest.get(name..).unwrap_or_default();
            let value = rest.trim_start_matches([' ', '\t', '"', '\'', '\\']);
            if value.starts_with([':', '=']) || *part == "bearer" && rest.starts_with(' ') {
                let from = text.len() - value.len() + usize::from(value.starts_with([':', '=']));
                hide(from..text.len());
            }
        }
    }
    let mut spoken = text.trim_start().split(' ');
    let first = spoken.next().unwrap_or_default();
    let second = spoken.next().unwrap_or_default().to_ascii_uppercase();
    let begin = text.len() - text.trim_start().len() + first.len();
    if first.eq_ignore_ascii_case("PASS") || first.eq_ignore_ascii_case("ACCT") {
        hide(begin..text.len());
    } else if first.eq_ignore_ascii_case("SITE")
        && ["PASS", "PSW", "PWD"].iter().any(|part| second.contains(part))
    {
        hide((begin + 1 + second.len()).min(text.len())..text.len());
    }
}

/// Returns true if something called `name` holds a secret.
fn is_sensitive(name: &str, language: Language) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    if name == PERMISSION || NO_SECRETS.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let is_address = language == Language::Toml && ADDRESSES.contains(&name.as_str());
    let is_word = |word: &&str| {
        name.strip_suffix(*word).is_some_and(|front| front.is_empty() || front.ends_with('_'))
    };
    let joined = name.replace('_', "");
    is_address
        || is_misspelt(&joined)
        || WORDS.iter().any(is_word)
        || PARTS.iter().any(|part| joined.contains(part))
}

/// Returns true if `name` is almost `password`: a misspelt option is reported with an excerpt.
fn is_misspelt(name: &str) -> bool {
    let wanted = "password";
    name.len().abs_diff(wanted.len()) <= 2 && strsim::damerau_levenshtein(name, wanted) <= 2
}

struct MaskingScan<'t> {
    text: &'t str,
    language: Language,
    code: &'t [Token],
    /// The names of variables, parameters and imports.
    declared: BTreeSet<&'t str>,
    /// The names that are used as secrets.
    used: BTreeSet<String>,
    found: Vec<Range<usize>>,
}

impl<'t> MaskingScan<'t> {
    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.code.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, mark: char) -> bool {
        self.kind(at) == Some(TokenKind::Mark(mark))
    }

    fn text_at(&self, at: usize) -> &'t str {
        let range = self.code.get(at).map(|token| token.range.clone());
        range.and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    /// Examines every name once.
    fn round(&mut self) {
        for at in 0..self.code.len() {
            let name = self.text_at(at);
            let is_known = self.used.contains(name) || is_sensitive(name, self.language);
            match self.kind(at) {
                Some(TokenKind::Word) if is_known => self.word(at, name),
                // The name of a key; a sentence that contains the word is not.
                Some(TokenKind::Literal) if is_known && !name.contains(char::is_whitespace) => {
                    self.key(at);
                }
                Some(TokenKind::Literal) => self.open_url(at, name),
                Some(TokenKind::Word) if matches!(name, "PASS" | "ACCT" | "pass" | "acct") => {
                    self.same_line(at);
                }
                Some(TokenKind::Word) if name == "fn" => self.parameters(at),
                Some(TokenKind::Mark('|')) => self.closure(at),
                _ => {}
            }
        }
    }

    /// Examines a variable, an option or a function of this name.
    fn word(&mut self, at: usize, name: &str) {
        let next = at + 1;
        if at > 0 && self.text_at(at - 1) == "fn" {
            let parameters = self.end(next + 1);
            let body = (parameters..self.code.len()).find(|at| self.is(*at, '{'));
            if let Some(body) = body {
                self.hide(body + 1, self.end(body + 1));
            }
            return;
        }
        if self.is(next, '(') && !NAMERS.contains(&name) && !self.used.contains(name) {
            self.hide(next + 1, self.end(next + 1));
        }
        if self.text_at(next) == "in" {
            let brace = (next..self.code.len()).find(|at| self.is(*at, '{'));
            self.hide(next + 1, brace.unwrap_or(self.code.len()));
        }
        if matches!(name, "PASS" | "ACCT" | "pass" | "acct" | "password" | "account") {
            self.same_line(at);
        }
        self.value(next);
    }

    /// Examines a string that names a secret, as a key of a map or before its value.
    fn key(&mut self, at: usize) {
        let next = at + 1;
        if self.is(next, ',') && !self.is_named_before(at) {
            let end = self.end_of_value(next + 1);
            self.hide(next + 1, end);
        } else {
            self.value(next + usize::from(self.is(next, ']')));
        }
    }

    /// Returns true if the literal is an argument of a function that takes names.
    fn is_named_before(&self, at: usize) -> bool {
        at >= 2 && self.is(at - 1, '(') && NAMERS.contains(&self.text_at(at - 2))
    }

    /// Hides the value that begins at `at`, after `:`, `=` or nothing.
    fn value(&mut self, at: usize) {
        let is_path = self.is(at, ':') && self.is(at + 1, ':');
        let is_sign =
            |at: usize| matches!(self.kind(at), Some(TokenKind::Mark(':' | '=' | '!' | '+')));
        let begin = (at..self.code.len()).find(|at| !is_sign(*at)).unwrap_or(self.code.len());
        let compares = self.is(at, '=') && self.is(at + 1, '=') || self.is(at, '!');
        let is_value = matches!(self.kind(begin), Some(TokenKind::Literal | TokenKind::Number));
        if is_path || begin == at && !is_value || self.is(at, '+') && begin == at + 1 {
            return;
        }
        let end = if compares { begin + 1 } else { self.end_of_value(begin) };
        self.hide(begin, end);
    }

    /// Hides the rest of the line after the word.
    fn same_line(&mut self, at: usize) {
        let Some(token) = self.code.get(at) else { return };
        let from = token.range.end;
        let line = self.text.get(from..).unwrap_or_default();
        let line = line.split(['\n', ';']).next().unwrap_or_default();
        let is_value = line.starts_with(' ')
            && line.trim_start().starts_with(|c: char| c.is_alphanumeric() || c == '"')
            && !LANGUAGE.contains(&self.text_at(at + 1));
        if is_value {
            self.found.push(from + 1..from + line.trim_end().len());
        }
    }

    /// Examines a literal that ends inside of the login of a URL: the text that is added to it is the password.
    fn open_url(&mut self, at: usize, text: &str) {
        let Some((_, rest)) = text.split_once("://") else { return };
        let Some((_, port)) = rest.split_once(':').filter(|_| !rest.contains('@')) else { return };
        let is_port = port.starts_with(|c: char| c.is_ascii_digit());
        if is_port && !self.is(at + 1, '+') || port.starts_with('/') {
            return;
        }
        let end = self.end_of_value(at + 1);
        if !is_port && let Some(token) = self.code.get(at) {
            self.found.push(token.range.end - port.len()..token.range.end);
        }
        let goes_on = (at + 1..end)
            .any(|at| self.kind(at) == Some(TokenKind::Literal) && self.text_at(at).contains('@'));
        if !is_port || goes_on {
            self.hide(at + 1, end);
        }
    }

    /// Examines the parameters of a function: the arguments of its callers are secrets if the parameters are used as
    /// such.
    fn parameters(&mut self, at: usize) {
        let (name, open) = (self.text_at(at + 1), at + 2);
        if !self.is(open, '(') {
            return;
        }
        let used = self.used_between(open + 1, self.end(open + 1));
        if used.is_empty() {
            return;
        }
        for call in 0..self.code.len() {
            if self.text_at(call) == name && self.is(call + 1, '(') && call != at + 1 {
                // A method has its first argument before the dot.
                let is_method = call > 0 && self.is(call - 1, '.');
                self.arguments(call + 2, &used, usize::from(is_method));
            }
        }
    }

    /// Examines the parameters of a closure in the same way; its calls are not known, so all closure calls count.
    fn closure(&mut self, at: usize) {
        let close = (at + 1..self.code.len()).find(|at| self.is(*at, '|'));
        let Some(close) = close.filter(|close| close - at < 40) else { return };
        let used = self.used_between(at + 1, close);
        if used.is_empty() {
            return;
        }
        for call in 0..self.code.len() {
            if matches!(self.text_at(call), "call" | "curry") && self.is(call + 1, '(') {
                self.hide(call + 2, self.end(call + 2));
            }
        }
    }

    /// Returns the positions of the names between `from` and `to` that are used as secrets.
    fn used_between(&self, from: usize, to: usize) -> Vec<usize> {
        let names = (from..to).filter(|at| self.kind(*at) == Some(TokenKind::Word));
        let holds = |name: &str| self.used.contains(name) || is_sensitive(name, self.language);
        names
            .enumerate()
            .filter(|(_, at)| holds(self.text_at(*at)))
            .map(|(number, _)| number)
            .collect()
    }

    /// Hides the arguments at the positions `numbers`; the first one at `from` has the position `first`.
    fn arguments(&mut self, from: usize, numbers: &[usize], first: usize) {
        let end = self.end(from);
        let (mut begin, mut number) = (from, first);
        while begin < end {
            let close = self.end_of_value(begin).min(end);
            if numbers.contains(&number) {
                self.hide(begin, close);
            }
            (begin, number) = (close + 1, number + 1);
        }
    }

    /// Hides the literals, numbers and unknown words from `from` to `to`, and records the variables there.
    fn hide(&mut self, from: usize, to: usize) {
        let mut at = from;
        while at < to.min(self.code.len()) {
            let name = self.text_at(at);
            match self.kind(at) {
                // An index is no secret, and neither is the name of one.
                Some(TokenKind::Mark('[')) if at > from && self.is_indexed(at - 1) => {
                    at = self.end(at + 1);
                }
                Some(TokenKind::Word) if self.is(at + 1, '(') && NAMERS.contains(&name) => {
                    at = self.end(at + 2);
                }
                Some(TokenKind::Literal | TokenKind::Number) => self.hide_one(at),
                Some(TokenKind::Word) if self.language == Language::Toml => {
                    // Values have no names in them.
                    self.hide_one(at);
                }
                Some(TokenKind::Word)
                    if !LANGUAGE.contains(&name)
                        && !self.is(at + 1, ':')
                        && !self.is(at + 1, '(') =>
                {
                    self.variable(at, name);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn hide_one(&mut self, at: usize) {
        self.found.extend(self.code.get(at).map(|token| token.range.clone()));
    }

    fn is_indexed(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(TokenKind::Word | TokenKind::Mark(')' | ']')))
    }

    /// Examines a name as a value: a variable that holds a secret, or a secret without its quotes.
    fn variable(&mut self, at: usize, name: &str) {
        let is_part = at > 0 && self.is(at - 1, '.')
            || at > 1 && self.is(at - 1, ':') && self.is(at - 2, ':');
        // A misspelt variable counts as well.
        let is_near = |known: &&str| strsim::damerau_levenshtein(known, name) <= 2;
        if is_part || self.declared.iter().any(is_near) || is_sensitive(name, self.language) {
            self.used.insert(name.to_owned());
        } else {
            self.hide_one(at);
        }
    }

    /// Returns true if the word at `at` declares a name: `let name`, `fn f(a, name)`, `|a, name|`, `for (a, name) in`.
    fn declares(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return false };
        if matches!(self.text_at(before), "let" | "const" | "for" | "as" | "catch") {
            return true;
        }
        let opens = |at: &usize| {
            matches!(self.kind(*at), Some(TokenKind::Mark('(' | '|' | ';' | '{' | '}' | '=')))
        };
        let open = (0..=before).rev().take(20).find(opens);
        open.is_some_and(|open| {
            let head = open.checked_sub(1).map(|at| self.text_at(at)).unwrap_or_default();
            let is_function = open >= 2 && self.text_at(open - 2) == "fn";
            self.is(open, '|') || is_function || matches!(head, "for" | "catch")
        })
    }

    /// Returns the end of the brackets around `from`: the closing bracket, or the end of the text.
    fn end(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for at in from..self.code.len() {
            match self.kind(at) {
                Some(TokenKind::Mark('(' | '[' | '{')) => depth += 1,
                Some(TokenKind::Mark(')' | ']' | '}')) if depth == 0 => return at,
                Some(TokenKind::Mark(')' | ']' | '}')) => depth -= 1,
                _ => {}
            }
        }
        self.code.len()
    }

    /// Returns the end of the value that begins at `from`.
    fn end_of_value(&self, from: usize) -> usize {
        let mut depth = 0_usize;
        for at in from..self.code.len() {
            match self.kind(at) {
                Some(TokenKind::Mark('(' | '[' | '{')) => depth += 1,
                Some(TokenKind::Mark(')' | ']' | '}' | ',' | ';' | '\n')) if depth == 0 => {
                    return at;
                }
                Some(TokenKind::Mark(')' | ']' | '}')) => depth -= 1,
                _ => {}
            }
        }
        self.code.len()
    }
}
