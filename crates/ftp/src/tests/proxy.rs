//! Tests with proxies: all connections go through them, and their refusals are reported.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    TestSession, bench, bench_with,
    gate::{Gate, Manner, NAME},
    get, path, put, round_trip,
};
use crate::{
    data::method::DataMethod,
    doctor::{DoctorOptions, survey},
    pipelining::Habits,
    proxy::Proxy,
    server_store::{ServerPlace, ServerRecord, ServerStore},
    session::{RunContext, Session},
    site::Mode,
};
use portolan_core::{
    error::ErrorKind,
    observe::{Event, EventEmitter, Sink},
};
use portolan_testserver::{CertificateKind, ServerTls, TlsStart};

const TONGUES: [&str; 2] = ["socks5", "http"];

impl TestSession {
    /// Routes the connections through `gate`, which alone knows the server's name.
    fn through(mut self, gate: &Gate, login: &str) -> Self {
        self.site.host = NAME.into();
        self.site.proxy = Some(Proxy::parse(&gate.url(login)).unwrap());
        self
    }

    fn control(&self) -> String {
        format!("{NAME}:{}", self.site.port)
    }
}

fn tls(start: TlsStart) -> ServerTls {
    ServerTls { start, names: vec![NAME.into()], ..ServerTls::default() }
}

#[tokio::test]
async fn everything_goes_through_the_proxy_plain_and_protected() {
    for protocol in TONGUES {
        for manner in [Manner::Serve, Manner::Early] {
            for tls in [None, Some(tls(TlsStart::Explicit)), Some(tls(TlsStart::Implicit))] {
                let is_implicit = tls.as_ref().is_some_and(|tls| tls.start == TlsStart::Implicit);
                if manner == Manner::Early && is_implicit {
                    // In this case the client speaks first.
                    continue;
                }
                let gate = Gate::start(protocol, manner).await;
                let bench = bench_with(&[], tls).through(&gate, "");
                let session = round_trip(&bench).await.unwrap();
                assert_eq!(session.route(), "epsv");
                let asked = gate.asked();
                // An upload, a download, a listing.
                assert_eq!((asked.len(), bench.count("EPSV")), (4, 3), "{asked:?}");
                assert_eq!(asked[0], bench.control());
                assert!(asked.iter().all(|to| to.starts_with(&format!("{NAME}:"))), "{asked:?}");
                let went: Vec<_> =
                    session.attempts().iter().map(|attempt| attempt.address.clone()).collect();
                assert_eq!(went, asked[1..]);
                session.close().await;
            }
        }
    }
}

#[tokio::test]
async fn the_address_that_pasv_names_is_of_no_matter() {
    for protocol in TONGUES {
        let gate = Gate::start(protocol, Manner::Serve).await;
        let bench = bench(&["epsv-refused", "pasv-foreign"], false).through(&gate, "");
        let session = round_trip(&bench).await.unwrap();
        assert_eq!((session.route(), gate.asked().len()), ("pasv", 4));
    }
}

#[tokio::test]
async fn a_new_connection_goes_through_the_proxy_as_well() {
    let gate = Gate::start("socks5", Manner::Serve).await;
    let bench = bench(&["leave-after=NOOP*1"], false).through(&gate, "");
    let mut session = bench.open().await.unwrap();
    session.quote(b"NOOP").await.unwrap();
    bench.until_said("421").await;
    put(&mut session, "/a", b"bytes").await.unwrap();
    let other = session.open_sibling().await.unwrap();
    let controls = gate.asked().iter().filter(|to| **to == bench.control()).count();
    assert_eq!((controls, bench.count("USER")), (3, 3));
    other.close().await;
}

#[tokio::test]
async fn the_certificate_must_have_the_servers_name() {
    let gate = Gate::start("http", Manner::Serve).await;
    for certificate in [CertificateKind::Good, CertificateKind::WrongName] {
        // The certificate is for localhost, where the proxy is.
        let tls = ServerTls { certificate, ..ServerTls::default() };
        let bench = bench_with(&[], Some(tls)).through(&gate, "");
        let error = bench.open().await.unwrap_err();
        assert_eq!((error.kind, bench.count("USER")), (ErrorKind::Tls, 0), "{error}");
    }
}

#[tokio::test]
async fn a_login_is_given_where_it_is_wanted_and_never_shown() {
    for protocol in TONGUES {
        let gate = Gate::guarded(protocol, Manner::Serve, Some("me:hun@ter2")).await;
        let right = bench(&[], false).through(&gate, "me:hun%40ter2@");
        round_trip(&right).await.unwrap();
        for (login, words) in [("", "wants a login"), ("me:other@", "login as `me`")] {
            let wrong = bench(&[], false).through(&gate, login);
            let error = wrong.open().await.unwrap_err();
            assert_eq!((error.kind, error.is_retryable()), (ErrorKind::Denied, false), "{error}");
            assert_eq!(error.host.as_deref(), Some(NAME));
            assert!(error.message.contains(words) && !error.message.contains("other"), "{error}");
            assert_eq!(wrong.server.log().len(), 0);
        }
        // A proxy without access control is not sent the login.
        let open = Gate::start(protocol, Manner::Serve).await;
        round_trip(&bench(&[], false).through(&open, "me:hun%40ter2@")).await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_connect_is_a_clear_fault() {
    for (protocol, manner, kind, words) in [
        ("socks5", Manner::Refuse, ErrorKind::Unreachable, "the proxy refused: host unreachable"),
        ("http", Manner::Refuse, ErrorKind::Denied, "the proxy said \"403 Forbidden\""),
        ("socks5", Manner::Close, ErrorKind::Unreachable, "closed the connection"),
        ("http", Manner::Close, ErrorKind::Unreachable, "closed the connection"),
        ("socks5", Manner::Babble, ErrorKind::Protocol, "is no SOCKS5 proxy"),
        ("http", Manner::Babble, ErrorKind::Protocol, "is no HTTP proxy"),
        ("socks5", Manner::Silent, ErrorKind::Timeout, "does not answer in 0.3 s"),
        ("http", Manner::Silent, ErrorKind::Timeout, "does not answer in 0.3 s"),
    ] {
        let gate = Gate::start(protocol, manner).await;
        let mut bench = bench(&[], false).through(&gate, "me:hunter2@");
        if kind == ErrorKind::Timeout {
            bench.site.connect_timeout = Duration::from_millis(300);
        }
        let started = Instant::now();
        let error = bench.open().await.unwrap_err();
        assert_eq!(error.kind, kind, "{protocol} {manner:?}: {error}");
        assert!(error.message.contains(words), "{protocol} {manner:?}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!((gate.came(), bench.server.log().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_as_such() {
    let gate = Gate::start("http", Manner::Serve).await;
    let mut bench = bench(&[], false).through(&gate, "");
    let free = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    for (proxy, words) in [
        (format!("http://{free}"), "cannot connect to the proxy at 127.0.0.2"),
        ("http://gate.invalid".to_owned(), "cannot find the proxy"),
    ] {
        bench.site.proxy = Some(Proxy::parse(&proxy).unwrap());
        let error = bench.open().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn data_that_the_proxy_refuses_is_not_tried_around_it() {
    for (protocol, words) in [("socks5", "host unreachable"), ("http", "403 Forbidden")] {
        let server = bench(&[], false);
        let gate = Gate::start(protocol, Manner::RefuseBut(server.site.port)).await;
        let bench = server.through(&gate, "");
        bench.file("a", "new");
        let mut session = bench.open().await.unwrap();
        let (moved, bytes) = get(&mut session, "/a").await;
        let error = moved.unwrap_err();
        assert_eq!((error.kind, bytes), (ErrorKind::DataConnection, b"old".to_vec()), "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(error.message.contains("a proxy carries passive mode only"), "{error}");
        assert_eq!((bench.count("EPRT"), bench.count("PORT"), bench.count("RETR")), (0, 0, 0));
        // The session is in step nevertheless.
        session.delete(&path("/a")).await.unwrap();
        assert_eq!(bench.count("USER"), 1);
    }
}

/// A sink of the lines that a user reads.
#[derive(Default)]
struct ProxyLines(Mutex<Vec<String>>);

impl Sink for ProxyLines {
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
async fn active_mode_is_left_at_once_and_one_line_says_so() {
    let gate = Gate::start("socks5", Manner::Serve).await;
    let mut bench = bench(&[], false).through(&gate, "");
    bench.site.mode = Mode::Active;
    let told = Arc::<ProxyLines>::default();
    let observer = EventEmitter::new(vec![Box::new(Arc::clone(&told))]);
    let context = RunContext { observer, ..RunContext::default() };
    for name in ["/x", "/y"] {
        let mut session = Session::open(bench.site.clone(), context.clone()).await.unwrap();
        put(&mut session, name, b"x").await.unwrap();
        assert_eq!(session.route(), "epsv");
    }
    let line = format!("{NAME}: passive mode, since a proxy cannot carry active mode");
    assert_eq!(*told.0.lock().unwrap(), [line]);
    assert_eq!(bench.count("EPRT") + bench.count("PORT"), 0);
    bench.site.fallback = false;
    let came = gate.came();
    let error = bench.open().await.unwrap_err();
    assert_eq!((error.kind, gate.came()), (ErrorKind::Invalid, came), "{error}");
    // Without the other mode, passive mode goes through as usual.
    bench.site.mode = Mode::Passive;
    round_trip(&bench).await.unwrap();
}

#[tokio::test]
async fn no_race_is_run_through_a_proxy() {
    let gate = Gate::start("http", Manner::Serve).await;
    let mut bench = bench(&[], false).through(&gate, "");
    bench.site.mode = Mode::Race;
    let session = round_trip(&bench).await.unwrap();
    assert_eq!((session.route(), bench.count("USER"), bench.count("EPRT")), ("epsv", 1, 0));
}

/// A memory that keeps all updates, and returns one known method.
#[derive(Debug)]
struct Learnt(Mutex<Vec<(ServerPlace, ServerRecord)>>, Option<DataMethod>);

impl ServerStore for Learnt {
    fn recall(&self, _: &ServerPlace) -> Option<ServerRecord> {
        let (failed_mode, round_trip) = (Some(Mode::Passive), Duration::ZERO);
        self.1.map(|step| ServerRecord {
            step,
            failed_mode,
            tls12_only: false,
            refuses_list_all: false,
            is_elsewhere: true,
            round_trip,
            habits: Habits::NONE,
            address: None,
        })
    }

    fn remember(&self, place: &ServerPlace, known: ServerRecord) {
        self.0.lock().unwrap().push((place.clone(), known));
    }

    fn forget(&self, _: &ServerPlace, _: DataMethod) {}
}

#[tokio::test]
async fn what_is_remembered_is_the_servers_and_no_step_that_a_proxy_cannot_carry_is_taken_from_it()
{
    for step in [None, Some(DataMethod::Eprt), Some(DataMethod::Pasv)] {
        let gate = Gate::start("socks5", Manner::Serve).await;
        let bench = bench(&[], false).through(&gate, "");
        let memory = Arc::new(Learnt(Mutex::default(), step));
        let context = RunContext { memory: Some(memory.clone()), ..RunContext::default() };
        let mut session = Session::open(bench.site.clone(), context).await.unwrap();
        put(&mut session, "/a", b"x").await.unwrap();
        let route = if step == Some(DataMethod::Pasv) { "pasv" } else { "epsv" };
        assert_eq!((session.route(), session.attempts().len()), (route, 1));
        if step != Some(DataMethod::Pasv) {
            let learnt = memory.0.lock().unwrap();
            let [(place, known)] = learnt.as_slice() else { panic!("{learnt:?}") };
            assert_eq!((place.host.as_str(), place.port), (NAME, bench.site.port));
            assert_eq!(known.step, DataMethod::Epsv);
        }
    }
}

#[tokio::test]
async fn doctor_does_not_look_around_the_proxy() {
    let gate = Gate::start("http", Manner::Serve).await;
    let bench = bench(&[], false).through(&gate, "");
    let found = survey(&bench.site, &DoctorOptions::default(), &RunContext::default()).await;
    assert_eq!(found.unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!((gate.came(), bench.server.log().len()), (0, 0));
}
