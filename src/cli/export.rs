//! `portolan export`: the scheduler as a service, or the jobs for another scheduler, and what is lost in the
//! conversion.

use std::path::Path;

use clap::ValueEnum;

use super::{ExitResult, common::Common, place::JobsFile, report};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    schedule::{
        export::{self, Exported, Setting},
        jobs::Jobs,
    },
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
    let Exported { text, losses } = exported(args, common)?;
    report::output(&text);
    let lines: Vec<_> = losses.iter().map(|loss| format!("lost: {loss}\n")).collect();
    report::print(&lines.concat());
    Ok(Exit::Done)
}

fn exported(args: &Args, common: &Common) -> Result<Exported> {
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
