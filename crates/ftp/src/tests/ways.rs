//! Tests of data connections: every mode, and the fallback from one that fails to one that works.

use super::{bench, get, path, round_trip};
use crate::{
    session::Session,
    site::Mode,
    transfer::{BoundedBuffer, NextTransfer, RemoteMeta, TransferHints},
};
use portolan_core::error::ErrorKind;

#[tokio::test]
async fn a_file_goes_up_and_comes_down_in_every_mode_plain_and_protected() {
    for tls in [false, true] {
        for (mode, route) in [(Mode::Passive, "epsv"), (Mode::Active, "eprt")] {
            let mut bench = bench(&[], tls);
            bench.site.mode = mode;
            let session = round_trip(&bench).await.unwrap();
            assert_eq!(session.route(), route);
            assert!(bench.folder.path().join("a/b/x y").exists());
            session.close().await;
        }
    }
}

#[tokio::test]
async fn the_session_goes_over_to_the_mode_that_works() {
    for (plan, mode, route) in [
        ("pasv-refused", Mode::Passive, "eprt"),
        ("epsv-refused", Mode::Passive, "pasv"),
        ("eprt-refused", Mode::Active, "port"),
        ("active-refused", Mode::Active, "epsv"),
        ("active-425", Mode::Active, "epsv"),
        ("active-late-425", Mode::Active, "epsv"),
        ("pasv-dead", Mode::Passive, "eprt"),
        ("pasv-nonsense", Mode::Passive, "eprt"),
    ] {
        let mut bench = bench(&[plan], false);
        bench.site.mode = mode;
        let session = round_trip(&bench)
            .await
            .unwrap_or_else(|error| panic!("{plan}: {error}\n{:#?}", bench.server.log()));
        assert_eq!(session.route(), route, "{plan}");
    }
}

#[tokio::test]
async fn a_command_that_the_server_does_not_know_is_no_matter_of_mode() {
    for reply in ["500 what", "502 no", "504 not so"] {
        let bench = bench(&[&format!("reply=MLSD:{reply}"), &format!("reply=RETR:{reply}")], false);
        bench.file("a", "x");
        let mut session = bench.open().await.unwrap();
        // LIST replaces it, for this listing and all others.
        for _ in 0..2 {
            assert_eq!(session.list(&path("/")).await.unwrap().entries.len(), 1, "{reply}");
        }
        assert_eq!((bench.count("MLSD"), session.route()), (1, "epsv"), "{reply}");
        let error = get(&mut session, "/a").await.0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert_eq!((bench.count("RETR"), bench.count("EPRT")), (1, 0));
    }
}

#[tokio::test]
async fn a_transfer_answered_425_goes_another_way_and_is_no_failure() {
    for plan in ["retr-425*1", "retr-425*2"] {
        let bench = bench(&[plan], false);
        bench.file("a", "bytes");
        let mut session = bench.open().await.unwrap();
        assert_eq!(get(&mut session, "/a").await.1, b"bytes", "{plan}");
        assert_eq!(bench.count("USER"), 1);
    }
}

#[tokio::test]
async fn a_server_that_never_connects_is_left_for_passive_mode() {
    let mut bench = bench(&["active-silent"], false);
    bench.site.mode = Mode::Active;
    bench.site.connect_timeout = std::time::Duration::from_secs(1);
    bench.file("a", "bytes");
    let mut session = bench.open().await.unwrap();
    assert_eq!(get(&mut session, "/a").await.1, b"bytes");
    assert_eq!(session.route(), "epsv");
    let words: Vec<_> = session.attempts().iter().map(|attempt| attempt.step).collect();
    assert_eq!(words, ["eprt", "epsv"]);
    // The next transfer begins with the method that this one ended with.
    assert_eq!(get(&mut session, "/a").await.1, b"bytes");
    assert_eq!(session.attempts().len(), 3);
}

#[tokio::test]
async fn a_transfer_that_was_asked_for_ahead_and_is_not_wanted_answers_nothing_else() {
    for tls in [false, true] {
        let mut bench = bench(&[], tls);
        bench.site.mode = Mode::Active;
        for name in ["a", "b", "c", "d"] {
            bench.file(name, name.repeat(1000));
        }
        let mut session = bench.open().await.unwrap();
        let fetch = async |session: &mut Session, name: &str, next: &str| {
            let next = path(next);
            let hints = TransferHints::before(NextTransfer::Download(&next));
            let mut kept = BoundedBuffer { bytes: Vec::new(), limit: 5000 };
            let known = RemoteMeta { size: Some(1000), ..RemoteMeta::default() };
            session.read_through(&path(name), &mut kept, known, hints).await.unwrap();
            assert!(kept.bytes == name[1..].repeat(1000).as_bytes(), "{name} is another file");
        };
        // Nothing is requested ahead where the final reply comes along with the first one, as on a busy host it may.
        let request_ahead = async |session: &mut Session, name: &str, next: &str| {
            for _ in 0..100 {
                fetch(session, name, next).await;
                if session.control.has_transfer_ahead() {
                    return;
                }
            }
            panic!("nothing was requested ahead of 100 final replies");
        };
        // The first download lets the server prove that it supports pipelining.
        fetch(&mut session, "/a", "/b").await;
        fetch(&mut session, "/b", "/c").await;
        request_ahead(&mut session, "/c", "/d").await;
        assert_eq!((bench.count("NOOP"), bench.count("USER")), (1, 1));
        session.delete(&path("/b")).await.unwrap();
        assert_eq!(bench.count("USER"), 2, "the connection on which it comes is given up");
        request_ahead(&mut session, "/a", "/c").await;
        fetch(&mut session, "/d", "/a").await;
        assert_eq!((bench.count("USER"), bench.names().len()), (3, 3));
    }
}

#[tokio::test]
async fn a_session_that_was_opened_early_goes_the_way_that_another_has_found() {
    let mut bench = bench(&["active-425"], false);
    bench.site.mode = Mode::Active;
    bench.file("a", "a");
    let mut first = bench.open().await.unwrap();
    let mut early = first.open_sibling().await.unwrap();
    first.list(&path("/")).await.unwrap();
    assert!(first.attempts().iter().any(|attempt| !attempt.worked));
    early.list(&path("/")).await.unwrap();
    let tried: Vec<_> = early.attempts().iter().map(|one| (one.step, one.worked)).collect();
    assert_eq!(tried, [("epsv", true)]);
}
