//! Guards against behaviour that only real servers show, all of which was found with ProFTPD.

use portolan::remote::fs::RemoteFs as _;
use std::time::{Duration, Instant};

use portolan::{
    error::Error,
    ftp::{
        session::{RunContext, Session},
        site::Mode,
    },
};

use super::{Cell, Stand, options, run, sample, site};
use crate::support::server::{Kind, RealServer, Tls};

/// Less than the 11 s for which the server waits if a data connection is held open after the last byte.
const LINGER: Duration = Duration::from_secs(8);

#[test]
fn guard_04_a_download_has_ended_when_its_bytes_have() {
    let Some(server) = RealServer::start(Kind::Proftpd, &options(Kind::Proftpd, Tls::Off, false))
    else {
        return;
    };
    server.file("a", sample(100_000));
    for mode in [Mode::Passive, Mode::Active] {
        let cell = Cell { kind: Kind::Proftpd, tls: Tls::Off, mode, ipv6: false };
        let quickest = run(async {
            let session = Session::open(site(&server, cell), RunContext::default()).await?;
            let mut stand = Stand { server: &server, session, cell };
            let mut quickest = Duration::MAX;
            for _ in 0..3 {
                let started = Instant::now();
                assert!(stand.bytes("/a").await? == sample(100_000), "{cell}");
                quickest = quickest.min(started.elapsed());
            }
            Ok::<_, Error>(quickest)
        });
        let quickest = quickest.unwrap_or_else(|fault| panic!("{cell}: {fault:?}"));
        assert!(quickest < LINGER, "{cell}: {quickest:?}");
    }
}

#[test]
fn guard_06_sessions_at_the_same_time_resume_each_its_own_tls_session() {
    let options = options(Kind::Proftpd, Tls::Explicit, false);
    let Some(server) = RealServer::start(Kind::Proftpd, &options) else { return };
    for tls12_only in [true, false] {
        let mode = Mode::Passive;
        let cell = Cell { kind: Kind::Proftpd, tls: Tls::Explicit, mode, ipv6: false };
        let mut site = site(&server, cell);
        site.trust.tls12_only = tls12_only;
        server.file("a", sample(10_000));
        let work = async {
            let first = Session::open(site, RunContext::default()).await?;
            let sessions = [first.open_sibling().await?, first.open_sibling().await?, first];
            let mut stands = sessions.map(|session| Stand { server: &server, session, cell });
            for _ in 0..4 {
                for stand in &mut stands {
                    assert!(stand.bytes("/a").await? == sample(10_000), "{cell}");
                }
            }
            Ok::<_, Error>(())
        };
        run(work).unwrap_or_else(|fault| panic!("{cell}: {fault:?}\n{}", server.log()));
        assert!(!server.log().contains("-> 425"), "{}", server.log());
    }
}
