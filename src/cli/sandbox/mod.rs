//! The sandbox of a run: all that it needs besides its permissions is opened, read or named here, before the kernel shuts
//! the rest.

mod temp;

use std::{env, fs::File, path::PathBuf, sync::Arc};

use self::temp::RunTemp;
use super::{
    ExitResult,
    common::{Common, interruptible},
    permissions::{PermissionArgs, permissions, print_usage},
    record::RunRecord,
    recording::RunRecording,
    report::{self, UsageError},
};
use crate::{
    error::Error,
    exit_code::Exit,
    files,
    ftp::{session::RunContext, site::Trust, url::Url},
    observe::{EventEmitter, account::Accounts},
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

/// A run in the foreground that is ready to be confined.
pub(super) struct ConfinedRun {
    /// The script.
    pub(super) source: ScriptSource,
    /// The settings of the script.
    pub(super) settings: Settings,
    /// The permissions as they were given.
    pub(super) options: PermissionOptions,
    /// True if permissions were given, so that all others are refused.
    pub(super) is_named: bool,
    /// The programs around the work.
    pub(super) programs: RunPrograms,
    /// The warning that is shown before the work begins.
    pub(super) warning: Option<String>,
    /// The file of the recording, if there is to be one; opened before the rest is shut.
    pub(super) recording: Option<File>,
}

impl ConfinedRun {
    /// Confines this process and does `work` in it. `record` begins the record of the run.
    pub(super) fn run(
        self,
        common: &Common,
        args: &PermissionArgs,
        record: impl FnOnce(Arc<Accounts>, &EventEmitter) -> RunRecord,
        work: impl FnOnce(&ScriptSource, Settings, &RunContext) -> Exit + Send + 'static,
    ) -> ExitResult {
        let Self { source, mut settings, options, is_named, programs, warning, recording } = self;
        let usage = args.usage();
        let permissions = permissions(&options, is_named).map_err(UsageError)?;
        let permissions = match &usage {
            Some(usage) => permissions.recorded(Arc::clone(usage)),
            None => permissions,
        };
        let sandbox =
            RunSandbox::enter(common, &source, &options, &permissions, &settings, &programs)?;
        sandbox.equip(&mut settings);
        let accounts = Arc::new(Accounts::default());
        let kept = common.context_with_account(Box::new(Arc::clone(&accounts)));
        let (mut context, states) = kept.map_err(UsageError)?;
        context.permissions = Arc::new(permissions);
        settings.states = states;
        let recording = recording
            .map(|file| RunRecording::begin(file, common, &source, &settings, &mut context));
        sandbox.report(&context.observer);
        if let Some(words) = warning {
            context.observer.warn(words);
        }
        let record = record(Arc::clone(&accounts), &context.observer);
        let (stop, observer) = (context.stop.clone(), context.observer.clone());
        let ended = interruptible(&stop, move || Ok(work(&source, settings, &context)));
        let exit = ended.unwrap_or_else(|error| report::failed(&error));
        record.end(report::settled(exit), &observer);
        if let Some(recording) = recording {
            recording.end(exit, &accounts);
        }
        if let Some(usage) = usage {
            print_usage(&usage, common.json());
        }
        Ok(exit)
    }
}

/// The sandbox of a run. Its temporary files are removed when this is dropped.
#[derive(Debug, Default)]
pub(super) struct RunSandbox {
    lacks: Vec<&'static str>,
    temp: Option<RunTemp>,
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
        let programs: Vec<_> = programs.names().map(str::to_owned).collect();
        let temp = RunTemp::take(permissions.has_programs() || !programs.is_empty())?;
        // A file on its way between two names of a server passes through a temporary one here.
        tempfile::env::override_temp_dir(temp.path()).ok();
        let has_names = settings.overrides.has("proxy") || is_proxy_set();
        let mut own = OwnPaths { programs, has_names, ..OwnPaths::default() };
        own.write.push(temp.path().to_owned());
        own.tidied.extend(temp.removed_from());
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
        add_saved_sites(&mut own, permissions);
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

/// Returns true if a variable of the environment names a proxy.
fn is_proxy_set() -> bool {
    env::vars_os().any(|(name, value)| {
        let name = name.as_encoded_bytes();
        !value.is_empty() && (name.ends_with(b"_proxy") || name.ends_with(b"_PROXY"))
    })
}

/// Adds the files of saved sites, and those that the sites name with which the run may connect, and their proxies. The
/// passwords of these are read, or asked of their commands, now: a confined run starts no programs for that. What is wrong
/// with a site is reported where it is used.
fn add_saved_sites(own: &mut OwnPaths, permissions: &RunPermissions) {
    own.read.extend(sites::places());
    let Ok(book) = SiteBook::read() else { return };
    for (name, _) in book.names() {
        let Ok(saved) = book.find(name) else { continue };
        let Ok(url) = Url::parse(&saved.url) else { continue };
        if !permissions.has_net(&url.site.host, url.site.port) {
            continue;
        }
        saved.named_secrets().for_each(|(_, name)| secrets::keep(&name));
        let Ok(mut url) = saved.url_of(None) else { continue };
        let Trust { ca_file, client_cert, client_key, .. } = &url.site.trust;
        own.read.extend([ca_file, client_cert, client_key].into_iter().flatten().cloned());
        own.has_names |= url.site.proxy.is_some();
        sites::ask_password(&mut url.site, false).ok();
    }
}

/// Returns the places of all secrets.
fn secret_places() -> Vec<PathBuf> {
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    credentials.into_iter().chain(secrets::folders()).chain(netrc::usual_path()).collect()
}
