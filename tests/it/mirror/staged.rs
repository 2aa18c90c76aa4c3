//! Staged mirrors, by the command and by scripts, against the embedded server and the real ones.

use std::{fs, path::Path};

use super::{mirror, url};
use crate::support::{
    program::Portolan,
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer},
};

fn parts(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".part")).count()
}

#[test]
fn a_staged_upload_that_fails_changes_nothing_and_says_so() {
    let stage = Rehearsal::start(&["stor-552@/in/sub*1"], false);
    stage.file("in/a", "old");
    stage.file("in/sub/b", "old");
    stage.file("in/gone", "old");
    let program = mirror(&stage).file("dist/a", "new bytes").file("dist/sub/b", "new bytes");
    let program = program.args(["--staged", "--delete", "--json", "dist", &url(&stage)]);
    let mut ran = program.run().fails_with(6).any_stderr().any_files();
    let report = ran.json();
    assert_eq!((&report["uploaded"], &report["failed"]), (&0.into(), &1.into()), "{report}");
    assert_eq!(report["placed"], serde_json::json!([]));
    let why = "not every file has arrived, so no file was renamed: the target is unchanged";
    assert_eq!(report["errors"][1]["message"], why);
    drop(ran.any_stdout());
    for name in ["in/a", "in/sub/b", "in/gone"] {
        assert_eq!(stage.bytes(name).unwrap(), b"old");
    }
    assert_eq!(parts(&stage.root().join("in")) + parts(&stage.root().join("in/sub")), 0);

    let mut ran = program.run().succeeds().any_stderr().any_files();
    let report = ran.json();
    assert_eq!(report["placed"], serde_json::json!(["a", "sub/b"]));
    drop(ran.any_stdout());
    assert!(stage.bytes("in/gone").is_none());
}

#[test]
fn a_dry_run_shows_what_a_staged_mirror_does_and_a_plan_keeps_it() {
    let stage = Rehearsal::start(&[], false);
    let scratch = tempfile::tempdir().unwrap();
    let (dist, plan) = (scratch.path().join("dist"), scratch.path().join("plan.json"));
    fs::create_dir_all(dist.join("sub")).unwrap();
    fs::write(dist.join("a"), "bytes").unwrap();
    fs::write(dist.join("sub/b"), "more").unwrap();
    let (dist, plan, there) = (dist.to_str().unwrap(), plan.to_str().unwrap(), url(&stage));
    let planned = mirror(&stage).args(["--staged", "--dry-run", "--plan", plan, dist, &there]);
    drop(planned.run().succeeds().any_stderr().stdout(
        "put  a  (new, 5 B)\nput  sub/b  (new, 4 B)\nmkdir  sub/\nrename  2 files  (when all have arrived)\n\
         would transfer 2 files (9 B) up, delete 0; 0 unchanged, 0 failed\n",
    ));
    let applied = mirror(&stage).args(["--json", "--apply", plan, dist, &there]);
    let mut ran = applied.run().succeeds().any_stderr();
    assert_eq!(ran.json()["placed"], serde_json::json!(["a", "sub/b"]));
}

#[test]
fn a_script_stages_both_ways_and_reads_what_was_placed() {
    let text = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD") });
        let up = site.mirror_up("dist", "in", #{ staged: true, delete: true, parallel: 2 });
        print(`${up.uploaded} ${up.deleted} ${up.placed}`);
        let down = site.mirror_down("in", "copy", #{ staged: true });
        print(`${down.downloaded} ${down.placed}`);
    "#;
    for kind in [Kind::Vsftpd, Kind::Proftpd] {
        let Some(server) = RealServer::start(kind, &Options::default()) else { continue };
        server.file("in/a", "old");
        server.file("in/gone", "old");
        server.own_all();
        let program = Portolan::new().server(&server).file("dist/a", "new bytes");
        let program = program.file("dist/sub/b", "new bytes").script(text);
        let words = "2 1 [\"a\", \"sub/b\"]\n2 [\"a\", \"sub/b\"]\n";
        let ran = program.run().succeeds().any_stderr().stdout(words);
        drop(ran.wrote("copy/a", "new bytes").wrote("copy/sub/b", "new bytes"));
        assert_eq!(server.bytes("in/sub/b"), b"new bytes");
        assert_eq!(parts(&server.root().join("in")), 0);
    }
}
