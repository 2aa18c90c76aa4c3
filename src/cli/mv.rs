//! `portolan mv`, `mkdir` and `chmod`: names and permissions on a server.

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    operands,
    report::UsageError,
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::{listing::EntryKind, path::RemotePath},
    observe::{Event, Operation},
    remote::fs::RemoteFs as _,
    script::sites::is_url,
    script::value::permissions,
};

/// The arguments of `portolan mv`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// File or directory to rename
    url: String,
    /// New name: a URL of the same server, a path from the root, or a name in the same directory; a directory takes the
    /// file under its name
    target: String,
}

const HELP: &str = "\
Examples:
    portolan mv ftpes://me@ftp.example.org/in/order.part order.csv
    portolan mv ftpes://me@ftp.example.org/in/order.csv /done/";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let mut texts = vec![args.url.clone()];
        texts.extend(is_url(&args.target).then(|| args.target.clone()));
        let (site, urls) = operands::urls(&texts, common)?;
        let (from, other) = match &urls[..] {
            [from] => (operands::path_of(from)?, None),
            [from, to, ..] => (operands::path_of(from)?, Some(to.clone())),
            [] => return Err(Error::invalid("a URL is wanted")),
        };
        let (to, is_folder) = if let Some(url) = other {
            (operands::path_of(&url)?, url.is_folder)
        } else {
            let target = from.encoding().bytes_of(&args.target)?;
            (from.parent().join_or_root(&target)?, args.target.ends_with('/'))
        };
        Ok((site, from, to, is_folder, common.single_context()?.0))
    };
    let (site, from, to, is_folder, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let is_folder = is_folder
                || session.stat(&to).await.is_ok_and(|entry| entry.kind == EntryKind::Dir);
            let to = if is_folder { to.join(from.name())? } else { to };
            session.rename(&from, &to).await?;
            let path = format!("{from} to {to}");
            context.observer.emit(&Event::Done { verb: Operation::Rename, path });
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

const MKDIR_HELP: &str = "\
Examples:
    portolan mkdir ftpes://me@ftp.example.org/in/2026";

/// The arguments of `portolan mkdir`.
#[derive(Debug, clap::Args)]
#[command(after_help = MKDIR_HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct MkdirArgs {
    /// Directories to create, with their parents, such as ftp://ftp.example.org/in/2026
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
}

/// Makes directories.
pub(super) fn mkdir(args: &MkdirArgs, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(&args.urls, common)?;
        let paths: Vec<_> = urls.iter().map(operands::path_of).collect::<Result<_>>()?;
        Ok((site, paths, common.single_context()?.0))
    };
    let (site, paths, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            for path in &paths {
                if session.mkdir(path).await? {
                    let path = path.to_string();
                    context.observer.emit(&Event::Done { verb: Operation::Mkdir, path });
                }
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

const CHMOD_HELP: &str = "\
Examples:
    portolan chmod 644 'ftpes://me@ftp.example.org/htdocs/*.html'";

/// The arguments of `portolan chmod`.
#[derive(Debug, clap::Args)]
#[command(after_help = CHMOD_HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct ChmodArgs {
    /// Permissions in octal digits, such as 644
    mode: String,
    /// Files or directories, such as 'ftp://ftp.example.org/cgi-bin/*.cgi'
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
}

/// Sets permissions.
pub(super) fn chmod(args: &ChmodArgs, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let mode = permissions(&args.mode)?;
        let (site, urls) = operands::urls(&args.urls, common)?;
        Ok((site, urls, mode, common.single_context()?.0))
    };
    let (site, urls, mode, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            for url in &urls {
                for path in operands::expand(session, url).await? {
                    session.chmod(&path, mode).await?;
                }
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

/// Paths that a user types behind a URL.
trait TypedPath {
    /// Returns the path that `text` means in this directory: a path from the root, or a name below it.
    fn join_or_root(&self, text: &[u8]) -> Result<RemotePath>;
}

impl TypedPath for RemotePath {
    fn join_or_root(&self, text: &[u8]) -> Result<RemotePath> {
        let end = text.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let name = text.get(..end).unwrap_or_default();
        match (text.starts_with(b"/"), name.is_empty()) {
            (true, true) => Ok(Self::root()),
            (true, false) => Self::parse(name),
            (false, true) => Err(Error::invalid("the new name is empty")),
            (false, false) => {
                let above = self.as_bytes();
                let slash: &[u8] =
                    if above.is_empty() || above.ends_with(b"/") { b"" } else { b"/" };
                let above = if above == b"." { &b""[..] } else { above };
                let slash = if above.is_empty() { b"" } else { slash };
                Self::parse([above, slash, name].concat())
            }
        }
    }
}
