//! The sources of secrets: never argv, never the script's text.

use std::{
    collections::BTreeMap,
    env::{self, VarError},
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{netrc, sites::config_folder};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files,
    observe::visible::visible,
    secret::Secret,
    similar::{NAMES_MAX, nearest},
};

/// The maximum size of one secret in bytes: that of a key, not of a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// The variables with which portolan is given secrets. No program that it starts gets them.
pub const OWN_VARIABLES: [&str; 3] =
    ["PORTOLAN_PASSWORD", "PORTOLAN_SECRETS", "CREDENTIALS_DIRECTORY"];
/// The folder of secrets if `PORTOLAN_SECRETS` names none.
const FOLDER: &str = "secrets";

/// A secret and its exposure.
#[derive(Debug, Clone)]
pub struct FoundSecret {
    /// The secret.
    pub secret: Secret,
    /// True if it came from the environment, which other programs of this user can read.
    pub is_exposed: bool,
}

/// The secrets that were read before the process lost its sight of their sources.
static KEPT: Mutex<BTreeMap<String, FoundSecret>> = Mutex::new(BTreeMap::new());

/// Reads the secret `name` now, for a run that will not see its source. One that does not exist is reported when it is
/// asked for.
pub fn keep(name: &str) {
    if let Ok(found) = find(name, false) {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), found);
    }
}

/// Returns the secret `name` from the first of: a systemd credential, a file of the folder of secrets or of that of
/// the user's configuration, an entry of the netrc file, an environment variable. In a rehearsal a missing one is made up: it reaches nothing real.
pub fn find(name: &str, is_rehearsal: bool) -> Result<FoundSecret> {
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !name.starts_with('.');
    if !is_name {
        let message =
            format!("`{name}` cannot name a secret: letters, digits, `_`, `-` and `.` can");
        return Err(Error::invalid(message));
    }
    if let Some(found) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
        return Ok(found.clone());
    }
    if let Some(secret) = kept(name)? {
        return Ok(FoundSecret { secret: full(name, secret)?, is_exposed: false });
    }
    match env::var(name) {
        Ok(value) if value.is_empty() && !is_rehearsal => Err(empty(name)),
        Ok(value) => Ok(FoundSecret { secret: Secret::new(value), is_exposed: true }),
        Err(_) if is_rehearsal => {
            Ok(FoundSecret { secret: Secret::new("rehearsal"), is_exposed: false })
        }
        Err(VarError::NotUnicode(_)) => {
            let message = format!("the environment variable {name} is no secret: it is not UTF-8");
            Err(Error::new(ErrorKind::Invalid, Origin::Here, message))
        }
        Err(VarError::NotPresent) => {
            let near = similar(name).map(|near| format!("; did you mean `{near}`?"));
            let message = format!(
                "there is no secret `{name}`: set the environment variable {name}, or give a systemd credential or a file \
                 {FOLDER}/{name} (mode 0600) of that name{}",
                near.unwrap_or_default()
            );
            Err(Error::new(ErrorKind::NotFound, Origin::Here, message))
        }
    }
}

/// Returns the name most similar to `name` of a secret that there is, or of an environment variable.
fn similar(name: &str) -> Option<String> {
    let files = folders().into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let files = files.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let variables = variables.filter(|name| !OWN_VARIABLES.contains(&name.as_str()));
    let names: Vec<_> = files.take(NAMES_MAX).chain(variables).collect();
    let known: Vec<_> = names.iter().map(String::as_str).collect();
    nearest(name, &known).filter(|near| *near != name).map(visible)
}

/// Returns the secret, unless it is empty: it would be sent as a password that is none.
fn full(name: &str, secret: Secret) -> Result<Secret> {
    if secret.reveal().is_empty() { Err(empty(name)) } else { Ok(secret) }
}

fn empty(name: &str) -> Error {
    let message =
        format!("the secret `{name}` is empty: a variable or file of that name holds nothing");
    Error::new(ErrorKind::Invalid, Origin::Here, message)
}

/// Returns the secret that `text` names as `secret:NAME`, or `text` itself.
pub fn of_text(text: &str) -> Result<Secret> {
    match text.strip_prefix("secret:") {
        Some(name) => find(name.trim(), false).map(|found| found.secret),
        None => Ok(Secret::new(text)),
    }
}

/// Works like [`of_text`] for a process whose working directory is not `folder`, which has the folder of secrets.
pub fn of_text_in(text: &str, folder: &Path) -> Result<Secret> {
    let Some(name) = text.strip_prefix("secret:").map(str::trim) else { return of_text(text) };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let has_credential = env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| Path::new(&folder).join(name).exists());
    if is_name && !name.starts_with('.') && !has_credential {
        let file = folder_in(folder).join(name);
        if let Some(text) = files::read_private(&file, SECRET_BYTES_MAX)? {
            return full(name, first_line(&text));
        }
    }
    of_text(text)
}

/// Returns the folder of secrets of a process whose working directory is `folder`.
pub fn folder_in(folder: &Path) -> PathBuf {
    let named = env::var_os("PORTOLAN_SECRETS").map_or_else(|| FOLDER.into(), PathBuf::from);
    folder.join(named)
}

/// Returns true for the error that no source has a secret, as opposed to one that cannot be used.
pub fn is_missing(fault: &Error) -> bool {
    fault.kind == ErrorKind::NotFound && fault.path.is_none()
}

/// Returns the connect options `KEY=VALUE` with passwords in place of the secrets that they name.
pub fn of_settings(texts: &[String]) -> Result<Vec<String>> {
    let resolved = |text: &String| match text.split_once('=') {
        Some((key @ ("password" | "account" | "proxy"), value)) => {
            Ok(format!("{key}={}", of_text(value)?.reveal()))
        }
        _ => Ok(text.clone()),
    };
    texts.iter().map(resolved).collect()
}

/// Returns the folders of secrets, the first of which is asked first.
pub fn folders() -> Vec<PathBuf> {
    let folder = env::var_os("PORTOLAN_SECRETS").map_or_else(|| FOLDER.into(), PathBuf::from);
    let user = config_folder().map(|folder| folder.join(FOLDER));
    std::iter::once(folder).chain(user).collect()
}

/// Returns the secret from a source that no other user can read.
fn kept(name: &str) -> Result<Option<Secret>> {
    if let Some(folder) = env::var_os("CREDENTIALS_DIRECTORY") {
        let file = Path::new(&folder).join(name);
        if file.exists() {
            return read_file(&file).map(Some);
        }
    }
    for folder in folders() {
        if let Some(text) = files::read_private(&folder.join(name), SECRET_BYTES_MAX)? {
            return Ok(Some(first_line(&text)));
        }
    }
    netrc::usual_path().map_or(Ok(None), |file| netrc::password(&file, name))
}

/// Returns the first line of a file that holds a secret, such as the one that `--password-file` names.
pub fn read_file(path: &Path) -> Result<Secret> {
    let cannot = |error| Error::local("read the secret", path, error);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        let message = format!("a secret of more than {SECRET_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(path.to_string_lossy()));
    }
    let secret = first_line(&text);
    if secret.reveal().is_empty() {
        return Err(Error::invalid("the secret is empty").at(path.to_string_lossy()));
    }
    Ok(secret)
}

fn first_line(text: &str) -> Secret {
    Secret::new(text.trim_end_matches(['\r', '\n']))
}
