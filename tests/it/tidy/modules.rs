//! The rules for modules: they use lower layers only, name crates only where allowed, stay short, and are all compiled.

use super::{Source, assert_none, rust, sources};

/// The layers of the crate, the lowest first. A module may use itself and modules of a lower layer.
const FLOORS: [&[&str]; 11] = [
    &["encoding", "error", "limits", "proto", "random"],
    &["buffer", "cancel", "clock", "exit_code", "option_table"],
    &["files"],
    &["observe"],
    &["remote"],
    &["ftp", "nat", "store", "rehearse"],
    &["mirror"],
    &["state_adapter", "port_provider"],
    &["script"],
    &["schedule"],
    &["cli", "fuzzing"],
];

/// The modules that must not name a module of a lower layer: mirrors know no protocol.
const APART: [(&str, &str); 1] = [("mirror", "ftp")];

/// The crates that only one module may name.
const ROOMS: [(&str, &str); 10] = [
    ("rhai", "script"),
    ("suppaftp", "ftp"),
    ("rusqlite", "store"),
    ("crab_nat", "nat"),
    ("igd_next", "nat"),
    ("anyhow", "cli"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("rustyline", "cli"),
];

/// The maximum lines of code of one file, without its tests.
const FILE_LINES_MAX: usize = 400;

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Returns the uses of modules that are not in a lower layer.
fn looks_up(source: &Source) -> Vec<String> {
    let Source { path, .. } = source;
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = floor(module) else {
        return vec![format!("{path}: `{module}` has no place in FLOORS of tests/it/tidy")];
    };
    let code = source.product();
    let mut complaints = Vec::new();
    for used in rust::named_under(&code, "crate") {
        match floor(&used) {
            _ if used == module => {}
            Some(floor) if floor < own && !APART.contains(&(module, &used)) => {}
            Some(_) => complaints.push(format!("{path}: `{module}` must not use `{used}`")),
            None => complaints.push(format!("{path}: `crate::{used}` is no module of the house")),
        }
    }
    // That many `super` are the crate root as well.
    let house = vec!["super"; source.depth()].join("::");
    for used in rust::named_under(&code, &house) {
        let is_up = floor(&used).is_some_and(|floor| floor >= own);
        if used != module && (is_up || APART.contains(&(module, &used))) {
            complaints.push(format!("{path}: `{module}` must not use `{used}`"));
        }
    }
    complaints
}

#[test]
fn modules_look_down_only() {
    let complaints: Vec<_> = sources("src").iter().flat_map(looks_up).collect();
    assert_none(&complaints);
}

#[test]
fn a_look_up_or_aside_is_seen() {
    let told = |path: &str, text: &str| looks_up(&Source::new(path, text)).join("\n");
    let up = told("src/ftp/a.rs", "use crate::{error::Fault, mirror::{self, plan}};");
    assert_eq!(up, "src/ftp/a.rs: `ftp` must not use `mirror`");
    assert_eq!(told("src/nat.rs", "crate::store::f();"), "src/nat.rs: `nat` must not use `store`");
    assert_eq!(
        told("src/ftp/mod.rs", "super::cli::f()"),
        "src/ftp/mod.rs: `ftp` must not use `cli`"
    );
    let far =
        told("src/ftp/data/a.rs", "use super::super::super::{mirror, fault}; super::super::cli");
    assert_eq!(far, "src/ftp/data/a.rs: `ftp` must not use `mirror`");
    let unknown = "src/attic.rs: `attic` has no place in FLOORS of tests/it/tidy";
    assert_eq!(told("src/attic.rs", ""), unknown);
    let item = "src/cli/a.rs: `crate::VERSION` is no module of the house";
    assert_eq!(told("src/cli/a.rs", "crate::VERSION"), item);
    let apart = "src/mirror/a.rs: `mirror` must not use `ftp`";
    assert_eq!(told("src/mirror/a.rs", "use crate::{ftp::b, remote::c};"), apart);
    assert_eq!(told("src/mirror/a.rs", "super::super::ftp::b()"), apart);
    let fine =
        "use crate::ftp::b; use super::c; // crate::cli\n#[cfg(test)] mod t { use crate::cli; }";
    assert_eq!(told("src/ftp/a.rs", fine), "");
    assert_eq!(told("src/ftp/tests.rs", "use crate::rehearse::Server;"), "");
    assert_eq!(told("src/lib.rs", "use crate::cli;"), "");
}

/// Returns the crates that are named outside their module.
fn strays(source: &Source) -> Vec<String> {
    let code = rust::code(&source.text);
    let words = rust::words(&code);
    ROOMS
        .iter()
        .filter(|(name, room)| words.contains(name) && source.module() != Some(*room))
        .map(|(name, room)| format!("{}: only src/{room} names `{name}`", source.path))
        .collect()
}

#[test]
fn each_large_dependency_keeps_to_its_room() {
    let complaints: Vec<_> = sources("src").iter().flat_map(strays).collect();
    assert_none(&complaints);
}

#[test]
fn a_dependency_outside_its_room_is_seen() {
    let told = |path: &str| strays(&Source::new(path, "fn f(e: &rhai::Engine) {} // suppaftp"));
    assert_eq!(told("src/ftp/mod.rs"), ["src/ftp/mod.rs: only src/script names `rhai`"]);
    assert_eq!(told("src/main.rs"), ["src/main.rs: only src/script names `rhai`"]);
    assert!(told("src/script/engine.rs").is_empty());
}

/// Returns a complaint if the file has too much code.
fn long(source: &Source) -> Option<String> {
    let lines = source.product().lines().filter(|line| !line.trim().is_empty()).count();
    (lines > FILE_LINES_MAX)
        .then(|| format!("{}: {lines} lines of code, {FILE_LINES_MAX} at most", source.path))
}

#[test]
fn files_are_short() {
    assert_none(&sources("src").iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn a_long_file_is_seen_and_comments_and_tests_do_not_count() {
    let told = |text: String| long(&Source::new("src/a.rs", &text));
    assert!(told("f();\n".repeat(401)).is_some());
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "f();\n".repeat(500));
    assert!(told(["f();\n".repeat(400), "// why\n\n".repeat(500), tests].concat()).is_none());
}

/// Returns the files that no module declares, so that the compiler never reads them.
fn orphans(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, .. } in sources {
        let Some(stem) = path.strip_suffix(".rs").map(|stem| stem.trim_end_matches("/mod")) else {
            continue;
        };
        let (folder, module) = stem.rsplit_once('/').unwrap();
        if module == "main" || module == "lib" {
            continue;
        }
        let parents = ["mod", "lib", "main"].map(|parent| format!("{folder}/{parent}.rs"));
        let declares = |other: &Source| {
            (parents.contains(&other.path) || other.path == format!("{folder}.rs"))
                && rust::code(&other.text).contains(&format!("mod {module};"))
        };
        if !sources.iter().any(declares) {
            complaints.push(format!("{path}: no `mod {module};` anywhere"));
        }
    }
    complaints
}

#[test]
fn every_file_is_a_module_of_its_program() {
    assert_none(&orphans(&sources("tests/it")));
    assert_none(&orphans(&sources("src")));
}

#[test]
fn a_file_that_nobody_declares_is_seen() {
    let files = [
        Source::new("tests/it/main.rs", "mod a; // mod b;"),
        Source::new("tests/it/a/mod.rs", "mod c;"),
        Source::new("tests/it/a/c.rs", ""),
        Source::new("tests/it/b.rs", "mod a;"),
    ];
    assert_eq!(orphans(&files), ["tests/it/b.rs: no `mod b;` anywhere"]);
}
