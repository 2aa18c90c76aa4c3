//! Tests of the black box itself, with a shell as the program.

use std::{fs, os::unix::ffi::OsStrExt, time::Instant};

use rustix::process::Signal;

use super::{Manifest, Portolan, RealServer, leaks};
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
    let said = format!("{} {}\n", server.url(), RealServer::PASSWORD);

    let program = shell("echo $SITE $SITE_PASSWORD; test -f $SITE_CA").server(&server);
    program.tells_secrets("it shows its environment").run().stdout(&said);
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
    a_failure_that_is_not_stated_fails: "exit 3", "it did not succeed", |ran| ran;
    output_that_is_not_stated_fails: "echo x", "the test expects nothing on stdout", |ran| ran.succeeds();
    errors_that_are_not_stated_fail: "echo x >&2", "the test expects nothing on stderr", |ran| ran.succeeds();
    a_file_that_is_not_stated_fails: "echo >f", "made or changed: f", |ran| ran.succeeds();
    a_folder_that_is_not_stated_fails: "mkdir d", "this folder to be made: d", |ran| ran.succeeds();
    a_removal_that_is_not_stated_fails: "rm old", "this to be removed: old", |ran| ran.succeeds();
    another_code_fails: "exit 4", "the exit code is not 5", |ran| ran.fails_with(5);
    a_signal_is_no_exit_code: "kill -INT $$", "the exit code is not 130", |ran| ran.fails_with(130);
    other_output_fails: "echo a", "stdout is not:\nb", |ran| ran.stdout("b\n");
    other_bytes_fail: "echo a >f", "f has not \"b\"", |ran| ran.wrote("f", "b");
    a_file_that_stays_as_it_was_was_not_written: ":", "old is as it was", |ran| ran.wrote("old", "");
    a_secret_that_is_said_fails: "echo hunter2", "it said \"hunter2\"", |ran| ran.any_stdout().never_says("hunter2");
}

/// A secret with what each encoding changes.
const CANARY: &str = "k\u{e4}n+a/r%\"y& 7";

/// Prints the text of the variable `FORM` to a file, whose name may have a secret in it.
const PLANTED: &str = "mkdir -p \"$(dirname \"$PLACE\")\" && printf 'x%sx' \"$FORM\" >\"$PLACE\"";

fn planted(form: &[u8], text: &str, place: &str) -> Portolan {
    let form = std::ffi::OsStr::from_bytes(form);
    shell(text).env("A_TOKEN", CANARY).env("FORM", form).env("PLACE", place)
}

/// Returns what the test says that fails because of this run; `None` if it passes.
fn failure(program: &Portolan) -> Option<String> {
    let run = || drop(program.run().any_code().any_stdout().any_stderr().any_files());
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).err()?;
    Some(failed.downcast_ref::<String>().unwrap().clone())
}

#[test]
fn a_secret_is_found_in_each_form_and_in_each_kind_of_place() {
    let forms = leaks::forms(CANARY);
    let named: std::collections::BTreeSet<_> = forms.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        named.into_iter().collect::<Vec<_>>(),
        [
            "Base64",
            "HTML-escaped",
            "JSON-escaped",
            "URL-encoded",
            "escaped",
            "hexadecimal",
            "plain"
        ]
    );
    let watched = tempfile::tempdir().unwrap();
    let folder = watched.path().to_str().unwrap();
    for (text, place, shown) in [
        ("printf 'x%sx' \"$FORM\"", "", "stdout"),
        ("printf 'x%sx' \"$FORM\" >&2", "", "stderr"),
        (PLANTED, "$HOME/.local/state/portolan/portolan.db", "portolan.db"),
        (PLANTED, "$HOME/.local/state/portolan/logs/run.log", "run.log"),
        (PLANTED, "$HOME/.cache/any", "any"),
        (PLANTED, "$TMPDIR/portolan-run-1/part", "portolan-run-1/part"),
        (PLANTED, "new/file", "new/file"),
        (PLANTED, "old", "old"),
        (PLANTED, "events.jsonl", "events.jsonl"),
        (PLANTED, "core", "core"),
        (PLANTED, "%/state/portolan.db", "portolan.db"),
        (PLANTED, "secrets/public", "secrets/public"),
    ] {
        for (_, form) in &forms {
            let text = format!("PLACE=\"{}\"; {text}", place.replace('%', folder));
            let program = planted(form, &text, "").file("old", "").watched(watched.path());
            let failed = failure(&program).unwrap_or_default();
            let is_told = failed.starts_with("a secret is in ") && failed.contains(shown);
            assert!(is_told, "{} in {shown}: {failed}", String::from_utf8_lossy(form));
        }
        fs::remove_dir_all(watched.path().join("state")).ok();
    }
    let failed =
        failure(&planted(b"", "mkdir state && : >\"state/server-k\u{e4}n+a%2Fr%25%22y&%207\"", ""));
    assert_eq!(failed, None, "no form is this one");
    let failed =
        failure(&planted(b"", "mkdir state && : >\"state/k%C3%A4n%2Ba%2Fr%25%22y%26%207\"", ""));
    assert!(failed.unwrap().starts_with("a secret is in the name "));
}

#[test]
fn a_secret_is_known_by_its_variable_its_url_or_its_file() {
    let said = |program: &Portolan| failure(program).is_some_and(|why| why.contains("in stdout"));
    let says = || shell("echo open+sesame-21");
    let canary = "open+sesame-21";
    let server = "ftp://me:open+sesame-21@h/";
    let netrc = "machine h login me password open+sesame-21\n";
    let jobs = "[job.connect]\npassword = \"open+sesame-21\"\n";
    assert!(!said(&says()));
    for program in [
        says().env("SITE_PASSWORD", canary),
        says().env("FTP", canary).file("a.rhai", "secret(\"FTP\")"),
        says().env("FTP", canary).file("portolan.toml", "password = \"secret:FTP\""),
        says().file("word", "open+sesame-21\n").args(["--password-file", "word"]),
        says().env("SITE", server),
        says().env("SITE", server.replace('+', "%2B")),
        says().args([server]),
        says().file("secrets/ACME", "open+sesame-21\n"),
        says().file(".netrc", netrc),
        says().file("portolan.toml", jobs),
        says().file("a.rhai", "ftp::connect(\"ftp://h\", #{ password: \"open+sesame-21\" });"),
    ] {
        assert!(said(&program));
        assert_eq!(failure(&program.tells_secrets("this is the point of it")), None);
    }
    // What is no secret: a word, which occurs by chance, and the name of one.
    for text in ["secret", "password", "short1", "two-words"] {
        assert_eq!(failure(&shell(&format!("echo {text}")).env("A_TOKEN", text)), None, "{text}");
    }
    assert!(leaks::is_searchable(RealServer::PASSWORD));
}

#[test]
fn a_secret_may_stand_where_a_user_writes_one() {
    let canary = "open+sesame-21";
    let program = || shell(":").env("A_TOKEN", canary);
    for name in [".netrc", "netrc", "portolan.toml", "sites.toml", "a.rhai", "secrets/ACME"] {
        let write = format!("umask 077; mkdir -p secrets; echo $A_TOKEN >{name}");
        assert_eq!(failure(&shell(&write).env("A_TOKEN", canary)), None, "{name}");
    }
    // A file of the test is its own, until the program writes to it.
    assert_eq!(failure(&program().file("any.txt", canary)), None);
    let failed = failure(&shell("echo >>any.txt").env("A_TOKEN", canary).file("any.txt", canary));
    assert!(failed.unwrap().contains("any.txt, plain"));
    // One who tells secrets does not keep them in his state.
    let told =
        shell("echo $A_TOKEN; mkdir -p ~/.local; echo $A_TOKEN >~/.local/log; echo $A_TOKEN >new");
    let failed = failure(&told.env("A_TOKEN", canary).tells_secrets("shown")).unwrap();
    assert!(failed.contains(".local/log, plain"), "{failed}");
}
