//! Tests of the forms of listing commands: whatever the reply to one of them, another lists the directory; and a
//! partial listing is told from a complete one.

use futures_util::future::join_all;

use super::{TestSession, bench, get, path};
use crate::listing::{EntryKind, Listing, ListingFormat};
use portolan_core::error::ErrorKind;

/// Returns a server with a file, a directory and an empty directory.
fn with(plans: &[&str]) -> TestSession {
    let bench = bench(plans, false);
    bench.file("a.txt", "four");
    for folder in ["full", "empty"] {
        std::fs::create_dir(bench.folder.path().join(folder)).unwrap();
    }
    bench.file("full/in", "x");
    bench
}

fn names(listing: &Listing) -> Vec<String> {
    listing.entries.iter().map(|entry| String::from_utf8(entry.name.clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_form_that_is_refused_or_shows_nothing_has_another_behind_it() {
    let cases: [&[&str]; 13] = [
        &["reply=MLSD:500 ?"],
        &["reply=MLSD:501 Syntax error"],
        &["reply=MLSD:504 Not for that"],
        &["reply=MLSD:550 Could not list: Not supported"],
        &["reply=MLSD:553 No"],
        &["reply=MLSD:451 Local error"],
        &["reply=MLSD:226 Done"],
        &["listing=@/*1"],
        &["listing=ls: -a: no such file\\n@/*1", "no-mlsd", "no-mlst"],
        &["listing=@/*1", "no-mlsd", "no-mlst"],
        &["reply=MLSD:502 No", "reply=LIST:502 No@/*1"],
        &["reply=MLSD:502 No", "reply=LIST:502 No"],
        &["list-550"],
    ];
    join_all(Vec::from(cases).into_iter().map(async |plans| {
        let bench = with(plans);
        let mut session = bench.open().await.unwrap();
        let listing =
            session.list(&path("/")).await.unwrap_or_else(|error| panic!("{plans:?} {error}"));
        assert_eq!(names(&listing), ["a.txt", "empty", "full"], "{plans:?}");
        let listing = session.list(&path("/full")).await.unwrap();
        assert_eq!(names(&listing), ["in"], "{plans:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_empty_folder_is_one_in_whatever_way_the_server_says_so() {
    let old = ["no-mlsd", "no-mlst"];
    let cases = [
        "list-empty",
        "reply=LIST:226 no files",
        "reply=LIST:250 Nothing",
        "reply=LIST:450 No files found",
        "reply=LIST:550 No files found.",
        "reply=LIST:550 The directory is empty",
    ];
    join_all(Vec::from(cases).into_iter().map(async |plan| {
        let bench = with(&[&old[..], &[plan]].concat());
        let mut session = bench.open().await.unwrap();
        let listing =
            session.list(&path("/empty")).await.unwrap_or_else(|error| panic!("{plan} {error}"));
        assert_eq!(names(&listing), Vec::<String>::new(), "{plan}");
        assert!(!listing.may_delete(), "{plan}");
        let missing = session.list(&path("/missing")).await.unwrap_err();
        assert!(
            matches!(missing.kind, ErrorKind::Refused | ErrorKind::NotFound),
            "{plan} {missing}"
        );
    }))
    .await;
    let bench = with(&[&old[..], &["reply=LIST:550 Permission denied."]].concat());
    let error = bench.open().await.unwrap().list(&path("/empty")).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ErrorKind::Refused, 550));
    assert!(error.message.contains("Permission"), "{error}");
}

#[tokio::test]
async fn lines_that_cannot_be_read_are_not_passed_over_for_what_stat_says() {
    for old in [&[][..], &["no-mlsd"], &["no-mlsd", "no-mlst"]] {
        let bench = with(&[old, &["listing=word\\r\\n?? ??"]].concat());
        let listing = bench.open().await.unwrap().list(&path("/")).await.unwrap();
        assert_eq!((names(&listing).len(), listing.refused_count), (0, 2), "{old:?}");
        assert!(listing.unreadable().is_some());
    }
}

#[tokio::test]
async fn an_empty_answer_costs_nothing_once_the_form_has_shown_something() {
    let bench = with(&["listing=@/empty"]);
    let mut session = bench.open().await.unwrap();
    session.list(&path("/full")).await.unwrap();
    let before = bench.commands().len();
    let listing = session.list(&path("/empty")).await.unwrap();
    assert_eq!(names(&listing), Vec::<String>::new());
    assert_eq!(bench.count("LIST") + bench.count("STAT"), 0);
    assert!(bench.commands().len() <= before + 2, "{:?}", bench.commands());
}

#[tokio::test]
async fn names_alone_are_better_than_nothing_and_said_to_be_that() {
    let bench = with(&["no-mlsd", "no-mlst", "reply=LIST:502 No", "reply=STAT:502 No"]);
    let mut session = bench.open().await.unwrap();
    let listing = session.list(&path("/")).await.unwrap();
    let read: Vec<_> =
        listing.entries.iter().map(|e| (e.name.as_slice(), e.kind, e.size)).collect();
    assert_eq!(
        read,
        [
            (&b"a.txt"[..], EntryKind::File, Some(4)),
            (b"empty", EntryKind::Dir, None),
            (b"full", EntryKind::Dir, None),
        ]
    );
    assert_eq!((listing.format, listing.may_delete()), (ListingFormat::Names, false));
}

#[tokio::test]
async fn the_reply_that_closes_a_listing_may_say_that_it_is_a_part() {
    for words in [
        "226-Output truncated to 2 matches\\r\\n226 2 matches total",
        "226 Listing incomplete",
        "250-Limit reached\\r\\n250 Done",
        "226 Only the first 3 entries were sent",
    ] {
        for old in [&[][..], &["no-mlsd", "no-mlst", "reply=STAT:502 No"]] {
            let plan = format!("listing-end={words}");
            let bench = with(&[old, &[&plan]].concat());
            let mut session = bench.open().await.unwrap();
            let listing = session.list(&path("/")).await.unwrap();
            assert_eq!(names(&listing), ["a.txt", "empty", "full"], "{words}");
            assert!(!listing.complete && !listing.may_delete(), "{words}");
            assert_eq!(listing.refused_count, 1, "{words}");
        }
    }
    let bench = with(&["listing-end=226-Done\\r\\n226 3 entries, no limit"]);
    assert!(bench.open().await.unwrap().list(&path("/")).await.unwrap().may_delete());
}

#[tokio::test]
async fn a_listing_needs_no_binary_type_and_a_file_does() {
    for plan in ["reply=TYPE:504 not for that parameter", "reply=TYPE:502 No", "reply=TYPE:501 ?"] {
        let bench = with(&[plan]);
        let mut session = bench.open().await.unwrap();
        assert_eq!(names(&session.list(&path("/")).await.unwrap()).len(), 3, "{plan}");
        let (moved, kept) = get(&mut session, "/a.txt").await;
        assert!(moved.unwrap_err().message.contains("TYPE"), "{plan}");
        assert_eq!(kept, b"old", "{plan}");
    }
}

#[tokio::test]
async fn a_folder_is_entered_whatever_success_is_called() {
    for plan in ["reply=CWD:200 OK", "reply=CWD:213 ok", "reply=CWD:200 OK\\r\\n250 OK"] {
        let bench = bench(&["no-mlsd", "no-mlst", "reply=STAT:502 No", plan], false);
        bench.file("a.txt", "four");
        let mut session = bench.open().await.unwrap();
        // The server ignores CWD, so only its top directory is where it says.
        let listing =
            session.list(&path("/")).await.unwrap_or_else(|error| panic!("{plan} {error}"));
        assert_eq!(names(&listing), ["a.txt"], "{plan}");
    }
}
