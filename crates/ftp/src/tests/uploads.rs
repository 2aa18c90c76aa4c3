//! Tests of uploads that fail on their way: the final name keeps its content, and no temporary file is left (security
//! class C16).

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use super::{bench, path, put};
use crate::{
    session::{RunContext, Session},
    transfer::ByteSource,
};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
};
use portolan_fs::SourceFile;

/// A source that fails at some byte; or that never ends, and sets the stop signal on its way.
struct FailingSource {
    bytes: usize,
    then: Option<CancelToken>,
}

impl ByteSource for FailingSource {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match (self.bytes, &self.then) {
            (0, None) => Err(Error::new(ErrorKind::Local, Origin::Here, "the disk is gone")),
            (0, Some(stop)) => {
                stop.set();
                Ok(buffer.len())
            }
            (left, _) => {
                let count = left.min(buffer.len());
                self.bytes -= count;
                Ok(count)
            }
        }
    }

    fn restart(&mut self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn s13_s41_a_file_that_cannot_be_read_further_changes_nothing_there() {
    for tls in [false, true] {
        for bytes in [0, 10, 1_000_000] {
            let bench = bench(&[], tls);
            bench.file("a", "old");
            let mut session = bench.open().await.unwrap();
            let mut source = FailingSource { bytes, then: None };
            let error = session.upload(&mut source, 2_000_000, None, &path("/a")).await;
            assert_eq!(error.unwrap_err().kind, ErrorKind::Local);
            assert_eq!(bench.names(), ["a"]);
            assert_eq!(fs::read(bench.folder.path().join("a")).unwrap(), b"old");
            put(&mut session, "/a", b"new").await.unwrap();
            assert_eq!(
                bench.count("USER"),
                1,
                "the connection is in step: {:#?}",
                bench.server.log()
            );
        }
    }
}

#[tokio::test]
async fn s42_an_upload_stored_short_is_not_put_in_place() {
    let bench = bench(&["stor-short"], false);
    bench.file("a", "old");
    let mut session = bench.open().await.unwrap();
    let error = put(&mut session, "/a", b"new bytes").await.unwrap_err();
    assert_eq!((error.kind, error.is_retryable()), (ErrorKind::DataConnection, true), "{error}");
    assert_eq!(bench.names(), ["a"]);
    assert_eq!(fs::read(bench.folder.path().join("a")).unwrap(), b"old");
    assert_eq!(bench.count("RNFR"), 0);
}

#[tokio::test]
async fn a_refused_upload_says_why_and_leaves_the_old_file() {
    for (plan, kind) in [
        ("stor-552", ErrorKind::Full),
        ("stor-451", ErrorKind::Busy),
        ("stor-drop=5", ErrorKind::DataConnection),
        ("rename-refused", ErrorKind::Refused),
    ] {
        let bench = bench(&[plan], false);
        bench.file("a", "old");
        let mut session = bench.open().await.unwrap();
        let error = put(&mut session, "/a", &vec![7; 3_000_000]).await.unwrap_err();
        assert_eq!(error.kind, kind, "{plan}: {error}");
        assert_eq!(bench.names(), ["a"], "{plan}: {:#?}", bench.server.log());
        assert_eq!(fs::read(bench.folder.path().join("a")).unwrap(), b"old", "{plan}");
    }
}

#[tokio::test]
async fn a_server_that_renames_over_nothing_gets_the_old_file_out_of_the_way() {
    let bench = bench(&["rename-onto-refused"], false);
    bench.file("a", "old");
    let mut session = bench.open().await.unwrap();
    put(&mut session, "/a", b"new").await.unwrap();
    assert_eq!(bench.names(), ["a"]);
    assert_eq!(fs::read(bench.folder.path().join("a")).unwrap(), b"new");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_upload_removes_the_temporary_name_at_once() {
    for tls in [false, true] {
        let bench = bench(&[], tls);
        bench.file("a", "old");
        let stop = CancelToken::new();
        let context = RunContext { stop: stop.clone(), ..RunContext::default() };
        let mut session = Session::open(bench.site.clone(), context).await.unwrap();
        let mut source = FailingSource { bytes: 5_000_000, then: Some(stop) };
        let started = Instant::now();
        let error = session.upload(&mut source, u64::MAX, None, &path("/a")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Interrupted, "{error}");
        // The source has no end: without the stop signal this would last for ever.
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(bench.names(), ["a"], "{:#?}", bench.server.log());
        assert_eq!(fs::read(bench.folder.path().join("a")).unwrap(), b"old");
    }
}

#[tokio::test]
async fn a_stop_where_the_server_is_silent_ends_soon_with_a_warning() {
    let bench = bench(&["stor-stall=5"], false);
    let stop = CancelToken::new();
    let context =
        RunContext { stop: stop.within(Duration::from_millis(300)), ..RunContext::default() };
    let mut session = Session::open(bench.site.clone(), context).await.unwrap();
    let started = Instant::now();
    put(&mut session, "/a", &vec![7; 50_000_000]).await.unwrap_err();
    let took = started.elapsed();
    assert!(took < bench.site.data_timeout / 2, "{took:?}");
}

/// A local file that is tampered with once half of it has been read.
struct Meddled {
    reading: SourceFile,
    meddle: Option<Box<dyn FnOnce()>>,
    half: u64,
}

impl Meddled {
    fn open(at: &Path, meddle: impl FnOnce() + 'static) -> Self {
        let reading = SourceFile::open(at).unwrap();
        let half = reading.size() / 2;
        Self { reading, meddle: Some(Box::new(meddle)), half }
    }
}

impl ByteSource for Meddled {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.reading.position() >= self.half
            && let Some(meddle) = self.meddle.take()
        {
            meddle();
        }
        self.reading.give(buffer)
    }

    fn restart(&mut self) -> Result<()> {
        self.reading.restart()
    }

    fn check(&self) -> Result<()> {
        self.reading.check()
    }

    fn begin_anew(&mut self) -> Result<bool> {
        self.reading.begin_anew()
    }
}

/// Rewrites `at` in place, with the same size, and resets its time.
fn write_under_the_old_time(at: &Path, bytes: &[u8]) {
    let modified = fs::metadata(at).unwrap().modified().unwrap();
    let mut file = fs::File::options().write(true).open(at).unwrap();
    file.write_all(bytes).unwrap();
    file.set_modified(modified).unwrap();
}

#[tokio::test]
async fn a_source_written_under_its_old_time_never_arrives_as_a_mixture() {
    for (size, tls) in [(600_000, false), (3_000_001, false), (700_000, true)] {
        let bench = bench(&[], tls);
        let here = tempfile::tempdir().unwrap();
        let at = here.path().join("f");
        fs::write(&at, vec![1; size]).unwrap();
        let (target, new) = (at.clone(), vec![2; size]);
        let mut source = Meddled::open(&at, move || write_under_the_old_time(&target, &new));
        let mut session = bench.open().await.unwrap();
        let moved = session.upload(&mut source, size as u64, None, &path("/f")).await.unwrap();
        assert_eq!(moved.bytes, size as u64);
        assert_eq!(bench.count("STOR"), 2);
        let there = fs::read(bench.folder.path().join("f")).unwrap();
        assert!(there == vec![2; size], "a mixture of {size} bytes");
        assert_eq!(bench.names(), ["f"]);
    }
}

#[tokio::test]
async fn what_only_touches_the_record_of_a_source_costs_a_second_sending() {
    let bench = bench(&[], false);
    let here = tempfile::tempdir().unwrap();
    let at = here.path().join("f");
    fs::write(&at, vec![1; 500_000]).unwrap();
    let (target, link) = (at.clone(), here.path().join("g"));
    let mut source = Meddled::open(&at, move || fs::hard_link(target, link).unwrap());
    let mut session = bench.open().await.unwrap();
    session.upload(&mut source, 500_000, None, &path("/f")).await.unwrap();
    assert_eq!(fs::metadata(bench.folder.path().join("f")).unwrap().len(), 500_000);
}

#[tokio::test]
async fn what_is_appended_from_a_changing_source_is_no_success() {
    let bench = bench(&[], false);
    bench.file("log", "old");
    let here = tempfile::tempdir().unwrap();
    let at = here.path().join("f");
    fs::write(&at, vec![1; 500_000]).unwrap();
    let target = at.clone();
    let mut source = Meddled::open(&at, move || {
        write_under_the_old_time(&target, &vec![2; 500_000]);
    });
    let mut session = bench.open().await.unwrap();
    let error = session.append(&mut source, &path("/log")).await.unwrap_err();
    assert_eq!((error.kind, error.side), (ErrorKind::Local, Origin::Here), "{error}");
    assert!(error.message.ends_with("; what was read of it is at the end there"), "{error}");
}
