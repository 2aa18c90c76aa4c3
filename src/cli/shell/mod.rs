//! `portolan shell`: opens a prompt on a session.

mod history;
mod jobs;
mod lines;
mod requests;

use std::io::{self, IsTerminal};

use anyhow::Context;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    jobs::{BackgroundJobs, JobPlace},
    lines::LineSource,
    requests::PromptHost,
};
use super::{
    ExitResult,
    ask::ask_password,
    common::{Common, runtime},
    report::{self, UsageError},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    exit_code::Exit,
    ftp::url::Url,
    limits::{SCRIPT_STACK_BYTES, STOP_TIME_MAX},
    script::{
        prompt::{Prompt, PromptResult, Trouble},
        run::{JobFacts, Settings},
        sites::parse_url,
    },
    secret::Secret,
};

/// The arguments of `portolan shell`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Server to connect to, such as ftpes://me@ftp.example.org/pub
    url: String,
}

const HELP: &str = "\
At the prompt: ls, cd, get, put, mirror, rm, mv, mkdir, chmod, cat, less, edit, find, du, lcd and others (see `help`), with
the options of `portolan get`, `put` and `mirror`, or script code, in which `site` is the session. `get FILE &` transfers in
the background (jobs, wait, kill), `!COMMAND` runs a command of this machine, `open URL` goes to another server and `bookmark
NAME` saves this one. Tab completes names, Ctrl-C cancels a command, Ctrl-D exits.

Lines can also be piped in; the first error ends the shell, with the exit code of `portolan run`:

    printf 'cd /outbox\\nmget *.csv\\n' | portolan shell ftpes://me@ftp.example.org";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let is_watched = io::stdin().is_terminal();
    let prepared = || -> Result<_> {
        let (url, password) = login(&args.url, common, is_watched)?;
        let job = JobFacts { name: "shell".into(), ..JobFacts::default() };
        let overrides = common.overrides()?;
        let nat = common.nat();
        let (context, states) = common.context()?;
        let settings = Settings { overrides, password, states, job, nat, ..Settings::default() };
        Ok((url, settings, context))
    };
    let (url, settings, context) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) if error.kind == ErrorKind::Interrupted => return Ok(Exit::Interrupted),
        Err(error) => return Err(UsageError(error).into()),
    };
    let history =
        common.state_folder().filter(|_| is_watched).and_then(|folder| history::file(&folder));
    let (stop, common) = (context.stop.clone(), common.clone());
    attended(&stop, is_watched, move || {
        let lines = if is_watched { LineSource::typed(history) } else { Ok(LineSource::piped()) };
        let place = JobPlace { url, settings, context, folder: None };
        let (common, jobs) = (&common, BackgroundJobs::default());
        talk(lines?, PromptHost { common, place, jobs, lines: Vec::new(), is_watched })
    })
}

/// Returns the URL that `text` means, with the password for it, which a user at a terminal is asked for.
fn login(text: &str, common: &Common, is_watched: bool) -> Result<(Url, Option<Secret>)> {
    let url = parse_url(text)?;
    let mut password = common.password()?;
    let site = common.site_as_given(&url)?;
    if is_watched && site.password.is_none() && site.user != "anonymous" {
        password = ask_password(&site.user, &site.host)?;
    }
    Ok((url, password))
}

/// Executes lines until there are no more. On a terminal an error is shown and the prompt continues; a pipe ends at
/// the first error, since later lines may rely on the failed one.
fn talk(mut lines: LineSource, mut host: PromptHost<'_>) -> ExitResult {
    let JobPlace { url, settings, context, .. } = host.place.clone();
    let mut prompt = Prompt::open(&url, settings, &context, lost)?;
    let mut code = Exit::Done;
    loop {
        host.jobs.report_ended();
        let line = match lines.next(&prompt) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(fault) => {
                code = report::fault(&fault);
                break;
            }
        };
        host.remember(&line);
        prompt.hold_folder(host.jobs.are_running());
        let answered = match prompt.answer(&line) {
            Ok(PromptResult::Done) => Ok(()),
            Ok(PromptResult::End) => break,
            Ok(PromptResult::Ask(request)) => host.perform(request, &mut prompt),
            Err(trouble) => Err(show(&trouble, &line)),
        };
        if let Err(found) = answered
            && !lines.are_typed()
        {
            code = found;
            break;
        }
    }
    context.stop.reset();
    let failed = host.jobs.finish(&context.stop);
    let is_partial = prompt.is_partial();
    if let Err(fault) = prompt.close() {
        tracing::debug!(target: "portolan", "the session did not end well: {fault}");
    }
    if code != Exit::Done || lines.are_typed() {
        return Ok(code);
    }
    Ok(failed.unwrap_or(if is_partial { Exit::InPart } else { code }))
}

/// Ends the program because of a line that hangs: its work cannot be interrupted.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the thread that would return is the one that hangs"
)]
fn lost(fault: &Error) {
    std::process::exit(report::fault(fault).code().into())
}

/// Prints the errors of `line` as `portolan run` would, and returns the exit code for it.
fn show(trouble: &Trouble, line: &str) -> Exit {
    match trouble {
        Trouble::Failed(failure) => report::failure(failure, Some(line)),
        Trouble::Wrong(findings) => {
            report::findings(findings, &|_| Some(line.to_owned()));
            Exit::Script
        }
        Trouble::Unknown { word, near } => {
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            report::print(&format!(
                "error: there is no command `{word}`\nhint: {near}`help` lists what can be typed\n"
            ));
            Exit::Script
        }
    }
}

/// Runs `work` on its own thread, with the stack of a script. Ctrl-C stops the current command; without a terminal it
/// ends everything, as SIGTERM does.
fn attended(
    stop: &CancelToken,
    is_watched: bool,
    work: impl FnOnce() -> ExitResult + Send + 'static,
) -> ExitResult {
    let runtime = runtime()?;
    let signals = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)))
    };
    let terminal = tcgetattr(io::stdin()).ok();
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().stack_size(SCRIPT_STACK_BYTES);
    let thread = thread.name("prompt".into()).spawn(move || {
        if let Err(result) = done.send(work()) {
            tracing::debug!(target: "portolan", "ended with {result:?} after the program was told to stop");
        }
    });
    thread.context("cannot start a thread")?;
    runtime.block_on(async {
        let Ok((mut interrupt, mut terminate)) = signals else {
            return ended.await.unwrap_or(Ok(Exit::Bug));
        };
        loop {
            tokio::select! {
                result = &mut ended => return result.unwrap_or(Ok(Exit::Bug)),
                _ = interrupt.recv() => stop.set(),
                _ = terminate.recv() => {
                    stop.set();
                    break;
                }
            }
            if !is_watched {
                break;
            }
        }
        let code = tokio::time::timeout(STOP_TIME_MAX, ended).await;
        // A thread that waits for a key leaves the terminal in raw mode.
        if let Some(before) = &terminal
            && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, before)
        {
            tracing::debug!(target: "portolan", "the terminal stays as it is: {error}");
        }
        match code {
            Ok(Ok(result)) => result,
            _ => Ok(Exit::Interrupted),
        }
    })
}
