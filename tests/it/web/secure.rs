//! The page by HTTPS.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::client::{Answer, Site};
use crate::{
    serve::scheduler::on_request,
    support::certificates::{self, Certificate},
};

/// Sends a request by TLS, and returns the response.
fn fetch(address: &str, ca: &Path, head: &str) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    stream.write_all(head.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // It ends without a close of TLS; the length of the body tells that it is whole.
    stream.read_to_end(&mut bytes).ok();
    Answer::read(&bytes)
}

#[test]
fn the_page_is_served_by_https_and_its_cookie_stays_there() {
    let keys = tempfile::tempdir().unwrap();
    let files = certificates::write(Certificate::Good, keys.path());
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&files.key, mode(0o600)).unwrap();
    let runner = format!(
        "listen_cert = \"{}\"\nlisten_key = \"{}\"",
        files.certificate.display(),
        files.key.display()
    );
    let site = Site::start(&runner, &on_request("a", ""));
    assert!(site.said().contains("page at https://"), "{}", site.said());
    let token = site.token("alice", "operate");
    let head = format!(
        "GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    assert_eq!(fetch(&site.address, &files.ca, &head).is(200)[0]["job"], "a");
    let body = format!("token={token}&next=%2F");
    let log_in = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = fetch(&site.address, &files.ca, &log_in);
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"), "{answer:?}");
    // What is not TLS gets no answer.
    let mut plain = TcpStream::connect(&site.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).ok();
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    drop(site.stop());
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let job = on_request("a", "");
    for (cert, key) in
        [("missing.pem", ""), ("portolan.toml", ""), ("a.rhai", "listen_key = \"a.rhai\"")]
    {
        let jobs = format!("listen = \"127.0.0.1:0\"\nlisten_cert = \"{cert}\"\n{key}\n{job}");
        let scheduler = crate::serve::scheduler::Scheduler::new(&jobs);
        scheduler.file("a.rhai", "");
        let ran = scheduler.serve(&[]).run().any_code().any_stderr();
        assert_ne!(ran.code(), 0, "{cert}");
        assert!(ran.stderr_text().contains("error: "), "{}", ran.stderr_text());
    }
}
