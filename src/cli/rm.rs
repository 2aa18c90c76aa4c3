//! `portolan rm`: removes files, or whole directories.

use std::io::{IsTerminal, Write};

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    operands,
    report::{self, UsageError},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    ftp::{listing::EntryKind, path::RemotePath, session::Session},
    observe::{Event, Operation},
    remote::fs::RemoteFs as _,
};

/// The arguments of `portolan rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, override_usage = "portolan rm [OPTIONS] <URL> [URL]...")]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Files or directories to remove, such as 'ftp://ftp.example.org/in/*.tmp'
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Remove a directory with its contents
    #[arg(long, short)]
    recursive: bool,
    /// Do not ask before more than one file is removed
    #[arg(long, short)]
    yes: bool,
}

const HELP: &str = "\
Examples:
    portolan rm ftpes://me@ftp.example.org/in/order.csv
    portolan rm --yes 'ftpes://me@ftp.example.org/in/*.tmp'";

const FOLDER: &str = "this is a folder: --recursive removes it with all that is in it";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(&args.urls, common)?;
        if let Some(url) = urls.iter().find(|url| url.path.is_none()) {
            let host = &url.site.host;
            return Err(Error::invalid(format!("the URL names no file of {host}")));
        }
        if urls.iter().any(|url| url.is_folder) && !args.recursive {
            return Err(Error::invalid(FOLDER));
        }
        Ok((site, urls, common.single_context()?.0))
    };
    let (site, urls, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    let (recursive, yes) = (args.recursive, args.yes);
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let mut all = Vec::new();
            for url in &urls {
                all.extend(operands::expand(session, url).await?);
            }
            if all.len() > 1 && !yes {
                confirm(&all)?;
            }
            for path in &all {
                if recursive && is_folder(session, path).await {
                    session.delete_tree(path).await?;
                } else {
                    remove(session, path).await?;
                    let path = path.to_string();
                    context.observer.emit(&Event::Done { verb: Operation::Delete, path });
                }
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

async fn is_folder(session: &mut Session, path: &RemotePath) -> bool {
    session.stat(path).await.map_or(true, |entry| entry.kind == EntryKind::Dir)
}

async fn remove(session: &mut Session, path: &RemotePath) -> Result<()> {
    let Err(fault) = session.remove(path).await else { return Ok(()) };
    let entry = session.stat(path).await;
    let is_folder = entry.is_ok_and(|entry| entry.kind == EntryKind::Dir);
    Err(if is_folder { Error { message: FOLDER.into(), ..fault } } else { fault })
}

/// Asks before several files are removed; fails if the answer is no, or there is no terminal to ask on.
fn confirm(all: &[RemotePath]) -> Result<()> {
    const SHOWN_MAX: usize = 10;
    let stdin = std::io::stdin();
    let lines: Vec<_> = all.iter().take(SHOWN_MAX).map(|path| format!("    {path}\n")).collect();
    let more = all.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!("    and {more} more\n") } else { String::new() };
    let text: String = [lines.concat(), more].concat();
    if !stdin.is_terminal() {
        report::print(&text);
        let message = format!("{} files would be removed: --yes removes them", all.len());
        return Err(Error::new(ErrorKind::Guard, Origin::Here, message));
    }
    report::print(&format!("{text}Remove these {} files? [y/N] ", all.len()));
    std::io::stderr().flush().ok();
    let mut answer = String::new();
    stdin
        .read_line(&mut answer)
        .map_err(|error| Error::local("read the answer", "standard input", error))?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Guard, Origin::Here, "nothing was removed"))
}
