//! `portolan rehearse`: runs a script against an embedded server.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    ExitResult,
    common::{Common, interruptible},
    report::{self, UsageError},
    run::{script, settings},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    ftp::session::RunContext,
    limits::REHEARSAL_BYTES_MAX,
    observe::Event,
    rehearse::{
        FaultPlan, Personality, ServerSetup, ServerTls, TestServer,
        tree::{Snapshot, copy_tree},
    },
    script::{
        run::{Rehearsal, Settings},
        sites::{is_url, parse_url},
        source::ScriptSource,
    },
};

/// The arguments of `portolan rehearse`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Script to run
    #[arg(required_unless_present_any = ["list_faults", "list_servers"])]
    script: Option<PathBuf>,
    /// Directory to copy as the initial tree of the server
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Real server to emulate, such as windows-names or embedded-device
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Fault to inject, such as active-refused or drop-after=1000*1; may be repeated
    #[arg(long = "fault", value_name = "NAME")]
    faults: Vec<String>,
    /// List the faults by name
    #[arg(long)]
    list_faults: bool,
    /// List the servers by name
    #[arg(long, conflicts_with = "list_faults")]
    list_servers: bool,
    /// Arguments of the script (`args`); put `--` before any that start with a hyphen
    #[arg(value_name = "ARGS")]
    rest: Vec<String>,
}

/// The environment of a rehearsal: a scratch directory with the server's tree and the files that would be written
/// locally.
struct RehearsalStage {
    /// Removed with its contents at the end of the rehearsal.
    folder: TempDir,
    server: TestServer,
    before: Snapshot,
}

impl RehearsalStage {
    fn tree(&self) -> PathBuf {
        self.folder.path().join("server")
    }
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    if args.list_faults {
        let faults = FaultPlan::ALL.iter().map(|(name, what)| (*name, (*what).to_owned()));
        return Ok(list(faults));
    }
    if args.list_servers {
        let texts = Personality::ALL.iter();
        let texts = texts.map(|(name, does, like)| (*name, format!("{does} ({like})")));
        return Ok(list(texts));
    }
    let prepared = || -> Result<_> {
        let script = args.script.clone().ok_or_else(|| Error::invalid("no script is named"))?;
        let source = ScriptSource::read(&script)?;
        let stage = set_up(args)?;
        let mut settings = settings(common, &script, args.rest.clone())?;
        settings.rehearsal = Some(Rehearsal {
            address: stage.server.address(),
            ca_pem: stage.server.ca_pem().to_owned(),
            scratch: stage.folder.path().join("here"),
            replay: None,
        });
        Ok((source, settings, stage, common.rehearsal_context()?))
    };
    let (source, settings, stage, context) = prepared().map_err(UsageError)?;
    let stop = context.stop.clone();
    interruptible(&stop, move || play(&source, settings, &stage, &context))
}

/// Lists names and their meaning.
fn list(rows: impl Iterator<Item = (&'static str, String)> + Clone) -> Exit {
    let width = rows.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.map(|(name, what)| format!("{name:<width$}  {what}\n"));
    report::output(&lines.collect::<Vec<_>>().concat());
    Exit::Done
}

fn set_up(args: &Args) -> Result<RehearsalStage> {
    let folder = tempfile::Builder::new().prefix("portolan-rehearsal-").tempdir();
    let folder =
        folder.map_err(|error| Error::local("make a folder", std::env::temp_dir(), error))?;
    let tree = folder.path().join("server");
    for part in [&tree, &folder.path().join("here")] {
        std::fs::create_dir(part).map_err(|error| Error::local("make the folder", part, error))?;
    }
    match &args.tree {
        Some(from) => drop(copy_tree(from, &tree, REHEARSAL_BYTES_MAX)?),
        None => make_url_folders(&args.rest, &tree)?,
    }
    let personality = args.server.as_deref().map(Personality::parse).transpose()?;
    let plans = args.faults.iter().map(|fault| FaultPlan::parse(fault)).collect::<Result<_>>()?;
    let setup = ServerSetup {
        plans,
        personality,
        tls: Some(ServerTls::default()),
        ..ServerSetup::at(&tree)
    };
    let server = TestServer::start(setup)?;
    // After the start: files that the server itself creates are not changes.
    let before = Snapshot::of(&tree)?;
    Ok(RehearsalStage { folder, server, before })
}

/// Makes the directories that URLs among the arguments name, since a script begins in them.
fn make_url_folders(args: &[String], tree: &Path) -> Result<()> {
    for url in args.iter().filter(|arg| is_url(arg)) {
        let Some(path) = parse_url(url).ok().and_then(|url| url.path) else { continue };
        let path = path.to_string();
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            continue;
        }
        // The last part may be the name of a file.
        let is_file = parts.last().is_some_and(|name| Path::new(name).extension().is_some());
        let count = parts.len() - usize::from(is_file && !path.ends_with('/'));
        let folder =
            parts.iter().take(count).fold(tree.to_owned(), |folder, part| folder.join(part));
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::local("make the folder", &folder, error))?;
    }
    Ok(())
}

fn play(
    source: &ScriptSource,
    settings: Settings,
    stage: &RehearsalStage,
    context: &RunContext,
) -> ExitResult {
    let code = script(source, settings, context);
    let after = Snapshot::of(&stage.tree())?;
    let changes = stage.before.changes_to(&after).iter().map(ToString::to_string).collect();
    context.observer.emit(&Event::Rehearsed { changes });
    Ok(code)
}
