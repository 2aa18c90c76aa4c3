//! The rows that define options.
//!
//! An option of scripts, of the command line or of the jobs file is one row of a constant table next to the struct that
//! it fills. From the row follow its key with the check of its value (`script/options.rs`), its flag with help and
//! completion (`cli/flags.rs`), its key in the jobs file (`schedule/jobs/rows.rs`) and its paragraph in the manuals.
//! Rows are plain data: modules that know neither scripts nor command lines can have them.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use crate::error::Result;

/// The maximum of a number that has no limit of its own: the largest whole number of scripts.
pub const NUMBER_MAX: u64 = u64::MAX >> 1;

/// The options of one family.
#[derive(Debug)]
pub struct OptionTable<T: 'static> {
    /// The options, in the order of the manual.
    pub rows: &'static [OptionRow<T>],
    /// Returns the struct with all defaults.
    pub usual: fn() -> T,
}

impl<T> OptionTable<T> {
    /// Returns the keys, in the order of the manual.
    pub fn keys(&self) -> Vec<&'static str> {
        self.rows.iter().map(|row| row.key).collect()
    }

    /// Returns the paragraphs of the manual, one for each option.
    pub fn paragraphs(&self) -> Vec<String> {
        self.rows.iter().map(OptionRow::paragraph).collect()
    }
}

/// An option.
#[derive(Debug)]
#[must_use = "a row belongs in a table"]
pub struct OptionRow<T: 'static> {
    /// The key in scripts and in the jobs file.
    pub key: &'static str,
    /// The kind of its values, and the function that stores one.
    pub kind: OptionKind<T>,
    /// The default as a user would write it; empty if there is none.
    pub usual: &'static str,
    /// The description in the manual: it follows the key and the default after a colon.
    pub manual: &'static str,
    /// The flag of the command line.
    pub flag: OptionFlag,
}

/// A word of a choice, with its effect.
pub type ChoiceWord<T> = (&'static str, fn(&mut T));

/// A function that stores ranges of ports, each with its first and its last.
pub type PortsSetter<T> = fn(&mut T, &[(u16, u16)]) -> Result<()>;

/// A function that stores pairs of a key and a value.
pub type PairsSetter<T> = fn(&mut T, &[(String, String)]) -> Result<()>;

/// The kinds of values. Each stores a value in the struct of its family.
#[derive(Debug)]
pub enum OptionKind<T: 'static> {
    /// `true` or `false`.
    Flag(fn(&mut T, bool)),
    /// `true`, `false` or `"auto"`, which is `None`.
    FlagOrAuto(fn(&mut T, Option<bool>)),
    /// `true`, `false` or a local path.
    FlagOrPath(fn(&mut T, bool), fn(&mut T, &str)),
    /// A small whole number in a range.
    Count(RangeInclusive<u16>, fn(&mut T, u16)),
    /// A small whole number in a range, or `"auto"`, which is `None`.
    CountOrAuto(RangeInclusive<u16>, fn(&mut T, Option<u16>)),
    /// A whole number in a range.
    Number(RangeInclusive<u64>, fn(&mut T, u64)),
    /// A number of bytes, such as 4096 or `"64MiB"`.
    Size(fn(&mut T, u64)),
    /// Bytes per second, such as `"2MiB"`; 0 is `None`.
    Rate(fn(&mut T, Option<u64>)),
    /// A duration, such as `"90s"`.
    Duration(fn(&mut T, Duration)),
    /// A duration in a range.
    DurationIn(RangeInclusive<Duration>, fn(&mut T, Duration)),
    /// One of several words, each with its effect.
    Choice(&'static [ChoiceWord<T>]),
    /// A string.
    Text(fn(&mut T, &str) -> Result<()>),
    /// A secret or a string, which is never shown; the text says what is wanted in place of anything else.
    Secret(&'static str, fn(&mut T, &str) -> Result<()>),
    /// A string or an array of strings.
    Texts(fn(&mut T, Vec<String>)),
    /// A word, or a map of strings; as a string `"key=value,key=value"`. The value of a word is empty.
    Pairs(PairsSetter<T>),
    /// A string or an array of strings, which are checked.
    EachText(fn(&mut T, &[String]) -> Result<()>),
    /// An IP address.
    Address(fn(&mut T, IpAddr)),
    /// Ports, such as 21, `"50000-50009"` or an array of such.
    Ports(PortsSetter<T>),
    /// A value that its family reads itself.
    Own,
}

/// Returns the pairs in a text such as `key=value,key=value`; a word alone has an empty value.
pub fn parse_pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (key.trim().to_owned(), value.trim().to_owned())
    };
    text.split(',').map(pair).collect()
}

/// A flag of the command line. Texts are empty where there is nothing to say.
#[derive(Debug, Clone, Copy)]
pub struct OptionFlag {
    /// The name without dashes; empty if the option has no flag. That of an option which is on by default begins with
    /// `no-`: it turns it off.
    pub name: &'static str,
    /// The help text.
    pub help: &'static str,
    /// The name of the value in the help, if it is not that of its kind.
    pub value_name: &'static str,
    /// A second name.
    pub alias: &'static str,
    /// The choice that the flag selects; such a flag takes no value.
    pub word: &'static str,
    /// The key with which it cannot be used.
    pub conflict: &'static str,
    /// The only command of several that has it.
    pub command: &'static str,
}

impl OptionFlag {
    const NONE: Self =
        Self { name: "", help: "", value_name: "", alias: "", word: "", conflict: "", command: "" };
}

impl<T> OptionRow<T> {
    /// Defines an option without a default and without a flag.
    pub const fn new(key: &'static str, kind: OptionKind<T>, manual: &'static str) -> Self {
        Self { key, kind, usual: "", manual, flag: OptionFlag::NONE }
    }

    /// Adds the default, as a user would write it.
    pub const fn usual(mut self, text: &'static str) -> Self {
        self.usual = text;
        self
    }

    /// Adds a flag with that name and help text.
    pub const fn flag(mut self, name: &'static str, help: &'static str) -> Self {
        self.flag = OptionFlag { name, help, ..OptionFlag::NONE };
        self
    }

    /// Names the value of the flag.
    pub const fn value_name(mut self, name: &'static str) -> Self {
        self.flag.value_name = name;
        self
    }

    /// Adds a second name of the flag.
    pub const fn alias(mut self, name: &'static str) -> Self {
        self.flag.alias = name;
        self
    }

    /// Lets the flag stand for one word of a choice.
    pub const fn for_word(mut self, word: &'static str) -> Self {
        self.flag.word = word;
        self
    }

    /// Forbids the flag together with that of another option.
    pub const fn not_with(mut self, key: &'static str) -> Self {
        self.flag.conflict = key;
        self
    }

    /// Restricts the flag to one of the commands that take the options.
    pub const fn only_for(mut self, command: &'static str) -> Self {
        self.flag.command = command;
        self
    }

    /// Returns the values that are accepted, and the default, for the manual: `"auto"; or "active"`.
    fn values(&self) -> String {
        let quoted = |word: &str| {
            let is_bare = matches!(word, "true" | "false") || word.parse::<u64>().is_ok();
            if is_bare { word.to_owned() } else { format!("\"{word}\"") }
        };
        let usual = if self.usual.is_empty() { Vec::new() } else { vec![quoted(self.usual)] };
        let others = match &self.kind {
            OptionKind::Choice(words) => {
                let words = words.iter().map(|(word, _)| *word).filter(|word| *word != self.usual);
                words.map(quoted).collect::<Vec<_>>().join(", ")
            }
            OptionKind::FlagOrAuto(_) if usual.is_empty() => "true, false, \"auto\"".to_owned(),
            OptionKind::FlagOrAuto(_) => "true, false".to_owned(),
            OptionKind::Count(range, _) => format!("{} to {}", range.start(), range.end()),
            OptionKind::CountOrAuto(range, _) => {
                format!("{} to {}, \"auto\"", range.start(), range.end())
            }
            _ => String::new(),
        };
        let others = (!others.is_empty()).then_some(others);
        usual.into_iter().chain(others).collect::<Vec<_>>().join("; ")
    }

    /// Returns the paragraph of the manual: "`retries` (4; 0 to 20): retries of a file after a temporary error".
    pub fn paragraph(&self) -> String {
        let Self { key, manual, .. } = self;
        let values = self.values();
        let values = if values.is_empty() { values } else { format!(" ({values})") };
        format!("`{key}`{values}: {manual}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_has_the_key_the_default_and_the_values() {
        let row = |kind| OptionRow::<u16>::new("speed", kind, "its text");
        for (row, paragraph) in [
            (row(OptionKind::Own), "`speed`: its text"),
            (row(OptionKind::Flag(|_, _| {})).usual("true"), "`speed` (true): its text"),
            (row(OptionKind::Duration(|_, _| {})).usual("15s"), "`speed` (\"15s\"): its text"),
            (row(OptionKind::Size(|_, _| {})).usual("100"), "`speed` (100): its text"),
            (row(OptionKind::Count(1..=4, |_, _| {})).usual("2"), "`speed` (2; 1 to 4): its text"),
            (
                row(OptionKind::CountOrAuto(1..=4, |_, _| {})),
                "`speed` (1 to 4, \"auto\"): its text",
            ),
            (
                row(OptionKind::Choice(&[("slow", |_| {}), ("fast", |_| {})])).usual("fast"),
                "`speed` (\"fast\"; \"slow\"): its text",
            ),
        ] {
            assert_eq!(row.paragraph(), paragraph);
        }
    }
}
