//! Routers before a server with an address of IPv6 of its own, which is let in and not translated.

use std::net::IpAddr;

use super::{HOST6, Segment, link_local, suggested};
use crate::support::{firewalls::FirewallRoom, net::Space};

const SERVER: &str = "2001:db8:1::5";

/// The network: `client 2001:db8::30 -- 2001:db8::10 router 2001:db8:1::1 -- 2001:db8:1::5 server`. The router passes on
/// by `switches`.
fn lay(switches: &str) -> Option<(Segment, Segment)> {
    let (inside, gate) = (Space::open()?, Segment::lay()?);
    gate.host.wire("lan", &inside, "eth0");
    inside.sh(&link_local("eth0", 4));
    gate.host.sh(&link_local("lan", 3));
    gate.host.sh(&format!("ip addr add 2001:db8:1::1/64 dev lan nodad; {switches}"));
    inside.sh(&format!(
        "ip addr add {SERVER}/64 dev eth0 nodad; ip -6 route add default via 2001:db8:1::1
        echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range"
    ));
    gate.client.sh(&format!("ip -6 route add 2001:db8:1::/64 via {HOST6}"));
    Some((gate, Segment { client: Space::open()?, host: inside }))
}

/// Checks a filter of the router: closed by `close`, and then opened by what is printed for it.
fn check(format: &str, close: &str, switches: &str, begins: &str) {
    for limit in ["in: \"eth1\"", "from: \"2001:db8::/64\""] {
        let options = format!("side: \"server\", format: {format:?}, to: {SERVER:?}, {limit}");
        check_options(format, close, switches, (&options, begins));
    }
}

fn check_options(format: &str, close: &str, switches: &str, (options, begins): (&str, &str)) {
    let Some((gate, behind)) = lay(switches) else { return };
    let address: IpAddr = SERVER.parse().unwrap();
    let served = behind.serve(address);
    served.is_reached(&gate.client);
    let mut room = None;
    if format == "ufw" {
        let Some(opened) = FirewallRoom::open(&gate.host) else { return };
        room = Some(opened);
    }
    let mut run = |script: &str| match &mut room {
        Some(room) => drop(room.sh(script)),
        None => gate.host.sh(script),
    };
    run(close);
    gate.is_closed("passive", address);
    assert!(!served.database_answers(&gate.client));
    let text = suggested(&gate.host, options);
    assert!(text.lines().any(|line| line.starts_with(begins)), "{text}");
    run(&text);
    gate.is_open("passive", address);
    assert!(!served.database_answers(&gate.client), "{text}");
}

/// The switch of all interfaces, without that of IPv4; on kernels that have them, those of the interfaces, as portolan
/// sets them.
const SWITCHES: [&str; 2] = [
    "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
    "for device in lan eth1; do
        echo 1 >/proc/sys/net/ipv6/conf/$device/force_forwarding || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    done 2>/dev/null",
];

#[test]
fn nft_opens_a_pinhole_in_the_chain_of_the_router() {
    for switches in SWITCHES {
        let rules = "table ip6 fw {
            chain through {
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
            }
        }";
        let close = format!("nft -f - <<'END'\n{rules}\nEND\n");
        check("nft", &close, switches, "nft insert rule ip6 fw through ");
    }
}

#[test]
fn iptables_opens_a_pinhole_before_the_reject_at_the_end() {
    let close = "ip6tables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        ip6tables -A FORWARD -j REJECT";
    check("iptables", close, SWITCHES[0], "ip6tables -I FORWARD ");
}

#[test]
fn ufw_opens_a_pinhole_by_a_route_of_its_own() {
    check("ufw", "ufw --force enable", SWITCHES[0], "ufw route prepend allow ");
}
