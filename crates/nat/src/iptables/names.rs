//! The names of portolan's chains in iptables: pure.

use sha2::{Digest, Sha256};

use crate::rules::Hook;

/// The maximum length of a ruleset's name in a chain: the kernel's limit of 28, less `PORTOLAN_`, `_POST` and the
/// digit.
const STEM_LENGTH_MAX: usize = 13;
/// The number of characters that are kept of a longer name; its hash follows them.
const STEM_HEAD: usize = 6;

impl Hook {
    /// Returns the table. Tables are written in alphabetical order: rules that drop are loaded before those that
    /// redirect.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Helper | Self::HelperLocal => "raw",
            Self::Prerouting | Self::Output | Self::Postrouting => "nat",
            Self::Clamp => "mangle",
            Self::Forward | Self::Input => "filter",
        }
    }

    /// Returns the kernel's chain.
    pub(super) const fn entry(self) -> &'static str {
        match self {
            Self::Helper | Self::Prerouting => "PREROUTING",
            Self::HelperLocal | Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
            Self::Clamp | Self::Forward => "FORWARD",
            Self::Input => "INPUT",
        }
    }

    /// Returns the ending of portolan's chain for it.
    const fn ending(self) -> &'static str {
        match self {
            Self::Helper | Self::Prerouting => "PRE",
            Self::HelperLocal | Self::Output => "OUT",
            Self::Postrouting => "POST",
            Self::Clamp | Self::Forward => "FWD",
            Self::Input => "IN",
        }
    }
}

/// The generation of the rules in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// The rules in force, or the gate of a trial.
    Now,
    /// The rules of a trial.
    New,
    /// The rules that return after it.
    Old,
}

impl Age {
    pub(super) const ALL: [Self; 3] = [Self::Now, Self::New, Self::Old];

    const fn digit(self) -> &'static str {
        match self {
            Self::Now => "",
            Self::New => "1",
            Self::Old => "0",
        }
    }
}

/// The chain names of one ruleset.
#[derive(Debug, Clone)]
pub(super) struct ChainNames {
    name: String,
    stem: String,
}

impl ChainNames {
    /// Returns the names for the ruleset whose nft table would be `portolan_<name>`. A long name is cut and gets its
    /// hash appended.
    pub(super) fn of(table: &str) -> Self {
        let name = table.strip_prefix("portolan_").unwrap_or(table).to_owned();
        let stem = if name.len() <= STEM_LENGTH_MAX {
            name.clone()
        } else {
            let hash = Sha256::digest(&name);
            let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
            name.chars().take(STEM_HEAD).chain(digits).take(STEM_LENGTH_MAX).collect()
        };
        Self { name, stem }
    }

    /// Returns the ruleset's name.
    pub(super) fn ruleset(&self) -> &str {
        &self.name
    }

    /// Returns the prefix of all of its chains.
    pub(super) fn beginning(&self) -> String {
        format!("PORTOLAN_{}_", self.stem)
    }

    /// Returns the name of the chain for `hook` with the rules of `age`.
    pub(super) fn chain(&self, hook: Hook, age: Age) -> String {
        format!("{}{}{}", self.beginning(), hook.ending(), age.digit())
    }

    /// Returns the comment of the rule that jumps to its chains.
    pub(super) fn mark(&self) -> String {
        format!("portolan:ruleset {}", self.name)
    }

    /// Returns that rule, without the chain that it is in.
    pub(super) fn jump(&self, hook: Hook) -> String {
        let chain = self.chain(hook, Age::Now);
        format!("-m comment --comment \"{}\" -j {chain}", self.mark())
    }

    /// Returns the hook and generation of a chain, if it is one of these.
    pub(super) fn hook(&self, table: &str, chain: &str) -> Option<(Hook, Age)> {
        let hooks = Hook::ALL.into_iter().filter(|hook| hook.table() == table);
        let all = hooks.flat_map(|hook| Age::ALL.map(|age| (hook, age)));
        all.into_iter().find(|(hook, age)| self.chain(*hook, *age) == chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_has_a_name_that_the_kernel_takes() {
        let long = ChainNames::of(&format!("portolan_{}", "x".repeat(32)));
        assert_eq!(long.beginning(), format!("PORTOLAN_xxxxxx{}_", &long.stem[6..]));
        let other = ChainNames::of(&format!("portolan_{}y", "x".repeat(31)));
        assert_ne!(long.stem, other.stem);
        for names in [ChainNames::of("portolan_office"), long] {
            for hook in Hook::ALL {
                for age in Age::ALL {
                    let chain = names.chain(hook, age);
                    assert!(chain.len() <= 28, "{chain}");
                    assert_eq!(names.hook(hook.table(), &chain), Some((hook, age)));
                }
            }
        }
    }
}
