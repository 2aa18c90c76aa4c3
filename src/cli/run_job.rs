//! `portolan run --job`: one attempt of a job, in the foreground and without the scheduler.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    ExitResult,
    common::Common,
    next::no_job,
    permissions::PermissionArgs,
    place::JobsFile,
    record::RunRecord,
    recording,
    report::{self, UsageError},
    run::{exposed, script},
    sandbox::ConfinedRun,
    slots,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    ftp::session::RunContext,
    observe::Event,
    schedule::{
        child::{attempt_spec::AttemptSpec, programs::ProgramContext},
        jobs::{Job, args},
        zone::Zones,
    },
    script::{run::Settings, secrets, source::ScriptSource},
};

/// The arguments of a run of a job.
pub(super) struct JobRun<'a> {
    /// The name of the job.
    pub(super) name: &'a str,
    /// The arguments of the script that replace those of the job, as `KEY=VALUE`.
    pub(super) args: &'a [String],
    /// The permissions besides those of the job.
    pub(super) permissions: &'a PermissionArgs,
    /// The jobs file.
    pub(super) file: &'a JobsFile,
    /// The file of the recording, if there is to be one.
    pub(super) recording: Option<&'a Path>,
}

pub(super) fn run(wanted: &JobRun<'_>, common: &Common) -> ExitResult {
    let jobs = slots::jobs(wanted.file.path(), &Zones::newest(), Clock::System.now())?;
    let Some(job) = jobs.get(wanted.name) else {
        return Err(UsageError(no_job(&jobs, wanted.name)).into());
    };
    // Its path counts from here, those of the job from the folder of its file.
    let recording = wanted.recording.map(recording::create).transpose().map_err(UsageError)?;
    let (state, spec, run) = prepared(wanted, job, common).map_err(UsageError)?;
    let run = ConfinedRun { recording, ..run };
    let begin = |accounts, observer: &_| {
        RunRecord::of_job(state.clone(), &job.name, &job.script, accounts, observer)
    };
    let work = move |source: &_, settings, context: &_| around(&spec, source, settings, context);
    run.run(&common.with_state(&state), wanted.permissions, begin, work)
}

/// Returns the state directory of a job, the instructions for an attempt, and the run.
fn prepared(
    wanted: &JobRun<'_>,
    job: &Arc<Job>,
    common: &Common,
) -> Result<(PathBuf, AttemptSpec, ConfinedRun)> {
    let given = args::parse(wanted.args)?;
    args::check(&job.name, &job.args, &given)?;
    let spec = AttemptSpec { args: args::merged(&job.args, &given), ..AttemptSpec::of_job(job)? };
    let state = absolute(&wanted.file.state(common)?)?;
    let common = &common.with_state(&state);
    // Relative paths of the command line count from here, those of the job from the folder of its file.
    let (password, netrc) = (common.password()?, common.netrc()?);
    enter(wanted.file.path())?;
    let (source, warning) = match &spec.task {
        Some(task) => (task.source(Path::new(".")), None),
        None => (ScriptSource::read(&spec.script)?, exposed(&spec.script)?),
    };
    let overrides = common.overrides_over(secrets::of_settings(&spec.connect)?)?;
    let ((options, is_named), (more, is_more_named)) =
        (spec.permissions(), wanted.permissions.options()?);
    let (options, is_named) = (options.and(&more), is_named || is_more_named);
    let settings = Settings {
        overrides,
        password,
        netrc,
        nat: common.nat(),
        job: spec.facts_by_hand(),
        ..Settings::default()
    };
    let programs = spec.programs.clone();
    let recording = None;
    let run = ConfinedRun { source, settings, options, is_named, programs, warning, recording };
    Ok((state, spec, run))
}

/// Runs the script of an attempt with the programs around it, and returns the exit code.
pub(super) fn around(
    spec: &AttemptSpec,
    source: &ScriptSource,
    settings: Settings,
    context: &RunContext,
) -> Exit {
    if spec.programs.is_empty() {
        return script(source, settings, context);
    }
    let (observer, stop) = (&context.observer, &context.stop);
    let temp = settings.temp.clone();
    let programs = ProgramContext { spec, observer, stop, temp: temp.as_deref() };
    let failed = |fault: &Error| {
        context.observer.emit(&Event::RunDone { fault: Some(fault.clone()), took: Duration::ZERO });
        report::failed(&fault.clone().into())
    };
    programs.around(|| script(source, settings, context), failed)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::local("find", path, error))
}

/// Makes the folder of the jobs file the current directory, as it is for a run of the scheduler.
fn enter(file: &Path) -> Result<()> {
    let file = absolute(file)?;
    let folder = file.parent().unwrap_or(&file);
    env::set_current_dir(folder).map_err(|error| Error::local("enter the folder", folder, error))
}
