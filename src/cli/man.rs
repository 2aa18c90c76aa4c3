//! `portolan man`: the manual pages of the command line.

use std::path::PathBuf;

use clap::Command;

use super::ExitResult;
use crate::{error::Error, exit_code::Exit};

/// The arguments of `portolan man`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory for portolan.1, portolan-run.1 and so on
    folder: PathBuf,
}

pub(super) fn run(args: &Args, line: Command) -> ExitResult {
    std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(line, &args.folder))
        .map_err(|error| Error::local("write the manual pages", &args.folder, error))?;
    Ok(Exit::Done)
}
