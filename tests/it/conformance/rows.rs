//! Many transfers in a row where each TLS data connection must resume the session of its control connection
//! (security class S48).

use portolan::ftp::{
    session::{RunContext, Session},
    site::Mode,
};
use portolan::remote::fs::RemoteFs as _;

use super::{Cell, Stand, options, path, run, sample, site};
use crate::support::server::{Kind, RealServer, Tls};

/// Returns the server's log of `count` transfers up and down; `None` if there is no such server.
fn in_a_row(kind: Kind, mode: Mode, count: usize, tls12_only: bool) -> Option<String> {
    let cell = Cell { kind, tls: Tls::Explicit, mode, ipv6: false };
    let server = RealServer::start(kind, &options(kind, Tls::Explicit, false))?;
    let mut site = site(&server, cell);
    site.trust.tls12_only = tls12_only;
    let bytes = sample(10_000);
    let work = async {
        let session = Session::open(site, RunContext::default()).await?;
        let mut stand = Stand { server: &server, session, cell };
        for number in 0..count {
            let moved = stand.put(&format!("/{number}"), &bytes).await?;
            assert!(moved.verified);
        }
        for number in 0..count {
            assert!(stand.bytes(&format!("/{number}")).await? == bytes);
        }
        stand.session.mkdir(&path("/a")).await.map(drop)
    };
    let result: Result<(), portolan::error::Error> = run(work);
    if let Err(fault) = result {
        panic!("{cell}: {fault:?}\n{}", server.log());
    }
    Some(server.log())
}

#[test]
fn s48_a_hundred_files_each_way_where_vsftpd_wants_tls_sessions_resumed() {
    for tls12_only in [false, true] {
        in_a_row(Kind::Vsftpd, Mode::Passive, 100, tls12_only);
    }
    in_a_row(Kind::Vsftpd, Mode::Active, 100, false);
}

#[test]
fn s48_a_hundred_files_each_way_where_proftpd_wants_tls_sessions_resumed() {
    for mode in [Mode::Passive, Mode::Active] {
        // It issues no ticket for an upload under TLS 1.3: one more login, with TLS 1.2, and that is remembered.
        let Some(log) = in_a_row(Kind::Proftpd, mode, 100, false) else { return };
        assert_eq!(log.matches("PASS (hidden) -> 230").count(), 2, "{log}");
    }
}
