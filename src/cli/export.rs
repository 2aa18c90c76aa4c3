//! `portolan export`: the scheduler as a service, or the jobs for another scheduler, and what is lost in the
//! conversion.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{
    ExitResult,
    common::Common,
    place::{JobsFile, failed},
    report,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    files::ops,
    limits::JOBS_FILE_BYTES_MAX,
    schedule::{
        export::{self, Exported, FleetFile, FleetSetting, Setting},
        jobs::{self, Jobs, JobsReading},
        zone::Zones,
    },
    script::{check::permissions::imports, source::ScriptSource},
};

/// The arguments of `portolan export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Target scheduler
    #[arg(value_enum)]
    to: To,
    /// For systemd: one timer per job instead of a scheduler service
    #[arg(long)]
    timers: bool,
    /// For Kubernetes: image with portolan and the scripts
    #[arg(long, default_value = "portolan:latest", value_name = "IMAGE")]
    image: String,
    /// For Kubernetes: machines that share a store, as one Deployment for each set of labels that jobs need
    #[arg(long)]
    fleet: bool,
    /// With --fleet: number of pods of each Deployment
    #[arg(long, default_value_t = 2, value_name = "N", requires = "fleet", value_parser = clap::value_parser!(u32).range(..=1000))]
    replicas: u32,
    /// With --fleet: number of runs at a time in each pod [default: that of the jobs file]
    #[arg(long, value_name = "N", requires = "fleet", value_parser = clap::value_parser!(u32).range(1..=1000))]
    workers: Option<u32>,
    /// With --fleet: pods run the published release, and the manifest has no jobs file
    #[arg(long, requires = "fleet")]
    published: bool,
    #[command(flatten)]
    jobs: JobsFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Systemd,
    Kubernetes,
    Crontab,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let Exported { text, losses, notes } = exported(args, common).map_err(failed)?;
    report::output(&text);
    let notes = notes.iter().map(|note| format!("note: {note}\n"));
    let lines: Vec<_> = notes.chain(losses.iter().map(|loss| format!("lost: {loss}\n"))).collect();
    report::print(&lines.concat());
    Ok(Exit::Done)
}

fn exported(args: &Args, common: &Common) -> Result<Exported> {
    if args.fleet {
        return fleet(args);
    }
    let jobs: Jobs = args.jobs.read()?;
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| Error::local("find", path, error));
    let program = std::env::current_exe()
        .map_err(|error| Error::local("find the program", "portolan", error))?;
    let file = absolute(&jobs.file)?;
    let state = common.named_state_folder().or_else(|| jobs.runner.state.clone());
    let state = state.map(|state| absolute(&state)).transpose()?;
    let setting = Setting { program, file, state, image: args.image.clone() };
    Ok(match args.to {
        To::Systemd if args.timers => export::timers(&jobs, &setting),
        To::Systemd => export::service(&setting),
        To::Kubernetes => export::kubernetes(&jobs, &setting),
        To::Crontab => export::crontab(&jobs, &setting),
    })
}

/// Returns the fleet for Kubernetes. Fails with `invalid` if its manifest would show a password.
fn fleet(args: &Args) -> Result<Exported> {
    if args.to != To::Kubernetes {
        return Err(Error::invalid(
            "`--fleet` is for Kubernetes: `portolan export kubernetes --fleet`",
        ));
    }
    let reading = jobs::read(args.jobs.path(), &Zones::newest(), Clock::System.now())?;
    if let (true, Some(place)) = (reading.jobs.is_some(), reading.passwords.first()) {
        let message = "this password would stand in a ConfigMap, which is no place for secrets: write `secret:NAME`";
        return Err(Error::invalid(message).at(format!("{}:{}", place.file, place.line)));
    }
    let (files, elsewhere) = if args.published {
        // The release has them; the jobs file is read for its labels.
        (Vec::new(), Vec::new())
    } else {
        files_of(args.jobs.path(), &reading)?
    };
    let jobs = reading.into_jobs()?;
    let (image, replicas, workers) = (args.image.clone(), args.replicas, args.workers);
    let setting = FleetSetting { image, replicas, workers, files, elsewhere };
    export::kubernetes_fleet(&jobs, &setting)
}

/// Returns the files that all machines need: the jobs file, what it includes and names, and what scripts import. Those that
/// are not below its directory are only named.
fn files_of(path: &Path, reading: &JobsReading) -> Result<(Vec<FleetFile>, Vec<PathBuf>)> {
    let absolute =
        |path: &Path| path.canonicalize().map_err(|error| Error::local("find", path, error));
    let main = std::path::absolute(path).map_err(|error| Error::local("find", path, error))?;
    let folder = absolute(main.parent().unwrap_or(&main))?;
    let included = reading.jobs.iter().flat_map(|jobs| jobs.included.iter());
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    for file in included.chain(&reading.date_files).chain(&reading.scripts) {
        // A link is followed in its directory: its name is the one that machines look for.
        let parent = absolute(
            file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )?;
        paths.insert(file.file_name().map_or_else(|| parent.clone(), |name| parent.join(name)));
    }
    for script in &reading.scripts {
        let imported = imports(&ScriptSource::read(script)?);
        let message =
            "an import whose name is known only at run time cannot be put into a ConfigMap";
        let named = script.to_string_lossy();
        paths.extend(imported.ok_or_else(|| Error::invalid(message).at(named))?);
    }
    let name = main.file_name().map_or_else(PathBuf::new, PathBuf::from);
    let (mut files, mut elsewhere) = (vec![file_of(&main, name.clone())?], Vec::new());
    for path in paths {
        match path.strip_prefix(&folder).map(Path::to_owned) {
            Ok(relative) if relative == name => {}
            Ok(relative) if export::is_below(&relative) => files.push(file_of(&path, relative)?),
            _ => elsewhere.push(path),
        }
    }
    Ok((files, elsewhere))
}

fn file_of(from: &Path, path: PathBuf) -> Result<FleetFile> {
    let bytes = ops::read(from, JOBS_FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::invalid("it is not UTF-8, and cannot be put into a ConfigMap")
            .at(from.to_string_lossy())
    })?;
    // The name of a file stands for itself there.
    if path.to_str().is_none() {
        let message = "the name is not UTF-8, and cannot be that of a file in a ConfigMap";
        return Err(Error::invalid(message).at(from.to_string_lossy()));
    }
    Ok(FleetFile { path, text })
}
