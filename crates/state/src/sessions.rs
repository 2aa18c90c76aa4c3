//! Tests of server records that one run stores and the next one reads, with sessions on the embedded server.

use std::{
    fs,
    sync::{Arc, Mutex, atomic::Ordering},
};

use portolan_core::{
    clock::Clock,
    observe::{Event, EventEmitter, Sink},
};
use portolan_ftp::{
    path::RemotePath,
    secret::Secret,
    session::{RunContext, Session},
    site::{Mode, Site},
};
use portolan_testserver::{FaultPlan, ServerSetup, TestServer};

use super::StateAdapter;

const WEEK_S: i64 = 7 * 24 * 60 * 60;

/// A sink of warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Sink for Warnings {
    fn event(&self, event: &Event) {
        if let Event::Said { level, text } = event {
            self.0.lock().unwrap().push(format!("{level:?}: {text}"));
        }
    }
}

/// A server that refuses active mode, and runs that ask for it and share a state directory.
struct StoredRuns {
    _files: tempfile::TempDir,
    _server: TestServer,
    site: Site,
    state: tempfile::TempDir,
    clock: Clock,
    told: Arc<Warnings>,
}

impl StoredRuns {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let plans = vec![FaultPlan::parse("active-425").unwrap()];
        let server =
            TestServer::start(ServerSetup { plans, ..ServerSetup::at(files.path()) }).unwrap();
        let mut site = Site::new("127.0.0.1");
        site.port = server.address().port();
        site.user = "tester".into();
        site.password = Some(Secret::new("secret"));
        site.mode = Mode::Active;
        Self {
            _files: files,
            _server: server,
            site,
            state: tempfile::tempdir().unwrap(),
            clock: Clock::standing_at(1_000),
            told: Arc::default(),
        }
    }

    /// Lists the root directory in a new run and returns the methods that it tried, those that failed in brackets.
    async fn tries(&mut self) -> Vec<String> {
        self.told = Arc::default();
        let observer = EventEmitter::new(vec![Box::new(Arc::clone(&self.told))]);
        let memory = StateAdapter::named(self.state.path(), observer.clone(), self.clock.clone());
        let context =
            RunContext { observer, memory: Some(Arc::new(memory)), ..RunContext::default() };
        let mut session = Session::open(self.site.clone(), context).await.unwrap();
        session.list(&RemotePath::parse("/").unwrap()).await.unwrap();
        let show =
            |step: &str, worked: bool| if worked { step.into() } else { format!("({step})") };
        let attempts = session.attempts().iter();
        let tries = attempts.map(|attempt| show(attempt.step, attempt.worked)).collect();
        session.close().await;
        tries
    }

    fn pass(&self, seconds: i64) {
        let Clock::Set(now) = &self.clock else { unreachable!() };
        now.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn after_a_week_the_mode_that_was_asked_for_has_another_chance() {
    let mut runs = StoredRuns::new();
    assert_eq!(runs.tries().await, ["(eprt)", "(port)", "epsv"]);
    runs.pass(WEEK_S - 1);
    assert_eq!(runs.tries().await, ["epsv"]);
    runs.pass(1);
    assert_eq!(runs.tries().await, ["(eprt)", "(port)", "epsv"]);
    assert_eq!(runs.tries().await, ["epsv"]);
}

#[tokio::test]
async fn a_store_that_is_damaged_costs_one_warning_and_no_transfer() {
    let mut runs = StoredRuns::new();
    fs::write(runs.state.path().join("portolan.db"), "no database at all".repeat(100)).unwrap();
    assert_eq!(runs.tries().await, ["(eprt)", "(port)", "epsv"]);
    let told = runs.told.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Warn: nothing is remembered in this run: /"), "{told:?}");
    assert!(told[0].ends_with("it is damaged; move it away, and the next run begins a new one"));
}
