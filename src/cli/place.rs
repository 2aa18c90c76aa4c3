//! The location of the scheduler's files: its jobs file and its state directory.

use std::path::{Path, PathBuf};

use super::{common::Common, report::UsageError};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    observe::visible::visible,
    schedule::{
        daemon,
        jobs::{self, Glance, Jobs},
        zone::Zones,
    },
    similar::nearest,
    store::Store,
};

/// The default jobs file.
pub(super) const JOBS_FILE: &str = "portolan.toml";

/// The option that selects the jobs file.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct JobsFile {
    /// Jobs file [default: portolan.toml]
    #[arg(long = "jobs", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl JobsFile {
    /// Returns the path of the jobs file.
    pub(super) fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(JOBS_FILE))
    }

    /// Returns true if the user names it.
    pub(super) const fn names_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns the jobs file at `path`.
    pub(super) fn at(path: &Path) -> Self {
        Self { file: Some(path.to_owned()) }
    }

    /// Returns the default jobs file.
    pub(super) const fn usual() -> Self {
        Self { file: None }
    }

    /// Reads the jobs.
    pub(super) fn read(&self) -> Result<Jobs> {
        jobs::read(self.path(), &Zones::newest(), Clock::System.now())?.into_jobs()
    }

    /// Returns the state directory: `--state`, `PORTOLAN_STATE`, the one in the jobs file, or the default. It must be
    /// the one of the scheduler, which uses the same order.
    pub(super) fn state(&self, common: &Common) -> Result<PathBuf> {
        match common.named_state_folder() {
            Some(folder) => Ok(folder),
            None => state_or_usual(self.glance()?.state),
        }
    }

    /// Returns the settings in the file even if other parts of it are invalid: the scheduler keeps the old version
    /// while it is edited. Empty if no file is named and the default one does not exist.
    pub(super) fn glance(&self) -> Result<Glance> {
        if self.file.is_none() && !Path::new(JOBS_FILE).exists() {
            return Ok(Glance::default());
        }
        jobs::glance(self.path())
    }

    /// Fails for a job that is neither in the jobs file nor in history, and suggests the most similar name.
    pub(super) fn know(&self, job: &str, store: &Store) -> Result<()> {
        let mut known = self.glance()?.names;
        if known.is_empty() {
            let states = store.job_states()?.into_iter().map(|state| state.job);
            known = store.jobs_with_history()?.into_iter().chain(states).collect();
        }
        if known.iter().any(|name| name == job) {
            return Ok(());
        }
        known.sort();
        let names: Vec<_> = known.iter().map(String::as_str).collect();
        let hint = match nearest(job, &names) {
            Some(near) => format!("; did you mean `{near}`?"),
            None if names.is_empty() => String::new(),
            None => format!("; there are {}", names.join(", ")),
        };
        let message = format!("there is no job `{}`{hint}", visible(job));
        Err(Error::invalid(message))
    }
}

/// Returns the named directory, or the default.
pub(super) fn state_or_usual(named: Option<PathBuf>) -> Result<PathBuf> {
    named.or_else(super::state::usual).ok_or_else(|| {
        Error::invalid("there is no place for state: name one with --state, or `state` in [runner]")
    })
}

/// Returns the process of the scheduler that uses a state directory, if one does.
pub(super) fn scheduler(state: &Path) -> Option<String> {
    daemon::holder(state)
}

/// Returns the error for a command: that of a wrong command line for an unknown name.
pub(super) fn failed(error: Error) -> anyhow::Error {
    if error.kind == ErrorKind::Invalid { UsageError(error).into() } else { error.into() }
}
