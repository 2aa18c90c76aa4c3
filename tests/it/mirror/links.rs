//! Symbolic links as the command and scripts follow them, against the embedded server and the real ones.

use std::{fs, os::unix::fs::symlink};

use super::{mirror, url};
use crate::support::{
    program::Portolan,
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer},
};

#[test]
fn links_are_left_alone_and_named_unless_they_are_to_be_followed() {
    let stage = Rehearsal::start(&[], false);
    let program = mirror(&stage).file("dist/real/f", "bytes");
    symlink("real", program.folder().join("dist/d")).unwrap();
    let plain = program.clone_with(["dist", &url(&stage)]);
    let ran = plain.run().succeeds().any_stdout().any_files();
    drop(ran.stderr_has("d is a link, and links are not followed: left alone"));
    assert!(stage.bytes("in/d/f").is_none());
    let following = program.clone_with(["--follow-links", "dist", &url(&stage)]);
    drop(following.run().succeeds().any_stdout().any_stderr().any_files());
    assert_eq!(stage.bytes("in/d/f").unwrap(), b"bytes");

    symlink("/etc", program.folder().join("dist/out")).unwrap();
    let ran = following.run().fails_with(6).any_stdout().any_files();
    drop(ran.stderr_has("this link leads out of the folder, and is not followed there"));
    assert!(!stage.root().join("in/out").exists());
}

#[test]
fn a_script_follows_links_both_ways_with_real_servers() {
    let text = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD") });
        let up = site.mirror_up("dist", "up", #{ follow_links: true });
        let down = site.mirror_down("in", "copy", #{ follow_links: true, delete: true });
        let again = site.mirror_down("in", "copy", #{ follow_links: true, delete: true });
        print(`${up.uploaded} ${up.failed} ${down.downloaded} ${down.failed} ${again.plan.len()}`);
    "#;
    for kind in Kind::ALL {
        let Some(server) = RealServer::start(kind, &Options::default()) else { continue };
        server.file("in/releases/42/index.html", "new");
        let there = server.root().join("in");
        for (target, name) in [
            ("releases/42", "current"),
            ("releases/42/index.html", "page"),
            ("nothing", "nowhere"),
            ("..", "releases/up"),
        ] {
            symlink(target, there.join(name)).unwrap();
        }
        server.own_all();
        let program = Portolan::new().server(&server).file("dist/real/f", "bytes");
        symlink("real", program.folder().join("dist/d")).unwrap();
        let ran = program.script(text).run().succeeds().any_stderr().any_files();
        assert!(ran.stdout_text().starts_with("2 0 "), "{kind:?}: {}", ran.stdout_text());
        assert!(ran.stdout_text().ends_with(" 0 0\n"), "{kind:?}: {}", ran.stdout_text());
        assert_eq!(server.bytes("up/d/f"), b"bytes");
        for path in ["releases/42/index.html", "current/index.html", "page"] {
            let found = fs::read(ran.folder().join("copy").join(path)).ok();
            assert_eq!(found.as_deref(), Some(&b"new"[..]), "{kind:?} {path}");
        }
        assert!(!ran.folder().join("copy/nowhere").exists(), "{kind:?}");
        drop(ran.any_stdout());
    }
}
