//! Old versions of files that are overwritten: in the trash, as many or as long as the rules say.

use std::{fs, path::PathBuf};

use super::{MirrorFixture, MirrorOptions, assert_same, write};
use portolan_ftp::site::InPlace;
use portolan_mirror::{TrashKeep, TrashRules};

fn keeping(trash: &str, keep: Option<TrashKeep>) -> MirrorOptions {
    let trash_rules = TrashRules { overwritten: true, keep };
    MirrorOptions { trash: Some(trash.to_owned()), trash_rules, ..MirrorOptions::default() }
}

/// Returns the source and the target of a mirror.
fn sides(bench: &MirrorFixture, is_up: bool) -> (PathBuf, PathBuf) {
    if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) }
}

/// Returns the names in a directory, in order.
fn names(folder: PathBuf) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_overwritten_is_in_the_trash_and_the_target_is_like_the_source() {
    let usual = || keeping("old", None);
    for (is_up, rules) in [
        (true, usual()),
        (false, usual()),
        (true, MirrorOptions { staged: true, ..usual() }),
        (false, MirrorOptions { staged: true, ..usual() }),
        (true, MirrorOptions { resume: true, ..usual() }),
        (false, MirrorOptions { resume: true, ..usual() }),
    ] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) = sides(&bench, is_up);
        for name in ["page", "sub/page", "new"] {
            write(&source, name, format!("the second {name}"));
        }
        write(&target, "page", "first");
        write(&target, "sub/page", "below");
        let run = async || if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        let report = run().await.unwrap();
        assert_eq!(
            (report.failed, report.uploaded + report.downloaded),
            (0, 3),
            "{:?}",
            report.errors
        );
        assert_eq!(fs::read(target.join("old/page")).unwrap(), b"first");
        assert_eq!(fs::read(target.join("old/sub/page")).unwrap(), b"below");
        write(&source, "page", "the third, which is longer");
        assert_eq!(run().await.unwrap().failed, 0);
        let kept = names(target.join("old"));
        assert!(kept.len() == 3 && kept[1].starts_with("page~20"), "{kept:?}");
        assert_eq!(fs::read(target.join("old").join(&kept[1])).unwrap(), b"the second page");
        fs::remove_dir_all(target.join("old")).unwrap();
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn a_file_whose_old_version_cannot_be_moved_is_not_overwritten() {
    for staged in [false, true] {
        let bench = MirrorFixture::new(&["reply=RNFR:550 Not this one.@/in/page"]);
        write(&bench.here(), "page", "the second");
        write(&bench.there(), "page", "first");
        let report = bench.up(&MirrorOptions { staged, ..keeping("old", None) }).await.unwrap();
        assert_eq!(report.failed, 1, "{:?}", report.errors);
        let said = report.errors[0].to_string();
        assert!(said.contains("cannot be moved to the trash, so it was not overwritten"), "{said}");
        assert_eq!(fs::read(bench.there().join("page")).unwrap(), b"first");
        let left = names(bench.there());
        assert!(left.iter().all(|name| name == "page" || name == "old"), "{left:?}");
    }
}

#[tokio::test]
async fn an_old_version_comes_back_if_nothing_came_in_its_place() {
    let bench = MirrorFixture::new(&["reply=RNTO:553 No new names.@/in/page"]);
    write(&bench.here(), "page", "the second");
    write(&bench.there(), "page", "first");
    let in_place = Some(InPlace::Never);
    let report = bench.up(&MirrorOptions { in_place, ..keeping("old", None) }).await.unwrap();
    assert_eq!(report.failed, 1, "{:?}", report.errors);
    let is_here =
        |path: &str| fs::read(bench.there().join(path)).is_ok_and(|text| text == b"first");
    // The server refuses the name for the old version, too: it is in the trash, and the error says so.
    assert!(is_here("page") || is_here("old/page"));
    assert!(
        is_here("page") || report.errors[0].to_string().contains("its old version is /in/old/page")
    );
}

#[tokio::test]
async fn only_as_many_versions_stay_as_the_rules_say() {
    for is_up in [true, false] {
        for (keep, stay) in [
            (TrashKeep::Versions(2), &["page~20200102T000000Z"][..]),
            (TrashKeep::Seconds(86_400), &[]),
        ] {
            let bench = MirrorFixture::new(&[]);
            let (source, target) = sides(&bench, is_up);
            write(&source, "page", "the second");
            for name in
                ["page", "old/page~20200101T000000Z", "old/page~20200102T000000Z", "old/mine"]
            {
                write(&target, name, "first");
            }
            let rules = keeping("old", Some(keep));
            let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
            assert_eq!(report.unwrap().failed, 0);
            let left = names(target.join("old"));
            let (newest, old) = left.split_last().unwrap();
            assert!(newest.starts_with("page~20") && !newest.starts_with("page~2020"), "{left:?}");
            assert_eq!(old, [&["mine"][..], stay].concat(), "{keep:?}");
        }
    }
}
