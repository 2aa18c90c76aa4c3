//! Transfers that the client ends early: the server sees only the end of the data connection, and the session stays
//! usable.

use portolan::remote::fs::RemoteFs as _;
use std::time::{Duration, Instant};

use portolan::{
    cancel::CancelToken,
    error::{Error, ErrorKind as Sort, Origin, Result},
    files::AtomicFile,
    ftp::{
        session::{RunContext, Session},
        site::Mode,
        transfer::{ByteSource, RemoteMeta},
    },
};

use super::{Cell, Stand, options, path, run, sample, site};
use crate::support::server::{Kind, RealServer, Tls};

/// A source of a given number of bytes, followed by a failure, or by a cancellation and bytes without end.
struct Source {
    left: usize,
    stop: Option<CancelToken>,
}

impl ByteSource for Source {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.left.min(buffer.len());
        self.left -= count;
        match &self.stop {
            Some(stop) if count == 0 => {
                stop.set();
                Ok(buffer.len())
            }
            None if count == 0 => Err(Error::new(Sort::Local, Origin::Here, "the disk is gone")),
            _ => Ok(count),
        }
    }

    fn restart(&mut self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Calls `test` for every kind of server, plain and under TLS, in both modes.
fn each(mut test: impl FnMut(&RealServer, Cell)) {
    for kind in Kind::ALL {
        for tls in [Tls::Off, Tls::Explicit] {
            let Some(server) = RealServer::start(kind, &options(kind, tls, false)) else { return };
            for mode in [Mode::Passive, Mode::Active] {
                test(&server, Cell { kind, tls, mode, ipv6: false });
            }
        }
    }
}

fn names(server: &RealServer) -> Vec<String> {
    let entries = std::fs::read_dir(server.root()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_upload_whose_source_fails_leaves_nothing_there_and_the_session_goes_on() {
    each(|server, cell| {
        let work = async {
            let session = Session::open(site(server, cell), RunContext::default()).await?;
            let mut stand = Stand { server, session, cell };
            stand.put("/a", b"old").await?;
            for left in [0, 10, 3_000_000] {
                let mut source = Source { left, stop: None };
                let sent = stand.session.upload(&mut source, 9_000_000, None, &path("/a")).await;
                assert_eq!(sent.unwrap_err().kind, Sort::Local, "{cell}");
                assert_eq!(names(server), ["a"], "{cell}: {left}\n{}", server.log());
                assert_eq!(stand.bytes("/a").await?, b"old", "{cell}");
            }
            stand.session.remove(&path("/a")).await
        };
        run(work).unwrap_or_else(|fault| panic!("{cell}: {fault:?}\n{}", server.log()));
    });
}

#[test]
fn a_download_that_is_broken_off_leaves_the_session_in_step() {
    each(|server, cell| {
        server.file("large", sample(8_000_000));
        let work = async {
            let mut session = Session::open(site(server, cell), RunContext::default()).await?;
            let here = tempfile::tempdir().unwrap();
            for _ in 0..4 {
                let landing = AtomicFile::begin(here.path().join("got"))?.at_most(Some(1000));
                let known = RemoteMeta::default();
                let got = session.download(&path("/large"), landing, known, false).await;
                assert!(got.unwrap_err().message.contains("more bytes"), "{cell}");
                assert_eq!(session.size(&path("/large")).await?, 8_000_000, "{cell}");
                let missing = session.remove(&path("/missing")).await.unwrap_err();
                assert_eq!(missing.kind, Sort::NotFound, "{cell}");
            }
            let landing = AtomicFile::begin(here.path().join("got"))?;
            session.download(&path("/large"), landing, RemoteMeta::default(), false).await
        };
        let moved = run(work);
        let moved = moved.unwrap_or_else(|fault| panic!("{cell}: {fault:?}\n{}", server.log()));
        assert!(moved.verified && moved.bytes == 8_000_000);
    });
}

#[test]
fn a_stop_in_the_middle_of_an_upload_is_quick_and_leaves_no_temporary_name() {
    each(|server, cell| {
        server.file("a", "old");
        let stop = CancelToken::new();
        let context = RunContext { stop: stop.clone(), ..RunContext::default() };
        let work = async {
            let mut session = Session::open(site(server, cell), context).await.unwrap();
            let mut source = Source { left: 5_000_000, stop: Some(stop) };
            let started = Instant::now();
            let sent = session.upload(&mut source, u64::MAX, None, &path("/a")).await;
            (sent.unwrap_err(), started.elapsed())
        };
        let (fault, took) = run(work);
        assert_eq!(fault.kind, Sort::Interrupted, "{cell}: {fault}");
        assert!(took < Duration::from_secs(10), "{cell}: {took:?}");
        assert_eq!(names(server), ["a"], "{cell}\n{}", server.log());
        assert_eq!(server.bytes("a"), b"old");
    });
}
