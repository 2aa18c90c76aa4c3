//! A tolerant look at a jobs file that may be wrong: its state folder and the names of its jobs.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The parts of a jobs file that can be read even if it has errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The path of `state` in `[runner]`, as seen from the current directory.
    pub state: Option<PathBuf>,
    /// The names of the jobs.
    pub names: Vec<String>,
}

/// Reads these parts of the file at `path`. Fails if it cannot be read, or is not TOML.
pub fn glance(path: &Path) -> Result<Glance> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::local("read the jobs file", path, error))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::invalid(error.message().to_owned()).at(visible(path.as_os_str().as_encoded_bytes()))
    })?;
    let state = table.get("runner").and_then(|runner| runner.get("state")?.as_str());
    let folder = path.parent().unwrap_or(Path::new(""));
    let jobs = table.get("job").and_then(toml::Value::as_array);
    let name = |job: &toml::Value| Some(job.get("name")?.as_str()?.to_owned());
    let names = jobs.map(|jobs| jobs.iter().filter_map(name).collect());
    Ok(Glance { state: state.map(|state| folder.join(state)), names: names.unwrap_or_default() })
}
