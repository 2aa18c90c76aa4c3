//! The commands of a shell script, as far as they are plain: words, quotes, variables with a literal value. Pure; what
//! only a shell can know (substitutions, conditions, loops) is named as not read, and nothing is ever run.

use std::collections::BTreeMap;

/// The maximum length of a word after its variables were replaced: far more than an option of iptables has.
const WORD_LENGTH_MAX: usize = 1024;
/// The maximum number of variables.
const VARIABLES_MAX: usize = 256;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShellCommand {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Its text.
    pub(super) text: String,
    /// Its words, or the reason why they are not known.
    pub(super) words: Result<Vec<String>, &'static str>,
}

/// A character of a command that is no part of a word.
enum Separator {
    /// The next command runs in any case, or if this one succeeds.
    Next,
    /// The next command runs only if this one fails.
    Otherwise,
}

const SUBSTITUTION: &str = "its value is known to a shell only";
const PIPE: &str = "it feeds another program";
const CONDITIONAL: &str = "it runs only if the command before it fails";
const CONTROL: &str = "conditions, loops and functions are not read: give the lines themselves";
const LONG: &str = "a word of it is too long";
const QUOTE: &str = "a quote in it is not closed";
const UNKNOWN: &str = "a variable in it has no value in this file";

/// The words that begin a structure of the shell.
const STRUCTURES: [&str; 15] = [
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac",
    "function", "{", "}",
];

/// Reads the commands of a script, or of `iptables-save`.
pub(super) fn commands(text: &str) -> Vec<ShellCommand> {
    let mut reader = CommandReader {
        characters: text.chars().collect(),
        at: 0,
        line: 1,
        variables: BTreeMap::new(),
    };
    let mut found = Vec::new();
    let mut is_conditional = false;
    while reader.at < reader.characters.len() {
        let (command, separator) = reader.command();
        let was_conditional =
            std::mem::replace(&mut is_conditional, matches!(separator, Separator::Otherwise));
        let Some(mut command) = command else { continue };
        if was_conditional {
            command.words = match command.words {
                Ok(words)
                    if words.first().is_some_and(|word| ["true", ":"].contains(&word.as_str())) =>
                {
                    continue;
                }
                _ => Err(CONDITIONAL),
            };
        }
        found.push(command);
    }
    found
}

struct CommandReader {
    characters: Vec<char>,
    at: usize,
    line: usize,
    variables: BTreeMap<String, String>,
}

/// A command while it is read.
#[derive(Default)]
struct CommandWords {
    all: Vec<String>,
    /// The word that is being read; `None` between words.
    word: Option<String>,
    fault: Option<&'static str>,
}

impl CommandWords {
    fn push(&mut self, text: &str) {
        let word = self.word.get_or_insert_default();
        if word.len() + text.len() > WORD_LENGTH_MAX {
            self.fail(LONG);
        } else {
            word.push_str(text);
        }
    }

    /// Keeps the first reason.
    fn fail(&mut self, why: &'static str) {
        self.fault.get_or_insert(why);
    }

    fn end(&mut self) {
        self.all.extend(self.word.take());
    }
}

impl CommandReader {
    fn next(&mut self) -> Option<char> {
        let next = self.characters.get(self.at).copied();
        self.at += 1;
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    /// Reads up to the end of a command; `None` if there is none.
    fn command(&mut self) -> (Option<ShellCommand>, Separator) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
        let (line, begin) = (self.line, self.at);
        let mut words = CommandWords::default();
        let mut end = self.characters.len();
        let mut separator = Separator::Next;
        while let Some(character) = self.next() {
            match character {
                '\n' | ';' => {
                    end = self.at - 1;
                    break;
                }
                '&' if self.peek() == Some('&') => {
                    end = self.at - 1;
                    self.next();
                    break;
                }
                // A part of `2>&1`.
                '&' if words.word.as_ref().is_some_and(|word| word.ends_with('>')) => {
                    words.push("&");
                }
                '|' if self.peek() == Some('|') => {
                    end = self.at - 1;
                    self.next();
                    separator = Separator::Otherwise;
                    break;
                }
                '#' if words.word.is_none() => {
                    end = self.at - 1;
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.next();
                    }
                }
                _ => self.character(character, &mut words),
            }
        }
        words.end();
        let text: String =
            self.characters.get(begin..end.max(begin)).unwrap_or_default().iter().collect();
        (self.finish(line, text.trim(), words), separator)
    }

    fn character(&mut self, character: char, words: &mut CommandWords) {
        match character {
            '\\' => match self.next() {
                Some('\n') | None => words.end(),
                Some(next) => words.push(&next.to_string()),
            },
            '\'' => {
                words.push("");
                loop {
                    match self.next() {
                        Some('\'') => break,
                        Some(next) => words.push(&next.to_string()),
                        None => {
                            words.fail(QUOTE);
                            break;
                        }
                    }
                }
            }
            '"' => {
                words.push("");
                loop {
                    match self.next() {
                        Some('"') => break,
                        Some('\\') => {
                            let next = self.next().unwrap_or('\\');
                            words.push(&next.to_string());
                        }
                        Some(next) if next == '$' || next == '`' => self.variable(next, words),
                        Some(next) => words.push(&next.to_string()),
                        None => {
                            words.fail(QUOTE);
                            break;
                        }
                    }
                }
            }
            '$' | '`' => self.variable(character, words),
            '|' | '&' => words.fail(PIPE),
            '(' | ')' => words.fail(CONTROL),
            '>' => {
                // `2>` belongs to the file descriptor, `a>` begins a new word.
                if words
                    .word
                    .as_ref()
                    .is_some_and(|word| word.parse::<u8>().is_err() && word != ">")
                {
                    words.end();
                }
                words.push(">");
            }
            _ if character.is_whitespace() => words.end(),
            _ => words.push(&character.to_string()),
        }
    }

    /// Replaces `$NAME` and `${NAME}` by its literal value.
    fn variable(&mut self, sign: char, words: &mut CommandWords) {
        if sign == '`' || self.peek() == Some('(') {
            words.fail(SUBSTITUTION);
            return;
        }
        let has_braces = self.peek() == Some('{');
        if has_braces {
            self.next();
        }
        let mut name = String::new();
        while let Some(next) =
            self.peek().filter(|next| next.is_ascii_alphanumeric() || *next == '_')
        {
            name.push(next);
            self.next();
        }
        if has_braces && self.next() != Some('}') {
            words.fail(SUBSTITUTION);
            return;
        }
        match self.variables.get(&name).cloned() {
            // An unquoted value may have several words, such as a program with its option.
            Some(value) => {
                for (number, part) in value.split(' ').enumerate() {
                    if number > 0 {
                        words.end();
                    }
                    words.push(part);
                }
            }
            None => words.fail(UNKNOWN),
        }
    }

    fn finish(&mut self, line: usize, text: &str, mut words: CommandWords) -> Option<ShellCommand> {
        let text = text.to_owned();
        if words.all.first().is_some_and(|word| STRUCTURES.contains(&word.as_str())) {
            return Some(ShellCommand { line, text, words: Err(CONTROL) });
        }
        if let Some(fault) = words.fault {
            return Some(ShellCommand { line, text, words: Err(fault) });
        }
        // Output that is thrown away changes nothing.
        let mut is_redirect = false;
        words.all.retain(|word| {
            let is_target = std::mem::take(&mut is_redirect);
            let ends = [">/dev/null", "2>/dev/null", "2>&1", "&>/dev/null", ">&2"];
            let is_bare = ["2>", "2>>"].contains(&word.as_str());
            is_redirect = is_bare;
            !is_target && !is_bare && !ends.contains(&word.as_str())
        });
        if words.all.first().is_some_and(|word| word == "export" || word == "readonly") {
            words.all.remove(0);
        }
        while let Some((name, value)) = words.all.first().and_then(|word| assignment(word)) {
            if self.variables.len() < VARIABLES_MAX {
                self.variables.insert(name, value);
            }
            words.all.remove(0);
        }
        (!words.all.is_empty()).then_some(ShellCommand { line, text, words: Ok(words.all) })
    }
}

/// Returns the name and the value of `NAME=value`.
fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(text: &str) -> Vec<String> {
        let command = |command: ShellCommand| match command.words {
            Ok(words) => format!("{}:{}", command.line, words.join("|")),
            Err(why) => format!("{}!{why}", command.line),
        };
        commands(text).into_iter().map(command).collect()
    }

    #[test]
    fn plain_commands_are_parted_as_a_shell_parts_them() {
        for (text, wanted) in [
            ("a b; c 'd e' && f \"g h\"\n# x\ni # y", &["1:a|b", "1:c|d e", "1:f|g h", "3:i"][..]),
            (
                "WAN=eth0\nIPT=\"/sbin/iptables -w\"\n$IPT -o ${WAN} \"$WAN\"",
                &["3:/sbin/iptables|-w|-o|eth0|eth0"],
            ),
            ("a \\\n  b\nc >/dev/null 2>&1 || true\nd 2> /dev/null", &["1:a|b", "3:c", "4:d"]),
            ("echo 1 > /proc/x\necho 1 >/proc/y", &["1:echo|1|>|/proc/x", "2:echo|1|>/proc/y"]),
            ("A=b c", &["1:c"]),
            ("#!/bin/sh\n\n;;", &[]),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_only_a_shell_knows_is_not_guessed() {
        for (text, why) in [
            ("a $(reboot)", SUBSTITUTION),
            ("a `reboot`", SUBSTITUTION),
            ("a \"$(reboot)\"", SUBSTITUTION),
            ("a ${B:-c}", SUBSTITUTION),
            ("a $B", UNKNOWN),
            ("a | b", PIPE),
            ("a 'b", QUOTE),
            ("a \"b", QUOTE),
            ("if true", CONTROL),
            ("a || b", CONDITIONAL),
            (&"a".repeat(2000), LONG),
        ] {
            let told = told(text);
            assert!(told.iter().any(|one| one.ends_with(why)), "{text}: {told:?}");
        }
    }
}
