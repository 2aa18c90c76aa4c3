//! Reads a script of iptables lines, or the output of `iptables-save`, and writes the same as a script for
//! `portolan nat apply`. Pure: no line is executed, and everything that is carried over is parsed into typed values.

mod command_line;
mod filter_rules;
mod iptables_rule;
mod kernel_lines;
mod script_text;
mod translate;

use portolan_core::{
    error::{Error, Result},
    limits::{NAT_IMPORT_BYTES_MAX, NAT_IMPORT_COMMANDS_MAX},
    observe::visible::visible,
};

use command_line::commands;
use translate::Translation;

/// The maximum length of a foreign line in a remark, in characters.
const SHOWN_LENGTH_MAX: usize = 120;

/// A script made from foreign lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRuleset {
    /// The script; empty if no line could be carried over.
    pub script: String,
    /// The lines that are lost: their administrator has to look after them.
    pub left: Vec<LineRemark>,
    /// The lines that are not needed, such as those that flush the rules of everybody.
    pub needless: Vec<LineRemark>,
}

/// A line that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRemark {
    /// Its number, from 1.
    pub line: usize,
    /// The command in it, shortened and in printable characters.
    pub text: String,
    /// The reason.
    pub why: String,
}

impl LineRemark {
    /// Creates a remark. Both texts may have parts of the foreign line.
    fn new(line: usize, text: &str, why: impl AsRef<str>) -> Self {
        let short = |text: &str| visible(text).chars().take(SHOWN_LENGTH_MAX).collect();
        Self { line, text: short(text), why: short(why.as_ref()) }
    }

    /// Returns it in one line.
    pub fn words(&self) -> String {
        format!("line {}: `{}`: {}", self.line, self.text, self.why)
    }
}

/// Reads `text`, and writes a script for a ruleset of that name. Fails with `invalid` for a text beyond the limits.
pub fn import(text: &str, name: &str) -> Result<ImportedRuleset> {
    if text.len() > NAT_IMPORT_BYTES_MAX {
        let message = format!(
            "a file of iptables lines has at most {} KiB, and this has {}",
            NAT_IMPORT_BYTES_MAX / 1024,
            text.len() / 1024
        );
        return Err(Error::invalid(message));
    }
    let commands = commands(text);
    if commands.len() > NAT_IMPORT_COMMANDS_MAX {
        let message =
            format!("a file of iptables lines has at most {NAT_IMPORT_COMMANDS_MAX} commands");
        return Err(Error::invalid(message));
    }
    let mut translation = Translation::default();
    for command in &commands {
        translation.take(command);
    }
    Ok(translation.finish(name))
}

#[cfg(test)]
mod tests;
