//! The three servers when they cannot connect to the client: passive mode carries the data, in the same session or in a
//! new one.

use portolan::remote::fs::RemoteFs as _;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan::{
    error::Result,
    ftp::{
        secret::Secret,
        session::{RunContext, Session},
        site::{self, Mode, Site},
        transfer::MemorySource,
    },
    observe::{Event, EventEmitter, Sink},
};

use crate::support::{
    net::Space,
    rehearsal::{path, put, run},
    server::{Kind, Options, RealServer, Tls},
};

/// The ports on which the client listens, and which are blocked.
const PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_010;

/// A sink that counts logins.
#[derive(Default)]
struct Logins(AtomicUsize);

impl Sink for Logins {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Connected { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn site(server: &RealServer, tls: Tls) -> Site {
    let mut site = Site::new(server.address().ip().to_string());
    site.port = server.address().port();
    site.user = RealServer::USER.into();
    site.password = Some(Secret::new(RealServer::PASSWORD));
    site.mode = Mode::Active;
    site.port_range = Some(PORTS);
    if tls == Tls::Explicit {
        site.tls = site::TlsMode::Explicit;
        site.trust.ca_file = Some(server.ca());
    }
    site
}

/// Returns some thousand bytes that no other transfer has.
fn sample(number: u8) -> Vec<u8> {
    (0..9_000_u32).map(|at| number.wrapping_add(at.to_le_bytes()[0])).collect()
}

/// Runs one transfer that needs the fallback, 20 more, and a second session; returns the number of logins of the first.
async fn transfers(site: Site, is_append: bool) -> Result<usize> {
    let logins = Arc::new(Logins::default());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Arc::clone(&logins))];
    let context = RunContext { observer: EventEmitter::new(sinks), ..RunContext::default() };
    let mut session = Session::open(site, context).await?;
    if is_append {
        // On an existing file, which vsftpd locks for the session that writes to it.
        session.append(&mut MemorySource::new(&sample(0)), &path("/first")).await?;
    } else {
        put(&mut session, "/first", &sample(0)).await?;
    }
    let count = logins.0.load(Ordering::Relaxed);
    let tries = session.attempts().len();
    for number in 1..=10 {
        let name = format!("/{number}");
        put(&mut session, &name, &sample(number)).await?;
        assert!(session.read(&path(&name), u64::MAX).await? == sample(number), "{name}");
    }
    assert!(session.read(&path("/first"), u64::MAX).await? == sample(0));
    assert_eq!(session.attempts().len(), tries + 21, "no further try was in vain");
    let mut second = session.open_sibling().await?;
    assert!(second.read(&path("/7"), u64::MAX).await? == sample(7));
    let steps: Vec<_> = second.attempts().iter().map(|attempt| attempt.step).collect();
    assert_eq!(steps, ["epsv"], "the second session begins where the first one ended");
    session.close().await;
    second.close().await;
    Ok(count)
}

fn without_a_way_back(kind: Kind) {
    for tls in [Tls::Off, Tls::Explicit] {
        for (verdict, logins) in [("reject with tcp reset", 1), ("drop", 2)] {
            let Some(space) = Space::open() else { return };
            let (first, last) = (PORTS.start(), PORTS.end());
            let rules = format!(
                "table inet t {{
                    chain c {{
                        type filter hook input priority filter
                        tcp dport {first}-{last} {verdict}
                    }}
                }}"
            );
            space.try_rules(&rules).unwrap();
            // Pure-FTPd does not listen on a host that has only a loopback interface.
            space
                .sh("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0");
            space.sh("ip link set eth0 up; ip link set eth1 up");
            // No other connection may use the ports that are closed.
            space.sh("echo 20000 40000 >/proc/sys/net/ipv4/ip_local_port_range");
            space.within(|| {
                let options = Options {
                    tls,
                    require_tls: tls != Tls::Off,
                    passive_ports: Some(40_001..=45_000),
                    ..Options::default()
                };
                let Some(server) = RealServer::start(kind, &options) else { return };
                let what = format!("{} {tls:?} {verdict}", kind.program());
                // One of the two is enough for each: they differ in the command, not in the data connection.
                let is_append = tls == Tls::Off;
                server.file("first", "");
                let count = run(transfers(site(&server, tls), is_append))
                    .unwrap_or_else(|fault| panic!("{what}: {fault:?}\n{}", server.log()));
                assert_eq!(count, logins, "{what}: sessions\n{}", server.log());
            });
        }
    }
}

#[test]
fn vsftpd_that_cannot_come_to_us_is_gone_to() {
    without_a_way_back(Kind::Vsftpd);
}

#[test]
fn proftpd_that_cannot_come_to_us_is_gone_to() {
    without_a_way_back(Kind::Proftpd);
}

#[test]
fn pure_ftpd_that_cannot_come_to_us_is_gone_to() {
    without_a_way_back(Kind::PureFtpd);
}
