//! Words that must not occur.

use std::collections::BTreeSet;

use super::{Source, assert_none, library, sources};

/// Returns the marks of unfinished work, assembled here so that this file does not contain them.
fn marks() -> [String; 6] {
    [("to", "do!"), ("db", "g!"), ("TO", "DO"), ("FIX", "ME"), ("fix", "me"), ("XX", "X")]
        .map(|(one, other)| format!("{one}{other}"))
}

fn unfinished(source: &Source) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '!';
    let mut complaints = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let words: BTreeSet<&str> = line.split(|c| !is_word(c)).collect();
        for mark in marks().iter().filter(|mark| words.contains(mark.as_str())) {
            complaints.push(format!("{}:{}: {mark}", source.path, number + 1));
        }
    }
    complaints
}

#[test]
fn nothing_is_marked_as_unfinished() {
    let folders = ["src", "crates", "tests", "scripts", "examples", "benches", ".ci"];
    let sources = folders.iter().flat_map(|folder| sources(folder));
    assert_none(&sources.flat_map(|source| unfinished(&source)).collect::<Vec<_>>());
}

#[test]
fn every_mark_is_seen_as_a_word() {
    for mark in marks() {
        let told = unfinished(&Source::new("a", &format!("\n// {mark}: later")));
        assert_eq!(told, [format!("a:2: {mark}")]);
        assert!(unfinished(&Source::new("a", &format!("mk{mark}y"))).is_empty());
    }
}

/// Returns a complaint if the text would flush the rules of other programs.
fn flushes(source: &Source) -> Option<String> {
    let words: Vec<&str> = source.text.split_whitespace().collect();
    words
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one.ends_with("flush") && other.starts_with("ruleset")))
        .then(|| format!("{}: flushes rules that are not ours", source.path))
}

#[test]
fn no_rules_but_our_own_are_ever_flushed() {
    assert_none(&library().iter().filter_map(flushes).collect::<Vec<_>>());
}

#[test]
fn a_flush_is_seen_across_lines_and_in_quotes() {
    assert!(flushes(&Source::new("a", "\"flush\n  ruleset\"")).is_some());
    assert!(flushes(&Source::new("a", "flush table inet ours")).is_none());
}
