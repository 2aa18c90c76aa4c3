//! Where the scheduler's things are: its jobs file and its state folder.

use std::path::{Path, PathBuf};

use super::{common::Common, record, report};
use crate::{
    clock::Clock,
    fault::{Fault, Kind, Outcome, Side},
    observe::visible::visible,
    schedule::{
        daemon,
        jobs::{self, Glance, Jobs},
        zone::Zones,
    },
    script::value::nearest,
    store::Store,
};

/// The jobs file when nobody names one.
pub(super) const JOBS_FILE: &str = "portolan.toml";

/// Which jobs file.
#[derive(Debug, clap::Args)]
pub(super) struct JobsFile {
    /// The jobs file [default: portolan.toml]
    #[arg(long = "jobs", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl JobsFile {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(JOBS_FILE))
    }

    /// The one of the usual name, where there is one.
    pub(super) const fn usual() -> Self {
        Self { file: None }
    }

    /// The jobs.
    pub(super) fn read(&self) -> Outcome<Jobs> {
        jobs::read(self.path(), &Zones::newest(), Clock::System.now())?.into_jobs()
    }

    /// The state folder: `--state`, `PORTOLAN_STATE`, what the jobs file says, the usual one. History that is looked at is
    /// that of the scheduler, which looks for it in the same order.
    pub(super) fn state(&self, common: &Common) -> Outcome<PathBuf> {
        match common.named_state_folder() {
            Some(folder) => Ok(folder),
            None => state_or_usual(self.glance()?.state),
        }
    }

    /// What the file says of these things, whatever else is wrong with it: the scheduler goes on with the old one while it
    /// is edited. Nothing where no file is named and there is none of the usual name.
    fn glance(&self) -> Outcome<Glance> {
        if self.file.is_none() && !Path::new(JOBS_FILE).exists() {
            return Ok(Glance::default());
        }
        jobs::glance(self.path())
    }

    /// The store in it. Fails with `not_found` where nothing has ever run.
    pub(super) fn store(&self, common: &Common) -> Outcome<(PathBuf, Store)> {
        let folder = self.state(common)?;
        if !folder.exists() {
            let message = "there is no history: nothing has run with this state folder";
            let fault = Fault::new(Kind::NotFound, Side::Here, message);
            return Err(fault.at(folder.to_string_lossy()));
        }
        let mut store = Store::open(&folder)?;
        if let Some(loss) = store.loss()? {
            report::print(&format!("warning: {}\n", visible(loss)));
        }
        record::settle(&folder, &mut store, &Clock::System)?;
        Ok((folder, store))
    }

    /// Fails for a job that neither the jobs file nor history knows, and names the nearest.
    pub(super) fn know(&self, job: &str, store: &Store) -> Outcome<()> {
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
        Err(Fault::invalid(message))
    }
}

/// The folder that is named, or the usual one.
pub(super) fn state_or_usual(named: Option<PathBuf>) -> Outcome<PathBuf> {
    named.or_else(super::state::usual).ok_or_else(|| {
        Fault::invalid("there is no place for state: name one with --state, or `state` in [runner]")
    })
}

/// The process of the scheduler that uses a state folder, if one does.
pub(super) fn scheduler(state: &Path) -> Option<String> {
    daemon::holder(state)
}

/// Prints a fault, and gives the code: that of a wrong command line for a name that nobody knows.
pub(super) fn failed(fault: &Fault) -> u8 {
    if fault.kind == Kind::Invalid { report::wrong_usage(fault) } else { report::fault(fault) }
}
