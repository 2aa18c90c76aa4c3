//! Tests of replies that come twice, late, early, in pieces, without end, or not at all (security classes C9 to C11).

use std::time::{Duration, Instant};

use super::{bench, get, path, put};
use portolan_core::error::ErrorKind;

#[tokio::test]
async fn s18_a_spare_reply_answers_no_other_command() {
    let bench = bench(&["double-reply*1"], false);
    bench.file("a", "");
    let mut session = bench.open().await.unwrap();
    session.delete(&path("/a")).await.unwrap();
    assert_eq!(session.delete(&path("/b")).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(bench.count("USER"), 2, "a connection that is out of step is replaced");
}

#[tokio::test]
async fn s19_a_226_that_comes_twice_answers_nothing_and_ends_the_connection() {
    let bench = bench(&["double-226"], false);
    let mut session = bench.open().await.unwrap();
    // SIZE follows at once, so the second 226 comes in place of its reply.
    assert!(put(&mut session, "/a", b"new").await.unwrap().verified);
    assert!(put(&mut session, "/b", b"other").await.unwrap().verified);
    assert_eq!(get(&mut session, "/a").await.1, b"new");
    assert_eq!(session.delete(&path("/missing")).await.unwrap_err().kind, ErrorKind::NotFound);
    assert!(bench.count("USER") > 1);
    assert_eq!(bench.names(), ["a", "b"]);
}

#[tokio::test]
async fn s20_a_banner_cannot_answer_cwd_or_pwd() {
    let trapped = bench(&["multiline-trap"], false);
    std::fs::create_dir(trapped.folder.path().join("in")).unwrap();
    let mut session = trapped.open().await.unwrap();
    session.cd(&path("/in")).await.unwrap();
    put(&mut session, "a", b"x").await.unwrap();
    assert!(trapped.folder.path().join("in/a").exists());
    // A server that reports another directory is not trusted to be in the right one.
    let elsewhere = bench(&["reply=PWD:257 \"/evil\" is the folder"], false);
    std::fs::create_dir(elsewhere.folder.path().join("in")).unwrap();
    let mut session = elsewhere.open().await.unwrap();
    assert_eq!(session.cd(&path("/in")).await.unwrap_err().kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn s21_both_replies_before_the_data_are_fine() {
    for mode in [crate::site::Mode::Passive, crate::site::Mode::Active] {
        let mut bench = bench(&["early-226"], false);
        bench.site.mode = mode;
        bench.file("a", vec![7; 500_000]);
        let mut session = bench.open().await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        assert_eq!(moved.unwrap().bytes, 500_000, "{mode:?}");
        assert_eq!(bytes.len(), 500_000);
        put(&mut session, "/b", b"x").await.unwrap();
        assert_eq!(bench.count("USER"), 1, "{mode:?}: {:#?}", bench.server.log());
    }
}

#[tokio::test]
async fn s22_replies_of_any_shape_are_read() {
    for plan in [
        "bare-code",
        "line-feeds",
        "slow-control",
        "reply=NOOP:200",
        "reply=OPTS:200-\\r\\nmore\\r\\n200 ",
        "greeting=220-\\r\\n220-more\\n220 ",
        "greeting=120 wait\\r\\n220 now",
    ] {
        let bench = bench(&[plan], false);
        bench.file("a", "some bytes");
        let mut session = bench.open().await.unwrap_or_else(|error| panic!("{plan}: {error}"));
        session.quote(b"NOOP").await.unwrap();
        if plan == "bare-code" {
            // A 229 without its port and a 213 without its number carry no information.
            continue;
        }
        let (moved, bytes) = get(&mut session, "/a").await;
        moved.unwrap_or_else(|error| panic!("{plan}: {error}"));
        assert_eq!(bytes, b"some bytes", "{plan}");
    }
}

#[tokio::test]
async fn s23_after_a_421_the_next_command_gets_a_new_connection() {
    let bench = bench(&["leave-after=NOOP*1"], false);
    bench.file("a", "x");
    let mut session = bench.open().await.unwrap();
    session.quote(b"NOOP").await.unwrap();
    bench.until_said("421").await;
    session.delete(&path("/a")).await.unwrap();
    assert_eq!((bench.count("USER"), bench.count("DELE")), (2, 1));
    // In place of a reply it is a temporary failure.
    let busy = super::bench(&["busy-421=DELE*1"], false);
    busy.file("a", "x");
    let mut session = busy.open().await.unwrap();
    let error = session.delete(&path("/a")).await.unwrap_err();
    assert_eq!((error.kind, error.code, error.is_retryable()), (ErrorKind::Busy, 421, true));
    session.delete(&path("/a")).await.unwrap();
}

#[tokio::test]
async fn s24_a_greeting_or_a_feature_list_without_end_is_refused() {
    for plan in ["greeting-endless", "greeting-endless-line", "feat-endless"] {
        let bench = bench(&[plan], false);
        let started = Instant::now();
        let error = bench.open().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{plan}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{plan}");
    }
}

#[tokio::test]
async fn s25_a_listing_without_end_is_refused_and_the_session_goes_on() {
    for plan in ["listing-endless*1", "listing-endless-line*1"] {
        let bench = bench(&[plan], false);
        bench.file("a", "x");
        let mut session = bench.open().await.unwrap();
        assert_eq!(session.list(&path("/")).await.unwrap_err().kind, ErrorKind::Protocol, "{plan}");
        assert_eq!(session.list(&path("/")).await.unwrap().entries.len(), 1, "{plan}");
        assert_eq!(bench.count("USER"), 1, "{plan}: it is in step after that");
    }
}

#[tokio::test]
async fn s26_a_reply_with_a_nul_is_refused() {
    let greeting = bench(&["greeting=220 a\\0b"], false);
    assert_eq!(greeting.open().await.unwrap_err().kind, ErrorKind::Protocol);
    let bench = bench(&["reply=NOOP:200 a\\0b*1"], false);
    let mut session = bench.open().await.unwrap();
    assert_eq!(session.quote(b"NOOP").await.unwrap_err().kind, ErrorKind::Protocol);
    session.quote(b"NOOP").await.unwrap();
    assert_eq!(bench.count("USER"), 2);
}

#[tokio::test]
async fn a_final_reply_that_is_late_is_waited_for() {
    let bench = bench(&["late-226"], false);
    let mut session = bench.open().await.unwrap();
    assert!(put(&mut session, "/a", b"x").await.unwrap().verified);
    assert_eq!(bench.count("USER"), 1);
}

#[tokio::test]
async fn a_final_reply_that_never_comes_is_a_failure_within_its_time() {
    for up in [false, true] {
        let bench = bench(&["no-final"], false);
        bench.file("a", "here");
        let mut session = bench.open().await.unwrap();
        session.site.reply_timeout = Duration::from_secs(1);
        let started = Instant::now();
        let moved = if up {
            put(&mut session, "/a", b"new").await
        } else {
            let (moved, bytes) = get(&mut session, "/a").await;
            assert_eq!(bytes, b"old");
            moved
        };
        let error = moved.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
        // Four times the reply timeout, not the minutes for which a server may be silent.
        assert!(started.elapsed() < Duration::from_secs(20));
        // Only the old file remains: the temporary one was removed on another connection.
        assert_eq!(bench.names(), ["a"]);
        assert_eq!(std::fs::read(bench.folder.path().join("a")).unwrap(), b"here");
        session.delete(&path("/a")).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_is_silent_is_left_for_a_new_connection() {
    for (plan, kind) in [
        ("hang-up=DELE*1", ErrorKind::Unreachable),
        ("no-reply=DELE*1", ErrorKind::Timeout),
        ("hang-up-after=DELE*1", ErrorKind::Unreachable),
        ("lost-reply=DELE*1", ErrorKind::Timeout),
    ] {
        let bench = bench(&[plan], false);
        bench.file("a", "x");
        bench.file("b", "x");
        let mut session = bench.open().await.unwrap();
        if kind == ErrorKind::Timeout {
            // For this connection only: the next one has the usual timeout.
            session.control.set_reply_timeout(Duration::from_millis(300));
        }
        let error = session.delete(&path("/a")).await.unwrap_err();
        assert_eq!((error.kind, bench.count("DELE")), (kind, 1), "{plan}: {error}");
        session.delete(&path("/b")).await.unwrap();
        assert_eq!(bench.count("USER"), 2, "{plan}");
    }
}
