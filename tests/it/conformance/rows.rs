//! Many transfers in a row where each TLS data connection must resume the session of its control connection
//! (security class S48).

use portolan::ftp::{
    session::{Context, Session},
    site::Mode,
};

use super::{Cell, Stand, options, path, run, sample, site};
use crate::support::server::{Kind, RealServer, Tls};

fn in_a_row(kind: Kind, mode: Mode, count: usize, tls12_only: bool) {
    let cell = Cell { kind, tls: Tls::Explicit, mode, ipv6: false };
    let Some(server) = RealServer::start(kind, &options(kind, Tls::Explicit, false)) else {
        return;
    };
    let mut site = site(&server, cell);
    site.trust.tls12_only = tls12_only;
    let bytes = sample(10_000);
    let work = async {
        let session = Session::open(site, Context::default()).await?;
        let mut stand = Stand { server: &server, session, cell };
        for number in 0..count {
            let moved = stand.put(&format!("/{number}"), &bytes).await?;
            assert!(moved.verified);
        }
        for number in 0..count {
            assert!(stand.bytes(&format!("/{number}")).await? == bytes);
        }
        stand.session.mkdir(&path("/a")).await
    };
    let result: Result<(), portolan::fault::Fault> = run(work);
    if let Err(fault) = result {
        panic!("{cell}: {fault:?}\n{}", server.log());
    }
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
        in_a_row(Kind::Proftpd, mode, 100, false);
    }
}
