//! The project files: the changelog, the dependencies, the lints.

use std::path::Path;

use super::{assert_none, project, read};

/// Returns the problems of the changelog for this version.
fn unchanged(changes: &str, version: &str) -> Vec<String> {
    let headings: Vec<&str> = changes
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.trim_start_matches('['))
        .collect();
    let mut complaints = Vec::new();
    if !headings.first().is_some_and(|first| first.starts_with("Unreleased")) {
        complaints.push("CHANGELOG.md: does not begin with Unreleased".to_owned());
    }
    let is_it = |heading: &&str| {
        heading
            .strip_prefix(version)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([']', ' ']))
    };
    if !headings.iter().any(is_it) {
        complaints.push(format!("CHANGELOG.md: no heading for version {version}"));
    }
    complaints
}

#[test]
fn the_list_of_changes_knows_this_version() {
    assert_none(&unchanged(&read("CHANGELOG.md"), env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_version_without_a_heading_is_seen() {
    let changes = "# Changelog\n## [Unreleased]\n## [1.2.0] - 2026-01-01\n";
    assert!(unchanged(changes, "1.2.0").is_empty());
    assert_eq!(unchanged(changes, "1.2"), ["CHANGELOG.md: no heading for version 1.2"]);
    assert_eq!(unchanged("## 1.2.0\n", "1.2.0"), ["CHANGELOG.md: does not begin with Unreleased"]);
}

/// Returns the dependencies without a comment, but for those that the workspace explains. One comment may cover a small family, but not the lines after a blank
/// one.
fn unreasoned(manifest: &str) -> Vec<String> {
    const FAMILY_MAX: usize = 4;
    let mut complaints = Vec::new();
    let (mut inside, mut spoken_for) = (false, 0);
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
            spoken_for = 0;
        } else if line.starts_with('#') {
            spoken_for = FAMILY_MAX;
        } else if line.trim().is_empty() {
            spoken_for = 0;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            // A crate of the workspace has its description, and what the workspace names has its reason there.
            let is_known = name.trim().ends_with(".workspace") || value.contains("path = ");
            if spoken_for == 0 && !is_known {
                complaints.push(format!("Cargo.toml: no reason given for `{}`", name.trim()));
            }
            spoken_for = spoken_for.saturating_sub(1);
        }
    }
    complaints
}

#[test]
fn every_dependency_has_its_reason() {
    assert_none(&unreasoned(&read("Cargo.toml")));
}

#[test]
fn a_dependency_without_a_reason_is_seen() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\n# Why.\nb = \"1\"\nc = \"1\"\n\n\
                    d = \"1\"\n[dev-dependencies]\ne = \"1\"\ng.workspace = true\nh = { path = \"h\" }\n[lints.rust]\nf = \"warn\"\n";
    let names = ["a", "d", "e"].map(|name| format!("Cargo.toml: no reason given for `{name}`"));
    assert_eq!(unreasoned(manifest), names);
}

/// Returns the rules that the lints no longer enforce.
fn permitted(clippy: &str, manifest: &str) -> Vec<String> {
    let methods = [
        "std::thread::sleep",
        "std::time::SystemTime::now",
        "std::process::exit",
        "tokio::io::copy",
    ];
    let mut complaints: Vec<String> = methods
        .iter()
        .filter(|method| !clippy.contains(&format!("path = \"{method}\"")))
        .map(|method| format!("clippy.toml: no longer disallows `{method}`"))
        .collect();
    if !manifest.lines().any(|line| line == "disallowed_methods = \"deny\"") {
        complaints.push("Cargo.toml: no longer denies disallowed methods".to_owned());
    }
    complaints
}

#[test]
fn calls_that_nothing_can_cancel_stay_disallowed() {
    assert_none(&permitted(&read("clippy.toml"), &read("Cargo.toml")));
}

#[test]
fn a_lint_that_is_taken_away_is_seen() {
    let clippy = read("clippy.toml").replace("std::process::exit", "std::process::id");
    let manifest = read("Cargo.toml").replace("disallowed_methods = \"deny\"", "");
    let told = permitted(&clippy, &manifest);
    assert_eq!(told.len(), 2, "{told:?}");
}

/// The papers whose paths and commands are checked.
const PAPERS: [&str; 4] =
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "tests/README.md", "docs/GLOSSARY.md"];

/// A word between backticks.
#[derive(Debug, PartialEq, Eq)]
struct QuotedWord<'p> {
    line: usize,
    word: &'p str,
    /// The crate or module in the heading above it, such as `ftp`.
    section: &'p str,
}

fn quoted(page: &str) -> Vec<QuotedWord<'_>> {
    let (mut found, mut section) = (Vec::new(), "");
    for (number, line) in page.lines().enumerate() {
        if line.starts_with('#') {
            section = line.split('`').nth(1).unwrap_or_default().trim_end_matches('/');
        }
        let words = line.split('`').skip(1).step_by(2);
        found.extend(words.map(|word| QuotedWord { line: number + 1, word, section }));
    }
    found
}

/// Returns true if a word names a file or directory, and not only a name below a heading or a pattern.
fn is_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    // Such as `api/FAMILY.rs`; the names of papers are in capitals as well.
    let is_capital = |part: &str| part.len() > 2 && part.bytes().all(|b| b.is_ascii_uppercase());
    let is_paper = Path::new(word).extension().is_some_and(|extension| extension == "md");
    let is_placeholder = !is_paper && word.split(['/', '.']).any(is_capital);
    let ends = [".rs", ".md", ".toml", ".json", ".txt"];
    word.contains('/')
        && word.chars().all(is_plain)
        && !is_placeholder
        && (word.ends_with('/') || ends.iter().any(|end| word.ends_with(end)))
}

/// Returns true if the file or directory exists, by the rules at the top of ARCHITECTURE.md.
fn resolves(QuotedWord { word, section, .. }: &QuotedWord<'_>) -> bool {
    let in_crate = word.split_once('/').map(|(name, rest)| format!("crates/{name}/src/{rest}"));
    let candidates = [
        Some((*word).to_owned()),
        in_crate,
        Some(format!("src/{word}")),
        Some(format!("crates/{section}/src/{word}")).filter(|_| !section.is_empty()),
        Some(format!("src/{section}/{word}")).filter(|_| !section.is_empty()),
    ];
    candidates.iter().flatten().any(|path| project().join(path).exists())
}

#[test]
fn every_path_in_the_papers_exists() {
    let missing = |page: &&str| -> Vec<String> {
        let text = read(page);
        let paths = quoted(&text).into_iter().filter(|it| is_path(it.word) && !resolves(it));
        paths.map(|it| format!("{page}:{}: there is no {}", it.line, it.word)).collect()
    };
    assert_none(&PAPERS.iter().flat_map(missing).collect::<Vec<_>>());
}

#[test]
fn a_path_that_leads_nowhere_is_seen() {
    let text = "See `ftp/list.rs`, `cli/ls.rs`, `api/FAMILY.rs` and `docs/`.\n`ftp/attic.rs` was `a b/`.\n\
                ### `nat/`\n`portmap/` `attic/`";
    let all = quoted(text);
    let paths: Vec<_> = all.iter().filter(|it| is_path(it.word)).collect();
    let found: Vec<_> = paths.iter().map(|it| (it.line, it.word, resolves(it))).collect();
    let expected = [
        (1, "ftp/list.rs", true),
        (1, "cli/ls.rs", true),
        (1, "docs/", true),
        (2, "ftp/attic.rs", false),
        (3, "nat/", true),
        (4, "portmap/", true),
        (4, "attic/", false),
    ];
    assert_eq!(found, expected);
}

/// Returns the test commands of a paper whose filter names no module, each by its line.
fn dead_filters(page: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let commands = text.lines().enumerate().flat_map(|(number, line)| {
        line.match_indices("cargo test ").map(move |(at, _)| (number + 1, &line[at..]))
    });
    for (line, command) in commands {
        let command = command.split(['`', '#']).next().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let behind = |flag: &str| {
            let at = words.iter().position(|word| *word == flag)?;
            words.get(at + 1).copied()
        };
        let behind_dashes = words.iter().skip_while(|word| **word != "--").skip(1);
        let filter = behind_dashes.into_iter().find(|word| !word.starts_with('-'));
        let Some(module) = filter.and_then(|filter| filter.split("::").next()) else { continue };
        let folder = match (behind("-p"), behind("--test")) {
            (_, Some("it")) => "tests/it".to_owned(),
            (Some("portolan-mirror"), Some(suite)) => format!("crates/mirror/tests/{suite}"),
            (Some(name), _) => format!("crates/{}/src", name.trim_start_matches("portolan-")),
            (None, _) => "src".to_owned(),
        };
        let is_there = [folder.clone() + "/" + module, format!("{folder}/{module}.rs")]
            .iter()
            .any(|path| project().join(path).exists());
        if !is_there && module != "speed" {
            complaints.push(format!("{page}:{line}: `{command}` matches no test"));
        }
    }
    complaints
}

#[test]
fn every_filter_in_the_papers_names_a_module() {
    let all = PAPERS.iter().flat_map(|page| dead_filters(page, &read(page)));
    assert_none(&all.collect::<Vec<_>>());
    let text = "`cargo test --lib -- ftp::listing`\ncargo test -p portolan-ftp -- listing::tests\n\
                cargo test --test it -- --nocapture serve::kills";
    let expected = ["a:1: `cargo test --lib -- ftp::listing` matches no test"];
    assert_eq!(dead_filters("a", text), expected);
}
