//! `portolan nat log` and `portolan nat diff`: the changes of rulesets, and what lies between two of them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ExitResult, common::Common, report, table::TextTable};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    nat::{
        history::{self, HistoryEntry},
        plan_report,
        ruleset_store::RulesetStore,
        undo::no_ledger,
    },
    observe::visible::visible,
};

/// The arguments of `portolan nat log`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LogArgs {
    /// Only changes of this ruleset
    #[arg(long, value_name = "NAME")]
    ruleset: Option<String>,
}

/// The arguments of `portolan nat diff`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DiffArgs {
    /// Number of a change, as `nat log` shows it
    from: u32,
    /// Number of another change [default: the last one]
    to: Option<u32>,
    /// Ruleset whose changes are compared, if there are several
    #[arg(long, value_name = "NAME")]
    ruleset: Option<String>,
}

pub(super) fn log(args: &LogArgs, common: &Common) -> ExitResult {
    let ledger = common.ledger().ok_or_else(no_ledger)?;
    let all = ledger.history(args.ruleset.as_deref())?;
    if common.json() {
        report::json(&json!({ "changes": all.iter().map(entry_value).collect::<Vec<_>>() }));
        return Ok(Exit::Done);
    }
    let mut table = TextTable::new(&["ruleset", "no.", "time", "who", "change", "parts", "why"]);
    for one in &all {
        table.row([
            one.ruleset.clone(),
            one.number.to_string(),
            time(one),
            visible(&one.who),
            one.how.words().to_owned(),
            one.notes.len().to_string(),
            visible(&one.comment),
        ]);
    }
    report::output(&table.text());
    Ok(Exit::Done)
}

pub(super) fn diff(args: &DiffArgs, common: &Common) -> ExitResult {
    let ledger = common.ledger().ok_or_else(no_ledger)?;
    let name = match &args.ruleset {
        Some(name) => name.clone(),
        None => only_one(&*ledger)?,
    };
    let from = history::entry(&name, args.from, &*ledger)?;
    let to = match args.to {
        Some(number) => history::entry(&name, number, &*ledger)?,
        None => last(&name, &*ledger)?,
    };
    let text = plan_report::diff(&from.body, &to.body);
    if common.json() {
        let value = json!({
            "ruleset": name, "from": entry_value(&from), "to": entry_value(&to), "diff": text,
        });
        report::json(&value);
    } else if text.is_empty() {
        report::output(&format!(
            "{name}: changes {} and {} have the same rules\n",
            from.number, to.number
        ));
    } else {
        report::output(&text);
    }
    Ok(Exit::Done)
}

/// Returns the name of the only ruleset with a history.
fn only_one(ledger: &dyn RulesetStore) -> Result<String> {
    let mut names: Vec<_> = ledger.history(None)?.into_iter().map(|one| one.ruleset).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::invalid("no change of a ruleset is remembered")),
        several => {
            let message =
                format!("there are several rulesets: --ruleset {}", several.join(" or --ruleset "));
            Err(Error::invalid(message))
        }
    }
}

fn last(name: &str, ledger: &dyn RulesetStore) -> Result<HistoryEntry> {
    let all = ledger.history(Some(name))?;
    all.into_iter().next_back().ok_or_else(|| Error::invalid("no change is remembered"))
}

fn time(entry: &HistoryEntry) -> String {
    Timestamp::from_millisecond(entry.at_ms).map(|time| time.to_string()).unwrap_or_default()
}

/// Returns a change as `--json` has it.
fn entry_value(entry: &HistoryEntry) -> Value {
    json!({
        "ruleset": entry.ruleset,
        "number": entry.number,
        "at": time(entry),
        "who": entry.who,
        "change": entry.how.words(),
        "comment": entry.comment,
        "parts": entry.notes,
    })
}
