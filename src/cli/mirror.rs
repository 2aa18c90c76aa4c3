//! `portolan mirror`: copies a whole directory to or from a server.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    ExitResult,
    common::{Common, KeptRun, interruptible, with_session},
    get::rate,
    put::in_place,
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::{
        path::RemotePath,
        session::Session,
        site::{InPlace, PARALLEL_AUTO, Site},
        url::Url,
    },
    limits::{MIRROR_RETRIES, PARALLEL_MAX},
    mirror::{
        self, Compare, Direction, MirrorOptions, MirrorPlan, OnConflict, Quotas, SizeAgeFilter,
        StateIn, report::Report, sync_base::MirrorStates,
    },
    observe::Event,
    script::value::{parse_duration, parse_size},
};

/// The arguments of `portolan mirror`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Side to copy: a local directory or a URL
    source: String,
    /// Side to update: a URL or a local directory
    target: String,
    /// Delete what the source lacks: last, and only if nothing failed
    #[arg(long)]
    delete: bool,
    /// Show what would be done, but do nothing
    #[arg(long)]
    dry_run: bool,
    /// Mirror only what matches, as in .gitignore; may be repeated, the last match wins
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Skip what matches, as in .gitignore; may be repeated, evaluated after .portolanignore
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Show which rule applies to a path (trailing slash: a directory), but do nothing
    #[arg(long, value_name = "PATH")]
    explain: Option<String>,
    /// Number of concurrent sessions, or `auto` to find the fastest
    #[arg(long, value_name = "N|auto", value_parser = sessions)]
    parallel: Option<u16>,
    /// Resume interrupted transfers of files that are unchanged
    #[arg(long)]
    resume: bool,
    /// Number of retries per file after a temporary failure
    #[arg(long, value_name = "N", default_value_t = MIRROR_RETRIES)]
    retries: u16,
    /// Maximum bytes per second of all sessions, such as 2MiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_limit: Option<u64>,
    /// Comparison of files: auto, size, size_time or checksum
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = compare)]
    compare: Compare,
    /// Winner if the target changed since the last run: source, keep, newer or fail
    #[arg(long, value_name = "WHO", default_value = "source", value_parser = on_conflict)]
    on_conflict: OnConflict,
    /// Skip files that are not newer in the source
    #[arg(long)]
    newer_only: bool,
    /// Do nothing if more than this number would be deleted
    #[arg(long, value_name = "N")]
    max_delete: Option<u64>,
    /// Move deleted files to this directory on the target side
    #[arg(long, value_name = "DIR")]
    trash: Option<String>,
    /// Transfer everything to temporary names, then rename all
    #[arg(long)]
    staged: bool,
    /// Follow links of the source: local ones only within it, remote ones anywhere
    #[arg(long)]
    follow_links: bool,
    /// Fail files whose size cannot be verified [default: if --delete is on]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    verify: Option<bool>,
    /// Upload directly to final names: true (existing files are lost), false, or auto [default: auto]
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = in_place)]
    inplace: Option<InPlace>,
    /// Do not preserve the modification times of the source
    #[arg(long)]
    no_preserve_times: bool,
    /// Keep the state of both sides on the server, for stateless hosts
    #[arg(long)]
    state_remote: bool,
    /// Trust the state of the last run; verify only a sample
    #[arg(long)]
    trust_state: bool,
    /// Minimum size of the files to mirror
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_size: Option<u64>,
    /// Maximum size of the files to mirror, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Mirror only files modified within this time, such as 36h
    #[arg(long, value_name = "TIME", value_parser = time)]
    newer_than: Option<Duration>,
    /// Mirror only files not modified within this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<Duration>,
    /// Do nothing if a larger file would be transferred
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_file_size: Option<u64>,
    /// Do nothing if more than this would be transferred in total
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_total: Option<u64>,
    /// Do nothing if less local disk space than this would stay free
    #[arg(long, value_name = "SIZE", value_parser = size)]
    min_free: Option<u64>,
    /// With --dry-run: write the plan to a file, for --apply
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    plan: Option<PathBuf>,
    /// Apply a plan of --dry-run --plan, unless a side changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "delete", "include", "exclude", "explain"])]
    apply: Option<PathBuf>,
}

const HELP: &str = "\
Examples:
    portolan mirror ftpes://me@ftp.example.org/pub copy
    portolan mirror --dry-run --delete dist ftpes://deploy@www.example.com/htdocs
    portolan mirror --exclude '*.map' --exclude .git/ dist ftpes://deploy@www.example.com/htdocs";

/// Returns the choice that `word` names, written with a dash or an underscore.
fn choice<T: Copy>(word: &str, all: &[(&str, T)]) -> Result<T, String> {
    let word = word.replace('-', "_");
    let found = all.iter().find(|(known, _)| *known == word);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|(known, _)| *known).collect();
        format!("one of {} is wanted", known.join(", "))
    })
}

fn compare(word: &str) -> Result<Compare, String> {
    choice(word, &Compare::ALL)
}

fn on_conflict(word: &str) -> Result<OnConflict, String> {
    choice(word, &OnConflict::ALL)
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "a size is wanted, such as 4096 or 64MiB".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is wanted, such as 90s, 36h or 7d".to_owned())
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
        let sides = sides(&args.source, &args.target)?;
        let site = common.site(&sides.url)?;
        let (context, states) = common.single_context()?;
        let rules = rules(args, site.parallel, context.clock.now());
        // Mistakes in the arguments are reported before any connection is opened.
        let filter = rules.filter(&sides.local)?;
        Ok((sides, site, rules, filter, (context, states)))
    };
    let (sides, site, rules, filter, run) = prepared().map_err(UsageError)?;
    if let Some(path) = &args.explain {
        return Ok(explain(path, &sides.local, &filter, common.json()));
    }
    let doing = match (&args.apply, &args.plan) {
        (Some(file), _) => MirrorMode::Apply { plan: Box::new(read_plan(file)?) },
        (None, Some(file)) => MirrorMode::Plan { file: file.clone() },
        (None, None) => MirrorMode::Mirror { dry_run: args.dry_run },
    };
    let stop = run.0.stop.clone();
    let json = common.json();
    interruptible(&stop, move || work(&sides, site, &rules, &doing, &run, json))
}

fn work(
    sides: &MirrorSides,
    site: Site,
    rules: &MirrorOptions,
    doing: &MirrorMode,
    (context, states): &KeptRun,
    json: bool,
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
        report::json(&done);
    } else {
        let is_dry =
            !matches!(doing, MirrorMode::Mirror { dry_run: false } | MirrorMode::Apply { .. });
        let plan = if is_dry { done.plan.as_slice() } else { &[] };
        let lines: Vec<_> = plan.iter().map(|line| format!("{line}\n")).collect();
        report::output(&(lines.concat() + format!("{done}\n").as_str()));
    }
    Ok(if done.failed > 0 { Exit::InPart } else { Exit::Done })
}

/// Parses a number of sessions from the command line.
fn sessions(text: &str) -> Result<u16, String> {
    if text == "auto" {
        return Ok(PARALLEL_AUTO);
    }
    let wants = || format!("a number from 1 to {PARALLEL_MAX} is wanted, or auto");
    text.parse().ok().filter(|count| (1..=PARALLEL_MAX).contains(count)).ok_or_else(wants)
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
            Ok(plan.report())
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

fn rules(args: &Args, parallel: u16, now: Timestamp) -> MirrorOptions {
    let ago = |time: Option<Duration>| time.map(|time| SizeAgeFilter::ago(now, time));
    MirrorOptions {
        delete: args.delete,
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        compare: args.compare,
        max_delete: args.max_delete,
        parallel: args.parallel.unwrap_or(parallel),
        resume: args.resume,
        retries: args.retries,
        rate_limit: args.rate_limit,
        preserve_times: !args.no_preserve_times,
        newer_only: args.newer_only,
        on_conflict: args.on_conflict,
        trash: args.trash.clone(),
        staged: args.staged,
        follow_links: args.follow_links,
        verify: args.verify,
        in_place: args.inplace,
        state: if args.state_remote { StateIn::Remote } else { StateIn::Local },
        trust_state: args.trust_state,
        bounds: SizeAgeFilter {
            min_size: args.min_size,
            max_size: args.max_size,
            after: ago(args.newer_than),
            before: ago(args.older_than),
        },
        caps: Quotas {
            max_file_size: args.max_file_size,
            max_total: args.max_total,
            min_free: args.min_free,
        },
    }
}

fn sides(source: &str, target: &str) -> Result<MirrorSides> {
    let (direction, local, url) = match (Url::is_one(source), Url::is_one(target)) {
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
    Ok(MirrorSides { direction, local: PathBuf::from(local), url: Url::parse(url)? })
}
