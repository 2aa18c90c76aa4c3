//! The rules of one ruleset by chain, in the syntax of either filter: pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{check::Family, rules::Hook};

/// The prefix of the comment on each of portolan's rules.
pub(super) const MARK: &str = "portolan:";

/// The rules of each chain, by hook, and by family if the filter has separate chains for each family.
pub(super) type Chains = BTreeMap<(Hook, Option<Family>), Vec<String>>;

/// The classification of a listing under a ruleset's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// One ruleset.
    Plain(Chains),
    /// A trial of `new`; `old` is in force once it is over.
    Trial { new: Chains, old: Chains, is_over: bool },
    /// A listing that is not portolan's alone: it cannot be restored rule by rule.
    Strange,
}

/// Returns the chains that have rules.
pub(super) fn filled(chains: Chains) -> Chains {
    chains.into_iter().filter(|(_, rules)| !rules.is_empty()).collect()
}

/// Returns the comment of a rule, which describes its part. The kernel keeps 128 bytes of a comment.
pub(super) fn comment(note: &str) -> String {
    const LENGTH_MAX: usize = 120;
    let note = note.get(..LENGTH_MAX - MARK.len()).unwrap_or(note);
    format!("{MARK}{note}")
}

/// Returns the descriptions of the rules, once for each part.
pub(super) fn notes(chains: &Chains) -> Vec<String> {
    let mark = format!("comment \"{MARK}");
    let mut known = BTreeSet::new();
    let mut notes = Vec::new();
    for rule in chains.values().flatten() {
        // The elements of a map have a comment each.
        for note in rule.split(&mark).skip(1) {
            let note = note.split('"').next().unwrap_or(note);
            if known.insert(note) {
                notes.push(note.to_owned());
            }
        }
    }
    notes
}
