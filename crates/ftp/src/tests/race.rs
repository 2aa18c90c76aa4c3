//! Tests of the race between both modes: the winner, and the end of the other side.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{TestSession, bench, get, path};
use crate::{
    context::RunContext,
    session::Session,
    site::{Mode, Site},
};
use portolan_core::{
    cancel::CancelToken,
    error::{ErrorKind, Result},
    observe::{Event, EventEmitter, Sink},
};
use portolan_testserver::{FaultPlan, ServerSetup, TestServer};

/// A time shorter than the last method of a mode may take: the side that fails was not waited for.
const AT_ONCE: Duration = Duration::from_secs(6);

fn race(plans: &[&str]) -> TestSession {
    let mut bench = bench(plans, false);
    bench.site.mode = Mode::Race;
    bench.file("a", "bytes");
    bench
}

impl TestSession {
    /// Starts another server on the same directory with a limit of `sessions_max` sessions, and returns it with its
    /// site.
    fn limited(&self, sessions_max: usize, plan: Option<&str>) -> (TestServer, Site) {
        let plans = plan.map(|plan| FaultPlan::parse(plan).unwrap()).into_iter().collect();
        let setup = ServerSetup { plans, sessions_max, ..ServerSetup::at(self.folder.path()) };
        let server = TestServer::start(setup).unwrap();
        let site = Site { port: server.address().port(), ..self.site.clone() };
        (server, site)
    }
}

/// Returns the methods that have worked.
fn ways(session: &Session) -> Vec<&str> {
    let worked = session.attempts().iter().filter(|attempt| attempt.worked);
    worked.map(|attempt| attempt.step).collect()
}

/// Opens a session, in less time than the wait for the side that fails.
async fn at_once(bench: &TestSession) -> Result<Session> {
    let started = Instant::now();
    let opened = bench.open().await;
    assert!(started.elapsed() < AT_ONCE, "{:?}\n{:#?}", started.elapsed(), bench.server.log());
    opened
}

#[tokio::test]
async fn the_first_to_deliver_is_kept_and_carries_everything_from_then_on() {
    for tls in [false, true] {
        let mut bench = bench(&[], tls);
        bench.site.mode = Mode::Race;
        bench.file("a", "bytes");
        let mut session = at_once(&bench).await.unwrap();
        let won = session.route();
        assert_eq!(bench.count("USER"), 2);
        for _ in 0..3 {
            assert_eq!(get(&mut session, "/a").await.1, b"bytes");
        }
        assert!(ways(&session).ends_with(&[won; 4]), "{:?}", session.attempts());
        assert_eq!(session.site().mode.as_str(), "race");
        assert_eq!(bench.count("USER"), 2, "no session was made anew");
        // Sessions that are opened later for parallel work do not race.
        let mut other = session.open_sibling().await.unwrap();
        assert_eq!(get(&mut other, "/a").await.1, b"bytes");
        assert_eq!((ways(&other), bench.count("USER")), (vec![won], 3));
    }
}

#[tokio::test]
async fn the_session_that_lost_is_gone() {
    for plan in [None, Some("active-silent"), Some("pasv-blackhole"), Some("pasv-refused")] {
        let bench = race(&[]);
        let (server, site) = bench.limited(2, plan);
        let session = Session::open(site, RunContext::default()).await.unwrap();
        let started = Instant::now();
        let other = loop {
            match session.open_sibling().await {
                Ok(other) => break other,
                Err(error) => assert_eq!(error.code, 421, "{error}"),
            }
            assert!(started.elapsed() < AT_ONCE, "{plan:?}\n{:#?}", server.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        // The server accepts two sessions only.
        assert_eq!(other.open_sibling().await.unwrap_err().code, 421);
    }
}

#[tokio::test]
async fn a_side_that_has_failed_says_goodbye() {
    let bench = race(&["slow=400*1", "active-refused"]);
    let session = bench.open().await.unwrap();
    assert_eq!(session.route(), "epsv");
    session.close().await;
    assert_eq!(bench.count("QUIT"), 2, "{:#?}", bench.server.log());
}

#[tokio::test]
async fn the_mode_that_works_wins_without_waiting_for_the_other() {
    for (plan, route) in [
        ("active-silent", "epsv"),
        ("active-refused", "epsv"),
        ("active-425", "epsv"),
        ("pasv-blackhole", "eprt"),
        ("pasv-dead", "eprt"),
        ("pasv-refused", "eprt"),
    ] {
        let bench = race(&[plan]);
        let mut session = at_once(&bench).await.unwrap();
        assert_eq!(get(&mut session, "/a").await.1, b"bytes", "{plan}");
        assert_eq!((session.route(), ways(&session)), (route, vec![route; 2]), "{plan}");
        assert_eq!(session.folder(), &path("/"));
    }
}

#[tokio::test]
async fn the_folder_of_the_session_is_what_is_listed() {
    let mut bench = race(&[]);
    std::fs::create_dir(bench.folder.path().join("in")).unwrap();
    bench.file("in/b", "more");
    bench.site.folder = Some(path("/in"));
    let mut session = at_once(&bench).await.unwrap();
    assert_eq!(session.folder(), &path("/in"));
    assert!(bench.commands().contains(&"MLSD /in".to_owned()), "{:#?}", bench.server.log());
    assert_eq!(get(&mut session, "b").await.1, b"more");
}

#[tokio::test]
async fn a_fault_names_what_both_modes_ended_with() {
    let bench = race(&["pasv-dead", "active-425"]);
    let error = at_once(&bench).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DataConnection);
    let (start, rest) = error.message.split_once("passive: cannot connect to").unwrap();
    assert_eq!(start, "no data connection could be made, in either mode: ");
    assert!(rest.contains("; active: the server said \"425"), "{error}");
}

#[tokio::test]
async fn a_directory_that_may_not_be_listed_decides_no_race() {
    let bench = race(&["list-550", "reply=STAT:502 no"]);
    let mut session = at_once(&bench).await.unwrap();
    assert_eq!((session.route(), bench.count("USER")), ("", 2));
    assert_eq!(get(&mut session, "/a").await.1, b"bytes");
    assert_eq!(session.route(), "epsv");
    // A mode that gets no data connection either is abandoned.
    let bench = race(&["list-550", "reply=STAT:502 no", "pasv-refused"]);
    let mut session = at_once(&bench).await.unwrap();
    assert_eq!(get(&mut session, "/a").await.1, b"bytes");
    assert_eq!(ways(&session), ["eprt"]);
}

#[tokio::test]
async fn where_one_session_is_allowed_it_goes_alone() {
    for (plan, route) in [(None, "epsv"), (Some("pasv-refused"), "eprt")] {
        let bench = race(&[]);
        let (_server, site) = bench.limited(1, plan);
        let mut session = Session::open(site, RunContext::default()).await.unwrap();
        assert_eq!(session.route(), "");
        assert_eq!(get(&mut session, "/a").await.1, b"bytes");
        assert_eq!(ways(&session), [route]);
    }
}

#[tokio::test]
async fn a_session_that_may_not_fall_back_does_not_race() {
    let mut bench = race(&[]);
    bench.site.fallback = false;
    let mut session = bench.open().await.unwrap();
    assert_eq!(get(&mut session, "/a").await.1, b"bytes");
    assert_eq!((session.route(), bench.count("USER")), ("epsv", 1));
}

/// A sink of the lines about data-connection methods that a user reads.
#[derive(Default)]
struct ToldWays(Mutex<Vec<String>>);

impl Sink for ToldWays {
    fn event(&self, event: &Event) {
        let line = match event {
            Event::Said { text, .. } => text.clone(),
            Event::FellBack { from, to, .. } => format!("from {from} to {to}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn the_winner_is_remembered_and_the_next_run_opens_one_session() {
    for (plan, route) in [("active-refused", "epsv"), ("pasv-refused", "eprt")] {
        let memory = Arc::default();
        let bench = race(&[plan]);
        let told: Arc<ToldWays> = Arc::default();
        for logins in [2, 3, 4] {
            let observer = EventEmitter::new(vec![Box::new(Arc::clone(&told))]);
            let context = RunContext { observer, ..super::memory::with_memory(&memory) };
            let mut session = Session::open(bench.site.clone(), context).await.unwrap();
            assert_eq!(get(&mut session, "/a").await.1, b"bytes");
            assert_eq!((session.route(), bench.count("USER")), (route, logins), "{plan}");
            session.close().await;
        }
        assert!(told.0.lock().unwrap().is_empty(), "{:?}", told.0.lock().unwrap());
    }
}

#[tokio::test]
async fn the_signal_to_stop_ends_a_race() {
    let bench = race(&["pasv-blackhole", "active-silent"]);
    let stop = CancelToken::new();
    let context = RunContext { stop: stop.clone(), ..RunContext::default() };
    let started = Instant::now();
    let signal = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.set();
    };
    let (opened, ()) = tokio::join!(Session::open(bench.site.clone(), context), signal);
    assert_eq!(opened.unwrap_err().kind, ErrorKind::Interrupted);
    assert!(started.elapsed() < AT_ONCE);
    assert!(bench.count("USER") == 2, "it had begun");
}
