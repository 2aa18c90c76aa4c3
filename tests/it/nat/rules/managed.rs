//! Plans beside ufw and firewalld, for both address families: the remedies, run by the real programs.

use super::{
    Gate, echo, echo_at,
    reach::connects,
    tried::{run_remedies, told_drops},
};
use crate::support::firewalls::FirewallRoom;

/// A way of each kind: to a server inside, out, to the host itself, and straight to a host with an address of IPv6.
const ALL: &str = r#"
let rules = nat::ruleset("all");
rules.forward(#{ in: "wan", ports: 8080, to: "192.168.50.10" });
rules.masquerade(#{ source: "192.168.50.0/25", out: "wan" });
rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.10" });
rules.allow(#{ in: "wan", out: "lan", to: "2001:db8:50::10", ports: 8021 });
rules.allow(#{ in: "lan", out: "wan", source: "2001:db8:50::/64", ports: 7000 });
rules.forwarding(true);
rules.apply();
"#;

/// The probes, in the order of [`probed`].
const WAYS: [&str; 5] = ["forward", "way out", "own port", "pinhole", "way out by IPv6"];

/// Lays the network with something that listens wherever a probe goes.
fn lay() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.add_ipv6();
    gate.route_back();
    gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
    for port in [8080, 445] {
        echo(&gate.client, port);
    }
    for port in [40003, 2222] {
        echo(&gate.router, port);
    }
    echo(&gate.server, 7000);
    for (space, address) in [
        (&gate.client, "[2001:db8:50::10]:8021"),
        (&gate.client, "[2001:db8:50::10]:445"),
        (&gate.router, "[2001:db8:113::1]:2222"),
        (&gate.server, "[2001:db8:113::10]:7000"),
    ] {
        echo_at(space, address);
    }
    Some(gate)
}

/// Returns the ways of [`WAYS`] that do not pass.
fn shut(gate: &Gate) -> Vec<&'static str> {
    let passes = [
        connects(&gate.server, "203.0.113.1:8080"),
        gate.reaches(7000),
        connects(&gate.server, "203.0.113.1:40003"),
        connects(&gate.server, "[2001:db8:50::10]:8021"),
        connects(&gate.client, "[2001:db8:113::10]:7000"),
    ];
    WAYS.into_iter().zip(passes).filter(|(_, passes)| !passes).map(|(way, _)| way).collect()
}

/// Returns what passes although no rule names it: ports, and another source of each way.
fn unnamed(gate: &Gate) -> Vec<&'static str> {
    let from_another =
        |space: &crate::support::net::Space, route: &str, probe: &dyn Fn() -> bool| {
            space.sh(&format!("ip route add {route}"));
            let found = probe();
            space.sh(&format!("ip route del {route}"));
            found
        };
    gate.client.sh("ip addr replace 192.168.50.200/24 dev eth0");
    let passes = [
        ("a port inside", connects(&gate.server, "192.168.50.10:445")),
        ("a port inside, by IPv6", connects(&gate.server, "[2001:db8:50::10]:445")),
        ("a port of the host", connects(&gate.server, "203.0.113.1:2222")),
        ("a port of the host, by IPv6", connects(&gate.server, "[2001:db8:113::1]:2222")),
        (
            "a host besides the server",
            from_another(&gate.server, "203.0.113.1 dev eth0 src 203.0.113.11", &|| {
                connects(&gate.server, "203.0.113.1:40003")
            }),
        ),
        (
            "a host of no network",
            from_another(&gate.client, "203.0.113.10 via 192.168.50.1 src 192.168.50.200", &|| {
                gate.reaches(7000)
            }),
        ),
    ];
    passes.into_iter().filter(|(_, passes)| *passes).map(|(what, _)| what).collect()
}

/// Checks a gate on which `close` has started a filter: what is printed for it opens the ways, and nothing besides.
fn check(close: &str, is_firewalld: bool, shuts: &[&str]) {
    let Some(gate) = lay() else { return };
    let Some(mut room) = FirewallRoom::open(&gate.router) else { return };
    gate.done(ALL, &["apply"]);
    assert_eq!(shut(&gate), Vec::<&str>::new());
    assert_eq!(unnamed(&gate).len(), 6, "a closed port would be no proof");
    if is_firewalld {
        room.firewalld();
    }
    room.sh(close);
    assert_eq!(shut(&gate), shuts, "{close}");
    assert_eq!(unnamed(&gate), Vec::<&str>::new(), "{close}");
    let told = told_drops(&gate, ALL);
    run_remedies(&told, |remedy| drop(room.sh(remedy)));
    assert_eq!(shut(&gate), Vec::<&str>::new(), "{told:#?}");
    assert_eq!(unnamed(&gate), Vec::<&str>::new(), "{told:#?}");
    assert_eq!(told_drops(&gate, ALL), Vec::<String>::new(), "{told:#?}");
    // Following it twice is no error.
    run_remedies(&told, |remedy| drop(room.sh(remedy)));
}

#[test]
fn ufw_is_opened_for_each_way_of_a_plan_by_its_own_commands() {
    check("ufw --force enable", false, &WAYS);
}

/// Checks interfaces in two zones, in one, and in none, as on a host without `NetworkManager`.
#[test]
fn firewalld_is_opened_for_each_way_of_a_plan_whatever_the_zones() {
    // firewalld itself lets translated connections pass.
    let shuts = WAYS.split_first().unwrap().1;
    let zones = |lan: &str, wan: &str| {
        format!(
            "firewall-cmd --permanent --zone={lan} --add-interface=lan
             firewall-cmd --permanent --zone={wan} --add-interface=wan
             firewall-cmd --reload"
        )
    };
    check("firewall-cmd --state", true, shuts);
    check(&zones("internal", "dmz"), true, shuts);
    let no_forward = "firewall-cmd --permanent --zone=dmz --remove-forward\n";
    check(&format!("{no_forward}{}", zones("dmz", "dmz")), true, shuts);
    let one = "firewall-cmd --permanent --zone=internal --add-interface=lan; firewall-cmd --reload";
    check(one, true, shuts);
}
