//! Advice to administrators, carried out: each printed command is run by the program it is for, in the network that it
//! was printed for. Then the transfer works, and a port that no rule names is still refused.
//!
//! Not run, since nothing on Debian understands them: netsh and PowerShell of Windows, the settings of IIS and FileZilla
//! Server, `RouterOS`, `uci` of `OpenWrt`, `pf.conf`, and the security groups of clouds, as Terraform. Nor `modprobe`, since
//! the kernel is not the test's own, nor `--sysctl` of containers, since there are none. Of the formats, the
//! unit tests of `portolan_nat::suggest` compare the text.

mod history;
mod imported;
mod kinds;
mod outbound;
mod pinholes;
mod printed;
mod recognized;
mod software;
mod suggested;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::support::{net::Space, program::Portolan, program::Ran, rehearsal::Rehearsal, wait};

/// The server's addresses.
const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The client's addresses.
const CLIENT: &str = "203.0.113.30";
const CLIENT6: &str = "2001:db8::30";
/// A service besides FTP, which no command may open.
const DATABASE: u16 = 3306;
/// The time after which a silent port counts as closed.
const SILENCE: Duration = Duration::from_millis(700);

/// A client and a server's host in one segment; the server's passive range is 50000-50009, the client's own ports are
/// 40000-40009.
struct Segment {
    client: Space,
    host: Space,
}

impl Segment {
    fn lay() -> Option<Self> {
        let (client, host) = (Space::open()?, Space::open()?);
        client.wire("eth0", &host, "eth1");
        client.sh(&format!(
            "{}; ip addr add {CLIENT}/24 dev eth0; ip addr add {CLIENT6}/64 dev eth0 nodad",
            link_local("eth0", 1)
        ));
        host.sh(&link_local("eth1", 2));
        host.sh(&format!(
            "ip addr add {HOST}/24 dev eth1; ip addr add {HOST6}/64 dev eth1 nodad
             ip route add default via 203.0.113.1 dev eth1
             echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range"
        ));
        Some(Self { client, host })
    }

    /// Starts a server on the host.
    fn serve(&self, address: impl Into<IpAddr>) -> Served {
        let address = SocketAddr::new(address.into(), 21);
        let database = SocketAddr::new(address.ip(), DATABASE);
        let name = address.ip().to_string();
        let (server, database) = self.host.within(|| {
            let server = Rehearsal::start_at(address, &name, &[], false);
            (server, TcpListener::bind(database).unwrap())
        });
        server.file("a", "hello");
        Served { server, database }
    }

    /// Reads a file of the server from the client, in one mode.
    fn fetches(&self, mode: &str, host: IpAddr) -> Ran {
        let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
        self.fetches_at(mode, &host)
    }

    /// Does so from a host and port in the notation of a URL.
    fn fetches_at(&self, mode: &str, place: &str) -> Ran {
        let url = format!("ftp://tester@{place}");
        let program = Portolan::new().env("SITE", url).script(FETCH).args([mode]);
        self.client.within(|| program.run())
    }

    /// Checks that no file comes through.
    #[track_caller]
    fn is_closed(&self, mode: &str, host: IpAddr) {
        self.fetches(mode, host).fails_with(4).stdout("").any_stderr();
    }

    /// Checks that a file comes through, in that mode.
    #[track_caller]
    fn is_open(&self, mode: &str, host: IpAddr) {
        self.fetches(mode, host).succeeds().stdout("hello\n").any_stderr();
    }
}

/// Returns commands that give an interface a link-local address, in use at once: it is not looked for elsewhere first.
fn link_local(device: &str, number: u8) -> String {
    format!(
        "ip -6 addr flush dev {device} scope link; ip -6 addr add fe80::{number}/64 dev {device} nodad"
    )
}

/// A server that runs, and the service besides.
struct Served {
    server: Rehearsal,
    database: TcpListener,
}

impl Served {
    /// Returns true if the client reaches the service besides.
    fn database_answers(&self, client: &Space) -> bool {
        let address = self.database.local_addr().unwrap();
        client.within(|| TcpStream::connect_timeout(&address, SILENCE).is_ok())
    }

    /// Checks that the client reaches the service besides: a closed port would be no proof.
    #[track_caller]
    fn is_reached(&self, client: &Space) {
        let patience = Duration::from_secs(20);
        let reached = wait::until(patience, || self.database_answers(client).then_some(()));
        assert!(reached.is_some());
    }

    /// Returns the address of the server.
    fn address(&self) -> IpAddr {
        self.server.server.address().ip()
    }
}

const FETCH: &str = r#"
let site = ftp::connect(env("SITE"), #{
    password: "open+sesame-21", mode: args[0], fallback: false, connect_timeout: "1s",
    port_range: "40000-40009",
});
print(site.read("/a"));
"#;

/// Returns what `nat::suggest` prints on a host, with these options.
fn suggested(space: &Space, options: &str) -> String {
    let script = format!("print(nat::suggest(#{{ {options} }}));");
    let ran = space.within(|| Portolan::new().script(&script).run()).succeeds();
    let text = ran.stdout_text().to_owned();
    drop(ran.any_stdout());
    text
}
