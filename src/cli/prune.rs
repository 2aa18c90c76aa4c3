//! `portolan prune`: removes old files of a directory on a server.

use serde_json::json;

use super::{
    ExitResult,
    common::{Common, interruptible, with_session},
    flags::{OptionCommand, OptionFlags},
    operands,
    report::{self, UsageError},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    observe::{Event, Operation, format_size, visible::visible},
    option_table::OptionTable,
    remote::{
        path::RemotePath,
        prune::{self, OPTIONS, PrunePlan, PruneRules},
    },
};

/// The arguments of `portolan prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Directory to clean up, such as ftp://ftp.example.org/backup/
    url: String,
    #[command(flatten)]
    rules: OptionFlags<PruneCommand>,
}

/// The command, as its flags know it.
#[derive(Debug, Clone)]
pub(super) struct PruneCommand;

impl OptionCommand for PruneCommand {
    type Options = PruneRules;
    const TABLE: OptionTable<PruneRules> = OPTIONS;
    const NAME: &'static str = "prune";
}

const HELP: &str = "\
Examples:
    portolan prune ftpes://me@ftp.example.org/backup/ --keep-last 7 --dry-run
    portolan prune ftpes://me@ftp.example.org/logs/ --older-than 30d --match '*.gz'";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let rules = args.rules.options()?;
        if rules.keep_last.is_none() && rules.older_than.is_none() {
            let message = "say what stays: --keep-last COUNT, --older-than AGE, or both";
            return Err(Error::invalid(message));
        }
        let (site, urls) = operands::urls(std::slice::from_ref(&args.url), common)?;
        let folder = match urls.first() {
            Some(url) => operands::path_of(url)?,
            None => RemotePath::parse(".")?,
        };
        Ok((site, folder, rules, common.single_context()?.0))
    };
    let (site, folder, rules, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        let mut plan = PrunePlan::default();
        with_session(site, &context, async |session| {
            let deleted = |path: &RemotePath| {
                let path = path.to_string();
                context.observer.emit(&Event::Done { verb: Operation::Delete, path });
            };
            plan = prune::prune(session, &folder, &rules, context.clock.now(), deleted).await?;
            Ok(())
        })?;
        let names = plan.deletes.iter().map(|entry| visible(&entry.name));
        if json {
            report::json(&json!({
                "dry_run": rules.is_dry_run,
                "deleted": names.collect::<Vec<_>>(),
                "kept": plan.kept,
                "bytes": plan.bytes(),
                "refused": plan.refusal,
            }));
            return refused(&plan);
        }
        if rules.is_dry_run {
            report::plan(&names.map(|name| format!("delete {name}")).collect::<Vec<_>>());
        }
        let count = plan.deletes.len();
        let noun = if count == 1 { "file" } else { "files" };
        let verb = if rules.is_dry_run { "would be deleted" } else { "deleted" };
        let (bytes, kept) = (format_size(plan.bytes()), plan.kept);
        report::print(&format!("{count} {noun} {verb} ({bytes}), {kept} kept\n"));
        if plan.timeless > 0 {
            let count = plan.timeless;
            context.observer.warn(format!("{count} of them have no time that the server tells"));
        }
        refused(&plan)
    })
}

/// Returns the end of a run: that of a dry run is the one that the real run would have.
fn refused(plan: &PrunePlan) -> ExitResult {
    let Some(refusal) = &plan.refusal else { return Ok(Exit::Done) };
    let message = format!("without --dry-run nothing would be deleted: {refusal}");
    Err(Error::new(ErrorKind::Guard, Origin::Here, message).into())
}
