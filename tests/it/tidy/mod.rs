//! The rules of the code base that the compiler does not know. Each is a function from text to complaints, with a
//! sample that must be complained about.

mod circles;
mod hazards;
mod modules;
mod papers;
mod rust;
mod vocabulary;
mod words;

use std::{fs, path::Path};

/// A file of the project.
struct Source {
    /// The path from the project's directory, with `/` as the separator.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Returns the crate of `crates/` that it belongs to, and its path in that crate's `src/`; an empty name is the root
    /// package.
    fn in_crate(&self) -> Option<(&str, &str)> {
        let Some(below) = self.path.strip_prefix("crates/") else {
            return Some(("", self.path.strip_prefix("src/")?));
        };
        below.split_once("/src/")
    }

    /// Returns the module or crate that it belongs to, by its name in `LAYERS`: a top-level module of the root package and
    /// of the core crate, another crate as a whole; `None` for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let (name, below) = self.in_crate()?;
        if !matches!(name, "" | "core") {
            return Some(name);
        }
        let module = below.split('/').next()?.trim_end_matches(".rs");
        (module != "lib" && module != "main").then_some(module)
    }

    /// Returns its depth below the crate: 1 for `src/cli/mod.rs`, 2 for `src/cli/ls.rs`.
    fn depth(&self) -> usize {
        let below = self.in_crate().map_or("", |(_, below)| below);
        below.trim_end_matches(".rs").trim_end_matches("/mod").matches('/').count() + 1
    }

    /// Returns the code that is built into the program; empty for a file of tests.
    fn product(&self) -> String {
        if self.path.ends_with("/tests.rs") || self.path.contains("/tests/") {
            return String::new();
        }
        rust::without_tests(&rust::code(&self.text))
    }
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

/// Returns every text file below a directory of the project.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![project().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).into_iter().flatten();
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(project()).unwrap().to_str().unwrap();
                found.push(Source::new(path, &text));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Returns the files of the root package and of every crate that are built into the library or the program.
fn library() -> Vec<Source> {
    let crates = sources("crates").into_iter().filter(|source| source.in_crate().is_some());
    sources("src").into_iter().chain(crates).collect()
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
