//! `portolan rm`: removes a file, or a whole folder.

use super::{
    common::{Common, interruptible},
    exit, report,
};
use crate::{
    fault::{Fault, Outcome},
    ftp::url::Url,
};

/// What `portolan rm` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file or folder
    url: String,
    /// Removes a folder with all that is in it
    #[arg(long, short)]
    recursive: bool,
}

pub(super) fn run(args: &Args, common: Common) -> u8 {
    let prepared = || -> Outcome<_> {
        let url = Url::parse(&args.url)?;
        let path = url.path.clone().ok_or_else(|| Fault::invalid("the URL names no file"))?;
        if url.is_folder && !args.recursive {
            return Err(Fault::invalid(
                "this names a folder: --recursive removes it with all that is in it",
            ));
        }
        Ok((url, path, common.single_context()?))
    };
    let (url, path, context) = match prepared() {
        Ok(prepared) => prepared,
        Err(fault) => return report::wrong_usage(&fault),
    };
    let stop = context.stop.clone();
    let recursive = args.recursive;
    interruptible(&stop, move || {
        let done = common.with_session(&url, &context, async |session| {
            if recursive { session.delete_tree(&path).await } else { session.delete(&path).await }
        });
        done.map_or_else(|fault| report::fault(&fault), |()| exit::DONE)
    })
}
