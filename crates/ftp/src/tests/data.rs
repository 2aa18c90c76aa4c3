//! Tests of data connections to and from a wrong address, and of files that arrive short or long (security classes C12,
//! C15, C17 and C18).

use super::{bench, get, path, put};
use crate::site::Mode;
use portolan_core::error::ErrorKind;

#[tokio::test]
async fn s28_the_address_in_the_reply_to_pasv_is_not_believed() {
    let named = bench(&["epsv-refused", "pasv-foreign"], false);
    named.file("a", "new");
    let mut session = named.open().await.unwrap();
    assert_eq!(get(&mut session, "/a").await.1, b"new");
    assert_eq!(session.route(), "pasv");
    assert!(session.attempts().iter().all(|attempt| !attempt.address.starts_with("10.")));
    for host in ["127,0,0,2", "10,0,0,1", "169,254,169,254"] {
        let reply = format!("reply=PASV:227 Entering Passive Mode ({host},0,9)");
        let mut bench = bench(&["epsv-refused", &reply], false);
        bench.site.fallback = false;
        let mut session = bench.open().await.unwrap();
        assert!(get(&mut session, "/a").await.0.is_err());
        let addresses: Vec<_> =
            session.attempts().iter().map(|attempt| attempt.address.as_str()).collect();
        assert_eq!(addresses, ["", "127.0.0.1:9"], "{host}");
    }
}

#[tokio::test]
async fn s29_a_port_that_does_not_exist_is_another_mode() {
    for reply in [
        "reply=PASV:227 (127,0,0,1,0,0)",
        "reply=PASV:227 (127,0,0,1,300,1)",
        "reply=PASV:227 (127,0,0,1,1)",
        "reply=PASV:227 ok",
        "reply=PASV:314 what",
    ] {
        for extended in [
            "reply=EPSV:229 (|||0|)",
            "reply=EPSV:229 (|||65536|)",
            "reply=EPSV:229 |||99|",
            "reply=EPSV:229",
            "reply=EPSV:300 what",
        ] {
            let bench = bench(&[reply, extended], false);
            bench.file("a", "new");
            let mut session = bench.open().await.unwrap();
            let (moved, bytes) = get(&mut session, "/a").await;
            assert!(moved.is_ok() && bytes == b"new", "{reply} {extended}: {moved:?}");
            assert_eq!((session.route(), bench.count("USER")), ("eprt", 1));
        }
    }
}

#[tokio::test]
async fn s36_a_short_file_is_none_whatever_the_server_says() {
    for plan in ["short=40", "short-226", "short=0"] {
        let bench = bench(&[plan], false);
        bench.file("a", [7; 100]);
        let mut session = bench.open().await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        let error = moved.unwrap_err();
        assert_eq!(
            (error.kind, error.is_retryable()),
            (ErrorKind::DataConnection, true),
            "{error}"
        );
        assert_eq!(bytes, b"old");
        session.delete(&path("/a")).await.unwrap();
        assert_eq!(bench.count("USER"), 1, "the session is in step");
    }
}

#[tokio::test]
async fn s38_a_reset_or_a_bad_final_reply_is_a_failure() {
    for (plan, kind) in [
        ("drop-after=40", ErrorKind::DataConnection),
        ("retr-426", ErrorKind::DataConnection),
        ("stall=40", ErrorKind::Timeout),
    ] {
        let mut bench = bench(&[plan], false);
        if kind == ErrorKind::Timeout {
            bench.site.data_timeout = std::time::Duration::from_millis(300);
            bench.site.reply_timeout = std::time::Duration::from_secs(3);
        }
        bench.file("a", [7; 100]);
        let mut session = bench.open().await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        let error = moved.unwrap_err();
        assert_eq!(error.kind, kind, "{plan}: {error}");
        assert_eq!(bytes, b"old", "{plan}");
        session.delete(&path("/a")).await.unwrap();
    }
}

#[tokio::test]
async fn s39_more_bytes_than_the_file_has_are_a_failure() {
    let bench = bench(&["long-226"], false);
    bench.file("a", [7; 100]);
    let mut session = bench.open().await.unwrap();
    let (moved, bytes) = get(&mut session, "/a").await;
    assert!(moved.unwrap_err().message.contains("more bytes"));
    assert_eq!(bytes, b"old");
    session.delete(&path("/a")).await.unwrap();
    assert_eq!(bench.count("USER"), 1, "{:#?}", bench.server.log());
}

#[tokio::test]
async fn s40_s45_binary_comes_before_any_size_or_transfer_also_on_a_new_connection() {
    let every_byte: Vec<u8> = (0..=255).chain(*b"a\nb\r\nc\r\r\n").collect();
    let bench = bench(&["leave-after=NOOP*1"], false);
    let mut session = bench.open().await.unwrap();
    put(&mut session, "/a", &every_byte).await.unwrap();
    session.quote(b"NOOP").await.unwrap();
    bench.until_said("421").await;
    assert_eq!(get(&mut session, "/a").await.1, every_byte);
    // A script that switches to text type gets it only for its own command.
    session.quote(b"TYPE A").await.unwrap();
    assert_eq!(get(&mut session, "/a").await.1, every_byte);
    let mut is_binary = false;
    for command in bench.commands() {
        match command.split(' ').next().unwrap() {
            "USER" => is_binary = false,
            "TYPE" => is_binary = command == "TYPE I",
            "SIZE" | "RETR" | "STOR" | "REST" => assert!(is_binary, "{command}"),
            _ => {}
        }
    }
    assert_eq!(bench.count("USER"), 2);
    let refused = super::bench(&["reply=TYPE:504 no"], false);
    refused.file("a", "bytes");
    let mut session = refused.open().await.unwrap();
    assert_eq!(session.size(&path("/a")).await.unwrap_err().code, 504);
    assert_eq!(get(&mut session, "/a").await.0.unwrap_err().code, 504);
    assert_eq!(put(&mut session, "/b", b"bytes").await.unwrap_err().code, 504);
}

#[tokio::test]
async fn s46_a_stranger_who_connects_first_is_turned_away() {
    let mut bench = bench(&["active-stranger"], false);
    bench.site.mode = Mode::Active;
    bench.site.fallback = false;
    bench.file("a", "the real bytes");
    let mut session = bench.open().await.unwrap();
    let (moved, bytes) = get(&mut session, "/a").await;
    assert!(moved.unwrap().verified);
    assert_eq!(bytes, b"the real bytes");
}

#[tokio::test]
async fn s47_a_data_connection_closed_at_once_is_no_empty_file() {
    for mode in [Mode::Passive, Mode::Active] {
        let mut bench = bench(&["short=0"], false);
        bench.site.mode = mode;
        bench.file("a", "not empty");
        bench.file("empty", "");
        let mut session = bench.open().await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        assert!(moved.is_err() && bytes == b"old");
        let (moved, bytes) = get(&mut session, "/empty").await;
        assert!(moved.unwrap().verified && bytes.is_empty());
    }
}
