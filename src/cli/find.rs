//! `portolan find`, `du` and `hash`: what is below a directory of a server, and what is in a file.

use std::collections::BTreeMap;

use globset::GlobBuilder;
use serde_json::json;

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    operands,
    report::{self, UsageError},
};
use crate::{
    error::{Error, ErrorKind, Result},
    exit_code::Exit,
    ftp::{listing::EntryKind, path::RemotePath, session::Session, transfer::TransferOptions},
    observe::{format_size, visible::visible},
    remote::stream::StreamSink,
};

/// The arguments of `portolan find`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Directory, such as ftp://ftp.example.org/pub
    url: String,
    /// Only entries whose name matches this pattern, such as '*.csv'
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// Only files (f), directories (d) or links (l)
    #[arg(long = "type", value_name = "TYPE", value_parser = ["f", "d", "l"])]
    kind: Option<String>,
    /// Directories below the first one at most
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
}

const HELP: &str = "\
Examples:
    portolan find ftp://ftp.example.org/pub --name '*.csv'
    portolan find ftpes://me@ftp.example.org/ --type d --max-depth 2";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(std::slice::from_ref(&args.url), common)?;
        let path = urls.first().map_or_else(|| RemotePath::parse("."), operands::path_of)?;
        let name = args.name.as_ref().map(|pattern| {
            let glob = GlobBuilder::new(pattern).build();
            let glob = glob.map_err(|error| {
                Error::invalid(format!("cannot read the pattern `{pattern}`: {}", error.kind()))
            })?;
            Ok::<_, Error>(glob.compile_matcher())
        });
        Ok((site, path, name.transpose()?, common.quiet_context()?))
    };
    let (site, path, name, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    let (kind, levels) = (args.kind.clone(), args.max_depth);
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let wanted = kind.as_deref().map(|kind| match kind {
                "d" => EntryKind::Dir,
                "l" => EntryKind::Link,
                _ => EntryKind::File,
            });
            let found = session.search(&path, levels).await?;
            let found = found.into_iter().filter(|one| {
                let text = one.path.encoding().text(one.path.name());
                wanted.is_none_or(|kind| one.entry.kind == kind)
                    && name.as_ref().is_none_or(|name| name.is_match(&*text))
            });
            if json {
                let all: Vec<_> = found
                    .map(|one| {
                        json!({
                            "path": one.path.to_string(),
                            "kind": one.entry.kind.as_str(),
                            "size": one.entry.size,
                        })
                    })
                    .collect();
                report::json(&all);
            } else {
                let lines: Vec<_> = found.map(|one| format!("{}\n", one.path)).collect();
                report::output(&lines.concat());
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

/// The arguments of `portolan du`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = DU_HELP,
    override_usage = "portolan du [OPTIONS] <URL>",
    disable_help_flag = true
)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct DuArgs {
    /// Directory, such as ftp://ftp.example.org/pub
    #[arg(required_unless_present = "human")]
    url: Option<String>,
    /// Only the total
    #[arg(long, short)]
    summarize: bool,
    /// Sizes such as 1.5 MiB in place of bytes
    #[arg(long, short = 'H')]
    human_readable: bool,
    /// The same; without a URL, print this help
    #[arg(short = 'h')]
    human: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

const DU_HELP: &str = "\
Sizes are those of the files, in bytes, each directory with all below it.

Examples:
    portolan du ftp://ftp.example.org/pub
    portolan du -sh ftpes://me@ftp.example.org/";

/// Prints the bytes below each directory.
pub(super) fn du(args: &DuArgs, common: &Common) -> ExitResult {
    let Some(place) = &args.url else {
        report::output(&super::help_of("du"));
        return Ok(Exit::Done);
    };
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(std::slice::from_ref(place), common)?;
        let path = urls.first().map_or_else(|| RemotePath::parse("."), operands::path_of)?;
        Ok((site, path, common.quiet_context()?))
    };
    let (site, path, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    let (summarize, human) = (args.summarize, args.human_readable || args.human);
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let usage = usage(session, &path).await?;
            let shown = usage.iter().filter(|(folder, _)| !summarize || **folder == path);
            if json {
                let all: Vec<_> = shown
                    .map(|(path, (bytes, files))| {
                        json!({ "path": path.to_string(), "bytes": bytes, "files": files })
                    })
                    .collect();
                report::json(&all);
                return Ok(());
            }
            let shown_size =
                |bytes: u64| if human { format_size(bytes) } else { bytes.to_string() };
            let rows: Vec<_> = shown.map(|(path, (bytes, _))| (shown_size(*bytes), path)).collect();
            let width = rows.iter().map(|(size, _)| size.len()).max().unwrap_or(0);
            let lines: Vec<_> =
                rows.iter().map(|(size, path)| format!("{size:>width$}  {path}\n")).collect();
            report::output(&lines.concat());
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

/// Returns the bytes and the number of files below `folder` and each directory in it.
async fn usage(
    session: &mut Session,
    folder: &RemotePath,
) -> Result<BTreeMap<RemotePath, (u64, u64)>> {
    let mut usage = BTreeMap::from([(folder.clone(), (0, 0))]);
    for one in session.search(folder, None).await? {
        if one.entry.kind == EntryKind::Dir {
            usage.entry(one.path).or_default();
            continue;
        }
        let mut above = one.path;
        while above != *folder && !above.is_root() {
            let parent = above.parent();
            // A path below the login directory has that as its last parent.
            above = if usage.contains_key(&parent) { parent } else { folder.clone() };
            let (bytes, files) = usage.entry(above.clone()).or_default();
            *bytes += one.entry.size.unwrap_or(0);
            *files += 1;
        }
    }
    Ok(usage)
}

/// The arguments of `portolan hash`.
#[derive(Debug, clap::Args)]
#[command(after_help = HASH_HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct HashArgs {
    /// Files, such as 'ftp://ftp.example.org/pub/*.zip'
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Algorithm
    #[arg(long, default_value = "sha256", value_parser = ["sha256", "sha1", "md5", "crc32"])]
    algorithm: String,
}

const HASH_HELP: &str = "\
The server computes the hash (HASH, XSHA256, XCRC and so on); if it cannot, SHA-256 is computed from a download. The output
is that of sha256sum.

Examples:
    portolan hash 'ftp://ftp.example.org/pub/*.zip' > SHA256SUMS";

/// Prints the hashes of files.
pub(super) fn hash(args: &HashArgs, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let (site, urls) = operands::urls(&args.urls, common)?;
        Ok((site, urls, common.quiet_context()?))
    };
    let (site, urls, context) = prepared().map_err(UsageError)?;
    let (stop, json, algorithm) = (context.stop.clone(), common.json(), args.algorithm.clone());
    interruptible(&stop, move || {
        with_session(site, &context, async |session| {
            let mut all = Vec::new();
            for url in &urls {
                for path in operands::expand(session, url).await? {
                    let hash = hash_of(session, &path, &algorithm).await?;
                    all.push((hash, path));
                }
            }
            if json {
                let all = all.iter().map(|(hash, path)| {
                    json!({ "path": path.to_string(), "algorithm": algorithm, "hash": hash })
                });
                report::json(&all.collect::<Vec<_>>());
            } else {
                let line = |(hash, path): &(String, RemotePath)| {
                    format!("{hash}  {}\n", visible(path.encoding().text(path.name())))
                };
                report::output(&all.iter().map(line).collect::<Vec<_>>().concat());
            }
            Ok(())
        })?;
        Ok(Exit::Done)
    })
}

async fn hash_of(session: &mut Session, path: &RemotePath, algorithm: &str) -> Result<String> {
    let told = session.checksum(path, algorithm).await;
    match told {
        Err(error) if error.kind == ErrorKind::Unsupported && algorithm == "sha256" => {
            let mut sink = StreamSink::new(Sha256Writer::default(), "the hash");
            session.get_into(path, &mut sink, &TransferOptions::default()).await?;
            Ok(sink.into_inner().hex())
        }
        told => told,
    }
}

/// A writer that hashes what it gets.
#[derive(Default)]
struct Sha256Writer(sha2::Sha256);

impl Sha256Writer {
    fn hex(self) -> String {
        crate::encoding::to_hex(sha2::Digest::finalize(self.0))
    }
}

impl std::io::Write for Sha256Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        sha2::Digest::update(&mut self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
