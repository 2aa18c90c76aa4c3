//! Tests of the hazards of a careless use of suppaftp: each guard has its number from the requirements. The others are
//! tested elsewhere: replies, data, uploads, the log, and the real servers.

use std::time::Duration;

use super::{bench, get, path, put};
use crate::site::Mode;
use portolan_proto::ReplyCode;

#[tokio::test]
async fn guard_01_a_command_goes_out_however_much_a_task_has_done_before_it() {
    let bench = bench(&[], true);
    let mut session = bench.open().await.unwrap();
    // After 128 steps at once, tokio reports nothing more as ready, and a TLS record would stay unsent.
    for steps in 100..130 {
        tokio::task::yield_now().await;
        for _ in 0..steps {
            tokio::task::consume_budget().await;
        }
        let reply = tokio::time::timeout(Duration::from_secs(10), session.quote(b"NOOP")).await;
        let reply = reply.expect("it was never sent").unwrap();
        assert_eq!(reply.code, ReplyCode::OKAY, "{steps} steps before it");
    }
}

#[tokio::test]
async fn guard_02_a_command_that_is_dropped_halfway_leaves_no_reply_to_the_next() {
    let bench = bench(&["late-reply=SIZE*1"], false);
    bench.file("a", "five!");
    let mut session = bench.open().await.unwrap();
    let at = path("/a");
    let dropped = tokio::time::timeout(Duration::from_millis(200), session.size(&at)).await;
    assert!(dropped.is_err(), "it was answered before it could be dropped");
    // The 213 to one command must not be taken for the 250 or 550 to the other.
    assert!(session.delete(&path("/missing")).await.is_err());
    session.delete(&at).await.unwrap();
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn guard_10_active_ports_are_taken_in_turn_and_by_one_session_each() {
    let mut bench = bench(&[], false);
    bench.site.mode = Mode::Active;
    bench.site.fallback = false;
    // Held at the same time, so that they are free and not next to ports in use.
    let held: Vec<_> = (0..50)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .collect();
    let first = held.iter().max().copied().unwrap().min(u16::MAX - 4);
    bench.site.port_range = Some(first..=first + 3);
    bench.file("a", "bytes");
    let mut one = bench.open().await.unwrap();
    let mut other = bench.open().await.unwrap();
    for _ in 0..4 {
        assert_eq!(get(&mut one, "/a").await.1, b"bytes");
        put(&mut other, "/b", b"x").await.unwrap();
    }
    for session in [&one, &other] {
        let worked = session.attempts().iter().filter(|attempt| attempt.worked);
        let addresses: Vec<_> = worked.map(|attempt| attempt.address.as_str()).collect();
        assert!(addresses.len() >= 4, "{addresses:?}");
        let again = addresses.windows(2).any(|two| two[0] == two[1]);
        assert!(!again, "the same port twice in a row: {addresses:?}");
    }
}
