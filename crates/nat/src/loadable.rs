//! A ruleset in a form that the filter accepts: what the filter lacks is left out, if it is not asked for.

use super::{
    backend::Backend,
    chains::Chains,
    features,
    foreign::Warning,
    host::HostNetwork,
    model::{RulesetPart, RulesetSpec},
    rules::{CompiledRules, Hook, rules},
};
use portolan_core::error::Result;

/// The rules of a ruleset, in a form that the filter accepts.
pub(super) struct Loadable {
    pub(super) made: CompiledRules,
    pub(super) chains: Chains,
    pub(super) body: String,
    /// The body as the filter would list it, if that is known.
    pub(super) wanted: Option<String>,
    /// The warning that segments are not limited.
    pub(super) unclamped: Vec<Warning>,
}

/// Compiles `ruleset`. If the filter cannot limit segments, they are limited only if the ruleset says so, and it fails
/// then.
pub(super) fn loadable(
    ruleset: &RulesetSpec,
    table: &str,
    here: &HostNetwork,
    backend: &dyn Backend,
) -> Result<Loadable> {
    let tried = |made: CompiledRules| -> Result<Loadable> {
        let chains = backend.chains(&made.all)?;
        let body = backend.body(table, &chains);
        let wanted = backend.listed(table, &body)?;
        Ok(Loadable { made, chains, body, wanted, unclamped: Vec::new() })
    };
    let made = rules(ruleset, here)?;
    features::ipv6(&made.all, features::has_ipv6())?;
    let is_asked_for = ruleset.clamp() == Some(true)
        || ruleset.parts().iter().any(|part| matches!(part, RulesetPart::Clamp(_)));
    let without: Vec<_> =
        made.all.iter().filter(|rule| rule.hook != Hook::Clamp).cloned().collect();
    if is_asked_for || without.len() == made.all.len() {
        return tried(made);
    }
    tried(made.clone()).or_else(|fault| {
        let mut found = tried(CompiledRules { all: without, ..made })?;
        let text = format!("segments are not limited to the size of the line: {}", fault.message);
        found.unclamped.push(Warning { about: "clamp", text, remedy: String::new() });
        Ok(found)
    })
}
