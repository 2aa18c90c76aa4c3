//! `portolan nat status` and `portolan nat verify`: what is there, and what the next boot will lead to.

use std::{collections::BTreeSet, fmt::Write};

use serde::Serialize;
use serde_json::json;

use super::NatContext;
use crate::{
    error::Result,
    exit_code::Exit,
    nat::{
        NatError,
        boot_check::BootCheck,
        machine::NatHost,
        undo::{RulesetState, Status},
    },
    script::rules::Ruleset,
    similar::nearest,
};

impl NatContext<'_> {
    /// Returns the names of all rulesets of this host: those that are remembered, and those that have a table.
    pub(super) fn all_names(&self) -> Result<Vec<String>> {
        let records = match self.ledger {
            Some(ledger) => ledger.all()?,
            None => Vec::new(),
        };
        let mut names: BTreeSet<_> = records.into_iter().map(|record| record.ruleset).collect();
        names.extend(NatHost::this(self.backend, None)?.standing_names());
        Ok(names.into_iter().collect())
    }

    /// Returns the suggestion of another ruleset of this host whose name is similar to `name`, if there is one.
    pub(super) fn similar_name(&self, name: &str) -> Option<String> {
        // A suggestion is all that is lost if they cannot be listed.
        let known = self.all_names().unwrap_or_default();
        let names: Vec<_> = known.iter().map(String::as_str).collect();
        nearest(name, &names).map(|near| format!("did you mean the ruleset `{near}`?"))
    }

    pub(super) fn status(
        &self,
        names: &[&str],
        rulesets: &[Ruleset],
        is_check: bool,
    ) -> Result<Exit> {
        let now = self.context.clock.now();
        let mut found = Vec::new();
        for name in names {
            let (machine, record) = self.standing(name, rulesets)?;
            let model = rulesets.iter().map(Ruleset::model).find(|model| model.name() == *name);
            let plan = model.map(|model| machine.compare(&model, record.as_ref())).transpose()?;
            found.push(machine.status(name, plan.as_ref(), record.as_ref(), now)?);
        }
        let values: Vec<_> = found.iter().map(StatusDocument::of).collect();
        let first = found.first().map(|one| one.state.as_str());
        let words: String = match found.as_slice() {
            [] => "no ruleset is known here\n".into(),
            found => found.iter().map(status_words).collect(),
        };
        self.say(&json!({ "status": first, "rulesets": values }), &words);
        if !is_check {
            return Ok(Exit::Done);
        }
        if found.iter().any(|one| !one.is_readable) {
            let message = "the rules can only be read with CAP_NET_ADMIN: what is remembered of them is no check";
            return Err(NatError::NotPermitted.fault(message));
        }
        // Nothing known is nothing applied: its records may be lost.
        let is_missing = |one: &Status| one.state == RulesetState::Missing;
        let is_drifted =
            |one: &Status| matches!(one.state, RulesetState::Drifted | RulesetState::Foreign);
        Ok(worst(found.is_empty() || found.iter().any(is_missing), found.iter().any(is_drifted)))
    }

    pub(super) fn verify(&self, names: &[&str], rulesets: &[Ruleset]) -> Result<Exit> {
        let mut found = Vec::new();
        for name in names {
            let (machine, record) = self.standing(name, rulesets)?;
            found.push(machine.check_boot(name, record.as_ref())?);
        }
        let values: Vec<_> = found.iter().map(BootDocument::of).collect();
        let words: String = match found.as_slice() {
            [] => "no ruleset is known here\n".into(),
            found => found.iter().map(boot_words).collect(),
        };
        let is_missing = found.is_empty() || found.iter().any(|one| !one.is_written);
        let is_drifted = found.iter().any(|one| !one.differences.is_empty());
        self.say(&json!({ "verified": !is_missing && !is_drifted, "rulesets": values }), &words);
        Ok(worst(is_missing, is_drifted))
    }
}

const fn worst(is_missing: bool, is_drifted: bool) -> Exit {
    match (is_missing, is_drifted) {
        (true, _) => Exit::NatMissing,
        (false, true) => Exit::NatDrifted,
        (false, false) => Exit::Done,
    }
}

/// The state of a ruleset as `--json` has it.
#[derive(Debug, Serialize)]
struct StatusDocument<'s> {
    ruleset: &'s str,
    status: &'static str,
    note: &'s str,
    problems: &'s [String],
    since: Option<String>,
    trial_until: Option<String>,
    persisted: bool,
    parts: &'s [String],
}

impl<'s> StatusDocument<'s> {
    fn of(status: &'s Status) -> Self {
        Self {
            ruleset: &status.ruleset,
            status: status.state.as_str(),
            note: &status.note,
            problems: &status.problems,
            since: status.since.map(|time| time.to_string()),
            trial_until: status.trial_until.map(|time| time.to_string()),
            persisted: status.persisted,
            parts: &status.notes,
        }
    }
}

fn status_words(status: &Status) -> String {
    let mut text = format!("{}: {}", status.ruleset, status.state.as_str());
    if let Some(until) = status.trial_until {
        write!(text, " until {until}").ok();
    } else if let Some(since) = status.since {
        write!(text, " since {since}").ok();
    }
    if status.persisted {
        text.push_str(match status.state {
            RulesetState::Applied => ", also at the next start",
            // What is written is what was there before.
            RulesetState::Trial => "; the next start loads the rules of before it",
            _ => "; the next start loads the rules that were applied",
        });
    }
    if !status.note.is_empty() {
        write!(text, "; {}", status.note).ok();
    }
    text.push('\n');
    for problem in &status.problems {
        writeln!(text, "  ! {problem}").ok();
    }
    for note in &status.notes {
        writeln!(text, "  {note}").ok();
    }
    text
}

/// The comparison of the boot of a ruleset with what is in force, as `--json` has it.
#[derive(Debug, Serialize)]
struct BootDocument<'c> {
    ruleset: &'c str,
    boot: &'static str,
    differences: &'c [String],
    diff: &'c str,
}

impl<'c> BootDocument<'c> {
    fn of(check: &'c BootCheck) -> Self {
        Self {
            ruleset: &check.ruleset,
            boot: check.as_str(),
            differences: &check.differences,
            diff: &check.diff,
        }
    }
}

fn boot_words(check: &BootCheck) -> String {
    let what = match (check.as_str(), check.is_trial) {
        ("missing", true) => {
            "nothing is loaded at boot; `confirm` of a trial with `persist` writes it"
        }
        ("missing", false) => "nothing is loaded at boot; `apply` with `persist` writes it",
        ("same", true) => "the next boot loads the rules of before the trial",
        ("same", false) => "the next boot loads what is in force",
        (_, true) => {
            "the next boot loads something else than the rules of before the trial; `confirm` or `rollback` writes it anew"
        }
        (_, false) => {
            "the next boot loads something else than what is in force; `apply` writes it anew"
        }
    };
    let mut text = format!("{}: {what}\n", check.ruleset);
    for difference in &check.differences {
        writeln!(text, "  ! {difference}").ok();
    }
    text.push_str(&check.diff);
    text
}
