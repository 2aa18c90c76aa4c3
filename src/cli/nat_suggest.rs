//! `portolan nat suggest`: prints what lets FTP through a packet filter, a router or a cloud, or the settings of a server.

use serde_json::json;

use super::{
    ExitResult,
    common::Common,
    flags::{OptionCommand, OptionFlags},
    report::{self, UsageError},
};
use crate::{
    exit_code::Exit,
    option_table::OptionTable,
    script::api::suggest::{SUGGEST, SuggestOptions},
};

/// The arguments of `portolan nat suggest`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    options: OptionFlags<SuggestCommand>,
}

/// The command, as its flags know it.
#[derive(Debug, Clone)]
pub(super) struct SuggestCommand;

impl OptionCommand for SuggestCommand {
    type Options = SuggestOptions;
    const TABLE: OptionTable<SuggestOptions> = SUGGEST;
    const NAME: &'static str = "suggest";
}

const HELP: &str = "\
Examples:
    portolan nat suggest --side server --format ufw
    portolan nat suggest --mode active --format firewalld --from 203.0.113.20
    portolan nat suggest --side server --format openwrt --to 192.168.1.5";

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let wanted = || args.options.options()?.wanted().text();
    let text = wanted().map_err(UsageError)?;
    if common.json() {
        report::json(&json!({ "text": text }));
    } else {
        report::output(&format!("{}\n", text.trim_end()));
    }
    Ok(Exit::Done)
}
