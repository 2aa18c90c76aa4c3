//! `portolan nat apply --while-connected`: a trial that is rolled back when the user's session ends.
//!
//! A process of its own waits for the end of the session, since the session may end with everything in it. If that process
//! is killed as well, the kernel still ends the trial in time.

use std::{
    io::{BufRead, BufReader},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open, setsid},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    ExitResult,
    common::{Common, interruptible, runtime},
    report,
};
use crate::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    nat::{
        NatError,
        machine::{Choice, NatHost},
        ruleset_store::RulesetStore,
        session::session_processes,
        undo::no_ledger,
    },
};

/// The length of a trial without `--confirm-within`: the kernel's, for a guard that is killed.
pub(super) const TRIAL: Duration = Duration::from_mins(10);
/// The time after which the guard looks whether the trial was confirmed.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The line by which the guard says that it waits for the end of the session.
const READY: &str = "ready\n";

/// The arguments of the guard.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SessionArgs {
    /// Process with which the session ends
    #[arg(long, value_name = "PID", required = true)]
    process: Vec<u32>,
    /// Name of a ruleset
    #[arg(long, value_name = "NAME", required = true)]
    ruleset: Vec<String>,
}

/// The guard of a trial, as the process that applies it has it. Once it is dropped, the guard knows that the trial has
/// begun.
#[derive(Debug)]
pub(super) struct SessionGuard {
    _guard: Child,
}

impl SessionGuard {
    /// Starts the guard for trials of rulesets of these names, which are not yet applied. `state` is the state directory if
    /// the user names one.
    pub(super) fn start(state: Option<&Path>, names: &[&str]) -> Result<Self> {
        let processes = session_processes();
        if processes.is_empty() {
            let message = "there is no session that could end: use `--confirm-within` alone, which needs none";
            return Err(Error::invalid(message));
        }
        let failed = |error| Error::local("start", "the guard of the session", error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["nat", "guard-session"]);
        // The guard runs in another directory.
        if let Some(state) = state {
            command.arg("--state").arg(std::path::absolute(state).map_err(failed)?);
        }
        for process in processes {
            command.args(["--process", &process.to_string()]);
        }
        for name in names {
            command.args(["--ruleset", name]);
        }
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = guard.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        if line != READY {
            return Err(failed(std::io::Error::other("it does not answer")));
        }
        Ok(Self { _guard: guard })
    }
}

pub(super) fn run(args: &SessionArgs, common: &Common) -> ExitResult {
    let (args, ledger) = (args.clone(), common.ledger());
    let stop = CancelToken::new();
    let own = stop.clone();
    interruptible(&stop, move || {
        let ledger = ledger.ok_or_else(no_ledger)?;
        Ok(guard(&args, &*ledger, &Clock::System, &own)?)
    })
}

/// Waits for the end of the session, and then rolls the trials back. `stop` is set when the guard itself is to end: it is
/// then part of what ends.
fn guard(
    args: &SessionArgs,
    ledger: &dyn RulesetStore,
    clock: &Clock,
    stop: &CancelToken,
) -> Result<Exit> {
    // The manager of logins sends both; nothing may end this process before it has rolled back.
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let _hangup = signal(SignalKind::hangup());
    // Fails only for the leader of a process group, which this one is not.
    setsid().ok();
    let processes: Option<Vec<OwnedFd>> =
        args.process.iter().map(|process| watch(*process)).collect();
    report::output(READY);
    let mut has_begun = false;
    let mut is_over = processes.is_none();
    let processes = processes.unwrap_or_default();
    loop {
        has_begun |= has_ended(std::io::stdin().as_fd())?;
        is_over |=
            stop.is_set() || processes.iter().any(|one| has_ended(one.as_fd()).unwrap_or(true));
        if has_begun {
            let pending = pending(args, ledger)?;
            let now = clock.now();
            let ending = pending.iter().filter(|(_, until)| is_over || *until <= now);
            let mut is_busy = false;
            for (name, _) in ending {
                is_busy |= !roll_back(name, ledger, now)?;
            }
            if pending.is_empty() || (is_over && !is_busy) {
                return Ok(Exit::Done);
            }
        }
        let stdin = std::io::stdin();
        let mut waiting: Vec<_> =
            processes.iter().map(|one| PollFd::new(one, PollFlags::IN)).collect();
        if !has_begun {
            waiting.push(PollFd::new(&stdin, PollFlags::IN));
        }
        // An interruption is looked at in the next round.
        poll(&mut waiting, Some(&LOOK_EVERY)).ok();
    }
}

/// Returns a descriptor that is readable when the process ends; `None` if it has ended.
fn watch(process: u32) -> Option<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(process).ok()?)?;
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// Returns true if a process or the other end of a pipe is gone.
fn has_ended(file: std::os::fd::BorrowedFd<'_>) -> Result<bool> {
    let mut one = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    let count = poll(&mut one, Some(&none))
        .map_err(|error| Error::local("watch", "the session", error.into()))?;
    Ok(count > 0)
}

/// Returns the rulesets that are on trial, each with the time when the kernel ends it.
fn pending<'a>(
    args: &'a SessionArgs,
    ledger: &dyn RulesetStore,
) -> Result<Vec<(&'a str, Timestamp)>> {
    let mut found = Vec::new();
    for name in &args.ruleset {
        let trial = ledger.load(name)?.and_then(|record| record.trial);
        let until = trial.and_then(|trial| Timestamp::from_millisecond(trial.until_ms).ok());
        found.extend(until.map(|until| (name.as_str(), until)));
    }
    Ok(found)
}

/// Rolls a trial back; returns false if another portolan is changing rules just now.
fn roll_back(name: &str, ledger: &dyn RulesetStore, now: Timestamp) -> Result<bool> {
    let record = ledger.load(name)?;
    match NatHost::this(Choice::Auto, record.as_ref())?.rollback(name, ledger, now) {
        Err(fault) if fault.name == Some(NatError::Busy.name()) => Ok(false),
        done => done.map(|()| true),
    }
}
