//! The networks of the matrix: two routers whose rules portolan applies, and vsftpd behind them.
//!
//! ```text
//! client 192.168.50.10 -- lan [router] wan 203.0.113.1 -- 203.0.113.10 server
//! client 2001:db8:50::10           2001:db8:113::1        2001:db8:113::10
//!
//! behind NAT:                      … -- 203.0.113.10 wan [gate] lan 10.77.0.1 -- 10.77.0.10 server
//!                                       2001:db8:113::10            fd77::1      fd77::10
//!                                                                             -- 10.77.0.11 neighbour
//! ```

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
};

use tempfile::TempDir;

use crate::support::{
    net::Space,
    program::Portolan,
    server::{Kind, Options, RealServer, Tls, say_skipped},
};

/// The addresses at which clients reach the server, with or without NAT.
const OUTSIDE: Addresses = Addresses {
    v4: Ipv4Addr::new(203, 0, 113, 10),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10),
};
/// The private addresses of a server behind NAT.
const INSIDE: Addresses = Addresses {
    v4: Ipv4Addr::new(10, 77, 0, 10),
    v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x10),
};

struct Addresses {
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Addresses {
    fn of(&self, server: Server) -> SocketAddr {
        let ip = if server.is_ipv6 { IpAddr::from(self.v6) } else { self.v4.into() };
        SocketAddr::new(ip, server.port)
    }
}

/// A host of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Client,
    Router,
    Gate,
    Server,
    Neighbour,
}

/// The configuration of the server.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the server")]
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) is_ipv6: bool,
    /// True if the server is behind NAT.
    pub(super) is_behind: bool,
    /// True if its data connections of active mode come from port 20.
    pub(super) is_from_20: bool,
    /// True if it does not know EPSV.
    pub(super) has_pasv_only: bool,
    /// True if it announces the external address in its replies to PASV.
    pub(super) is_announcing: bool,
    /// True if it has a route to the client's own network, which is then not hidden.
    pub(super) is_routed: bool,
}

/// A plain server on IPv4 with a public address.
pub(super) const PUBLIC: Server = Server {
    port: 21,
    is_tls: false,
    is_ipv6: false,
    is_behind: false,
    is_from_20: false,
    has_pasv_only: false,
    is_announcing: false,
    is_routed: false,
};

/// The lab; removed on drop.
pub(super) struct Lab {
    spaces: Vec<(Place, Space)>,
    pub(super) server: RealServer,
    /// The address at which clients reach the server.
    pub(super) address: SocketAddr,
    states: TempDir,
}

impl Lab {
    /// Sets it up without any rules. `None` if that is impossible here, which has then been reported.
    pub(super) fn lay(wanted: Server) -> Option<Self> {
        let (client, router, host) = (Space::open()?, Space::open()?, Space::open()?);
        client.wire("eth0", &router, "lan");
        client.sh(
            "ip addr add 192.168.50.10/24 dev eth0; ip route add default via 192.168.50.1
            ip addr add 2001:db8:50::10/64 dev eth0 nodad; ip route add default via 2001:db8:50::1",
        );
        router
            .sh("ip addr add 192.168.50.1/24 dev lan; ip addr add 2001:db8:50::1/64 dev lan nodad");
        let mut spaces = Vec::new();
        if wanted.is_behind {
            let (gate, neighbour) = (Space::open()?, Space::open()?);
            router.wire("wan", &gate, "wan");
            lay_inside(&gate, &host, &neighbour);
            spaces.extend([(Place::Gate, gate), (Place::Neighbour, neighbour)]);
        } else {
            router.wire("wan", &host, "eth0");
            host.sh("ip addr add 203.0.113.10/24 dev eth0
                ip addr add 2001:db8:113::10/64 dev eth0 nodad");
        }
        router
            .sh("ip addr add 203.0.113.1/24 dev wan; ip addr add 2001:db8:113::1/64 dev wan nodad");
        // Its ephemeral ports are in no range of the tests.
        router.sh("echo 55000 60999 >/proc/sys/net/ipv4/ip_local_port_range");
        if wanted.is_routed {
            host.sh("ip route add 2001:db8:50::/64 via 2001:db8:113::1");
        }
        let inside = if wanted.is_behind { INSIDE } else { OUTSIDE };
        let listen = inside.of(wanted);
        let server = host.within(|| RealServer::start(Kind::Vsftpd, &options(wanted, listen)))?;
        spaces.extend([(Place::Client, client), (Place::Router, router), (Place::Server, host)]);
        let address = OUTSIDE.of(wanted);
        Some(Self { spaces, server, address, states: TempDir::new().unwrap() })
    }

    pub(super) fn space(&self, place: Place) -> &Space {
        let found = self.spaces.iter().find(|(other, _)| *other == place);
        found.map(|(_, space)| space).unwrap()
    }

    /// Makes portolan apply these rules on a host, and checks that a second plan is empty. Returns false if the kernel
    /// does not support them, which is then reported.
    pub(super) fn rule(&self, place: Place, rules: &str) -> bool {
        let script = format!("let rules = nat::ruleset(\"row\");\n{rules}\nrules.apply();\n");
        let state = self.states.path().join(format!("{place:?}"));
        for (verb, said) in [("apply", "row: applied\n"), ("plan", "\nNo changes. ")] {
            let program = Portolan::new().file("rules.rhai", &script);
            let program = program.env("PORTOLAN_STATE", &state).args(["nat", verb, "rules.rhai"]);
            let ran = self.space(place).within(|| program.run());
            if ran.stderr_text().contains("(nat.helper_missing)") {
                // The kernel module is not ours to install.
                let test = thread::current().name().unwrap_or("a test").to_owned();
                say_skipped(&test, "the kernel has no FTP connection tracking");
                ran.forget();
                return false;
            }
            drop(ran.succeeds().stdout_has(said).any_stderr());
        }
        true
    }
}

/// Sets up the network behind the gate, which is its switch as well.
fn lay_inside(gate: &Space, host: &Space, neighbour: &Space) {
    gate.sh("ip addr add 203.0.113.10/24 dev wan; ip addr add 2001:db8:113::10/64 dev wan nodad
        ip link add lan type bridge; ip link set lan up
        # A switch of its own looks at no addresses, whatever this machine's bridges do.
        for which in ip ip6; do
            setting=/proc/sys/net/bridge/bridge-nf-call-${which}tables
            [ ! -e $setting ] || echo 0 >$setting
        done
        ip addr add 10.77.0.1/24 dev lan; ip addr add fd77::1/64 dev lan nodad");
    for (space, port, last) in [(host, "port1", "10"), (neighbour, "port2", "11")] {
        gate.wire(port, space, "eth0");
        gate.sh(&format!("ip link set {port} master lan"));
        space.sh(&format!(
            "ip addr add 10.77.0.{last}/24 dev eth0; ip route add default via 10.77.0.1
            ip addr add fd77::{last}/64 dev eth0 nodad; ip route add default via fd77::1"
        ));
    }
}

fn options(wanted: Server, listen: SocketAddr) -> Options {
    let mut further = Vec::new();
    if wanted.has_pasv_only {
        further.push("cmds_denied=EPSV".to_owned());
    }
    if wanted.is_from_20 {
        further.push("connect_from_port_20=YES".to_owned());
    }
    Options {
        ipv6: wanted.is_ipv6,
        listen: Some(listen),
        tls: if wanted.is_tls { Tls::Explicit } else { Tls::Off },
        passive_ports: Some(50000..=50009),
        passive_address: wanted.is_announcing.then_some(OUTSIDE.v4),
        further,
        ..Options::default()
    }
}
