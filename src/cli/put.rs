//! `portolan put`: one file to a server.

use std::path::PathBuf;

use super::{
    common::{Common, interruptible, with_session},
    get::{finish, rate},
    report,
};
use crate::{
    fault::{Fault, Kind, Outcome},
    files::Reading,
    ftp::{path::RemotePath, session::Session, url::Url},
    mirror::report::Report,
};

/// What `portolan put` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// The file
    local: PathBuf,
    /// Where to, such as ftp://ftp.example.org/in/order.csv; a slash at the end names the folder to put it in
    url: String,
    /// Goes on where an earlier try of the same file broke off
    #[arg(long)]
    resume: bool,
    /// Bytes per second at most, such as 500KiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_limit: Option<u64>,
}

const HELP: &str = "\
Examples:
    portolan put order.csv ftpes://me@ftp.example.org/in/
    portolan --set mode=active put order.csv ftp://ftp.example.org/in/new.csv";

pub(super) fn run(args: &Args, common: &Common) -> u8 {
    let prepared = || -> Outcome<_> {
        if args.local.to_str().is_some_and(Url::is_one) && !Url::is_one(&args.url) {
            let message = "`put` wants the file first and then the URL: portolan put FILE URL";
            return Err(Fault::invalid(message));
        }
        let url = Url::parse(&args.url)?;
        let remote = remote_path(&url, &args.local)?;
        let mut site = common.site(&url)?;
        site.rate_limit = args.rate_limit.or(site.rate_limit);
        Ok((site, remote, common.single_context()?))
    };
    let (site, remote, context) = match prepared() {
        Ok(prepared) => prepared,
        Err(fault) => return report::wrong_usage(&fault),
    };
    let reading = match Reading::open(&args.local) {
        Ok(reading) => reading,
        Err(fault) => return report::fault(&fault),
    };
    let (stop, json) = (context.stop.clone(), common.json());
    let resume = args.resume;
    interruptible(&stop, move || {
        let mut done = Report { uploaded: 1, ..Report::default() };
        let result = with_session(site, &context, async |session| {
            let sent = if resume {
                session.upload_on(reading, &remote, true).await
            } else {
                session.upload_file(reading, &remote, true).await
            };
            done.add(match sent {
                Ok(moved) => moved,
                Err(fault) => return Err(explained(session, &remote, fault).await),
            });
            session.route().clone_into(&mut done.route);
            Ok(())
        });
        finish(result, &done, &context, json)
    })
}

/// The fault of an upload, which servers word in their own ways when there is no folder to put the file in.
async fn explained(session: &mut Session, remote: &RemotePath, fault: Fault) -> Fault {
    let may_be_missing = matches!(fault.kind, Kind::Refused | Kind::NotFound);
    if !may_be_missing || session.exists(&remote.parent()).await.unwrap_or(true) {
        return fault;
    }
    let message =
        format!("there is no folder {} on the server; a script's mkdir makes it", remote.parent());
    Fault { kind: Kind::NotFound, message, ..fault }
}

fn remote_path(url: &Url, local: &std::path::Path) -> Outcome<RemotePath> {
    let path = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
    if !url.is_folder {
        return Ok(path);
    }
    let name = local.file_name().ok_or_else(|| Fault::invalid("the local path names no file"))?;
    path.join(name.as_encoded_bytes())
}
