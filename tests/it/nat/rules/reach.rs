//! Probes through a router, over both protocols and families.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::Duration,
};

use super::Gate;
use crate::support::net::Space;

/// The time after which a probe counts as lost: on one host answers take microseconds.
const PATIENCE: Duration = Duration::from_millis(700);

/// Accepts connections to this address, and answers datagrams, until the test is over.
pub(super) fn serve(space: &Space, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let listener = space.within(|| TcpListener::bind(address).unwrap());
    thread::spawn(move || listener.incoming().for_each(drop));
    let socket = space.within(|| UdpSocket::bind(address).unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 16];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(bytes.get(..count).unwrap_or_default(), from).ok();
        }
    });
}

/// Returns true if a connection to this address is accepted.
pub(super) fn connects(space: &Space, address: &str) -> bool {
    let address = address.parse().unwrap();
    space.within(|| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

/// Returns true if a datagram to this address is answered from there.
pub(super) fn answers(space: &Space, address: &str) -> bool {
    let to: SocketAddr = address.parse().unwrap();
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = space.within(|| UdpSocket::bind((any, 0)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(to).unwrap();
    socket.send(b"ask").unwrap();
    socket.recv(&mut [0; 16]).is_ok()
}

/// Calls `test` with a gate and each filter that is installed: nft, and iptables.
pub(super) fn each_filter(test: impl Fn(&Gate, &str)) {
    for (filter, program) in [("nft", "/usr/sbin/nft"), ("iptables", "/usr/sbin/iptables")] {
        if !Path::new(program).exists() {
            crate::support::server::skip(&format!("no {filter} here: run tests/servers/install"));
            continue;
        }
        let Some(gate) = Gate::lay() else { return };
        test(&gate, filter);
    }
}

impl Gate {
    /// Gives its networks addresses of IPv6: `2001:db8:50::/64` inside and `2001:db8:113::/64` outside.
    pub(super) fn add_ipv6(&self) {
        // An address is in use at once if it is not looked for elsewhere first; that goes for link-local ones as well.
        let add = |space: &Space, device: &str, number: u8, address: &str| {
            space.sh(&format!(
                "ip -6 addr flush dev {device} scope link
                ip -6 addr add fe80::{number}/64 dev {device} nodad
                ip -6 addr add {address}/64 dev {device} nodad"
            ));
        };
        add(&self.client, "eth0", 1, "2001:db8:50::10");
        add(&self.router, "lan", 2, "2001:db8:50::1");
        add(&self.router, "wan", 3, "2001:db8:113::1");
        add(&self.server, "eth0", 4, "2001:db8:113::10");
        self.client.sh("ip -6 route add default via 2001:db8:50::1");
        self.server.sh("ip -6 route add default via 2001:db8:113::1");
    }

    /// Lets the server answer the client's network without NAT.
    pub(super) fn route_back(&self) {
        self.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    }

    /// Applies `parts` as the ruleset `grown` in that filter, and returns the script.
    #[track_caller]
    pub(super) fn apply_in(&self, filter: &str, parts: &str) -> String {
        let script = ruleset(parts);
        let ran = self.nat(&script, &["apply", "--backend", filter]);
        drop(ran.succeeds().stdout_has("grown: ").any_stdout().any_stderr());
        let plan = self.done(&script, &["plan", "--backend", filter]);
        assert!(plan.ends_with("\nNo changes. The live ruleset matches the plan.\n"), "{plan}");
        script
    }
}

/// Returns a script with that ruleset.
pub(super) fn ruleset(parts: &str) -> String {
    format!(
        "let rules = nat::ruleset(\"grown\");\n{parts}\nrules.forwarding(true);\nrules.apply();\n"
    )
}
