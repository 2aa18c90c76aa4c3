//! Tests of transfers that resume where they broke off, and of those that must not.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use jiff::SignedDuration;

use super::{TestSession, bench, path};
use crate::{
    session::{RunContext, Session},
    transfer::{NextTransfer, TransferStats},
};
use portolan_core::{
    clock::Clock,
    error::{Error, Result},
};
use portolan_fs::{AtomicFile, SourceFile, is_temporary};

/// Returns content of which no two pieces are equal.
fn content(length: u32) -> Vec<u8> {
    (0..length / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Writes a file that is an hour old.
fn write(at: &Path, bytes: &[u8]) {
    fs::write(at, bytes).unwrap();
    let old = Clock::System.now() - SignedDuration::from_hours(1);
    fs::File::open(at).unwrap().set_modified(old.into()).unwrap();
}

async fn get(session: &mut Session, target: &Path) -> Result<TransferStats> {
    let begin = |lasting: Option<&str>| AtomicFile::begin_as(target, lasting);
    session.download_on(&path("/f"), begin, true).await
}

async fn put(session: &mut Session, source: &Path) -> Result<TransferStats> {
    let reading = SourceFile::open(source).unwrap();
    session.upload_on(reading, &path("/f"), true, NextTransfer::None).await
}

/// Returns the only temporary file in `folder`.
fn part_in(folder: &Path) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let parts: Vec<_> = names.filter(|name| is_temporary(name)).collect();
    assert_eq!(parts.len(), 1, "{parts:?}");
    folder.join(&parts[0])
}

/// A file of 1 MB whose first download or upload breaks off near 300,000 bytes.
struct Broken {
    bench: TestSession,
    here: tempfile::TempDir,
    bytes: Vec<u8>,
    session: Session,
}

impl Broken {
    async fn down(plans: &[&str]) -> Self {
        let mut broken = Self::new(&[plans, &["drop-after=300000*1"]].concat()).await;
        write(&broken.bench.folder.path().join("f"), &broken.bytes);
        let target = broken.target();
        let error: Error = Box::pin(get(&mut broken.session, &target)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        broken
    }

    async fn up(plans: &[&str]) -> Self {
        let mut broken = Self::new(&[plans, &["stor-drop=300000*1"]].concat()).await;
        let source = broken.target();
        write(&source, &broken.bytes);
        let error: Error = Box::pin(put(&mut broken.session, &source)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(fs::metadata(part_in(broken.bench.folder.path())).unwrap().len(), 300_000);
        broken
    }

    async fn new(plans: &[&str]) -> Self {
        let bench = bench(plans, false);
        let opened = Box::pin(Session::open(bench.site.clone(), RunContext::default()));
        let session = opened.await.unwrap();
        let here = tempfile::tempdir().unwrap();
        Self { bench, here, bytes: content(1_000_000), session }
    }

    fn target(&self) -> PathBuf {
        self.here.path().join("f")
    }

    async fn get(&mut self) -> TransferStats {
        let target = self.target();
        let moved = get(&mut self.session, &target).await.unwrap();
        assert!(
            fs::read(&target).unwrap() == fs::read(self.bench.folder.path().join("f")).unwrap()
        );
        moved
    }

    async fn put(&mut self) -> TransferStats {
        let source = self.target();
        let moved = put(&mut self.session, &source).await.unwrap();
        assert!(fs::read(self.bench.folder.path().join("f")).unwrap() == fs::read(source).unwrap());
        assert_eq!(self.bench.names(), ["f"]);
        moved
    }
}

#[tokio::test]
async fn a_download_goes_on_where_it_ended_and_reads_the_end_again() {
    let mut broken = Broken::down(&[]).await;
    let part = fs::metadata(part_in(broken.here.path())).unwrap();
    assert_eq!(part.mode() & 0o777, 0o600);
    assert!(!broken.target().exists());
    let moved = broken.get().await;
    assert!(moved.verified);
    assert_eq!(moved.bytes, 1_000_000 - part.len() + 64 * 1024);
    assert_eq!(broken.bench.count("REST"), 1);
    assert_eq!(fs::read_dir(broken.here.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_download_of_a_file_that_has_changed_begins_anew() {
    let mut broken = Broken::down(&[]).await;
    let mut other = content(1_000_000);
    other.reverse();
    fs::write(broken.bench.folder.path().join("f"), other).unwrap();
    assert_eq!(broken.get().await.bytes, 1_000_000);
    assert_eq!(broken.bench.count("REST"), 0);
}

#[tokio::test]
async fn a_part_with_other_bytes_at_its_end_is_thrown_away() {
    let mut broken = Broken::down(&[]).await;
    let part = part_in(broken.here.path());
    let mut bytes = fs::read(&part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&part, bytes).unwrap();
    broken.get().await;
    assert_eq!(broken.bench.count("REST"), 1);
    assert_eq!(broken.bench.count("RETR"), 3);
}

#[tokio::test]
async fn a_part_that_is_longer_than_the_file_is_thrown_away() {
    let mut broken = Broken::down(&[]).await;
    fs::File::options()
        .write(true)
        .open(part_in(broken.here.path()))
        .unwrap()
        .set_len(2_000_000)
        .unwrap();
    assert_eq!(broken.get().await.bytes, 1_000_000);
    assert_eq!(broken.bench.count("REST"), 0);
}

#[tokio::test]
async fn a_server_without_rest_sends_all_of_it_in_the_same_run() {
    for reply in ["reply=REST:502 Not here.", "reply=REST:501 No."] {
        let mut broken = Broken::down(&[reply]).await;
        assert_eq!(broken.get().await.bytes, 1_000_000);
    }
}

#[tokio::test]
async fn a_server_that_tells_no_time_proves_nothing() {
    let mut broken = Broken::down(&["reply=MDTM:502 Not here."]).await;
    assert_eq!(
        fs::read_dir(broken.here.path()).unwrap().count(),
        0,
        "nothing is left to go on with"
    );
    assert_eq!(broken.get().await.bytes, 1_000_000);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended_after_a_look_at_the_end() {
    let mut broken = Broken::up(&[]).await;
    let moved = broken.put().await;
    assert!(moved.verified);
    assert_eq!((broken.bench.count("APPE"), broken.bench.count("STOR")), (1, 1));
}

#[tokio::test]
async fn an_upload_of_a_file_that_has_changed_begins_anew() {
    let mut broken = Broken::up(&[]).await;
    let mut other = content(1_000_000);
    other.reverse();
    fs::write(broken.target(), other).unwrap();
    fs::remove_file(part_in(broken.bench.folder.path())).unwrap();
    broken.put().await;
    assert_eq!(broken.bench.count("APPE"), 0);
}

#[tokio::test]
async fn an_upload_behind_other_bytes_begins_anew() {
    let mut broken = Broken::up(&[]).await;
    let part = part_in(broken.bench.folder.path());
    let mut bytes = fs::read(&part).unwrap();
    bytes[299_999] ^= 1;
    fs::write(&part, bytes).unwrap();
    broken.put().await;
    assert_eq!((broken.bench.count("APPE"), broken.bench.count("STOR")), (0, 2));
}

#[tokio::test]
async fn an_upload_that_only_lacks_its_name_gets_that() {
    let mut broken = Broken::up(&[]).await;
    fs::write(part_in(broken.bench.folder.path()), &broken.bytes).unwrap();
    broken.put().await;
    assert_eq!((broken.bench.count("APPE"), broken.bench.count("STOR")), (0, 1));
}

#[tokio::test]
async fn an_upload_that_is_refused_leaves_nothing() {
    let bench = bench(&["reply=STOR:553 Not this one."], false);
    let mut session = bench.open().await.unwrap();
    let here = tempfile::tempdir().unwrap();
    write(&here.path().join("f"), b"x");
    let error = put(&mut session, &here.path().join("f")).await.unwrap_err();
    assert_eq!(error.code, 553);
    assert_eq!(bench.names(), [""; 0]);
}
