//! `portolan get`: downloads one file from a server.

use std::{path::PathBuf, time::Duration};

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::{
        path::{RemotePath, component},
        session::RunContext,
        transfer::{OPTIONS, TransferOptions},
        url::Url,
    },
    mirror::report::Report,
    observe::Event,
    option_table::OptionTable,
    remote::fs::RemoteFs as _,
};

/// The arguments of `portolan get`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// File to download, such as ftp://ftp.example.org/pub/catalogue.csv
    url: String,
    /// File or directory to write to [default: current directory]
    local: Option<PathBuf>,
    #[command(flatten)]
    options: OptionFlags<Self>,
}

impl OptionCommand for Args {
    type Options = TransferOptions;
    const TABLE: OptionTable<TransferOptions> = OPTIONS;
    const NAME: &'static str = "get";
}

const HELP: &str = "\
Examples:
    portolan get ftpes://me@ftp.example.org/pub/catalogue.csv
    portolan get ftp://ftp.example.org/pub/a.zip downloads/";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let url = Url::parse(&args.url)?;
        let remote = url.path.clone().filter(|_| !url.is_folder).ok_or_else(|| {
            Error::invalid("`get` fetches one file, and the URL names a folder: `portolan mirror URL FOLDER` fetches folders")
        })?;
        let local = local_path(args.local.clone(), &remote)?;
        let site = common.site(&url)?;
        let options = args.options.options()?;
        Ok((site, remote, local, options, common.single_context()?.0))
    };
    let (site, remote, local, options, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        let mut done = Report { downloaded: 1, ..Report::default() };
        let result = with_session(site, &context, async |session| {
            done.add(session.get_file(&remote, &local, &options).await?);
            session.route().clone_into(&mut done.route);
            Ok(())
        });
        finish(result, &done, &context, json)
    })
}

/// Prints the report of a one-liner, or its error.
pub(super) fn finish(
    result: Result<()>,
    done: &Report,
    context: &RunContext,
    json: bool,
) -> ExitResult {
    let took = Duration::from_secs_f64(done.seconds);
    context.observer.emit(&Event::RunDone { fault: result.as_ref().err().cloned(), took });
    result?;
    if json {
        report::json(done);
    }
    Ok(Exit::Done)
}

/// Returns the local path: the given one, with the remote name appended if it is a directory.
fn local_path(given: Option<PathBuf>, remote: &RemotePath) -> Result<PathBuf> {
    let folder = match given {
        None => PathBuf::new(),
        Some(path) if path.is_dir() => path,
        Some(path) => return Ok(path),
    };
    component(remote.name())?;
    let name = std::str::from_utf8(remote.name());
    let name = name.map_err(|_| Error::invalid("its name is not UTF-8: name the local file"))?;
    Ok(folder.join(name))
}
