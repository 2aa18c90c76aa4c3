//! `portolan mirror --watch`: again after each local change, until it is interrupted.

use std::{fs, time::Duration};

use rustix::process::Signal;

use crate::support::{program::Portolan, rehearsal::Rehearsal, wait};

const TIME_MAX: Duration = Duration::from_secs(40);

fn url(server: &Rehearsal) -> String {
    format!("ftp://tester:open+sesame-21@127.0.0.1:{}/site", server.site.port)
}

#[test]
fn each_local_change_reaches_the_server_until_it_is_interrupted() {
    let server = Rehearsal::start(&[], false);
    let portolan = Portolan::new().file("dist/index.html", "one").file("dist/.git/x", "");
    let url = url(&server);
    let line = ["mirror", "--watch", "--delete", "--exclude", ".git/", "dist", &url];
    let running = portolan.args(line).spawn();
    running.until_stderr_has("Ctrl-C ends it");
    assert_eq!(server.bytes("site/index.html"), Some(b"one".to_vec()));
    let dist = running.folder().join("dist");
    let until = |path: &str, wanted: Option<&str>| {
        let wanted = wanted.map(|text| text.as_bytes().to_vec());
        let found = wait::until(TIME_MAX, || (server.bytes(path) == wanted).then_some(()));
        assert!(found.is_some(), "{path}: {:?}", server.bytes(path));
    };
    fs::write(dist.join("index.html"), "three").unwrap();
    until("site/index.html", Some("three"));
    fs::create_dir_all(dist.join("new/deep")).unwrap();
    fs::write(dist.join("new/deep/a.css"), "css").unwrap();
    until("site/new/deep/a.css", Some("css"));
    fs::remove_file(dist.join("index.html")).unwrap();
    until("site/index.html", None);
    // What takes no part is no change. The pass before it may still be at its end.
    let quiet = || {
        let before = server.server.log().len();
        std::thread::park_timeout(Duration::from_millis(500));
        (server.server.log().len() == before).then_some(before)
    };
    let before = wait::until(TIME_MAX, quiet).unwrap();
    fs::write(dist.join(".git/x"), "changed").unwrap();
    std::thread::park_timeout(Duration::from_secs(3));
    assert_eq!(server.server.log().len(), before);
    let logins = server.server.log().iter().filter(|line| line.contains("> USER")).count();
    running.signal(Signal::INT);
    let ran = running.wait().fails_with(130);
    assert!(logins <= 5, "the session is kept: {logins}");
    drop(ran.any_stdout().any_stderr().any_files());
}

#[test]
fn a_server_that_goes_away_is_told_and_the_mirror_goes_on_when_it_is_back() {
    let server = Rehearsal::start(&[], false);
    let portolan = Portolan::new().file("dist/a", "one");
    let address = server.server.address();
    let url = url(&server);
    let running = portolan.args(["mirror", "--watch", "dist", &url]).spawn();
    running.until_stderr_has("Ctrl-C ends it");
    drop(server);
    fs::write(running.folder().join("dist/a"), "two!").unwrap();
    running.until_stderr_has("trying again, and after the next change");
    let server = Rehearsal::start_at(address, "localhost", &[], false);
    let found = wait::until(TIME_MAX, || server.bytes("site/a"));
    assert_eq!(found, Some(b"two!".to_vec()));
    running.signal(Signal::TERM);
    drop(running.wait().fails_with(130).any_stdout().any_stderr().any_files());
}

#[test]
fn only_a_mirror_to_a_server_can_be_watched() {
    let portolan = Portolan::new();
    let line = ["mirror", "--watch", "ftp://127.0.0.1:1/x", "dist"];
    let ran = portolan.clone_with(line).run().fails_with(2);
    drop(ran.stderr_has("`--watch` is for mirrors to a server"));
    let line = ["mirror", "--watch", "--dry-run", "dist", "ftp://127.0.0.1:1/x"];
    drop(portolan.clone_with(line).run().fails_with(2).stderr_has("cannot be used with"));
    let line = ["mirror", "--watch", "none", "ftp://127.0.0.1:1/x"];
    drop(portolan.clone_with(line).run().fails_with(5).stderr_has("error: none: cannot open"));
}
