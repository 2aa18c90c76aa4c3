//! The names of secrets in a jobs file, which are not secrets.

use std::ops::Range;

/// The word with which they begin.
const SECRET: &str = "secret";

/// Returns the parts of a jobs file that name a secret: `"secret:NAME"`, and `{ secret = "NAME" }`.
pub(super) fn named(text: &str) -> Vec<Range<usize>> {
    let named = |(at, _): (usize, &str)| {
        let (before, rest) = (text.get(..at)?, text.get(at + SECRET.len()..)?);
        let end = match rest.strip_prefix(':') {
            Some(name) => quoted(name, before.chars().next_back()?)?.0,
            None if before.trim_end().ends_with('{') => {
                let value = rest.trim_start().strip_prefix('=')?.trim_start();
                let quote = value.chars().next()?;
                let (end, after) = quoted(value.get(1..)?, quote)?;
                after.trim_start().starts_with('}').then_some(end)?
            }
            None => return None,
        };
        Some(at..text.len() - end)
    };
    text.match_indices(SECRET).filter_map(named).collect()
}

/// Returns the number of bytes behind a name that `quote` ends, and the text after it.
fn quoted(text: &str, quote: char) -> Option<(usize, &str)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    let rest = text.trim_start_matches(is_of_name);
    let after = rest.strip_prefix(quote).filter(|_| matches!(quote, '"' | '\''))?;
    Some((rest.len(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_found_and_secrets_are_not() {
        for (text, wanted) in [
            ("token = \"secret:A_1\"", &["secret:A_1"][..]),
            ("a = ['secret: B', \"x\"]", &["secret: B"]),
            ("password = {secret=\"C.d\"}", &["secret=\"C.d"]),
            ("password = { secret = 'D' }", &["secret = 'D"]),
            ("secret = \"hunter2\"", &[]),
            ("a = { secret = \"hunter2\", b = 1 }", &[]),
            ("a = \"my secret:hunter2\"", &[]),
            ("a = \"secret:hun/ter2\"", &[]),
            ("a = \"secret:hunter2'", &[]),
        ] {
            let found: Vec<_> = named(text).into_iter().map(|part| &text[part]).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }
}
