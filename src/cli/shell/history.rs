//! What was typed at the prompt, kept for the next time: for its owner alone, and without secrets.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use crate::{files::owned, store};

/// The file of the history in the state folder, made where it is missing. Nothing where there is no place for it: a
/// prompt works without.
pub(super) fn file(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("shell-history");
    let made = store::make_folder(folder)
        .is_ok_and(|()| owned::open(&path, OpenOptions::new().append(true).create(true)).is_ok());
    made.then_some(path)
}

/// Whether `line` may be kept: nothing in it may be a password.
pub(super) fn may_keep(line: &str) -> bool {
    let lower = line.to_lowercase();
    // A name of a secret is none.
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
