//! Tests of TLS that is refused, stripped, forged or cut (security classes C13 and C15).

use super::{bench, bench_with, get, path, put};
use crate::{
    listing::Modified,
    tls::TlsContext,
    transfer::{BoundedBuffer, RemoteMeta, TransferHints},
};
use portolan_core::error::ErrorKind;
use portolan_testserver::{CertificateKind, ServerTls, TlsStart};

#[tokio::test]
async fn s30_without_tls_no_name_and_no_password_is_sent() {
    for plan in [
        "tls-refused",
        "reply=AUTH:502 no",
        "reply=AUTH:530 no",
        "reply=AUTH:334 more",
        "hang-up=AUTH",
        "busy-421=AUTH",
    ] {
        let bench = bench(&[plan], true);
        let error = bench.open().await.unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Tls | ErrorKind::Unreachable | ErrorKind::Busy),
            "{plan}: {error}"
        );
        assert_eq!(bench.count("USER") + bench.count("PASS"), 0, "{plan}");
    }
    // A server that accepts clients without a login must switch to TLS first all the same.
    let welcome = bench(&["greeting=230 come in"], true);
    welcome.open().await.unwrap();
    assert_eq!(welcome.commands()[..3], ["AUTH TLS", "PBSZ 0", "PROT P"]);
}

#[tokio::test]
async fn s31_a_reply_behind_the_234_is_an_attack() {
    let bench = bench(&["tls-inject"], true);
    let error = bench.open().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    assert_eq!(bench.count("USER"), 0);
}

#[tokio::test]
async fn s32_nothing_is_asked_before_tls() {
    for start in [TlsStart::Explicit, TlsStart::Implicit] {
        let bench = bench_with(&[], Some(ServerTls { start, ..ServerTls::default() }));
        let session = bench.open().await.unwrap();
        assert!(session.features().contains_key("MLST"));
        let commands = bench.commands();
        let first = if start == TlsStart::Explicit { "AUTH TLS" } else { "PBSZ 0" };
        assert_eq!(commands[0], first);
        assert_eq!(bench.count("FEAT"), 1, "{commands:?}");
    }
}

#[tokio::test]
async fn s33_data_is_never_sent_clear_when_protection_is_refused() {
    for start in [TlsStart::Explicit, TlsStart::Implicit] {
        let bench =
            bench_with(&["prot-refused"], Some(ServerTls { start, ..ServerTls::default() }));
        let error = bench.open().await.unwrap_err();
        assert_eq!((error.kind, error.code), (ErrorKind::Tls, 534), "{error}");
        assert_eq!(bench.count("USER"), 0);
    }
}

#[tokio::test]
async fn s34_a_certificate_that_proves_nothing_is_refused_unless_it_is_told_to_be_believed() {
    for (certificate, words) in [
        (CertificateKind::Expired, "expired"),
        (CertificateKind::WrongName, "wrong.example"),
        (CertificateKind::SelfSigned, "unknown authority"),
        (CertificateKind::Authority, "`ca_file`, if its SHA-256 at the server is "),
    ] {
        let mut bench = bench_with(&[], Some(ServerTls { certificate, ..ServerTls::default() }));
        if certificate == CertificateKind::SelfSigned {
            // It is signed by itself, and the user has not named that authority.
            let other = super::bench(&[], true);
            bench.site.trust.ca_pem = Some(other.server.ca_pem().to_owned());
        }
        let error = bench.open().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Tls, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert_eq!(bench.count("USER"), 0);
        bench.site.trust.insecure = true;
        bench.open().await.unwrap();
        bench.site.trust.insecure = false;
        bench.site.trust.pin = Some([7; 32]);
        let error = bench.open().await.unwrap_err();
        assert!(error.message.contains("pinned"), "{error}");
    }
}

#[tokio::test]
async fn s37_tls_that_ends_without_its_end_is_cut_off() {
    let bench = bench(&["tls-no-close"], true);
    bench.file("a", "new bytes");
    let mut session = bench.open().await.unwrap();
    let (moved, bytes) = get(&mut session, "/a").await;
    let error = moved.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DataConnection, "{error}");
    assert_eq!(bytes, b"old");
    // A listing cut like that counts as none.
    let error = session.list(&path("/")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DataConnection, "{error}");
}

#[tokio::test]
async fn sessions_are_resumed_where_the_server_demands_it() {
    for start in [TlsStart::Explicit, TlsStart::Implicit] {
        let bench = bench_with(&["tls-reuse"], Some(ServerTls { start, ..ServerTls::default() }));
        let mut session = bench.open().await.unwrap();
        for number in 0..20 {
            put(&mut session, &format!("/{number}"), b"x").await.unwrap();
            assert_eq!(get(&mut session, &format!("/{number}")).await.1, b"x");
        }
        assert_eq!(bench.count("USER"), 1);
    }
}

#[tokio::test]
async fn the_time_of_a_file_is_learnt_even_if_its_download_needs_tls_1_2() {
    let bench = bench(&["tls-reuse"], true);
    bench.file("a", "bytes");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    std::fs::File::options()
        .append(true)
        .open(bench.folder.path().join("a"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let mut session = bench.open().await.unwrap();
    // No TLS session is left that the data connection could resume.
    session.security = session.security.as_ref().map(TlsContext::fresh);
    let mut kept = BoundedBuffer { bytes: Vec::new(), limit: 9 };
    let known = RemoteMeta { size: Some(5), ..RemoteMeta::default() };
    let hints = TransferHints { wants_mtime: true, ..TransferHints::default() };
    let moved = session.read_through(&path("/a"), &mut kept, known, hints).await.unwrap();
    assert_eq!((&kept.bytes[..], bench.count("USER"), bench.count("MDTM")), (&b"bytes"[..], 2, 1));
    assert_eq!(session.control.tls().as_deref(), Some("TLSv1.2"));
    let Some(Modified::Utc(learnt, _)) = moved.modified else { panic!("{moved:?}") };
    assert_eq!(learnt.as_second(), 1_600_000_000);
}
