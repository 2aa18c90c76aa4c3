//! Tests of one large file downloaded by several sessions.

use std::{fs, time::Instant};

use super::{TestSession, bench, path};
use crate::{
    rate_limit::RateLimiter,
    session::{RunContext, Session},
    transfer::{RemoteMeta, TransferStats},
};
use portolan_core::error::{ErrorKind, Result};
use portolan_fs::AtomicFile;
use portolan_testserver::{ServerSetup, TestServer};

const BYTES: usize = 5 << 20;

fn content() -> Vec<u8> {
    (0..u32::try_from(BYTES / 4).unwrap()).flat_map(u32::to_le_bytes).collect()
}

async fn get(bench: &TestSession, sessions: u16) -> (Result<TransferStats>, Option<Vec<u8>>) {
    let mut session = Session::open(bench.site.clone(), RunContext::default()).await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let landing = AtomicFile::begin(here.path().join("f")).unwrap();
    let moved = session.download_in_segments(&path("/f"), landing, sessions, true).await;
    // The session is in step afterwards.
    if moved.is_ok() {
        session.size(&path("/f")).await.unwrap();
    }
    (moved, fs::read(here.path().join("f")).ok())
}

#[tokio::test]
async fn each_session_fetches_its_piece() {
    for tls in [false, true] {
        let bench = bench(&[], tls);
        bench.file("f", content());
        let (moved, bytes) = get(&bench, 4).await;
        assert_eq!((moved.unwrap().bytes, bytes.unwrap() == content()), (BYTES as u64, true));
        assert_eq!(bench.count("REST"), 3);
    }
}

#[tokio::test]
async fn a_small_file_comes_in_one_piece() {
    let bench = bench(&[], false);
    bench.file("f", vec![7; 1_900_000]);
    let (moved, bytes) = get(&bench, 8).await;
    assert_eq!((moved.unwrap().bytes, bytes.unwrap().len()), (1_900_000, 1_900_000));
    assert_eq!((bench.count("REST"), bench.count("USER")), (0, 1));
}

#[tokio::test]
async fn fewer_sessions_fetch_all_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        TestServer::start(ServerSetup { sessions_max: 2, ..ServerSetup::at(folder.path()) })
            .unwrap();
    let mut other = bench(&[], false);
    other.site.port = server.address().port();
    (other.folder, other.server) = (folder, server);
    other.file("f", content());
    let (moved, bytes) = get(&other, 5).await;
    moved.unwrap();
    assert!(bytes.unwrap() == content());
}

#[tokio::test]
async fn a_piece_that_breaks_off_is_made_whole() {
    for plan in ["drop-after=100000*1", "short=100000*1", "busy-421=RETR*1", "hang-up=REST*1"] {
        let bench = bench(&[plan], false);
        bench.file("f", content());
        let (moved, bytes) = get(&bench, 3).await;
        moved.unwrap_or_else(|error| panic!("{plan}: {error}"));
        assert!(bytes.unwrap() == content(), "{plan}");
    }
}

#[tokio::test]
async fn a_server_that_always_cuts_gives_no_file() {
    let bench = bench(&["short=100000"], false);
    bench.file("f", content());
    let (moved, bytes) = get(&bench, 3).await;
    assert_eq!(moved.unwrap_err().kind, ErrorKind::DataConnection);
    assert!(bytes.is_none());
}

#[tokio::test]
async fn transfers_keep_to_the_pace_each_way() {
    let bench = bench(&[], false);
    bench.file("f", vec![7; 300_000]);
    let mut session = bench.open().await.unwrap();
    session.set_rate_limit(Some(RateLimiter::new(200_000)));
    let here = tempfile::tempdir().unwrap();
    let landing = AtomicFile::begin(here.path().join("f")).unwrap();
    let began = Instant::now();
    session.download(&path("/f"), landing, RemoteMeta::default(), true).await.unwrap();
    assert!(began.elapsed().as_millis() >= 1_300, "{:?}", began.elapsed());
    let began = Instant::now();
    super::put(&mut session, "/g", &vec![7; 300_000]).await.unwrap();
    assert!(began.elapsed().as_millis() >= 1_200, "{:?}", began.elapsed());
}

#[tokio::test]
async fn sessions_with_one_host_share_its_pace() {
    let mut bench = bench(&[], false);
    bench.site.rate_limit = Some(200_000);
    let context = RunContext::default();
    let mut one = Session::open(bench.site.clone(), context.clone()).await.unwrap();
    let mut two = Session::open(bench.site.clone(), context).await.unwrap();
    let began = Instant::now();
    let bytes = vec![7; 150_000];
    let (first, second) =
        tokio::join!(super::put(&mut one, "/a", &bytes), super::put(&mut two, "/b", &bytes));
    assert!(first.is_ok() && second.is_ok());
    assert!(began.elapsed().as_millis() >= 1_200, "{:?}", began.elapsed());
}
