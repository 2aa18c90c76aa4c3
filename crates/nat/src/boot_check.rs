//! The comparison of what is loaded at boot with what is in force.

use std::path::Path;

use super::{
    NatError,
    backend::{FoundRules, not_permitted},
    machine::NatHost,
    persist::{self, BootFile},
    plan_report::diff,
    ruleset_store::RulesetRecord,
};
use portolan_core::error::Result;

/// The result of comparing what is loaded at boot with what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootCheck {
    /// The name of the ruleset.
    pub ruleset: String,
    /// True if files for boot are recorded.
    pub is_written: bool,
    /// True during a trial, of which nothing is written: what is compared is what was in force before it.
    pub is_trial: bool,
    /// The differences, one sentence each; none if the next boot leads to the present state.
    pub differences: Vec<String>,
    /// The lines of the listing that the next boot would remove and add.
    pub diff: String,
}

impl NatHost {
    /// Loads what is written for the boot of this ruleset into an empty network namespace, and compares it with what is
    /// in force; changes nothing. Fails with `nat.not_permitted` if the rules in force cannot be read, or no namespace can
    /// be created.
    pub fn check_boot(&self, name: &str, record: Option<&RulesetRecord>) -> Result<BootCheck> {
        let mut check = BootCheck {
            ruleset: name.to_owned(),
            is_written: false,
            is_trial: record.is_some_and(|record| record.trial.is_some()),
            differences: Vec::new(),
            diff: String::new(),
        };
        let kept = record.and_then(|record| Some((record, record.persisted.as_deref()?)));
        let Some((record, root)) = kept else { return Ok(check) };
        check.is_written = true;
        let table = format!("portolan_{name}");
        // A trial is not written before it is confirmed.
        let in_force = match (&record.trial, &record.undo, self.backend.found(&table)?) {
            (_, _, FoundRules::Unreadable) => return Err(not_permitted()),
            (Some(_), Some(undo), _) => undo.body.clone(),
            (_, _, FoundRules::Listing(listing)) => listing,
            (_, _, FoundRules::Missing) => String::new(),
        };
        if !check.is_trial {
            let files = persist::files(root, record, &*self.backend);
            check.differences.extend(files.iter().filter_map(BootFile::difference));
            check.differences.extend(persist::disabled(root, name));
        }
        check.rules(&self.boot_rules(root, record)?, &in_force);
        Ok(check)
    }

    /// Returns the listing of the rules that the file for boot loads; the reason why it does not as an error text.
    fn boot_rules(&self, root: &Path, record: &RulesetRecord) -> Result<Result<String, String>> {
        let table = format!("portolan_{}", record.ruleset);
        let file = persist::rules_path(root, record, &*self.backend);
        if !file.exists() {
            return Ok(Err(format!("{} is missing", file.display())));
        }
        match self.backend.loads(&table, &file) {
            Ok(Some(listing)) => Ok(Ok(listing)),
            Ok(None) => Err(NatError::NotPermitted.fault(
                "no empty network namespace can be created here, in which the rules would be loaded: run as root",
            )),
            Err(fault) => Ok(Err(format!("{} does not load: {}", file.display(), fault.message))),
        }
    }
}

impl BootCheck {
    /// Adds the difference between the rules of boot and those in force.
    fn rules(&mut self, boot: &Result<String, String>, in_force: &str) {
        match boot {
            Err(why) => self.differences.push(why.clone()),
            Ok(listing) if listing == in_force => {}
            Ok(listing) => {
                self.diff = diff(in_force, listing);
                self.differences.push("the rules that are loaded at boot are others".into());
            }
        }
    }

    /// Returns its word in JSON.
    pub const fn as_str(&self) -> &'static str {
        match (self.is_written, self.differences.is_empty()) {
            (false, _) => "missing",
            (true, true) => "same",
            (true, false) => "differs",
        }
    }
}
