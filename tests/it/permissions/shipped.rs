//! Each shipped script and example runs in a sandbox, with the permissions that its text shows and those of its arguments.

use std::{fs, path::Path};

use portolan::permissions::sandbox::KernelSupport;

use crate::support::{program::Portolan, rehearsal::Rehearsal, server::say_skipped};

/// A script, its arguments (`URL` is that of the server), and the permissions that these make necessary.
const SCRIPTS: [(&str, &[&str], &[&str]); 8] = [
    ("scripts/quickstart.rhai", &["URL"], &[]),
    ("scripts/fall-back.rhai", &["URL"], &[]),
    ("scripts/upload.rhai", &["up/a.txt", "URL"], &["--allow-read=up"]),
    (
        "scripts/nightly-mirror.rhai",
        &["URL", "copy"],
        &["--allow-write=copy", "--allow-delete=copy"],
    ),
    ("scripts/web-deploy.rhai", &["dist", "URL"], &["--allow-read=dist"]),
    (
        "examples/nightly-mirror/scripts/mirror.rhai",
        &["URL", "copy"],
        &["--allow-write=copy", "--allow-delete=copy"],
    ),
    (
        "examples/pickup-and-process/scripts/pickup.rhai",
        &["URL", "inbox", "1s"],
        &["--allow-write=inbox", "--allow-read=inbox"],
    ),
    ("examples/ci-deploy/deploy.rhai", &["dist", "URL"], &["--allow-read=dist"]),
];

#[test]
fn every_shipped_script_runs_in_its_sandbox() {
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        say_skipped("every_shipped_script_runs_in_its_sandbox", &lacks.join("; "));
        return;
    }
    for (script, arguments, more) in SCRIPTS {
        let server = Rehearsal::start(&[], false);
        for file in ["a.csv", "old.html", "outbox/order.csv"] {
            server.file(file, "one\ntwo\n");
        }
        let address = server.server.address();
        let url = format!("ftp://tester:secret@{address}");
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).unwrap();
        let program = Portolan::new()
            .file("script.rhai", text)
            .file("up/a.txt", "a")
            .file("dist/index.html", "<p>")
            .file("copy/gone.csv", "old")
            .file("inbox/kept.txt", "kept");
        let mut derived = program
            .clone_with(["check", "--permissions", "--json", "script.rhai"])
            .run()
            .succeeds();
        let block = derived.json();
        derived.forget();
        let flags = block[0]["flags"].as_array().unwrap().iter();
        let flags: Vec<_> = flags.map(|flag| flag.as_str().unwrap().to_owned()).collect();
        let flags = flags.into_iter().filter(|flag| flag != "--deny-all");
        let net = format!("--allow-net={address}");
        let arguments = arguments.iter().map(|word| word.replace("URL", &url));
        let ran = program
            .clone_with(["run", "--require-sandbox"])
            .args(flags)
            .args([net])
            .args(more.iter().copied())
            .args(["script.rhai"])
            .args(arguments)
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
