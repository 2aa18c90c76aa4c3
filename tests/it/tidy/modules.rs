//! The rules for modules: they use lower layers only, name crates only where allowed, stay short, and are all compiled.

use std::collections::BTreeSet;

use super::{Source, assert_none, library, rust, sources};

/// The modules of the core crate, the other crates, and the modules of the root package, in layers, the lowest first. Each
/// may use itself and lower layers.
const LAYERS: [&[&str]; 13] = [
    &["encoding", "error", "limits", "random", "secret", "similar"],
    &["buffer", "cancel", "clock", "duration", "exit_code", "option_table", "recording"],
    &["observe"],
    &["core", "proto"],
    &["cron", "fs", "permissions"],
    &["remote"],
    &["ftp", "nat", "store", "testserver"],
    &["mirror"],
    &["advice", "deploy", "nat_proof", "state", "port_provider"],
    &["script"],
    &["schedule"],
    &["web"],
    &["cli", "fuzzing"],
];

/// The names that crates have in the root package.
const REEXPORTS: [(&str, &str); 3] =
    [("files", "fs"), ("rehearse", "testserver"), ("state_adapter", "state")];

/// The crates that must not name a crate of a lower layer: mirrors know no protocol.
const APART: [(&str, &str); 2] = [("mirror", "ftp"), ("deploy", "ftp")];

/// The crates that only one module may name.
const ROOMS: [(&str, &str); 14] = [
    ("axum", "web"),
    ("hyper", "web"),
    ("maud", "web"),
    ("rhai", "script"),
    ("suppaftp", "ftp"),
    ("rusqlite", "store"),
    ("tokio_postgres", "store"),
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

fn layer(module: &str) -> Option<usize> {
    let real = REEXPORTS.iter().find(|(name, _)| *name == module).map_or(module, |(_, real)| real);
    LAYERS.iter().position(|layer| layer.contains(&real))
}

/// Returns the uses of modules and crates that are not in a lower layer.
fn looks_up(source: &Source) -> Vec<String> {
    let Source { path, .. } = source;
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = layer(module) else {
        return vec![format!("{path}: `{module}` has no place in LAYERS of tests/it/tidy")];
    };
    let code = source.product();
    let names = LAYERS.iter().flat_map(|layer| layer.iter());
    let crates = names.filter(|name| code.contains(&format!("portolan_{name}::")));
    let mut used: BTreeSet<String> = crates.map(|name| (*name).to_owned()).collect();
    let mut complaints = Vec::new();
    // In the other crates these are their own modules.
    if source.in_crate().is_some_and(|(name, _)| matches!(name, "" | "core")) {
        // That many `super` are the crate root as well.
        let root = vec!["super"; source.depth()].join("::");
        used.extend(
            rust::named_under(&code, &root).into_iter().filter(|name| layer(name).is_some()),
        );
        for name in rust::named_under(&code, "crate") {
            if layer(&name).is_none() {
                complaints.push(format!("{path}: `crate::{name}` is no module of the house"));
            }
            used.insert(name);
        }
    }
    let is_wrong = |used: &&String| {
        let is_up = layer(used).is_some_and(|layer| layer >= own);
        used.as_str() != module && (is_up || APART.contains(&(module, used.as_str())))
    };
    complaints.extend(
        used.iter()
            .filter(is_wrong)
            .map(|used| format!("{path}: `{module}` must not use `{used}`")),
    );
    complaints
}

#[test]
fn modules_look_down_only() {
    let complaints: Vec<_> = library().iter().flat_map(looks_up).collect();
    assert_none(&complaints);
}

#[test]
fn a_look_up_or_aside_is_seen() {
    let told = |path: &str, text: &str| looks_up(&Source::new(path, text)).join("\n");
    let up = told("crates/ftp/src/a.rs", "use portolan_mirror::{self, plan};");
    assert_eq!(up, "crates/ftp/src/a.rs: `ftp` must not use `mirror`");
    let aside = told("crates/nat/src/lib.rs", "portolan_store::f();");
    assert_eq!(aside, "crates/nat/src/lib.rs: `nat` must not use `store`");
    let inside = told("crates/core/src/error/a.rs", "use crate::observe::Event;");
    assert_eq!(inside, "crates/core/src/error/a.rs: `error` must not use `observe`");
    assert_eq!(
        told("src/script/mod.rs", "super::cli::f()"),
        "src/script/mod.rs: `script` must not use `cli`"
    );
    let far =
        told("src/script/api/a.rs", "use super::super::super::{schedule, ftp}; super::super::cli");
    assert_eq!(far, "src/script/api/a.rs: `script` must not use `schedule`");
    let unknown = "src/attic.rs: `attic` has no place in LAYERS of tests/it/tidy";
    assert_eq!(told("src/attic.rs", ""), unknown);
    let item = "src/cli/a.rs: `crate::VERSION` is no module of the house";
    assert_eq!(told("src/cli/a.rs", "crate::VERSION"), item);
    let apart = "crates/mirror/src/a.rs: `mirror` must not use `ftp`";
    assert_eq!(told("crates/mirror/src/a.rs", "use portolan_ftp::b; use crate::c;"), apart);
    let fine = "use crate::ftp::b; use crate::files; use super::c; // crate::cli\n\
                #[cfg(test)] mod t { use crate::cli; }";
    assert_eq!(told("src/script/a.rs", fine), "");
    assert_eq!(told("crates/ftp/src/tests.rs", "use portolan_testserver::Server;"), "");
    assert_eq!(told("crates/ftp/src/a.rs", "use crate::cli; let portolan_state = 1;"), "");
    assert_eq!(told("src/lib.rs", "use crate::cli;"), "");
}

/// Returns the complaints about a file of `src/script/api` that names the FTP client: script functions reach a server by
/// way of `script/remote.rs`.
fn names_ftp(source: &Source) -> Option<String> {
    let code = source.product();
    let is_named =
        rust::named_under(&code, "crate").contains("ftp") || code.contains("portolan_ftp");
    (source.path.starts_with("src/script/api/") && is_named)
        .then(|| format!("{}: script functions name nothing of `ftp`", source.path))
}

#[test]
fn script_functions_name_no_protocol() {
    assert_none(&sources("src/script/api").iter().filter_map(names_ftp).collect::<Vec<_>>());
    let told = |path: &str, text: &str| names_ftp(&Source::new(path, text)).is_some();
    assert!(told("src/script/api/a.rs", "use crate::{error::Error, ftp::url::Url};"));
    assert!(told("src/script/api/a.rs", "portolan_ftp::url::Url::parse(text)"));
    assert!(!told("src/script/api/a.rs", "let mut ftp = Module::new(); // crate::ftp"));
    assert!(!told("src/script/remote.rs", "use crate::ftp::url::Url;"));
}

/// Returns the crates that are named outside their module.
fn strays(source: &Source) -> Vec<String> {
    let code = rust::code(&source.text);
    let words = rust::words(&code);
    ROOMS
        .iter()
        .filter(|(name, room)| words.contains(name) && source.module() != Some(*room))
        .map(|(name, room)| format!("{}: only `{room}` names `{name}`", source.path))
        .collect()
}

#[test]
fn each_large_dependency_keeps_to_its_room() {
    let complaints: Vec<_> = library().iter().flat_map(strays).collect();
    assert_none(&complaints);
}

#[test]
fn a_dependency_outside_its_room_is_seen() {
    let told = |path: &str| strays(&Source::new(path, "fn f(e: &rhai::Engine) {} // suppaftp"));
    let ftp = "crates/ftp/src/lib.rs";
    assert_eq!(told(ftp), [format!("{ftp}: only `script` names `rhai`")]);
    assert_eq!(told("src/main.rs"), ["src/main.rs: only `script` names `rhai`"]);
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
    assert_none(&library().iter().filter_map(long).collect::<Vec<_>>());
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
    assert_none(&orphans(&sources("crates")));
}

#[test]
fn a_file_that_no_module_declares_is_seen() {
    let files = [
        Source::new("tests/it/main.rs", "mod a; // mod b;"),
        Source::new("tests/it/a/mod.rs", "mod c;"),
        Source::new("tests/it/a/c.rs", ""),
        Source::new("tests/it/b.rs", "mod a;"),
    ];
    assert_eq!(orphans(&files), ["tests/it/b.rs: no `mod b;` anywhere"]);
}
