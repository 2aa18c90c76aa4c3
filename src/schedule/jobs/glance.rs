//! A tolerant look at a jobs file that may be wrong: its state folder and the names of its jobs.

use std::path::{Path, PathBuf};

use super::{
    expand::{EACH, plain},
    job::SECRET,
    sources::{self, Sources},
};
use crate::{
    error::{Error, Result},
    limits::JOBS_MAX,
    observe::visible::visible,
    secret::Secret,
};

/// The parts of a jobs file that can be read even if it has errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The path of `state` in `[runner]`, as seen from the current directory.
    pub state: Option<PathBuf>,
    /// `store` in `[runner]`.
    pub store: Option<Secret>,
    /// `store_password` in `[runner]`: the password, or `secret:NAME`.
    pub store_password: Option<Secret>,
    /// The names of the jobs.
    pub names: Vec<String>,
}

/// Reads these parts of the file at `path`. Fails if it cannot be read, or is not TOML.
pub fn glance(path: &Path) -> Result<Glance> {
    let shown = || visible(path.as_os_str().as_encoded_bytes());
    let Sources { files, .. } = sources::load(sources::read_text(path)?, path);
    let mut found = Glance::default();
    for (at, file) in files.iter().enumerate() {
        let table: toml::Table = match file.text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) if at == 0 => {
                return Err(Error::invalid(error.message().to_owned()).at(shown()));
            }
            Err(_) => continue,
        };
        if at == 0 {
            let text = |key: &str| table.get("runner").and_then(|runner| runner.get(key)?.as_str());
            let state = text("state");
            found.store = text("store").map(Secret::new);
            found.store_password = text("store_password").map(Secret::new);
            if let Some(name) = table
                .get("runner")
                .and_then(|runner| runner.get("store_password")?.get("secret")?.as_str())
            {
                found.store_password = Some(Secret::new(format!("{SECRET}{name}")));
            }
            let folder = path.parent().unwrap_or(Path::new(""));
            found.state = state.map(|state| folder.join(state));
        }
        let jobs = table.get("job").and_then(toml::Value::as_array);
        found.names.extend(jobs.into_iter().flatten().flat_map(names));
    }
    Ok(found)
}

/// Returns the names that a job has, with those that `each` makes of it.
fn names(job: &toml::Value) -> Vec<String> {
    let Some(name) = job.get("name").and_then(toml::Value::as_str) else { return Vec::new() };
    let Some(each) = job.get(EACH).and_then(toml::Value::as_table) else {
        return vec![name.to_owned()];
    };
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    };
    let mut suffixes = vec![Vec::new()];
    for values in each.values().filter_map(toml::Value::as_array) {
        let extended = suffixes.iter().flat_map(|known: &Vec<String>| {
            values.iter().map(|value| [known.as_slice(), &[text(value)]].concat())
        });
        suffixes = extended.take(JOBS_MAX).collect();
    }
    suffixes.iter().map(|suffix| format!("{name}[{}]", suffix.join(","))).collect()
}
