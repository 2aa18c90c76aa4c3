//! The report of a run: each failure is named with its reason, and no action is reported that was not done.

use std::fs;

use super::{mirror, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Runs the program, which must end with `code`, and returns its standard error.
fn said(program: &Portolan, code: i32) -> String {
    let ran = program.run().any_stdout().any_stderr().any_files();
    let ran = if code == 0 { ran.succeeds() } else { ran.fails_with(code) };
    ran.stderr_text().to_owned()
}

#[test]
fn a_delete_that_is_refused_is_named_with_its_reason_and_not_said_to_be_done() {
    for (reply, words) in [
        ("553 Prohibited file name: .ftpquota", "Prohibited file name"),
        ("550 Operation not permitted.", "Operation not permitted."),
        ("450 File is in use.", "File is in use."),
    ] {
        for first in [true, false] {
            let fault = format!("reply=dele:{reply}@/in/.ftpquota");
            let stage = Rehearsal::start(&[&fault], false);
            let program = mirror(&stage).file("dist/a", "bytes").file("dist/b", "bytes");
            let program = program.args(["--delete", "--retries", "0", "dist", &url(&stage)]);
            if !first {
                drop(program.run().succeeds().any_stdout().any_stderr().any_files());
            }
            stage.file("in/.ftpquota", "0 0");
            for _ in 0..2 {
                let said = said(&program, 6);
                let line =
                    said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
                assert!(line.contains("/in/.ftpquota: ") && line.contains(words), "{said}");
                assert!(!said.contains(", deleted"), "{said}");
                assert!(stage.bytes("in/.ftpquota").is_some());
            }
            let words = "warning: .ftpquota: added to the target since the last run, not deleted";
            assert!(said(&program, 6).contains(words));
        }
    }
}

#[test]
fn a_folder_that_stays_and_a_file_that_cannot_be_read_are_named_with_their_reasons() {
    let stage = Rehearsal::start(&["reply=rmd:550 Directory not empty."], false);
    let program = mirror(&stage).file("dist/a", "bytes");
    fs::create_dir(stage.root().join("in/old")).unwrap();
    let program = program.args(["--delete", "dist", &url(&stage)]);
    let said = said(&program, 6);
    assert!(said.contains("error: /in/old: "), "{said}");
    assert!(said.contains("Directory not empty."), "{said}");
}

#[test]
fn what_a_failure_kept_from_being_tried_is_named_with_that_failure() {
    let stage = Rehearsal::start(&["reply=mkd:550 No space for folders.@/in/sub"], false);
    let program = mirror(&stage).file("dist/a", "bytes").file("dist/sub/b", "bytes");
    let program = program.file("dist/sub/c", "bytes").args(["dist", &url(&stage)]);
    let said = said(&program, 6);
    let words = "error: 2 files were not tried (sub/b, sub/c), since this failed: ";
    let line = said.lines().find(|line| line.starts_with(words)).unwrap_or_default();
    assert!(line.contains("No space for folders."), "{said}");
    assert_eq!(stage.bytes("in/a").as_deref(), Some(&b"bytes"[..]));
}

#[test]
fn of_a_box_that_shows_nothing_nothing_is_claimed() {
    for box_fault in ["reply=mlsd:550 Permission denied.@/in", "reply=mlsd:553 Not allowed.@/in"] {
        let list = box_fault.replace("mlsd", "list");
        let stage = Rehearsal::start(&[box_fault, &list], false);
        let program = mirror(&stage).file("dist/a", "one").file("dist/b", "two");
        let program = program.args(["dist", &url(&stage)]);
        for round in 0..3 {
            let said = said(&program, 0);
            for claim in ["made", "removed", "put back"] {
                assert!(!said.contains(claim), "round {round}: {said}");
            }
            assert_eq!(stage.bytes("in/b").as_deref(), Some(&b"two"[..]));
        }
    }
}

#[test]
fn a_file_that_is_deleted_for_having_changed_is_said_to_be_deleted() {
    let stage = Rehearsal::start(&[], false);
    let program = mirror(&stage).file("dist/a", "bytes").file("dist/b", "bytes");
    let program = program.args(["--delete", "dist", &url(&stage)]);
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    stage.file("in/a", "changed by somebody else");
    fs::remove_file(program.folder().join("dist/a")).unwrap();
    let dry = said(&program.clone_with(["--dry-run"]), 0);
    assert!(dry.contains("a: changed in the target since the last run, to be deleted"), "{dry}");
    let done = said(&program, 0);
    assert!(done.contains("a: changed in the target since the last run, deleted"), "{done}");
}

#[test]
fn the_trash_may_be_on_another_disk() {
    let Ok(trash) = tempfile::tempdir_in("/dev/shm") else { return };
    let stage = Rehearsal::start(&[], false);
    for name in ["a", "sub/b", "sub/c"] {
        stage.file(&format!("in/{name}"), name);
    }
    let place = trash.path().to_str().unwrap();
    let program = mirror(&stage);
    let program = program.args(["--delete", "--trash", place, &url(&stage), "copy"]);
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    for round in ["first", "second"] {
        fs::write(program.folder().join("copy/gone"), round).unwrap();
        drop(program.run().succeeds().any_stdout().any_stderr().any_files());
        assert!(!program.folder().join("copy/gone").exists());
    }
    let mut kept: Vec<_> =
        fs::read_dir(trash.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    let kept: Vec<_> = kept.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(kept, ["first", "second"]);
}
