//! Tests of transfers whose data arrives completely while the end goes wrong.

use std::time::Duration;

use super::{bench, get, put};

fn bytes(length: usize) -> Vec<u8> {
    (0..=255).cycle().take(length).collect()
}

#[tokio::test]
async fn a_reset_behind_the_last_byte_takes_nothing_away_that_the_reply_grants() {
    for tls in [false, true] {
        for length in [0, 1, 70_000, 2_000_000] {
            let bench = bench(&["retr-reset"], tls);
            bench.file("f", bytes(length));
            let (moved, got) = get(&mut bench.open().await.unwrap(), "/f").await;
            moved.unwrap_or_else(|error| panic!("{length} {tls}: {error}"));
            assert!(got == bytes(length), "{length} {tls}");
        }
    }
}

#[tokio::test]
async fn a_reset_before_the_last_byte_is_none_of_that() {
    for plans in [&["drop-after=1000"][..], &["drop-after=69999"], &["retr-reset", "short=69999"]] {
        let bench = bench(plans, false);
        bench.file("f", bytes(70_000));
        let (moved, got) = get(&mut bench.open().await.unwrap(), "/f").await;
        assert!(moved.unwrap_err().is_retryable(), "{plans:?}");
        assert_eq!(got, b"old");
    }
}

#[tokio::test]
async fn a_data_connection_that_is_never_closed_ends_with_the_reply() {
    for tls in [false, true] {
        for length in [1, 70_000, 2_000_000] {
            let bench = bench(&["retr-open"], tls);
            bench.file("f", bytes(length));
            let mut session = bench.open().await.unwrap();
            for _ in 0..2 {
                let (moved, got) = get(&mut session, "/f").await;
                moved.unwrap_or_else(|error| panic!("{length} {tls}: {error}"));
                assert!(got == bytes(length), "{length} {tls}");
            }
        }
    }
}

#[tokio::test]
async fn a_complaint_behind_the_end_of_tls_is_looked_into_and_one_without_tls_counts() {
    for (complaint, tls, is_good) in [
        ("retr-426", true, true),
        ("retr-451", true, true),
        ("retr-426", false, false),
        ("retr-451", false, false),
    ] {
        let bench = bench(&[complaint], tls);
        bench.file("f", bytes(70_000));
        let (moved, got) = get(&mut bench.open().await.unwrap(), "/f").await;
        assert_eq!(moved.is_ok(), is_good, "{complaint} {tls}: {moved:?}");
        assert!(got == if is_good { bytes(70_000) } else { b"old".to_vec() });
    }
}

#[tokio::test]
async fn a_size_that_is_told_too_early_is_asked_for_again_and_one_that_stays_small_is_believed() {
    for (plan, is_good) in [
        ("reply=SIZE:213 0*1", true),
        ("reply=SIZE:213 69999*3", true),
        ("reply=SIZE:213 12", false),
        ("reply=SIZE:213 70001*3", false),
    ] {
        let bench = bench(&[plan], false);
        let mut session = bench.open().await.unwrap();
        // A server that reports a size for every name counts as one that shortens them, unless that is known.
        session.data_path.profile.record_long_name(true);
        let moved = put(&mut session, "/f", &bytes(70_000)).await;
        assert_eq!(moved.is_ok(), is_good, "{plan}: {moved:?}");
        assert_eq!(bench.names().len(), usize::from(is_good), "{plan}");
    }
}

#[tokio::test]
async fn a_rename_may_take_longer_than_other_commands() {
    for plan in ["late-reply=RNTO", "late-reply=RNFR"] {
        let mut bench = bench(&[plan], false);
        bench.site.reply_timeout = Duration::from_secs(1);
        let mut session = bench.open().await.unwrap();
        put(&mut session, "/f", b"bytes").await.unwrap();
        assert_eq!((bench.count("RNTO"), bench.count("USER")), (1, 1), "{plan}");
    }
}

#[tokio::test]
async fn a_rename_that_is_never_answered_is_looked_into() {
    for plan in ["lost-reply=RNTO*1", "hang-up-after=RNTO*1"] {
        let mut bench = bench(&[plan], false);
        bench.site.reply_timeout = Duration::from_millis(300);
        let mut session = bench.open().await.unwrap();
        put(&mut session, "/f", b"bytes").await.unwrap();
        assert_eq!(bench.names(), ["f"], "{plan}");
    }
}
