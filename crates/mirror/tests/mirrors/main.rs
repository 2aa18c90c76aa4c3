//! Mirrors against the embedded server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod absence;
mod aliases;
mod both_ways;
mod crowd;
mod encodings;
mod faults;
mod guards;
mod hostile;
mod integrity;
mod links;
mod meddling;
mod memory;
mod moves;
mod names;
mod old_versions;
mod options;
mod selections;
mod sessions;
mod shift;
mod staged;
mod state;
mod table;
mod three;
mod zones;

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;

use portolan_core::{clock::Clock, error::Result, observe::EventEmitter};
use portolan_ftp::{
    path::RemotePath,
    secret::Secret,
    session::{RunContext, Session},
    site::Site,
};
use portolan_mirror as mirror;
use portolan_mirror::{MirrorOptions, report::Report, sync_base::MirrorStateStore};
use portolan_state::StateAdapter;
use portolan_testserver::{
    FaultPlan, ServerSetup, TestServer,
    tree::{Snapshot, TreeChange},
};

/// Names that other programs misinterpreted (S03).
pub(crate) const ODD_NAMES: &[&[u8]] = &[
    b"a b",
    b" lead",
    b"-rf",
    b"-e",
    b"~x",
    b"~root",
    b"*",
    b"?",
    b"[a]",
    b"file:",
    b"http:",
    b"|id",
    b"$(id)",
    b";x",
    b"\"q\"",
    b"'q'",
    b"%2e%2e%2fx",
    b"...",
    b".hidden",
    b"back\\slash",
    "grüße-日本".as_bytes(),
    b"caf\xe9",
    b"x -> y",
];

/// A directory with all that a test may touch: `there` is served by the server, `here` is local.
pub(crate) struct MirrorFixture {
    scratch: tempfile::TempDir,
    pub(crate) server: TestServer,
    pub(crate) site: Site,
    remembers: bool,
    state: PathBuf,
}

impl MirrorFixture {
    pub(crate) fn new(plans: &[&str]) -> Self {
        Self::with(plans, |setup| setup)
    }

    pub(crate) fn with(plans: &[&str], change: impl FnOnce(ServerSetup) -> ServerSetup) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        for folder in ["there/in", "here/tree"] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
        }
        let plans = plans.iter().map(|plan| FaultPlan::parse(plan).unwrap()).collect();
        let setup = change(ServerSetup { plans, ..ServerSetup::at(scratch.path().join("there")) });
        let server = TestServer::start(setup).unwrap();
        let mut site = Site::new("127.0.0.1");
        site.port = server.address().port();
        site.user = "tester".into();
        site.password = Some(Secret::new("secret"));
        site.reply_timeout = Duration::from_secs(20);
        // Failures are made on purpose.
        site.retry_wait = Duration::from_millis(50);
        let state = scratch.path().join("state");
        Self { scratch, server, site, remembers: false, state }
    }

    /// Returns the local directory that is mirrored.
    pub(crate) fn here(&self) -> PathBuf {
        self.scratch.path().join("here/tree")
    }

    /// Returns the directory of the server that is mirrored.
    pub(crate) fn there(&self) -> PathBuf {
        self.scratch.path().join("there/in")
    }

    /// Returns everything that a broken mirror could reach.
    pub(crate) fn all(&self) -> Snapshot {
        Snapshot::of(self.scratch.path()).unwrap()
    }

    pub(crate) fn changes(&self, before: &Snapshot) -> Vec<TreeChange> {
        before.changes_to(&self.all())
    }

    pub(crate) async fn session(&self) -> Session {
        self.try_session().await.unwrap()
    }

    pub(crate) async fn try_session(&self) -> Result<Session> {
        Session::open(self.site.clone(), RunContext::default()).await
    }

    /// Returns a store of the state, as a new run has it.
    pub(crate) fn states(&self) -> Option<Arc<dyn MirrorStateStore>> {
        let states = || StateAdapter::named(&self.state(), EventEmitter::default(), Clock::System);
        self.remembers.then(|| Arc::new(states()) as Arc<dyn MirrorStateStore>)
    }

    /// Returns the same bench with a state that is kept between runs.
    pub(crate) fn remembering(self) -> Self {
        Self { remembers: true, ..self }
    }

    /// Returns the directory of that state.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// Keeps that state in another directory of the bench.
    pub(crate) fn keep_state_in(&mut self, folder: &str) {
        self.state = self.scratch.path().join(folder);
    }

    pub(crate) async fn up(&self, rules: &MirrorOptions) -> Result<Report> {
        let mut session = self.session().await;
        mirror::up(&mut session, self.states().as_ref(), &self.here(), &remote("/in"), rules, false)
            .await
    }

    pub(crate) async fn down(&self, rules: &MirrorOptions) -> Result<Report> {
        let mut session = self.session().await;
        mirror::down(
            &mut session,
            self.states().as_ref(),
            &remote("/in"),
            &self.here(),
            rules,
            false,
        )
        .await
    }

    pub(crate) fn count(&self, command: &str) -> usize {
        self.server.log().iter().filter(|line| line.contains(&format!(" > {command}"))).count()
    }
}

pub(crate) fn remote(path: &str) -> RemotePath {
    RemotePath::parse(path).unwrap()
}

pub(crate) fn deleting() -> MirrorOptions {
    MirrorOptions { delete: true, ..MirrorOptions::default() }
}

/// Writes a file that is an hour old, with the directories that it needs.
pub(crate) fn write(folder: &Path, name: impl AsRef<[u8]>, text: impl AsRef<[u8]>) {
    let path = folder.join(OsStr::from_bytes(name.as_ref()));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    age(&path, 3600);
}

/// Sets the age of a file in seconds; a negative one is in the future.
pub(crate) fn age(path: &Path, seconds: i64) {
    let time = Clock::System.now() - SignedDuration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time.into()).unwrap();
}

/// Creates a tree of all kinds of names and contents.
pub(crate) fn odd_tree(folder: &Path) {
    for (number, name) in ODD_NAMES.iter().enumerate() {
        write(folder, name, vec![b'x'; number * 1000]);
        let inside = [b"folders/", *name, b"/", *name].concat();
        write(folder, inside, name);
    }
    fs::create_dir_all(folder.join("empty/deeper")).unwrap();
    write(folder, "big", vec![7; 300_000]);
}

/// Asserts that both directories hold the same bytes.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (Snapshot::of(one).unwrap(), Snapshot::of(other).unwrap());
    assert_eq!(one.changes_to(&other), []);
}

/// Returns the lines of changes, for tests to compare.
pub(crate) fn shown(changes: &[TreeChange]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}
