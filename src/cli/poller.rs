//! `portolan run --as-poller`: looks at a directory of a server again and again, for the scheduler that started it.

use std::{
    io::{self, BufReader},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    ExitResult,
    common::{Common, runtime},
    permissions::permissions,
    report,
    sandbox::RunSandbox,
};
use crate::{
    cancel::CancelToken,
    error::Result,
    exit_code::Exit,
    ftp::{
        listing::{EntryKind, Modified},
        path::RemotePath,
        session::{RunContext, Session},
        site::Site,
    },
    limits::{ARRIVAL_WAIT_MAX, FILES_WATCHED_MAX},
    remote::{fs::RemoteFs, listing::DirectoryListing},
    schedule::{
        arrivals::{PollLine, PollSpec},
        child::{drain::Drain, isolation, programs::RunPrograms},
    },
    script::{
        run::Settings,
        secrets,
        site::{complete, site_of},
        sites::parse_url,
        source::ScriptSource,
        value::NameText,
    },
};

pub(super) fn run(common: &Common) -> ExitResult {
    let mut input = BufReader::new(io::stdin());
    let spec = PollSpec::read(&mut input)?;
    isolation::tie(spec.parent)?;
    let polled = prepared(common, &spec).and_then(|(site, context)| {
        let stop = context.stop.clone();
        isolation::listen(input, Arc::new(Drain::new(stop)))?;
        Ok(runtime()?.block_on(poll(&spec, &site, &context))?)
    });
    if let Err(fault) = polled {
        say(&PollLine::Fault { text: fault.to_string() });
        return Ok(Exit::Later);
    }
    Ok(Exit::Done)
}

/// Confines this process as a run of the job would be, and returns the server.
fn prepared(common: &Common, spec: &PollSpec) -> anyhow::Result<(Site, RunContext)> {
    let overrides = common.overrides_over(secrets::of_settings(&spec.connect)?)?;
    let (password, netrc) = (common.password()?, common.netrc()?);
    let options = spec.permissions.clone().unwrap_or_default();
    let permissions = permissions(&options, spec.permissions.is_some())?;
    let settings = Settings { overrides: overrides.clone(), ..Settings::default() };
    let source = ScriptSource::from_text("", "arrival", Path::new("."));
    // Before anything that starts a thread.
    let sandbox = RunSandbox::enter(
        common,
        &source,
        &options,
        &permissions,
        &settings,
        &RunPrograms::default(),
    )?;
    let (mut context, _) = common.child_context(CancelToken::new(), Vec::new())?;
    sandbox.report(&context.observer);
    context.permissions = Arc::new(permissions);
    let url = parse_url(&spec.site)?;
    let mut site = site_of(&url, &overrides)?;
    complete(&mut site, &netrc, password.as_ref(), false)?;
    Ok((site, context))
}

/// Looks at the directory until the scheduler ends this process. One session is kept.
async fn poll(spec: &PollSpec, site: &Site, context: &RunContext) -> Result<()> {
    let every = Duration::from_millis(spec.every_ms);
    let names = NameText(site.encoding);
    let directory = names.path(&spec.directory)?;
    let (mut session, mut last, mut wait) = (None, None, every);
    loop {
        match look(&mut session, site, context, &directory).await {
            Ok(listing) => {
                wait = every;
                let lines = lines(&listing, names);
                if last.as_ref() == Some(&lines) {
                    say(&PollLine::Same);
                } else {
                    lines.iter().for_each(say);
                    last = Some(lines);
                }
            }
            Err(fault) => {
                session = None;
                say(&PollLine::Fault { text: fault.to_string() });
                // After a fault all is told anew.
                last = None;
                wait = (wait * 2).min(ARRIVAL_WAIT_MAX.max(every));
            }
        }
        tokio::time::sleep(wait).await;
    }
}

/// Lists the directory. A session that the server has closed meanwhile is opened again.
async fn look(
    session: &mut Option<Session>,
    site: &Site,
    context: &RunContext,
    directory: &RemotePath,
) -> Result<DirectoryListing> {
    if let Some(open) = session
        && let Ok(listing) = RemoteFs::list(open, directory).await
    {
        return Ok(listing);
    }
    *session = None;
    let open = session.insert(Session::open(site.clone(), context.clone()).await?);
    RemoteFs::list(open, directory).await
}

fn lines(listing: &DirectoryListing, names: NameText) -> Vec<PollLine> {
    let files = listing.entries.iter().filter(|entry| entry.kind == EntryKind::File);
    let mut lines: Vec<_> = files
        .take(FILES_WATCHED_MAX)
        .map(|entry| PollLine::File {
            name: names.text(&entry.name),
            size: entry.size,
            modified: entry.modified.and_then(Modified::text).unwrap_or_default(),
        })
        .collect();
    let whole = listing.is_conclusive && lines.len() < FILES_WATCHED_MAX;
    lines.push(PollLine::End { whole });
    lines
}

fn say(line: &PollLine) {
    report::json(line);
}
