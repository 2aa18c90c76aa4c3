//! What the rules of one ruleset are, chain by chain, in the words of whichever filter: pure.

use std::collections::BTreeMap;

use super::{check::Family, rules::Hook};

/// What begins the comment of each rule of ours.
pub(super) const MARK: &str = "portolan:";

/// The rules of each chain, by where it hangs, and of which family it is where each has chains of its own.
pub(super) type Chains = BTreeMap<(Hook, Option<Family>), Vec<String>>;

/// What is there under a ruleset's name, as its listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// One ruleset.
    Plain(Chains),
    /// A trial of `new`; `old` rules once it is over.
    Trial { new: Chains, old: Chains, is_over: bool },
    /// Something that is not ours alone: it cannot be put back rule by rule.
    Strange,
}

/// Those that have rules.
pub(super) fn filled(chains: Chains) -> Chains {
    chains.into_iter().filter(|(_, rules)| !rules.is_empty()).collect()
}

/// What a rule says of what it is for. The kernel keeps 128 bytes of a comment.
pub(super) fn comment(note: &str) -> String {
    const LENGTH_MAX: usize = 120;
    let note = note.get(..LENGTH_MAX - MARK.len()).unwrap_or(note);
    format!("{MARK}{note}")
}

/// What the rules are for, each part once.
pub(super) fn notes(chains: &Chains) -> Vec<String> {
    let mut notes = Vec::new();
    for rule in chains.values().flatten() {
        let Some((_, note)) = rule.rsplit_once(&format!("comment \"{MARK}")) else { continue };
        let note = note.split('"').next().unwrap_or(note).to_owned();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}
