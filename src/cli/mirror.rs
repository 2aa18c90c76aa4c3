//! `portolan mirror`: copies a whole directory to or from a server.

mod watch;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    ExitResult,
    common::{Common, KeptRun, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    files::ops::with_nearest_name,
    ftp::{path::RemotePath, session::Session, site::Site, url::Url},
    mirror::{
        self, Direction, MirrorOptions, MirrorPlan, MirrorRequest, report::Report,
        sync_base::MirrorStates,
    },
    observe::Event,
    option_table::OptionTable,
    script::sites::{is_url, parse_url},
};

/// The arguments of `portolan mirror`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Side to copy: a local directory or a URL
    source: String,
    /// Side to update: a URL or a local directory
    target: String,
    #[command(flatten)]
    options: OptionFlags<Self>,
    /// Show which rule applies to a path (trailing slash: a directory), but do nothing
    #[arg(long, value_name = "PATH")]
    explain: Option<String>,
    /// Show what would be done, do nothing, and exit with 6 if the sides differ
    #[arg(long, conflicts_with = "apply")]
    check: bool,
    /// With --dry-run: write the plan to a file, for --apply
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    plan: Option<PathBuf>,
    /// Apply a plan of --dry-run --plan, unless a side changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "delete", "move", "include", "exclude", "include_from", "exclude_from", "files_from", "gitignore", "explain"])]
    apply: Option<PathBuf>,
    /// Mirror to the server again after each local change, until Ctrl-C
    #[arg(long, conflicts_with_all = ["dry_run", "plan", "apply", "explain", "check"])]
    watch: bool,
}

const HELP: &str = "\
Examples:
    portolan mirror ftpes://me@ftp.example.org/pub copy
    portolan mirror --dry-run --delete dist ftpes://deploy@www.example.com/htdocs
    portolan mirror --watch --delete site ftpes://deploy@www.example.com/htdocs
    portolan mirror --exclude '*.map' --exclude .git/ dist ftpes://deploy@www.example.com/htdocs";

impl OptionCommand for Args {
    type Options = MirrorRequest;
    const TABLE: OptionTable<MirrorRequest> = mirror::OPTIONS;
    const NAME: &'static str = "mirror";
}

/// The two sides of a mirror: one local, one remote.
struct MirrorSides {
    direction: Direction,
    local: PathBuf,
    url: Url,
}

/// The operation on the two sides.
enum MirrorMode {
    Mirror { dry_run: bool },
    Plan { file: PathBuf },
    Apply { plan: Box<MirrorPlan> },
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let mut sides = sides(&args.source, &args.target)?;
        if args.watch && sides.direction == Direction::Down {
            let message = "`--watch` is for mirrors to a server: no server tells of its changes";
            return Err(Error::invalid(message));
        }
        let site = common.site(&sides.url)?;
        sides.url.encode(site.encoding)?;
        let (context, states) = common.single_context()?;
        let mut request = MirrorRequest::default();
        request.options.parallel = site.parallel;
        args.options.fill(&mut request)?;
        let dry_run = request.dry_run || args.check;
        let rules = request.options_at(context.clock.now(), |file| Ok(PathBuf::from(file)))?;
        // Mistakes in the arguments are reported before any connection is opened.
        let filter = rules.filter(&sides.local)?;
        Ok((sides, site, rules, dry_run, filter, (context, states)))
    };
    let (sides, site, rules, dry_run, filter, run) = prepared().map_err(UsageError)?;
    if let Some(path) = &args.explain {
        return Ok(explain(path, &sides.local, &filter, common.json()));
    }
    if sides.direction == Direction::Up
        && let Err(error) = std::fs::metadata(&sides.local)
    {
        let fault = Error::local("open the folder", &sides.local, error);
        return Err(with_nearest_name(fault, &sides.local).into());
    }
    let (stop, json) = (run.0.stop.clone(), common.json());
    if args.watch {
        let state = common.state_folder();
        let watched = watch::WatchedMirror { sides, site, rules, filter, state, json };
        return interruptible(&stop, move || watched.run(&run));
    }
    let doing = match (&args.apply, &args.plan) {
        (Some(file), _) => MirrorMode::Apply { plan: Box::new(read_plan(file)?) },
        (None, Some(file)) => MirrorMode::Plan { file: file.clone() },
        (None, None) => MirrorMode::Mirror { dry_run },
    };
    let shown = (json, args.check);
    interruptible(&stop, move || work(&sides, site, &rules, &doing, &run, shown))
}

fn work(
    sides: &MirrorSides,
    site: Site,
    rules: &MirrorOptions,
    doing: &MirrorMode,
    (context, states): &KeptRun,
    (json, is_check): (bool, bool),
) -> ExitResult {
    let mut done = Report::default();
    let started = Instant::now();
    let result = with_session(site, context, async |session| {
        done = go(session, states.as_ref(), sides, rules, doing).await?;
        Ok(())
    });
    let fault = result.as_ref().err().cloned();
    context.observer.emit(&Event::RunDone { fault, took: started.elapsed() });
    result?;
    if json {
        print_report(&done, json);
    } else {
        let is_dry =
            !matches!(doing, MirrorMode::Mirror { dry_run: false } | MirrorMode::Apply { .. });
        let plan = if is_dry { done.plan.as_slice() } else { &[] };
        report::plan(plan);
        print_report(&done, json);
    }
    let differs = is_check && !done.plan.is_empty();
    Ok(if done.failed > 0 || differs { Exit::InPart } else { Exit::Done })
}

/// Prints the figures of a mirror.
fn print_report(done: &Report, json: bool) {
    if json {
        report::json(done);
    } else {
        report::output(&format!("{done}\n"));
    }
}

async fn go(
    session: &mut Session,
    states: MirrorStates<'_>,
    sides: &MirrorSides,
    rules: &MirrorOptions,
    doing: &MirrorMode,
) -> Result<Report> {
    let MirrorSides { direction, local, url } = sides;
    let remote = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
    match (doing, direction) {
        (MirrorMode::Apply { plan }, _) => {
            plan.check_sides(session, *direction, local, &remote)?;
            mirror::apply(session, states, plan).await
        }
        (MirrorMode::Plan { file }, _) => {
            let plan = match direction {
                Direction::Up => mirror::plan_up(session, states, local, &remote, rules).await?,
                Direction::Down => {
                    mirror::plan_down(session, states, &remote, local, rules).await?
                }
            };
            let text = plan.to_json();
            std::fs::write(file, text)
                .map_err(|error| Error::local("write the plan", file, error))?;
            Ok(plan.dry_report())
        }
        (MirrorMode::Mirror { dry_run }, Direction::Up) => {
            mirror::up(session, states, local, &remote, rules, *dry_run).await
        }
        (MirrorMode::Mirror { dry_run }, Direction::Down) => {
            mirror::down(session, states, &remote, local, rules, *dry_run).await
        }
    }
}

fn read_plan(file: &Path) -> Result<MirrorPlan> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::local("read the plan", file, error))?;
    MirrorPlan::from_json(&text).map_err(|fault| fault.at(file.to_string_lossy()))
}

/// Prints which rule decides about `path`.
fn explain(path: &str, local: &Path, filter: &mirror::Filter, json: bool) -> Exit {
    let plain = path.trim_start_matches('/').trim_end_matches('/');
    let is_folder = path.ends_with('/') || local.join(plain).is_dir();
    let reason = filter.explain(plain.as_bytes(), is_folder);
    if json {
        let rule = reason.rule.as_ref();
        let value = serde_json::json!({
            "path": plain,
            "takes_part": reason.takes_part,
            "decided_at": String::from_utf8_lossy(&reason.path),
            "rule": rule.map(|(rule, _)| rule),
            "from": rule.map(|(_, from)| from),
            "reason": reason.words,
        });
        report::output(&format!("{value}\n"));
    } else {
        report::output(&format!("{reason}\n"));
    }
    Exit::Done
}

fn sides(source: &str, target: &str) -> Result<MirrorSides> {
    if source.is_empty() || target.is_empty() {
        let message = "one side is empty: a variable that it comes from may not be set";
        return Err(Error::invalid(message));
    }
    let (direction, local, url) = match (is_url(source), is_url(target)) {
        (false, true) => (Direction::Up, source, target),
        (true, false) => (Direction::Down, target, source),
        (true, true) => {
            return Err(Error::invalid(
                "one side must be a folder of this machine, and both are URLs",
            ));
        }
        (false, false) => {
            return Err(Error::invalid(
                "one side must be a URL (ftp://, ftpes:// or ftps://), and none is",
            ));
        }
    };
    let url = parse_url(url)?;
    if url.is_text {
        return Err(Error::invalid(
            "`;type=a` is for single files: a mirror compares them byte by byte",
        ));
    }
    Ok(MirrorSides { direction, local: PathBuf::from(local), url })
}
