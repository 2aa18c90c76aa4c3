//! The history of the prompt, kept for the next session: for its owner only, and without secrets.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use crate::{files::owned, store};

/// Returns the history file in the state directory, and creates it if it does not exist. Returns `None` if that
/// fails: the prompt works without it.
pub(super) fn file(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("shell-history");
    let made = store::make_folder(folder)
        .is_ok_and(|()| owned::open(&path, OpenOptions::new().append(true).create(true)).is_ok());
    made.then_some(path)
}

/// Returns true if `line` may be kept because nothing in it looks like a password.
pub(super) fn may_keep(line: &str) -> bool {
    let lower = line.to_lowercase();
    // The name of a secret is not a secret.
    let rest = lower.replace("password: secret(", "").replace("account: secret(", "");
    let hints = ["pass", "secret", "account", "acct", "token", "key:", "proxy"];
    let names_one = hints.iter().any(|hint| rest.contains(hint));
    // ftp://user:password@host
    let has_login = lower.split("://").skip(1).any(|url| {
        let host = url.split(['/', '"', '\'', ' ']).next().unwrap_or_default();
        host.split_once('@').is_some_and(|(login, _)| login.contains(':'))
    });
    !names_one && !has_login
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_hold_a_secret_is_not_kept() {
        for line in [
            "quote PASS hunter2",
            "quote ACCT x",
            "let p = \"hunter2\"; ftp::connect(\"ftp://h\", #{ password: p })",
            "ftp::connect(\"ftp://me:hunter2@h/\")",
            "ftp::connect(\"ftp://h\", #{ \"password\": \"hunter2\" })",
        ] {
            assert!(!may_keep(line), "{line}");
        }
        for line in [
            "ls pub",
            "get a.csv",
            "ftp::connect(\"ftpes://me@h:2121/\", #{ password: secret(\"WWW_PASSWORD\") })"
                .replace("WWW_PASSWORD", "WWW")
                .as_str(),
        ] {
            assert!(may_keep(line), "{line}");
        }
    }
}
