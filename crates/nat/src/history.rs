//! The history of rulesets: each change with who made it, when and why, and the rules that were in force after it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    NatError,
    apply::ApplyOptions,
    backend::Choice,
    machine::NatHost,
    model::RulesetSpec,
    plan::RulesetPlan,
    ruleset_store::{RulesetRecord, RulesetStore},
};
use portolan_core::{
    error::{Error, Result},
    limits::NAT_COMMENT_LENGTH_MAX,
};

/// The maximum length of a user's name in an entry.
const NAME_LENGTH_MAX: usize = 64;

/// The kind of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryAction {
    /// Applied.
    #[default]
    Applied,
    /// Applied on trial.
    Trial,
    /// Confirmed after a trial.
    Confirmed,
    /// Rolled back to the rules before.
    RolledBack,
    /// Removed.
    Reverted,
}

impl HistoryAction {
    /// Returns the words for reports.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Trial => "on trial",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled back",
            Self::Reverted => "reverted",
        }
    }
}

/// A change of a ruleset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// The name of the ruleset.
    pub ruleset: String,
    /// The number of the change, from 1 for each ruleset.
    #[serde(skip)]
    pub number: u32,
    /// The time, in milliseconds since 1970.
    pub at_ms: i64,
    /// The user who made it.
    pub who: String,
    /// Its kind.
    pub how: HistoryAction,
    /// The reason that the user gave.
    pub comment: String,
    /// The filter that has the rules.
    pub backend: Choice,
    /// The descriptions of the parts in force afterwards, one line each.
    pub notes: Vec<String>,
    /// The rules as the filter lists them, in a trial as they were loaded; empty if there are none afterwards.
    pub body: String,
    /// The ruleset as the script described it.
    pub spec: Option<serde_json::Value>,
}

impl HistoryEntry {
    /// Returns the entry for a change that led to `record`.
    pub(super) fn of(
        record: &RulesetRecord,
        how: HistoryAction,
        comment: Option<&str>,
        now: Timestamp,
    ) -> Self {
        // Listings compare with each other; that of a trial has the old rules as well.
        let has_listing = how != HistoryAction::Trial && !record.listing.is_empty();
        let body = if has_listing { &record.listing } else { &record.body };
        Self {
            ruleset: record.ruleset.clone(),
            number: 0,
            at_ms: now.as_millisecond(),
            who: who(),
            how,
            comment: comment.unwrap_or_default().to_owned(),
            backend: record.backend,
            notes: record.notes.clone(),
            body: body.clone(),
            spec: record.spec.clone(),
        }
    }

    /// Returns the entry for a change after which the ruleset `name` has no rules.
    pub(super) fn without_rules(name: &str, how: HistoryAction, now: Timestamp) -> Self {
        let record = RulesetRecord { ruleset: name.to_owned(), ..RulesetRecord::default() };
        Self::of(&record, how, None, now)
    }

    /// Returns the ruleset that was in force. Fails with `nat.no_undo` if there was none, or an older version of
    /// portolan did not keep it.
    pub fn ruleset_spec(&self) -> Result<RulesetSpec> {
        let spec = self.spec.clone().and_then(|spec| serde_json::from_value(spec).ok());
        let spec = spec.filter(|spec: &RulesetSpec| spec.name() == self.ruleset);
        spec.ok_or_else(|| {
            let Self { ruleset, number, .. } = self;
            let message = if self.body.is_empty() {
                format!("after change {number} of `{ruleset}` there were no rules: `revert` removes them")
            } else {
                format!("change {number} of `{ruleset}` is remembered without its ruleset")
            };
            NatError::NoUndo.fault(message)
        })
    }
}

/// Checks the reason of a change: one line of limited length.
pub fn check_comment(text: &str) -> Result<()> {
    if text.chars().count() > NAT_COMMENT_LENGTH_MAX || text.chars().any(char::is_control) {
        let message =
            format!("a `comment` is one line of at most {NAT_COMMENT_LENGTH_MAX} characters");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Returns the user behind this process: under sudo, the one who called it.
fn who() -> String {
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let user = match (name("SUDO_USER"), name("USER").or_else(|| name("LOGNAME"))) {
        (Some(caller), _) => format!("{caller} (sudo)"),
        (None, Some(user)) => user,
        (None, None) => format!("uid {}", rustix::process::geteuid().as_raw()),
    };
    user.chars().filter(|c| !c.is_control()).take(NAME_LENGTH_MAX).collect()
}

/// Returns the entry of that number. Fails with `nat.no_undo`.
pub fn entry(name: &str, number: u32, ledger: &dyn RulesetStore) -> Result<HistoryEntry> {
    let all = ledger.history(Some(name))?;
    let numbers = match (all.first(), all.last()) {
        (Some(first), Some(last)) => {
            format!("changes {} to {} are remembered", first.number, last.number)
        }
        _ => "no change of it is remembered".to_owned(),
    };
    all.into_iter().find(|one| one.number == number).ok_or_else(|| {
        NatError::NoUndo.fault(format!("there is no change {number} of `{name}`: {numbers}"))
    })
}

impl NatHost {
    /// Plans the ruleset that was in force after the change `entry`. Fails as `plan` does, and with `nat.no_undo`.
    pub fn plan_of(
        &self,
        entry: &HistoryEntry,
        ledger: &dyn RulesetStore,
    ) -> Result<(RulesetSpec, RulesetPlan)> {
        let spec = entry.ruleset_spec()?;
        let plan = self.plan(&spec, ledger.load(&entry.ruleset)?.as_ref())?;
        Ok((spec, plan))
    }
}

impl HistoryEntry {
    /// Returns the options for applying its ruleset again, with its number as the reason if there is no other.
    pub fn order_back(&self, order: ApplyOptions) -> ApplyOptions {
        let comment = order.comment.unwrap_or_else(|| format!("back to {}", self.number));
        ApplyOptions { comment: Some(comment), ..order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_rules_leads_nowhere_and_one_of_another_name_neither() {
        let now = Timestamp::UNIX_EPOCH;
        let gone = HistoryEntry::without_rules("office", HistoryAction::Reverted, now);
        let fault = gone.ruleset_spec().unwrap_err();
        assert_eq!(fault.name, Some("nat.no_undo"));
        assert!(fault.message.contains("there were no rules"), "{fault}");
        let spec = serde_json::to_value(RulesetSpec::new("gate").unwrap()).ok();
        let foreign = HistoryEntry { spec, body: "x".into(), ..gone };
        assert!(foreign.ruleset_spec().unwrap_err().message.contains("without its ruleset"));
    }

    #[test]
    fn a_comment_is_one_short_line() {
        check_comment("new provider").unwrap();
        for text in
            ["a\nb".to_owned(), "\u{1b}[2J".to_owned(), "x".repeat(NAT_COMMENT_LENGTH_MAX + 1)]
        {
            assert!(check_comment(&text).is_err(), "{text}");
        }
    }
}
