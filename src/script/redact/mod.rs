//! Masking of passwords in the lines of scripts and jobs files that are shown.
//!
//! An error shows its source line, which ends up in logs, in the history and in notifications. A password should not be
//! in a script, but it may be. The following is masked, even in text that no parser accepts:
//! - the password of a URL (`ftp://user:password@host`), in code, literals, templates and comments;
//! - literals and numbers that are the value of something called password, secret, token or similar (an option, a key
//!   of a map, a variable, an argument after such a name);
//! - literals and numbers that are assigned to a variable, a parameter or a function that is used as such a value;
//! - the text after PASS and ACCT.
//!
//! Names of secrets (`secret("NAME")`) and of variables are left as they are. In doubt more is masked, not less: an
//! excerpt with a few stars too many still shows the mistake.

mod names;
mod rules;
mod tokens;

use std::{ops::Range, path::Path};

use percent_encoding::percent_decode_str;

use self::tokens::Language;
use super::raise::ScriptFailure;

/// The replacement of a secret.
const STARS: &str = "***";
/// The minimum length in characters of a secret that is masked in messages: shorter ones occur in many words by chance.
const WORD_LENGTH_MIN: usize = 4;

/// The parts of one text that must not be shown.
#[derive(Debug, Clone, Default)]
pub struct Veil {
    /// The byte ranges of the text to mask, in order, without overlaps.
    hidden: Vec<Range<usize>>,
    /// The secrets, both as they are written and as the language reads them, the longest first.
    secrets: Vec<String>,
}

impl Veil {
    /// The maximum size of a text in bytes: nothing is shown of a longer one, since some of the rules take quadratic time
    /// (0.1 s for a script of this size without a blank line).
    pub const TEXT_BYTES_MAX: usize = 256 * 1024;

    /// Returns the veil of `text`, which is that of `file`.
    pub fn of(file: &str, text: &str) -> Self {
        let is_toml = Path::new(file).extension().is_some_and(|end| end == "toml");
        let language = if is_toml { Language::Toml } else { Language::Rhai };
        if text.len() > Self::TEXT_BYTES_MAX {
            return Self { hidden: std::iter::once(0..text.len()).collect(), secrets: Vec::new() };
        }
        let mut hidden = rules::hidden(text, language);
        let named = if is_toml { names::named(text) } else { Vec::new() };
        let is_named = |part: &Range<usize>| {
            let after = named.partition_point(|name| name.start <= part.start);
            let name = after.checked_sub(1).and_then(|at| named.get(at));
            name.is_some_and(|name| part.end <= name.end)
        };
        hidden.retain(|range| !range.is_empty() && !is_named(range));
        hidden.sort_by_key(|range| (range.start, range.end));
        let mut secrets: Vec<String> = hidden
            .iter()
            .filter_map(|range| text.get(range.clone()))
            .flat_map(|part| [part.to_owned(), unescaped(part), decoded(part)])
            .filter(|part| part.trim().chars().count() >= WORD_LENGTH_MIN)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        hidden.dedup_by(|next, first| {
            let is_joined = next.start <= first.end;
            if is_joined {
                first.end = first.end.max(next.end);
            }
            is_joined
        });
        Self { hidden, secrets }
    }

    /// Returns the number (from 1) of the first line of `text` with a secret, if it has one.
    pub fn first_line(&self, text: &str) -> Option<usize> {
        let first = self.hidden.first()?.start;
        Some(text.get(..first)?.matches('\n').count() + 1)
    }

    /// Returns line `number` of `text` (from 1) as it may be shown, and the position of its column `column` (from 1) in
    /// that.
    pub fn line(&self, text: &str, number: usize, column: usize) -> Option<(String, usize)> {
        let mut start = 0;
        let mut lines = text.split_inclusive('\n');
        for _ in 1..number.max(1) {
            start += lines.next()?.len();
        }
        let line = lines.next()?.trim_end_matches(['\n', '\r']);
        let (mut shown, mut at, mut masked) = (String::new(), column, None);
        for (index, (offset, c)) in line.char_indices().enumerate() {
            let place = start + offset;
            let now = self.hidden.iter().position(|range| range.contains(&place));
            if now.is_none() {
                shown.push(c);
            } else if now != masked {
                shown.push_str(STARS);
            }
            masked = now;
            if index + 1 == column {
                // Inside of a secret: move to its beginning.
                let back = if now.is_some() { STARS.len() } else { 1 };
                at = shown.chars().count() + 1 - back;
            }
        }
        let behind = column.saturating_sub(line.chars().count());
        if behind > 0 {
            at = shown.chars().count() + behind;
        }
        Some((shown, at))
    }

    /// Returns `message` without the secrets of the text.
    pub fn words(&self, message: &str) -> String {
        self.secrets.iter().fold(message.to_owned(), |message, secret| {
            if message.contains(secret.as_str()) { message.replace(secret, STARS) } else { message }
        })
    }

    /// Returns `failure` without the secrets of the text.
    #[must_use]
    pub fn failure(&self, mut failure: ScriptFailure) -> ScriptFailure {
        failure.fault.message = self.words(&failure.fault.message);
        failure
    }
}

/// Returns `text` with the escapes of the language resolved.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let code = |digits: usize, chars: &mut std::str::Chars<'_>| {
            let digits: String = chars.by_ref().take(digits).collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
        };
        let found = match (c, chars.clone().next()) {
            ('\\', Some(escape)) => {
                chars.next();
                match escape {
                    'x' => code(2, &mut chars),
                    'u' => code(4, &mut chars),
                    'U' => code(8, &mut chars),
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    'r' => Some('\r'),
                    other => Some(other),
                }
            }
            _ => Some(c),
        };
        plain.extend(found);
    }
    plain
}

/// Returns `text` with percent-encoding resolved (`%41`), or an empty string if the result is not UTF-8.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests;
