//! `portolan notify`: a test of the notifications of a job, and the digest of the last day.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    ExitResult,
    common::Common,
    next::no_job,
    report::{self, UsageError},
    slots,
    store::JobsStore,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    exit_code::Exit,
    files::owned,
    observe::visible::visible_lines,
    schedule::{
        daemon::digest_of,
        jobs::{Job, Jobs, Tell},
        notify::{
            NoticeContext, NoticeText, deliver_now, host_name, job_facts, of_tell, target_of,
        },
        zone::Zones,
    },
    store::history::NewNotice,
};

/// The arguments of `portolan notify`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    command: NotifyCommand,
}

const HELP: &str = "\
Examples:
    portolan notify test nightly
    portolan notify test nightly --event late
    portolan notify digest --dry-run";

#[derive(Debug, clap::Subcommand)]
enum NotifyCommand {
    /// Send a test message to those whom a job notifies
    Test {
        /// Job whose targets get the message
        job: String,
        /// Event whose targets get it [default: failure, or the first with targets]
        #[arg(long, value_name = "EVENT", value_parser = EVENTS)]
        event: Option<String>,
        #[command(flatten)]
        jobs: JobsStore,
    },
    /// Send the digest of the last 24 hours now
    Digest {
        /// Print the digest and send nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        jobs: JobsStore,
    },
}

/// The events of a job, as its keys `on_…` have them.
const EVENTS: [&str; 7] = ["failure", "change", "success", "missed", "late", "slow", "empty"];

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    match &args.command {
        NotifyCommand::Test { job, event, jobs } => test(job, event.as_deref(), jobs, common),
        NotifyCommand::Digest { dry_run, jobs } => digest(*dry_run, jobs, common),
    }
}

fn read(file: &JobsStore) -> anyhow::Result<(Jobs, PathBuf)> {
    if file.path().exists() {
        owned::guard(file.path())?;
    }
    let jobs = slots::jobs(file.path(), &Zones::newest(), Clock::System.now())?;
    jobs.included.iter().try_for_each(|file| owned::guard(file))?;
    let path = std::path::absolute(file.path());
    let path = path.map_err(|error| Error::local("find", file.path(), error))?;
    let folder = path.parent().unwrap_or(&path).to_owned();
    Ok((jobs, folder))
}

fn test(name: &str, event: Option<&str>, file: &JobsStore, common: &Common) -> ExitResult {
    let (jobs, folder) = read(file)?;
    let Some(job) = jobs.get(name) else { return Err(UsageError(no_job(&jobs, name)).into()) };
    let tell = targets(job, event).map_err(UsageError)?;
    let facts = job_facts(name, "test", "has a test of its notifications", None, &[]);
    let host = host_name();
    let context = NoticeContext {
        host: &host,
        page: jobs.runner.page_url.as_deref(),
        description: job.description.as_deref(),
        log: "",
    };
    let notices = of_tell(Some(tell), 0, name, "test", &facts, &context);
    Ok(send(&notices, tell, &jobs, &folder, common))
}

/// Returns the targets of an event, or of the first event that has any.
fn targets<'j>(job: &'j Job, event: Option<&str>) -> Result<&'j Tell> {
    let found = match event {
        Some(event) => job.notify.of_event(event),
        None => EVENTS.iter().find_map(|event| job.notify.of_event(event)),
    };
    found.ok_or_else(|| {
        let key = event.unwrap_or("failure");
        let message = format!(
            "job `{}` has no recipient{}; write `on_{key} = {{ mail = \"ops@example.com\" }}`",
            job.name,
            event.map(|event| format!(" of this event: {event}")).unwrap_or_default()
        );
        Error::invalid(message)
    })
}

fn digest(is_dry: bool, file: &JobsStore, common: &Common) -> ExitResult {
    let (jobs, folder) = read(file)?;
    let now = Clock::System.now();
    let since = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now);
    let (_, store) = file.store(common)?;
    let facts = digest_of(&store, &jobs, since, now)?;
    let host = host_name();
    let page = jobs.runner.page_url.as_deref();
    let context = NoticeContext { host: &host, page, ..NoticeContext::default() };
    if is_dry {
        let text = NoticeText::of(&facts, &crate::schedule::jobs::Templates::default());
        if common.json() {
            report::json(&facts);
        } else {
            report::output(&visible_lines(&text.text));
        }
        return Ok(Exit::Done);
    }
    let Some(digest) = &jobs.digest else {
        let message = "the jobs file has no `[digest]`, which names those who get it";
        return Err(UsageError(Error::invalid(message)).into());
    };
    let notices = of_tell(Some(&digest.tell), 0, "", "digest", &facts, &context);
    Ok(send(&notices, &digest.tell, &jobs, &folder, common))
}

/// Delivers notices, and prints what became of each.
fn send(notices: &[NewNotice], tell: &Tell, jobs: &Jobs, folder: &Path, common: &Common) -> Exit {
    let mut results = Vec::new();
    for notice in notices {
        let target = target_of(tell, &jobs.mail, &notice.channel);
        let result = target.map_or(Ok(()), |target| deliver_now(notice, &target, folder));
        results.push((notice.channel.as_str(), result));
    }
    if common.json() {
        let one = |(channel, result): &(&str, Result<(), String>)| json!({ "channel": channel, "sent": result.is_ok(), "error": result.as_ref().err() });
        report::json(&json!({ "targets": results.iter().map(one).collect::<Value>() }));
    } else {
        for (channel, result) in &results {
            let words = match result {
                Ok(()) => "sent".to_owned(),
                Err(error) => format!("not sent: {error}"),
            };
            report::output(&format!("{channel}: {words}\n"));
        }
    }
    if results.iter().all(|(_, result)| result.is_ok()) { Exit::Done } else { Exit::Later }
}
