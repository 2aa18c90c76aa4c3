//! Kernel settings that rulesets have changed: each is restored with the last ruleset that needs it.

use super::{
    backend::{self, Chosen, FoundRules},
    ruleset_store::{RulesetRecord, RulesetStore},
    sysctl::{self, ALL4, Sysctl},
};
use portolan_core::error::Result;

impl RulesetRecord {
    fn needs(&self, path: &str, value: &str) -> bool {
        self.needs.iter().any(|(own, wanted)| own == path && wanted == value)
    }

    /// Makes this ruleset the one with which the setting is restored.
    fn inherit(&mut self, one: &Sysctl) {
        match self.sysctls.iter_mut().find(|own| own.path == one.path) {
            Some(own) => own.clone_from(one),
            None => self.sysctls.push(one.clone()),
        }
    }
}

/// Restores `settings` of the ruleset `name`, the last first, except for those that another ruleset needs: that one
/// inherits them. Settings of other rulesets that a switch for all interfaces resets are set again.
pub(super) fn let_go(name: &str, settings: &[Sysctl], ledger: &dyn RulesetStore) -> Result<()> {
    let mut others = Vec::new();
    for record in ledger.all()? {
        if record.ruleset != name && is_in_use(&record)? {
            others.push(record);
        }
    }
    let holds = |(path, value): &(String, String)| sysctl::read(path).as_ref() == Some(value);
    for record in &mut others {
        record.needs.retain(holds);
    }
    for one in sysctl::in_order_of_restoring(settings) {
        // A ruleset that needs all interfaces needs this one, without saying so.
        let is_relied_on = sysctl::is_relied_on(one, sysctl::read);
        let is_heir = |other: &RulesetRecord| {
            other.needs(&one.path, &one.set) || is_relied_on && other.needs(ALL4, "1")
        };
        match others.iter_mut().find(|other| is_heir(other)) {
            Some(heir) => inherit(heir, one, ledger)?,
            None => sysctl::restore(one)?,
        }
    }
    for heir in &mut others {
        let lost = heir.needs.clone().into_iter().filter(|need| !holds(need));
        for (path, value) in lost.collect::<Vec<_>>() {
            let was = sysctl::read(&path).unwrap_or_default();
            let one = Sysctl { path, was, set: value, ..Sysctl::default() };
            inherit(heir, &one, ledger)?;
            sysctl::set(&one)?;
        }
    }
    Ok(())
}

/// Returns true if a recorded ruleset has rules, now or at the next boot.
fn is_in_use(record: &RulesetRecord) -> Result<bool> {
    if record.persisted.is_some() {
        return Ok(true);
    }
    // A filter that is no longer installed has no rules.
    let Ok(Chosen { backend: filter, .. }) = backend::choose(record.backend) else {
        return Ok(false);
    };
    Ok(filter.found(&format!("portolan_{}", record.ruleset))? != FoundRules::Missing)
}

/// Stores the setting in the heir's own record, before anything else is done.
fn inherit(heir: &mut RulesetRecord, one: &Sysctl, ledger: &dyn RulesetStore) -> Result<()> {
    heir.inherit(one);
    // Its stored needs are unchanged: only the copy here is narrowed to those that hold.
    if let Some(mut record) = ledger.load(&heir.ruleset)? {
        record.inherit(one);
        ledger.save(&record)?;
    }
    Ok(())
}
