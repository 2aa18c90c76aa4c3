//! `portolan ls` and `du` with the flags of a shell; colours; what users of other programs type.

use std::fs;

use crate::{
    oneliners::{each, portolan, url},
    support::{
        program::Portolan,
        server::{Kind, Options, RealServer},
        tree::set_modified,
    },
};

fn grow(server: &RealServer) {
    // Listings have no time of day for files that are older than half a year.
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    for (path, size, hours) in [
        ("pub/a.csv", 2048, 2),
        ("pub/b.csv", 5, 6),
        ("pub/c.txt", 70, 4),
        ("pub/deep/d.csv", 1, 8),
    ] {
        server.file(path, "x".repeat(size));
        set_modified(&server.root().join(path), now - hours * 3600);
    }
}

#[test]
fn ls_sorts_recurses_and_totals_as_the_flags_say() {
    each(|server| {
        grow(server);
        let ls = |flags: &[&str], path: &str| {
            let ran = portolan(server).args(["ls"]).args(flags.iter().copied());
            let ran = ran.args([url(server, path)]).run().any_stderr();
            let text = ran.stdout_text().to_owned();
            drop(ran.any_stdout());
            text
        };
        assert_eq!(ls(&["-1"], "pub"), "a.csv\nb.csv\nc.txt\ndeep\n");
        assert_eq!(ls(&["-1r"], "pub/*.csv"), "pub/b.csv\npub/a.csv\n");
        assert_eq!(ls(&["-1", "--sort", "size", "--reverse"], "pub/?.*").lines().count(), 3);
        assert!(ls(&["-1S"], "pub").starts_with("a.csv\nc.txt\nb.csv\n"));
        let by_time = ls(&["-1t"], "pub");
        let files: Vec<_> = by_time.lines().filter(|name| name.contains('.')).collect();
        assert_eq!(files, ["a.csv", "c.txt", "b.csv"]);
        assert_eq!(ls(&["-1R"], "pub"), "a.csv\nb.csv\nc.txt\ndeep\ndeep/d.csv\n");
        let long = ls(&["-lhR"], "pub/");
        assert!(long.ends_with("\n4 files, 1 directory, 2.1 KiB\n"), "{long}");
        assert!(long.contains("  2.0 KiB  20") && long.contains("  deep/\n"), "{long}");
        assert_eq!(ls(&["--long", "--human-readable", "--recursive"], "pub/"), long);
        assert_eq!(ls(&["-la"], "pub").lines().count(), 5);
        let mut ran = portolan(server).args(["ls", "--json", "-R", &url(server, "pub")]).run();
        let paths: Vec<_> =
            ran.json().as_array().unwrap().iter().map(|one| one["path"].clone()).collect();
        assert_eq!(paths.len(), 5);
        assert!(paths[4].as_str().unwrap().ends_with("pub/deep/d.csv"), "{paths:?}");
        drop(ran.any_stderr());
        let none = portolan(server).args(["ls", &url(server, "pub/*.zip")]).run();
        none.fails_with(5).any_stderr();
        let total = portolan(server).args(["du", "-sh", &url(server, "pub")]).run().any_stderr();
        assert!(total.stdout_text().starts_with("2.1 KiB  "), "{}", total.stdout_text());
        drop(total.any_stdout());
    });
}

#[test]
fn h_without_a_url_is_help_and_a_wrong_key_is_refused_with_those_that_there_are() {
    for command in ["ls", "du"] {
        let long = Portolan::new().args([command, "--help"]).run();
        let text = long.stdout_text().to_owned();
        assert!(text.contains("-h"), "{text}");
        drop(long.any_stdout());
        Portolan::new().args([command, "-h"]).run().stdout(&text);
    }
    let wrong = Portolan::new().args(["ls", "--sort", "owner", "ftp://127.0.0.1:1/"]).run();
    wrong.fails_with(2).stderr_has("name, time, size");
    let none = Portolan::new().args(["ls"]).run().fails_with(2);
    none.stderr_has("portolan ls [OPTIONS] <URL>");
    let near = Portolan::new().args(["ls", "--recursiv", "ftp://127.0.0.1:1/"]).run();
    near.fails_with(2).stderr_has("a similar argument exists: '--recursive'");
}

#[test]
fn colours_are_as_the_user_wishes() {
    let Some(server) = RealServer::start(Kind::Proftpd, &Options::default()) else { return };
    let gone = url(&server, "gone.txt");
    let red = "\u{1b}[31merror: ";
    let ls = |flags: &[&str]| portolan(&server).args(["ls", &gone]).args(flags.iter().copied());
    ls(&["--color", "always"]).run().fails_with(5).stderr_has(red);
    ls(&["--color=always"]).env("NO_COLOR", "1").run().fails_with(5).stderr_has(red);
    for flags in [&[][..], &["--color", "auto"], &["--color=never"]] {
        ls(flags).run().fails_with(5).never_says("\u{1b}").stderr_has("error: ");
    }
    ls(&["--color", "sometimes"]).run().fails_with(2).stderr_has("auto, always, never");
    let plan = portolan(&server).file("dist/a", "1").args([
        "--color=always",
        "mirror",
        "--dry-run",
        "dist",
        &url(&server, "in"),
    ]);
    plan.run().any_stderr().stdout_has("\u{1b}[32mput  a").any_stdout();
    let wrong = Portolan::new().args(["--color=always", "nosuch"]).run();
    wrong.fails_with(2).stderr_has("\u{1b}[");
    Portolan::new()
        .args(["--color=never", "nosuch"])
        .run()
        .fails_with(2)
        .never_says("\u{1b}")
        .any_stderr();
}

#[test]
fn verbose_shows_the_dialogue_without_passwords() {
    let Some(server) = RealServer::start(Kind::PureFtpd, &Options::default()) else { return };
    server.file("a.txt", "1");
    let ran = portolan(&server).args(["-v", "get", &url(&server, "a.txt")]).run();
    let ran = ran.never_says(RealServer::PASSWORD).stderr_has("> USER tester");
    let ran = ran.stderr_has("< 220").stderr_has("1 down, 1 B in").wrote("a.txt", "1");
    assert_eq!(ran.stderr_text().matches("a.txt  1 B").count(), 1, "{}", ran.stderr_text());
    drop(ran);
    let both = portolan(&server).args(["-v", "-q", "ls", &server.url()]).run();
    both.fails_with(2).stderr_has("cannot be used with");
}

#[test]
fn words_of_other_programs_are_answered_with_ours() {
    for (line, wanted) in [
        (&["sync", "a", "ftp://h/"][..], "hint: `portolan mirror --delete SOURCE TARGET`"),
        (&["upload", "a"], "hint: `portolan put FILE"),
        (&["lftp", "h"], "hint: `portolan shell URL`"),
        (&["logs"], "hint: `portolan runs`"),
        (&["ls", "-k", "ftpes://h/"], "hint: --set pin=SHA256"),
        (&["get", "-u", "me:secret", "ftp://h/a"], "hint: the user is in the URL"),
        (&["mirror", "--bwlimit=1M", "a", "ftp://h/"], "hint: --rate-limit RATE"),
        (&["get", "-c", "ftp://h/a"], "hint: --resume"),
    ] {
        let ran = Portolan::new().args(line.iter().copied()).run().fails_with(2);
        let ran = ran.stderr_has(wanted).never_says("similar");
        assert!(!ran.stderr_text().contains("value, use"), "{}", ran.stderr_text());
    }
}

#[test]
fn long_listings_reach_a_pipe_whole() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    for number in 0..300 {
        server.file(&format!("many/{number:03}"), "");
    }
    let ran =
        portolan(&server).env("PAGER", "false").args(["ls", "-1", &url(&server, "many")]).run();
    assert_eq!(ran.stdout_text().lines().count(), 300);
    drop(ran.any_stdout().any_stderr());
    fs::remove_dir_all(server.root().join("many")).unwrap();
}
