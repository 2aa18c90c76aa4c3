//! Changes of the target since the last run: each is reported, and the user decides which side wins.

use std::path::PathBuf;

use super::{MirrorFixture, MirrorOptions, Report, age, deleting, fs, write};
use portolan_core::error::{ErrorKind, Result};
use portolan_mirror::OnConflict;

/// Creates both sides as one run left them, and then changes the target.
async fn drifted(is_up: bool) -> MirrorFixture {
    let bench = MirrorFixture::new(&[]).remembering();
    let (source, target) = sides(&bench, is_up);
    for name in ["same", "edited", "removed", "both"] {
        write(&source, name, "bytes");
    }
    run(&bench, is_up, &MirrorOptions::default()).await.unwrap();
    for (name, age_s) in [("edited", 60), ("both", 60)] {
        fs::write(target.join(name), "other").unwrap();
        age(&target.join(name), age_s);
    }
    write(&source, "both", "third");
    age(&source.join("both"), 10);
    fs::remove_file(target.join("removed")).unwrap();
    write(&target, "added", "new");
    bench
}

fn sides(bench: &MirrorFixture, is_up: bool) -> (PathBuf, PathBuf) {
    if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) }
}

async fn run(bench: &MirrorFixture, is_up: bool, rules: &MirrorOptions) -> Result<Report> {
    if is_up { bench.up(rules).await } else { bench.down(rules).await }
}

#[tokio::test]
async fn the_source_wins_and_each_change_is_told() {
    for is_up in [true, false] {
        let bench = Box::pin(drifted(is_up)).await;
        let report = run(&bench, is_up, &deleting()).await.unwrap();
        assert_eq!(
            report.drift,
            [
                "added: added to the target since the last run, deleted",
                "both: changed in the target since the last run, overwritten",
                "edited: changed in the target since the last run, overwritten",
                "removed: removed from the target since the last run, put back",
            ],
            "{is_up}"
        );
        let (source, target) = sides(&bench, is_up);
        super::assert_same(&source, &target);
        let report = run(&bench, is_up, &deleting()).await.unwrap();
        assert_eq!((report.drift.len(), report.plan.len()), (0, 0), "{is_up}");
    }
}

#[tokio::test]
async fn changes_stay_where_they_are_kept_and_are_told_every_time() {
    for is_up in [true, false] {
        let bench = Box::pin(drifted(is_up)).await;
        let (_, target) = sides(&bench, is_up);
        let before = bench.all();
        let rules = MirrorOptions { on_conflict: OnConflict::Keep, ..deleting() };
        for _ in 0..2 {
            let report = run(&bench, is_up, &rules).await.unwrap();
            assert_eq!((report.drift.len(), report.skipped), (4, 4), "{:?}", report.drift);
            assert!(report.drift.iter().all(|line| line.ends_with("kept so")));
            assert_eq!((report.plan.len(), report.failed), (0, 0));
        }
        let changes = bench.changes(&before);
        let prefix = target.strip_prefix(bench.scratch.path()).unwrap();
        assert!(changes.iter().all(|change| !change.path.starts_with(prefix)), "{changes:?}");
    }
}

#[tokio::test]
async fn the_newer_file_wins_where_that_is_asked_for() {
    for is_up in [true, false] {
        let bench = Box::pin(drifted(is_up)).await;
        let rules = MirrorOptions { on_conflict: OnConflict::Newer, ..deleting() };
        run(&bench, is_up, &rules).await.unwrap();
        let (_, target) = sides(&bench, is_up);
        let text = |name: &str| fs::read_to_string(target.join(name)).unwrap();
        // The edit of the target is newer than the source's file, and the source's third text than the target's.
        let found = ["edited", "both", "removed", "added"].map(text);
        assert_eq!(found, ["other", "third", "bytes", "new"], "{is_up}");
    }
}

#[tokio::test]
async fn a_run_that_may_not_decide_does_nothing() {
    for is_up in [true, false] {
        let bench = Box::pin(drifted(is_up)).await;
        let before = bench.all();
        let rules = MirrorOptions { on_conflict: OnConflict::Fail, ..deleting() };
        let fault = run(&bench, is_up, &rules).await.unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Refused);
        assert_eq!(
            fault.message,
            "4 files of the target changed since the last run (added, both, edited, removed), and `on_conflict` is \
             \"fail\": nothing was changed"
        );
        assert_eq!(bench.changes(&before), []);
    }
}

#[tokio::test]
async fn a_run_that_fails_for_one_file_remembers_the_others() {
    let bench = MirrorFixture::new(&["reply=STOR:553 Not this one.@/in/bad"]).remembering();
    for name in ["a", "bad/b"] {
        write(&bench.here(), name, "bytes");
    }
    assert_eq!(bench.up(&MirrorOptions::default()).await.unwrap().failed, 1);
    age(&bench.here().join("a"), 5);
    let report = bench.up(&MirrorOptions::default()).await.unwrap();
    assert_eq!((report.uploaded, report.unchanged, report.failed), (0, 1, 1));
}

#[tokio::test]
async fn s53_a_source_that_lost_all_its_files_stops_the_run() {
    let bench = MirrorFixture::new(&[]).remembering();
    write(&bench.here(), "a", "bytes");
    bench.up(&deleting()).await.unwrap();
    fs::remove_file(bench.here().join("a")).unwrap();
    let fault = bench.up(&deleting()).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Guard);
    assert!(fault.message.contains("had 1 in the last run"), "{fault}");
    assert!(bench.there().join("a").exists());
}
