//! `portolan doctor` against real servers: its findings, and that it leaves no files behind.

use std::fs;

use serde_json::Value;

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
};

/// Returns the doctor command for a server with a trusted certificate authority, by `scheme`.
fn doctor_by(scheme: &str, server: &RealServer, arguments: &[&str]) -> Portolan {
    let trust = format!("ca_file={}", server.ca().display());
    let url = format!("{scheme}://{}@{}/", RealServer::USER, server.address());
    Portolan::new()
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .args(["doctor", &url, "--set", &trust])
        .args(arguments.iter().copied())
}

fn document(program: &Portolan) -> Value {
    let ran = program.run().succeeds();
    let document = serde_json::from_str(ran.stdout_text()).unwrap();
    drop(ran.any_stdout());
    document
}

#[test]
fn without_a_server_the_doctor_tells_of_this_machine_and_which_zone_data_is_used() {
    let mut ran = Portolan::new().args(["doctor", "--json"]).run().succeeds();
    let found = ran.json();
    let [used, bundled] = ["/zone_data/used", "/zone_data/bundled"].map(|at| text(&found, at));
    let system = text(&found, "/zone_data/system");
    // Versions sort as text: 2025b, 2026f.
    assert_eq!(used, system.max(bundled), "{found:#}");
    assert!(used.len() >= 5 && used.starts_with("20"), "{found:#}");
    assert!(found["scheduler"].is_null(), "{found:#}");
    drop(ran);
    let page = Portolan::new().args(["doctor"]).run().succeeds();
    let line = format!("zone data  {used} (");
    drop(page.stdout_has(&line).stdout_has("scheduler  none at work"));
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the methods that work under `tls`, in order.
fn working(document: &Value, tls: &str) -> Vec<String> {
    let modes = document.get("modes").unwrap().as_array().unwrap().iter();
    modes
        .filter(|tried| text(tried, "/tls") == tls && tried.get("works") == Some(&true.into()))
        .map(|tried| text(tried, "/step").to_owned())
        .collect()
}

#[test]
fn every_mode_of_a_real_server_works_and_nothing_is_left() {
    for kind in Kind::ALL {
        for (tls, scheme, words) in [
            (Tls::Off, "ftp", "off"),
            (Tls::Explicit, "ftpes", "explicit"),
            (Tls::Implicit, "ftps", "implicit"),
        ] {
            let mut options = Options { tls, tls_reuse: tls != Tls::Off, ..Options::default() };
            if kind.lacks(&options).is_some() {
                options.tls_reuse = false;
            }
            if kind.lacks(&options).is_some() {
                continue;
            }
            let Some(server) = RealServer::start(kind, &options) else { continue };
            let found = document(&doctor_by(scheme, &server, &["--json"]));
            let what = format!("{kind:?} {tls:?}\n{found:#}\n{}", server.log());
            assert_eq!(working(&found, words), ["epsv", "pasv", "eprt", "port"], "{what}");
            assert_eq!((text(&found, "/mode"), text(&found, "/route")), ("passive", "epsv"));
            assert_eq!(found.pointer("/server/clock_ahead_s"), Some(&0.into()), "{what}");
            assert_eq!(found.pointer("/server/sets_times"), Some(&true.into()), "{what}");
            assert_eq!(found.pointer("/server/renames_over"), Some(&true.into()), "{what}");
            assert_eq!(found.pointer("/server/sessions"), Some(&4.into()), "{what}");
            if options.tls_reuse {
                let required = found.pointer("/server/tls_resume_required");
                assert_eq!(required, Some(&true.into()), "{what}");
            }
            assert_eq!(fs::read_dir(server.root()).unwrap().count(), 0, "{what}");
        }
    }
}

#[test]
fn the_page_begins_with_the_verdict_and_fits_on_a_screen() {
    let options = Options { tls: Tls::Explicit, ..Options::default() };
    let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
    // Plain as the URL has it, and under TLS since the server offers it.
    let ran = doctor_by("ftp", &server, &[]).run().succeeds();
    let page = ran.stdout_text().to_owned();
    assert!(page.starts_with("Use passive mode: it works plain and under TLS, "), "{page}");
    for part in ["mode            plain       TLS\n", "commands", "▶", "nft insert rule", "  - "]
    {
        assert!(page.contains(part), "no {part:?} in:\n{page}");
    }
    assert!(page.lines().filter(|line| !line.contains("ca_file")).all(|l| l.chars().count() <= 80));
    assert!(ran.stderr_text().contains("trying EPSV with TLS at "));
    drop(ran.any_stdout().any_stderr());
    let ascii = doctor_by("ftp", &server, &["--read-only"]).env("LC_ALL", "C");
    let ran = ascii.run().succeeds().any_stderr();
    assert!(ran.stdout_text().is_ascii(), "{}", ran.stdout_text());
    drop(ran.any_stdout());
}

#[test]
fn a_mode_that_the_server_does_not_have_is_seen() {
    for (kind, no_passive) in [(Kind::Vsftpd, true), (Kind::Vsftpd, false), (Kind::Proftpd, true)] {
        let options = Options { no_passive, no_active: !no_passive, ..Options::default() };
        let Some(server) = RealServer::start(kind, &options) else { continue };
        let found = document(&doctor_by("ftp", &server, &["--json", "--sessions", "1"]));
        let mode = if no_passive { "active" } else { "passive" };
        assert_eq!(text(&found, "/mode"), mode, "{kind:?} {found:#}");
        assert_eq!(working(&found, "off").len(), 2, "{kind:?} {found:#}");
        assert!(text(&found, "/snippet").contains(&format!("mode: \"{mode}\"")));
    }
}

#[test]
fn read_only_sends_no_command_that_writes() {
    for kind in Kind::ALL {
        let Some(server) = RealServer::start(kind, &Options::default()) else { continue };
        server.file("kept.txt", "kept");
        let before = server.log();
        let found = document(&doctor_by("ftp", &server, &["--read-only", "--json"]));
        assert_eq!(found.get("works"), Some(&true.into()), "{found:#}");
        let said = server.log().replace(&before, "");
        for verb in ["STOR", "DELE", "RNFR", "RNTO", "MFMT", "MKD", "APPE", "SITE"] {
            let sent = format!("{verb} ");
            assert!(!said.contains(&sent), "{kind:?} {verb}:\n{said}");
        }
        assert_eq!(server.bytes("kept.txt"), b"kept");
    }
}

#[test]
fn a_login_that_is_refused_ends_with_5_and_a_silent_host_with_4() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let wrong = doctor_by("ftp", &server, &[]).env("PORTOLAN_PASSWORD", "wrong");
    wrong
        .run()
        .fails_with(5)
        .stdout_has("The server answers, but does not let us in: the login as `tester` failed: ")
        .never_says("wrong")
        .any_stderr();
    let silent = Portolan::new().args(["doctor", "ftp://127.0.0.1:1"]);
    silent
        .run()
        .fails_with(4)
        .stdout_has("Nothing answers at 127.0.0.1, port 1: cannot connect: connection refused.\n")
        .any_stderr();
    let nonsense = Portolan::new().args(["doctor", "http://127.0.0.1"]);
    nonsense.run().fails_with(2).stderr_has("the scheme `http` is not ftp, ftpes or ftps");
}

#[test]
fn a_script_gets_the_same_as_a_map() {
    let script = r#"
        let found = ftp::doctor("ftp://ftp.example.org", #{ sessions: 2 });
        print(`${found.mode} ${found.route} ${found.works} ${found.modes.len()} ${found.options.mode}`);
        print(found.verdict.contains("active mode does not"));
        print(found.findings[0].weight);
        for rule in found.rules { print(`${rule.side}: ${rule.words}`); }
    "#;
    Portolan::new()
        .file("script.rhai", script)
        .args(["rehearse", "script.rhai", "--fault", "active-425"])
        .run()
        .succeeds()
        .stdout_has("passive epsv true 8 \"passive\"\ntrue\nwarning\nhere: outbound TCP to ")
        .any_stderr();
}

#[test]
fn over_ipv6_the_two_modes_that_it_has_are_tried() {
    for kind in Kind::ALL {
        let options = Options { ipv6: true, tls: Tls::Explicit, ..Options::default() };
        let Some(server) = RealServer::start(kind, &options) else { continue };
        let found = document(&doctor_by("ftpes", &server, &["--json"]));
        assert_eq!(working(&found, "explicit"), ["epsv", "eprt"], "{kind:?} {found:#}");
        assert_eq!(fs::read_dir(server.root()).unwrap().count(), 0, "{kind:?}");
    }
}

#[test]
fn a_limit_on_sessions_is_found_on_a_real_server() {
    for kind in Kind::ALL {
        let options = Options { sessions_max: Some(2), ..Options::default() };
        let Some(server) = RealServer::start(kind, &options) else { continue };
        let found = document(&doctor_by("ftp", &server, &["--json"]));
        assert_eq!(found.pointer("/server/sessions"), Some(&2.into()), "{kind:?} {found:#}");
    }
}
