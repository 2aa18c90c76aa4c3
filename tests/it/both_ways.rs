//! The same script for all servers: a tree down and up again, on each real server, plain and under TLS, active and
//! passive, over IPv4 and IPv6. The trees must be equal by hash.

use std::fs;

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
    tree::{self, Manifest, Names},
};

const SCRIPT: &str = r#"
let options = #{ password: secret("SITE_PASSWORD"), mode: args[0], fallback: false };
if env("SITE_CA") != () { options.ca_file = env("SITE_CA"); }
let site = ftp::connect(env("SITE"), options);
let down = site.mirror_down("/tree", "copy", #{ parallel: 2 });
let up = site.mirror_up("copy", "/again", #{ parallel: 2 });
let again = site.plan_up("copy", "/again");
for step in again.steps { log::error(step); }
for attempt in site.attempts { if !attempt.worked { log::error(`${attempt}`); } }
print(`${down.failed} ${up.failed} ${again.transfers} ${site.mode} ${site.route}`);
site.close();
"#;

fn both_ways(kind: Kind, tls: Tls, mode: &str, ipv6: bool) {
    let is_protected = tls != Tls::Off;
    let mut options = Options { ipv6, tls, require_tls: is_protected, ..Options::default() };
    options.tls_reuse = is_protected;
    if kind.lacks(&options).is_some() {
        options.tls_reuse = false;
    }
    if kind.lacks(&options).is_some() {
        return;
    }
    let Some(server) = RealServer::start(kind, &options) else { return };
    let what = format!("{} {tls:?} {mode} {}", kind.program(), if ipv6 { "IPv6" } else { "IPv4" });

    fs::create_dir(server.root().join("tree")).unwrap();
    tree::grow(&server.root().join("tree"), 7, Names::Odd);
    if kind == Kind::PureFtpd {
        // Its names have no backslash ("553 Prohibited file name") and no blank at the end (it substitutes `_`).
        for name in ["back\\slash", "trailing blank "] {
            fs::remove_file(server.root().join("tree/a").join(name)).unwrap();
        }
    }
    server.own_all();
    let program = Portolan::new().server(&server).script(SCRIPT);
    let route = match (mode, ipv6) {
        ("active", _) => "eprt",
        _ => "epsv",
    };
    let ran = program.args(["--log-level", "debug", mode]).run();
    let ran = ran.succeeds().any_stderr().any_files();
    assert_eq!(hasty_logins(ran.stderr_text()), [true, true], "{what}: {}", ran.stderr_text());
    let wanted = format!("0 0 0 {mode} {route}\n");
    assert_eq!(ran.stdout_text(), wanted, "{what}\n{}\n{}", ran.stderr_text(), server.log());
    let ran = ran.stdout(&wanted);
    let source = Manifest::of(&server.root().join("tree")).without_times();
    for found in [ran.folder().join("copy"), server.root().join("again")] {
        let difference = source.difference(&Manifest::of(&found).without_times());
        assert!(difference.is_empty(), "{what}: {}\n{difference}", found.display());
    }
}

/// Returns whether further sessions have sent all of their login in one packet, and whether the server has accepted it
/// each time.
fn hasty_logins(log: &str) -> [bool; 2] {
    let lines: Vec<_> = log.lines().filter_map(|line| line.split_once(" DEBUG ")).collect();
    let said: Vec<_> = lines.into_iter().map(|(_, said)| said).collect();
    let is_login =
        |two: &[&str]| matches!(two, [user, "> PASS ***"] if user.starts_with("> USER "));
    [
        said.windows(2).any(is_login),
        !said.iter().any(|line| line.contains("no login in one packet")),
    ]
}

fn all(kind: Kind) {
    for tls in [Tls::Off, Tls::Explicit] {
        for mode in ["active", "passive"] {
            for ipv6 in [false, true] {
                both_ways(kind, tls, mode, ipv6);
            }
        }
    }
}

#[test]
fn a_tree_goes_both_ways_with_vsftpd() {
    all(Kind::Vsftpd);
}

#[test]
fn a_tree_goes_both_ways_with_proftpd() {
    all(Kind::Proftpd);
}

#[test]
fn a_tree_goes_both_ways_with_pure_ftpd() {
    all(Kind::PureFtpd);
}
