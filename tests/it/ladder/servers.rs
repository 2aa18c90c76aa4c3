//! The three servers when they cannot come to us: passive mode carries the data, in the same session or in a new one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan::{
    fault::Outcome,
    ftp::{
        secret::Secret,
        session::{Context, Session},
        site::{self, Mode, Site},
        transfer::Text,
    },
    observe::{Event, Observer, Sink},
};

use crate::support::{
    net::Space,
    rehearsal::{path, put, run},
    server::{Kind, Options, RealServer, Tls},
};

/// Where the client listens, and where nobody comes through.
const PORTS: std::ops::RangeInclusive<u16> = 50_000..=50_010;

/// Counts sessions.
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
        site.tls = site::Tls::Explicit;
        site.trust.ca_file = Some(server.ca());
    }
    site
}

/// Some thousand bytes that no other transfer has.
fn sample(number: u8) -> Vec<u8> {
    (0..9_000_u32).map(|at| number.wrapping_add(at.to_le_bytes()[0])).collect()
}

/// One transfer that has to find its way, 20 more, and a second session; the number of logins of the first.
async fn transfers(site: Site, is_append: bool) -> Outcome<usize> {
    let logins = Arc::new(Logins::default());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Arc::clone(&logins))];
    let context = Context { observer: Observer::new(sinks), ..Context::default() };
    let mut session = Session::open(site, context).await?;
    if is_append {
        // On a file that is there, which vsftpd locks for whoever writes to it.
        session.append(&mut Text::new(&sample(0)), &path("/first")).await?;
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
    let mut second = session.another().await?;
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
            // Pure-FTPd listens nowhere on a machine that has nothing but a loopback.
            space
                .sh("ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.1/24 dev eth0");
            space.sh("ip link set eth0 up; ip link set eth1 up");
            // No other connection may come from or go to the ports that are closed.
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
                // One of the two is enough for each: they differ in what is written, not in how it gets there.
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
