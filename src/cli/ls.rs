//! `portolan ls`: lists a directory of a server.

mod rows;

use std::sync::mpsc;

use clap::{ArgAction, ValueEnum};

use self::rows::{ListedRow, RowStyle};
use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    operands, pager,
    report::{self, UsageError},
    table::is_terminal,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    ftp::{find::FoundEntry, listing::Listing, path::RemotePath, session::Session, url::Url},
    remote::fs::RemoteFs as _,
};

/// The arguments of `portolan ls`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = HELP,
    override_usage = "portolan ls [OPTIONS] <URL>",
    disable_help_flag = true
)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the user's")]
pub(super) struct Args {
    /// Directory, file or pattern, such as ftp://ftp.example.org/pub or 'ftp://ftp.example.org/pub/*.csv'
    #[arg(required_unless_present = "human_readable")]
    url: Option<String>,
    /// Show local times and a line of totals, as on a terminal
    #[arg(long, short)]
    long: bool,
    /// Show sizes such as 1.5 MiB in place of bytes; without a URL, print this help
    #[arg(long, short = 'h')]
    human_readable: bool,
    /// List everything below the directory, with paths
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Order of the entries
    #[arg(long, value_enum, value_name = "KEY", default_value = "name")]
    sort: SortKey,
    /// Sort by time, newest first
    #[arg(short = 't', conflicts_with_all = ["sort", "by_size"])]
    by_time: bool,
    /// Sort by size, largest first
    #[arg(short = 'S', conflicts_with = "sort")]
    by_size: bool,
    /// Reverse the order
    #[arg(long, short)]
    reverse: bool,
    /// Print names only, one per line
    #[arg(long, short = '1', conflicts_with_all = ["long", "human_readable"])]
    names: bool,
    /// Accepted out of habit: names that begin with a dot are always listed
    #[arg(long, short)]
    all: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SortKey {
    // Without doc comments, which would be a long help.
    Name,
    Time,
    Size,
}

const HELP: &str = "\
Examples:
    portolan ls ftp://ftp.example.org/pub
    portolan ls -lhS 'ftp://ftp.example.org/pub/*.iso'
    portolan ls --json ftpes://me@ftp.example.org/ | jq -r '.[].name'";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let Some(place) = &args.url else {
        report::output(&super::help_of("ls"));
        return Ok(Exit::Done);
    };
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(std::slice::from_ref(place), common)?;
        let url = urls.into_iter().next().ok_or_else(|| Error::invalid("a URL is wanted"))?;
        Ok((url, site, common.single_context()?.0))
    };
    let (url, site, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    let (style, is_deep) = (RowStyle::of(args, is_terminal()), args.recursive);
    let (send, shown) = mpsc::channel();
    let done = interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let (mut rows, unread) = listed(session, &url, is_deep, json).await?;
            style.sort(&mut rows);
            if json {
                report::json(&rows::documents(&rows, session.site().encoding, unread));
            } else {
                send.send(style.text(&rows, session.site().encoding)).ok();
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    });
    // The session has ended by now: a pager may stay open for hours.
    if let Ok(text) = shown.try_recv() {
        pager::show(&text);
    }
    done
}

/// Returns the entries that a URL means, and the number of lines of the listing that could not be parsed.
async fn listed(
    session: &mut Session,
    url: &Url,
    is_deep: bool,
    json: bool,
) -> Result<(Vec<ListedRow>, usize)> {
    let path = operands::path_of(url)?;
    if let Some(pattern) = &url.pattern {
        // A name may have such characters itself, above all brackets.
        let has_wildcard = path.as_bytes().iter().any(|byte| b"*?".contains(byte));
        if has_wildcard || !session.exists(&path).await? {
            let found = session.search_pattern(pattern).await?;
            if !found.is_empty() {
                return Ok((found.into_iter().map(|one| row(one, None)).collect(), 0));
            }
            if !has_wildcard || !session.exists(&path).await? {
                let message = format!("no file or directory matches `{path}`");
                return Err(Error::new(ErrorKind::NotFound, Origin::Server, message));
            }
        }
    }
    let found = if is_deep {
        let below = session.search(&path, None).await;
        below.map(|all| (all.into_iter().map(|one| row(one, Some(&path))).collect(), 0))
    } else {
        session.list_whole(&path).await.and_then(|listing| {
            if json {
                // With `--json` no event reports them to the user.
                warn(&session.absolute(&path)?, &listing);
            }
            Ok((listing.entries.into_iter().map(ListedRow::of).collect(), listing.refused_count))
        })
    };
    match found {
        // Not a directory, then: a file, which is its own entry.
        Err(fault) if fault.code / 100 == 5 && !url.is_folder => {
            Ok((vec![ListedRow::of(session.stat(&path).await?)], 0))
        }
        found => found,
    }
}

/// Returns the row of an entry that was found, with its path: below `folder`, or as a whole.
fn row(found: FoundEntry, folder: Option<&RemotePath>) -> ListedRow {
    let whole = found.path.as_bytes();
    let skipped = folder.map_or(0, |folder| match folder.as_bytes() {
        b"." => 0,
        folder if folder.ends_with(b"/") => folder.len(),
        folder => folder.len() + 1,
    });
    let shown = whole.get(skipped..).unwrap_or(whole).to_vec();
    ListedRow { path: Some((found.path, shown)), entry: found.entry }
}

/// Prints warnings about the lines of a listing that could not be parsed.
fn warn(path: &RemotePath, listing: &Listing) {
    for complaint in listing.complaints() {
        report::print(&format!("warning: {path}: {complaint}\n"));
    }
}
