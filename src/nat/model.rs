//! What is wanted: a ruleset as its user describes it. Pure; every part is checked as it is added.

use super::Reason;
use crate::fault::Outcome;

/// Characters of a ruleset's name: the table's is longer by nine, and the kernel's limit is far away.
const NAME_LENGTH_MAX: usize = 32;

/// One table of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    name: String,
}

impl Ruleset {
    /// An empty ruleset. Its name is letters, digits, `_` and `-`, and begins with a letter or digit; else
    /// `nat.bad_name`.
    pub fn new(name: &str) -> Outcome<Self> {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.len() <= NAME_LENGTH_MAX
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
        if is_name {
            return Ok(Self { name: name.to_owned() });
        }
        let message = format!(
            "a ruleset's name has 1 to {NAME_LENGTH_MAX} letters, digits, `_` and `-`, and begins with a letter or \
             digit; got {name:?}"
        );
        Err(Reason::BadName.fault(message))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table that is its own.
    pub fn table(&self) -> String {
        format!("portolan_{}", self.name)
    }
}
