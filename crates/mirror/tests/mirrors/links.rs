//! Links: left alone unless they are to be followed, never out of the local directory, never in a cycle, and nothing is
//! deleted through one.

use std::os::unix::fs::symlink;

use super::{MirrorFixture, MirrorOptions, deleting, fs, shown, write};
use portolan_core::error::ErrorKind;
use portolan_mirror::{Compare, StateIn};
use portolan_testserver::tree::Snapshot;

fn following() -> MirrorOptions {
    MirrorOptions { follow_links: true, ..deleting() }
}

#[tokio::test]
async fn links_here_are_sent_as_what_they_lead_to_and_the_second_run_is_quiet() {
    for rules in [
        following(),
        MirrorOptions { staged: true, parallel: 4, ..following() },
        MirrorOptions { resume: true, ..following() },
        MirrorOptions { compare: Compare::Checksum, ..following() },
        MirrorOptions { state: StateIn::Remote, ..following() },
    ] {
        let bench = MirrorFixture::new(&[]).remembering();
        let here = bench.here();
        write(&here, "releases/42/index.html", "new");
        write(&here, "notes", "text");
        symlink("releases/42", here.join("current")).unwrap();
        symlink("../notes", here.join("releases/notes")).unwrap();
        symlink("gone", here.join("nowhere")).unwrap();
        symlink("..", here.join("releases/up")).unwrap();
        let report = bench.up(&rules).await.unwrap();
        assert_eq!((report.failed, report.uploaded), (0, 4), "{:?}", report.errors);
        assert_eq!(report.skipped, 2);
        for (path, text) in [
            ("releases/42/index.html", "new"),
            ("current/index.html", "new"),
            ("notes", "text"),
            ("releases/notes", "text"),
        ] {
            let found = bench.there().join(path);
            assert_eq!(fs::read(&found).unwrap(), text.as_bytes(), "{path}");
        }
        let links = ["current", "releases/notes"].map(|name| bench.there().join(name).is_symlink());
        assert_eq!(links, [false, false]);
        assert!(!bench.there().join("releases/up").exists());
        let again = bench.up(&rules).await.unwrap();
        assert_eq!((again.plan, again.unchanged), (Vec::new(), 4));

        // The target of a link has changed.
        write(&here, "releases/42/index.html", "newer");
        assert_eq!(bench.up(&rules).await.unwrap().uploaded, 2);
        assert_eq!(fs::read(bench.there().join("current/index.html")).unwrap(), b"newer");
    }
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_refused_by_name_and_nothing_is_deleted() {
    for target in ["../outside", "../outside/secret", "/etc/hostname", "/proc/self/root/etc"] {
        let bench = MirrorFixture::new(&[]);
        write(&bench.here(), "a", "bytes");
        write(&bench.here().join("../outside"), "secret", "not to be sent");
        symlink(target, bench.here().join("out")).unwrap();
        write(&bench.there(), "extra", "y");
        let report = bench.up(&following()).await.unwrap();
        assert_eq!((report.failed, report.uploaded, report.deleted), (1, 1, 0), "{target}");
        let fault = &report.errors[0];
        assert_eq!(fault.kind, ErrorKind::Refused);
        assert!(fault.path.as_ref().unwrap().ends_with("/out"), "{fault}");
        assert!(fault.message.starts_with("this link leads out of the folder"), "{fault}");
        let names = fs::read_dir(bench.there()).unwrap().count();
        assert_eq!(names, 2, "{target}");
    }
}

#[tokio::test]
async fn a_link_that_is_turned_outward_after_the_scan_sends_nothing_from_there() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "real/f", "fine");
    write(&bench.here().join("../outside"), "f", "not to be sent");
    symlink("real", bench.here().join("d")).unwrap();
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), super::remote("/in"));
    let plan =
        portolan_mirror::plan_up(&mut session, None, &here, &there, &following()).await.unwrap();
    fs::remove_file(here.join("d")).unwrap();
    symlink("../outside", here.join("d")).unwrap();
    let fault = portolan_mirror::apply(&mut session, None, &plan).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Refused);
    assert_eq!(fs::read_dir(bench.there()).unwrap().count(), 0);
}

#[tokio::test]
async fn links_of_the_server_are_fetched_as_what_they_lead_to() {
    for plans in [&[][..], &["no-mlsd", "no-mlst"]] {
        for rules in [following(), MirrorOptions { staged: true, parallel: 4, ..following() }] {
            let bench = MirrorFixture::new(plans);
            let there = bench.there();
            write(&there, "releases/42/index.html", "new");
            symlink("releases/42", there.join("current")).unwrap();
            symlink("releases/42/index.html", there.join("page")).unwrap();
            // On a server a link may lead anywhere that the server shows.
            write(&there.join("../beside"), "f", "beside");
            symlink("../beside", there.join("elsewhere")).unwrap();
            symlink("gone", there.join("nowhere")).unwrap();
            symlink("..", there.join("releases/up")).unwrap();
            symlink("../releases/42", there.join("releases/again")).unwrap();
            write(&bench.here(), "extra", "y");
            let report = bench.down(&rules).await.unwrap();
            assert_eq!(report.failed, 0, "{plans:?} {:?}", report.errors);
            assert_eq!((report.downloaded, report.deleted, report.skipped), (5, 1, 2), "{plans:?}");
            for (path, text) in [
                ("releases/42/index.html", "new"),
                ("releases/again/index.html", "new"),
                ("current/index.html", "new"),
                ("page", "new"),
                ("elsewhere/f", "beside"),
            ] {
                assert_eq!(fs::read(bench.here().join(path)).unwrap(), text.as_bytes(), "{path}");
            }
            assert_eq!(bench.down(&rules).await.unwrap().plan, [""; 0]);
        }
    }
}

#[tokio::test]
async fn s11_an_undetected_circle_of_links_ends_by_itself() {
    // The listing shows that it is a link, but not its target.
    let listing = "listing=type=cdir; .\\r\\ntype=OS.unix=symlink; d\\r\\ntype=file;size=1; f";
    let bench = MirrorFixture::new(&[listing]);
    write(&bench.there(), "f", "x");
    symlink(".", bench.there().join("d")).unwrap();
    let report = bench
        .down(&MirrorOptions { follow_links: true, ..MirrorOptions::default() })
        .await
        .unwrap();
    assert_eq!((report.failed, report.skipped), (0, 1), "{:?}", report.errors);
    assert_eq!(report.downloaded, 9);
}

#[tokio::test]
async fn nothing_is_done_through_a_link_of_the_target() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        write(&source, "a", "x");
        write(&source, "d/new", "x");
        let outside = target.join("../outside");
        write(&outside, "kept", "kept");
        symlink("../outside", target.join("extra")).unwrap();
        symlink("../outside", target.join("d")).unwrap();
        let before = Snapshot::of(&outside).unwrap();
        let rules = following();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!((report.failed, report.deleted), (1, 0), "{:?}", report.errors);
        assert_eq!(shown(&before.changes_to(&Snapshot::of(&outside).unwrap())), [""; 0]);
        assert!(target.join("extra").is_symlink() && target.join("d").is_symlink());
    }
}

#[tokio::test]
async fn what_links_brought_is_not_deleted_when_they_are_no_longer_followed() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "real/f", "x");
    symlink("real", bench.here().join("d")).unwrap();
    assert_eq!(bench.up(&following()).await.unwrap().uploaded, 2);
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.failed, report.deleted), (0, 0), "{:?}", report.errors);
    assert!(bench.there().join("d/f").exists());
}
