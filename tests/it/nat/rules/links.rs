//! Interfaces, addresses and routes that are not as in a textbook: several uplinks, tunnels, addresses of others.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{Gate, echo};
use crate::support::wait;

/// A far host, behind every uplink.
const FAR: [u8; 4] = [192, 0, 2, 10];
const AUTO: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "auto" });
rules.isolate(true);
rules.forwarding(true);
rules.apply();
"#;

/// Sets up a router with a second way to the server, `wan2` 198.51.100.1 -- 198.51.100.10, and a far address there.
pub(super) fn two_uplinks() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.router.wire("wan2", &gate.server, "eth1");
    gate.router.sh("ip addr add 198.51.100.1/24 dev wan2");
    gate.server.sh("ip addr add 198.51.100.10/24 dev eth1; ip addr add 192.0.2.10/32 dev lo");
    Some(gate)
}

/// Returns the number of connections of `count` from the client to the far host that are answered.
fn answered(gate: &Gate, count: usize) -> usize {
    let time = Duration::from_millis(700);
    let address = SocketAddr::from((FAR, 7000));
    gate.client.within(|| {
        (0..count).filter(|_| TcpStream::connect_timeout(&address, time).is_ok()).count()
    })
}

/// Returns the packets that an interface of the router has sent.
fn sent(gate: &Gate, device: &str) -> u64 {
    let text = gate.prints(&["ip", "-s", "link", "show", device]);
    let line = text.lines().skip_while(|line| !line.contains("TX:")).nth(1).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn auto_carries_every_hop_of_a_default_route_with_several() {
    for backend in ["nft", "iptables"] {
        let Some(gate) = two_uplinks() else { return };
        echo(&gate.server, 7000);
        gate.router.sh("ip route add default nexthop via 203.0.113.10 nexthop via 198.51.100.10; \
             echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy");
        let plan = gate.nat(AUTO, &["--backend", backend, "plan"]).fails_with(2).any_stderr();
        let text = plan.stdout_text().to_owned();
        drop(plan.any_stdout());
        for device in ["wan", "wan2"] {
            let part = format!("+ masquerade 192.168.50.0/24 -> {device}\n");
            assert!(text.contains(&part), "{text}");
        }
        gate.done(AUTO, &["--backend", backend, "apply"]);
        let before = ["wan", "wan2"].map(|device| sent(&gate, device));
        assert_eq!(answered(&gate, 24), 24, "{backend}");
        for (device, before) in ["wan", "wan2"].into_iter().zip(before) {
            assert!(sent(&gate, device) > before, "{device} carried nothing");
        }
    }
}

#[test]
fn auto_follows_policy_routing_into_a_tunnel() {
    let Some(gate) = two_uplinks() else { return };
    echo(&gate.server, 7000);
    // As wg-quick lays it: everything but the tunnel's own packets goes by another table.
    gate.router.sh(
        "ip link set wan2 down; ip link set wan2 name wg0; ip link set wg0 up; \
         ip route add default via 203.0.113.10; \
         ip route add default via 198.51.100.10 dev wg0 table 51820; \
         ip rule add not fwmark 51820 lookup 51820; ip rule add lookup main suppress_prefixlength 0",
    );
    let text = gate.done(AUTO, &["apply"]);
    assert!(text.starts_with("office: applied"), "{text}");
    assert!(gate.rules().contains("oifname \"wg0\" masquerade"), "{}", gate.rules());
    assert!(!gate.rules().contains("oifname \"wan\" masquerade"), "not beside the tunnel");
    assert_eq!(answered(&gate, 3), 3);
}

#[test]
fn auto_carries_networks_that_a_policy_rule_sends_elsewhere() {
    let Some(gate) = two_uplinks() else { return };
    echo(&gate.server, 7000);
    gate.router.sh(
        "ip route add default via 203.0.113.10; ip route add default via 198.51.100.10 table 100; \
         ip rule add from 192.168.50.0/28 lookup 100",
    );
    gate.done(AUTO, &["apply"]);
    let before = sent(&gate, "wan2");
    assert_eq!(answered(&gate, 3), 3);
    assert!(sent(&gate, "wan2") > before);
    let apart = AUTO.replace("192.168.50.0/24", "192.168.50.128/25");
    gate.done(&apart, &["apply"]);
    assert!(!gate.rules().contains("oifname \"wan2\""), "the rule is for other packets");
}

#[test]
fn interfaces_of_one_beginning_are_matched_as_they_come() {
    for backend in ["nft", "iptables"] {
        let Some(gate) = Gate::lay() else { return };
        echo(&gate.server, 7000);
        gate.router.sh("ip link set wan down; ip link set wan name ppp0; ip link set ppp0 up");
        let script = r#"
            let rules = nat::ruleset("office");
            rules.masquerade(#{ source: "192.168.50.0/24", out: "ppp*" });
            rules.allow(#{ in: "lan", out: "ppp*" });
            rules.isolate(true);
            rules.forwarding(true);
            rules.apply();
        "#;
        gate.done(script, &["--backend", backend, "apply"]);
        assert!(gate.reaches(7000), "{backend}: {}", gate.rules());
        let again = gate.nat(script, &["plan"]).succeeds().any_stderr();
        drop(again.stdout_has("No changes.").any_stdout());
        // A later line of the same kind, whose kernel setting is set by hand here.
        gate.router
            .sh("ip link set ppp0 down; ip link set ppp0 name ppp17; ip link set ppp17 up; \
             echo 1 >/proc/sys/net/ipv4/conf/ppp17/forwarding");
        // The kernel tells of a link that is up only after a while.
        let reached = wait::until(Duration::from_secs(20), || gate.reaches(7000).then_some(()));
        assert!(reached.is_some(), "{backend}: {}", gate.rules());
        gate.done(script, &["revert"]);
    }
}

const CLOUD: &str = r#"
let rules = nat::ruleset("office");
rules.forward(#{ in: "wan", ports: 7000, to: "192.168.50.10", external: "198.51.100.77" });
rules.forwarding(true);
rules.apply();
"#;

#[test]
fn an_external_address_of_the_providers_is_told_at_plan_and_status() {
    let Some(gate) = Gate::lay() else { return };
    for port in [7000, 445] {
        echo(&gate.client, port);
    }
    let words = "is for packets to 198.51.100.77, which no interface has (wan has 203.0.113.1)";
    drop(gate.nat(CLOUD, &["plan"]).fails_with(2).any_stderr().stdout_has(words).any_stdout());
    drop(gate.nat(CLOUD, &["apply"]).succeeds().stderr_has(words).any_stdout());
    let told = gate.done(CLOUD, &["status"]);
    assert!(told.contains(words), "{told}");
    // Both remedies end it: the host's own address is used, or the address is routed here.
    let reaches = |address: [u8; 4], port: u16| {
        let address = SocketAddr::from((address, port));
        let time = Duration::from_millis(700);
        gate.server.within(|| TcpStream::connect_timeout(&address, time).is_ok())
    };
    gate.router.sh("ip route add local 198.51.100.77 dev lo");
    gate.server.sh("ip route add 198.51.100.77 via 203.0.113.1");
    assert!(!gate.done(CLOUD, &["status"]).contains("no interface has"));
    assert!(reaches([198, 51, 100, 77], 7000) && !reaches([198, 51, 100, 77], 445));
    let plain = CLOUD.replace(", external: \"198.51.100.77\"", "");
    let told = gate.nat(&plain, &["apply"]).succeeds().any_stdout();
    drop(told.any_stderr().never_says("no interface has"));
    assert!(reaches([203, 0, 113, 1], 7000) && !reaches([203, 0, 113, 1], 445));
}

#[test]
fn a_source_address_that_is_gone_is_told_with_the_new_one() {
    let Some(gate) = Gate::lay() else { return };
    let script = r#"
        let rules = nat::ruleset("office");
        rules.masquerade(#{ source: "192.168.50.0/24", out: "wan", to: "203.0.113.1" });
        rules.forwarding(true);
        rules.apply();
    "#;
    gate.done(script, &["apply"]);
    assert!(!gate.done(script, &["status"]).contains("no interface has"));
    gate.router.sh("ip addr del 203.0.113.1/24 dev wan; ip addr add 203.0.113.7/24 dev wan");
    let told = gate.done(script, &["status"]);
    assert!(told.contains("203.0.113.1, which no interface has"), "{told}");
    assert!(told.contains("(wan has 203.0.113.7)"), "{told}");
}

/// A forward by the second uplink is answered by the first, until the printed commands have been run.
#[test]
fn answers_by_another_uplink_are_told_and_the_remedy_leads_them_back() {
    let Some(gate) = two_uplinks() else { return };
    for port in [7000, 445] {
        echo(&gate.client, port);
    }
    gate.router.sh(
        "ip route add default via 203.0.113.10 dev wan; \
         ip route add default via 198.51.100.10 dev wan2 metric 500; \
         echo 1 >/proc/sys/net/ipv4/conf/wan2/rp_filter; echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter",
    );
    // A provider drops packets from addresses that are not its own.
    gate.server.try_rules(
        "table inet providers { chain in { type filter hook prerouting priority -300\n\
         iifname \"eth0\" ip saddr 198.51.100.1 drop\niifname \"eth1\" ip saddr 203.0.113.1 drop\n}\n}",
    )
    .unwrap();
    let script = r#"
        let rules = nat::ruleset("office");
        rules.forward(#{ in: "wan2", ports: 7000, to: "192.168.50.10" });
        rules.forwarding(true);
        rules.apply();
    "#;
    let words = "that come in by wan2 are answered by wan:";
    drop(gate.nat(script, &["apply"]).succeeds().stderr_has(words).any_stdout());
    let reaches_at = |port: u16| {
        let time = Duration::from_millis(700);
        let target = SocketAddr::from(([198, 51, 100, 1], port));
        let server = &gate.server;
        server.within(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.unwrap();
            // From a far address, as a client in the Internet has.
            socket.bind(&SocketAddr::from((FAR, 0)).into()).unwrap();
            socket.connect_timeout(&target.into(), time).is_ok()
        })
    };
    let reaches = || reaches_at(7000);
    assert!(!reaches(), "the answer takes the other way");
    let plan = gate.nat(script, &["plan"]).succeeds().any_stderr();
    let text = plan.stdout_text().to_owned();
    drop(plan.any_stdout());
    // The other warning is that of the reverse path filter.
    let remedies: Vec<_> = text.lines().filter_map(|line| line.split_once("; run: ")).collect();
    assert_eq!(remedies.len(), 2, "{text}");
    for (_, remedy) in remedies {
        assert!(!reaches(), "before {remedy}");
        gate.router.sh(remedy);
    }
    let answered = wait::until(Duration::from_secs(20), || reaches().then_some(()));
    assert!(answered.is_some(), "{text}");
    assert!(!reaches_at(445), "{text}");
    let plan = gate.nat(script, &["plan"]).succeeds().any_stderr().never_says(words);
    let text = plan.stdout_text().to_owned();
    drop(plan.any_stdout());
    assert!(!text.contains(words), "{text}");
}
