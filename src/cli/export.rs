//! `portolan export`: the scheduler as a service, or the jobs for another scheduler, and what is lost in the
//! conversion.

use std::path::{Path, PathBuf};

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
    schedule::{
        export::{self, Exported, FleetFile, FleetFiles, FleetSetting, Setting},
        jobs::{self, Jobs},
        releases::ReleasePlan,
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
    let scripts = reading.scripts.clone();
    let jobs = reading.into_jobs()?;
    let files = if args.published {
        // The release has them; the jobs file is read for its labels.
        None
    } else {
        Some(files_of(&jobs, &scripts)?)
    };
    let (image, replicas, workers) = (args.image.clone(), args.replicas, args.workers);
    export::kubernetes_fleet(&jobs, &FleetSetting { image, replicas, workers, files })
}

/// Returns the files that all machines need, which are those of a release. Those with absolute paths elsewhere are only named.
fn files_of(jobs: &Jobs, scripts: &[PathBuf]) -> Result<FleetFiles> {
    let scripts: Result<Vec<_>> = scripts.iter().map(ScriptSource::read).collect();
    let scripts = scripts?;
    if let Some(script) = scripts.iter().find(|script| imports(script).is_none()) {
        let message =
            "an import whose name is known only at run time cannot be put into a ConfigMap";
        return Err(Error::invalid(message).at(script.shown()));
    }
    let plan = ReleasePlan::read(jobs, &scripts, &[])?;
    let mut all = Vec::new();
    for (file, bytes) in plan.files {
        let text = String::from_utf8(bytes).map_err(|_| {
            let message = "it is not UTF-8, and cannot be put into a ConfigMap: put it into the image, and name it by an \
                 absolute path, or use `portolan publish` and `--published`";
            Error::invalid(message).at(&*file.path)
        })?;
        let file = FleetFile { path: file.path.into(), text, is_program: file.is_program };
        all.push(file);
    }
    let name = PathBuf::from(plan.jobs_file);
    all.sort_by_key(|file| file.path != name);
    Ok(FleetFiles { all, digest: plan.digest, elsewhere: plan.outside })
}
