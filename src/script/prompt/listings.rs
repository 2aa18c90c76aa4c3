//! The commands of the prompt that list, as pieces of script.

use super::{
    shortcuts::ShortcutStep,
    shown::{ListForm, ListOrder},
    transfers::{expression, has_pattern},
    words::{PromptWord, literal},
};
use crate::error::{Error, Result};

/// Splits words into the letters of their flags and the operands; `known` are the flags with their long names.
fn flags<'w>(
    name: &str,
    known: &[(char, &str)],
    words: &'w [PromptWord],
) -> Result<(Vec<char>, Vec<&'w PromptWord>)> {
    let (mut letters, mut operands) = (Vec::new(), Vec::new());
    for word in words {
        let flag = word.text.strip_prefix('-').filter(|rest| !rest.is_empty() && !word.is_quoted);
        let Some(flag) = flag else {
            operands.push(word);
            continue;
        };
        let is_known = |letter: &char| known.iter().any(|(one, _)| one == letter);
        let long = flag.strip_prefix('-');
        let found: Vec<char> = match long {
            Some(long) => {
                known.iter().filter(|(_, full)| *full == long).map(|(one, _)| *one).collect()
            }
            None => flag.chars().filter(is_known).collect(),
        };
        let wanted = if long.is_some() { 1 } else { flag.chars().count() };
        if found.len() < wanted {
            let known: Vec<_> = known.iter().map(|(one, _)| format!("-{one}")).collect();
            let message =
                format!("`{name}` has no option {}; it has {}", word.text, known.join(", "));
            return Err(Error::invalid(message));
        }
        letters.extend(found);
    }
    if operands.len() > 1 {
        let message = format!("`{name}` takes one folder; names with spaces stand in quotes");
        return Err(Error::invalid(message));
    }
    Ok((letters, operands))
}

/// Lists a folder, all below it, or what matches.
pub(super) fn ls(words: &[PromptWord]) -> Result<ShortcutStep> {
    const FLAGS: &[(char, &str)] = &[
        ('l', "long"),
        ('a', "all"),
        ('h', "human-readable"),
        ('R', "recursive"),
        ('t', "sort=time"),
        ('S', "sort=size"),
        ('r', "reverse"),
        ('1', "names"),
    ];
    let (letters, operands) = flags("ls", FLAGS, words)?;
    let has = |letter| letters.contains(&letter);
    let form = ListForm {
        order: match (has('t'), has('S')) {
            (true, _) => ListOrder::Time,
            (_, true) => ListOrder::Size,
            _ => ListOrder::Name,
        },
        is_reversed: has('r'),
        is_long: has('l'),
        is_human: has('h'),
        names_only: has('1'),
    };
    let place = operands.first().map_or(".", |word| word.text.as_str());
    let script = match operands.first() {
        // Without a flag the paths alone, as in a shell.
        Some(word) if has_pattern(word) && letters.is_empty() => {
            format!("site.glob({})", literal(place))
        }
        Some(word) if has_pattern(word) => matching(place),
        _ if has('R') => format!("site.find({})", literal(place)),
        _ => format!("site.list({})", literal(place)),
    };
    Ok(ShortcutStep::List(script, form))
}

/// Returns the script for what matches a pattern: with sizes and times if only the last name in it has wildcards.
fn matching(pattern: &str) -> String {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let is_plain = |text: &str, marks: &[char]| !text.contains(marks);
    if is_plain(folder, &['*', '?', '[', '{', '\\'])
        && is_plain(name, &['[', '{', '\\'])
        && !name.contains("**")
    {
        let folder = if folder.is_empty() { "/" } else { folder };
        let (folder, expression) = (literal(folder), literal(&expression(name)));
        return format!("site.list({folder}).filter(|entry| entry.name.matches({expression}))");
    }
    format!("site.glob({})", literal(pattern))
}

/// Adds up the bytes below each directory of a folder.
pub(super) fn du(words: &[PromptWord]) -> Result<ShortcutStep> {
    const FLAGS: &[(char, &str)] =
        &[('h', "human-readable"), ('H', "human-readable"), ('s', "summarize")];
    let (letters, operands) = flags("du", FLAGS, words)?;
    let folder = literal(operands.first().map_or(".", |word| word.text.as_str()));
    let is_human = letters.contains(&'h') || letters.contains(&'H');
    let size = |value: &str| {
        if is_human { format!("format_size({value})") } else { value.to_owned() }
    };
    let each = if letters.contains(&'s') {
        String::new()
    } else {
        let size = size("sums[name]");
        format!("for name in sums.keys() {{ print({size} + \"\\t\" + name); }}")
    };
    let all = size("all");
    Ok(ShortcutStep::Script(format!(
        "{{ let top = {folder}; let sums = #{{}}; let all = 0; \
         for entry in site.find(top) {{ if entry.kind == \"file\" && entry.size != () {{ \
             let name = entry.path; all += entry.size; \
             if name.starts_with(top + \"/\") {{ name = name.sub_string(top.len() + 1); }} \
             let parts = name.split(\"/\"); \
             if parts.len() > 1 {{ let first = parts[0] + \"/\"; \
                 if !(first in sums) {{ sums[first] = 0; }} sums[first] += entry.size; }} }} }} \
         {each} print({all} + \"\\t\" + top); }}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::prompt::words;

    fn words_of(line: &str) -> Vec<PromptWord> {
        words::split(line).unwrap()
    }

    #[test]
    fn flags_may_be_joined_long_or_after_the_folder() {
        let form = |line: &str| match ls(&words_of(line)).unwrap() {
            ShortcutStep::List(script, form) => (script, form),
            other => panic!("{other:?}"),
        };
        let wanted = ListForm {
            order: ListOrder::Time,
            is_reversed: true,
            is_long: true,
            is_human: true,
            names_only: false,
        };
        let script = r#"site.list("pub")"#.to_owned();
        assert_eq!(form("-lhtr pub"), (script.clone(), wanted));
        assert_eq!(form("pub --long -h --sort=time --reverse"), (script, wanted));
        assert_eq!(form("'-l'").0, r#"site.list("-l")"#);
    }

    #[test]
    fn what_is_no_flag_is_named_with_those_that_are() {
        for (line, wanted) in [
            ("-lz", "`ls` has no option -lz; it has -l, -a, -h, -R, -t, -S, -r, -1"),
            ("--lon", "`ls` has no option --lon; it has -l"),
            ("a b", "`ls` takes one folder"),
        ] {
            let fault = ls(&words_of(line)).unwrap_err();
            assert!(fault.message.starts_with(wanted), "{fault}");
        }
    }
}
