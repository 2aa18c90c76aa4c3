//! Where secrets come from: never from argv, never from the script's text.

use std::{io::Read, path::Path};

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::secret::Secret,
};

/// Bytes of one secret: a key at most, not a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The secret `name`. In a rehearsal a missing one is made up: nothing real is reached with it.
pub fn find(name: &str, is_rehearsal: bool) -> Outcome<Secret> {
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !name.starts_with('.');
    if !is_name {
        let message =
            format!("`{name}` cannot name a secret: letters, digits, `_`, `-` and `.` can");
        return Err(Fault::invalid(message));
    }
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let file = Path::new(&folder).join(name);
        if file.exists() {
            return read_file(&file);
        }
    }
    match std::env::var(name) {
        Ok(value) => Ok(Secret::new(value)),
        Err(_) if is_rehearsal => Ok(Secret::new("rehearsal")),
        Err(_) => {
            let message = format!(
                "there is no secret `{name}`: set the environment variable {name}, or give a systemd credential of that name"
            );
            Err(Fault::new(Kind::NotFound, Side::Here, message))
        }
    }
}

/// The first line of a file that holds a secret, such as `--password-file` names.
pub fn read_file(path: &Path) -> Outcome<Secret> {
    let cannot = |error| Fault::local("read the secret", path, error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}
