//! `portolan put`: uploads files to a server.

use std::{
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Path, PathBuf},
};

use clap::builder::{OsStringValueParser, TypedValueParser as _};

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    get::{copying, finish, settle},
    operands::{self, STANDARD},
    report::UsageError,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::{SourceFile, ops::with_nearest_name},
    ftp::{
        path::RemotePath,
        session::Session,
        site::TransferType,
        transfer::{OPTIONS, TransferOptions},
        url::{Url, without_password},
    },
    mirror::{self, report::Report},
    observe::visible::visible,
    option_table::OptionTable,
    remote::{
        fs::RemoteFs as _,
        stream::{StreamSource, widen_pipe},
    },
    script::sites::is_url,
};

/// The arguments of `portolan put`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP, override_usage = "portolan put [OPTIONS] <LOCAL> [LOCAL]... <URL>")]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Files to upload, or - for standard input; then the target, such as ftp://ftp.example.org/in/order.csv: a trailing
    /// slash means a directory
    #[arg(
        required = true,
        value_name = "LOCAL",
        value_parser = OsStringValueParser::new().map(PathBuf::from),
    )]
    operands: Vec<PathBuf>,
    /// Upload directories with their contents
    #[arg(long, short)]
    recursive: bool,
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
    portolan put *.csv ftpes://me@ftp.example.org/in/
    portolan put -r photos ftp://ftp.example.org/pub/
    pg_dump shop | gzip | portolan put - ftpes://me@ftp.example.org/backup/shop.sql.gz
    portolan --set mode=active put order.csv ftp://ftp.example.org/in/new.csv";

/// A local source of an upload.
enum LocalSource {
    Standard,
    /// A pipe or device.
    Stream(PathBuf),
    File(PathBuf),
    Folder(PathBuf),
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (sources, target) = parts(&args.operands)?;
        let (site, url) = common.place(target)?;
        let sources: Vec<_> = sources.iter().map(|path| local_source(path)).collect();
        if sources.len() > 1 && !url.is_folder {
            return Err(Error::invalid(
                "several files need a directory: end the URL with a slash, as in ftp://host/in/",
            ));
        }
        let targets: Vec<_> =
            sources.iter().map(|source| remote_path(&url, source)).collect::<Result<_>>()?;
        let work: Vec<_> = sources.into_iter().zip(targets).collect();
        let mut options = args.options.options()?;
        if url.is_text {
            options.transfer_type = TransferType::Ascii;
        }
        let is_stream = |(source, _): &(LocalSource, RemotePath)| {
            matches!(source, LocalSource::Standard | LocalSource::Stream(_))
        };
        if options.removes_source && work.iter().any(is_stream) {
            return Err(Error::invalid("--move removes files, and a stream is none"));
        }
        if args.recursive && options.transfer_type == TransferType::Ascii {
            return Err(Error::invalid(
                "text transfers are for single files: -r sends them as they are",
            ));
        }
        Ok((site, work, options, common.single_context()?.0))
    };
    let (site, work, options, context) = prepared().map_err(UsageError)?;
    for (source, _) in &work {
        match source {
            LocalSource::File(path) => {
                drop(SourceFile::open(path).map_err(|fault| with_nearest_name(fault, path))?);
            }
            LocalSource::Folder(path) if !args.recursive => {
                let message = "this is a folder: -r uploads it with its contents, `portolan mirror FOLDER URL` makes a folder \
                               of the server like it";
                let fault = Error::new(ErrorKind::Local, Origin::Here, message);
                return Err(fault.at(path.to_string_lossy()).into());
            }
            LocalSource::Standard | LocalSource::Stream(_) | LocalSource::Folder(_) => {}
        }
    }
    let (stop, json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        let mut done = Report::default();
        let result = with_session(site, &context, async |session| {
            for (source, remote) in &work {
                let sent = upload(session, source, remote, &options, &mut done).await;
                settle(&mut done, sent, work.len() == 1)?;
            }
            session.route().clone_into(&mut done.route);
            Ok(())
        });
        finish(result, &done, &context, json)
    })
}

/// Splits the operands into the local files and the URL.
fn parts(operands: &[PathBuf]) -> Result<(&[PathBuf], &str)> {
    let is_remote = |path: &PathBuf| path.to_str().is_some_and(is_url);
    let (target, sources) =
        operands.split_last().ok_or_else(|| Error::invalid("a file and a URL are wanted"))?;
    if sources.is_empty() {
        let words = match target.to_str().filter(|text| is_url(text)) {
            Some(url) => {
                format!("no file is named: portolan put <LOCAL> {}", without_password(url))
            }
            None => format!(
                "no server is named: portolan put {} <URL>, with a URL such as ftpes://me@ftp.example.org/in/ or a saved \
                 site such as @acme/in/",
                visible(target.as_os_str().as_bytes())
            ),
        };
        return Err(Error::invalid(words));
    }
    if sources.iter().any(is_remote) && !is_remote(target) {
        let message = "`put` wants the file first and then the URL: portolan put FILE URL";
        return Err(Error::invalid(message));
    }
    let target = target.to_str().ok_or_else(|| Error::invalid("the URL is not UTF-8"))?;
    Ok((sources, target))
}

fn local_source(path: &Path) -> LocalSource {
    if path.as_os_str() == STANDARD {
        return LocalSource::Standard;
    }
    let kind = fs::metadata(path).map(|found| found.file_type());
    match kind {
        Ok(kind) if kind.is_fifo() || kind.is_char_device() => LocalSource::Stream(path.to_owned()),
        Ok(kind) if kind.is_dir() => LocalSource::Folder(path.to_owned()),
        _ => LocalSource::File(path.to_owned()),
    }
}

fn remote_path(url: &Url, source: &LocalSource) -> Result<RemotePath> {
    let path = operands::path_of(url)?;
    if !url.is_folder {
        return Ok(path);
    }
    let local = match source {
        LocalSource::Standard => {
            let message =
                "standard input has no name: name the file in the URL, as in ftp://host/in/new.csv";
            return Err(Error::invalid(message));
        }
        LocalSource::Stream(local) | LocalSource::File(local) => local.clone(),
        // `.` and `..` have a name once they are resolved.
        LocalSource::Folder(local) => {
            local.canonicalize().map_err(|error| Error::local("find", local, error))?
        }
    };
    let name = local.file_name().ok_or_else(|| Error::invalid("the local path names no file"))?;
    path.join(&path.encoding().encode(name.as_encoded_bytes())?)
}

async fn upload(
    session: &mut Session,
    source: &LocalSource,
    remote: &RemotePath,
    options: &TransferOptions,
    done: &mut Report,
) -> Result<()> {
    let moved = match source {
        LocalSource::File(local) => session.put_file(local, remote, options).await?,
        LocalSource::Standard => {
            widen_pipe(io::stdin());
            let mut stream = StreamSource::new(io::stdin(), "standard input");
            session.put_from(&mut stream, remote, options).await?
        }
        LocalSource::Stream(path) => {
            let file = File::open(path).map_err(|error| Error::local("open", path, error))?;
            widen_pipe(&file);
            let mut stream = StreamSource::new(file, path.to_string_lossy());
            session.put_from(&mut stream, remote, options).await?
        }
        LocalSource::Folder(local) => {
            let rules = copying(options, session.site().parallel);
            done.merge(mirror::up(session, None, local, remote, &rules, false).await?);
            return Ok(());
        }
    };
    match moved {
        Some(moved) => {
            done.add(moved);
            done.uploaded += 1;
        }
        None => done.skipped += 1,
    }
    Ok(())
}
