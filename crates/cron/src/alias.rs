//! Aliases of expressions.

/// The fields for which each alias stands.
const ALIASES: [(&str, &str); 8] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@every", ""),
];

/// Returns the fields of the alias `word`, in any case; empty for `@every`.
pub fn fields_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, fields)| *fields)
}

/// Returns all aliases, for suggestions.
pub(super) fn names() -> Vec<&'static str> {
    ALIASES.iter().map(|(alias, _)| *alias).collect()
}
