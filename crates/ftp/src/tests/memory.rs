//! Tests of the knowledge about data connections that one session stores and the next one uses.

use std::sync::{Arc, Mutex};

use super::{TestSession, bench, get, path};
use crate::{
    context::RunContext,
    data::method::DataMethod,
    pipelining::Habits,
    server_store::{ServerPlace, ServerRecord, ServerStore},
    session::Session,
    site::Mode,
};
use portolan_core::observe::{Event, EventEmitter, Sink};

/// A sink of the lines that a user reads.
#[derive(Default)]
struct ToldLines(Mutex<Vec<String>>);

impl Sink for ToldLines {
    fn event(&self, event: &Event) {
        let line = match event {
            Event::Said { level, text } => format!("{level:?}: {text}"),
            Event::FellBack { from, to, .. } => format!("from {from} to {to}"),
            Event::Connected { tls: Some(tls), .. } => tls.replace('_', "."),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

/// Runs with one store, and the messages of the last one.
#[derive(Default)]
struct Runs {
    memory: Arc<Counted>,
    told: Arc<ToldLines>,
}

impl Runs {
    fn new() -> Self {
        Self::default()
    }

    /// Returns the context of the next run.
    fn next(&mut self) -> RunContext {
        self.told = Arc::default();
        let observer = EventEmitter::new(vec![Box::new(Arc::clone(&self.told))]);
        RunContext { observer, ..with_memory(&self.memory) }
    }

    fn told(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }

    /// Runs a download and returns the methods that it tried.
    async fn tries(&mut self, bench: &TestSession) -> Vec<String> {
        bench.file("a", "bytes");
        let mut session = Session::open(bench.site.clone(), self.next()).await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        assert_eq!(bytes, b"bytes", "{moved:?}\n{:#?}", bench.server.log());
        let tries = tried(&session);
        session.close().await;
        tries
    }
}

/// Returns the methods that a session tried; those that failed in brackets.
fn tried(session: &Session) -> Vec<String> {
    let show = |step: &str, worked: bool| if worked { step.into() } else { format!("({step})") };
    session.attempts().iter().map(|attempt| show(attempt.step, attempt.worked)).collect()
}

fn at(mode: Mode, plans: &[&str]) -> TestSession {
    let mut bench = bench(plans, false);
    bench.site.mode = mode;
    bench
}

/// Replaces the server by one with other faults at the same address.
fn become_other(bench: &mut TestSession, plans: &[&str]) {
    let other = super::bench(plans, false);
    let detour = Some(other.server.address());
    *bench = TestSession { site: crate::site::Site { detour, ..bench.site.clone() }, ..other };
}

#[tokio::test]
async fn the_second_run_makes_no_failed_attempt() {
    for (plan, mode, first, second) in [
        ("active-425", Mode::Active, vec!["(eprt)", "(port)", "epsv"], "epsv"),
        ("active-refused", Mode::Active, vec!["(eprt)", "(port)", "epsv"], "epsv"),
        ("eprt-refused", Mode::Active, vec!["(eprt)", "port"], "port"),
        ("pasv-refused", Mode::Passive, vec!["(epsv)", "(pasv)", "eprt"], "eprt"),
        ("pasv-refused", Mode::Auto, vec!["(epsv)", "(pasv)", "eprt"], "eprt"),
        ("epsv-refused", Mode::Auto, vec!["(epsv)", "pasv"], "pasv"),
    ] {
        let mut runs = Runs::new();
        let bench = at(mode, &[plan]);
        assert_eq!(runs.tries(&bench).await, first, "{plan} {mode:?}");
        for _ in 0..2 {
            assert_eq!(runs.tries(&bench).await, [second], "{plan} {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_requested_mode_that_is_not_tried_is_reported_once() {
    let mut runs = Runs::new();
    let bench = at(Mode::Active, &["active-425"]);
    runs.tries(&bench).await;
    assert_eq!(runs.told(), ["from active to passive"]);
    bench.file("b", "more");
    let mut session = Session::open(bench.site.clone(), runs.next()).await.unwrap();
    assert_eq!(session.route(), "", "nothing has carried data yet");
    let mut other = session.open_sibling().await.unwrap();
    for session in [&mut session, &mut other] {
        for name in ["/a", "/b"] {
            get(session, name).await.0.unwrap();
        }
        assert_eq!(tried(session), ["epsv", "epsv"]);
    }
    let line = "Info: 127.0.0.1: passive mode at once, since active mode failed in an earlier run";
    assert_eq!(runs.told(), [line]);
}

#[tokio::test]
async fn a_remembered_step_that_fails_is_forgotten_and_the_ladder_goes_on() {
    let mut runs = Runs::new();
    let mut bench = at(Mode::Active, &["active-425"]);
    runs.tries(&bench).await;
    become_other(&mut bench, &["pasv-refused"]);
    assert_eq!(runs.tries(&bench).await, ["(epsv)", "eprt"]);
    assert_eq!(runs.tries(&bench).await, ["eprt"]);
    assert!(runs.told().is_empty(), "{:?}", runs.told());
    // If no method works, none is remembered either.
    become_other(&mut bench, &["pasv-refused", "active-refused"]);
    bench.file("a", "bytes");
    let mut session = Session::open(bench.site.clone(), runs.next()).await.unwrap();
    get(&mut session, "/a").await.0.unwrap_err();
    become_other(&mut bench, &[]);
    bench.site.mode = Mode::Auto;
    assert_eq!(runs.tries(&bench).await, ["epsv"]);
}

#[tokio::test]
async fn a_mode_that_is_held_or_that_never_failed_is_not_left_for_a_remembered_one() {
    let mut runs = Runs::new();
    let mut bench = at(Mode::Passive, &[]);
    assert_eq!(runs.tries(&bench).await, ["epsv"]);
    bench.site.mode = Mode::Active;
    assert_eq!(runs.tries(&bench).await, ["eprt"]);
    bench.site.mode = Mode::Auto;
    assert_eq!(runs.tries(&bench).await, ["eprt"], "the last success");
    bench.site.mode = Mode::Passive;
    assert_eq!(runs.tries(&bench).await, ["epsv"]);

    let mut bench = at(Mode::Active, &["active-425"]);
    runs.tries(&bench).await;
    bench.site.fallback = false;
    let mut session = Session::open(bench.site.clone(), runs.next()).await.unwrap();
    get(&mut session, "/a").await.0.unwrap_err();
    assert_eq!(tried(&session), ["(eprt)", "(port)"]);
}

#[tokio::test]
async fn swapped_replies_in_active_mode_are_met_once_and_remembered() {
    let mut bench = at(Mode::Active, &["active-overtaken"]);
    bench.site.fallback = false;
    for name in ["a", "b", "c"] {
        bench.file(name, "bytes");
    }
    let mut runs = Runs::new();
    // The first run logs in again after the transfer that got no data, the next one knows.
    for logins in [2, 1] {
        let before = bench.commands().len();
        let mut session = Session::open(bench.site.clone(), runs.next()).await.unwrap();
        for name in ["/a", "/b", "/c"] {
            let (moved, bytes) = get(&mut session, name).await;
            assert_eq!(bytes, b"bytes", "{moved:?}\n{:#?}", bench.server.log());
        }
        session.list(&path("/")).await.unwrap();
        session.close().await;
        let commands = bench.commands();
        let users = commands.iter().skip(before).filter(|line| line.starts_with("USER")).count();
        assert_eq!(users, logins, "{commands:#?}");
    }
    let known = runs.memory.known.lock().unwrap().unwrap();
    assert!(known.habits.separate_ports && known.habits.words().contains("separate-ports"));
    assert_eq!(Habits::read(&known.habits.words()), known.habits);
}

#[tokio::test]
async fn a_list_option_that_the_server_refuses_is_not_tried_by_the_next_run() {
    let bench = at(Mode::Auto, &["no-mlsd", "no-mlst", "reply=LIST:501 no*1"]);
    bench.file("a", "bytes");
    let mut runs = Runs::new();
    for asked in [vec!["LIST -a", "LIST"], vec!["LIST -a", "LIST", "LIST"]] {
        let mut session = Session::open(bench.site.clone(), runs.next()).await.unwrap();
        assert_eq!(session.list(&path("/")).await.unwrap().entries.len(), 1);
        let lists = bench.commands().into_iter().filter(|line| line.starts_with("LIST"));
        assert_eq!(lists.collect::<Vec<_>>(), asked);
    }
}

/// A memory that counts its updates.
#[derive(Debug, Default)]
pub(super) struct Counted {
    known: Mutex<Option<ServerRecord>>,
    remembered: Mutex<Vec<ServerPlace>>,
    forgotten: Mutex<u32>,
}

impl ServerStore for Counted {
    fn recall(&self, _: &ServerPlace) -> Option<ServerRecord> {
        *self.known.lock().unwrap()
    }

    fn remember(&self, place: &ServerPlace, known: ServerRecord) {
        *self.known.lock().unwrap() = Some(known);
        self.remembered.lock().unwrap().push(place.clone());
    }

    fn forget(&self, _: &ServerPlace, step: DataMethod) {
        assert_eq!(self.known.lock().unwrap().take().map(|known| known.step), Some(step));
        *self.forgotten.lock().unwrap() += 1;
    }
}

pub(super) fn with_memory(memory: &Arc<Counted>) -> RunContext {
    let memory: Arc<dyn ServerStore> = memory.clone();
    RunContext { memory: Some(memory), ..RunContext::default() }
}

#[tokio::test]
async fn it_is_written_once_however_many_files_there_are() {
    let memory = Arc::new(Counted::default());
    let mut bench = at(Mode::Active, &["active-425"]);
    bench.site.host = "LocalHost".into();
    bench.site.detour = Some(bench.server.address());
    bench.file("a", "bytes");
    for _ in 0..2 {
        let mut session = Session::open(bench.site.clone(), with_memory(&memory)).await.unwrap();
        for _ in 0..5 {
            get(&mut session, "/a").await.0.unwrap();
        }
    }
    let place = ServerPlace {
        host: "localhost".into(),
        port: bench.site.port,
        user: "tester".into(),
        protection: "off",
        network: "127.0.0.0/24".into(),
    };
    assert_eq!(*memory.remembered.lock().unwrap(), [place]);
    let known = memory.known.lock().unwrap().unwrap();
    assert_eq!((known.step, known.failed_mode), (DataMethod::Epsv, Some(Mode::Active)));
}

#[tokio::test]
async fn a_route_that_comes_and_goes_is_not_written_for_every_file() {
    let memory = Arc::new(Counted::default());
    let bench = at(Mode::Auto, &["retr-425*1000"]);
    let mut session = Session::open(bench.site.clone(), with_memory(&memory)).await.unwrap();
    for number in 0..20 {
        bench.file("a", "bytes");
        session.list(&path("/")).await.unwrap();
        get(&mut session, "/a").await.0.unwrap_err();
        assert!(session.attempts().len() > number);
    }
    let writes = memory.remembered.lock().unwrap().len();
    let writes = u32::try_from(writes).unwrap() + *memory.forgotten.lock().unwrap();
    assert_eq!(writes, portolan_core::limits::ROUTE_WRITES_MAX);
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_it_had_to_be_and_left_when_that_fails() {
    let known = ServerRecord {
        step: DataMethod::Epsv,
        failed_mode: None,
        tls12_only: true,
        refuses_list_all: false,
        is_elsewhere: false,
        round_trip: std::time::Duration::ZERO,
        habits: Habits::NONE,
        address: None,
    };
    for (plans, wanted) in [(&[][..], "TLSv1.2"), (&["tls-refused*1"], "TLSv1.3")] {
        let memory = Arc::new(Counted::default());
        *memory.known.lock().unwrap() = Some(known);
        let told = Arc::new(ToldLines::default());
        let observer = EventEmitter::new(vec![Box::new(Arc::clone(&told))]);
        let bench = bench(plans, true);
        bench.file("a", "bytes");
        let context = RunContext { observer, ..with_memory(&memory) };
        let mut session = Session::open(bench.site.clone(), context).await.unwrap();
        get(&mut session, "/a").await.0.unwrap();
        assert_eq!(*told.0.lock().unwrap(), [wanted], "{plans:?}");
        let is_kept = memory.known.lock().unwrap().unwrap().tls12_only;
        assert_eq!(is_kept, wanted == "TLSv1.2");
    }
}

#[tokio::test]
async fn what_is_learnt_in_another_network_is_noted_for_that_one() {
    let memory = Arc::new(Counted::default());
    let bench = at(Mode::Auto, &["leave-after=NOOP*1"]);
    bench.file("a", "bytes");
    let mut session = Session::open(bench.site.clone(), with_memory(&memory)).await.unwrap();
    get(&mut session, "/a").await.0.unwrap();
    // The laptop moves to another network, and the server has closed the old connection.
    session.site.source_address = Some("127.0.7.1".parse().unwrap());
    session.quote(b"NOOP").await.unwrap();
    bench.until_said("421").await;
    get(&mut session, "/a").await.0.unwrap();
    let networks: Vec<_> =
        memory.remembered.lock().unwrap().iter().map(|place| place.network.clone()).collect();
    assert_eq!(networks, ["127.0.0.0/24", "127.0.7.0/24"]);
}

#[tokio::test]
async fn the_first_login_of_a_later_run_is_sent_at_once_where_the_server_bears_it() {
    let mut runs = Runs::new();
    let bench = at(Mode::Auto, &[]);
    let count = |bench: &TestSession| {
        bench.commands().iter().filter(|line| line.starts_with("USER")).count()
    };
    runs.tries(&bench).await;
    assert_eq!(runs.memory.known.lock().unwrap().unwrap().habits.takes_whole_login, Some(true));
    let before = count(&bench);
    runs.tries(&bench).await;
    assert_eq!(count(&bench), before + 1);
    // A server that rejects it now gets the commands one by one, in later runs as well.
    let mut other = at(Mode::Auto, &["alone=USER"]);
    other.site = crate::site::Site { detour: Some(other.server.address()), ..bench.site.clone() };
    other.site.reply_timeout = std::time::Duration::from_secs(1);
    runs.tries(&other).await;
    assert_eq!(
        (count(&other), runs.memory.known.lock().unwrap().unwrap().habits.takes_whole_login),
        (2, Some(false))
    );
    runs.tries(&other).await;
    assert_eq!(count(&other), 3);
    // Without a password nothing is sent at once.
    let mut runs = Runs::new();
    let mut bare = at(Mode::Auto, &[]);
    runs.tries(&bare).await;
    bare.site.password = None;
    let error = Session::open(bare.site.clone(), runs.next()).await.unwrap_err();
    assert!(error.message.contains("none was given"), "{error}");
}
