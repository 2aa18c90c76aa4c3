//! Tests of TLS and its fault plans.

use std::{
    io::{ErrorKind, Write},
    sync::Arc,
};

use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    Scratch, TEXT,
    client::{Client, Secure, all, secure},
    faults::CASES,
    talks::TALKS,
};
use crate::{CertificateKind, FaultPlan, ServerTls, TestServer, TlsStart, Version};

/// The fault plans tested here.
const PLANS: [&str; 5] = ["tls-refused", "tls-inject", "prot-refused", "tls-no-close", "tls-reuse"];

/// Returns a client configuration that trusts the server's authority and remembers its sessions.
fn trusting(server: &TestServer) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn scratch(tls: ServerTls, plans: &[&str]) -> Scratch {
    Scratch::with(|setup| {
        setup.tls = Some(tls);
        setup.plans = plans.iter().map(|plan| FaultPlan::parse(plan).unwrap()).collect();
    })
}

/// Returns a client under TLS with private data connections, logged in.
fn private(scratch: &Scratch) -> (Client, Arc<ClientConfig>) {
    let config = trusting(&scratch.server);
    let mut client = Client::connect(scratch.server.address());
    client.reply();
    assert_eq!(client.ask("AUTH TLS"), "234 Proceed with negotiation.");
    client.secure(&config, "localhost").unwrap();
    client.login();
    assert_eq!(client.ask("PROT P"), "503 PBSZ comes first.");
    assert_eq!(client.ask("PBSZ 0"), "200 PBSZ=0");
    assert_eq!(client.ask("PROT P"), "200 Protection set to P.");
    (client, config)
}

/// Opens a passive data connection under TLS, once the server has sent 150 to the command.
fn begin(client: &mut Client, config: &Arc<ClientConfig>, command: &str) -> Secure {
    let data = client.passive();
    client.begin(command);
    secure(data, config, "localhost").unwrap()
}

/// Ends an upload properly: `close_notify`, then everything that the server still sends.
fn farewell(mut data: Secure) {
    data.conn.send_close_notify();
    data.flush().unwrap();
    data.sock.shutdown(std::net::Shutdown::Write).unwrap();
    all(data).unwrap();
}

#[test]
fn data_connections_resume_the_session_of_the_control_connection() {
    for (version_max, version) in
        [(Version::Tls12, ProtocolVersion::TLSv1_2), (Version::Tls13, ProtocolVersion::TLSv1_3)]
    {
        let scratch = scratch(ServerTls { version_max, ..ServerTls::default() }, &["tls-reuse"]);
        let (mut client, config) = private(&scratch);
        for _ in 0..10 {
            let mut data = begin(&mut client, &config, "RETR a.txt");
            assert_eq!(data.conn.protocol_version(), Some(version));
            assert_eq!(all(&mut data).unwrap(), TEXT);
            assert_eq!(data.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_eq!(client.reply(), "226 Transfer complete.");

            let mut data = begin(&mut client, &config, "STOR b");
            data.write_all(TEXT).unwrap();
            farewell(data);
            assert_eq!(client.reply(), "226 Transfer complete.");
            assert_eq!(scratch.read("b"), TEXT);
        }
        // Another session store does not know this session: a full handshake.
        let stranger = trusting(&scratch.server);
        drop(begin(&mut client, &stranger, "RETR a.txt"));
        assert!(client.reply().starts_with("522"));
    }
}

#[test]
fn active_mode_works_under_tls() {
    let scratch = scratch(ServerTls::default(), &[]);
    let (mut client, config) = private(&scratch);
    let listener = client.active();
    client.begin("MLSD");
    let data = secure(listener.accept().unwrap().0, &config, "localhost").unwrap();
    assert!(all(data).unwrap().starts_with(b"type=cdir;"));
    assert_eq!(client.reply(), "226 Transfer complete.");
}

#[test]
fn tls_can_begin_with_the_connection() {
    let scratch = scratch(ServerTls { start: TlsStart::Implicit, ..ServerTls::default() }, &[]);
    let mut client = Client::connect(scratch.server.address());
    client.secure(&trusting(&scratch.server), "127.0.0.1").unwrap();
    assert!(client.reply().starts_with("220"));
    client.login();
    assert_eq!(client.ask("AUTH TLS"), "503 TLS is active already.");
    assert!(client.ask("FEAT").contains("| PROT|"));
}

#[test]
fn a_server_that_wants_tls_takes_nothing_in_clear() {
    let scratch = scratch(ServerTls { required: true, ..ServerTls::default() }, &[]);
    let mut client = Client::connect(scratch.server.address());
    client.reply();
    assert_eq!(client.ask("USER me"), "530 Sessions must use encryption.");
    assert_eq!(client.ask("AUTH KRB"), "504 Unknown AUTH type.");
    client.ask("AUTH TLS");
    client.secure(&trusting(&scratch.server), "::1").unwrap();
    client.login();
    let _data = client.passive();
    assert_eq!(client.ask("NLST"), "521 Data connections must be encrypted.");
}

#[test]
fn certificates_are_as_good_as_they_were_ordered() {
    let error = |certificate, name: &str| {
        let names = vec!["ftp.example.com".to_owned()];
        let scratch = scratch(ServerTls { certificate, names, ..ServerTls::default() }, &[]);
        let mut client = Client::connect(scratch.server.address());
        client.reply();
        client.ask("AUTH TLS");
        client.secure(&trusting(&scratch.server), name).err().map(|error| error.to_string())
    };
    assert_eq!(error(CertificateKind::Good, "ftp.example.com"), None);
    for (certificate, name, word) in [
        (CertificateKind::Good, "other.example.com", "not valid for name"),
        (CertificateKind::Expired, "localhost", "expired"),
        (CertificateKind::WrongName, "localhost", "not valid for name"),
        (CertificateKind::SelfSigned, "localhost", "UnknownIssuer"),
    ] {
        let message = error(certificate, name).unwrap();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn commands_that_come_with_auth_in_one_packet_end_the_session() {
    let scratch = scratch(ServerTls::default(), &[]);
    let mut client = Client::connect(scratch.server.address());
    client.reply();
    assert_eq!(client.ask("AUTH TLS\r\nUSER me"), "234 Proceed with negotiation.");
    assert_eq!(client.reply(), "(end)");
}

#[test]
fn an_upload_without_farewell_is_not_whole() {
    let scratch = scratch(ServerTls::default(), &[]);
    let (mut client, config) = private(&scratch);
    let mut data = begin(&mut client, &config, "STOR b");
    data.write_all(TEXT).unwrap();
    data.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply(), "426 Connection closed; transfer aborted.");
}

#[test]
fn a_download_can_end_without_farewell() {
    let scratch = scratch(ServerTls::default(), &["tls-no-close"]);
    let (mut client, config) = private(&scratch);
    let data = begin(&mut client, &config, "RETR a.txt");
    assert_eq!(all(data).unwrap_err(), ErrorKind::UnexpectedEof);
    assert_eq!(client.reply(), "226 Transfer complete.");
}

#[test]
fn a_reset_cuts_tls_as_well() {
    let scratch = scratch(ServerTls::default(), &["drop-after=4"]);
    let (mut client, config) = private(&scratch);
    let data = begin(&mut client, &config, "RETR a.txt");
    assert!(all(data).is_err());
    assert_eq!(client.reply(), "426 Connection closed; transfer aborted.");
}

#[test]
fn a_reply_can_be_smuggled_behind_auth() {
    let scratch = scratch(ServerTls::default(), &["tls-inject"]);
    let mut client = Client::connect(scratch.server.address());
    client.reply();
    assert_eq!(client.ask("AUTH TLS"), "234 Proceed with negotiation.");
    assert_eq!(client.reply(), "230 in");
    client.secure(&trusting(&scratch.server), "localhost").unwrap();
    client.login();
}

#[test]
fn tls_and_protection_can_be_refused() {
    let refusing = scratch(ServerTls::default(), &["tls-refused"]);
    let mut client = refusing.client();
    assert_eq!(client.ask("AUTH TLS"), "500 Unknown command.");
    let refusing = scratch(ServerTls::default(), &["prot-refused"]);
    let mut client = refusing.client();
    assert_eq!(client.ask("PROT P"), "534 Request denied for policy reasons.");
}

#[test]
fn no_plan_is_without_a_test() {
    let name = |plan: &'static str| plan.split(['=', '*', '@']).next().unwrap();
    let tested: Vec<_> = TALKS
        .iter()
        .map(|(plan, _)| name(plan))
        .chain(CASES.iter().map(|(plan, _)| name(plan)))
        .chain(PLANS)
        .collect();
    for (plan, _) in FaultPlan::ALL {
        assert!(tested.contains(plan), "{plan}");
    }
}
