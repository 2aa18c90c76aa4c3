//! The part of Rust's syntax that the rules need: code without comments and literals, and its imports.

use std::collections::BTreeSet;

/// Returns the code only: comments and quoted text become blanks, and lines stay where they are.
pub(super) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = chars.as_slice();
    while let Some(first) = rest.first() {
        let words = comment(rest).or_else(|| quoted(rest, before));
        if let Some(length) = words {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            code.extend(rest.iter().take(length).map(blank));
        } else {
            code.push(*first);
        }
        before = Some(*first);
        rest = rest.get(words.unwrap_or(1)..).unwrap_or_default();
    }
    code
}

/// Returns the length of the comment that begins here.
fn comment(text: &[char]) -> Option<usize> {
    match text {
        ['/', '/', ..] => Some(text.iter().position(|c| *c == '\n').unwrap_or(text.len())),
        ['/', '*', ..] => {
            let mut depth = 0;
            let mut at = 0;
            loop {
                match text.get(at..) {
                    Some(['/', '*', ..]) => (depth, at) = (depth + 1, at + 2),
                    Some(['*', '/', ..]) => (depth, at) = (depth - 1, at + 2),
                    Some([_, ..]) => at += 1,
                    _ => return Some(text.len()),
                }
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => None,
    }
}

/// Returns the length of the string or character that begins here, its quotes included.
fn quoted(text: &[char], before: Option<char>) -> Option<usize> {
    match text {
        ['"', ..] => Some(escaped(text, '"')),
        ['\'', '\\', ..] => Some(escaped(text, '\'')),
        // A lifetime has no second quote after its first character.
        ['\'', _, '\'', ..] => Some(3),
        ['r', '"' | '#', ..] if before.is_none_or(|c| !is_word(c) || c == 'b' || c == 'c') => {
            raw(text)
        }
        _ => None,
    }
}

fn escaped(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(c) = text.get(at) {
        at += if *c == '\\' { 2 } else { 1 };
        if *c == quote {
            break;
        }
    }
    at.min(text.len())
}

fn raw(text: &[char]) -> Option<usize> {
    let hashes = text.iter().skip(1).take_while(|c| **c == '#').count();
    // `r#type` is a name.
    if text.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let begin = hashes + 2;
    let length = text.get(begin..)?.windows(end.len()).position(|part| part == end)?;
    Some(begin + length + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the code without everything under `#[cfg(test)]`.
pub(super) fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept += before;
        let end = after.find(['{', ';']).unwrap_or(after.len());
        let (head, tail) = after.split_at(end);
        let body = if tail.starts_with('{') { group(tail).len() + 2 } else { tail.len().min(1) };
        let (gone, left) = after.split_at((head.len() + body).min(after.len()));
        kept.extend(gone.chars().filter(|c| *c == '\n'));
        rest = left;
    }
    kept + rest
}

/// Returns the text between the brace that `text` begins with and the matching one.
fn group(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(1..at).unwrap_or_default();
        }
    }
    text.get(1..).unwrap_or_default()
}

/// Returns the first segment of every path that begins at `root::`, those of `root::{a::b, c}` included.
pub(super) fn named_under(code: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let before = code.get(..at).unwrap_or_default().chars().next_back();
        if before.is_some_and(is_word) {
            continue;
        }
        let after = code.get(at + root.len()..).unwrap_or_default().trim_start();
        if let Some(after) = after.strip_prefix("::") {
            let after = after.trim_start();
            if after.starts_with('{') {
                names.extend(parts(group(after)).map(first_word));
            } else {
                names.insert(first_word(after));
            }
        }
    }
    names.remove("");
    names
}

/// Returns the top-level items of a list that is separated by commas.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    list.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

/// Returns the path of every import, those of grouped imports one by one.
pub(super) fn imports(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("use ") {
        rest = after;
        if before.chars().next_back().is_some_and(is_word) {
            continue;
        }
        let import = after.split(';').next().unwrap_or_default();
        paths.extend(expanded(import).map(|path| {
            path.split("::").map(first_word).filter(|part| !part.is_empty()).collect()
        }));
    }
    paths
}

/// Returns the paths of one import without groups.
fn expanded(import: &str) -> Box<dyn Iterator<Item = String> + '_> {
    let Some((root, _)) = import.split_once('{') else {
        return Box::new(std::iter::once(import.to_owned()));
    };
    let inside = import.get(root.len()..).map(group).unwrap_or_default();
    let inside = parts(inside).filter(|part| !part.trim().is_empty()).flat_map(expanded);
    Box::new(inside.map(move |part| format!("{root}{}", part.trim_start())))
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

/// Returns every word of the code.
pub(super) fn words(code: &str) -> BTreeSet<&str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect()
}

#[test]
fn words_in_comments_and_quotes_are_no_code() {
    let text = r##"
// crate::a
/* crate::b /* crate::c */ crate::d */ use crate::yes; /// crate::e
let s = "crate::f \" crate::g"; let c = '"'; let l: &'static str = r#"crate::h " "#;
let b = br"\"; let e = '\''; let r#type = crate::too;
"##;
    let code = code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(named_under(&code, "crate"), ["too", "yes"].map(str::to_owned).into());
}

#[test]
fn grouped_imports_are_read_part_by_part() {
    let names = named_under(
        "use crate::{fault::{Fault, Kind}, limits, ftp::path::{a, b}}; mycrate::no; crate ::  x::y",
        "crate",
    );
    assert_eq!(names, ["fault", "ftp", "limits", "x"].map(str::to_owned).into());
}

#[test]
fn imports_are_whole_paths() {
    let code = "pub use a::b; use crate::{\n    c::{self, d as e},\n    f,\n}; let abuse = 1; use super::*;";
    let paths: Vec<_> = imports(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "crate::c::self", "crate::c::d", "crate::f", "super"]);
}

#[test]
fn what_is_under_cfg_test_is_taken_out_and_nothing_else() {
    let code = "a\n#[cfg(test)]\nmod tests {\n fn f() { {} }\n}\nb\n#[cfg(test)]\nmod more;\nc";
    assert_eq!(without_tests(code).split_whitespace().collect::<String>(), "abc");
    assert_eq!(without_tests(code).lines().count(), code.lines().count());
    assert_eq!(words("use a_b::{c1};"), ["a_b", "c1", "use"].into());
}
