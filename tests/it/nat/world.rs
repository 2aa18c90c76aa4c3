//! A client and a server with routers between them, set up for one test.
//!
//! ```text
//! client 192.168.50.10 -- 192.168.50.1 router 203.0.113.1 -- 203.0.113.10 server
//! behind NAT:                                             -- 203.0.113.10 gate 10.20.30.1 -- 10.20.30.5 server
//! ```

use std::net::{Ipv4Addr, SocketAddr};

use crate::support::{net::Space, server::say_skipped};

/// The address at which clients reach the server, with or without NAT.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The private address of a server behind NAT.
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 30, 5);
/// The server's range of passive ports.
const RANGE: &str = "40000-40099";

/// The layout of the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The router before the client.
    pub(super) router: Router,
    /// The client's network: the first three numbers.
    pub(super) network: &'static str,
    /// True if a gate with NAT is before the server.
    pub(super) gate: bool,
    /// The treatment of connections to the server's passive ports.
    pub(super) range: Range,
}

/// The router before the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Router {
    /// A router that only forwards packets, both ways.
    Open,
    /// A router that masquerades the client.
    Masquerade,
    /// The same with a helper, which reads plain FTP and opens the announced ports.
    Helper,
}

/// The treatment of connections to the server's passive ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    Open,
    Dropped,
    Rejected,
}

/// The network; removed on drop.
pub(super) struct World {
    pub(super) client: Space,
    pub(super) server: Space,
    /// The address on which the server listens.
    pub(super) address: SocketAddr,
    _between: Vec<Space>,
}

impl World {
    /// Sets it up. `None` if that is impossible here, which has then been reported.
    pub(super) fn lay(test: &str, plan: Plan) -> Option<Self> {
        let (client, router, server) = (Space::open()?, Space::open()?, Space::open()?);
        let Plan { network, .. } = plan;
        client.wire("eth0", &router, "lan");
        client.sh(&format!(
            "ip addr add {network}.10/24 dev eth0; ip route add default via {network}.1"
        ));
        router.sh(&format!("ip addr add {network}.1/24 dev lan; {FORWARD}"));
        if let Err(said) = router.try_rules(&router_rules(plan.router)) {
            // The kernel module is not ours to install.
            assert_eq!(plan.router, Router::Helper, "{said}");
            say_skipped(test, &format!("the kernel has no FTP connection tracking: {said}"));
            return None;
        }
        let mut between = Vec::new();
        let ip = if plan.gate {
            let gate = Space::open()?;
            lay_gate(&gate, &router, &server, plan.range);
            between.push(gate);
            INSIDE
        } else {
            router.wire("wan", &server, "eth0");
            server.sh(&format!("ip addr add {OUTSIDE}/24 dev eth0"));
            server.try_rules(&host_rules(plan.range)).unwrap();
            OUTSIDE
        };
        router.sh("ip addr add 203.0.113.1/24 dev wan");
        // On the Internet, there is no route to a private network.
        if plan.router == Router::Open {
            server.sh(&format!("ip route add {network}.0/24 via 203.0.113.1"));
        }
        server.sh("echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range");
        between.push(router);
        Some(Self { client, server, address: SocketAddr::from((ip, 21)), _between: between })
    }
}

const FORWARD: &str = "echo 1 >/proc/sys/net/ipv4/ip_forward";

fn router_rules(router: Router) -> String {
    let masquerade = "chain out {
            type nat hook postrouting priority srcnat
            oifname \"wan\" masquerade
        }
        chain through {
            type filter hook forward priority filter
            ct state established,related accept
            iifname \"lan\" accept
            drop
        }";
    let helper = "ct helper reader { type \"ftp\" protocol tcp; }
        chain read {
            type filter hook prerouting priority filter
            tcp dport 21 ct helper set \"reader\"
        }";
    match router {
        Router::Open => "table inet lab { }".to_owned(),
        Router::Masquerade => format!("table inet lab {{\n{masquerade}\n}}"),
        Router::Helper => format!("table inet lab {{\n{helper}\n{masquerade}\n}}"),
    }
}

fn host_rules(range: Range) -> String {
    let verdict = match range {
        Range::Open => "accept",
        Range::Dropped => "drop",
        Range::Rejected => "reject with tcp reset",
    };
    format!(
        "table inet lab {{
            chain in {{
                type filter hook input priority filter
                ct state established,related accept
                tcp dport {RANGE} {verdict}
            }}
        }}"
    )
}

/// Sets up NAT before the server; a closed range is not forwarded.
fn lay_gate(gate: &Space, router: &Space, server: &Space, range: Range) {
    router.wire("wan", gate, "wan");
    gate.wire("lan", server, "eth0");
    gate.sh(&format!(
        "ip addr add {OUTSIDE}/24 dev wan; ip addr add 10.20.30.1/24 dev lan; {FORWARD}"
    ));
    server.sh(&format!("ip addr add {INSIDE}/24 dev eth0; ip route add default via 10.20.30.1"));
    let ports = if range == Range::Open { format!("21, {RANGE}") } else { "21".to_owned() };
    let rules = format!(
        "table inet lab {{
            chain in {{
                type nat hook prerouting priority dstnat
                iifname \"wan\" tcp dport {{ {ports} }} dnat ip to {INSIDE}
            }}
            chain out {{
                type nat hook postrouting priority srcnat
                oifname \"wan\" masquerade
            }}
            chain here {{
                type filter hook input priority filter
                iifname \"wan\" tcp dport {RANGE} drop
            }}
        }}"
    );
    gate.try_rules(&rules).unwrap();
}
