//! Tests of the server as a client sees it: on the wire.

mod client;
mod commands;
mod faults;
mod personalities;
mod secure;
mod talks;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{FaultPlan, ServerSetup, TestServer};
use client::Client;

/// The content of the file `a.txt` in every test.
const TEXT: &[u8] = b"one\ntwo\nthree\n";

/// A server with a small tree, and the directory that it serves.
struct Scratch {
    server: TestServer,
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with_plan(plan: &str) -> Self {
        Self::with(|setup| setup.plans = vec![FaultPlan::parse(plan).unwrap()])
    }

    fn with(change: impl FnOnce(&mut ServerSetup)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), TEXT).unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        let mut setup = ServerSetup::at(folder.path());
        change(&mut setup);
        let server = TestServer::start(setup).unwrap();
        Self { server, folder }
    }

    /// Returns a client that has logged in and chosen `TYPE I`.
    fn client(&self) -> Client {
        let mut client = Client::connect(self.server.address());
        assert!(client.reply().starts_with("220"));
        client.login();
        client
    }

    /// Waits until the server has done something that it does not announce.
    #[expect(clippy::disallowed_methods, reason = "a test has no `Stop` to wait on")]
    fn until(&self, is_so: impl Fn() -> bool) {
        let end = Instant::now() + client::PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "it never came: {:#?}", self.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }
}
