//! `get`, `put`, `rm` with several files, patterns, directories and pipes; `cat`, `mv`, `mkdir`, `chmod`, `find`, `du`, `hash`.

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    process::Command,
};

use crate::{
    oneliners::{each, portolan, url},
    support::{
        program::{Portolan, leaks::assert_kept},
        rehearsal::Rehearsal,
        server::{Kind, Options, RealServer},
    },
};

/// Returns the program with the password of the embedded server.
fn embedded() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21")
}

/// Returns the URL of `path` on the embedded server.
fn embedded_url(server: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", server.site.port)
}

#[test]
fn several_files_patterns_and_folders_go_both_ways() {
    each(|server| {
        fs::create_dir(server.root().join("in")).unwrap();
        server.own_all();
        let put = portolan(server).file("a.csv", "a").file("b.csv", "bb").file("c.txt", "ccc");
        let put = put.args(["put", "a.csv", "b.csv", "c.txt", &url(server, "in/")]).run();
        put.stderr_has("3 up, 6 B in ");
        for (name, bytes) in [("a.csv", "a"), ("b.csv", "bb"), ("c.txt", "ccc")] {
            assert_eq!(server.bytes(&format!("in/{name}")), bytes.as_bytes());
        }
        let get = portolan(server).args(["get", &url(server, "in/*.csv"), "new/"]).run();
        get.stderr_has("2 down").wrote("new/a.csv", "a").wrote("new/b.csv", "bb");
        let two = [url(server, "in/a.csv"), url(server, "in/c.txt")];
        let get = portolan(server).args(["get", &two[0], &two[1]]).run();
        get.any_stderr().wrote("a.csv", "a").wrote("c.txt", "ccc");
        let put = portolan(server).file("tree/x/deep", "1").file("tree/y", "2");
        put.args(["put", "-r", "tree", &url(server, "in/")]).run().any_stderr();
        assert_eq!(server.bytes("in/tree/x/deep"), b"1");
        let get = portolan(server).args(["get", "-r", &url(server, "in/tree")]).run();
        get.any_stderr().wrote("tree/x/deep", "1").wrote("tree/y", "2");
        // Nothing is removed by a copy.
        let put = portolan(server).file("tree/z", "3");
        put.args(["put", "-r", "tree", &url(server, "in/")]).run().any_stderr();
        assert_eq!(server.bytes("in/tree/y"), b"2");
    });
}

#[test]
fn one_of_several_that_fails_does_not_stop_the_others() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    server.file("a", "1");
    server.file("b", "2");
    let all = ["a", "gone", "b"].map(|name| url(&server, name));
    let get = portolan(&server).args(["get", &all[0], &all[1], &all[2]]).run();
    get.fails_with(6).stderr_has("gone").wrote("a", "1").wrote("b", "2");
    let none = portolan(&server).args(["get", &all[1], &url(&server, "none")]).run();
    none.fails_with(5).stderr_has("gone").stderr_has("none");
    let none = portolan(&server).args(["get", &url(&server, "*.csv")]).run();
    none.fails_with(5).stderr_has("no file matches `*.csv`");
}

#[test]
fn standard_input_and_output_are_files_of_unknown_length() {
    each(|server| {
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
        let put = portolan(server).stdin(bytes.clone()).args(["put", "-", &url(server, "big")]);
        put.run().stderr_has("1 up");
        assert!(server.bytes("big") == bytes);
        let program = env!("CARGO_BIN_EXE_portolan");
        let folder = tempfile::tempdir().unwrap();
        let ca = format!("ca_file={}", server.ca().display());
        for command in [&["get", "URL", "-"][..], &["cat", "URL"]] {
            let got = Command::new(program)
                .args(["--set", &ca])
                .args(command.iter().map(|word| word.replace("URL", &url(server, "big"))))
                .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
                .env("HOME", folder.path())
                .current_dir(&folder)
                .output()
                .unwrap();
            assert!(got.status.success() && got.stdout == bytes, "{command:?}");
            assert_kept(&[RealServer::PASSWORD], &got, folder.path());
        }
        server.file("small", "x\n");
        let both = portolan(server).args(["cat", &url(server, "small"), &url(server, "small")]);
        both.run().any_stderr().stdout("x\nx\n");
        let nameless = portolan(server).stdin("x").args(["put", "-", &url(server, "")]).run();
        nameless.fails_with(2).stderr_has("standard input has no name");
    });
}

#[test]
fn a_named_pipe_and_a_device_are_written_to_and_stay() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    server.file("a", "content");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = pipe.to_str().unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    portolan(&server).args(["get", &url(&server, "a"), text]).run().any_stderr();
    assert_eq!(reader.join().unwrap(), b"content");
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(b"back").unwrap()
    });
    portolan(&server).args(["put", text, &url(&server, "b")]).run().any_stderr();
    writer.join().unwrap();
    assert_eq!(server.bytes("b"), b"back");
    portolan(&server).args(["get", &url(&server, "a"), "/dev/null"]).run().any_stderr();
    assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_stream_survives_a_failed_data_connection_and_a_broken_one_early() {
    for faults in
        [&["pasv-refused"][..], &["drop-after=100*1"], &["stor-drop=100*1"], &["active-425"]]
    {
        let server = Rehearsal::start(faults, false);
        let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let there = embedded_url(&server, "a");
        let put = embedded().stdin(bytes.clone()).args(["put", "-", &there]).run();
        put.any_stderr();
        assert!(server.bytes("a").as_ref() == Some(&bytes), "{faults:?}");
        let folder = tempfile::tempdir().unwrap();
        let got = Command::new(env!("CARGO_BIN_EXE_portolan"))
            .args(["get", &there, "-"])
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .env("HOME", folder.path())
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(got.status.success() && got.stdout == bytes, "{faults:?}");
        assert_kept(&["open+sesame-21"], &got, folder.path());
    }
}

#[test]
fn what_exists_is_replaced_left_or_gets_company() {
    each(|server| {
        server.file("a.csv", "new");
        let get = |how: &str| {
            let program = portolan(server).file("a.csv", "old");
            program.args(["get", "--on-exists", how, &url(server, "a.csv"), "a.csv"]).run()
        };
        get("overwrite").any_stderr().wrote("a.csv", "new");
        get("skip").any_stderr();
        get("fail").fails_with(7).stderr_has("a.csv: it exists already");
        get("rename").any_stderr().wrote("a.1.csv", "new");
        let put = |how: &str| {
            let program = portolan(server).file("b.csv", "newer");
            program.args(["put", "--on-exists", how, "b.csv", &url(server, "a.csv")]).run()
        };
        put("skip").any_stderr();
        put("fail").fails_with(7).stderr_has("a.csv: it exists already");
        put("rename").any_stderr();
        assert_eq!(
            (server.bytes("a.csv"), server.bytes("a.1.csv")),
            (b"new".into(), b"newer".into())
        );
        put("overwrite").any_stderr();
        assert_eq!(server.bytes("a.csv"), b"newer");
        get("sometimes").fails_with(2).stderr_has("overwrite");
    });
}

#[test]
fn a_moved_source_goes_only_after_a_verified_transfer() {
    each(|server| {
        server.file("a", "1");
        portolan(server)
            .args(["get", "--move", &url(server, "a")])
            .run()
            .any_stderr()
            .wrote("a", "1");
        assert!(!server.root().join("a").exists());
        let put =
            portolan(server).file("b", "2").args(["put", "--move", "b", &url(server, "b")]).run();
        put.any_stderr().removed("b");
        assert_eq!(server.bytes("b"), b"2");
    });
    // A server that tells no size proves nothing.
    let server = Rehearsal::start(&["no-size", "no-mlst", "no-mlsd", "reply=LIST:502 no"], false);
    server.file("a", "1");
    let get = embedded().args(["get", "--move", &embedded_url(&server, "a"), "b"]).run();
    get.stderr_has("it stays, since the server reports no size").wrote("b", "1");
    assert!(server.bytes("a").is_some());
}

#[test]
fn several_files_are_removed_only_when_that_is_confirmed() {
    let Some(server) = RealServer::start(Kind::Proftpd, &Options::default()) else { return };
    for name in ["a.tmp", "b.tmp", "c.csv"] {
        server.file(name, "");
    }
    let all = url(&server, "*.tmp");
    let asked = portolan(&server).args(["rm", &all]).run().fails_with(7);
    asked.stderr_has("    a.tmp\n").stderr_has("2 files would be removed: --yes removes them");
    assert!(server.root().join("a.tmp").exists());
    portolan(&server).args(["rm", "--yes", &all]).run().any_stderr();
    assert!(!server.root().join("a.tmp").exists() && server.root().join("c.csv").exists());
    portolan(&server).args(["rm", &url(&server, "*.csv")]).run().any_stderr();
    assert!(!server.root().join("c.csv").exists());
}

#[test]
fn names_on_the_server_are_moved_made_found_and_measured() {
    each(|server| {
        let run = |arguments: &[&str]| portolan(server).args(arguments.iter().copied()).run();
        run(&["mkdir", &url(server, "new/deep")]).any_stderr();
        assert!(server.root().join("new/deep").is_dir());
        server.file("new/a.csv", "12345");
        server.file("new/deep/b.txt", "123");
        run(&["mv", &url(server, "new/a.csv"), "c.csv"]).any_stderr();
        assert_eq!(server.bytes("new/c.csv"), b"12345");
        run(&["mv", &url(server, "new/c.csv"), "/new/deep/"]).any_stderr();
        assert_eq!(server.bytes("new/deep/c.csv"), b"12345");
        run(&["mv", &url(server, "new/deep/c.csv"), &url(server, "new/a.csv")]).any_stderr();
        assert_eq!(server.bytes("new/a.csv"), b"12345");
        run(&["chmod", "600", &url(server, "new/*.csv")]).any_stderr();
        let mode = fs::metadata(server.root().join("new/a.csv")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        run(&["chmod", "6x0", &url(server, "new/a.csv")]).fails_with(2).stderr_has("octal");
        let found = run(&["find", &url(server, "new"), "--type", "f"]);
        found.any_stderr().stdout("new/a.csv\nnew/deep/b.txt\n");
        let found = run(&["find", &url(server, "new"), "--name", "*.csv"]);
        found.any_stderr().stdout("new/a.csv\n");
        let used = run(&["du", &url(server, "new")]);
        used.any_stderr().stdout("8  new\n3  new/deep\n");
        let used = run(&["du", "-s", &url(server, "new")]);
        used.any_stderr().stdout("8  new\n");
        let sum = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
        let hash = run(&["hash", &url(server, "new/a.csv")]);
        hash.any_stderr().stdout(&format!("{sum}  a.csv\n"));
    });
}

#[test]
fn operands_that_do_not_fit_are_named() {
    for (arguments, why) in [
        (
            &["get", "ftp://a/x", "ftp://b/y"][..],
            "all URLs must be of one server and one login: b is another than a",
        ),
        (&["get", "ftp://a/x", "ftp://a/y", "none"], "none: there is no such directory"),
        (&["get", "ftp://a/dir/"], "-r fetches it with its contents"),
        (&["get", "-r", "ftp://a/dir/", "-"], "a folder cannot be written to a stream"),
        (&["--json", "get", "ftp://a/x", "-"], "both be on standard output"),
        (&["put", "a", "b", "ftp://a/x"], "end the URL with a slash"),
        (&["mv", "ftp://a/x", "ftp://b/y"], "all URLs must be of one server"),
        (&["rm", "ftp://a"], "the URL names no file of a"),
    ] {
        let program = Portolan::new().file("a", "").file("b", "");
        let ran = program.args(arguments.iter().copied()).run();
        ran.fails_with(2).stderr_has(why);
    }
}
