//! Single transfers that are retried after transient failures.

use std::fs;

use super::{portolan, script, url};
use crate::support::rehearsal::Rehearsal;

/// The failures that happen once or twice and then no more.
const PASSING: [&[&str]; 7] = [
    &["drop-after=3000*1"],
    &["retr-426*2"],
    &["hang-up=retr*1"],
    &["busy-421=retr*1"],
    &["reply=retr:450 file busy*2"],
    &["retr-425*1"],
    &["short=10*1"],
];

#[test]
fn get_tries_again_what_may_pass() {
    for faults in PASSING {
        for resume in [&[][..], &["--resume"], &["--parallel", "2"]] {
            let stage = Rehearsal::start(faults, false);
            let bytes: Vec<u8> = (0..=255).cycle().take(2_200_000).collect();
            stage.file("f", &bytes);
            let program = portolan().args(["get"]).args(resume).args([&url(&stage, "f"), "f"]);
            let ran = program.run().any_stderr().any_files();
            assert!(fs::read(ran.folder().join("f")).unwrap() == bytes, "{faults:?} {resume:?}");
            assert_eq!(fs::read_dir(ran.folder()).unwrap().count(), 1, "{faults:?} {resume:?}");
        }
    }
}

#[test]
fn put_tries_again_what_may_pass() {
    for faults in [
        &["stor-drop=3000*1"][..],
        &["stor-451*2"],
        &["stor-425*1"],
        &["hang-up=stor*1"],
        &["busy-421=rnfr*1"],
        &["hang-up-after=stor*1"],
    ] {
        let stage = Rehearsal::start(faults, false);
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let program = portolan().file("f", &bytes).args(["put", "f", &url(&stage, "f")]);
        drop(program.run().any_stderr());
        assert!(stage.bytes("f").unwrap() == bytes, "{faults:?}");
    }
}

#[test]
fn without_retries_the_first_failure_counts_and_one_that_stays_is_told() {
    for (faults, retries, code) in
        [("drop-after=30*1", "0", 4), ("retr-426", "1", 4), ("reply=retr:550 no", "4", 5)]
    {
        let stage = Rehearsal::start(&[faults], false);
        stage.file("f", vec![7; 50_000]);
        let program = portolan().args(["get", "--retries", retries, &url(&stage, "f"), "f"]);
        let ran = program.run().fails_with(code).any_stderr();
        let again = ran.stderr_text().matches("trying again").count();
        assert_eq!(again, usize::from(retries == "1"), "{faults}");
    }
}

#[test]
fn scripts_try_again_as_often_as_they_say() {
    let stage = Rehearsal::start(&["retr-426*1", "stor-451*1"], false);
    stage.file("f", "bytes");
    let text = r#"
        let caught = false;
        try { site.get("/f", "f", #{ retries: 0 }); } catch (err) { caught = true; }
        site.get("/f", "f", #{ retries: 1 });
        site.put("f", "/g");
        print(`${caught} ${site.read("/g")}`);
    "#;
    let ran = portolan().script(&script(&stage, text)).run().any_stderr().any_files();
    drop(ran.stdout("true bytes\n"));
}

#[test]
fn verify_wants_a_size_to_compare_with() {
    let stage = Rehearsal::start(&["no-size", "no-mlsd", "no-mlst", "list-550"], false);
    stage.file("f", "bytes");
    let text = r#"
        let told = [];
        try { site.get("/f", "f", #{ verify: true }); } catch (err) { told.push(err.kind); }
        site.get("/f", "f");
        site.put("f", "/h", #{ verify: false });
        print(told);
    "#;
    let ran = portolan().script(&script(&stage, text)).run().any_stderr().any_files();
    drop(ran.stdout("[\"unsupported\"]\n"));
}

/// Checks for a server that keeps the position of a REST whose transfer it refused, and begins the next one there.
#[test]
fn a_refused_piece_leaves_no_position_behind_for_the_next() {
    for refusals in ["retr:450 file busy*1", "retr:450 file busy*2", "retr:451 try later*3"] {
        let stage = Rehearsal::start(&[&format!("reply={refusals}")], false);
        let bytes: Vec<u8> = (0..=250).cycle().take(2_300_000).collect();
        stage.file("f", &bytes);
        let program = portolan().args(["get", "--parallel", "2", &url(&stage, "f"), "f"]);
        let ran = program.run().any_stderr().any_files();
        assert!(fs::read(ran.folder().join("f")).unwrap() == bytes, "{refusals}");
    }
}
