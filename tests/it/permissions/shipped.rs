//! Each shipped script and example runs in a sandbox, with the permissions that its text shows and those of its arguments.

use std::{fs, path::Path};

use portolan::permissions::sandbox::KernelSupport;

use crate::support::{program::Portolan, rehearsal::Rehearsal, server::say_skipped};

/// A script, and its arguments: `URL` is that of the server. In capital letters, as in its header, each stands for the word
/// after it.
const SCRIPTS: [(&str, &[(&str, &str)]); 8] = [
    ("scripts/quickstart.rhai", &[("URL", "")]),
    ("scripts/fall-back.rhai", &[("URL", "")]),
    ("scripts/upload.rhai", &[("FILE", "up/a.txt"), ("URL", "")]),
    ("scripts/nightly-mirror.rhai", &[("URL", ""), ("FOLDER", "copy")]),
    ("scripts/web-deploy.rhai", &[("FOLDER", "dist"), ("URL", "")]),
    ("examples/nightly-mirror/scripts/mirror.rhai", &[("URL", ""), ("FOLDER", "copy")]),
    (
        "examples/pickup-and-process/scripts/pickup.rhai",
        &[("URL", ""), ("INBOX", "inbox"), ("SETTLE", "1s")],
    ),
    ("examples/ci-deploy/deploy.rhai", &[("FOLDER", "dist"), ("URL", "")]),
];

/// The scripts that are not run here, and the reason.
const NOT_RUN: [(&str, &str); 6] = [
    ("scripts/active-behind-router.rhai", "it asks the router of this network for a port"),
    ("scripts/gateway.rhai", "it describes rules, which `portolan nat` applies"),
    ("examples/gateway/gateway.rhai", "it describes rules, which `portolan nat` applies"),
    ("examples/fleet/scripts/count.rhai", "it counts the slots of a fleet: `examples` runs it"),
    ("examples/fleet/scripts/long.rhai", "it only waits, in a fleet: `examples` runs it"),
    ("examples/fleet/scripts/tick.rhai", "it only prints, in a fleet: `examples` runs it"),
];

/// Returns the flags in the header of a script.
fn header_flags(text: &str) -> Vec<String> {
    let header = text.lines().filter_map(|line| line.strip_prefix("//!"));
    let flags = header.filter(|line| line.trim_start().starts_with("--allow-"));
    flags.flat_map(|line| line.split_whitespace().map(str::to_owned)).collect()
}

/// Returns the flags that `check --permissions` derives of `script.rhai`.
fn derived_flags(program: &Portolan) -> Vec<String> {
    let checked = program.clone_with(["check", "--permissions", "--json", "script.rhai"]).run();
    let mut checked = checked.succeeds();
    let block = checked.json();
    checked.forget();
    let flags = block.pointer("/0/flags").unwrap().as_array().unwrap().iter();
    let flags = flags.map(|flag| flag.as_str().unwrap().to_owned());
    flags.filter(|flag| flag != "--deny-all").collect()
}

fn text_of(script: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).unwrap()
}

/// Returns every script below `folder` of the repository.
fn scripts_below(folder: &str) -> Vec<String> {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(whole).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| {
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => scripts_below(&path),
                false if Path::new(&path).extension().is_some_and(|end| end == "rhai") => {
                    vec![path]
                }
                false => Vec::new(),
            }
        })
        .collect()
}

#[test]
fn every_shipped_script_has_the_permissions_that_are_derived_in_its_header() {
    let mut found = [scripts_below("scripts"), scripts_below("examples")].concat();
    let known = SCRIPTS.iter().map(|(script, _)| *script);
    let mut known: Vec<_> = known.chain(NOT_RUN.iter().map(|(script, _)| *script)).collect();
    found.sort();
    known.sort_unstable();
    assert_eq!(found, known, "each has a row here");
    for script in found {
        let text = text_of(&script);
        let named = header_flags(&text);
        let derived = derived_flags(&Portolan::new().file("script.rhai", &text));
        let missing: Vec<_> = derived.iter().filter(|flag| !named.contains(flag)).collect();
        assert!(missing.is_empty(), "{script} lacks {missing:?}");
        // What a text does not show is an argument, in capital letters.
        for flag in named.iter().filter(|flag| !derived.contains(flag)) {
            let object = flag.split('=').nth(1).unwrap_or_default();
            let is_argument = !object.is_empty() && object.chars().all(|c| c.is_ascii_uppercase());
            assert!(is_argument, "{script} does not need {flag}");
        }
    }
}

#[test]
fn every_shipped_script_runs_in_its_sandbox() {
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        say_skipped("every_shipped_script_runs_in_its_sandbox", &lacks.join("; "));
        return;
    }
    for (script, arguments) in SCRIPTS {
        let server = Rehearsal::start(&[], false);
        for file in ["a.csv", "old.html", "outbox/order.csv"] {
            server.file(file, "one\ntwo\n");
        }
        let address = server.server.address();
        let url = format!("ftp://tester:open+sesame-21@{address}");
        let text = text_of(script);
        let flags = header_flags(&text).into_iter().map(|flag| {
            let (name, object) = flag.split_once('=').unwrap_or((&flag, ""));
            let word = arguments.iter().find(|(argument, _)| *argument == object);
            match (object, word) {
                ("HOST", _) => format!("{name}={address}"),
                (_, Some((_, word))) => format!("{name}={word}"),
                _ => flag.clone(),
            }
        });
        let words =
            arguments.iter().map(|(name, word)| if *name == "URL" { url.as_str() } else { *word });
        let ran = Portolan::new()
            .file("script.rhai", &text)
            .file("up/a.txt", "a")
            .file("dist/index.html", "<p>")
            .file("copy/gone.csv", "old")
            .file("inbox/kept.txt", "kept")
            .args(["run", "--require-sandbox"])
            .args(flags)
            .args(["script.rhai"])
            .args(words)
            .run();
        let said = ran.stderr_text().to_owned();
        let ran = ran.any_code().any_stdout().any_stderr().any_files();
        assert_eq!(ran.code(), 0, "{script}: {said}");
        ran.forget();
    }
}

/// The blocks in the jobs files of the examples are those that `check --permissions` derives, but for what is known only in
/// a run.
#[test]
fn the_examples_have_the_blocks_that_are_derived() {
    for example in ["nightly-mirror", "pickup-and-process"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        let file = folder.join("portolan.toml");
        let mut ran = Portolan::new()
            .args(["check", "--permissions", "--json"])
            .args([file.to_str().unwrap()])
            .run()
            .succeeds()
            .any_stderr();
        let derived = ran.json();
        ran.forget();
        let text = fs::read_to_string(&file).unwrap();
        let permissions = derived[0]["permissions"].as_object().unwrap();
        for (key, objects) in permissions {
            for object in objects.as_array().into_iter().flatten() {
                let object = format!("{object}");
                let is_there = text
                    .lines()
                    .any(|line| line.starts_with(&format!("{key} = [")) && line.contains(&object));
                assert!(is_there, "{example}: {key} lacks {object}");
            }
        }
    }
}
