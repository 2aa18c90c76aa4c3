//! `portolan completions`: completion scripts for shells.

use clap::Command;
use clap_complete::Shell;

use super::report;
use crate::exit_code::Exit;

/// The arguments of `portolan completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Target shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut line: Command) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut line, "portolan", &mut text);
    report::output(&String::from_utf8_lossy(&text));
    Exit::Done
}
