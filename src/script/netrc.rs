//! The lookup of a password in `.netrc`: for the machine that is named, and from no other entry.

use std::{
    fs::OpenOptions,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, process::geteuid};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::secret::Secret,
};

/// The maximum size of such a file in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads a file that only its owner may read: it must be owned by the current user or root, be no symbolic link, and be
/// closed to others. Returns `None` if there is no such file.
pub(super) fn read_private(path: &Path, bytes: u64) -> Result<Option<String>> {
    // A FIFO that somebody placed there is not waited for.
    let no_follow = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let no_follow = i32::try_from(no_follow.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(no_follow).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(Error::local("read the secret", path, error)),
    };
    let data = file.metadata().map_err(|error| Error::local("read the secret", path, error))?;
    let refuse = |why: String| {
        Err(Error::new(ErrorKind::Local, Origin::Here, why).at(path.to_string_lossy()))
    };
    if !data.is_file() {
        return refuse("a secret is read from a file, and this is none".into());
    }
    if data.mode() & 0o077 != 0 {
        return refuse(format!(
            "others can read this secret (mode {:04o}): `chmod 600` it",
            data.mode() & 0o7777
        ));
    }
    if data.uid() != 0 && data.uid() != geteuid().as_raw() {
        return refuse("this secret belongs to another user".into());
    }
    let mut text = String::new();
    file.take(bytes + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::local("read the secret", path, error))?;
    if text.len() as u64 > bytes {
        return refuse(format!("a file of secrets of more than {bytes} bytes is not read"));
    }
    Ok(Some(text))
}

/// Returns the password that the file at `path` has for `machine`. A file that others can read is an error only if it
/// has that password.
pub(super) fn password(path: &Path, machine: &str) -> Result<Option<Secret>> {
    let text = match read_private(path, BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(fault) => {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let is_named = matches!(find(&text, machine), Ok(Some(_)) | Err(_));
            return if is_named { Err(fault) } else { Ok(None) };
        }
    };
    find(&text, machine)
        .map_err(|why| Error::new(ErrorKind::Invalid, Origin::Here, why).at(path.to_string_lossy()))
}

/// Returns the password of `machine` in the text of a netrc file.
pub(super) fn find(text: &str, machine: &str) -> Result<Option<Secret>, String> {
    if let Some(bad) = text.chars().find(|c| c.is_control() && !c.is_ascii_whitespace()) {
        return Err(format!("it has a control character ({})", bad.escape_unicode()));
    }
    let mut words = words(text).into_iter();
    let mut is_ours = false;
    let mut has_entry = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" | "default" if is_ours => break,
            "machine" => {
                is_ours = words.next().as_deref() == Some(machine);
                has_entry |= is_ours;
            }
            "login" | "account" => drop(words.next()),
            "password" => {
                let value = words.next();
                if is_ours {
                    return match value.filter(|value| !value.is_empty()) {
                        Some(value) => Ok(Some(Secret::new(value))),
                        None => Err(format!("the entry of `{machine}` has an empty password")),
                    };
                }
            }
            _ => {}
        }
    }
    // An entry without a password gets none from another entry.
    if has_entry { Err(format!("the entry of `{machine}` has no password")) } else { Ok(None) }
}

/// Splits the file into words, plain or in quotes with `\` before an escaped character; comments and macros are left
/// out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut of_line = words_of_line(line);
        if of_line.first().is_some_and(|word| word == "macdef") {
            // A macro ends at an empty line.
            while lines.next().is_some_and(|line| !line.trim().is_empty()) {}
            continue;
        }
        words.append(&mut of_line);
    }
    words
}

fn words_of_line(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None => return words,
            // A password may begin with `#`.
            Some('#') if words.last().is_none_or(|word| word != "password") => return words,
            _ => {}
        }
        let is_quoted = chars.next_if_eq(&'"').is_some();
        let mut word = String::new();
        while let Some(c) = chars.next_if(|c| is_quoted || !c.is_whitespace()) {
            match c {
                '"' if is_quoted => break,
                '\\' => word.extend(chars.next()),
                c => word.push(c),
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Option<String>, String> {
        find(text, "h").map(|secret| secret.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn s63_a_password_comes_from_its_own_entry_or_from_none() {
        for (text, wanted) in [
            ("machine h login me password pw", Some("pw")),
            (
                "machine g password no\nmachine h\n  login me\n  password \"p w\\\"q\"\n",
                Some("p w\"q"),
            ),
            ("# machine h password no\nmachine h password #1", Some("#1")),
            ("macdef init\nmachine h password no\n\nmachine h password yes", Some("yes")),
            ("machine password password no machine h password yes", Some("yes")),
            ("default login me password no", None),
            ("machine g password no", None),
            ("", None),
        ] {
            assert_eq!(found(text), Ok(wanted.map(str::to_owned)), "{text}");
        }
        for text in [
            "machine h login me\nmachine g password no",
            "machine h login me default password no",
            "machine h password \"\"",
            "machine h password a\0b",
        ] {
            assert!(found(text).is_err(), "{text:?}");
        }
    }
}
