//! The effect of every option of `ftp::connect`: seen in the commands that the server received, or in the values that
//! the script got.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::PermissionsExt};

use crate::support::{
    certificates::{self, Certificate},
    program::{Portolan, Ran},
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer, Tls, free_ports},
};

/// Runs `rest` with `site`, a session with these options.
fn with(stage: &Rehearsal, options: &str, rest: &str) -> Ran {
    run(stage, "ftp", options, rest)
}

fn run(stage: &Rehearsal, scheme: &str, options: &str, rest: &str) -> Ran {
    let url = format!("{scheme}://tester@{}", stage.server.address());
    let script = format!("let site = ftp::connect(\"{url}\", #{{ {options} }});\n{rest}");
    Portolan::new()
        .env("PORTOLAN_PASSWORD", "open+sesame-21")
        .file("ca.pem", stage.server.ca_pem())
        .script(&script)
        .run()
        .any_stderr()
}

/// Returns true if the server received a command that begins with `command`.
fn heard(stage: &Rehearsal, command: &str) -> bool {
    stage.server.log().iter().any(|line| line.contains(&format!(" > {command}")))
}

fn logins(stage: &Rehearsal) -> usize {
    stage.server.log().iter().filter(|line| line.contains(" > USER ")).count()
}

#[test]
fn user_password_and_account_are_those_of_the_options() {
    let stage = Rehearsal::start(&["reply=PASS:332 And your account?"], false);
    with(&stage, r#"user: "anna", password: "x""#, "").fails_with(5).stderr_has("`account`");
    assert!(heard(&stage, "USER anna") && !heard(&stage, "ACCT"));
    // The reply to ACCT is irrelevant here: the server has accepted no login.
    with(&stage, r#"account: "books""#, "").fails_with(5).never_says("open+sesame-21");
    assert!(heard(&stage, "USER tester") && heard(&stage, "ACCT"));
}

#[test]
fn mode_and_fallback_say_who_opens_data_connections() {
    for (options, route) in
        [(r#"mode: "passive""#, "epsv"), (r#"mode: "active""#, "eprt"), (r#"mode: "auto""#, "epsv")]
    {
        let stage = Rehearsal::start(&[], false);
        with(&stage, options, "site.list(); print(site.route);").stdout(&format!("{route}\n"));
    }
    let stage = Rehearsal::start(&["active-refused"], false);
    let held = r#"mode: "active", fallback: false"#;
    with(&stage, held, "site.list();").fails_with(4).stderr_has("`fallback` is off");
    with(&stage, r#"mode: "active""#, "site.list(); print(site.route);").stdout("epsv\n");
}

#[test]
fn active_mode_announces_the_ports_and_addresses_of_the_options() {
    let stage = Rehearsal::start(&[], false);
    let ports = free_ports(3);
    let range = format!("{}-{}", ports.start(), ports.end());
    let options = format!(r#"mode: "active", port_range: "{range}""#);
    with(&stage, &options, "site.list();").succeeds();
    let announced =
        ports.into_iter().any(|port| heard(&stage, &format!("EPRT |1|127.0.0.1|{port}|")));
    assert!(announced, "{range}: {:#?}", stage.server.log());
    let options = r#"mode: "active", external_address: "203.0.113.7""#;
    with(&stage, options, "site.list(); print(site.route);").stdout("epsv\n");
    assert!(heard(&stage, "EPRT |1|203.0.113.7|"), "{:#?}", stage.server.log());
    let options = r#"mode: "active", source_address: "127.0.0.2""#;
    with(&stage, options, "site.list();").succeeds();
    assert!(heard(&stage, "EPRT |1|127.0.0.2|"), "{:#?}", stage.server.log());
}

#[test]
fn each_timeout_ends_its_own_wait() {
    let caught = |work: &str| {
        format!("try {{ {work} }} catch (err) {{ print(`${{err.kind}} ${{err.message}}`); }}")
    };
    for (fault, option, work, words) in [
        (
            "no-reply=DELE",
            "reply_timeout",
            "site.delete(\"a\");",
            "timeout no answer to DELE in 1.0 s",
        ),
        ("stall=3", "data_timeout", "site.read(\"a\");", "timeout no data moved for 1 s"),
        ("pasv-blackhole", "connect_timeout", "site.read(\"a\");", "no answer in 1"),
    ] {
        let stage = Rehearsal::start(&[fault], false);
        stage.file("a", "some bytes");
        let options = format!(r#"fallback: false, mode: "passive", {option}: "1s""#);
        with(&stage, &options, &caught(work)).succeeds().stdout_has(words);
    }
}

#[test]
fn names_are_read_in_the_encoding_of_the_option() {
    let stage = Rehearsal::start(&[], false);
    fs::write(stage.root().join(OsStr::from_bytes(b"caf\xe9")), "bytes").unwrap();
    let rest = r#"print(site.names("/")); print(site.read("/café"));"#;
    with(&stage, r#"encoding: "latin-1""#, rest).stdout("[\"café\"]\nbytes\n");
    with(&stage, r#"encoding: "utf-8""#, "print(site.exists(\"/café\"));").stdout("false\n");
    // Any listed name can be used, whatever its bytes.
    with(&stage, "", "for name in site.names(\"/\") { print(site.read(`/${name}`)); }")
        .stdout("bytes\n");
}

#[test]
fn a_listing_is_asked_for_by_the_command_of_the_option() {
    let stage = Rehearsal::start(&[], false);
    stage.file(".hidden", "x");
    with(&stage, r#"list_command: "LIST -a""#, "print(site.names(\"/\"));")
        .stdout("[\".hidden\"]\n");
    assert!(heard(&stage, "LIST -a") && !heard(&stage, "MLSD"), "{:#?}", stage.server.log());
}

#[test]
fn bytes_pass_no_faster_than_the_limit_says() {
    let stage = Rehearsal::start(&[], false);
    stage.file("a", vec![b'x'; 100_000]);
    // A fifth of a second less than the minimum, for the last piece.
    let timed = |options: &str| {
        let get = format!("site.get(\"a\", \"a\"{options}).seconds");
        format!("print({get} > 0.8 && site.put(\"a\", \"b\"{options}).seconds > 0.8);")
    };
    let limited = with(&stage, r#"rate_limit: "100kB""#, &timed(""));
    limited.stdout("true\n").any_files();
    let limited = with(&stage, "", &timed(", #{ rate_limit: 100000 }"));
    limited.stdout("true\n").any_files();
    with(&stage, r#"rate_limit: "quick""#, "")
        .fails_with(3)
        .stderr_has("`rate_limit` wants bytes per second");
}

#[test]
fn a_mirror_uses_as_many_sessions_as_the_option_says() {
    let stage = Rehearsal::start(&[], false);
    for number in 0..20 {
        stage.file(&format!("tree/{number}"), "x");
    }
    let rest = "site.mirror_down(\"/tree\", \"here\");";
    drop(with(&stage, "parallel: 1", rest).succeeds().any_files());
    assert_eq!(logins(&stage), 1);
    drop(with(&stage, "parallel: 3", rest).succeeds().any_files());
    assert!((3..=4).contains(&logins(&stage)), "{}", logins(&stage));
    let before = logins(&stage);
    drop(with(&stage, "", rest).succeeds().any_files());
    assert!(logins(&stage) - before > 1, "{}", logins(&stage) - before);
}

#[test]
fn tls_and_trust_are_those_of_the_options() {
    let stage = Rehearsal::start(&[], true);
    let ok = "print(site.pwd());";
    let ca = r#"tls: "explicit", ca_file: "ca.pem""#;
    with(&stage, ca, ok).stdout("/\n");
    assert!(heard(&stage, "AUTH TLS"));
    run(&stage, "ftpes", r#"tls: "off""#, ok).stdout("/\n");
    let unknown = with(&stage, r#"tls: "explicit""#, ok).fails_with(5);
    unknown.stderr_has("is from an unknown authority: name it with `ca_file`, or `pin`");
    with(&stage, r#"tls: "explicit", insecure: true"#, ok).stdout("/\n");
    let pinned = |pin: &str| format!("tls: \"explicit\", pin: \"{pin}\"");
    let wrong = with(&stage, &pinned(&"07".repeat(32)), ok).fails_with(5);
    drop(wrong.stderr_has("is not the pinned one"));
    // A user who wants to pin it asks the doctor.
    let url = format!("ftpes://tester@{}", stage.server.address());
    let doctor = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21");
    let doctor = doctor.args(["doctor", "--read-only", &url]).run();
    let text = doctor.stdout_text().to_owned();
    doctor.forget();
    let is_pin = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let pin = text.split(|c: char| !c.is_ascii_alphanumeric()).find(is_pin);
    let pin = pin.unwrap_or_else(|| panic!("{text}"));
    with(&stage, &pinned(pin), ok).stdout("/\n");
    with(&stage, &pinned(&format!("sha256/{pin}")), ok).stdout("/\n");
}

#[test]
fn a_server_that_wants_to_know_us_sees_our_certificate() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ours = certificates::write(Certificate::Good, folder.path());
    let further = [
        "ssl_request_cert=YES".to_owned(),
        "require_cert=YES".to_owned(),
        "validate_cert=YES".to_owned(),
        format!("ca_certs_file={}", ours.ca.display()),
    ];
    let options = Options {
        tls: Tls::Explicit,
        require_tls: true,
        further: further.to_vec(),
        ..Options::default()
    };
    let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
    let script = |further: &str| {
        let options =
            format!("password: secret(\"SITE_PASSWORD\"), ca_file: env(\"SITE_CA\"){further}");
        let text = format!(
            "let site = ftp::connect(env(\"SITE\"), #{{ {options} }}); print(site.list(\"/\").len());"
        );
        Portolan::new().server(&server).script(&text).run().any_stderr()
    };
    let (certificate, key) = (ours.certificate.display(), ours.key.display());
    script(&format!(", client_cert: \"{certificate}\", client_key: \"{key}\"")).stdout("0\n");
    let unknown = script("");
    assert!(!unknown.stderr_text().is_empty());
    drop(unknown.fails_with(5).any_stdout());
    // The key may be in the same file; here it is not.
    let alone = script(&format!(", client_cert: \"{certificate}\""));
    alone.fails_with(3).stderr_has("cannot read a private key");
}

#[test]
fn a_login_comes_from_the_netrc_file() {
    let stage = Rehearsal::start(&[], false);
    stage.file("a", "bytes");
    let url = format!("ftp://{}/a", stage.server.address());
    let netrc = "machine 127.0.0.1 login anna password hunter2\n";
    let portolan = || {
        let portolan = Portolan::new().file("netrc", netrc);
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(portolan.folder().join("netrc"), private).unwrap();
        portolan.file("script.rhai", format!("print(ftp::connect(\"{url}\"));"))
    };
    let ls = portolan().args(["ls", "--netrc=netrc", &url]).run();
    ls.any_stderr().never_says("hunter2").stdout_has("  a\n");
    assert!(heard(&stage, "USER anna"));
    let named = portolan().env("NETRC", "netrc").args(["--netrc", "ls", &url]).run();
    named.any_stderr().stdout_has("  a\n");
    let script = format!("ftp://{}", stage.server.address());
    let script = format!("let site = ftp::connect(\"{script}\"); print(site.read(\"a\"));");
    let run = portolan().file("script.rhai", script).args(["run", "--netrc=netrc", "script.rhai"]);
    run.run().any_stderr().stdout("bytes\n");
    let logins = stage.server.log();
    assert_eq!(logins.iter().filter(|line| line.contains("USER anna")).count(), 3);
    let other = url.replace("ftp://", "ftp://bert@");
    let stranger = portolan().args(["ls", "--netrc=netrc", &other]).run().fails_with(2);
    stranger.stderr_has("the netrc file has no entry for that user");
    let gone = portolan().args(["ls", "--netrc=gone", &url]).run().fails_with(2);
    gone.stderr("error: gone: cannot read the logins: no such file or directory\n");
}
