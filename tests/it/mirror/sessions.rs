//! The number of sessions that a mirror uses unless it is told otherwise, and that a server accepts.

use std::fs;

use super::{mirror, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal};
use portolan::rehearse::ServerSetup;

/// Enough files for more sessions than the servers of the tests accept.
const FILES: usize = 60;

fn tree(stage: &Rehearsal, name: &str) {
    for number in 0..FILES {
        stage.file(&format!("in/{name}-{number}"), "text");
    }
}

/// Returns the number of sessions that the server has refused.
fn refused(stage: &Rehearsal) -> usize {
    stage.server.log().iter().filter(|line| line.contains("< 421 ")).count()
}

/// Returns the number of sessions that were logged in.
fn logins(stage: &Rehearsal) -> usize {
    stage.server.log().iter().filter(|line| line.contains("< 230 ")).count()
}

#[test]
fn several_sessions_are_used_unless_another_number_is_named() {
    let stage = Rehearsal::start(&[], false);
    tree(&stage, "a");
    for (options, least, most) in [
        (&[][..], 2, 32),
        (&["--parallel", "1"], 1, 1),
        (&["--set", "parallel=3"], 2, 3),
        (&["--parallel", "auto"], 2, 32),
    ] {
        let before = logins(&stage);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().to_str().unwrap();
        let ran = mirror(&stage).args(options.iter().copied()).args([&*url(&stage), target]).run();
        drop(ran.succeeds().any_stdout().any_stderr());
        assert_eq!(fs::read_dir(target).unwrap().count(), FILES, "{options:?}");
        let count = logins(&stage) - before;
        assert!((least..=most).contains(&count), "{options:?}: {count} sessions");
    }
}

#[test]
fn the_number_that_a_server_accepts_is_remembered() {
    let stage = Rehearsal::start_with(|setup| ServerSetup { sessions_max: 1, ..setup });
    let program = mirror(&stage);
    let run = |options: &[&str]| {
        let before = refused(&stage);
        let url = url(&stage);
        let sides = [&*url, "copy", "--state", "state", "--delete"];
        let ran = program.clone_with([&sides[..], options].concat()).run();
        (ran.succeeds().any_stdout().any_files(), refused(&stage) - before)
    };
    tree(&stage, "a");
    let (ran, count) = run(&[]);
    // No more sessions were requested: that the server refused them is not reported.
    drop(ran.never_says("sessions").any_stderr());
    assert!(count > 0);
    for name in ["b", "c"] {
        tree(&stage, name);
        let (ran, count) = run(&[]);
        drop(ran.any_stderr());
        assert_eq!(count, 0, "{name}");
    }
    let copied = fs::read_dir(program.folder().join("copy")).unwrap().count();
    assert_eq!(copied, 3 * FILES);
}

#[test]
fn a_connection_with_one_session_gets_no_more() {
    let stage = Rehearsal::start(&[], false);
    let program =
        Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args(["--no-progress"]);
    fs::create_dir(program.folder().join("site")).unwrap();
    for number in 0..FILES {
        fs::write(program.folder().join(format!("site/{number}")), "x").unwrap();
    }
    for command in [&["mirror", "site"][..], &["deploy", "site"], &["put", "-r", "site"]] {
        let before = logins(&stage);
        let target = format!("{}{}/", url(&stage), command[0]);
        let ran = program.clone_with([command, &[&*target, "--set", "parallel=1"]].concat()).run();
        drop(ran.succeeds().any_stdout().any_stderr().any_files());
        assert_eq!(logins(&stage) - before, 1, "{command:?}");
    }
}
