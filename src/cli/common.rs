//! The common parts of all commands: options, sinks, the stop signal, and an interruptible worker thread.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::fmt::MakeWriter;

use super::{
    ExitResult,
    ask::{ask_password, may_ask_password},
    color::ColorWhen,
    state::StateOptions,
};
use crate::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    files::ops,
    ftp::{
        secret::Secret,
        session::{RunContext, Session},
        site::Site,
        temp_records::TempRecords,
        url::Url,
    },
    limits::STOP_TIME_MAX,
    mirror::sync_base::MirrorStateStore,
    nat::{
        portmap::{LeaseJournal, Leases},
        ruleset_store::RulesetStore,
    },
    observe::{
        EventEmitter, MessageLevel, Sink,
        json::JsonLines,
        log, output,
        progress::{problems, progress},
    },
    port_provider::{RulesetPorts, RunPortProvider},
    remote::{fs::RemoteFs as _, nearest::with_nearest_name},
    script::{
        netrc::{self, Netrc},
        rules::NatSettings,
        secrets,
        site::{Overrides, complete, site_of},
        sites::{parse_url, password_command},
    },
};

/// The context of a run, and the store in which its mirrors keep their state, if there is one.
pub(super) type KeptRun = (RunContext, Option<Arc<dyn MirrorStateStore>>);

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the user's")]
pub(super) struct Common {
    /// Print JSON: one object per line for events, or one document
    #[arg(long, global = true)]
    json: bool,
    /// Write a log to standard error, at this level and above
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Format of the log
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    /// Show no progress bars, even on a terminal
    #[arg(long, global = true)]
    no_progress: bool,
    /// Show only the output, warnings and errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Show the dialogue with servers, and details
    #[arg(long, short, global = true, overrides_with = "verbose", conflicts_with_all = ["quiet", "log_level"])]
    verbose: bool,
    /// Use colours: auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: ColorWhen,
    /// Set an option of every ftp::connect, such as mode=passive
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// File with the password in its first line (or the environment variable PORTOLAN_PASSWORD)
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Command that prints the password in its first line, read by the shell
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "password_file")]
    password_command: Option<String>,
    /// Look up logins in ~/.netrc, or in $NETRC, or in FILE
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's way to say that the value may be left out")]
    netrc: Option<Option<PathBuf>>,
    #[command(flatten)]
    state: StateOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Common {
    pub(super) const fn json(&self) -> bool {
        self.json
    }

    /// Returns the wish for colours.
    pub(super) const fn color(&self) -> ColorWhen {
        self.color
    }

    /// Returns the directory for persistent state, if there is one.
    pub(super) fn state_folder(&self) -> Option<PathBuf> {
        self.state.folder()
    }

    /// Returns the state directory that the user names.
    pub(super) fn named_state_folder(&self) -> Option<PathBuf> {
        self.state.named()
    }

    /// Returns the observer of a service: a log on standard error, with or without `--log-level`.
    pub(super) fn service_observer(&self) -> Result<EventEmitter> {
        let usual = if self.verbose { LogLevel::Debug } else { LogLevel::Info };
        let level = self.log_level.unwrap_or(usual);
        let format = if self.json { LogFormat::Json } else { self.log_format };
        start_log(level, format, Clock::System, output::log)?;
        Ok(EventEmitter::new(vec![Box::new(log::LogSink::new())]))
    }

    /// Returns the same options with another state directory.
    pub(super) fn with_state(&self, folder: &Path) -> Self {
        Self { state: self.state.at(folder), ..self.clone() }
    }

    /// Returns the connect options of `--set`, which take precedence over `texts`.
    pub(super) fn overrides_over(&self, mut texts: Vec<String>) -> Result<Overrides> {
        texts.extend(self.set.iter().cloned());
        Overrides::read(&texts)
    }

    /// Returns the connect options of `--set`.
    pub(super) fn overrides(&self) -> Result<Overrides> {
        Overrides::read(&self.set)
    }

    /// Returns the password to use where neither URL nor script has one.
    pub(super) fn password(&self) -> Result<Option<Secret>> {
        if let Some(password) = self.named_password()? {
            return Ok(Some(password));
        }
        Ok(std::env::var("PORTOLAN_PASSWORD").ok().map(Secret::new))
    }

    /// Returns the password of `--password-file` or `--password-command`.
    pub(super) fn named_password(&self) -> Result<Option<Secret>> {
        match (&self.password_file, self.password_command()?) {
            (Some(file), _) => secrets::read_file(file).map(Some),
            (None, Some(words)) => password_command::run(&words).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Returns the command of `--password-command`.
    pub(super) fn password_command(&self) -> Result<Option<Vec<String>>> {
        self.password_command.as_deref().map(password_command::shell).transpose()
    }

    /// Returns the logins of `--netrc`; none without it.
    pub(super) fn netrc(&self) -> Result<Netrc> {
        let (Some(given), None, None) = (&self.netrc, &self.password_file, &self.password_command)
        else {
            return Ok(Netrc::default());
        };
        let none = "--netrc=FILE names the file with the logins: there is no home folder here";
        let path = given.clone().or_else(netrc::usual_path).ok_or_else(|| Error::invalid(none))?;
        Netrc::read(&path)
    }

    /// Returns the store of NAT undo records; `None` if there is no state directory.
    pub(super) fn ledger(&self) -> Option<Arc<dyn RulesetStore>> {
        self.state.ledger(Clock::System)
    }

    /// Returns the context of a run, with its sinks and the server records.
    pub(super) fn context(&self) -> Result<KeptRun> {
        self.remembering(self.rehearsal_context()?)
    }

    /// Returns the context of a run, with its sinks, the server records and `more`, which collects its summary.
    pub(super) fn context_with_account(&self, more: Box<dyn Sink>) -> Result<KeptRun> {
        self.remembering(self.context_with(vec![self.shown(), more])?)
    }

    /// Returns the context of a rehearsal: its findings are true of no real server, so it has no server records.
    pub(super) fn rehearsal_context(&self) -> Result<RunContext> {
        self.context_with(vec![self.shown()])
    }

    /// Returns the context of a replay: as a rehearsal, but at the time `now`; with `--json` it shows nothing.
    pub(super) fn replay_context(&self, more: Box<dyn Sink>, now: i64) -> Result<RunContext> {
        let shown = if self.json { None } else { Some(self.for_people()) };
        let context = self.context_with(shown.into_iter().chain([more]).collect())?;
        Ok(RunContext { clock: Clock::standing_at(now), ..context })
    }

    /// Returns the connect options of `--set` as they were written, without those that are secrets.
    pub(super) fn shown_options(&self) -> Vec<String> {
        let is_secret = |text: &&String| {
            let key = text.split('=').next().unwrap_or_default();
            matches!(key, "password" | "account" | "proxy" | "password_command")
        };
        self.set.iter().filter(|text| !is_secret(text)).cloned().collect()
    }

    /// Returns the sink that displays progress: on a terminal, as lines, or as JSON.
    fn shown(&self) -> Box<dyn Sink> {
        if self.json {
            let clock = Clock::System;
            let run = format!("{:x}", clock.now().as_millisecond());
            Box::new(JsonLines::new(run, clock, output::results()))
        } else {
            self.for_people()
        }
    }

    /// Returns the sink for a person.
    fn for_people(&self) -> Box<dyn Sink> {
        if self.quiet { problems() } else { progress(!self.no_progress) }
    }

    /// Returns the context of a command whose only output is a result: files, names, figures.
    pub(super) fn quiet_context(&self) -> Result<RunContext> {
        Ok(self.remembering(self.context_with(vec![problems()])?)?.0)
    }

    /// Returns the context of a command that prints one document: with `--json` that is all it prints.
    pub(super) fn single_context(&self) -> Result<KeptRun> {
        let shown = if self.json { Vec::new() } else { vec![self.for_people()] };
        self.remembering(self.context_with(shown)?)
    }

    fn remembering(&self, context: RunContext) -> Result<KeptRun> {
        let RunContext { observer, clock, .. } = &context;
        let leases = Leases::new(self.lease_book(), observer.clone(), clock.clone());
        let openings = RulesetPorts::new(self.ledger(), false, observer.clone(), clock.clone());
        let port_provider = Some(RunPortProvider::shared(Arc::new(leases), openings));
        let Some(memory) = self.state.memory(observer, clock)? else {
            return Ok((RunContext { port_provider, ..context }, None));
        };
        let temps = memory.folder().map(TempRecords::within).unwrap_or_default();
        let context = RunContext { memory: Some(memory.clone()), port_provider, temps, ..context };
        Ok((context, Some(memory)))
    }

    /// Returns the journal of router leases, so that none is left behind after a crash.
    fn lease_book(&self) -> Option<LeaseJournal> {
        self.state.book()
    }

    /// Returns the NAT settings of a script run: its stores. Every command that runs scripts gets them from here.
    pub(super) fn nat(&self) -> NatSettings {
        let (ledger, book) = (self.ledger(), self.lease_book());
        NatSettings { ledger, book, ..NatSettings::default() }
    }

    /// Returns the context of a run of the scheduler, which reports to these sinks only.
    pub(super) fn child_context(
        &self,
        stop: CancelToken,
        sinks: Vec<Box<dyn Sink>>,
    ) -> Result<KeptRun> {
        let context = self.context_with(sinks)?;
        self.remembering(RunContext { stop, ..context })
    }

    /// Returns the context of a command that displays progress in its own way.
    pub(super) fn context_shown_by(&self, sink: Option<Box<dyn Sink>>) -> Result<RunContext> {
        self.context_with(sink.into_iter().collect())
    }

    fn context_with(&self, mut sinks: Vec<Box<dyn Sink>>) -> Result<RunContext> {
        let clock = Clock::System;
        if let Some(level) = self.log_level {
            start_log(level, self.log_format, clock.clone(), io::stderr)?;
            sinks.push(Box::new(log::LogSink::new()));
        } else if self.verbose {
            // What is transferred is shown as always: only the records of the parts below come to it.
            start_log(LogLevel::Debug, self.log_format, clock.clone(), io::stderr)?;
        }
        let observer = EventEmitter::new(sinks);
        let is_watched = !self.json && io::stderr().is_terminal();
        Ok(RunContext { observer, clock, is_watched, ..RunContext::default() })
    }

    /// Returns the site of a URL or a saved site on the command line, and the URL with its path as the server has it.
    pub(super) fn place(&self, text: &str) -> Result<(Site, Url)> {
        let mut url = parse_url(text)?;
        let site = self.site(&url)?;
        url.encode(site.encoding)?;
        Ok((site, url))
    }

    /// Returns the site of a URL on the command line; its path is left to the command. A user at a terminal is asked for a
    /// password that is missing.
    pub(super) fn site(&self, url: &Url) -> Result<Site> {
        let mut site = self.site_as_given(url)?;
        let is_open = site.user == "anonymous" || site.user == "ftp";
        if site.password.is_none() && !is_open && may_ask_password() {
            site.password = ask_password(&site.user, &site.host)?;
        }
        Ok(site)
    }

    /// Returns the same without asking for a password.
    pub(super) fn site_as_given(&self, url: &Url) -> Result<Site> {
        let mut site = site_of(url, &self.overrides()?)?;
        site.folder = None;
        complete(&mut site, &self.netrc()?, self.password()?.as_ref(), false)?;
        Ok(site)
    }
}

/// Disables core dumps of this process, since they would contain passwords. Programs that it starts are not affected.
pub(super) fn leave_no_dumps() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(hidden) {
        tracing::debug!(target: "portolan", "a dump of the memory may be written: {error}");
    }
}

fn start_log<W>(level: LogLevel, format: LogFormat, clock: Clock, writer: W) -> Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Debug => MessageLevel::Debug,
        LogLevel::Info => MessageLevel::Info,
        LogLevel::Warn => MessageLevel::Warn,
        LogLevel::Error => MessageLevel::Error,
    };
    let format = match format {
        LogFormat::Text => log::RecordFormat::Text,
        LogFormat::Json => log::RecordFormat::Json,
    };
    log::start(level, format, clock, writer)
}

/// Opens a session with `site` and runs `work` with it.
pub(super) fn with_session(
    site: Site,
    context: &RunContext,
    work: impl AsyncFnOnce(&mut Session) -> Result<()>,
) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let encoding = site.encoding;
        let mut session = Session::open(site, context.clone()).await?;
        let result = match work(&mut session).await {
            Err(fault) => {
                let path = fault.path.clone().map(PathBuf::from);
                let fault = if context.is_watched {
                    with_nearest_name(&mut session, fault, encoding).await
                } else {
                    fault
                };
                Err(match path.filter(|_| fault.side == Origin::Here) {
                    Some(path) => ops::with_nearest_name(fault, &path),
                    None => fault,
                })
            }
            done => done,
        };
        session.leave();
        result
    })
}

/// Runs `work` on its own thread; on Ctrl-C or SIGTERM asks it to stop, and abandons it if it does not.
pub(super) fn interruptible(
    stop: &CancelToken,
    work: impl FnOnce() -> ExitResult + Send + 'static,
) -> ExitResult {
    let runtime = runtime()?;
    // Before the work begins: an early signal must not end the program in the middle of it.
    let signals = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)))
    };
    let (done, mut ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("work".into()).spawn(move || {
        // No receiver is left when the program has been interrupted.
        if let Err(result) = done.send(work()) {
            tracing::debug!(target: "portolan", "ended with {result:?} after the program was told to stop");
        }
    });
    thread.context("cannot start a thread")?;
    runtime.block_on(async {
        let Ok((mut interrupt, mut terminate)) = signals else {
            return ended.await.unwrap_or(Ok(Exit::Bug));
        };
        tokio::select! {
            result = &mut ended => return result.unwrap_or(Ok(Exit::Bug)),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.set();
        match tokio::time::timeout(STOP_TIME_MAX, ended).await {
            Ok(Ok(result)) => result,
            _ => Ok(Exit::Interrupted),
        }
    })
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(
            ErrorKind::Local,
            Origin::Here,
            format!("cannot start the async runtime: {error}"),
        )
    })
}
