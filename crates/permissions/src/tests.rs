use std::{fs, os::unix::fs::symlink, path::Path};

use portolan_core::error::ErrorKind;
use proptest::prelude::*;

use super::*;

fn named(fill: impl FnOnce(&mut PermissionOptions)) -> RunPermissions {
    in_folder(Path::new("/"), fill)
}

fn in_folder(base: &Path, fill: impl FnOnce(&mut PermissionOptions)) -> RunPermissions {
    let mut options = PermissionOptions::default();
    fill(&mut options);
    RunPermissions::new(&options, base, true).unwrap()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_host_is_allowed_by_name_address_wildcard_and_port() {
    for (grant, host, port, is_allowed) in [
        ("ftp.example.org", "ftp.example.org", 21, true),
        ("ftp.example.org", "FTP.Example.ORG.", 2121, true),
        ("ftp.example.org:21", "ftp.example.org", 21, true),
        ("ftp.example.org:21", "ftp.example.org", 22, false),
        ("ftp.example.org:*", "ftp.example.org", 22, true),
        ("ftp.example.org", "ftp.example.org.evil.test", 21, false),
        ("ftp.example.org", "xftp.example.org", 21, false),
        ("*.example.org", "a.example.org", 21, true),
        ("*.example.org", "a.b.example.org", 21, true),
        ("*.example.org", "example.org", 21, false),
        ("*.example.org", "badexample.org", 21, false),
        ("*.example.org:990", "a.example.org", 21, false),
        ("*", "anything.test", 1, true),
        ("*", "10.0.0.1", 1, true),
        ("127.0.0.1", "127.0.0.1", 21, true),
        ("127.0.0.1", "::ffff:127.0.0.1", 21, true),
        ("127.0.0.1", "localhost", 21, false),
        ("localhost", "127.0.0.1", 21, false),
        ("127.0.0.1", "127.1", 21, false),
        ("[::1]:2121", "::1", 2121, true),
        ("[::1]:2121", "[::1]", 2121, true),
        ("[::1]:2121", "0:0:0:0:0:0:0:1", 2121, true),
        ("[::1]:2121", "::1", 21, false),
        ("::1", "::1", 21, true),
        ("fe80::1", "fe80::1%eth0", 21, true),
        ("*.0.0.1", "127.0.0.1", 21, false),
    ] {
        let Ok(grant) = HostGrant::parse(grant) else {
            assert!(!is_allowed, "{grant} cannot be parsed");
            continue;
        };
        assert_eq!(grant.matches(host, port), is_allowed, "{grant:?} {host}:{port}");
    }
}

#[test]
fn what_is_no_host_is_refused_when_it_is_read() {
    for text in [
        "",
        "ftp://ftp.example.org",
        "ftp.example.org/in",
        "me@ftp.example.org",
        "ftp.example.org:",
        "ftp.example.org:0",
        "ftp.example.org:65536",
        "ftp.example.org:+21",
        "a..b",
        "a b",
        "*.",
        "a.*.b",
        "*example.org",
        "[::1",
        "[::1]21",
        "[nonsense]:21",
        "127.1",
        "0x7f.0x1",
        "2130706433",
        "a\nb",
    ] {
        assert!(HostGrant::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_of_this_host_has_to_be_named_for_http_and_behind_a_wildcard() {
    let ip = |text: &str| text.parse().unwrap();
    let http = |list: &[&str]| named(|it| it.http = texts(list));
    for (grants, host, address, is_allowed) in [
        (&["api.example.org"][..], "api.example.org", "192.0.2.1", true),
        (&["api.example.org"], "api.example.org", "127.0.0.1", false),
        (&["api.example.org"], "api.example.org", "169.254.169.254", false),
        (&["api.example.org"], "api.example.org", "::ffff:169.254.169.254", false),
        (&["api.example.org"], "api.example.org", "64:ff9b::a9fe:a9fe", false),
        (&["api.example.org"], "api.example.org", "::1", false),
        (&["api.example.org"], "api.example.org", "fe80::1", false),
        (&["api.example.org"], "api.example.org", "0.0.0.0", false),
        (&["api.example.org"], "api.example.org", "fd00:ec2::254", false),
        (&["*"], "api.example.org", "127.0.0.1", false),
        (&["localhost"], "localhost", "127.0.0.1", true),
        (&["localhost"], "localhost", "169.254.169.254", false),
        (&["127.0.0.1"], "127.0.0.1", "127.0.0.1", true),
        (&["127.0.0.1:80"], "127.0.0.1", "127.0.0.1", true),
        (&["127.0.0.1:81"], "127.0.0.1", "127.0.0.1", false),
        (&["api.example.org", "127.0.0.1"], "api.example.org", "127.0.0.1", true),
    ] {
        let decided = http(grants).allow_http_address(host, 80, ip(address));
        assert_eq!(decided.is_ok(), is_allowed, "{grants:?} {host} {address}");
    }
    let net = named(|it| it.net = texts(&["*.example.org", "here.test"]));
    assert!(net.allow_net_address("a.example.org", 21, ip("192.0.2.1")).is_ok());
    assert!(net.allow_net_address("a.example.org", 21, ip("127.0.0.1")).is_err());
    assert!(net.allow_net_address("here.test", 21, ip("127.0.0.1")).is_ok());
}

#[test]
fn paths_are_compared_where_they_really_are() {
    let scratch = tempfile::tempdir().unwrap();
    let base = scratch.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("in/deep")).unwrap();
    fs::create_dir(base.join("out")).unwrap();
    fs::write(base.join("out/secret"), "x").unwrap();
    symlink("../out", base.join("in/link")).unwrap();
    symlink("../out/secret", base.join("in/file-link")).unwrap();
    symlink("../out/new", base.join("in/dangling")).unwrap();
    symlink("deep", base.join("in/inner")).unwrap();
    let own = in_folder(&base, |it| {
        (it.read, it.write, it.delete) = (texts(&["in"]), texts(&["in"]), texts(&["in"]));
    });
    let whole = base.join("in/deep");
    let around = format!("/proc/self/root{}/out/secret", base.display());
    for (path, is_allowed) in [
        ("in", true),
        ("in/a", true),
        ("./in/deep/new/file", true),
        ("in/../in/a", true),
        ("in/inner/a", true),
        (whole.to_str().unwrap(), true),
        ("inner", false),
        ("in2/a", false),
        ("out/secret", false),
        ("in/../out/secret", false),
        ("in/link/secret", false),
        ("in/link/../in/a", true),
        ("in/file-link", false),
        ("in/dangling", false),
        ("in/new/../../out/secret", false),
        ("/etc/passwd", false),
        (around.as_str(), false),
        ("", false),
    ] {
        assert_eq!(own.allow_read(Path::new(path)).is_ok(), is_allowed, "read {path}");
        assert_eq!(own.allow_write(Path::new(path)).is_ok(), is_allowed, "write {path}");
    }
    // A link itself may be removed, whatever it leads to; what is behind it may not.
    assert!(own.allow_delete(Path::new("in/file-link")).is_ok());
    assert!(own.allow_delete(Path::new("in/link/secret")).is_err());
    assert!(own.allow_delete(Path::new("in/..")).is_err());
}

#[test]
fn a_refusal_names_the_flag_and_the_key() {
    let scratch = tempfile::tempdir().unwrap();
    let base = scratch.path().canonicalize().unwrap();
    let none = in_folder(&base, |_| {});
    let path = Path::new("in dir/a.csv");
    for (decided, flag, line) in [
        (
            none.allow_net("Ftp.Example.org", 21),
            "--allow-net=ftp.example.org:21",
            "net = [\"ftp.example.org:21\"]",
        ),
        (none.allow_net("::1", 21), "--allow-net='[::1]:21'", "net = [\"[::1]:21\"]"),
        (none.allow_read(path), "--allow-read='in dir/a.csv'", "read = [\"in dir/a.csv\"]"),
        (none.allow_write(path), "--allow-write='in dir/a.csv'", "write = [\"in dir/a.csv\"]"),
        (none.allow_delete(path), "--allow-delete='in dir/a.csv'", "delete = [\"in dir/a.csv\"]"),
        (none.allow_remote_delete(), "--allow-remote-delete", "remote_delete = true"),
        (none.allow_run("git").map(drop), "--allow-run=git", "run = [\"git\"]"),
        (none.allow_http("a.test", 443), "--allow-http=a.test:443", "http = [\"a.test:443\"]"),
        (none.allow_env("LANG"), "--allow-env=LANG", "env = [\"LANG\"]"),
        (none.allow_secret("ACME"), "--allow-secret=ACME", "secret = [\"ACME\"]"),
        (none.allow_nat(), "--allow-nat", "nat = true"),
    ] {
        let error = decided.unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeniedByPolicy);
        assert!(error.message.contains(&format!("`{flag}`")), "{}", error.message);
        assert!(error.message.contains(&format!("`{line}`")), "{}", error.message);
    }
}

#[test]
fn without_permissions_only_http_run_and_nat_are_refused() {
    let open = RunPermissions::default();
    assert!(open.allow_net("a", 21).is_ok() && open.allow_read(Path::new("/etc/passwd")).is_ok());
    assert!(open.allow_write(Path::new("a")).is_ok() && open.allow_delete(Path::new("a")).is_ok());
    assert!(open.allow_remote_delete().is_ok() && open.allow_env("A").is_ok());
    assert!(open.allow_secret("A").is_ok() && open.allow_nat_questions().is_ok());
    assert!(open.allow_http("a", 80).is_err() && open.allow_run("sh").is_err());
    assert_eq!(open.allow_nat().unwrap_err().name, Some(NAT_CODE));
}

#[test]
fn a_program_is_the_file_that_its_name_means() {
    let scratch = tempfile::tempdir().unwrap();
    let base = scratch.path().canonicalize().unwrap();
    fs::copy("/bin/sh", base.join("sh")).unwrap();
    let sh = program::find("sh", &base).unwrap();
    let own = in_folder(&base, |it| it.run = texts(&["sh", "gone"]));
    assert_eq!(own.allow_run("sh").unwrap(), Some(sh.clone()));
    assert!(own.allow_run(sh.to_str().unwrap()).is_ok());
    assert!(own.allow_run("./sh").is_err());
    assert!(own.allow_run("ls").is_err());
    assert_eq!(own.allow_run("gone").unwrap(), None);
    assert!(own.allow_run("").is_err());
    let by_path = in_folder(&base, |it| it.run = vec!["./sh".into()]);
    assert!(by_path.allow_run("./sh").is_ok() && by_path.allow_run("sh").is_err());
    assert!(in_folder(&base, |it| it.run = texts(&["*"])).allow_run("ls").is_ok());
}

#[test]
fn names_are_exact_or_begin_alike() {
    let own = named(|it| (it.env, it.secret) = (texts(&["LANG", "CI_*"]), texts(&["acme"])));
    assert!(own.allow_env("LANG").is_ok() && own.allow_env("CI_BRANCH").is_ok());
    assert!(own.allow_env("LANGUAGE").is_err() && own.allow_env("C").is_err());
    assert!(own.allow_secret("acme").is_ok() && own.allow_secret("ACME").is_err());
    assert!(own.passes_env("PATH") && own.passes_env("CI_X") && !own.passes_env("TOKEN"));
    let mut list = Vec::new();
    assert!(names::check(&mut list, &texts(&["A B"]), "env").is_err());
    assert!(names::check(&mut list, &texts(&[""]), "env").is_err());
    assert!(names::check(&mut list, &texts(&["A*B"]), "env").is_err());
}

#[test]
fn every_kind_has_its_row() {
    let keys: Vec<_> = PermissionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let rows = PERMISSIONS.keys();
    assert_eq!(rows.strip_suffix(&["require_sandbox"]).unwrap(), keys);
    for row in PERMISSIONS.rows.iter().take(keys.len()) {
        assert_eq!(row.flag.name, format!("allow-{}", row.key.replace('_', "-")));
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_of_hosts_panic(text in "\\PC{0,40}", host in "\\PC{0,40}") {
        if let Ok(grant) = HostGrant::parse(&text) {
            grant.matches(&host, 21);
        }
    }

    #[test]
    fn a_path_that_is_allowed_is_below_the_grant(path in "[a-z./]{0,24}") {
        let scratch = tempfile::tempdir().unwrap();
        let base = scratch.path().canonicalize().unwrap();
        fs::create_dir(base.join("a")).unwrap();
        let own = in_folder(&base, |it| it.read = texts(&["a"]));
        if own.allow_read(Path::new(&path)).is_ok() {
            let place = path::place(&base, Path::new(&path), true).unwrap();
            prop_assert!(place.starts_with(base.join("a")));
        }
    }
}
