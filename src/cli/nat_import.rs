//! `portolan nat import`: a script of iptables lines, or the output of iptables-save, as a script for `nat apply`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{ExitResult, common::Common, report};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    limits::NAT_IMPORT_BYTES_MAX,
    nat::{
        import::{ImportedRuleset, LineRemark, import},
        model::RulesetSpec,
    },
};

/// The arguments of `portolan nat import`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// File of iptables lines or of iptables-save output; - reads standard input. No line of it is executed
    file: PathBuf,
    /// Name of the ruleset
    #[arg(long, value_name = "NAME", default_value = "imported")]
    name: String,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let found = imported(args)?;
    if common.json() {
        let remarks = |remarks: &[LineRemark]| {
            let one =
                |one: &LineRemark| json!({ "line": one.line, "text": one.text, "why": one.why });
            remarks.iter().map(one).collect::<Vec<_>>()
        };
        report::json(&json!({
            "script": found.script,
            "left": remarks(&found.left),
            "needless": remarks(&found.needless),
        }));
    } else {
        report::output(&found.script);
    }
    let lost = found.left.iter().map(|remark| format!("not carried over: {}\n", remark.words()));
    report::print(&lost.collect::<Vec<_>>().concat());
    Ok(if found.left.is_empty() { Exit::Done } else { Exit::InPart })
}

fn imported(args: &Args) -> Result<ImportedRuleset> {
    RulesetSpec::new(&args.name)?;
    let found = import(&text(&args.file)?, &args.name)?;
    if found.script.is_empty() {
        let first = found.left.first().map(|remark| format!(" ({})", remark.words()));
        let message = format!("no line can be carried over{}", first.unwrap_or_default());
        return Err(Error::invalid(message));
    }
    Ok(found)
}

/// Reads one byte more than is accepted, which is then refused.
fn text(path: &Path) -> Result<String> {
    let most = u64::try_from(NAT_IMPORT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| Error::local("read", path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
