//! Tests of the servers themselves: each kind starts, answers, obeys its options, and ends.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    Certificate, Kind, Options, RealServer, START_TIME_MAX, Tls, UID, USER, free_ports, wait,
};

/// A minimal control connection.
struct Control<S>(BufReader<S>);

impl<S: std::io::Read + Write> Control<S> {
    fn open(socket: S) -> (Self, String) {
        let mut control = Self(BufReader::new(socket));
        let greeting = control.reply();
        (control, greeting)
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            // A connection that is cut counts as no reply.
            drop(self.0.read_line(&mut line));
            if line.is_empty() || line.as_bytes().get(3) == Some(&b' ') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, command: &str) -> String {
        drop(self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()));
        self.reply()
    }

    fn log_in(&mut self) {
        let reply = self.ask(&format!("USER {USER}"));
        assert!(reply.starts_with("331"), "{reply}");
        let reply = self.ask(&format!("PASS {}", RealServer::PASSWORD));
        assert!(reply.starts_with("230"), "{reply}");
    }
}

fn connect(server: &RealServer) -> TcpStream {
    TcpStream::connect(server.address()).unwrap()
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn secure(server: &RealServer, socket: TcpStream) -> Secure {
    secure_as(server, &client(server), socket)
}

fn client(server: &RealServer) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
        .into()
}

fn secure_as(server: &RealServer, client: &Arc<ClientConfig>, socket: TcpStream) -> Secure {
    let name = server.address().ip().into();
    StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), socket)
}

fn each(options: &Options, mut test: impl FnMut(RealServer)) {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.lacks(options).is_none()) {
        if let Some(server) = RealServer::start(kind, options) {
            test(server);
        }
    }
}

#[test]
fn each_server_greets_and_logs_in_and_goes_when_dropped() {
    for ipv6 in [false, true] {
        each(&Options { ipv6, ..Options::default() }, |server| {
            assert!(server.url().starts_with("ftp://tester@"), "{}", server.url());
            let (mut control, greeting) = Control::open(connect(&server));
            assert!(greeting.starts_with("220 "), "{greeting}");
            control.log_in();
            let address = server.address();
            drop(server);
            assert!(TcpStream::connect(address).is_err(), "it still listens");
            let rest = control.reply();
            assert!(rest.is_empty() || rest.starts_with("421"), "a session still lives: {rest}");
        });
    }
}

#[test]
fn each_server_serves_what_is_put_there_and_lets_it_be_replaced() {
    each(&Options::default(), |server| {
        server.file("in/a b.txt", "five!");
        let (mut control, _) = Control::open(connect(&server));
        control.log_in();
        assert!(control.ask("TYPE I").starts_with("200"));
        assert_eq!(control.ask("SIZE in/a b.txt"), "213 5");
        assert!(control.ask("MKD in/made").starts_with("257"));
        assert!(control.ask("RNFR in/a b.txt").starts_with("350"));
        assert!(control.ask("RNTO in/made/c.txt").starts_with("250"));
        assert_eq!(server.bytes("in/made/c.txt"), b"five!");
        let made = std::fs::metadata(server.root().join("in/made")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), UID);
    });
}

#[test]
fn each_server_speaks_the_newest_tls_with_a_certificate_that_holds() {
    each(&Options { tls: Tls::Explicit, require_tls: true, ..Options::default() }, |server| {
        let (mut plain, _) = Control::open(connect(&server));
        let login = [plain.ask("USER tester"), plain.ask("PASS open+sesame-21")];
        assert!(!login.concat().contains("230"), "a plain login: {login:?}");
        let version = log_in_with_explicit_tls(&server);
        assert_eq!(version, ProtocolVersion::TLSv1_3);
        assert!(server.url().starts_with("ftpes://"));
    });
}

#[test]
fn each_server_can_be_held_to_an_older_tls() {
    each(&Options { tls: Tls::Explicit, tls12_only: true, ..Options::default() }, |server| {
        assert_eq!(log_in_with_explicit_tls(&server), ProtocolVersion::TLSv1_2);
    });
}

fn log_in_with_explicit_tls(server: &RealServer) -> ProtocolVersion {
    let mut socket = connect(server);
    {
        let (mut control, _) = Control::open(&mut socket);
        let reply = control.ask("AUTH TLS");
        assert!(reply.starts_with("234"), "{reply}");
    }
    let mut control = Control(BufReader::new(secure(server, socket)));
    control.log_in();
    control.0.get_ref().conn.protocol_version().unwrap()
}

#[test]
fn data_that_do_not_resume_the_session_are_refused_only_where_they_must() {
    for tls_reuse in [false, true] {
        each(&Options { tls: Tls::Implicit, tls_reuse, ..Options::default() }, |server| {
            server.file("there.txt", "");
            let same = client(&server);
            let socket = connect(&server);
            let (mut control, _) = Control::open(secure_as(&server, &same, socket));
            control.log_in();
            control.ask("PBSZ 0");
            control.ask("PROT P");
            assert!(list(&server, &mut control, &same).starts_with("226"), "a resumed session");
            let end = list(&server, &mut control, &client(&server));
            assert_eq!(end.starts_with("226"), !tls_reuse, "a new session: {end}");
        });
    }
}

/// Returns the final reply to a listing whose data connection is secured by `client`.
fn list(server: &RealServer, control: &mut Control<Secure>, client: &Arc<ClientConfig>) -> String {
    let reply = control.ask("EPSV");
    let port = reply.split('|').nth(3).unwrap().parse().unwrap();
    let socket = TcpStream::connect((server.address().ip(), port)).unwrap();
    let begin = control.ask("LIST");
    if !begin.starts_with("150") {
        return begin;
    }
    let mut data = secure_as(server, client, socket);
    drop(std::io::copy(&mut data, &mut std::io::sink()));
    drop(data);
    control.reply()
}

#[test]
fn implicit_tls_begins_with_the_handshake() {
    each(&Options { tls: Tls::Implicit, ..Options::default() }, |server| {
        let (mut control, greeting) = Control::open(secure(&server, connect(&server)));
        assert!(greeting.starts_with("220"), "{greeting}");
        control.log_in();
        assert!(server.url().starts_with("ftps://"));
    });
}

#[test]
fn a_certificate_can_be_as_bad_as_a_test_wants_it() {
    for (certificate, trouble) in [
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "not valid for name"),
        (Certificate::SelfSigned, "UnknownIssuer"),
    ] {
        let options = Options { tls: Tls::Implicit, certificate, ..Options::default() };
        let Some(server) = RealServer::start(Kind::Proftpd, &options) else { return };
        let mut stream = secure(&server, connect(&server));
        let error = stream.conn.complete_io(&mut stream.sock).unwrap_err().to_string();
        assert!(error.contains(trouble), "{certificate:?}: {error}");
    }
}

#[test]
fn passive_ports_and_the_address_they_are_announced_with_are_those_of_the_options() {
    let ports = free_ports(8);
    let options = Options {
        passive_ports: Some(ports.clone()),
        passive_address: Some([192, 0, 2, 7].into()),
        ..Options::default()
    };
    each(&options, |server| {
        let (mut control, _) = Control::open(connect(&server));
        control.log_in();
        let reply = control.ask("PASV");
        let numbers: Vec<u16> = reply
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let [227, 192, 0, 2, 7, high, low] = *numbers else { panic!("{reply}") };
        assert!(ports.contains(&(high * 256 + low)), "{reply}");
    });
}

#[test]
fn a_mode_can_be_switched_off() {
    let passive = Options { no_passive: true, ..Options::default() };
    let active = Options { no_active: true, ..Options::default() };
    for (options, refused) in [(passive, "PASV"), (active, "PORT 127,0,0,1,200,200")] {
        each(&options, |server| {
            let (mut control, _) = Control::open(connect(&server));
            control.log_in();
            let reply = control.ask(refused);
            assert!(reply.starts_with('5'), "{reply}");
        });
    }
}

#[test]
fn one_session_too_many_is_turned_away() {
    each(&Options { sessions_max: Some(1), ..Options::default() }, |server| {
        let (mut first, greeting) = wait::until(START_TIME_MAX, || {
            let (control, greeting) = Control::open(connect(&server));
            greeting.starts_with("220").then_some((control, greeting))
        })
        .expect("a first session");
        assert!(greeting.starts_with("220"));
        first.log_in();
        let (mut second, greeting) = Control::open(connect(&server));
        let replies = [greeting, second.ask("USER tester"), second.ask("PASS open+sesame-21")];
        assert!(!replies.concat().contains("230"), "{replies:?}");
        assert!(replies.concat().contains("421"), "{replies:?}");
    });
}

#[test]
fn the_log_of_a_server_has_the_dialogue() {
    for kind in [Kind::Vsftpd, Kind::Proftpd] {
        let Some(server) = RealServer::start(kind, &Options::default()) else { return };
        let (mut control, _) = Control::open(connect(&server));
        control.log_in();
        control.ask("SIZE nothing-here");
        let told = wait::until(START_TIME_MAX, || {
            server.log().contains("SIZE nothing-here").then_some(())
        });
        assert!(told.is_some(), "{}", server.log());
    }
}

#[test]
#[should_panic(expected = "pure-ftpd does not have implicit TLS")]
fn a_server_is_not_asked_for_what_it_lacks() {
    drop(RealServer::start(Kind::PureFtpd, &Options { tls: Tls::Implicit, ..Options::default() }));
}
