//! An escape campaign: in place of the parser of listings, hostile code tries to get out of the run.

use std::{fs, net::TcpListener, os::unix::net::UnixListener};

use portolan::permissions::sandbox::KernelSupport;

use crate::support::{program::Portolan, rehearsal::Rehearsal, server::say_skipped};

/// The attempts that succeed in a run that may connect, read `in` and write `out`. `%` is the working directory, `^` one for
/// a socket, `@` a port that listens on this host, and `!` the test's own process.
const INSIDE: [&str; 6] = [
    "read %/in/a",
    "list %/in",
    "write %/out/new",
    "mkdir %/out/folder",
    "rename %/out/new %/out/newer",
    "remove %/out/newer",
];

/// The attempts that must fail.
const OUTSIDE: [&str; 40] = [
    "read %/secret",
    "read /etc/shadow",
    "read /root/.ssh/id_rsa",
    "read /proc/self/environ",
    "read /proc/1/environ",
    "read /proc/self/mem",
    "read /proc/self/root/etc/shadow",
    "read %/in/link",
    "read %/in/../secret",
    "list %",
    "list /home",
    "list /proc",
    "write %/secret",
    "write %/new",
    "write %/in/a",
    "write /tmp/portolan-hostile",
    "write /dev/shm/portolan-hostile",
    "write /etc/cron.d/portolan-hostile",
    "write /proc/self/oom_score_adj",
    "append %/secret",
    "truncate %/in/a",
    "remove %/secret",
    "remove %/in/a",
    "mkdir %/folder",
    "rename %/in/a %/out/a",
    "rename %/out/keep %/keep",
    "link %/secret %/out/secret",
    "link %/in/a %/out/a",
    "symlink /etc/shadow %/out/shadow",
    "chmod %/secret",
    "chmod %/in/a",
    "chown %/secret",
    "unix ^/socket",
    "netlink x",
    "packet x",
    "raw x",
    "execute /bin/true",
    "execute %/out/keep",
    "unshare x",
    "kill !",
];

/// Runs the attempts in a run with `flags`, and returns its lines about them.
fn results(attempts: &[&str], flags: &[&str], url: &str) -> Vec<String> {
    let program = Portolan::new()
        .file("in/a", "a")
        .file("out/keep", "#!/bin/sh\n")
        .file("secret", "canary")
        .script("let site = ftp::connect(args[0]); site.list(\"/\"); print(\"done\");");
    let folder = program.folder().to_str().unwrap().to_owned();
    std::os::unix::fs::symlink("../secret", program.folder().join("in/link")).unwrap();
    let sockets = tempfile::tempdir().unwrap();
    let _socket = UnixListener::bind(sockets.path().join("socket")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let attempts: Vec<_> = attempts
        .iter()
        .map(|one| {
            one.replace('%', &folder)
                .replace('^', sockets.path().to_str().unwrap())
                .replace('@', &port)
        })
        .map(|one| one.replace('!', &std::process::id().to_string()))
        .collect();
    let program = program.env("PORTOLAN_TEST_HOSTILE", attempts.join("\n"));
    let ran = program.args(flags.iter().copied()).args([url]).run();
    let ran = ran.succeeds().stdout("done\n").any_stderr().any_files();
    let said: Vec<_> = ran
        .stderr_text()
        .lines()
        .filter_map(|line| line.strip_prefix("hostile "))
        .map(|line| line.replace(&folder, "%"))
        .collect();
    ran.forget();
    assert_eq!(said.len(), attempts.len(), "{said:#?}");
    said
}

fn succeeded(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|line| line.strip_suffix(": SUCCEEDED")).collect()
}

/// Returns true if this kernel has all walls; says that the test is skipped if not.
fn is_confined(test: &str) -> bool {
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        say_skipped(test, &lacks.join("; "));
    }
    lacks.is_empty()
}

#[test]
fn hostile_code_in_the_parser_gets_nowhere_but_where_the_run_may() {
    if !is_confined("hostile_code_in_the_parser_gets_nowhere_but_where_the_run_may") {
        return;
    }
    let server = Rehearsal::start(&[], false);
    let url = format!("ftp://tester:open+sesame-21@{}", server.server.address());
    let flags =
        ["--allow-net=127.0.0.1", "--allow-read=in", "--allow-write=out", "--require-sandbox"];
    let said = results(&OUTSIDE, &flags, &url);
    assert_eq!(succeeded(&said), Vec::<&str>::new(), "{said:#?}");
    assert!(!fs::exists("/tmp/portolan-hostile").unwrap());
    let said = results(&INSIDE, &flags, &url);
    assert_eq!(succeeded(&said), INSIDE, "{said:#?}");
}

/// Shows that the attempts are real: without permissions most succeed.
#[test]
fn hostile_code_gets_out_of_a_run_without_permissions() {
    let server = Rehearsal::start(&[], false);
    let url = format!("ftp://tester:open+sesame-21@{}", server.server.address());
    let attempts = [
        "read %/secret",
        "write %/new",
        "chmod %/in/a",
        "unix ^/socket",
        "execute /bin/true",
        "connect 127.0.0.1:@",
    ];
    let said = results(&attempts, &[], &url);
    assert_eq!(succeeded(&said).len(), attempts.len(), "{said:#?}");
}
