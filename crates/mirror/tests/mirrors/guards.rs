//! Deletes that must not happen: by a broken listing, after a failure, too many at once.

use futures_util::future::join_all;

use super::{MirrorFixture, MirrorOptions, deleting, fs, write};
use portolan_core::error::ErrorKind;

/// Creates a source with two files, and a target with the same, one more file, and one more file in a directory.
fn two_trees(bench: &MirrorFixture, is_up: bool) {
    let (source, target) =
        if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
    for name in ["a", "sub/b"] {
        write(&source, name, "x");
        write(&target, name, "x");
    }
    for name in ["extra", "sub/extra", ".hidden"] {
        write(&target, name, "y");
    }
}

/// Mirrors with deletes under a fault of listings, and checks that nothing is deleted.
async fn listed_badly(fault: String, place: &str, is_up: bool) {
    let bench = MirrorFixture::new(&[&format!("{fault}{place}"), "reply=STAT:502 No."]);
    two_trees(&bench, is_up);
    let (target, rules) = (if is_up { bench.there() } else { bench.here() }, deleting());
    let result = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
    let about = format!("{fault}{place} {is_up} {result:?}");
    for name in ["a", "sub/b", "sub/extra"] {
        assert!(target.join(name).exists(), "{name}: {about}");
    }
    if place.is_empty() {
        assert!(target.join("extra").exists(), "{about}");
    }
}

#[tokio::test]
async fn s51_no_delete_on_the_word_of_a_broken_listing() {
    let named = [
        "list-550",
        "list-450",
        "list-empty",
        "listing=",
        "reply=MLSD:425 No.",
        "reply=MLSD:426 No.",
        "hang-up=MLSD",
    ];
    let mut cases = Vec::new();
    for fault in named {
        for place in ["", "@/in/sub"] {
            cases.push(listed_badly(fault.to_owned(), place, true));
            cases.push(listed_badly(fault.to_owned(), place, false));
        }
    }
    join_all(cases).await;
}

#[tokio::test]
async fn s51_no_delete_on_the_word_of_a_listing_that_was_cut_wherever() {
    let whole = "type=cdir; .\r\ntype=file;size=1;modify=20200101000000; a\r\ntype=dir; sub\r\n";
    let cuts = (1..whole.len()).filter_map(|end| whole.get(..end));
    join_all(cuts.map(|cut| {
        let cut = cut.replace('\r', "\\r").replace('\n', "\\n");
        listed_badly(format!("listing={cut}\\c"), "@/in", false)
    }))
    .await;
}

#[tokio::test]
async fn s52_a_line_that_cannot_be_read_protects_its_folder_and_the_run_is_not_clean() {
    let line = "listing=type=cdir; .\\r\\ntype=file;size=1; b\\r\\nnonsense@/in/sub";
    let bench = MirrorFixture::new(&[line]);
    two_trees(&bench, false);
    let report = bench.down(&deleting()).await.unwrap();
    assert!(bench.here().join("sub/extra").exists());
    assert_eq!(report.failed, 1);
    assert!(report.errors[0].message.contains("1 line"), "{:?}", report.errors);
}

#[tokio::test]
async fn s53_an_empty_source_is_taken_for_a_mistake() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        write(&if is_up { bench.there() } else { bench.here() }, "a", "x");
        let before = bench.all();
        let rules = deleting();
        let result = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        assert_eq!(result.unwrap_err().kind, ErrorKind::Guard);
        assert_eq!(bench.changes(&before), []);
        let rules = MirrorOptions::default();
        let result = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        assert_eq!(result.unwrap().failed, 0);
    }
}

#[tokio::test]
async fn s54_too_many_deletes_stop_the_run_before_anything_is_changed() {
    let bench = MirrorFixture::new(&[]);
    for number in 0..12 {
        write(&bench.there(), format!("{number}"), "x");
    }
    for number in 0..5 {
        write(&bench.here(), format!("{number}"), "new content");
    }
    let before = bench.all();
    let fault = bench.up(&deleting()).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Guard);
    assert_eq!(
        fault.message,
        "7 of the 12 files of the target would be deleted, more than half: nothing was changed; `max_delete` allows more"
    );
    write(&bench.here(), "5", "new content");
    let rules = MirrorOptions { max_delete: Some(5), ..deleting() };
    let fault = bench.up(&rules).await.unwrap_err();
    assert_eq!(
        fault.message,
        "6 deletes would be needed, and `max_delete` is 5: nothing was changed"
    );
    fs::remove_file(bench.here().join("5")).unwrap();
    assert_eq!(bench.changes(&before), []);
    write(&bench.here(), "5", "new content");
    let rules = MirrorOptions { max_delete: Some(6), ..deleting() };
    assert_eq!(bench.up(&rules).await.unwrap().deleted, 6);
}

#[tokio::test]
async fn s55_nothing_is_deleted_after_a_transfer_that_failed() {
    let bench = MirrorFixture::new(&["reply=RETR:550 No.@/in/sub"]);
    two_trees(&bench, false);
    write(&bench.there(), "a", "longer");
    write(&bench.there(), "sub/b", "longer");
    let before = bench.all();
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!((report.downloaded, report.failed, report.deleted, report.skipped), (1, 1, 0, 3));
    assert_eq!(super::shown(&bench.changes(&before)), ["changed  here/tree/a  6 bytes"]);
}

#[tokio::test]
async fn s56_what_a_server_hides_is_not_taken_to_be_gone() {
    let plans = ["no-mlsd", "no-mlst", "listing=-rw-r--r-- 1 a b 1 Jan 01  2020 a"];
    let bench = MirrorFixture::new(&plans);
    for name in ["a", ".hidden", "extra"] {
        write(&bench.here(), name, "x");
    }
    write(&bench.there(), "a", "x");
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!(report.deleted, 1);
    assert!(bench.here().join(".hidden").exists());
}

#[tokio::test]
async fn s56_a_folder_that_the_server_will_not_remove_stays() {
    let bench = MirrorFixture::new(&["delete-refused"]);
    two_trees(&bench, true);
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.deleted, report.failed), (0, 3));
    assert!(bench.there().join("extra").exists());
}

#[tokio::test]
async fn s57_a_listing_widens_no_delete_beyond_the_folder_that_was_listed() {
    for line in
        ["type=file;size=1; sub/b", "type=dir; ../tree/sub", "type=pdir; sub", "type=dir; /in/sub"]
    {
        // Nothing else is known of `sub`: it can neither be listed nor queried by name.
        let listing = format!("listing=type=cdir; .\\r\\ntype=file;size=1; a\\r\\n{line}@/in*1");
        let bench = MirrorFixture::new(&[&listing, "list-550@/in/sub", "reply=MLST:450 Not now."]);
        two_trees(&bench, false);
        drop(bench.down(&deleting()).await);
        for name in ["sub/b", "sub/extra"] {
            assert!(bench.here().join(name).exists(), "{line}: {name}");
        }
    }
}
