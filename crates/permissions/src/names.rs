//! Names of environment variables and secrets that are allowed.

use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The variables that every program inherits: without them most do not work, and they hold no secrets.
const COMMON: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "PWD",
    "SSL_CERT_FILE",
];

/// Returns true for a variable that every program inherits.
pub(super) fn is_common(name: &str) -> bool {
    COMMON.contains(&name) || name.starts_with("LC_")
}

/// Returns true if `grant` allows `name`; a `*` at its end stands for any ending.
pub(super) fn matches_name(grant: &str, name: &str) -> bool {
    match grant.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => grant == name,
    }
}

/// Adds names to `list`.
pub(super) fn check(list: &mut Vec<String>, texts: &[String], key: &str) -> Result<()> {
    for text in texts {
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_name = !text.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_name {
            let message = format!(
                "`{key}` wants names of letters, digits, `_`, `-` and `.`, with or without a `*` at the end, got `{}`",
                visible(text)
            );
            return Err(Error::invalid(message));
        }
    }
    list.extend_from_slice(texts);
    Ok(())
}
