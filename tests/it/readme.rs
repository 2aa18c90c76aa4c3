//! The README keeps its word: its commands run, and print what it says they print.

use std::{fs, path::PathBuf};

use crate::support::program::Portolan;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The code blocks of the README, each with its language.
fn blocks() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    blocks
}

fn block(language: &str, start: &str) -> String {
    let found = blocks().into_iter().find(|(of, block)| of == language && block.starts_with(start));
    found.unwrap_or_else(|| panic!("no {language} block starts with {start}")).1
}

/// The line without its numbers, which differ from run to run.
fn without_time(line: &str) -> String {
    line.split(" in ").next().unwrap_or(line).to_owned()
}

#[test]
fn the_first_command_prints_what_the_readme_shows() {
    let command = block("sh", "cargo run -- rehearse");
    let words: Vec<&str> = command.split_whitespace().skip(3).collect();
    let mut program = Portolan::new().args(words);
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from("scripts").join(path.file_name().unwrap());
        program = program.file(name, fs::read(&path).unwrap());
    }
    let ran = program.run().succeeds().any_stdout().any_stderr();
    let said = format!("{}{}", ran.stdout_text(), ran.stderr_text());
    let said: Vec<_> = said.lines().map(without_time).collect();
    for line in block("text", "fell back").lines().filter(|line| !line.is_empty()) {
        assert!(said.contains(&without_time(line)), "never said: {line}\nbut: {said:#?}");
    }
}

#[test]
fn the_script_of_the_first_screen_runs() {
    Portolan::new()
        .file("deploy.rhai", block("rhai", "// deploy.rhai"))
        .file("dist/index.html", "<p>hello")
        .file("dist/app.js.map", "{}")
        .file("tree/htdocs/old.html", "gone")
        .args(["rehearse", "deploy.rhai", "--tree", "tree"])
        .run()
        .succeeds()
        .stdout("1 up, 1 gone, by eprt\n")
        .any_stderr();
}

#[test]
fn the_test_command_of_the_readme_is_the_one_of_the_gate() {
    let gate = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(gate.contains(block("sh", "cargo test").trim()), "the gate runs other tests");
}
