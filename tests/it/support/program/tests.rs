//! Tests of the black box itself, with a shell as the program.

use std::time::Instant;

use rustix::process::Signal;

use super::{Manifest, Portolan, RealServer};
use crate::support::server::{Kind, Options};

fn shell(text: &str) -> Portolan {
    Portolan::played_by("/bin/sh").args(["-c", text])
}

#[test]
fn a_run_is_told_apart_by_code_output_and_errors() {
    shell("echo out; echo err >&2; exit 5").run().fails_with(5).stdout("out\n").stderr("err\n");
    shell("exit 0").run().succeeds();
    let ran = shell("echo 'one two'; echo three >&2").run();
    assert_eq!((ran.stdout_text(), ran.stderr_text()), ("one two\n", "three\n"));
    ran.succeeds().stdout_has("two").stderr_has("three").never_says("four");
    shell("echo a; echo b >&2").run().any_stdout().any_stderr();
}

#[test]
fn a_run_has_its_own_folder_home_input_and_environment() {
    shell("cat; cat a/b.txt; echo $SITE; ls -A $HOME; env | grep -c SECRET; pwd")
        .file("a/b.txt", "file ")
        .stdin("input ")
        .env("SITE", "ftp://example")
        .run()
        .fails_with(0)
        .stdout_has("input file ftp://example\n0\n");
    assert!(shell("").folder().is_absolute());
}

#[test]
fn a_script_finds_its_server_in_the_environment() {
    let Some(server) = RealServer::start(Kind::PureFtpd, &Options::default()) else { return };
    let said = format!("{} secret\n", server.url());

    shell("echo $SITE $SITE_PASSWORD; test -f $SITE_CA").server(&server).run().stdout(&said);
}

#[test]
fn the_files_it_touches_are_stated_one_by_one_or_as_a_tree() {
    let portolan = shell("mkdir -p new/sub; echo 1 >new/sub/a; echo 2 >b; rm -r c").file("c/d", "");
    let ran = portolan.run().wrote("new/sub/a", "1\n").wrote("b", "2\n").removed("c");
    let tree = Manifest::of(ran.folder());
    drop(ran);
    let again =
        shell("mkdir -p top/new/sub; echo 1 >top/new/sub/a; echo 2 >top/b; rm b").file("b", "");
    again.run().wrote_tree("top", &tree).removed("b");
    portolan.run().fails_with(1).any_stderr().any_files();
}

#[test]
fn a_script_is_run_by_the_program_itself() {
    let portolan = Portolan::new().script("");
    assert_eq!(portolan.arguments, ["run", "script.rhai"]);
    assert!(portolan.folder().join("script.rhai").is_file());
}

#[test]
fn json_is_read_as_one_document() {
    let mut ran = shell(r#"echo '{"at": [1, 2]}'"#).run();
    assert_eq!(ran.json()["at"][1], 2);
}

#[test]
fn a_running_program_can_be_watched_and_interrupted() {
    let running =
        shell("trap 'exit 130' TERM; echo ready; echo set >&2; while :; do sleep 0.01; done")
            .spawn();
    running.until_stdout_has("ready");
    running.until_stderr_has("set");
    // Not INT: a shell ignores it if the tests run in the background.
    running.signal(Signal::TERM);
    running.wait().fails_with(130).stdout("ready\n").stderr("set\n");
    let running = shell("echo ready; sleep 50").spawn();
    running.until_stdout_has("ready");
    running.signal(Signal::KILL);
    drop(running);
    shell("kill -TERM $$").run().killed_by(15);
}

#[test]
fn a_program_that_is_dropped_is_killed() {
    let began = Instant::now();
    drop(shell("sleep 50").spawn());
    assert!(began.elapsed().as_secs() < 40);
}

macro_rules! must_fail {
    ($($name:ident: $text:literal, $why:literal, |$ran:ident| $checks:expr;)*) => {$(
        #[test]
        #[should_panic(expected = $why)]
        fn $name() {
            let $ran = shell($text).file("old", "").run();
            drop($checks);
        }
    )*};
}

must_fail! {
    a_failure_that_nobody_states_fails: "exit 3", "it did not succeed", |ran| ran;
    output_that_nobody_states_fails: "echo x", "nobody expected anything on stdout", |ran| ran.succeeds();
    errors_that_nobody_states_fail: "echo x >&2", "nobody expected anything on stderr", |ran| ran.succeeds();
    a_file_that_nobody_states_fails: "echo >f", "made or changed: f", |ran| ran.succeeds();
    a_folder_that_nobody_states_fails: "mkdir d", "this folder to be made: d", |ran| ran.succeeds();
    a_removal_that_nobody_states_fails: "rm old", "this to be removed: old", |ran| ran.succeeds();
    another_code_fails: "exit 4", "the exit code is not 5", |ran| ran.fails_with(5);
    a_signal_is_no_exit_code: "kill -INT $$", "the exit code is not 130", |ran| ran.fails_with(130);
    other_output_fails: "echo a", "stdout is not:\nb", |ran| ran.stdout("b\n");
    other_bytes_fail: "echo a >f", "f has not \"b\"", |ran| ran.wrote("f", "b");
    a_file_that_stays_as_it_was_was_not_written: ":", "old is as it was", |ran| ran.wrote("old", "");
    a_secret_that_is_said_fails: "echo hunter2", "it said \"hunter2\"", |ran| ran.any_stdout().never_says("hunter2");
}
