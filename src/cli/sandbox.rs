//! The sandbox of a run: all that it needs besides its permissions is opened, read or named here, before the kernel shuts
//! the rest.

use std::{env, path::PathBuf};

use tempfile::TempDir;

use super::{common::Common, report::UsageError};
use crate::{
    error::Error,
    files,
    ftp::{site::Trust, url::Url},
    observe::EventEmitter,
    permissions::{
        PermissionOptions, RunPermissions,
        sandbox::{OwnPaths, SandboxPlan},
    },
    schedule::child::programs::RunPrograms,
    script::{
        check, netrc,
        run::Settings,
        secrets,
        sites::{self, SiteBook},
        source::ScriptSource,
    },
    store,
};

/// The sandbox of a run. Its temporary directory is removed when this is dropped.
#[derive(Debug, Default)]
pub(super) struct RunSandbox {
    lacks: Vec<&'static str>,
    temp: Option<TempDir>,
}

impl RunSandbox {
    /// Confines this process to what `permissions` and the run itself need, as the `programs` around its work do. Must be
    /// called before there is a second thread. Without permissions nothing is confined.
    ///
    /// # Errors
    ///
    /// A [`UsageError`] if there is nothing to confine although a sandbox is required, `unsupported` if this kernel cannot.
    pub(super) fn enter(
        common: &Common,
        source: &ScriptSource,
        options: &PermissionOptions,
        permissions: &RunPermissions,
        settings: &Settings,
        programs: &RunPrograms,
    ) -> anyhow::Result<Self> {
        if !permissions.is_named() {
            if options.require_sandbox {
                let message = "`--require-sandbox` has nothing to enforce: without permissions the script may do \
                     everything; `portolan check --permissions SCRIPT` prints those that it needs";
                return Err(UsageError(Error::invalid(message)).into());
            }
            return Ok(Self::default());
        }
        let temp = tempfile::Builder::new().prefix("portolan-run-").tempdir();
        let temp = temp.map_err(|error| Error::local("make a folder", env::temp_dir(), error))?;
        let programs = programs.names().map(str::to_owned).collect();
        let mut own = OwnPaths { programs, ..OwnPaths::default() };
        own.write.push(temp.path().to_owned());
        if let Some(state) = common.state_folder() {
            // A directory that cannot be made is reported where it is used.
            store::make_folder(&state).ok();
            own.write.push(state);
        }
        own.read.push(PathBuf::from(source.shown()));
        match check::permissions::imports(source) {
            Some(imports) => own.read.extend(imports),
            None => own.read.push(source.root().to_owned()),
        }
        own.read.extend(settings.overrides.paths());
        for name in &options.secret {
            if name.ends_with('*') {
                own.read.extend(secret_places());
            } else {
                secrets::keep(name);
            }
        }
        own.read.extend(saved_sites(permissions));
        files::prepare();
        let plan = SandboxPlan::new(permissions, &own);
        let lacks = plan.enforce(options.require_sandbox)?;
        Ok(Self { lacks, temp: Some(temp) })
    }

    /// Gives `settings` what was prepared.
    pub(super) fn equip(&self, settings: &mut Settings) {
        settings.temp = self.temp.as_ref().map(|temp| temp.path().to_owned());
    }

    /// Reports what this kernel cannot enforce.
    pub(super) fn report(&self, observer: &EventEmitter) {
        if !self.lacks.is_empty() {
            let lacks = self.lacks.join("; ");
            observer.warn_once(format!(
                "this kernel does not enforce all permissions of this run, which its functions check all the same: {lacks}"
            ));
        }
    }
}

/// Returns the files of saved sites, and those that the sites name with which the run may connect. The passwords of these
/// are read, or asked of their commands, now: a confined run starts no programs for that. What is wrong with a site is
/// reported where it is used.
fn saved_sites(permissions: &RunPermissions) -> Vec<PathBuf> {
    let mut files = sites::places();
    let Ok(book) = SiteBook::read() else { return files };
    for (name, _) in book.names() {
        let Ok(saved) = book.find(name) else { continue };
        let Ok(url) = Url::parse(&saved.url) else { continue };
        if !permissions.has_net(&url.site.host, url.site.port) {
            continue;
        }
        saved.named_secrets().for_each(|(_, name)| secrets::keep(&name));
        let Ok(mut url) = saved.url_of(None) else { continue };
        let Trust { ca_file, client_cert, client_key, .. } = &url.site.trust;
        files.extend([ca_file, client_cert, client_key].into_iter().flatten().cloned());
        sites::ask_password(&mut url.site, false).ok();
    }
    files
}

/// Returns the places of all secrets.
fn secret_places() -> Vec<PathBuf> {
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    credentials.into_iter().chain(secrets::folders()).chain(netrc::usual_path()).collect()
}
