//! The expressions that have a name.

/// What an alias stands for.
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

/// The fields of the alias `word`, in whatever case; empty for `@every`.
pub(in crate::schedule) fn fields_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, fields)| *fields)
}

/// All of them, for the nearest of a misspelt one.
pub(super) fn names() -> Vec<&'static str> {
    ALIASES.iter().map(|(alias, _)| *alias).collect()
}
