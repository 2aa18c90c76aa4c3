//! `portolan run`: runs a script once.

use std::path::{Path, PathBuf};

use super::{
    ExitResult, child,
    common::Common,
    permissions::PermissionArgs,
    place::JobsFile,
    poller,
    record::RunRecord,
    recording,
    report::{self, UsageError},
    run_job::{self, JobRun},
    sandbox::ConfinedRun,
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    files::owned,
    ftp::session::RunContext,
    observe::{counted, visible::visible},
    schedule::child::programs::RunPrograms,
    script::{
        check::{self, Severity},
        raise::ScriptFailure,
        run::{self, JobFacts, ScriptEnd, Settings},
        source::ScriptSource,
    },
};

/// The arguments of `portolan run`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, override_usage = "portolan run [OPTIONS] <SCRIPT> [ARGS]...")]
pub(super) struct Args {
    #[command(flatten)]
    permissions: PermissionArgs,
    /// Record the dialogue with the servers in a new file, without passwords and file contents, for `portolan replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// For the scheduler: read the order from standard input
    #[arg(long, hide = true)]
    as_child: bool,
    /// For the scheduler: look at the directory that the order on standard input names
    #[arg(long, hide = true)]
    as_poller: bool,
    /// Run this job of the jobs file once, in the foreground, instead of a script
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Argument of the job that replaces its own; may be repeated
    #[arg(long = "arg", value_name = "KEY=VALUE", requires = "job")]
    values: Vec<String>,
    #[command(flatten)]
    jobs: JobsFile,
    /// Run this text instead of a script in a file
    #[arg(long, short, value_name = "TEXT", conflicts_with = "job")]
    eval: Option<String>,
    /// Script to run, or - for standard input
    #[arg(required_unless_present_any = ["job", "eval", "as_child", "as_poller"], conflicts_with = "job")]
    script: Option<PathBuf>,
    /// Arguments of the script (`args`); put `--` before any that start with a hyphen
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
}

const HELP: &str = "\
Examples:
    portolan run deploy.rhai dist
    portolan run --json mirror.rhai > events.jsonl
    portolan run --allow-net=ftp.example.org --allow-write=in fetch.rhai
    portolan run report.rhai -- --since yesterday
    portolan run -e 'print(7 / 2)'
    portolan run --record failure.jsonl fetch.rhai
    portolan run --job catalogue --arg day=2026-11-28";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    if args.as_child {
        return child::run(common);
    }
    if args.as_poller {
        return poller::run(common);
    }
    if let Some(name) = &args.job {
        let (file, permissions) = (&args.jobs, &args.permissions);
        let recording = args.record.as_deref();
        return run_job::run(
            &JobRun { name, args: &args.values, permissions, file, recording },
            common,
        );
    }
    let (script_path, source) = source(args).map_err(UsageError)?;
    let prepared = || -> Result<_> {
        let warning = if is_typed(script_path) { None } else { exposed(script_path)? };
        let (options, is_named) = args.permissions.options()?;
        let settings = settings(common, script_path, script_args(args))?;
        let programs = RunPrograms::default();
        let recording = args.record.as_deref().map(recording::create).transpose()?;
        Ok(ConfinedRun { source, settings, options, is_named, programs, warning, recording })
    };
    let begin = |accounts, observer: &_| RunRecord::begin(common, script_path, accounts, observer);
    prepared().map_err(UsageError)?.run(common, &args.permissions, begin, script)
}

/// Standard input as a script, and the name of one in the command line.
const TYPED: [&str; 2] = ["-", "-e"];

/// Returns true for a script that is in no file.
fn is_typed(script: &Path) -> bool {
    TYPED.iter().any(|typed| script == Path::new(typed))
}

/// Returns the script, and its path for the record of the run.
fn source(args: &Args) -> Result<(&Path, ScriptSource)> {
    if let Some(text) = &args.eval {
        return Ok((Path::new("-e"), ScriptSource::from_text(text, "-e", ".")));
    }
    let path = args.script.as_deref().unwrap_or(Path::new(""));
    if path == Path::new("-") {
        let text = ScriptSource::read_standard_input()?;
        return Ok((path, ScriptSource::from_text(text, "-", ".")));
    }
    Ok((path, ScriptSource::read(path)?))
}

/// Returns the arguments of the script; those behind a text begin where the name of a file would be.
fn script_args(args: &Args) -> Vec<String> {
    let first = args.script.as_ref().filter(|_| args.eval.is_some());
    let first = first.map(|path| path.to_string_lossy().into_owned());
    first.into_iter().chain(args.rest.iter().cloned()).collect()
}

/// Returns a warning about a script that others can change, if they can. A user who runs one by hand has chosen it,
/// and checkouts of other users or with a umask of 0 are normal in CI; but a script that any user could have written
/// is refused.
pub(super) fn exposed(script: &Path) -> Result<Option<String>> {
    let found = owned::exposed(script).map_err(|error| Error::local("look at", script, error))?;
    match found {
        Some(exposed) if exposed.is_anybodys() => Err(exposed.fault()),
        found => Ok(found.map(|exposed| {
            format!("{}: {}", visible(script.as_os_str().as_encoded_bytes()), exposed.words())
        })),
    }
}

/// Returns the settings for a run of `script`.
pub(super) fn settings(common: &Common, script: &Path, args: Vec<String>) -> Result<Settings> {
    let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Settings {
        args,
        overrides: common.overrides()?,
        password: common.password()?,
        netrc: common.netrc()?,
        rehearsal: None,
        states: None,
        nat: common.nat(),
        job: JobFacts { name, ..JobFacts::default() },
        ..Settings::default()
    })
}

/// Runs `source` and returns the exit code; an error is printed here and nowhere else. A script that calls an unknown
/// function does not even begin.
pub(super) fn script(source: &ScriptSource, settings: Settings, context: &RunContext) -> Exit {
    attempt(source, settings, context).unwrap_or_else(|failure| failed(source, &failure))
}

/// Prints the error of `source`, and returns its exit code.
pub(super) fn failed(source: &ScriptSource, failure: &ScriptFailure) -> Exit {
    if source.is_own() {
        let own =
            ScriptFailure { place: None, calls: Vec::new(), mistake: None, ..failure.clone() };
        return report::failure(&own, None);
    }
    let place = failure.place.as_ref();
    let text = place.and_then(|place| source.text_of(&place.file));
    report::failure(failure, text.as_deref())
}

/// Runs `source` and returns the exit code, or the error with which it ended.
pub(super) fn attempt(
    source: &ScriptSource,
    settings: Settings,
    context: &RunContext,
) -> Result<Exit, Box<ScriptFailure>> {
    let mut errors = check::check(source);
    errors.retain(|finding| finding.level == Severity::Error);
    if !errors.is_empty() {
        report::findings(&errors, &|file| source.text_of(file));
        report::print(&format!("{}, nothing was run\n", counted(errors.len(), "error")));
        return Ok(Exit::Script);
    }
    Ok(match run::run(source, settings, context)? {
        ScriptEnd::Whole => Exit::Done,
        ScriptEnd::InPart => Exit::InPart,
        ScriptEnd::Code(code) => Exit::of_run(code.into()).unwrap_or(Exit::Script),
    })
}
