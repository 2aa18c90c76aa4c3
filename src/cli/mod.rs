//! The command line: its syntax, and the dispatch to the commands.

mod check;
mod child;
mod common;
mod completions;
mod doctor;
pub mod exit;
mod export;
mod functions;
mod get;
mod init;
mod ls;
mod man;
mod mirror;
mod nat;
mod next;
mod pause;
mod place;
mod put;
mod record;
mod rehearse;
mod report;
mod rm;
mod run;
mod runs;
mod serve;
mod shell;
mod show;
mod simulate;
mod slots;
mod state;
mod table;
mod times;
mod trigger;
mod why;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, Parser};

use self::common::Common;

/// Moves files over FTP and FTPS by scripts: active or passive, whatever lies between.
#[derive(Debug, Parser)]
#[command(name = "portolan", version, max_term_width = 100, after_help = exit::HELP)]
struct CommandLine {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Runs a script once.
    Run(run::Args),
    /// Runs a script against an embedded server on a scratch tree; nothing real is touched.
    Rehearse(rehearse::Args),
    /// Runs the jobs of a jobs file on their schedules.
    Serve(serve::Args),
    /// Lists what ran, when, and what became of it.
    Runs(runs::Args),
    /// Shows one run, whole.
    Show(show::Args),
    /// Asks the scheduler for a run of a job now.
    Trigger(trigger::Args),
    /// Lets a job rest until it is resumed.
    Pause(pause::Args),
    /// Lets a job that is paused go on.
    Resume(pause::resume::Args),
    /// Looks at scripts and jobs files without running them: everything that can be known before.
    Check(check::Args),
    /// Tries every mode on a server, says what works, and suggests options and firewall rules.
    Doctor(doctor::Args),
    /// Lists a folder of a server.
    Ls(ls::Args),
    /// Fetches a file.
    Get(get::Args),
    /// Sends a file.
    Put(put::Args),
    /// Makes a folder like another, here or on a server.
    Mirror(Box<mirror::Args>),
    /// Removes a file, or a folder with all that is in it.
    Rm(rm::Args),
    /// Plans, applies and takes back the rules for NAT that a script describes.
    Nat(nat::Args),
    /// A prompt on a session: ls, cd, get, put, and every function of scripts.
    Shell(shell::Args),
    /// Tells when jobs run, or when a cron expression fires.
    Next(next::Args),
    /// Tells what became of a moment of a job, and why.
    Why(why::Args),
    /// Plays a jobs file through on a clock of its own, and shows each decision.
    Simulate(simulate::Args),
    /// Writes the unit for systemd, or the jobs for another scheduler, and says what is lost on the way.
    Export(export::Args),
    /// Lays down a jobs file and scripts to start from.
    Init(init::Args),
    /// Tells what scripts can call: the manual of the language.
    Functions(functions::Args),
    /// Prints what a shell needs to complete this program's command lines.
    Completions(completions::Args),
    /// Writes the manual pages of the command line into a folder.
    Man(man::Args),
}

/// Parses `args`, runs the command, and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    common::leave_no_dumps();
    let line = match CommandLine::try_parse_from(args) {
        Ok(line) => line,
        Err(error) => return report::usage(&error),
    };
    let CommandLine { common, command } = line;
    let code = match command {
        Subcommand::Run(args) => run::run(&args, &common),
        Subcommand::Rehearse(args) => rehearse::run(&args, &common),
        Subcommand::Serve(args) => serve::run(&args, &common),
        Subcommand::Runs(args) => runs::run(&args, &common),
        Subcommand::Show(args) => show::run(&args, &common),
        Subcommand::Trigger(args) => trigger::run(&args, &common),
        Subcommand::Pause(args) => pause::run(&args, &common),
        Subcommand::Resume(args) => pause::resume::run(&args, &common),
        Subcommand::Export(args) => export::run(&args, &common),
        Subcommand::Init(args) => init::run(&args),
        Subcommand::Check(args) => check::run(&args, &common),
        Subcommand::Doctor(args) => doctor::run(&args, &common),
        Subcommand::Ls(args) => ls::run(&args, &common),
        Subcommand::Get(args) => get::run(&args, &common),
        Subcommand::Put(args) => put::run(&args, &common),
        Subcommand::Mirror(args) => mirror::run(&args, &common),
        Subcommand::Rm(args) => rm::run(&args, &common),
        Subcommand::Nat(args) => nat::run(&args, &common),
        Subcommand::Shell(args) => shell::run(&args, &common),
        Subcommand::Next(args) => next::run(&args, &common),
        Subcommand::Why(args) => why::run(&args, &common),
        Subcommand::Simulate(args) => simulate::run(&args, &common),
        Subcommand::Functions(args) => functions::run(&args, &common),
        Subcommand::Completions(args) => completions::run(&args, CommandLine::command()),
        Subcommand::Man(args) => man::run(&args, CommandLine::command()),
    };
    report::end(code)
}
