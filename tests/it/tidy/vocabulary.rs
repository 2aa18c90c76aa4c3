//! The vocabulary: first words of doc comments, one meaning for each type name, and names that were given up
//! (`docs/GLOSSARY.md`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Source, assert_none, library, rust, sources};

/// Words that make a relative clause of the first sentence of a doc comment, where a verb or a noun is wanted.
const OPENERS: [&str; 15] = [
    "What", "How", "Where", "Who", "Whose", "Whom", "Why", "When", "Which", "Whether", "So",
    "Nothing", "Nobody", "Somebody", "Whoever",
];

fn openers(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut is_inside = false;
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim_start();
        let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(text) = text
            && !is_inside
        {
            let word: String =
                text.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
            if OPENERS.contains(&word.as_str()) {
                let place = format!("{}:{}", source.path, number + 1);
                complaints.push(format!("{place}: a doc comment begins with `{word}`"));
            }
        }
        is_inside = text.is_some();
    }
    complaints
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    let sources = ["src", "crates", "tests/it", "benches", "fuzz/fuzz_targets"].map(sources);
    let is_rust = |source: &&Source| {
        Path::new(&source.path).extension().is_some_and(|extension| extension == "rs")
    };
    let rust = sources.iter().flatten().filter(is_rust);
    assert_none(&rust.flat_map(openers).collect::<Vec<_>>());
}

#[test]
fn a_relative_clause_at_the_start_of_a_doc_comment_is_found() {
    for (text, count) in [
        ("/// What is done.\nfn a() {}", 1),
        ("//! How it works.\n", 1),
        ("/// Returns a number.\n/// What it means is open.\nfn a() {}", 0),
        ("// What a plain comment says.\n", 0),
        ("/// Whatever comes is taken.\nfn a() {}", 0),
        ("    /// Where it is.\n    x: u8,\n    /// Whether it is.\n    y: u8,", 2),
    ] {
        assert_eq!(openers(&Source::new("a.rs", text)).len(), count, "{text}");
    }
}

/// The types that a file declares, without those that belong to a trait.
fn types(source: &Source) -> Vec<String> {
    let code = rust::code(&source.text);
    let mut found = Vec::new();
    for line in code.lines() {
        let is_item = !line.starts_with(' ');
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            let rest = rest
                .strip_prefix('(')
                .and_then(|rest| rest.split_once(')'))
                .map_or(rest, |(_, rest)| rest);
            rest.trim_start()
        });
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        let is_type =
            matches!(kind, "struct" | "enum" | "trait" | "union") || kind == "type" && is_item;
        let name: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if is_type && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            found.push(name);
        }
    }
    found
}

/// Type names that are declared more than once. The list only shrinks; clap's `Args` is one for each command.
const DOUBLES: &[&str] = &["Args"];

#[test]
fn a_type_name_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in library() {
        for name in types(&source) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    let doubles: BTreeMap<_, _> = places.iter().filter(|(_, paths)| paths.len() > 1).collect();
    let known: BTreeSet<&str> = DOUBLES.iter().copied().collect();
    let mut complaints: Vec<_> = doubles
        .iter()
        .filter(|(name, _)| !known.contains(name.as_str()))
        .map(|(name, paths)| format!("`{name}` is declared in {}", paths.join(", ")))
        .collect();
    let gone = known.iter().filter(|name| !doubles.contains_key(&(**name).to_owned()));
    complaints
        .extend(gone.map(|name| format!("`{name}` is no double any more: take it off the list")));
    assert_none(&complaints);
}

/// Type names that said too little or were declared several times (`docs/GLOSSARY.md` has what they are called now).
const RETIRED: &[&str] = &[
    "Account",
    "Act",
    "Active",
    "Ahead",
    "Answer",
    "Arrived",
    "Aside",
    "Attempt",
    "Base",
    "BaseMemory",
    "Became",
    "Behind",
    "Bench",
    "Board",
    "Book",
    "Bounds",
    "Breach",
    "Bytes",
    "Called",
    "Caps",
    "Certificate",
    "Change",
    "Claim",
    "Command",
    "Context",
    "Control",
    "Counts",
    "Crew",
    "Cut",
    "Data",
    "Detour",
    "Device",
    "Doing",
    "Door",
    "Doors",
    "Early",
    "Encoding",
    "End",
    "Ended",
    "Ends",
    "Facts",
    "Failed",
    "Failure",
    "Feed",
    "Fetched",
    "Fields",
    "Files",
    "Finding",
    "Form",
    "Format",
    "Give",
    "Ground",
    "Group",
    "Hand",
    "Haste",
    "Heading",
    "Held",
    "Here",
    "Hidden",
    "Identity",
    "Io",
    "JobState",
    "Kept",
    "Key",
    "Kind",
    "Known",
    "Ladder",
    "Landing",
    "Ledger",
    "Left",
    "Leftovers",
    "Level",
    "Line",
    "Lines",
    "Link",
    "Links",
    "Live",
    "Log",
    "Login",
    "Long",
    "Machine",
    "Manners",
    "Mark",
    "Marked",
    "Memory",
    "Moved",
    "Named",
    "Names",
    "Needs",
    "Note",
    "Notes",
    "Observer",
    "Opened",
    "Opening",
    "Openings",
    "Options",
    "Order",
    "Outcome",
    "Owner",
    "Pace",
    "Paces",
    "Page",
    "Pair",
    "Part",
    "Pieces",
    "Place",
    "Port",
    "Post",
    "Prepared",
    "Probe",
    "Protection",
    "Question",
    "Questions",
    "Read",
    "Reader",
    "Reading",
    "Reason",
    "Record",
    "Rival",
    "Root",
    "RouteMemory",
    "Row",
    "Rules",
    "Run",
    "RunDoors",
    "Running",
    "Scripted",
    "Security",
    "Seen",
    "Sent",
    "Server",
    "Setup",
    "Shared",
    "Side",
    "Sides",
    "Sight",
    "Size",
    "Source",
    "Stage",
    "Stamp",
    "Start",
    "State",
    "Stop",
    "Survey",
    "Table",
    "Tail",
    "Take",
    "Taken",
    "Text",
    "Tide",
    "Tls",
    "Told",
    "Tongue",
    "Tools",
    "Trial",
    "Tried",
    "Verdict",
    "Waiting",
    "Walk",
    "Wanted",
    "Watch",
    "Way",
    "Ways",
    "Weight",
    "Wire",
    "Wish",
    "Word",
    "Work",
];

#[test]
fn names_that_were_given_up_do_not_come_back() {
    let sources = library();
    let declared = sources
        .iter()
        .flat_map(|source| types(source).into_iter().map(move |name| (name, source.path.as_str())));
    let back = declared.filter(|(name, _)| RETIRED.contains(&name.as_str()));
    assert_none(&back.map(|(name, path)| format!("{path} declares `{name}`")).collect::<Vec<_>>());
}

#[test]
fn declarations_are_found_whatever_stands_before_them() {
    let text = "pub(in crate::a) struct One;\nenum Two {}\n  pub trait Three {}\ntype Four = u8;\n  type Item = u8;\n// struct Five;\nfn struct_six() {}\n";
    assert_eq!(types(&Source::new("a.rs", text)), ["One", "Two", "Three", "Four"]);
}
