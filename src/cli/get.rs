//! `portolan get` and `portolan cat`: download files from a server.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    operands::{self, STANDARD},
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::{
        path::RemotePath,
        session::{RunContext, Session},
        site::TransferType,
        transfer::{OPTIONS, TransferOptions, TransferStats},
        url::Url,
    },
    mirror::{self, MirrorOptions, report::Report},
    observe::{Event, output},
    option_table::OptionTable,
    remote::{
        fs::RemoteFs as _,
        stream::{StreamSink, widen_pipe},
    },
    script::sites::is_url,
};

/// The arguments of `portolan get`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, override_usage = "portolan get [OPTIONS] <URL> [URL]... [LOCAL]")]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Files to download, such as ftp://ftp.example.org/pub/catalogue.csv or 'ftp://ftp.example.org/pub/*.csv'; then the
    /// local file or directory, or - for standard output [default: current directory]
    #[arg(required = true, value_name = "URL")]
    operands: Vec<String>,
    /// Download directories with their contents
    #[arg(long, short)]
    recursive: bool,
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
    portolan get 'ftp://ftp.example.org/pub/*.zip' downloads/
    portolan get -r ftp://ftp.example.org/pub/photos downloads/
    portolan get ftp://ftp.example.org/pub/dump.sql.gz - | gunzip | psql";

/// The local end of downloads.
enum LocalTarget {
    /// Standard output, or a pipe or device.
    Stream(Option<PathBuf>),
    /// A directory.
    Folder(PathBuf),
    /// One file.
    File(PathBuf),
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (sources, target) = parts(&args.operands);
        let (site, urls) = operands::urls(sources, common)?;
        let is_one = matches!(&urls[..], [url] if url.pattern.is_none());
        if let Some(url) = urls.iter().find(|url| url.is_folder)
            && !args.recursive
        {
            let name = url.path.as_ref().map_or_else(|| "/".into(), ToString::to_string);
            return Err(Error::invalid(format!(
                "`get` fetches files, and the URL names a folder, {name}: -r fetches it with its contents, `portolan mirror \
                 URL FOLDER` makes a local folder like it"
            )));
        }
        let target = local_target(target, is_one)?;
        if args.recursive && matches!(target, LocalTarget::Stream(_)) {
            return Err(Error::invalid("a folder cannot be written to a stream"));
        }
        if common.json() && matches!(target, LocalTarget::Stream(None)) {
            let message = "--json and the file would both be on standard output: name a local file";
            return Err(Error::invalid(message));
        }
        let mut options = args.options.options()?;
        if urls.iter().any(|url| url.is_text) {
            options.transfer_type = TransferType::Ascii;
        }
        if options.removes_source && matches!(target, LocalTarget::Stream(_)) {
            return Err(Error::invalid(
                "--move removes files once their copies are verified, which one in a stream cannot be: name a local file",
            ));
        }
        if args.recursive && options.transfer_type == TransferType::Ascii {
            return Err(Error::invalid(
                "text transfers are for single files: -r takes them as they are",
            ));
        }
        Ok((site, urls, target, options, common.single_context()?.0))
    };
    let (site, urls, target, options, context) = prepared().map_err(UsageError)?;
    let (stop, json, recursive) = (context.stop.clone(), common.json(), args.recursive);
    interruptible(&stop, move || {
        let mut done = Report::default();
        let result = with_session(site, &context, async |session| {
            let mut work = Download { target, options, done: &mut done };
            let is_alone = matches!(&urls[..], [url] if url.pattern.is_none());
            for url in &urls {
                let fetched = work.url(session, url, recursive).await;
                work.settle(fetched, is_alone)?;
            }
            session.route().clone_into(&mut done.route);
            Ok(())
        });
        finish(result, &done, &context, json)
    })
}

/// Splits the operands into the URLs and the target.
fn parts(operands: &[String]) -> (&[String], Option<&str>) {
    match operands {
        [sources @ .., target] if !sources.is_empty() && !is_url(target) => (sources, Some(target)),
        all => (all, None),
    }
}

fn local_target(given: Option<&str>, is_one: bool) -> Result<LocalTarget> {
    let Some(text) = given else { return Ok(LocalTarget::Folder(PathBuf::new())) };
    let path = PathBuf::from(text);
    if text == STANDARD {
        return Ok(LocalTarget::Stream(None));
    }
    // A link to a device is refused later: what it leads to may change.
    let kind = fs::symlink_metadata(&path).map(|found| found.file_type());
    if kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device()) {
        return Ok(LocalTarget::Stream(Some(path)));
    }
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(LocalTarget::Folder(path)),
        Err(_) if text.ends_with('/') => {
            fs::create_dir_all(&path)
                .map_err(|error| Error::local("create the directory", &path, error))?;
            Ok(LocalTarget::Folder(path))
        }
        _ if is_one => Ok(LocalTarget::File(path)),
        Ok(_) => Err(Error::invalid("several files need a directory, and this is a file").at(text)),
        Err(_) => {
            Err(Error::invalid("there is no such directory; with a slash at its end it is made")
                .at(text))
        }
    }
}

/// The downloads of one command.
struct Download<'d> {
    target: LocalTarget,
    options: TransferOptions,
    done: &'d mut Report,
}

impl Download<'_> {
    async fn url(&mut self, session: &mut Session, url: &Url, recursive: bool) -> Result<()> {
        if recursive && operands::is_folder(session, url).await? {
            return self.folder(session, &operands::path_of(url)?).await;
        }
        let files = operands::expand(session, url).await?;
        let is_alone = url.pattern.is_none();
        for file in files {
            let fetched = self.file(session, &file).await;
            if is_alone {
                return fetched;
            }
            self.settle(fetched, false)?;
        }
        Ok(())
    }

    async fn file(&mut self, session: &mut Session, remote: &RemotePath) -> Result<()> {
        let moved = match &self.target {
            LocalTarget::Stream(None) => {
                let Some(moved) = print_file(session, remote, &self.options).await? else {
                    return Ok(());
                };
                Some(moved)
            }
            LocalTarget::Stream(Some(path)) => {
                let file = opened(path)?;
                widen_pipe(&file);
                let mut sink = StreamSink::new(file, path.to_string_lossy());
                let moved = session.get_into(remote, &mut sink, &self.options).await?;
                sink.finish()?;
                Some(moved)
            }
            LocalTarget::Folder(folder) => {
                let local = operands::local_name(folder, remote)?;
                session.get_file(remote, &local, &self.options).await?
            }
            LocalTarget::File(local) => session.get_file(remote, local, &self.options).await?,
        };
        match moved {
            Some(moved) => {
                self.done.add(moved);
                self.done.downloaded += 1;
            }
            None => self.done.skipped += 1,
        }
        Ok(())
    }

    async fn folder(&mut self, session: &mut Session, remote: &RemotePath) -> Result<()> {
        let remote = session.absolute(remote)?;
        let local = match &self.target {
            LocalTarget::Folder(folder) if remote.is_root() => folder.clone(),
            LocalTarget::Folder(folder) => operands::local_name(folder, &remote)?,
            LocalTarget::File(path) => path.clone(),
            LocalTarget::Stream(_) => return Err(Error::invalid("a folder is no stream")),
        };
        let rules = copying(&self.options, session.site().parallel);
        let report = mirror::down(session, None, &remote, &local, &rules, false).await?;
        self.done.merge(report);
        Ok(())
    }

    /// Counts the failure of one of several downloads.
    fn settle(&mut self, fetched: Result<()>, is_alone: bool) -> Result<()> {
        settle(self.done, fetched, is_alone)
    }
}

/// Standard output as the target of a file: remembers if it took no more.
struct StandardOutput {
    is_closed: bool,
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        output::results().write(bytes).inspect_err(|_| self.is_closed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        output::results().flush().inspect_err(|_| self.is_closed = true)
    }
}

/// Writes a file to standard output; returns `None` if that takes no more: a full disk is reported at the end, and a reader
/// that has seen enough is no failure.
#[expect(clippy::disallowed_methods, reason = "the pipe is widened, nothing is written")]
async fn print_file(
    session: &mut Session,
    remote: &RemotePath,
    options: &TransferOptions,
) -> Result<Option<TransferStats>> {
    widen_pipe(io::stdout());
    let writer = StandardOutput { is_closed: false };
    let mut sink = StreamSink::new(writer, "standard output");
    let moved = session.get_into(remote, &mut sink, options).await;
    let moved = moved.and_then(|moved| sink.finish().map(|()| moved));
    match moved {
        Err(_) if sink.writer().is_closed => Ok(None),
        moved => moved.map(Some),
    }
}

/// Counts the failure of one of several transfers; that of a single one, and the signal to stop, end the command.
pub(super) fn settle(done: &mut Report, result: Result<()>, is_alone: bool) -> Result<()> {
    match result {
        Err(fault) if !is_alone && fault.kind != crate::error::ErrorKind::Interrupted => {
            done.add_failure(fault);
            Ok(())
        }
        result => result,
    }
}

/// Returns the options by which a directory is copied.
pub(super) fn copying(options: &TransferOptions, parallel: u16) -> MirrorOptions {
    MirrorOptions {
        parallel,
        resume: options.resume,
        retries: options.retries,
        preserve_times: options.preserve_times,
        rate_limit: options.rate_limit,
        ..MirrorOptions::default()
    }
}

/// Opens a pipe or device for writing.
fn opened(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(path).map_err(|error| Error::local("open", path, error))
}

/// Prints the report of a one-liner, or its error.
pub(super) fn finish(
    result: Result<()>,
    done: &Report,
    context: &RunContext,
    json: bool,
) -> ExitResult {
    let took = Duration::from_secs_f64(done.seconds);
    let fault = result.as_ref().err().or(done.errors.first()).cloned();
    context.observer.emit(&Event::RunDone { fault, took });
    result?;
    if json {
        report::json(done);
    }
    for fault in done.errors.iter().filter(|fault| !fault.is_told) {
        report::fault(fault);
    }
    let has_some = done.uploaded + done.downloaded + done.deleted > 0;
    match done.errors.first() {
        None => Ok(Exit::Done),
        Some(_) if has_some => Ok(Exit::InPart),
        Some(fault) => Ok(Exit::of_failure(fault)),
    }
}

/// The arguments of `portolan cat`.
#[derive(Debug, clap::Args)]
#[command(after_help = CAT_HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct CatArgs {
    /// Files to write to standard output, such as ftp://ftp.example.org/pub/README
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
}

const CAT_HELP: &str = "\
Examples:
    portolan cat ftp://ftp.example.org/pub/README
    portolan cat 'ftpes://me@ftp.example.org/logs/*.log' | grep error";

/// Writes files to standard output.
pub(super) fn cat(args: &CatArgs, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(&args.urls, common)?;
        Ok((site, urls, common.quiet_context()?))
    };
    let (site, urls, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            for url in &urls {
                let mut options = TransferOptions::default();
                if url.is_text {
                    options.transfer_type = TransferType::Ascii;
                }
                for file in operands::expand(session, url).await? {
                    if print_file(session, &file, &options).await?.is_none() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}
