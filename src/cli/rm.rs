//! `portolan rm`: removes a file, or a whole directory.

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    report::UsageError,
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::{listing::EntryKind, url::Url},
    observe::{Event, Operation},
    remote::fs::RemoteFs as _,
};

/// The arguments of `portolan rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File or directory to remove
    url: String,
    /// Remove a directory with its contents
    #[arg(long, short)]
    recursive: bool,
}

const FOLDER: &str = "this is a folder: --recursive removes it with all that is in it";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let url = Url::parse(&args.url)?;
        let path = url.path.clone().ok_or_else(|| Error::invalid("the URL names no file"))?;
        if url.is_folder && !args.recursive {
            return Err(Error::invalid(FOLDER));
        }
        Ok((common.site(&url)?, path, common.single_context()?.0))
    };
    let (site, path, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    let recursive = args.recursive;
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            if recursive {
                return session.delete_tree(&path).await;
            }
            if let Err(fault) = session.remove(&path).await {
                let entry = session.stat(&path).await;
                let is_folder = entry.is_ok_and(|entry| entry.kind == EntryKind::Dir);
                return Err(if is_folder {
                    Error { message: FOLDER.into(), ..fault }
                } else {
                    fault
                });
            }
            let path = path.to_string();
            context.observer.emit(&Event::Done { verb: Operation::Delete, path });
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}
