//! `portolan mirror`: a whole folder to or from a server.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{
    common::{Common, interruptible, with_session},
    exit, report,
};
use crate::{
    fault::{Fault, Outcome},
    ftp::{path::RemotePath, session::Context, site::Site, url::Url},
    mirror::{self, Compare, Direction, Rules},
};

/// What `portolan mirror` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// What to copy: a local folder or a URL
    source: String,
    /// What to make like it: a URL or a local folder
    target: String,
    /// Removes what the source does not have: last, and only if nothing failed
    #[arg(long)]
    delete: bool,
    /// Says what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Only what matches, as in .gitignore; may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Nothing that matches, as in .gitignore; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Sessions at the same time
    #[arg(long, value_name = "N")]
    parallel: Option<u16>,
    /// When two files are held to be the same
    #[arg(long, value_enum, value_name = "MODE", default_value = "auto")]
    compare: CompareBy,
    /// Does nothing at all if more than that would be removed
    #[arg(long, value_name = "N")]
    max_delete: Option<u64>,
}

const HELP: &str = "\
Examples:
    portolan mirror ftpes://me@ftp.example.org/pub copy
    portolan mirror --dry-run --delete dist ftpes://deploy@www.example.com/htdocs
    portolan mirror --exclude '*.map' --exclude .git/ dist ftpes://deploy@www.example.com/htdocs";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompareBy {
    Auto,
    Size,
    #[value(name = "size_time", alias = "size-time")]
    SizeTime,
    Checksum,
}

/// One side is here, the other there.
struct Sides {
    direction: Direction,
    local: PathBuf,
    url: Url,
}

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    let prepared = || -> Outcome<_> {
        let sides = sides(&args.source, &args.target)?;
        let site = common.site(&sides.url)?;
        let rules = rules(args, site.parallel);
        // What cannot be meant is said before anything is connected.
        rules.check()?;
        Ok((sides, site, rules, common.single_context()?))
    };
    let (sides, site, rules, context) = match prepared() {
        Ok(prepared) => prepared,
        Err(fault) => return report::wrong_usage(&fault),
    };
    let stop = context.stop.clone();
    let dry_run = args.dry_run;
    let json = common.json();
    interruptible(&stop, move || work(&sides, site, &rules, dry_run, &context, json))
}

fn work(
    sides: &Sides,
    site: Site,
    rules: &Rules,
    dry_run: bool,
    context: &Context,
    json: bool,
) -> u8 {
    let Sides { direction, local, url } = sides;
    let mut done = mirror::report::Report::default();
    let result = with_session(site, context, async |session| {
        let remote = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
        done = match direction {
            Direction::Up => mirror::up(session, local, &remote, rules, dry_run).await?,
            Direction::Down => mirror::down(session, &remote, local, rules, dry_run).await?,
        };
        Ok(())
    });
    if let Err(fault) = result {
        return report::fault(&fault);
    }
    if json {
        report::output(&done.json());
    } else {
        let plan = if dry_run { done.plan.as_slice() } else { &[] };
        let lines: Vec<_> = plan.iter().map(|line| format!("{line}\n")).collect();
        report::output(&(lines.concat() + format!("{done}\n").as_str()));
    }
    if done.failed > 0 { exit::IN_PART } else { exit::DONE }
}

fn rules(args: &Args, parallel: u16) -> Rules {
    Rules {
        delete: args.delete,
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        compare: match args.compare {
            CompareBy::Auto => Compare::Auto,
            CompareBy::Size => Compare::Size,
            CompareBy::SizeTime => Compare::SizeTime,
            CompareBy::Checksum => Compare::Checksum,
        },
        max_delete: args.max_delete,
        parallel: args.parallel.unwrap_or(parallel),
        ..Rules::default()
    }
}

fn sides(source: &str, target: &str) -> Outcome<Sides> {
    let (direction, local, url) = match (Url::is_one(source), Url::is_one(target)) {
        (false, true) => (Direction::Up, source, target),
        (true, false) => (Direction::Down, target, source),
        (true, true) => {
            return Err(Fault::invalid(
                "one side must be a folder of this machine, and both are URLs",
            ));
        }
        (false, false) => {
            return Err(Fault::invalid(
                "one side must be a URL (ftp://, ftpes:// or ftps://), and none is",
            ));
        }
    };
    Ok(Sides { direction, local: PathBuf::from(local), url: Url::parse(url)? })
}
