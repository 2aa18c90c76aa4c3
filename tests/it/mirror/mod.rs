//! `portolan mirror` as users call it, and campaigns of faults in which a mirror must lose nothing.

mod campaign;
mod cuts;
mod folding_disk;
mod intents;
mod links;
mod lists;
mod moves;
mod old_versions;
mod outcome;
mod patterns;
mod scale;
mod sessions;
mod staged;
mod sweep;
mod table;
mod watch;

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Returns the command, against an embedded server.
fn mirror(stage: &Rehearsal) -> Portolan {
    std::fs::create_dir_all(stage.root().join("in")).unwrap();
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args(["mirror", "--no-progress"])
}

fn url(stage: &Rehearsal) -> String {
    format!("ftp://tester@127.0.0.1:{}/in", stage.site.port)
}

#[test]
fn too_many_deletes_end_with_code_7_and_nothing_is_deleted() {
    let stage = Rehearsal::start(&[], false);
    for number in 0..12 {
        stage.file(&format!("in/{number}"), "x");
    }
    let program = mirror(&stage).file("dist/0", "x").args(["--delete", "dist", &url(&stage)]);
    let ran = program
        .run()
        .fails_with(7)
        .stderr_has("more than half: nothing was changed; `--max-delete` allows more");
    drop(ran.any_stderr());
    assert_eq!(std::fs::read_dir(stage.root().join("in")).unwrap().count(), 12);
}

#[test]
fn a_plan_goes_to_a_file_and_is_done_from_it_once() {
    let stage = Rehearsal::start(&[], false);
    stage.file("in/old", "x");
    let scratch = tempfile::tempdir().unwrap();
    let (dist, plan) = (scratch.path().join("dist"), scratch.path().join("plan.json"));
    std::fs::create_dir_all(dist.join("sub")).unwrap();
    std::fs::write(dist.join("a"), "bytes").unwrap();
    std::fs::write(dist.join("sub/b"), "more").unwrap();
    let (dist, plan) = (dist.to_str().unwrap(), plan.to_str().unwrap());
    let (there, elsewhere) = (url(&stage), url(&stage) + "/sub");

    let planned = mirror(&stage).args(["--delete", "--dry-run", "--plan", plan, dist, &there]);
    drop(planned.run().succeeds().any_stderr().stdout(
        "mkdir  sub/\nput  a  (new, 5 B)\nput  sub/b  (new, 4 B)\ndelete  old  (not in source)\n\
         would transfer 2 files (9 B) up, delete 1; 0 unchanged, 0 failed\n",
    ));
    assert!(stage.bytes("in/old").is_some() && stage.bytes("in/a").is_none());
    let wrong = mirror(&stage).args(["--apply", plan, dist, &elsewhere]).run().fails_with(3);
    drop(wrong.stderr_has("the plan is about a mirror from"));
    let applied = mirror(&stage).args(["--apply", plan, dist, &there]);
    let words = "2 up, 0 down, 1 deleted, 0 unchanged, 0 failed\n";
    drop(applied.run().succeeds().any_stderr().stdout(words));
    assert!(stage.bytes("in/old").is_none() && stage.bytes("in/sub/b").is_some());
    let again = applied.run().fails_with(5);
    drop(again.stderr_has("has changed since the plan was made: nothing was done"));
}

#[test]
fn explain_says_which_rule_decides_without_a_server() {
    for (path, words) in [
        ("x/a.map", "x/a.map: left out by `*.map` (line 1 of .portolanignore)\n"),
        ("keep.map", "keep.map: taken in again by `!keep.map` (line 2 of .portolanignore)\n"),
        ("old/x", "old: left out by `old/` (--exclude)\n"),
        ("index.html", "index.html: takes part: no rule matches\n"),
    ] {
        let asked = Portolan::new()
            .file("dist/.portolanignore", "*.map\n!keep.map\n")
            .args(["mirror", "dist", "ftp://nowhere.invalid/", "--exclude", "old/"])
            .args(["--explain", path]);
        drop(asked.run().succeeds().stdout(words));
    }
}

#[test]
fn a_second_run_with_json_tells_what_is_unchanged_and_what_drifted() {
    let stage = Rehearsal::start(&[], false);
    let program = mirror(&stage).file("dist/a", "bytes").file("dist/b", "bytes");
    let program = program.args(["--json", "dist", &url(&stage)]);
    let mut ran = program.run().succeeds().any_stderr().any_files();
    assert_eq!(ran.json()["uploaded"], 2);
    drop(ran.any_stdout());
    stage.file("in/a", "BYTES and more");
    let mut ran = program.run().succeeds().any_stderr().any_files();
    let report = ran.json();
    assert_eq!((&report["uploaded"], &report["unchanged"]), (&1.into(), &1.into()));
    let drift = serde_json::json!(["a: changed in the target since the last run, overwritten"]);
    assert_eq!(report["drift"], drift);
    drop(ran.any_stdout());
    assert_eq!(stage.bytes("in/a").unwrap(), b"bytes");
}
