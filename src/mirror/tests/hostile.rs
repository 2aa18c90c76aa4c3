//! Names and links that would lead out of the tree, or make a command of themselves.

use std::os::unix::fs::symlink;

use super::{Bench, ODD_NAMES, deleting, fs, odd_tree, shown, write};
use crate::fault::Kind;

#[tokio::test]
async fn s01_hostile_names_are_refused_and_nothing_is_deleted() {
    for name in ["../../x", "/etc/x", "a/b", "..", ".", "", "a\\0b"] {
        let listing = format!(
            "listing=type=cdir; .\\r\\ntype=file;size=2;modify=20200101000000; {name}\\r\\n\
             type=file;size=2;modify=20200101000000; good"
        );
        let bench = Bench::new(&[&listing]);
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
        let bench = Bench::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        odd_tree(&source);
        // Beside both trees stand things of the same names, and in the target some that are to go.
        for name in ODD_NAMES {
            let name = String::from_utf8_lossy(name);
            write(source.parent().unwrap(), format!("{name}.beside"), "keep");
            write(target.parent().unwrap(), format!("{name}.beside"), "keep");
            write(&target, format!("gone/{name}"), "go");
        }
        let before = bench.all();
        let rules = deleting();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        // More than half of the files would go: first the guard, and then a wish.
        assert_eq!(report.unwrap_err().kind, Kind::Guard);
        assert_eq!(bench.changes(&before), []);
        let keep = crate::mirror::Rules::default();
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
    let bench = Bench::new(&[listing]);
    write(&bench.there(), "d/f", "x");
    let before = bench.all();
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!(bench.changes(&before), []);
    assert!(report.skipped > 0);
}

#[tokio::test]
async fn s07_a_planted_link_in_the_target_leads_nothing_outside() {
    let bench = Bench::new(&[]);
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
    let bench = Bench::new(&[]);
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
    let bench = Bench::new(&[]);
    write(&bench.there(), "a/".repeat(257) + "f", "x");
    write(&bench.here(), "extra", "y");
    let fault = bench.down(&deleting()).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Guard);
    assert_eq!(fault.message, "more than 256 folders below one another");
    assert_eq!(fs::read_dir(bench.here()).unwrap().count(), 1);
}
