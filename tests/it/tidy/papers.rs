//! The project files: the changelog, the dependencies, the lints.

use super::{assert_none, read};

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
