//! `portolan ls`: lists a directory of a server.

use serde::Serialize;

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    report::{self, UsageError},
};
use crate::{
    error::Result,
    exit_code::Exit,
    ftp::{
        listing::{Entry, EntryKind, Listing, Modified, Precision},
        path::RemotePath,
    },
    observe::visible::visible,
    remote::fs::RemoteFs as _,
    script::value::NameText,
};

/// The arguments of `portolan ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Directory or file, such as ftp://ftp.example.org/pub
    url: String,
}

const HELP: &str = "\
Examples:
    portolan ls ftp://ftp.example.org/pub
    portolan ls --json ftpes://me@ftp.example.org/ | jq -r '.[].name'";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, url) = common.place(&args.url)?;
        Ok((url, site, common.single_context()?.0))
    };
    let (url, site, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let path = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
            let (mut entries, unread) = match session.list_whole(&path).await {
                Ok(listing) => {
                    if json {
                        // With `--json` no event reports them to the user.
                        warn(&session.absolute(&path)?, &listing);
                    }
                    (listing.entries, listing.refused_count)
                }
                // Not a directory, then: a file, which is its own entry.
                Err(fault) if fault.code / 100 == 5 && !url.is_folder => {
                    (vec![session.stat(&path).await?], 0)
                }
                Err(fault) => return Err(fault),
            };
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let names = NameText(session.site().encoding);
            if json {
                let all = entries.iter().map(|entry| ListedEntry::of(entry, names, unread));
                report::json(&all.collect::<Vec<_>>());
            } else {
                for entry in &mut entries {
                    if let Ok(name) = session.site().encoding.decode(&entry.name) {
                        entry.name = name;
                    }
                }
                report::output(&rows(&entries));
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

/// Prints warnings about the lines of a listing that could not be parsed.
fn warn(path: &RemotePath, listing: &Listing) {
    for complaint in listing.complaints() {
        report::print(&format!("warning: {path}: {complaint}\n"));
    }
}

/// Renders the entries as rows.
fn rows(entries: &[Entry]) -> String {
    let rows: Vec<_> = entries.iter().map(|entry| (size(entry), entry)).collect();
    let width = rows.iter().map(|(size, _)| size.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|(size, entry)| {
        format!(
            "{}{size:>width$}  {}
",
            front(entry),
            tail(entry)
        )
    });
    lines.collect::<Vec<_>>().concat()
}

fn front(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Dir => 'd',
        EntryKind::Link => 'l',
        EntryKind::Other => '?',
    };
    let mode = entry.mode.map_or_else(|| "    ".into(), |mode| format!("{:04o}", mode & 0o7777));
    format!("{kind} {mode}  ")
}

fn size(entry: &Entry) -> String {
    entry
        .size
        .filter(|_| entry.kind != EntryKind::Dir)
        .map_or_else(|| "-".into(), |size| size.to_string())
}

fn tail(entry: &Entry) -> String {
    let when = entry.modified.map(moment).unwrap_or_default();
    let target = entry.target.as_ref().map(|target| format!(" -> {}", visible(target)));
    let slash = if entry.kind == EntryKind::Dir { "/" } else { "" };
    format!("{when:<20}  {}{slash}{}", visible(&entry.name), target.unwrap_or_default())
}

/// Formats a time as precisely as it is known, with `Z` only if the zone is known.
fn moment(modified: Modified) -> String {
    let (text, zone) = match modified {
        Modified::Utc(time, _) => (time.strftime("%Y-%m-%dT%H:%M:%S").to_string(), "Z"),
        Modified::Server(time, _) => (time.strftime("%Y-%m-%dT%H:%M:%S").to_string(), ""),
    };
    let length = match modified.precision() {
        Precision::Day => 10,
        Precision::Minute => 16,
        Precision::Second | Precision::Millisecond => 19,
    };
    format!("{}{zone}", text.get(..length).unwrap_or(&text))
}

/// An entry as `--json` has it.
#[derive(Debug, Serialize)]
struct ListedEntry {
    name: String,
    kind: &'static str,
    size: Option<u64>,
    modified: Option<String>,
    permissions: Option<String>,
    target: Option<String>,
    /// The number of lines of the listing that could not be parsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_lines: Option<usize>,
}

impl ListedEntry {
    fn of(entry: &Entry, names: NameText, unread: usize) -> Self {
        Self {
            name: names.text(&entry.name),
            kind: entry.kind.as_str(),
            size: entry.size,
            modified: entry.modified.map(moment),
            permissions: entry.mode.map(|mode| format!("{:04o}", mode & 0o7777)),
            target: entry.target.as_ref().map(|target| names.text(target)),
            unread_lines: Some(unread).filter(|unread| *unread > 0),
        }
    }
}
