//! Mirrors that move: a file leaves the source once its copy is verified, and not before.

use std::path::Path;

use super::{MirrorFixture, MirrorOptions, Report, fs, odd_tree, remote, write};
use portolan_core::error::{ErrorKind, Result};
use portolan_mirror as mirror;
use portolan_mirror::{Compare, MirrorPlan};
use portolan_testserver::tree::Snapshot;

fn moving() -> MirrorOptions {
    MirrorOptions { moves: true, compare: Compare::Checksum, ..MirrorOptions::default() }
}

async fn run(bench: &MirrorFixture, is_up: bool, rules: &MirrorOptions) -> Result<Report> {
    if is_up { bench.up(rules).await } else { bench.down(rules).await }
}

/// Returns the source and the target.
fn sides(bench: &MirrorFixture, is_up: bool) -> [std::path::PathBuf; 2] {
    if is_up { [bench.here(), bench.there()] } else { [bench.there(), bench.here()] }
}

/// Returns the number of files below `folder`.
fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn all_files_go_and_the_target_has_them() {
    for is_up in [true, false] {
        for rules in [
            moving(),
            MirrorOptions { parallel: 4, ..moving() },
            MirrorOptions { staged: true, ..moving() },
            MirrorOptions { resume: true, ..moving() },
        ] {
            let bench = MirrorFixture::new(&[]).remembering();
            let [source, target] = sides(&bench, is_up);
            odd_tree(&source);
            write(&target, "stays", "of the target");
            let wanted = Snapshot::of(&source).unwrap();
            let files = count(&source) as u64;
            let report = run(&bench, is_up, &rules).await.unwrap();
            assert_eq!((report.moved, report.failed), (files, 0), "{is_up} {:?}", report.errors);
            assert_eq!(count(&source), 0, "{is_up}");
            assert!(source.join("empty/deeper").is_dir());
            assert_eq!(fs::read(target.join("stays")).unwrap(), b"of the target");
            fs::remove_file(target.join("stays")).unwrap();
            assert_eq!(wanted.changes_to(&Snapshot::of(&target).unwrap()), [], "{is_up}");
            // What comes later goes as well, and nothing that was moved is missed.
            write(&source, "later", "1");
            let report = run(&bench, is_up, &rules).await.unwrap();
            assert_eq!((report.moved, report.deleted, report.unchanged), (1, 0, 0), "{is_up}");
            assert_eq!((count(&source), count(&target) as u64), (0, files + 1));
        }
    }
}

#[tokio::test]
async fn a_file_that_is_there_already_goes_by_its_content() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let [source, target] = sides(&bench, is_up);
        for folder in [&source, &target] {
            write(folder, "same", "bytes");
        }
        // Size and time are equal.
        write(&source, "other", "12345");
        write(&target, "other", "54321");
        let report = run(&bench, is_up, &moving()).await.unwrap();
        assert_eq!((report.moved, report.unchanged), (2, 1), "{is_up}");
        assert_eq!(count(&source), 0);
        assert_eq!(fs::read(target.join("other")).unwrap(), b"12345");
    }
}

#[tokio::test]
async fn what_fails_or_cannot_be_verified_stays() {
    let bench = MirrorFixture::new(&[]);
    for name in ["a", "b", "c"] {
        write(&bench.here(), name, name);
    }
    // The target has a directory under the name of one of them.
    write(&bench.there(), "b/inside", "x");
    let report = bench.up(&moving()).await.unwrap();
    assert_eq!((report.moved, report.failed), (2, 1), "{:?}", report.errors);
    assert_eq!((count(&bench.here()), count(&bench.there())), (1, 3));
    assert_eq!(fs::read(bench.here().join("b")).unwrap(), b"b");

    let bench = MirrorFixture::new(&["reply=STOR:553 Not here."]);
    write(&bench.here(), "a", "a");
    let report = bench.up(&MirrorOptions { retries: 0, ..moving() }).await.unwrap();
    assert_eq!((report.moved, report.failed, count(&bench.here())), (0, 1, 1));

    // Neither SIZE nor a listing tells a size.
    let bench = MirrorFixture::new(&["reply=SIZE:502 No.", "listing=type=cdir; ."]);
    write(&bench.here(), "a", "a");
    let report = bench.up(&moving()).await.unwrap();
    assert_eq!((report.uploaded, report.moved, count(&bench.here())), (1, 0, 1));
}

#[tokio::test]
async fn options_with_which_files_could_get_lost_are_refused() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "a", "a");
    for (rules, word) in [
        (MirrorOptions { delete: true, ..moving() }, "delete"),
        (MirrorOptions { follow_links: true, ..moving() }, "follow_links"),
        (MirrorOptions { compare: Compare::Size, ..moving() }, "checksum"),
        (MirrorOptions { compare: Compare::SizeTime, ..moving() }, "checksum"),
    ] {
        for is_up in [true, false] {
            let fault = run(&bench, is_up, &rules).await.unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Invalid);
            assert!(fault.message.contains(word), "{fault}");
        }
    }
    assert!(bench.here().join("a").exists());
}

#[tokio::test]
async fn a_plan_names_what_goes_and_is_stale_when_that_has_changed() {
    let bench = MirrorFixture::new(&[]);
    for name in ["a", "b"] {
        write(&bench.here(), name, name);
    }
    write(&bench.there(), "b", "b");
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), remote("/in"));
    let made = mirror::plan_up(&mut session, None, &here, &there, &moving()).await.unwrap();
    let removals: Vec<_> =
        made.lines().into_iter().filter(|line| line.starts_with("remove")).collect();
    assert_eq!(
        removals,
        [
            "remove  a  (source, once its copy is verified)",
            "remove  b  (source, once its copy is verified)"
        ]
    );
    let read = MirrorPlan::from_json(&made.to_json()).unwrap();
    let paths =
        |plan: &MirrorPlan| plan.sources.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&read), paths(&made));
    write(&bench.here(), "c", "c");
    write(&bench.there(), "c", "c");
    let fault = mirror::apply(&mut session, None, &read).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Refused);
    assert_eq!(count(&bench.here()), 3);
    let made = mirror::plan_up(&mut session, None, &here, &there, &moving()).await.unwrap();
    let report = mirror::apply(&mut session, None, &made).await.unwrap();
    assert_eq!((report.moved, report.uploaded, count(&bench.here())), (3, 1, 0));
}
