//! Hazard numbers: each one that a comment or a test's name cites is explained in `docs/hazards.md`.

use std::{collections::BTreeSet, ffi::OsStr, path::Path};

use super::{Source, assert_none, read, sources};

/// Returns a number such as `S49`, if `word` is one of the kind `letter`.
fn number(word: &str, letter: char) -> Option<String> {
    let digits = word.strip_prefix(letter)?;
    let is_number =
        (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.to_owned())
}

/// Returns the numbers that `text` cites. Classes and rules follow their noun, since `C1` and `L8` mean other things as
/// well.
fn cited(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut kind = None;
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        match word {
            "class" | "classes" => kind = Some('C'),
            "rule" | "rules" => kind = Some('L'),
            "" | "and" | "to" => continue,
            _ => {
                let listed = kind.and_then(|letter| number(word, letter));
                kind = kind.filter(|_| listed.is_some());
                found.extend(listed);
                found.extend(number(word, 'S').filter(|number| number.len() == 3));
                found.extend(number(word, 'R'));
            }
        }
        let case = word.split_once('_').and_then(|(first, _)| {
            let first = first.to_ascii_uppercase();
            number(&first, 'S').filter(|number| number.len() == 3).or_else(|| number(&first, 'R'))
        });
        found.extend(case);
    }
    found
}

/// Returns the numbers that have an entry: `- S49: …`, or `**C15: …`.
fn explained(page: &str) -> BTreeSet<String> {
    let entries = page.lines().filter_map(|line| {
        let entry = line.strip_prefix("- ").or_else(|| line.strip_prefix("**"))?;
        Some(entry.split_once(':')?.0.to_owned())
    });
    entries.collect()
}

fn unexplained(source: &Source, known: &BTreeSet<String>) -> Vec<String> {
    let missing = cited(&source.text).into_iter().filter(|number| !known.contains(number));
    missing
        .map(|number| format!("{}: {number} has no entry in docs/hazards.md", source.path))
        .collect()
}

#[test]
fn every_cited_hazard_is_explained() {
    let known = explained(&read("docs/hazards.md"));
    assert!(known.len() > 100, "{known:?}");
    let sources = ["src", "crates", "tests"].iter().flat_map(|folder| sources(folder));
    let sources =
        sources.filter(|source| Path::new(&source.path).extension() == Some(OsStr::new("rs")));
    let all = sources.filter(|source| !source.path.ends_with("tidy/hazards.rs"));
    assert_none(&all.flat_map(|source| unexplained(&source, &known)).collect::<Vec<_>>());
}

#[test]
fn citations_are_found_and_other_words_are_not() {
    let all = |text: &str| cited(text).into_iter().collect::<Vec<_>>().join(" ");
    for (text, numbers) in [
        ("(class C15)", "C15"),
        ("security classes C9 to C11", "C11 C9"),
        ("rules L5 and L9, and S60 of the list", "L5 L9 S60"),
        ("fn s49_a_listing_of_another_folder()", "S49"),
        ("fn r4_no_cut_listing_deletes()", "R4"),
        ("control characters (C0 and C1), Type: L8, S3, SHA1, R2D2", ""),
    ] {
        assert_eq!(all(text), numbers, "{text}");
    }
    let known = explained("**C15: truncation.**\n\n- S36: SIZE says 100.\n");
    assert!(unexplained(&Source::new("a", "class C15, S36"), &known).is_empty());
    assert_eq!(
        unexplained(&Source::new("a", "S99"), &known),
        ["a: S99 has no entry in docs/hazards.md"]
    );
}
