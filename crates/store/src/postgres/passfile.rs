//! The password file of libpq: `host:port:database:user:password` in each line, with `*` for any, and `\\` before a colon or a
//! backslash that is part of a value. The first line that fits counts.

use std::{fs, io::ErrorKind as IoErrorKind, os::unix::fs::MetadataExt, path::Path};

use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The maximum size of the file.
const PASSFILE_BYTES_MAX: u64 = 1024 * 1024;

/// The login that a password is looked up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PasswordOwner<'o> {
    pub(super) host: &'o str,
    pub(super) port: &'o str,
    pub(super) database: &'o str,
    pub(super) user: &'o str,
}

/// Returns the text of the file; `None` if there is none. Fails if other users may read it.
pub(super) fn read(file: &Path) -> Result<Option<String>> {
    let cannot = |error| Error::local("read the password file", file, error);
    let data = match fs::metadata(file) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        data => data.map_err(cannot)?,
    };
    let refused = |message: &str| {
        Error::new(ErrorKind::Local, Origin::Here, message).at(file.to_string_lossy())
    };
    if data.mode() & 0o077 != 0 {
        return Err(refused("other users may read the password file: `chmod 600` it"));
    }
    if data.len() > PASSFILE_BYTES_MAX {
        return Err(refused("the password file is larger than a megabyte"));
    }
    fs::read_to_string(file).map(Some).map_err(cannot)
}

/// Returns the password of `owner`.
pub(super) fn find(text: &str, owner: PasswordOwner<'_>) -> Option<String> {
    let wanted = [owner.host, owner.port, owner.database, owner.user];
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|fields| {
        let (values, password) = fields.split_at_checked(wanted.len())?;
        let fits = values.iter().zip(wanted).all(|(value, wanted)| value == "*" || value == wanted);
        // A colon in the password needs no backslash.
        fits.then(|| password.join(":")).filter(|password| !password.is_empty())
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        let sign = match sign {
            ':' => {
                fields.push(String::new());
                continue;
            }
            '\\' => signs.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(last) = fields.last_mut() {
            last.push(sign);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# h:1:d:u:comment\nh:1:other:u:no\n\nh:*:d:u:a\\:b\\\\c:d\n*:*:*:*:last\n";
        let owner = PasswordOwner { host: "h", port: "1", database: "d", user: "u" };
        assert_eq!(find(text, owner).as_deref(), Some("a:b\\c:d"));
        assert_eq!(find(text, PasswordOwner { host: "i", ..owner }).as_deref(), Some("last"));
        assert_eq!(find("h:1:d:u\nh:1:d:u:\n", owner), None);
    }
}
