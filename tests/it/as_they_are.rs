//! Servers as they are: names in other encodings, TLS where it is offered, families of addresses.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

fn url(server: &Rehearsal) -> String {
    format!("ftp://tester@{}", server.server.address())
}

fn portolan() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "secret")
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
        let ran = program.run().any_stderr().any_files();
        ran.stdout(&format!("[\"{here}\"]\ntrue\n1\n"));
        assert!(server.root().join(OsStr::from_bytes(there)).exists(), "{label}");
        assert!(program.folder().join("down").join(here).exists(), "{label}");
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
    // Nobody talks it out of TLS at the same place.
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
