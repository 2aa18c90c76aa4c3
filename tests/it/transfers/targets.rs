//! The special targets of a download: a device, a link of the system, standard output.

use std::{fs, os::unix::fs::symlink};

use super::{portolan, script, url};
use crate::support::rehearsal::Rehearsal;

/// The links that no download may replace, without those under `/dev`: a test that failed there would break the host.
const LINKS: [(&str, &str); 4] = [
    ("out", "/proc/self/fd/1"),
    ("deep/er", "../out"),
    ("null", "/dev/null"),
    ("errors", "/dev/stderr"),
];

#[test]
fn get_never_replaces_a_device_or_a_link_of_the_system() {
    let stage = Rehearsal::start(&[], false);
    stage.file("f", "some bytes");
    for (name, leads_to) in LINKS {
        for resume in [&[][..], &["--resume"]] {
            let program = portolan().file("deep/x", "");
            symlink("/proc/self/fd/1", program.folder().join("out")).unwrap();
            fs::remove_file(program.folder().join(name)).ok();
            symlink(leads_to, program.folder().join(name)).unwrap();
            // Standard output of a test is a pipe; a regular file must be as safe.
            let program = program.args(["get"]).args(resume).args([&url(&stage, "f"), name]);
            let ran = program.run().fails_with(5).stdout("").stderr_has("the target is a");
            let found = fs::read_link(ran.folder().join(name)).unwrap();
            assert_eq!(found.to_str(), Some(leads_to));
        }
    }
}

#[test]
fn scripts_never_replace_a_link_of_the_system() {
    let stage = Rehearsal::start(&[], false);
    stage.file("f", "some bytes");
    for text in [
        "site.get(\"/f\", \"out\");",
        "local::write(\"out\", \"x\");",
        "local::copy(\"script.rhai\", \"out\");",
        "local::write(\"x\", \"x\"); local::rename(\"x\", \"out\");",
    ] {
        let program = portolan();
        symlink("/proc/self/fd/2", program.folder().join("out")).unwrap();
        let ran = program.script(&script(&stage, text)).run().any_code().any_stderr().any_files();
        let is_refused = ran.stderr_text().contains("the target is a link of the system");
        assert!(is_refused, "{text}: {}", ran.stderr_text());
        assert!(fs::read_link(ran.folder().join("out")).is_ok(), "{text}");
    }
}

#[test]
fn a_mirror_never_replaces_a_link_of_the_system() {
    for staged in [&[][..], &["--staged"]] {
        let stage = Rehearsal::start(&[], false);
        stage.file("in/out", "some bytes");
        stage.file("in/other", "more");
        let program = portolan().file("copy/x", "");
        let link = program.folder().join("copy/out");
        symlink("/proc/self/fd/0", &link).unwrap();
        let program = program.args(["mirror"]).args(staged).args([&url(&stage, "in"), "copy"]);
        drop(program.run().any_code().any_stderr().any_stdout().any_files());
        assert!(fs::read_link(&link).is_ok(), "{staged:?}");
    }
}
