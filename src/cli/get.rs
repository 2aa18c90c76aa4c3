//! `portolan get`: downloads one file from a server.

use std::{path::PathBuf, time::Duration};

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    files::AtomicFile,
    ftp::{
        path::{RemotePath, component},
        session::{RunContext, Session},
        url::Url,
    },
    limits::{MIRROR_RETRIES, MIRROR_RETRIES_MAX, PARALLEL_MAX},
    mirror::report::Report,
    observe::Event,
    script::value::parse_rate,
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
    /// Number of sessions that each download a part of a large file
    #[arg(long, visible_alias = "segments", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(PARALLEL_MAX)))]
    parallel: Option<u16>,
    /// Resume if the remote file is unchanged (not with --parallel)
    #[arg(long, conflicts_with = "parallel")]
    resume: bool,
    /// Number of retries after a temporary failure
    #[arg(long, value_name = "N", default_value_t = MIRROR_RETRIES, value_parser = clap::value_parser!(u16).range(0..=i64::from(MIRROR_RETRIES_MAX)))]
    retries: u16,
    /// Maximum bytes per second, such as 500KiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_limit: Option<u64>,
}

/// Parses a rate in bytes per second from the command line.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let wants = || "a number of bytes per second is wanted, such as 500KiB or 2MiB".to_owned();
    parse_rate(text).filter(|rate| *rate > 0).ok_or_else(wants)
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
        let mut site = common.site(&url)?;
        site.rate_limit = args.rate_limit.or(site.rate_limit);
        Ok((site, remote, local, common.single_context()?.0))
    };
    let (site, remote, local, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    let (resume, segments, retries) = (args.resume, args.parallel.unwrap_or(1), args.retries);
    interruptible(&stop, move || {
        let mut done = Report { downloaded: 1, ..Report::default() };
        let result = with_session(site, &context, async |session| {
            let fetch = async |session: &mut Session| {
                if resume {
                    let begin = |lasting: Option<&str>| AtomicFile::begin_as(&local, lasting);
                    return session.download_on(&remote, begin, true).await;
                }
                let landing = AtomicFile::begin(&local)?;
                session.download_in_segments(&remote, landing, segments, true).await
            };
            done.add(session.with_retries(retries, fetch).await?);
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
