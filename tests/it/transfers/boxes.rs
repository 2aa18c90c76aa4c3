//! Drop boxes: servers that refuse to rename, to delete, to list, or to take names of a certain kind.

use std::fs;

use serde_json::Value;

use super::{portolan, script, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Returns the temporary files in the directory `in` of the server.
fn parts(stage: &Rehearsal) -> Vec<String> {
    let names = fs::read_dir(stage.root().join("in")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains("portolan-")).collect();
    names.sort();
    names
}

fn stage(faults: &[&str]) -> Rehearsal {
    let stage = Rehearsal::start(faults, false);
    fs::create_dir(stage.root().join("in")).unwrap();
    stage
}

fn put(stage: &Rehearsal, extra: &[&str]) -> Portolan {
    let program = portolan().file("a.csv", "1,2,3\n").args(["--json", "put"]);
    program.args(extra).args(["a.csv", &url(stage, "in/")])
}

/// The commands of an upload that a server refuses.
const REFUSALS: [&[&str]; 6] = [
    &["reply=rnfr:502 not implemented"],
    &["reply=rnto:553 not allowed"],
    &["reply=rnfr:550 permission denied", "delete-refused"],
    &["rename-refused", "delete-refused", "list-550", "no-mlst"],
    &["rename-refused", "list-550", "no-mlst", "no-size", "reply=mdtm:550 no"],
    &["reply=rnfr:550 not yours", "list-550", "no-mlst", "reply=size:550 no", "delete-refused"],
];

#[test]
fn a_new_file_gets_into_a_box_that_refuses_renames_and_the_report_says_how() {
    for faults in REFUSALS {
        let stage = stage(faults);
        let mut ran = put(&stage, &[]).run();
        let report: Value = ran.json();
        assert_eq!((&report["uploaded"], &report["in_place"]), (&1.into(), &1.into()), "{report}");
        drop(ran.any_stdout());
        assert_eq!(stage.bytes("in/a.csv").unwrap(), b"1,2,3\n", "{faults:?}");
    }
}

#[test]
fn a_mirror_says_once_that_files_go_under_their_final_names() {
    let stage = stage(&["rename-refused"]);
    let files = (0..40).fold(portolan(), |program, number| {
        program.file(format!("out/{number}"), format!("{number}"))
    });
    let ran = files.args(["mirror", "out", &url(&stage, "in")]).run().any_stdout().any_files();
    assert_eq!(ran.stderr_text().matches("under their final names at once").count(), 1);
    drop(ran.any_stderr());
}

#[test]
fn what_stands_under_the_name_is_written_over_only_when_told_so() {
    for faults in REFUSALS.iter().take(3) {
        let stage = stage(faults);
        stage.file("in/a.csv", "old");
        for extra in [&[][..], &["--inplace=auto"], &["--inplace=false"]] {
            let ran = put(&stage, extra).run().fails_with(5).any_stdout();
            drop(ran.stderr_has("the server refused to rename it from `.portolan-"));
            assert_eq!(stage.bytes("in/a.csv").unwrap(), b"old", "{faults:?}");
        }
        let mut ran = put(&stage, &["--inplace"]).run().any_stderr();
        assert_eq!(ran.json()["in_place"], 1);
        assert_eq!(stage.bytes("in/a.csv").unwrap(), b"1,2,3\n", "{faults:?}");
    }
}

#[test]
fn a_refusal_names_the_name_and_the_remedy_and_is_final_with_inplace_off() {
    for faults in REFUSALS.iter().take(2) {
        let stage = stage(faults);
        let ran = put(&stage, &["--inplace=false"]).run().fails_with(5).any_stdout();
        let ran = ran.stderr_has("/in/a.csv: the server refused to rename it from `.portolan-");
        drop(ran.stderr_has("hint: `--inplace`"));
        assert!(stage.bytes("in/a.csv").is_none());
        assert_eq!(parts(&stage), [""; 0]);
    }
}

#[test]
fn where_nothing_can_be_deleted_leftovers_do_not_become_more() {
    for inplace in ["--inplace=auto", "--inplace=false"] {
        let stage = stage(&["rename-refused", "delete-refused"]);
        let program = put(&stage, &[inplace]);
        for _ in 0..3 {
            drop(program.run().any_end().any_stderr().any_stdout());
            assert_eq!(parts(&stage).len(), 1);
            fs::remove_file(stage.root().join("in/a.csv")).ok();
        }
    }
}

#[test]
fn a_mirror_fills_a_box_that_refuses_renames() {
    for faults in [&["rename-refused"][..], &["reply=rnfr:502 no", "delete-refused"]] {
        let stage = stage(faults);
        let program = portolan().file("out/a", "aa").file("out/sub/b", "bbb").file("out/c", "");
        let program = program.args(["--json", "mirror", "out", &url(&stage, "in")]);
        let mut ran = program.run().any_stderr().any_files();
        let report = ran.json();
        assert_eq!((&report["uploaded"], &report["in_place"]), (&3.into(), &3.into()), "{report}");
        drop(ran.any_stdout());
        assert_eq!(stage.bytes("in/sub/b").unwrap(), b"bbb");
        // An existing file is not replaced.
        let program = program.file("out/a", "changed");
        drop(program.run().fails_with(6).any_stdout().any_stderr().any_files());
        assert_eq!(stage.bytes("in/a").unwrap(), b"aa");
    }
}

#[test]
fn a_staged_mirror_never_goes_under_final_names_at_once() {
    let stage = stage(&["rename-refused"]);
    let program = portolan().file("out/a", "aa");
    let staged = ["mirror", "--staged", "out", &url(&stage, "in")];
    let ran = program.clone().args(staged).run().fails_with(6).any_stdout().any_files();
    drop(ran.stderr_has("refused to rename"));
    assert!(stage.bytes("in/a").is_none());
    let both = ["mirror", "--staged", "--inplace", "out", &url(&stage, "in")];
    drop(program.args(both).run().fails_with(2).stderr_has("`inplace` gives each file its name"));
}

#[test]
fn names_with_a_dot_at_their_beginning_may_be_forbidden() {
    for (name, bytes) in [("a.csv", "1,2,3\n"), ("b", ""), ("long name.txt", "x")] {
        let stage = stage(&["dot-names-refused"]);
        stage.file(&format!("in/{name}"), "old");
        let program = portolan().file(name, bytes);
        let to = url(&stage, &format!("in/{}", name.replace(' ', "%20")));
        let mut ran = program.args(["--json", "put", name, &to]).run().any_stderr();
        assert_eq!(ran.json()["in_place"], 0);
        assert_eq!(stage.bytes(&format!("in/{name}")).unwrap(), bytes.as_bytes());
        assert_eq!(parts(&stage), [""; 0]);
    }
    let stage = stage(&["dot-names-refused"]);
    let program = portolan().file("out/a", "aa").file("out/b", "bb");
    let mirror = ["--json", "mirror", "--delete", "out", &url(&stage, "in")];
    let mut ran = program.args(mirror).run().any_stderr().any_files();
    assert_eq!(ran.json()["uploaded"], 2);
    drop(ran.any_stdout());
    assert_eq!(parts(&stage), [""; 0]);
}

#[test]
fn scripts_write_to_boxes_as_well() {
    let stage = stage(&["rename-refused", "delete-refused"]);
    let text = r#"
        let report = site.put("a.csv", "/in/", #{ inplace: "auto" });
        print(report.in_place);
        site.write("/in/b", "text");
        try { site.put("a.csv", "/in/b", #{ inplace: false }); } catch (err) { print(err.message.contains("refused to rename")); }
        print(site.put("a.csv", "/in/b", #{ inplace: true }).in_place);
    "#;
    let ran = portolan().file("a.csv", "1,2").script(&script(&stage, text)).run().any_stderr();
    drop(ran.stdout("1\ntrue\n1\n"));
    assert_eq!(stage.bytes("in/b").unwrap(), b"1,2");
}
