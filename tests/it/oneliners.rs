//! `ls`, `get`, `put`, `rm`: their output, their effects, and their error messages.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{
    certificates::Certificate,
    program::{Portolan, leaks::assert_kept},
    server::{Kind, Options, RealServer, Tls, free_ports},
};

/// Calls `test` with every kind of server, plain and with TLS.
pub(crate) fn each(mut test: impl FnMut(&RealServer)) {
    for kind in Kind::ALL {
        for tls in [Tls::Off, Tls::Explicit] {
            let options = Options { tls, require_tls: tls != Tls::Off, ..Options::default() };
            let Some(server) = RealServer::start(kind, &options) else { return };
            test(&server);
        }
    }
}

/// Returns the program with the credentials for `server`.
pub(crate) fn portolan(server: &RealServer) -> Portolan {
    let ca = format!("ca_file={}", server.ca().display());
    Portolan::new().env("PORTOLAN_PASSWORD", RealServer::PASSWORD).args(["--set", &ca])
}

pub(crate) fn url(server: &RealServer, path: &str) -> String {
    server.url() + path
}

#[test]
fn ls_shows_what_is_there_to_people_and_to_programs() {
    each(|server| {
        server.file("pub/b c.txt", "12345");
        server.file("pub/sub/deep", "");
        let ran = portolan(server).args(["ls", &url(server, "pub")]).run().any_stderr();
        let lines: Vec<_> = ran.stdout_text().lines().collect();
        assert!(
            lines[0].starts_with("- 0644  5  20") && lines[0].ends_with("  b c.txt"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("d 0755  -  20") && lines[1].ends_with("  sub/"), "{lines:?}");
        assert_eq!(lines.len(), 2);
        drop(ran.any_stdout());
        let mut ran =
            portolan(server).args(["ls", "--json", &url(server, "pub/")]).run().any_stderr();
        let json = ran.json();
        let entries = json.as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((&entries[0]["name"], &entries[0]["size"]), (&"b c.txt".into(), &5.into()));
        assert_eq!((&entries[1]["name"], &entries[1]["kind"]), (&"sub".into(), &"dir".into()));
        let keys: Vec<_> = entries[0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "kind", "size", "modified", "permissions", "target"]);
        // A file is its own entry.
        let one = portolan(server).args(["ls", &url(server, "pub/b%20c.txt")]).run().any_stderr();
        one.stdout_has("b c.txt\n");
    });
}

#[test]
fn get_and_put_carry_a_file_and_give_the_report() {
    each(|server| {
        let there = portolan(server).file("a.txt", "content").args([
            "put",
            "a.txt",
            &url(server, "in.txt"),
        ]);
        there.run().stderr_has("up  /in.txt  7 B\n1 up, 7 B in ");
        assert_eq!(server.bytes("in.txt"), b"content");
        let back = portolan(server).file("folder/kept", "").args([
            "get",
            &url(server, "in.txt"),
            "folder",
        ]);
        back.run().any_stderr().wrote("folder/in.txt", "content");
        let here = portolan(server).args(["get", &url(server, "in.txt")]);
        here.run().any_stderr().wrote("in.txt", "content");
        let named = portolan(server).args(["--json", "get", &url(server, "in.txt"), "b.txt"]);
        let mut ran = named.run().any_stderr().wrote("b.txt", "content");
        let report = ran.json();
        assert_eq!((&report["downloaded"], &report["bytes"]), (&1.into(), &7.into()));
        assert_eq!((&report["verified"], &report["failed"]), (&1.into(), &0.into()));
        assert_eq!(report["route"], "epsv");
        fs::create_dir(server.root().join("box")).unwrap();
        server.own_all();
        let into = portolan(server).file("c.txt", "x").args([
            "--json",
            "put",
            "c.txt",
            &url(server, "box/"),
        ]);
        let mut ran = into.run().any_stderr();
        assert_eq!(ran.json()["uploaded"], 1);
        assert_eq!(server.bytes("box/c.txt"), b"x");
    });
}

#[test]
fn put_into_a_folder_that_is_not_there_says_so() {
    each(|server| {
        let put =
            portolan(server).file("a.txt", "x").args(["put", "a.txt", &url(server, "new/a.txt")]);
        put.run()
            .fails_with(5)
            .stderr_has("error: /new/a.txt: there is no folder ")
            .stderr_has("new on the server");
        assert_eq!(fs::read_dir(server.root()).unwrap().count(), 0);
    });
}

#[test]
fn rm_removes_a_file_and_a_folder_only_when_told_so() {
    each(|server| {
        server.file("old/a", "");
        server.file("old/b/c", "");
        portolan(server).args(["rm", &url(server, "old/a")]).run().stderr_has("deleted  ");
        assert!(!server.root().join("old/a").exists());
        let slash = portolan(server).args(["rm", &url(server, "old/")]);
        let why = "error: this is a folder: --recursive removes it with all that is in it\n";
        slash.run().fails_with(2).stderr(why);
        portolan(server).args(["rm", &url(server, "old")]).run().fails_with(5).stderr_has(
            "error: /old: this is a folder: --recursive removes it with all that is in it\n",
        );
        assert!(server.root().join("old/b/c").exists());
        portolan(server).args(["rm", "--recursive", &url(server, "old/")]).run().any_stderr();
        assert!(!server.root().join("old").exists());
    });
}

#[test]
fn what_is_missing_there_is_told_once_and_leaves_nothing_here() {
    each(|server| {
        for command in [&["get"][..], &["get", "--json"], &["ls"], &["rm"]] {
            let ran = portolan(server)
                .args(command.iter().copied())
                .args([url(server, "gone.txt")])
                .run();
            let ran = ran
                .fails_with(5)
                .stdout("")
                .stderr_has("gone.txt: there is no such file or folder");
            assert_eq!(ran.stderr_text().matches("gone.txt").count(), 1, "{command:?}");
        }
    });
}

#[test]
fn what_is_wrong_here_is_told_before_anything_is_sent() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let put = |local: &str| portolan(&server).args(["put", local, &url(&server, "x")]).run();
    put("gone").fails_with(5).stderr("error: gone: cannot open: no such file or directory\n");
    put(".").fails_with(5).stderr_has("error: .: ");
    server.file("a.txt", "x");
    let get = |local: &str| portolan(&server).args(["get", &url(&server, "a.txt"), local]).run();
    get("none/b.txt").fails_with(5).stderr_has("no such file or directory\n");
    get("/proc/b.txt").fails_with(5).stderr_has("error: /proc/b.txt: ");
    let swapped = portolan(&server).args(["put", &url(&server, "x"), "a.txt"]).run();
    swapped
        .fails_with(2)
        .stderr("error: `put` wants the file first and then the URL: portolan put FILE URL\n");
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // Root may write anywhere, except if the file system itself is read-only.
    let Some(server) = RealServer::start(Kind::PureFtpd, &Options::default()) else { return };
    server.file("a.txt", "x");
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let get = portolan(&server).args(["get", &url(&server, "a.txt"), "/sys/a.txt"]).run();
    get.fails_with(5).stderr_has("error: /sys/a.txt: cannot ");
}

#[test]
fn a_wrong_password_says_what_to_check() {
    each(|server| {
        let ca = format!("ca_file={}", server.ca().display());
        Portolan::new()
            .env("PORTOLAN_PASSWORD", "hunter2")
            .args(["--set", &ca, "ls", &server.url()])
            .run()
            .fails_with(5)
            .never_says("hunter2")
            .stderr_has("the login as `tester` failed: the server said \"530 ")
            .stderr_has("hint: check user and password; a password comes from");
    });
}

#[test]
fn a_server_that_is_not_there_may_be_there_later() {
    let port = *free_ports(1).start();
    Portolan::new()
        .args(["ls", &format!("ftp://127.0.0.1:{port}/")])
        .run()
        .fails_with(4)
        .stderr_has(&format!(
            "error: 127.0.0.1: cannot connect to 127.0.0.1:{port}: connection refused\nhint: "
        ));
    let unknown = Portolan::new().args(["ls", "ftp://nobody.invalid/"]).run().fails_with(4);
    unknown.stderr_has("error: nobody.invalid: cannot find the host");
}

#[test]
fn s67_a_url_that_can_be_read_in_two_ways_is_refused_in_words() {
    for (url, why) in [
        ("http://h/", "the scheme `http` is not ftp, ftpes or ftps"),
        ("ftp://a#@b/", "write # as %23"),
        ("ftp://a\\@b/", "as %5C"),
        ("ftp://a b/", "write ' ' as %20"),
        ("ftp://h:99999/", "`99999` is no port (1 to 65535)"),
        ("ftp://", "it names no host"),
        ("ftp://h/%0d%0aDELE x", "write ' ' as %20"),
        ("ftp://h/%0d%0aDELE", "error: "),
        ("ftp://b\u{430}nk.example/", "in ASCII (xn--"),
        ("ftp://me:hunter2@h:x/", "`ftp://me:***@h:x/` is no URL"),
        ("./x", "`./x` is no URL of a server"),
    ] {
        for command in ["ls", "get", "rm"] {
            let ran = Portolan::new().args([command, url]).run().fails_with(2).stderr_has(why);
            ran.never_says("hunter2").never_says("\r");
        }
        let ran = Portolan::new().file("a", "").args(["put", "a", url]).run();
        ran.fails_with(2).stderr_has(why);
    }
    let wrong = Portolan::new().args(["--set", "mod=passive", "ls", "ftp://h/"]).run();
    wrong.fails_with(2).stderr("error: --set has no option `mod`; did you mean `mode`?\n");
}

#[test]
fn a_certificate_that_does_not_hold_is_told_in_words() {
    for (certificate, why) in [
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "127.0.0.1"),
        (Certificate::SelfSigned, "unknown authority: name it with `ca_file`"),
    ] {
        let options = Options { tls: Tls::Explicit, certificate, ..Options::default() };
        let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
        let ran = portolan(&server).args(["ls", &server.url()]).run().fails_with(5).stdout("");
        let text = ran.stderr_text().to_lowercase();
        assert!(text.contains(why) && text.contains("certificate"), "{certificate:?}: {text}");
        drop(ran.any_stderr());
        let trusted = portolan(&server).args(["--set", "insecure=true", "ls", &server.url()]).run();
        trusted.succeeds().stderr_has("its certificate is not checked");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_bug() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    for number in 0..500 {
        fs::write(server.root().join(format!("a-rather-long-name-of-a-file-{number}")), "")
            .unwrap();
    }
    server.own_all();
    let program = env!("CARGO_BIN_EXE_portolan");
    let home = tempfile::tempdir().unwrap();
    for command in ["ls", "ls --json"] {
        let line = format!("{program} {command} {} | head -n 1", server.url());
        let done = std::process::Command::new("sh")
            .args(["-c", &line])
            .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert_kept(&[RealServer::PASSWORD], &done, home.path());
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(!errors.contains("panic") && !errors.contains("error"), "{errors}");
        assert_eq!(String::from_utf8_lossy(&done.stdout).lines().count(), 1);
    }
}
