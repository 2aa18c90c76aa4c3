//! Servers as they are: names in other encodings, TLS where it is offered, families of addresses.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

fn url(server: &Rehearsal) -> String {
    format!("ftp://tester@{}", server.server.address())
}

fn portolan() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21")
}

/// The encodings, each with a local name and its bytes on the server.
const NAMES: [(&str, &str, &[u8]); 5] = [
    ("latin-1", "Übung.csv", b"\xdcbung.csv"),
    ("windows-1251", "Привет.csv", b"\xcf\xf0\xe8\xe2\xe5\xf2.csv"),
    ("shift_jis", "表日.csv", b"\x95\x5c\x93\xfa.csv"),
    ("gbk", "文件.csv", b"\xce\xc4\xbc\xfe.csv"),
    ("cp950", "檔.csv", b"\xc0\xc9.csv"),
];

#[test]
fn every_command_meets_names_in_the_encoding_of_the_server() {
    for (label, here, there) in NAMES {
        let server = Rehearsal::start(&[], false);
        let url = url(&server);
        let set = format!("encoding={label}");
        let program = portolan().file(here, label).args(["--set", &set]);
        let run = |words: &[&str]| {
            program.clone_with(words.iter().copied()).run().any_stderr().any_files()
        };
        run(&["put", here, &format!("{url}/")]).any_stdout();
        let file = server.root().join(OsStr::from_bytes(there));
        assert_eq!(fs::read(&file).unwrap(), label.as_bytes(), "{label}");
        run(&["ls", &url]).stdout_has(here);
        run(&["find", &url]).stdout_has(here);
        run(&["cat", &format!("{url}/{here}")]).stdout(label);
        run(&["cat", &format!("{url}/*.csv")]).stdout(label);
        fs::create_dir(program.folder().join("down")).unwrap();
        run(&["get", &format!("{url}/{here}"), "down/"]).any_stdout();
        assert_eq!(fs::read(program.folder().join("down").join(here)).unwrap(), label.as_bytes());
        run(&["mirror", &format!("{url}/"), "mirrored"]).any_stdout();
        let mirrored = program.folder().join("mirrored").join(here);
        assert_eq!(fs::read(mirrored).unwrap(), label.as_bytes());
        run(&["mirror", "mirrored", &format!("{url}/up")]).any_stdout();
        assert!(server.root().join("up").join(OsStr::from_bytes(there)).exists(), "{label}");
        run(&["mv", &format!("{url}/{here}"), &format!("x{here}")]).any_stdout();
        run(&["rm", &format!("{url}/x{here}")]).any_stdout();
        assert!(!server.root().join(OsStr::from_bytes(there)).exists(), "{label}");
    }
}

#[test]
fn scripts_and_sites_have_names_in_the_encoding_of_the_server() {
    for (label, here, there) in NAMES {
        let server = Rehearsal::start(&[], false);
        let site = format!("[site.a]\nurl = \"{}\"\nencoding = \"{label}\"\n", url(&server));
        let script = format!(
            "let site = ftp::site(\"a\"); site.put(\"{here}\", \"/\"); print(site.names(\"/\"));\n\
             site.get(\"/{here}\", \"down/\"); print(site.exists(\"/{here}\")); print(site.glob(\"*.csv\").len());"
        );
        let program = portolan().file("sites.toml", site).file(here, label).script(&script);
        fs::create_dir(program.folder().join("down")).unwrap();
        let ran = program.run().any_stderr().any_files();
        ran.stdout(&format!("[\"{here}\"]\ntrue\n1\n"));
        assert!(server.root().join(OsStr::from_bytes(there)).exists(), "{label}");
        assert!(program.folder().join("down").join(here).exists(), "{label}");
    }
}

#[test]
fn deployments_and_trees_have_names_in_the_encoding_of_the_server() {
    for (label, here, there) in NAMES {
        let server = Rehearsal::start(&[], false);
        let url = url(&server);
        let set = format!("encoding={label}");
        let program = portolan()
            .file(format!("dist/{here}"), label)
            .file(format!("dist/{here}.d/{here}"), "deep")
            .args(["--set", &set]);
        let run = |words: &[&str]| {
            program.clone_with(words.iter().copied()).run().any_stderr().any_files()
        };
        let www = format!("{url}/www");
        run(&["deploy", "--keep", "2", "dist", &www]).stdout_has("2 files sent");
        let file = server.root().join("www").join(OsStr::from_bytes(there));
        assert_eq!(fs::read(&file).unwrap(), label.as_bytes(), "{label}");
        run(&["deploy", "dist", &www]).stdout_has("0 files sent");
        run(&["ls", "-1R", &www]).stdout(&format!("{here}\n{here}.d\n{here}.d/{here}\n"));
        run(&["ls", "-1", &format!("{www}/*.csv")]).stdout_has(here);
        fs::write(program.folder().join("dist").join(here), "changed").unwrap();
        run(&["deploy", "dist", &www]).stdout_has("1 file sent");
        assert_eq!(fs::read(&file).unwrap(), b"changed", "{label}");
        run(&["rollback", &www]).stdout_has("1 restored");
        assert_eq!(fs::read(&file).unwrap(), label.as_bytes(), "{label}");
        run(&["get", "-r", &www, "got/"]).any_stdout();
        let got = program.folder().join("got/www").join(format!("{here}.d")).join(here);
        assert_eq!(fs::read(got).unwrap(), b"deep", "{label}");
        run(&["put", "-r", "got/www", &format!("{url}/again")]).any_stdout();
        let again = server.root().join("again").join(OsStr::from_bytes(there));
        assert!(
            again.exists()
                || server.root().join("again/www").join(OsStr::from_bytes(there)).exists()
        );
        // Both sides are the same to a mirror in either direction.
        let both = format!("{url}/both");
        run(&["mirror", "dist", &both]).stdout_has("2 up");
        run(&["mirror", "dist", &both]).stdout_has("0 up, 0 down, 0 deleted, 2 unchanged");
        run(&["mirror", &both, "back"]).stdout_has("2 down");
        run(&["mirror", "--compare", "checksum", "--check", "back", &both]).any_stdout();
    }
}

#[test]
fn names_that_would_not_come_back_are_refused_by_name_and_the_others_go() {
    for (label, bad, good) in [
        ("latin-1", "日.csv", "ä.csv"),
        ("windows-1251", "é.csv", "Я.csv"),
        ("shift_jis", "文€.csv", "表.csv"),
        ("gbk", "🙂.csv", "文.csv"),
    ] {
        let server = Rehearsal::start(&[], false);
        let url = url(&server);
        let set = format!("encoding={label}");
        let program = portolan()
            .file(format!("dist/{bad}"), "bad")
            .file(format!("dist/{good}"), "good")
            .args(["--set", &set]);
        for (number, command) in [&["mirror"][..], &["deploy"], &["put", "-r"]].iter().enumerate() {
            let there = format!("{url}/{number}");
            let run = program.clone_with(command.iter().copied().chain(["dist", &there])).run();
            let ran = run.any_code().any_stdout().any_files();
            assert!(ran.code() != 0, "{label} {command:?}");
            assert!(ran.stderr_text().contains(bad), "{label} {command:?}: {}", ran.stderr_text());
            drop(ran.any_stderr());
        }
        let put = program.clone_with(["put", &format!("dist/{bad}"), &format!("{url}/")]).run();
        let put = put.any_code().any_stdout().any_files();
        assert!(put.code() != 0, "{label}");
        drop(put.stderr_has(bad));
        // Bytes of the server that are no text of the encoding.
        if label != "latin-1" {
            let odd = server.root().join(OsStr::from_bytes(b"x\xff\x81\xff.csv"));
            fs::write(odd, "odd").unwrap();
            let down = program.clone_with(["mirror", &format!("{url}/"), "down"]).run();
            let down = down.any_code().any_stdout().any_files();
            assert!(down.stderr_text().contains('x'), "{label}: {}", down.stderr_text());
            drop(down.any_stderr());
        }
    }
}

#[test]
fn a_name_without_bytes_there_and_a_label_that_is_none_are_refused() {
    let server = Rehearsal::start(&[], false);
    let url = url(&server);
    let program = portolan().file("日.csv", "x").file("日/plain", "x");
    let put =
        program.clone_with(["--set", "encoding=latin-1", "put", "日.csv", &format!("{url}/")]);
    put.run().any_code().stderr_has("not in Latin-1");
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 0);
    for label in ["nonsense", "utf-16le", "iso-2022-jp", ""] {
        let set = format!("encoding={label}");
        let ran = program.clone_with(["--set", &set, "ls", &url]).run().fails_with(2);
        ran.stderr_has("`encoding`");
    }
}

#[test]
fn tls_if_offered_is_used_and_then_insisted_on() {
    let protected = Rehearsal::start(&[], true);
    let address = protected.server.address();
    let address_text = url(&protected);
    let program = portolan().file("ca.pem", protected.server.ca_pem()).args([
        "--state",
        "state",
        "--set",
        "tls=if_offered",
        "--set",
        "ca_file=ca.pem",
    ]);
    let run = |url: &str| program.clone_with(["--json", "ls", url]).run().any_files();
    let host = address_text.replace("127.0.0.1", "localhost");
    run(&host).any_stderr().any_stdout();
    let has_tls = |line: &String| line.contains("AUTH");
    assert!(protected.server.log().iter().any(has_tls));
    drop(protected);
    // At the same place it cannot be downgraded from TLS.
    let plain = Rehearsal::start_at(address, "localhost", &[], false);
    let ran = run(&host).any_code().any_stdout();
    ran.stderr_has("does not go back");
    assert!(plain.server.log().iter().all(|line| !line.contains("PASS")));
    // One that never had it is used without, which is said.
    let other = Rehearsal::start(&[], false);
    let ran = program.clone_with(["ls", &url(&other)]).run().any_files().any_stdout();
    ran.stderr_has("offers no TLS");
}

#[test]
fn a_family_restricts_the_addresses() {
    let server = Rehearsal::start(&[], false);
    let url = url(&server);
    let run = |family: &str| {
        let set = format!("family={family}");
        portolan().args(["--set", &set, "ls", &url]).run()
    };
    run("ipv4").any_stderr().stdout("");
    run("any").any_stderr().stdout("");
    run("ipv6").any_code().stderr_has("has no IPv6 address");
    run("ipv5").fails_with(2).stderr_has("did you mean");
}

#[test]
fn temporary_names_of_ones_own_are_used_and_gone_afterwards() {
    let server = Rehearsal::start(&[], false);
    fs::create_dir(server.root().join("tmp")).unwrap();
    let url = url(&server);
    let program = portolan().file("a.csv", "one").file("tree/b.csv", "two");
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run().any_stderr();
    run(&["--set", "temp=suffix=.tmp", "put", "a.csv", &format!("{url}/")]).any_stdout();
    run(&["--set", "temp=directory=tmp,prefix=new-", "put", "a.csv", &format!("{url}/c.csv")])
        .any_stdout();
    let script = format!(
        "let site = ftp::connect(\"{url}\", #{{ temp: #{{ suffix: \".part1\" }} }}); site.mirror_up(\"tree\", \"/up\");"
    );
    portolan().file("tree/b.csv", "two").script(&script).run().any_stderr();
    let stored: Vec<_> =
        server.server.log().into_iter().filter(|line| line.contains("STOR")).collect();
    let has = |name: &str| stored.iter().any(|line| line.contains(name));
    assert!(has("/a.csv.tmp") && has("/tmp/new-c.csv") && has("b.csv.part1"), "{stored:?}");
    assert_eq!(server.bytes("a.csv").unwrap(), b"one");
    assert_eq!(server.bytes("c.csv").unwrap(), b"one");
    assert_eq!(server.bytes("up/b.csv").unwrap(), b"two");
    assert_eq!(fs::read_dir(server.root().join("tmp")).unwrap().count(), 0);
    for (value, why) in [
        ("sufix=.tmp", "did you mean `suffix`?"),
        ("suffix=a/b", "without slashes"),
        ("suffix=", "wants a `prefix`"),
        ("tmp", "it has prefix, suffix, directory"),
    ] {
        let set = format!("temp={value}");
        program.clone_with(["--set", &set, "ls", &url]).run().fails_with(2).stderr_has(why);
    }
}

#[test]
fn a_box_that_forbids_renames_is_remembered_and_told_each_time() {
    let server = Rehearsal::start(&["rename-refused"], false);
    let url = url(&server);
    let program = portolan().file("a", "1").file("b", "2").args(["--state", "state"]);
    let put = |name: &str| {
        let words = ["put", name, &format!("{url}/")].map(str::to_owned);
        program.clone_with(words).run().any_stdout().any_files()
    };
    put("a").stderr_has("refuses renames");
    let before = server.server.log().len();
    put("b").stderr_has("final names at once");
    let log = server.server.log();
    assert!(log.iter().skip(before).all(|line| !line.contains("RNFR")), "{log:?}");
    assert_eq!(server.bytes("b").unwrap(), b"2");
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 2);
}

#[test]
fn a_box_without_listings_and_renames_takes_files() {
    let refused =
        ["rename-refused", "no-mlsd", "no-mlst", "reply=LIST:550 No.", "reply=SIZE:550 No."];
    let server = Rehearsal::start(&[&refused[..], &["reply=NLST:550 No."]].concat(), false);
    let put = portolan().file("a", "1").args(["put", "a", &format!("{}/", url(&server))]);
    put.run().any_stderr().any_stdout();
    assert_eq!(server.bytes("a").unwrap(), b"1");
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 1);
}

#[test]
fn a_text_has_the_line_ends_of_each_side() {
    // A server whose own line ends are those of the wire, as on Windows.
    let server = Rehearsal::start_as("crlf");
    server.file("there.txt", "a\r\nb\r\n");
    let url = url(&server);
    let program = portolan().file("here.txt", "a\nb\n");
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run();
    let put = run(&["put", "--type", "ascii", "here.txt", &format!("{url}/up.txt")]);
    put.any_stdout().stderr_has("line ends");
    assert_eq!(server.bytes("up.txt").unwrap(), b"a\r\nb\r\n");
    run(&["put", "here.txt", &format!("{url}/two.txt;type=a")]).any_stdout().any_stderr();
    assert_eq!(server.bytes("two.txt").unwrap(), b"a\r\nb\r\n");
    run(&["get", "--type", "ascii", &format!("{url}/there.txt"), "got.txt"])
        .any_stdout()
        .any_stderr()
        .wrote("got.txt", "a\nb\n");
    run(&["cat", &format!("{url}/there.txt;type=a")]).any_stderr().stdout("a\nb\n");
    let log = server.server.log();
    assert!(log.iter().any(|line| line.contains("TYPE A")), "{log:?}");
    let script = format!(
        "let site = ftp::connect(\"{url}\"); site.put(\"here.txt\", \"/s.txt\", #{{ type: \"ascii\" }});\n\
         site.get(\"/s.txt\", \"back.txt\", #{{ type: \"ascii\" }}); print(site.stat(\"/s.txt\").size);\n\
         site.get(\"/s.txt\", \"raw.txt\");"
    );
    let ran = portolan().file("here.txt", "a\nb\n").script(&script).run();
    ran.any_stderr().stdout("6\n").wrote("back.txt", "a\nb\n").wrote("raw.txt", "a\r\nb\r\n");
    run(&["put", "--type", "text", "here.txt", &url]).fails_with(2).stderr_has("ascii");
    run(&["put", "--type", "ascii", "--move", "here.txt", &url]).any_code().stderr_has("not with");
    run(&["mirror", "x", &format!("{url}/;type=a")]).fails_with(2).stderr_has("single files");
}

#[test]
fn site_commands_come_after_the_login_and_before_a_transfer() {
    let server = Rehearsal::start(&[], false);
    let url = url(&server);
    let program = portolan().file("a", "1").file("mode", "");
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run().any_stdout();
    server.file("mode", "");
    run(&["--set", "site=CHMOD 600 /mode", "ls", &url]).any_stderr();
    run(&["put", "--site", "CHMOD 640 /mode", "a", &format!("{url}/")]).any_stderr();
    let log = server.server.log().join("\n");
    assert!(log.contains("SITE CHMOD 600 /mode") && log.contains("SITE CHMOD 640 /mode"), "{log}");
    run(&["--set", "site=", "ls", &url]).fails_with(2).stderr_has("`site` wants commands");
    let refused = run(&["put", "--site", "NONSENSE", "a", &format!("{url}/x")]);
    refused.any_code().stderr_has("the server said");
    assert!(server.bytes("x").is_none());
}
