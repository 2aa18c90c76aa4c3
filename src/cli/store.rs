//! The store of the schedule: a database in the state directory, or one on a server that machines share.

use std::{
    collections::BTreeSet,
    env,
    ops::Deref,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};

use super::{
    common::Common,
    place::{JobsFile, scheduler},
    record, report,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
    schedule::jobs::Jobs,
    script::secrets,
    secret::Secret,
    store::{self, Store, StorePlace},
};

/// The variable with the address of the store.
const VARIABLE: &str = "PORTOLAN_STORE";
/// The beginning of a password that is the name of a secret.
const SECRET: &str = "secret:";

/// The options that select the jobs file and the store.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct JobsStore {
    #[command(flatten)]
    file: JobsFile,
    /// Address of the PostgreSQL database that machines share [default: $PORTOLAN_STORE, else `store` in the jobs file]
    #[arg(long = "store", value_name = "URL", value_parser = secret)]
    address: Option<Secret>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

impl Deref for JobsStore {
    type Target = JobsFile;

    fn deref(&self) -> &JobsFile {
        &self.file
    }
}

impl JobsStore {
    /// Returns true if the user names the store, with an option or by the environment.
    pub(super) fn names_store(&self) -> bool {
        self.address.is_some() || env::var_os(VARIABLE).is_some()
    }

    /// Returns the place of the store that the user names.
    pub(super) fn named_server(&self) -> Result<Option<StorePlace>> {
        self.server(None, None)
    }

    /// Returns the same options with another jobs file, if one is named.
    #[must_use]
    pub(super) fn with_file(&self, path: Option<&Path>) -> Self {
        let file = path.map_or_else(|| self.file.clone(), JobsFile::at);
        Self { file, address: self.address.clone() }
    }

    /// Returns the store of the jobs file at `path`.
    pub(super) fn at(path: &Path) -> Self {
        Self { file: JobsFile::at(path), address: None }
    }

    /// Returns the place of the store that machines share; `None` if nothing names one. It must be the one of the scheduler,
    /// which uses the same order.
    fn server(
        &self,
        of_file: Option<Secret>,
        password: Option<&Secret>,
    ) -> Result<Option<StorePlace>> {
        let variable = env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Secret::new);
        let Some(address) = self.address.clone().or(variable).or(of_file) else { return Ok(None) };
        let place = StorePlace::server(address.reveal(), None, None)?;
        if place.has_password() {
            if self.address.is_some() {
                report::print(
                    "warning: other users of this host can read the password in --store: PGPASSWORD, a password file \
                     (~/.pgpass) and `store_password` keep it from them\n",
                );
            }
            return Ok(Some(place));
        }
        let password = match password.map(Secret::reveal) {
            Some(text) => Some(match text.strip_prefix(SECRET) {
                Some(name) => secrets::find(name.trim(), false)?.secret,
                None => Secret::new(text),
            }),
            None => env::var("PGPASSWORD").ok().filter(|text| !text.is_empty()).map(Secret::new),
        };
        let named = env::var_os("PGPASSFILE").map(PathBuf::from);
        let passfile = named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pgpass")));
        StorePlace::server(address.reveal(), password.as_ref(), passfile.as_deref()).map(Some)
    }

    /// Returns the place of the store that the scheduler with these jobs shares with others; `None` if it is alone.
    pub(super) fn shared(&self, jobs: &Jobs) -> Result<Option<StorePlace>> {
        let runner = &jobs.runner;
        self.server(runner.store.clone(), runner.store_password.as_ref())
    }

    /// Returns the place of the store.
    pub(super) fn place(&self, common: &Common) -> Result<StorePlace> {
        let glance = self.glance()?;
        match self.server(glance.store, glance.store_password.as_ref())? {
            Some(place) => Ok(place),
            None => self.state(common).map(StorePlace::Folder),
        }
    }

    /// Opens the store, and creates it if it does not exist.
    pub(super) fn open(&self, common: &Common) -> Result<Store> {
        let place = self.place(common)?;
        if let StorePlace::Folder(folder) = &place {
            store::make_folder(folder)?;
        }
        place.open()
    }

    /// Opens the store. Returns the state directory of this host as well, which has the logs. Fails with `not_found` if
    /// nothing has ever run.
    pub(super) fn store(&self, common: &Common) -> Result<(PathBuf, Store)> {
        if let Some(found) = self.store_if_any(common)? {
            return Ok(found);
        }
        let message = "there is no history: nothing has run with this state folder";
        let fault = Error::new(ErrorKind::NotFound, Origin::Here, message);
        Err(fault.at(self.state(common)?.to_string_lossy()))
    }

    /// Works like [`JobsStore::store`]; `None` if nothing has ever run with the state directory.
    pub(super) fn store_if_any(&self, common: &Common) -> Result<Option<(PathBuf, Store)>> {
        let glance = self.glance()?;
        if let Some(place) = self.server(glance.store, glance.store_password.as_ref())? {
            // Whoever only asks needs none.
            let folder = self.state(common).unwrap_or_default();
            return Ok(Some((folder, place.open()?)));
        }
        let folder = self.state(common)?;
        if !folder.exists() {
            return Ok(None);
        }
        let mut store = Store::open(&folder)?;
        if let Some(loss) = store.loss()? {
            report::print(&format!("warning: {}\n", visible(loss)));
        }
        record::settle(&folder, &mut store, &Clock::System)?;
        Ok(Some((folder, store)))
    }

    /// Works like [`JobsStore::store_if_any`]; `None` as well if this host has no place for state.
    pub(super) fn store_if_placed(&self, common: &Common) -> Result<Option<(PathBuf, Store)>> {
        match self.store_if_any(common) {
            Err(fault) if fault.kind == ErrorKind::Invalid && !self.names_server() => Ok(None),
            found => found,
        }
    }

    /// Returns true if anything names a store that machines share.
    fn names_server(&self) -> bool {
        self.address.is_some()
            || env::var_os(VARIABLE).is_some_and(|text| !text.is_empty())
            || self.glance().is_ok_and(|glance| glance.store.is_some())
    }

    /// Returns the jobs that are paused; none if nothing has ever run.
    pub(super) fn paused(&self, common: &Common) -> Result<BTreeSet<String>> {
        let Some((_, store)) = self.store_if_placed(common)? else { return Ok(BTreeSet::new()) };
        let states = store.job_states()?.into_iter();
        Ok(states.filter(|state| state.paused_at.is_some()).map(|state| state.job).collect())
    }
}

/// Returns true if a scheduler uses the store: the one of the state directory, or a machine that shares the store and gave a
/// sign of life a short while ago.
pub(super) fn is_served(state: &Path, store: &Store) -> Result<bool> {
    let Some(now) = store.server_time()? else { return Ok(scheduler(state).is_some()) };
    let is_alive = |beat_at: Timestamp, lease_ms: i64| {
        now.duration_since(beat_at) < SignedDuration::from_millis(lease_ms.saturating_mul(2))
    };
    Ok(store.workers()?.iter().any(|worker| is_alive(worker.beat_at, worker.lease_ms)))
}

/// Returns the time by the clock of the schedule: that of the server, or of this host.
pub(super) fn now(store: &Store) -> Result<Timestamp> {
    Ok(store.server_time()?.unwrap_or_else(|| Clock::System.now()))
}
