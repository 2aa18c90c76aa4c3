//! The options of commands at the prompt: the flags of the one-shot commands, by the same rows, as options of the script
//! functions.

use std::collections::BTreeMap;

use super::words::{PromptWord, literal};
use crate::{
    error::{Error, Result},
    option_table::{OptionKind, OptionRow, OptionTable},
    similar::nearest,
};

/// A flag of a command that is no option of its script function: its name, and all its spellings.
pub(super) type OwnFlag = (&'static str, &'static [&'static str]);

/// The words of a command, told apart.
#[derive(Debug, Default)]
pub(super) struct ShortcutWords {
    /// The options, as pairs of a key and a literal of the script.
    options: BTreeMap<&'static str, String>,
    /// The flags of the command itself that were given.
    own: Vec<&'static str>,
    /// The words that are no options.
    pub(super) operands: Vec<PromptWord>,
}

impl ShortcutWords {
    /// Returns true if the flag `name` of the command itself was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.own.contains(&name)
    }

    /// Returns the literal of the option `key`.
    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// Returns the options as a literal of a map.
    pub(super) fn map(&self) -> String {
        let pairs = self.options.iter().map(|(key, value)| format!("\"{key}\": {value}"));
        format!("#{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
    }

    /// Returns the options as a further argument of a function; empty if there are none.
    pub(super) fn argument(&self) -> String {
        if self.options.is_empty() { String::new() } else { format!(", {}", self.map()) }
    }
}

/// Returns the flags of `command` with their help, one per line.
pub(super) fn flags<T>(command: &str, table: &OptionTable<T>) -> String {
    let is_for = |row: &&OptionRow<T>| {
        !row.flag.name.is_empty() && (row.flag.command.is_empty() || row.flag.command == command)
    };
    let line = |row: &OptionRow<T>| format!("\n  --{:20}  {}", row.flag.name, row.flag.help);
    table.rows.iter().filter(is_for).map(line).collect()
}

/// Reads the `words` of `command`, which takes the options of `table` and its `own` flags. `short` are further names of
/// flags of the table.
pub(super) fn read<T>(
    command: &str,
    table: &OptionTable<T>,
    own: &[OwnFlag],
    short: &[(&str, &str)],
    words: &[PromptWord],
) -> Result<ShortcutWords> {
    let mut found = ShortcutWords::default();
    let mut words = words.iter();
    let mut may_be_flag = true;
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if !may_be_flag || word.is_quoted || !text.starts_with('-') || text == "-" {
            found.operands.push(word.clone());
            continue;
        }
        if text == "--" {
            may_be_flag = false;
            continue;
        }
        if let Some((name, _)) = own.iter().find(|(_, spellings)| spellings.contains(&text)) {
            found.own.push(name);
            continue;
        }
        let (name, given) = text.split_once('=').map_or((text, None), |(a, b)| (a, Some(b)));
        let name = short.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
        let row = row_of(command, table, name).ok_or_else(|| unknown(command, table, own, name))?;
        let next = match given {
            None if takes_value(row) => Some(words.next().ok_or_else(|| {
                Error::invalid(format!("{name} wants a value, as in {name}=VALUE"))
            })?),
            _ => None,
        };
        let given = given.or_else(|| next.map(|word| word.text.as_str()));
        let value = value(row, name, given, found.options.get(row.key).map(String::as_str))?;
        found.options.insert(row.key, value);
    }
    Ok(found)
}

/// Returns the rows of `command` that have a flag.
fn rows<'t, T>(
    command: &'t str,
    table: &'t OptionTable<T>,
) -> impl Iterator<Item = &'t OptionRow<T>> {
    let is_for = move |only: &str| only.is_empty() || only == command;
    table.rows.iter().filter(move |row| !row.flag.name.is_empty() && is_for(row.flag.command))
}

fn row_of<'t, T>(
    command: &'t str,
    table: &'t OptionTable<T>,
    name: &str,
) -> Option<&'t OptionRow<T>> {
    let name = name.strip_prefix("--")?;
    let is_it = |row: &&OptionRow<T>| {
        row.flag.name == name || (!row.flag.alias.is_empty() && row.flag.alias == name)
    };
    rows(command, table).find(is_it)
}

fn unknown<T>(command: &str, table: &OptionTable<T>, own: &[OwnFlag], name: &str) -> Error {
    let flags = rows(command, table).map(|row| format!("--{}", row.flag.name));
    let own = own.iter().flat_map(|(_, spellings)| spellings.iter().map(|one| (*one).to_owned()));
    let known: Vec<_> = flags.chain(own).collect();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let advice = match nearest(name, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("it has {}", known.join(", ")),
    };
    Error::invalid(format!("`{command}` has no option {name}; {advice}"))
}

/// Returns true if a value must follow the flag of `row`.
const fn takes_value<T>(row: &OptionRow<T>) -> bool {
    match row.kind {
        OptionKind::Flag(_) | OptionKind::FlagOrAuto(_) => false,
        OptionKind::Choice(_) => row.flag.word.is_empty(),
        _ => true,
    }
}

/// Returns the literal of the script for a flag with the `given` value; `before` is that of the same flag before it.
fn value<T>(
    row: &OptionRow<T>,
    name: &str,
    given: Option<&str>,
    before: Option<&str>,
) -> Result<String> {
    let wants_none = |value: String| match given {
        None => Ok(value),
        Some(_) => Err(Error::invalid(format!("{name} takes no value"))),
    };
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| literal(text), |n| n.to_string());
    let text = given.unwrap_or_default();
    Ok(match &row.kind {
        OptionKind::Flag(_) if !row.usual.is_empty() => {
            return wants_none((row.usual == "false").to_string());
        }
        OptionKind::Flag(_) | OptionKind::FlagOrAuto(_) => match given.unwrap_or("true") {
            word @ ("true" | "false") => word.to_owned(),
            word => literal(word),
        },
        OptionKind::Choice(_) if !row.flag.word.is_empty() => {
            return wants_none(literal(row.flag.word));
        }
        OptionKind::Choice(_) => literal(&text.replace('-', "_")),
        OptionKind::Count(..) | OptionKind::CountOrAuto(..) | OptionKind::Number(..) => {
            number(text)
        }
        OptionKind::Texts(_) => joined(before, [text]),
        OptionKind::EachText(_) => joined(before, text.split(',')),
        _ => literal(text),
    })
}

/// Adds `texts` to the literal of an array.
fn joined<'t>(before: Option<&str>, texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<_> = texts.into_iter().map(literal).collect();
    match before.and_then(|array| array.strip_suffix(']')) {
        Some(array) => format!("{array}, {}]", texts.join(", ")),
        None => format!("[{}]", texts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ftp::transfer, mirror, script::prompt::words};

    const OWN: &[OwnFlag] = &[("recursive", &["-r", "-R", "--recursive"])];

    fn get(line: &str) -> Result<ShortcutWords> {
        read("get", &transfer::OPTIONS, OWN, &[], &words::split(line).unwrap())
    }

    fn mirror(line: &str) -> String {
        read("mirror", &mirror::OPTIONS, OWN, &[("-n", "--dry-run")], &words::split(line).unwrap())
            .unwrap()
            .map()
    }

    #[test]
    fn flags_become_options_wherever_they_stand() {
        let found = get("a.csv --resume -r b 'it --x' -- --c").unwrap();
        assert_eq!(found.map(), r#"#{ "resume": true }"#);
        assert!(found.has("recursive"));
        let operands: Vec<_> = found.operands.iter().map(|word| &*word.text).collect();
        assert_eq!(operands, ["a.csv", "b", "it --x", "--c"]);
        assert_eq!(get("a").unwrap().argument(), "");
        for (line, wanted) in [
            ("a b -n --delete", r#"#{ "delete": true, "dry_run": true }"#),
            (
                "--exclude '*.map' a --exclude=.git/ b --parallel auto",
                r#"#{ "exclude": ["*.map", ".git/"], "parallel": "auto" }"#,
            ),
            (
                "a b --max-delete 5 --compare size-time",
                r#"#{ "compare": "size_time", "max_delete": 5 }"#,
            ),
        ] {
            assert_eq!(mirror(line), wanted, "{line}");
        }
    }

    #[test]
    fn every_flag_of_the_command_line_is_known() {
        for row in rows("mirror", &mirror::OPTIONS) {
            let flag = format!("--{}", row.flag.name);
            let value = if takes_value(row) { "1" } else { "" };
            assert!(mirror(&format!("a b {flag} {value}")).contains(row.key), "{flag}");
        }
    }

    #[test]
    fn a_wrong_option_is_answered_with_the_nearest() {
        for (line, said) in [
            ("a --resum", "`get` has no option --resum; did you mean --resume?"),
            ("a --retries", "--retries wants a value, as in --retries=VALUE"),
            ("a -x", "`get` has no option -x; it has"),
        ] {
            let fault = get(line).unwrap_err();
            assert!(fault.message.contains(said), "{line}: {fault}");
        }
    }
}
