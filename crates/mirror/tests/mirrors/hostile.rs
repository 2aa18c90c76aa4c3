//! Names and links that would lead out of the tree, or be taken for commands.

use std::{
    env,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    MirrorFixture, MirrorOptions, ODD_NAMES, deleting, fs, odd_tree, remote, shown, write,
};
use portolan_core::error::ErrorKind;
use portolan_mirror as mirror;

#[tokio::test]
async fn s01_hostile_names_are_refused_and_nothing_is_deleted() {
    for name in ["../../x", "/etc/x", "a/b", "..", ".", "", "a\\0b"] {
        let listing = format!(
            "listing=type=cdir; .\\r\\ntype=file;size=2;modify=20200101000000; {name}\\r\\n\
             type=file;size=2;modify=20200101000000; good"
        );
        let bench = MirrorFixture::new(&[&listing]);
        write(&bench.there(), "good", "ok");
        write(&bench.here(), "extra", "y");
        let before = bench.all();
        let result = bench.down(&deleting()).await;
        let changes = shown(&bench.changes(&before));
        assert_eq!(changes, ["added    here/tree/good  2 bytes"], "{name}");
        let report = result.unwrap();
        assert_eq!((report.failed, report.deleted), (1, 0), "{name}");
    }
}

#[tokio::test]
async fn s04_mirrors_with_odd_names_change_only_what_was_planned() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        odd_tree(&source);
        // Beside both trees are entries of the same names, and in the target some that are to be deleted.
        for name in ODD_NAMES {
            let name = String::from_utf8_lossy(name);
            write(source.parent().unwrap(), format!("{name}.beside"), "keep");
            write(target.parent().unwrap(), format!("{name}.beside"), "keep");
            write(&target, format!("gone/{name}"), "go");
        }
        let before = bench.all();
        let rules = deleting();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        // More than half of the files would be deleted, so the guard refuses; after a run without deletes they are
        // fewer.
        assert_eq!(report.unwrap_err().kind, ErrorKind::Guard);
        assert_eq!(bench.changes(&before), []);
        let keep = MirrorOptions::default();
        if is_up { bench.up(&keep).await } else { bench.down(&keep).await }.unwrap();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!((report.failed, report.deleted), (0, ODD_NAMES.len() as u64 + 1));
        let prefix = target.strip_prefix(bench.scratch.path()).unwrap().to_owned();
        let outside: Vec<_> = bench
            .changes(&before)
            .into_iter()
            .filter(|change| !change.path.starts_with(&prefix))
            .collect();
        assert_eq!(outside, []);
        super::assert_same(&source, &target);
    }
}

#[tokio::test]
async fn s06_a_link_and_then_a_folder_of_its_name_create_nothing() {
    let listing =
        "listing=type=cdir; .\\r\\ntype=OS.unix=slink:../outside; d\\r\\ntype=dir; d@/in*1";
    let bench = MirrorFixture::new(&[listing]);
    write(&bench.there(), "d/f", "x");
    let before = bench.all();
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!(bench.changes(&before), []);
    assert!(report.skipped > 0);
}

#[tokio::test]
async fn s07_a_planted_link_in_the_target_leads_nothing_outside() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.there(), "d/f", "x");
    write(&bench.there(), "e", "x");
    let outside = bench.here().join("../outside");
    write(&outside, "f", "keep");
    symlink("../outside", bench.here().join("d")).unwrap();
    let before = bench.all();
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!(shown(&bench.changes(&before)), ["added    here/tree/e  1 bytes"]);
    assert_eq!(report.failed, 1);
}

#[tokio::test]
async fn links_are_left_alone_on_both_sides() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "a", "x");
    symlink("a", bench.here().join("link")).unwrap();
    symlink("/etc", bench.there().join("other")).unwrap();
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.skipped, report.failed), (1, 1, 0));
    assert!(fs::symlink_metadata(bench.there().join("link")).is_err());
    assert!(fs::symlink_metadata(bench.there().join("other")).is_ok());
}

#[tokio::test]
async fn s11_folders_without_end_stop_at_a_limit_with_a_name() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.there(), "a/".repeat(257) + "f", "x");
    write(&bench.here(), "extra", "y");
    let fault = bench.down(&deleting()).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Guard);
    assert_eq!(fault.message, "more than 256 folders below one another");
    assert_eq!(fs::read_dir(bench.here()).unwrap().count(), 1);
}

/// A guard that ends the swapping of `sub` for a link to the outside, which runs in its own thread.
struct Swapping<'a> {
    over: &'a AtomicBool,
}

impl Drop for Swapping<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn swap(sub: &Path, link: &Path, over: &AtomicBool, flips: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        renameat_with(CWD, sub, CWD, link, RenameFlags::EXCHANGE).unwrap();
        flips.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
    }
}

/// Mirrors repeatedly while `tree/sub` alternates between a directory and a link to `outside`: `PORTOLAN_CAMPAIGN` times,
/// and in any case until it was swapped 2,000 times.
fn mirrored_while_swapped(
    bench: &MirrorFixture,
    outside: &Path,
    is_up: bool,
    mut each: impl FnMut(),
) {
    let (sub, link) = (bench.here().join("sub"), bench.here().join("link"));
    symlink(outside, &link).unwrap();
    let (over, flips) = (AtomicBool::new(false), AtomicU64::new(0));
    let rounds = env::var("PORTOLAN_CAMPAIGN").map_or(100, |rounds| rounds.parse().unwrap());
    let rules = MirrorOptions { exclude: vec!["/link".to_owned()], retries: 0, ..deleting() };
    let (here, there) = (bench.here(), remote("/in"));
    let work = async {
        let mut session = bench.session().await;
        let mut round = 0;
        while round < rounds || flips.load(Ordering::Relaxed) < 2000 {
            // It may fail, since the folder is a link half of the time.
            let report = if is_up {
                mirror::up(&mut session, None, &here, &there, &rules, false).await
            } else {
                mirror::down(&mut session, None, &there, &here, &rules, false).await
            };
            drop(report);
            each();
            round += 1;
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| swap(&sub, &link, &over, &flips));
        let end = Swapping { over: &over };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        drop(end);
    });
}

#[test]
fn s08_a_folder_that_is_swapped_for_a_link_while_it_is_written_leads_nothing_outside() {
    let bench = MirrorFixture::new(&[]);
    let outside = bench.here().join("../outside");
    write(&outside, "f0", "keep");
    write(&outside, "only outside", "keep");
    fs::create_dir_all(bench.here().join("sub")).unwrap();
    write(&bench.here(), "stays", "x");
    let before = portolan_testserver::tree::Snapshot::of(&outside).unwrap();
    let mut round = 0;
    let there = bench.there();
    write(&there, "stays", "x");
    write(&there, "sub/f0", "from the server");
    mirrored_while_swapped(&bench, &outside, false, || {
        // Something to send and something to delete in each round.
        round += 1;
        write(&there, format!("sub/f{}", round % 3), format!("from the server {round}"));
        fs::remove_file(there.join(format!("sub/f{}", (round + 1) % 3))).ok();
    });
    let after = portolan_testserver::tree::Snapshot::of(&outside).unwrap();
    assert_eq!(shown(&before.changes_to(&after)), [""; 0]);
}

#[test]
fn s09_a_folder_that_is_swapped_for_a_link_while_it_is_read_sends_nothing_from_outside() {
    let bench = MirrorFixture::new(&[]);
    let outside = bench.here().join("../outside");
    for name in ["f0", "f1", "secret"] {
        write(&outside, name, "not to be sent");
    }
    write(&bench.here(), "stays", "x");
    let here = bench.here();
    for name in ["f0", "f1"] {
        write(&here, format!("sub/{name}"), "may be sent");
    }
    let there: PathBuf = bench.there();
    let mut round = 0;
    mirrored_while_swapped(&bench, &outside, true, || {
        round += 1;
        for name in ["f0", "f1", "secret"] {
            let path = there.join("sub").join(name);
            let sent = fs::read(&path).unwrap_or_default();
            assert!(!sent.starts_with(b"not to be sent"), "round {round}");
            // It is to be sent again.
            fs::remove_file(&path).ok();
        }
    });
}

#[tokio::test]
async fn s12_a_private_file_stays_private_and_no_special_bit_comes_from_the_server() {
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
    let facts = "listing=type=cdir; .\\r\\ntype=file;size=9;modify=20200101000000;UNIX.mode=4777; new\\r\\n\
                 type=file;size=9;modify=20200101000000;UNIX.mode=6777; private";
    let lines =
        "listing=-rwsrwsrwt 1 a b 9 Jan 01  2020 new\\r\\n-rwsrwsrwt 1 a b 9 Jan 01  2020 private";
    for plans in [&[facts][..], &["no-mlsd", "no-mlst", lines]] {
        let bench = MirrorFixture::new(plans);
        for name in ["new", "private"] {
            write(&bench.there(), name, "new bytes");
        }
        write(&bench.here(), "private", "old");
        let private = bench.here().join("private");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
        let report = bench.down(&MirrorOptions::default()).await.unwrap();
        assert_eq!((report.downloaded, report.failed), (2, 0), "{:?}", report.errors);
        assert_eq!(mode(private), 0o600, "{plans:?}");
        let new = mode(bench.here().join("new"));
        assert_eq!((new & 0o7000, new & 0o111), (0, 0), "{plans:?}: {new:o}");
    }
}

#[tokio::test]
async fn s49_a_listing_of_another_folder_is_not_taken_for_this_one() {
    let other = "listing=type=cdir;modify=20200101000000; /in/a\\r\\n\
                 type=file;size=1;modify=20200101000000; f@/in/b";
    let bench = MirrorFixture::new(&[other]);
    write(&bench.there(), "a/f", "x");
    write(&bench.there(), "b/g", "y");
    write(&bench.here(), "b/g", "y");
    write(&bench.here(), "b/h", "y");
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!(
        (report.downloaded, report.failed, report.deleted),
        (1, 1, 0),
        "{:?}",
        report.errors
    );
    let message = "the listing that came is that of /in/a";
    assert_eq!(report.errors[0].message, message);
    assert!(bench.here().join("b/h").exists() && !bench.here().join("b/f").exists());
    // A directory that the server lists by its own name is recognized as itself.
    let bench = MirrorFixture::new(&["listing=type=cdir; /in\\r\\ntype=file;size=1; f@/in"]);
    write(&bench.there(), "f", "x");
    assert_eq!(bench.down(&deleting()).await.unwrap().downloaded, 1);
}
