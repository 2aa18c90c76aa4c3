//! `portolan put`: uploads one file to a server.

use std::path::PathBuf;

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    get::finish,
    report::UsageError,
};
use crate::{
    error::{Error, Result},
    files::SourceFile,
    ftp::{
        path::RemotePath,
        transfer::{OPTIONS, TransferOptions},
        url::Url,
    },
    mirror::report::Report,
    option_table::OptionTable,
    remote::fs::RemoteFs as _,
};

/// The arguments of `portolan put`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// File to upload
    local: PathBuf,
    /// Target, such as ftp://ftp.example.org/in/order.csv; a trailing slash means a directory
    url: String,
    #[command(flatten)]
    options: OptionFlags<Self>,
}

impl OptionCommand for Args {
    type Options = TransferOptions;
    const TABLE: OptionTable<TransferOptions> = OPTIONS;
    const NAME: &'static str = "put";
}

const HELP: &str = "\
Examples:
    portolan put order.csv ftpes://me@ftp.example.org/in/
    portolan --set mode=active put order.csv ftp://ftp.example.org/in/new.csv";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        if args.local.to_str().is_some_and(Url::is_one) && !Url::is_one(&args.url) {
            let message = "`put` wants the file first and then the URL: portolan put FILE URL";
            return Err(Error::invalid(message));
        }
        let url = Url::parse(&args.url)?;
        let remote = remote_path(&url, &args.local)?;
        let site = common.site(&url)?;
        let options = args.options.options()?;
        Ok((site, remote, options, common.single_context()?.0))
    };
    let (site, remote, options, context) = prepared().map_err(UsageError)?;
    drop(SourceFile::open(&args.local)?);
    let (stop, json) = (context.stop.clone(), common.json());
    let local = args.local.clone();
    interruptible(&stop, move || {
        let mut done = Report { uploaded: 1, ..Report::default() };
        let result = with_session(site, &context, async |session| {
            done.add(session.put_file(&local, &remote, &options).await?);
            session.route().clone_into(&mut done.route);
            Ok(())
        });
        finish(result, &done, &context, json)
    })
}

fn remote_path(url: &Url, local: &std::path::Path) -> Result<RemotePath> {
    let path = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
    if !url.is_folder {
        return Ok(path);
    }
    let name = local.file_name().ok_or_else(|| Error::invalid("the local path names no file"))?;
    path.join(name.as_encoded_bytes())
}
