//! Tests of the client against the embedded server: its functions, and the failures that it must detect.

mod commands;
mod data;
mod ends;
mod flat;
mod forms;
mod gate;
mod greetings;
mod guards;
mod lists;
mod logins;
mod memory;
mod packets;
mod proxy;
mod race;
mod replies;
mod resume;
mod scripted;
mod secure;
mod segments;
mod survey;
mod uploads;
mod ways;

use std::time::Duration;

use super::{
    path::RemotePath,
    secret::Secret,
    session::{RunContext, Session},
    site::{Site, TlsMode as Protection},
    transfer::{MemorySource, RemoteMeta, TransferStats},
};
use portolan_core::error::Result;
use portolan_fs::AtomicFile;
use portolan_testserver::{FaultPlan, ServerSetup, ServerTls, TestServer};

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// A server on a temporary directory, and the site to reach it.
struct TestSession {
    folder: tempfile::TempDir,
    server: TestServer,
    site: Site,
}

fn bench(plans: &[&str], tls: bool) -> TestSession {
    bench_with(plans, tls.then(ServerTls::default))
}

fn bench_with(plans: &[&str], tls: Option<ServerTls>) -> TestSession {
    let folder = tempfile::tempdir().unwrap();
    let plans = plans.iter().map(|plan| FaultPlan::parse(plan).unwrap()).collect();
    let start = tls.as_ref().map(|tls| tls.start);
    let setup = ServerSetup { tls, plans, ..ServerSetup::at(folder.path()) };
    let server = TestServer::start(setup).unwrap();
    let mut site = Site::new("127.0.0.1");
    site.port = server.address().port();
    site.user = "tester".into();
    site.password = Some(Secret::new("secret"));
    // Longer than the busiest host takes; tests that wait for a timeout set their own.
    site.reply_timeout = Duration::from_secs(20);
    site.retry_wait = Duration::from_millis(50);
    site.data_timeout = Duration::from_secs(20);
    if let Some(start) = start {
        let is_implicit = start == portolan_testserver::TlsStart::Implicit;
        site.tls = if is_implicit { Protection::Implicit } else { Protection::Explicit };
        site.trust.ca_pem = Some(server.ca_pem().to_owned());
    }
    TestSession { folder, server, site }
}

impl TestSession {
    async fn open(&self) -> Result<Session> {
        Session::open(self.site.clone(), RunContext::default()).await
    }

    /// Creates a file on the server.
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Returns the commands received, without the number of their session.
    fn commands(&self) -> Vec<String> {
        let log = self.server.log();
        log.iter().filter_map(|line| Some(line.split_once(" > ")?.1.to_owned())).collect()
    }

    /// Waits until the server has sent `words` to a session, and a moment more in which they arrive.
    async fn until_said(&self, words: &str) {
        let said = || self.server.log().iter().any(|line| line.contains(&format!(" < {words}")));
        while !said() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn count(&self, verb: &str) -> usize {
        self.commands().iter().filter(|line| line.starts_with(verb)).count()
    }

    /// Returns the names in the server's top directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

async fn put(session: &mut Session, at: &str, bytes: &[u8]) -> Result<TransferStats> {
    session.upload(&mut MemorySource::new(bytes), bytes.len() as u64, None, &path(at)).await
}

/// Downloads `at` over an old local file; returns the result, and the content of that file.
async fn get(session: &mut Session, at: &str) -> (Result<TransferStats>, Vec<u8>) {
    let here = tempfile::tempdir().unwrap();
    let target = here.path().join("target");
    std::fs::write(&target, "old").unwrap();
    let landing = AtomicFile::begin(&target).unwrap();
    let moved = session.download(&path(at), landing, RemoteMeta::default(), true).await;
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 1, "something is left");
    (moved, std::fs::read(target).unwrap())
}

async fn round_trip(bench: &TestSession) -> Result<Session> {
    let mut session = Session::open(bench.site.clone(), RunContext::default()).await?;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    session.mkdir(&path("/a/b")).await?;
    let size = bytes.len() as u64;
    session.upload(&mut MemorySource::new(&bytes), size, None, &path("/a/b/x y")).await?;
    let here = tempfile::tempdir().unwrap();
    let landing = AtomicFile::begin(here.path().join("got"))?;
    let moved = session.download(&path("a/b/x y"), landing, RemoteMeta::default(), true).await?;
    assert!(moved.verified);
    assert!(std::fs::read(here.path().join("got")).unwrap() == bytes);
    let names: Vec<_> =
        session.list(&path("/a/b")).await?.entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [b"x y".to_vec()]);
    Ok(session)
}
