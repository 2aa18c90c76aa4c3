//! `portolan deploy` and `portolan rollback`: a built site onto a server, and the way back.

use std::{path::PathBuf, time::Instant};

use serde::Serialize;

use super::{
    ExitResult,
    ci::{CiSystem, DeployOutcome},
    common::{Common, KeptRun, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    hooks::DeployHooks,
    operands::path_of,
    report::{self, UsageError},
};
use crate::{
    deploy::{
        self, DeployReport, DeployRequest, OPTIONS, ROLLBACK_OPTIONS, RollbackReport,
        RollbackRequest,
    },
    error::{Error, Result},
    exit_code::Exit,
    ftp::{path::RemotePath, session::RunContext, site::Site},
    mirror::MirrorOptions,
    observe::Event,
    option_table::OptionTable,
    script::sites::parse_url,
};

/// The arguments of `portolan deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Local directory with the built site
    #[arg(value_name = "DIR")]
    source: PathBuf,
    /// Directory on the server, such as ftpes://deploy@www.example.com/htdocs; it is created if it is missing
    url: String,
    #[command(flatten)]
    options: OptionFlags<Self>,
    #[command(flatten)]
    hooks: DeployHooks,
    /// Write annotations, a summary and outputs for this CI system
    #[arg(long, value_enum, value_name = "SYSTEM")]
    ci: Option<CiSystem>,
}

const HELP: &str = "\
Examples:
    portolan deploy dist ftpes://deploy@www.example.com/htdocs
    portolan deploy --dry-run dist ftpes://deploy@www.example.com/htdocs
    portolan deploy --staged --keep 5 --check-url https://www.example.com/ dist ftpes://deploy@www.example.com/htdocs";

impl OptionCommand for Args {
    type Options = DeployRequest;
    const TABLE: OptionTable<DeployRequest> = OPTIONS;
    const NAME: &'static str = "deploy";
}

/// A deployment that is ready to begin.
struct PreparedDeploy {
    folder: PathBuf,
    remote: RemotePath,
    site: Site,
    request: DeployRequest,
    run: KeptRun,
    json: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let ci = args.ci;
    let prepared = prepare(args, common).map_err(|fault| told(ci, fault)).map_err(UsageError)?;
    let stop = prepared.run.0.stop.clone();
    let (hooks, url) = (args.hooks.clone(), shown_url(&args.url));
    interruptible(&stop, move || {
        let is_dry = prepared.request.dry_run;
        let mut report = DeployReport::default();
        if !is_dry {
            hooks.before(&prepared.folder, &url).map_err(|fault| told(ci, fault))?;
        }
        // A command may have built the site, so that its folder is looked at now, and still before any connection.
        let options =
            prepared.request.mirror_options(&prepared.folder, |file| Ok(PathBuf::from(file)));
        let options = options.map_err(|fault| told(ci, fault)).map_err(UsageError)?;
        let done = work(prepared, options, &mut report).map_err(|fault| told(ci, fault));
        let outcome = DeployOutcome::of(&report);
        let written = match (ci, &done) {
            (None, _) => Ok(()),
            (Some(ci), Ok(_)) => ci.tell(&outcome),
            (Some(ci), Err(fault)) => ci.tell_failure(&outcome, fault),
        };
        let after = if is_dry { Ok(()) } else { hooks.after(&url, done.is_ok(), &report) };
        let exit = done?;
        after.map_err(|fault| told(ci, fault))?;
        written?;
        Ok(exit)
    })
}

/// Writes the annotation of an error that ends the command, and returns the error.
fn told(ci: Option<CiSystem>, fault: Error) -> Error {
    if let Some(ci) = ci {
        ci.annotate(&fault);
    }
    fault
}

/// Returns a URL without what may be its password.
fn shown_url(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let login = url.get(scheme + 3..at).unwrap_or_default();
            let user = login.split(':').next().unwrap_or_default();
            let (head, tail) = (url.get(..scheme + 3), url.get(at..));
            format!("{}{user}{}", head.unwrap_or_default(), tail.unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

fn prepare(args: &Args, common: &Common) -> Result<PreparedDeploy> {
    let url = parse_url(&args.url)?;
    let site = common.site(&url)?;
    let mut request = DeployRequest::default();
    request.options.parallel = site.parallel;
    args.options.fill(&mut request)?;
    let remote = path_of(&url)?;
    let (folder, run, json) = (args.source.clone(), common.context()?, common.json());
    Ok(PreparedDeploy { folder, remote, site, request, run, json })
}

/// A report as the last line of `--json`.
#[derive(Serialize)]
struct DeployedLine<'r, T> {
    event: &'static str,
    #[serde(flatten)]
    report: &'r T,
}

fn work(
    prepared: PreparedDeploy,
    options: MirrorOptions,
    report: &mut DeployReport,
) -> Result<Exit> {
    let PreparedDeploy { folder, remote, site, request, run, json } = prepared;
    let (context, states) = &run;
    let started = Instant::now();
    let done = with_session(site, context, async |session| {
        let sides = (&*folder, &remote);
        *report = deploy::deploy(session, states.as_ref(), sides, &request, options, None).await?;
        Ok(())
    });
    if json {
        let fault = done.as_ref().err().or(report.report.errors.first()).cloned();
        context.observer.emit(&Event::RunDone { fault, took: started.elapsed() });
    }
    done?;
    if json {
        report::json(&DeployedLine { event: "deployed", report });
    } else {
        let plan = if request.dry_run { report.report.plan.as_slice() } else { &[] };
        report::plan(plan);
        report::output(&format!("{report}\n"));
    }
    Ok(report.exit())
}

/// The arguments of `portolan rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = ROLLBACK_HELP)]
pub(super) struct RollbackArgs {
    /// Directory on the server that was deployed to
    url: String,
    #[command(flatten)]
    options: OptionFlags<Self>,
    /// List the deployments that can be undone, the last one first
    #[arg(long, conflicts_with_all = ["count", "dry_run"])]
    list: bool,
}

const ROLLBACK_HELP: &str = "\
Undoes the last deployment that was made with --keep or after one with it.

Examples:
    portolan rollback ftpes://deploy@www.example.com/htdocs
    portolan rollback --list ftpes://deploy@www.example.com/htdocs
    portolan rollback --dry-run --count 2 ftpes://deploy@www.example.com/htdocs";

impl OptionCommand for RollbackArgs {
    type Options = RollbackRequest;
    const TABLE: OptionTable<RollbackRequest> = ROLLBACK_OPTIONS;
    const NAME: &'static str = "rollback";
}

pub(super) fn rollback(args: &RollbackArgs, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let url = parse_url(&args.url)?;
        let site = common.site(&url)?;
        let remote = path_of(&url)?;
        Ok((site, remote, args.options.options()?, common.single_context()?.0))
    };
    let (site, remote, request, context) = prepared().map_err(UsageError)?;
    let (stop, json, lists) = (context.stop.clone(), common.json(), args.list);
    interruptible(&stop, move || {
        if lists {
            return list(site, &context, &remote, json);
        }
        let mut report = RollbackReport::default();
        with_session(site, &context, async |session| {
            report = deploy::rollback(session, &remote, &request).await?;
            Ok(())
        })?;
        if json {
            report::json(&report);
        } else {
            let plan = if request.dry_run { report.plan.as_slice() } else { &[] };
            report::plan(plan);
            report::output(&format!("{report}\n"));
        }
        Ok(Exit::Done)
    })
}

/// Prints the deployments that can be undone.
fn list(site: Site, context: &RunContext, remote: &RemotePath, json: bool) -> ExitResult {
    let mut releases = Vec::new();
    with_session(site, context, async |session| {
        releases = deploy::list_releases(session, remote).await?;
        Ok(())
    })?;
    if json {
        report::json(&releases);
    } else {
        let lines: Vec<_> = releases.iter().map(|release| format!("{release}\n")).collect();
        report::output(&lines.concat());
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_reaches_no_hook() {
        for (url, shown) in [
            ("ftp://host/a", "ftp://host/a"),
            ("ftp://me@host/a", "ftp://me@host/a"),
            ("ftpes://me:pass:w@rd@host/a", "ftpes://me@host/a"),
            ("@acme/a", "@acme/a"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
