//! Tests of listings over the control connection: used only if the server has shown that they are equal, and never
//! derived from the text of a name.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    sync::Arc,
};

use super::{
    TestSession, bench,
    memory::{Counted, with_memory},
    path,
};
use crate::{listing::Listing, path::RemotePath, session::Session, transfer::NextTransfer};

const OLD: [&str; 2] = ["no-mlsd", "no-mlst"];

/// Returns a server without MLSD that has three directories.
fn old_with(more: &[&str]) -> TestSession {
    let bench = bench(&[&OLD[..], more].concat(), false);
    for folder in ["a", "b", "c"] {
        std::fs::create_dir(bench.folder.path().join(folder)).unwrap();
        bench.file(&format!("{folder}/in {folder}"), folder);
    }
    bench
}

async fn list(session: &mut Session, folders: &[&str]) -> Vec<Listing> {
    let folders: Vec<RemotePath> = folders.iter().map(|folder| path(folder)).collect();
    session.list_all(&folders, NextTransfer::None).await.into_iter().map(Result::unwrap).collect()
}

fn names(listing: &Listing) -> Vec<String> {
    listing.entries.iter().map(|entry| String::from_utf8(entry.name.clone()).unwrap()).collect()
}

#[tokio::test]
async fn many_folders_take_one_packet_once_the_server_has_shown_that_they_can() {
    let bench = old_with(&[]);
    let mut session = bench.open().await.unwrap();
    assert!(!session.lists_at_once());
    let top = list(&mut session, &["/"]).await;
    assert_eq!(names(&top[0]), ["a", "b", "c"]);
    assert!(session.lists_at_once(), "{:#?}", bench.server.log());
    let data = bench.count("EPSV");
    let told = list(&mut session, &["/a", "/b", "/c"]).await;
    assert_eq!(bench.count("EPSV"), data, "no data connection for that");
    assert_eq!(told.iter().map(names).collect::<Vec<_>>(), [["in a"], ["in b"], ["in c"]]);
    // A listing in another session is the same, and the session is still where it was.
    let mut other = bench.open().await.unwrap();
    for (folder, told) in ["/a", "/b", "/c"].iter().zip(&told) {
        assert_eq!(other.list(&path(folder)).await.unwrap(), *told);
    }
    assert!(session.exists(&path("in c")).await.is_ok_and(|is_there| !is_there));
    let twin = session.open_sibling().await.unwrap();
    assert!(twin.lists_at_once(), "what one session has seen the others know");
}

#[tokio::test]
async fn a_later_run_needs_no_proof_unless_the_server_has_changed() {
    let memory = Arc::new(Counted::default());
    let bench = old_with(&[]);
    let open = async |bench: &TestSession| {
        Session::open(bench.site.clone(), with_memory(&memory)).await.unwrap()
    };
    list(&mut open(&bench).await, &["/"]).await;
    let mut session = open(&bench).await;
    assert!(session.lists_at_once());
    let told = list(&mut session, &["/", "/a"]).await;
    assert_eq!(told.iter().map(names).collect::<Vec<_>>(), [&["a", "b", "c"][..], &["in a"]]);
    assert_eq!((bench.count("LIST"), bench.count("STAT")), (1, 3));
    // The server shows something else by then: that is no listing, and the next run wants a proof again.
    let mut changed =
        old_with(&["reply=STAT:211-FTP server status:\\r\\n Logged in\\r\\n211 End of status"]);
    changed.site =
        crate::site::Site { detour: Some(changed.server.address()), ..bench.site.clone() };
    let mut session = open(&changed).await;
    assert!(session.lists_at_once());
    let told = list(&mut session, &["/", "/a"]).await;
    assert_eq!(told.iter().map(names).collect::<Vec<_>>(), [&["a", "b", "c"][..], &["in a"]]);
    assert!(!open(&changed).await.lists_at_once());
}

#[tokio::test]
async fn a_remembered_proof_ends_with_a_doubt_after_good_listings_too() {
    let memory = Arc::new(Counted::default());
    let bench = old_with(&[]);
    let open = async || Session::open(bench.site.clone(), with_memory(&memory)).await.unwrap();
    list(&mut open().await, &["/"]).await;
    let name = OsStr::from_bytes(b"\xff");
    std::fs::write(bench.folder.path().join("c").join(name), "x").unwrap();
    let mut session = open().await;
    for folders in [&["/", "/a"][..], &["/b", "/c"]] {
        assert!(session.lists_at_once(), "{folders:?}");
        list(&mut session, folders).await;
    }
    assert!(!session.lists_at_once(), "no listing of this run was compared with another");
    assert!(!open().await.lists_at_once());
}

#[tokio::test]
async fn servers_with_mlsd_and_users_with_a_command_of_their_own_are_left_with_it() {
    let modern = bench(&[], false);
    let mut session = modern.open().await.unwrap();
    list(&mut session, &["/"]).await;
    let mut own = old_with(&[]);
    own.site.list_command = Some("LIST".to_owned());
    let mut session_by_own = own.open().await.unwrap();
    list(&mut session_by_own, &["/"]).await;
    assert_eq!((modern.count("STAT"), own.count("STAT")), (0, 0));
    assert!(!session.lists_at_once() && !session_by_own.lists_at_once());
}

#[tokio::test]
async fn a_server_that_says_something_else_to_stat_is_not_asked_again() {
    let other = "reply=STAT:213-Status:\\r\\ndrwxr-xr-x 2 0 0 4096 Jan 01  2020 .\\r\\n213 End";
    for plan in [
        other,
        "reply=STAT:211-FTP server status:\\r\\n Logged in\\r\\n211 End of status",
        "reply=STAT:213 42",
        "reply=STAT:502 Not here",
        "reply=REST:350 Go on",
        "reply=REST:502 Not here",
        "repeat=STAT",
        "hang-up=STAT",
    ] {
        let bench = old_with(&[plan]);
        let mut session = bench.open().await.unwrap();
        let top = list(&mut session, &["/"]).await;
        assert_eq!(names(&top[0]), ["a", "b", "c"], "{plan}");
        assert!(!session.lists_at_once(), "{plan}");
        let told = list(&mut session, &["/a", "/b"]).await;
        assert_eq!(told.iter().map(names).collect::<Vec<_>>(), [["in a"], ["in b"]], "{plan}");
        assert_eq!((bench.count("LIST"), bench.count("STAT")), (3, 1), "{plan}");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_replies_makes_no_listing_of_another_folder() {
    let forged = "x\r\n213 End\r\n250 Here.\r\n257 \"/b\" is it\r\n213-Status:\r\n\
                  drwxr-xr-x 2 0 0 4096 Jan 01  2020 .\r\n213 End\r\n350 Restart (7).\r\n350 Restart (0).";
    let bench = old_with(&[]);
    let mut session = bench.open().await.unwrap();
    list(&mut session, &["/"]).await;
    assert!(session.lists_at_once());
    symlink(forged, bench.folder.path().join("a/link")).unwrap();
    let told = list(&mut session, &["/a", "/b"]).await;
    assert!(!told[0].complete, "{:?}", told[0]);
    assert_eq!((names(&told[1]), told[1].complete), (vec!["in b".to_owned()], true));
    assert!(!session.lists_at_once());
}

#[tokio::test]
async fn a_folder_may_have_more_entries_than_other_replies_have_lines() {
    let bench = old_with(&[]);
    for number in 0..2000 {
        bench.file(&format!("a/{number:0100}"), "");
    }
    let mut session = bench.open().await.unwrap();
    list(&mut session, &["/"]).await;
    let told = list(&mut session, &["/a", "/b"]).await;
    assert_eq!(told.iter().map(|listing| listing.entries.len()).collect::<Vec<_>>(), [2001, 1]);
    assert!(told.iter().all(Listing::may_delete));
    assert_eq!((bench.count("LIST"), bench.count("STAT")), (1, 3));
}

#[tokio::test]
async fn a_folder_that_is_gone_or_replaced_is_none() {
    let bench = old_with(&[]);
    let mut session = bench.open().await.unwrap();
    list(&mut session, &["/"]).await;
    std::fs::remove_dir_all(bench.folder.path().join("a")).unwrap();
    std::fs::remove_dir_all(bench.folder.path().join("b")).unwrap();
    bench.file("b", "a file now");
    let results = session.list_all(&[path("/a"), path("/b"), path("/c")], NextTransfer::None).await;
    assert!(results[0].is_err() && results[1].is_err(), "{results:?}");
    assert_eq!(names(results[2].as_ref().unwrap()), ["in c"]);
}
