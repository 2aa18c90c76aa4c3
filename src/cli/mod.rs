//! The command line: its syntax, and the dispatch to the commands.

mod ask;
mod check;
mod child;
mod ci;
mod color;
mod common;
mod completions;
mod deploy;
mod doctor;
mod explain;
mod export;
mod find;
mod flags;
mod functions;
mod get;
mod habits;
mod hooks;
mod init;
mod jobs;
mod ls;
mod machines;
mod man;
mod mirror;
mod mv;
mod nat;
mod nat_history;
mod nat_import;
mod nat_session;
mod nat_suggest;
mod nat_test;
mod nat_watch;
mod next;
mod notify;
mod operands;
mod pager;
mod pause;
mod permissions;
mod place;
mod poller;
mod prune;
mod publish;
mod put;
mod record;
mod recording;
mod rehearse;
mod replay;
mod report;
mod rm;
mod run;
mod run_job;
mod runs;
mod sandbox;
mod serve;
mod shell;
mod show;
mod simulate;
mod site;
mod slots;
mod state;
mod store;
mod table;
mod times;
mod token;
mod trigger;
mod why;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser};

use self::{color::ColorWhen, common::Common};
use crate::{
    exit_code::{Exit, HELP},
    observe::paint::set_color_mode,
};

/// The result of a command: its end, or an error that [`main`] prints.
type ExitResult = anyhow::Result<Exit>;

/// Transfer files over FTP and FTPS by script, active or passive, through NAT.
#[derive(Debug, Parser)]
#[command(name = "portolan", version, max_term_width = 100, after_help = HELP)]
struct CommandLine {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run a script once.
    Run(run::Args),
    /// Run a script against an embedded server on a scratch tree; touch nothing real.
    Rehearse(rehearse::Args),
    /// Play a recorded run again, offline: the script, or a changed one, against what the servers said then.
    Replay(replay::Args),
    /// Run the jobs of a jobs file on their schedules.
    Serve(serve::Args),
    /// List the jobs with their schedules, last results and next runs.
    Jobs(jobs::Args),
    /// List runs with their times and results.
    Runs(runs::Args),
    /// Show one run in full.
    Show(show::Args),
    /// Ask the scheduler to run a job now.
    Trigger(trigger::Args),
    /// Pause a job until it is resumed.
    Pause(pause::Args),
    /// Resume a paused job.
    Resume(pause::resume::Args),
    /// List the machines that share a schedule.
    #[command(alias = "workers", alias = "nodes", alias = "fleet")]
    Machines(machines::Args),
    /// Publish a jobs file with all that it names to the machines of a fleet.
    Publish(publish::Args),
    /// List the releases that were published, or the files of one.
    Releases(publish::ReleasesArgs),
    /// Send a test notification of a job, or the digest of the last day.
    Notify(notify::Args),
    /// Add, list and revoke tokens for the page and its API.
    Token(token::Args),
    /// Check scripts and jobs files without running them.
    Check(check::Args),
    /// Test every mode on a server; suggest options and firewall rules.
    Doctor(doctor::Args),
    /// List a directory of a server.
    Ls(ls::Args),
    /// Download files.
    Get(get::Args),
    /// Upload files.
    Put(put::Args),
    /// Write files of a server to standard output.
    Cat(get::CatArgs),
    /// Mirror a directory to or from a server.
    Mirror(Box<mirror::Args>),
    /// Deploy a built site: send what changed, delete what was deployed before.
    Deploy(Box<deploy::Args>),
    /// Undo the last deployment that kept its old files.
    Rollback(deploy::RollbackArgs),
    /// Remove files, or directories with their contents.
    Rm(rm::Args),
    /// Delete old files of a directory, by number and age.
    Prune(prune::Args),
    /// Rename or move a file or directory on a server.
    Mv(mv::Args),
    /// Create directories on a server.
    Mkdir(mv::MkdirArgs),
    /// Set permissions on a server.
    Chmod(mv::ChmodArgs),
    /// List everything below a directory of a server, or what matches.
    Find(find::Args),
    /// Show the bytes below each directory of a server.
    Du(find::DuArgs),
    /// Print hashes of files on a server.
    Hash(find::HashArgs),
    /// Plan, apply and revert the NAT rules that a script describes.
    Nat(nat::Args),
    /// Save servers under names, to be used as @NAME in place of URLs.
    Site(site::Args),
    /// Open a session prompt: ls, cd, get, put, all script functions.
    Shell(shell::Args),
    /// Show when jobs run, or when a cron expression fires.
    Next(next::Args),
    /// Explain why a job ran, or did not run, at a given time.
    Why(why::Args),
    /// Run a jobs file on a simulated clock and show each decision.
    Simulate(simulate::Args),
    /// Export to systemd or another scheduler; list what is lost.
    Export(export::Args),
    /// Create a jobs file and scripts to start from.
    Init(init::Args),
    /// Show the functions that scripts can call.
    Functions(functions::Args),
    /// Explain an error code: its cause and remedy.
    Explain(explain::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Write the manual pages to a directory.
    Man(man::Args),
}

/// Parses `args`, runs the command, and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    common::leave_no_dumps();
    let args: Vec<_> = args.into_iter().collect();
    let line = match parsed(&args) {
        Ok(line) => line,
        Err(error) => {
            set_color_mode(ColorWhen::scan(&args).mode());
            return report::usage(error, &CommandLine::command(), &args);
        }
    };
    let CommandLine { common, command } = line;
    set_color_mode(common.color().mode());
    let ended = match command {
        Subcommand::Run(args) => run::run(&args, &common),
        Subcommand::Rehearse(args) => rehearse::run(&args, &common),
        Subcommand::Replay(args) => replay::run(&args, &common),
        Subcommand::Serve(args) => serve::run(&args, &common),
        Subcommand::Jobs(args) => jobs::run(&args, &common),
        Subcommand::Runs(args) => runs::run(&args, &common),
        Subcommand::Show(args) => show::run(&args, &common),
        Subcommand::Trigger(args) => trigger::run(&args, &common),
        Subcommand::Pause(args) => pause::run(&args, &common),
        Subcommand::Resume(args) => pause::resume::run(&args, &common),
        Subcommand::Machines(args) => machines::run(&args, &common),
        Subcommand::Publish(args) => publish::run(&args, &common),
        Subcommand::Releases(args) => publish::releases(&args, &common),
        Subcommand::Notify(args) => notify::run(&args, &common),
        Subcommand::Token(args) => token::run(&args, &common),
        Subcommand::Export(args) => export::run(&args, &common),
        Subcommand::Init(args) => init::run(&args),
        Subcommand::Check(args) => check::run(&args, &common),
        Subcommand::Doctor(args) => doctor::run(&args, &common),
        Subcommand::Ls(args) => ls::run(&args, &common),
        Subcommand::Get(args) => get::run(&args, &common),
        Subcommand::Put(args) => put::run(&args, &common),
        Subcommand::Mirror(args) => mirror::run(&args, &common),
        Subcommand::Deploy(args) => deploy::run(&args, &common),
        Subcommand::Rollback(args) => deploy::rollback(&args, &common),
        Subcommand::Rm(args) => rm::run(&args, &common),
        Subcommand::Prune(args) => prune::run(&args, &common),
        Subcommand::Cat(args) => get::cat(&args, &common),
        Subcommand::Mv(args) => mv::run(&args, &common),
        Subcommand::Mkdir(args) => mv::mkdir(&args, &common),
        Subcommand::Chmod(args) => mv::chmod(&args, &common),
        Subcommand::Find(args) => find::run(&args, &common),
        Subcommand::Du(args) => find::du(&args, &common),
        Subcommand::Hash(args) => find::hash(&args, &common),
        Subcommand::Nat(args) => nat::run(&args, &common),
        Subcommand::Site(args) => site::run(&args, &common),
        Subcommand::Shell(args) => shell::run(&args, &common),
        Subcommand::Next(args) => next::run(&args, &common),
        Subcommand::Why(args) => why::run(&args, &common),
        Subcommand::Simulate(args) => simulate::run(&args, &common),
        Subcommand::Functions(args) => functions::run(&args, &common),
        Subcommand::Explain(args) => explain::run(&args, &common),
        Subcommand::Completions(args) => Ok(completions::run(&args, CommandLine::command())),
        Subcommand::Man(args) => man::run(&args, CommandLine::command()),
    };
    report::end(ended.unwrap_or_else(|error| report::failed(&error)))
}

/// Parses a command line; clap's own messages have the colours that it asks for.
fn parsed(args: &[OsString]) -> Result<CommandLine, clap::Error> {
    let mut command = CommandLine::command().color(ColorWhen::scan(args).choice());
    let matches = command.try_get_matches_from_mut(args)?;
    CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Returns the help of the command `name`.
fn help_of(name: &str) -> String {
    let mut command = CommandLine::command();
    command.build();
    let named = command.find_subcommand_mut(name);
    named.map(|named| named.render_help().to_string()).unwrap_or_default()
}
