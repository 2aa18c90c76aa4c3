//! The scripts that we ship: each passes the check, and each is run.

use std::{fs, path::PathBuf, process::Command};

use crate::support::{program::Portolan, server::skip};

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

fn text(name: &str) -> String {
    fs::read_to_string(shipped().join(name)).unwrap()
}

/// Returns the script in a directory of its own, where its rehearsal starts.
fn program(name: &str) -> Portolan {
    Portolan::new().file(name, text(name))
}

/// Checks a script with a shebang, with or without the byte order mark of an editor on Windows.
#[test]
fn a_script_may_begin_with_a_line_for_the_shell_or_a_byte_order_mark() {
    for head in ["#!/usr/bin/env -S portolan run\n", "#!portolan\r\n", "\u{feff}", "\u{feff}#!/x\n"]
    {
        let text = format!("{head}print(\"one\");\nfail(\"two\");\n");
        let program = || Portolan::new().file("a.rhai", &text);
        program().args(["check", "a.rhai"]).run().succeeds().any_stderr();
        let line = if head.contains('\n') { 3 } else { 2 };
        let ran = program().args(["run", "a.rhai"]).run().any_end();
        ran.stdout("one\n").stderr_has("two").stderr_has(&format!("a.rhai:{line}:"));
    }
}

#[test]
fn the_quickstart_goes_both_ways_and_falls_back() {
    program("quickstart.rhai")
        .file("tree/a.txt", "one")
        .file("tree/b/c.txt", "two")
        .args(["rehearse", "quickstart.rhai", "--tree", "tree", "--fault", "active-425"])
        .run()
        .succeeds()
        .stdout("2 files came down by epsv\n1 file went up, 2 were the same on both sides\n")
        .stderr_has("fell back from active to passive on ftp.example.org")
        .stderr_has("  added    note.txt  58 bytes\n")
        .any_stderr();
}

#[test]
fn the_nightly_mirror_takes_what_is_new_and_drops_what_is_gone() {
    program("nightly-mirror.rhai")
        .file("tree/a.txt", "one")
        .file("tree/draft.tmp", "no")
        .file("copy/gone.txt", "old")
        .file("copy/a.txt", "before")
        .args([
            "rehearse",
            "nightly-mirror.rhai",
            "ftp://ftp.example.org",
            "copy",
            "--tree",
            "tree",
        ])
        .run()
        .succeeds()
        .stdout("1 new, 1 gone, 0 unchanged, by epsv\n")
        .any_stderr();
}

#[test]
fn the_deployment_sends_the_site_and_nothing_else() {
    program("web-deploy.rhai")
        .file("dist/index.html", "<p>hello")
        .file("dist/app.js.map", "{}")
        .file("tree/htdocs/old.html", "gone")
        .args([
            "rehearse",
            "web-deploy.rhai",
            "dist",
            "ftpes://me@www.example.com/htdocs",
            "--tree",
            "tree",
        ])
        .run()
        .succeeds()
        .stdout("1 sent, 1 removed, 8 bytes\n")
        .stderr_has("  added    htdocs/index.html  8 bytes\n")
        .stderr_has("  removed  htdocs/old.html  4 bytes\n")
        .any_stderr();
}

#[test]
fn the_deployment_refuses_a_folder_that_was_not_built() {
    program("web-deploy.rhai")
        .args(["rehearse", "web-deploy.rhai", "dist", "ftp://www.example.com"])
        .run()
        .fails_with(3)
        .stderr_has("error: dist has no index.html: was it built?")
        .any_stderr();
}

#[test]
fn the_upload_says_that_the_file_arrived() {
    program("upload.rhai")
        .file("order.csv", "1,2,3")
        .args(["rehearse", "upload.rhai", "order.csv", "ftpes://me@ftp.example.org"])
        .run()
        .succeeds()
        .stdout("order.csv: 5 bytes, verified\n")
        .stderr_has("  added    order.csv  5 bytes\n")
        .any_stderr();
}

#[test]
fn the_upload_of_which_half_is_stored_fails_and_leaves_nothing() {
    program("upload.rhai")
        .file("order.csv", "1,2,3")
        .args([
            "rehearse",
            "upload.rhai",
            "order.csv",
            "ftp://ftp.example.org",
            "--fault",
            "stor-short",
        ])
        .run()
        .fails_with(4)
        .stderr_has("the server has 2 of 5 bytes")
        .stderr_has("would have changed:\n  nothing\n")
        .any_stderr();
}

#[test]
fn the_demonstration_shows_what_was_tried() {
    program("fall-back.rhai")
        .args(["rehearse", "fall-back.rhai", "--fault", "active-refused"])
        .run()
        .succeeds()
        .stdout_has("epsv: carries the data\nasked for active, goes by epsv\n")
        .any_stdout()
        .any_stderr();
}

#[test]
fn the_gateway_is_planned_anywhere_and_changes_nothing_in_a_rehearsal() {
    let network = ["192.168.77.0/24", "lo", "lo"];
    if Command::new("nft").arg("--version").output().is_err() {
        skip("nft is not here");
        return;
    }
    program("gateway.rhai")
        .args(["nat", "plan", "gateway.rhai"])
        .args(network)
        .run()
        .fails_with(2)
        .stdout_has("  + masquerade 192.168.77.0/24 -> lo\n")
        .stdout_has("  + ftp helper on 21 from lo\n")
        .any_stdout()
        .any_stderr();
    program("gateway.rhai")
        .args(["rehearse", "gateway.rhai"])
        .args(network)
        .run()
        .succeeds()
        .stderr_has("would apply ruleset gateway (inet portolan_gateway)")
        .any_stderr();
}

#[test]
fn every_script_is_run_by_a_test_here() {
    let here = include_str!("scripts.rs");
    for entry in fs::read_dir(shipped()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(here.contains(&format!("program(\"{name}\")")), "no test runs scripts/{name}");
    }
}

#[test]
fn active_mode_behind_a_router_fetches_a_file() {
    let arguments = [
        "rehearse",
        "active-behind-router.rhai",
        "ftp://me@ftp.example.com",
        "/out/a.csv",
        "a.csv",
    ];
    program("active-behind-router.rhai")
        .file("tree/out/a.csv", "1;2")
        .env("FTP_PASSWORD", "open+sesame-21")
        .args(arguments)
        .args(["--tree", "tree"])
        .run()
        .succeeds()
        .stdout("a.csv by eprt\n")
        .any_stderr();
}
