//! `portolan nat test`: a packet tried on a copy of the router, against rules of every kind.

use serde_json::Value;

use super::Gate;
use crate::support::{program::Portolan, server::skip};

/// A router that forwards.
fn router() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.router.sh("echo 1 >/proc/sys/net/ipv4/ip_forward");
    Some(gate)
}

/// Asks for a packet, and returns the exit code and the document.
#[track_caller]
fn ask(gate: &Gate, args: &[&str], code: i32) -> Value {
    let program = Portolan::new().args(["nat", "test", "--json"]).args(args.to_vec());
    let mut ran = gate.router.within(|| program.run()).fails_with(code);
    let document = ran.json();
    drop(ran.any_stderr());
    document
}

const FROM_OUTSIDE: [&str; 4] = ["--from", "203.0.113.10", "--to", "192.168.50.10:21"];

/// Returns tables that drop the packet, each with the chain and the rule that do.
fn dropping() -> Vec<(String, &'static str, &'static str)> {
    let inet = |rules: &str| format!("table inet fw {{\n {rules}\n }}");
    let forward = |rules: &str| {
        inet(&format!("chain c {{\n type filter hook forward priority 10\n {rules}\n }}"))
    };
    vec![
        (forward("iifname \"wan\" drop"), "c", "iifname \"wan\" drop"),
        (
            forward("iifname { \"ppp0\", \"wan\" } counter drop"),
            "c",
            "iifname { \"wan\", \"ppp0\" } counter drop",
        ),
        (forward("iifname \"wa*\" reject"), "c", "iifname \"wa*\" reject"),
        (forward("ct state vmap { new : drop }"), "c", "ct state vmap { new : drop }"),
        (
            forward("tcp dport vmap { 20 : accept, 21 : drop }"),
            "c",
            "tcp dport vmap { 20 : accept, 21 : drop }",
        ),
        (
            inet(
                "chain deny {\n drop\n }\n chain c {\n type filter hook forward priority 0\n tcp dport 21 jump deny\n }",
            ),
            "deny",
            "drop",
        ),
        (
            inet(
                "chain c {\n type filter hook prerouting priority -150\n ip saddr 203.0.113.0/24 drop\n }",
            ),
            "c",
            "ip saddr 203.0.113.0/24 drop",
        ),
        (
            inet(
                "chain c {\n type filter hook postrouting priority 150\n oifname \"lan\" drop\n }",
            ),
            "c",
            "oifname \"lan\" drop",
        ),
        (
            inet("chain c {\n type filter hook forward priority 0; policy drop;\n }"),
            "c",
            "policy drop",
        ),
        (
            inet(
                "set bad {\n type ipv4_addr\n flags interval\n elements = { 203.0.113.0/28 }\n }\n chain c {\n type filter hook forward priority 0\n ip saddr @bad drop\n }",
            ),
            "c",
            "ip saddr @bad drop",
        ),
    ]
}

#[test]
fn a_rule_that_drops_is_named_in_every_form() {
    let Some(gate) = router() else { return };
    for (rules, chain, rule) in dropping() {
        gate.router.try_rules(&rules).unwrap();
        let before = gate.rules();
        let answer = ask(&gate, &FROM_OUTSIDE, 1);
        assert_eq!(answer["verdict"], "dropped", "{rules}\n{answer}");
        let found = &answer["rule"];
        assert_eq!(
            (&found["table"], &found["chain"], &found["rule"]),
            (&"fw".into(), &chain.into(), &rule.into()),
            "{rules}"
        );
        assert_eq!(gate.rules(), before);
        gate.router.sh("nft delete table inet fw");
    }
    let netdev = "table netdev fw {\n chain c {\n type filter hook ingress device \"wan\" priority 0\n tcp dport 21 drop\n }\n }";
    gate.router.try_rules(netdev).unwrap();
    let answer = ask(&gate, &FROM_OUTSIDE, 1);
    assert_eq!(
        (answer["rule"]["family"].as_str(), answer["rule"]["rule"].as_str()),
        (Some("netdev"), Some("tcp dport 21 drop"))
    );
    gate.router.sh("nft delete table netdev fw");
    let answer = ask(&gate, &FROM_OUTSIDE, 0);
    assert_eq!(
        (answer["verdict"].as_str(), answer["out"].as_str(), answer["in"].as_str()),
        (Some("passes"), Some("lan"), Some("wan"))
    );
}

#[test]
fn a_translation_is_named_with_where_the_packet_goes() {
    let Some(gate) = router() else { return };
    gate.done(super::OFFICE, &["apply"]);
    let to_router = ["--from", "203.0.113.10", "--to", "203.0.113.1:40005"];
    let answer = ask(&gate, &to_router, 0);
    assert_eq!(
        (answer["out"].as_str(), answer["destination"].as_str()),
        (Some("lan"), Some("192.168.50.10:40005"))
    );
    assert_eq!(answer["translated"][0]["table"], "portolan_office");
    let answer = ask(&gate, &["--from", "192.168.50.10", "--to", "203.0.113.10:21"], 0);
    assert!(answer["source"].as_str().unwrap().starts_with("203.0.113.1:"), "{answer}");
    // A rule of others that comes first.
    let theirs = "table ip theirs {\n chain p {\n type nat hook prerouting priority -190\n iifname \"w*\" meta l4proto { tcp, udp } th dport 40005 dnat to 192.168.50.77\n }\n }";
    gate.router.try_rules(theirs).unwrap();
    let answer = ask(&gate, &to_router, 0);
    assert_eq!(answer["destination"], "192.168.50.77:40005");
    let answer = ask(&gate, &[&to_router[..], &["--expect", "192.168.50.10"]].concat(), 1);
    assert_eq!(
        (answer["verdict"].as_str(), answer["rule"]["table"].as_str()),
        (Some("diverted"), Some("theirs"))
    );
    let program = Portolan::new().args(["nat", "test"]).args(to_router.to_vec());
    gate.router
        .within(|| program.run())
        .succeeds()
        .stdout_has("passes; it leaves by lan for 192.168.50.77:40005")
        .stdout_has("translated by ip theirs p: ");
    // A packet for another host that is kept here.
    gate.router.try_rules("table ip more {\n chain p {\n type nat hook prerouting priority -150\n tcp dport 80 redirect to :8080\n }\n }").unwrap();
    let answer = ask(&gate, &["--from", "192.168.50.10", "--to", "203.0.113.10:80"], 1);
    assert_eq!(
        (answer["verdict"].as_str(), answer["local"].as_bool()),
        (Some("diverted"), Some(true))
    );
    let answer = ask(
        &gate,
        &["--from", "203.0.113.10", "--to", "192.168.50.10:40005", "--protocol", "udp"],
        1,
    );
    assert_eq!(
        (answer["verdict"].as_str(), answer["protocol"].as_str()),
        (Some("diverted"), Some("udp"))
    );
}

#[test]
fn what_the_kernel_discards_is_told_with_the_reason() {
    let Some(gate) = Gate::lay() else { return };
    let answer = ask(&gate, &FROM_OUTSIDE, 1);
    assert_eq!(answer["verdict"], "lost");
    assert_eq!(answer["note"], "net.ipv4.conf.wan.forwarding is 0: the kernel passes nothing on");
    gate.router
        .sh("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/wan/rp_filter");
    let answer =
        ask(&gate, &["--from", "192.168.50.10", "--to", "203.0.113.10:21", "--in", "wan"], 1);
    assert!(
        answer["note"]
            .as_str()
            .unwrap()
            .starts_with("net.ipv4.conf.wan.rp_filter: the way back to 192.168.50.10"),
        "{answer}"
    );
    let answer = ask(&gate, &["--from", "192.168.50.10", "--to", "198.51.100.1:21"], 1);
    assert!(answer["note"].as_str().unwrap().starts_with("no way to 198.51.100.1: "), "{answer}");
    // The host itself.
    let answer = ask(&gate, &["--from", "203.0.113.1", "--to", "203.0.113.10:21"], 0);
    assert_eq!((&answer["in"], answer["out"].as_str()), (&Value::Null, Some("wan")));
    let test = |args: &[&str]| {
        let program = Portolan::new().args(["nat", "test"]).args(args.to_vec());
        gate.router.within(|| program.run())
    };
    test(&["--from", "10.9.9.9", "--to", "203.0.113.1:21"])
        .fails_with(5)
        .stderr_has("(nat.unknown_interface)")
        .stderr_has("`--in` names")
        .any_stderr();
    test(&["--from", "10.9.9.9", "--to", "203.0.113.1:21", "--in", "wan9"])
        .fails_with(5)
        .stderr_has("there are lo, lan, wan")
        .any_stderr();
    test(&["--from", "fd00::1", "--to", "203.0.113.1:21"])
        .any_end()
        .stderr_has("(nat.family_mismatch)")
        .any_stderr();
    test(&["--from", "203.0.113.9", "--to", "203.0.113.1:0"]).any_end().any_stderr();
}

#[test]
fn rules_of_legacy_iptables_are_tried_as_well() {
    let Some(gate) = router() else { return };
    if let Err(said) =
        gate.router.try_sh("iptables-legacy -P FORWARD DROP && iptables-legacy-save >/dev/null")
    {
        skip(&format!("no legacy iptables here: {said}"));
        return;
    }
    gate.router.sh(
        "iptables-legacy -A FORWARD -p tcp --dport 22 -j ACCEPT; iptables-legacy -A FORWARD -p tcp --dport 23 -j REJECT
         iptables-legacy -t nat -A PREROUTING -i wa+ -p tcp --dport 2222 -j DNAT --to-destination 192.168.50.10:22",
    );
    let to = |port: u16| format!("192.168.50.10:{port}");
    for (port, rule) in [
        (23, "-p tcp -m tcp --dport 23 -j REJECT --reject-with icmp-port-unreachable"),
        (80, "policy drop"),
    ] {
        let answer = ask(&gate, &["--from", "203.0.113.10", "--to", &to(port)], 1);
        assert_eq!(
            (answer["rule"]["table"].as_str(), answer["rule"]["rule"].as_str()),
            (Some("filter"), Some(rule))
        );
    }
    ask(&gate, &["--from", "203.0.113.10", "--to", &to(22)], 0);
    let answer = ask(&gate, &["--from", "203.0.113.10", "--to", "203.0.113.1:2222"], 0);
    assert_eq!(answer["destination"], "192.168.50.10:22");
    assert!(answer["translated"][0]["rule"].as_str().unwrap().contains("-i wa+"), "{answer}");
}

#[test]
fn rules_of_iptables_that_nft_cannot_write_are_tried_as_well() {
    let Some(gate) = router() else { return };
    let rules =
        "iptables-nft -A FORWARD -p tcp --dport 21 -m recent --name seen ! --rcheck -j DROP";
    if let Err(said) = gate.router.try_sh(rules) {
        skip(&format!("no iptables with `recent` here: {said}"));
        return;
    }
    let answer = ask(&gate, &FROM_OUTSIDE, 1);
    assert_eq!(
        (answer["rule"]["chain"].as_str(), answer["verdict"].as_str()),
        (Some("FORWARD"), Some("dropped"))
    );
    ask(&gate, &["--from", "203.0.113.10", "--to", "192.168.50.10:22"], 0);
}

#[test]
fn a_bridge_and_its_ports_are_copied() {
    let Some(gate) = router() else { return };
    gate.router.sh("ip link add br0 type bridge; ip link set lan master br0; ip link set br0 up
         ip addr del 192.168.50.1/24 dev lan; ip addr add 192.168.50.1/24 dev br0
         echo 1 >/proc/sys/net/ipv4/conf/br0/forwarding");
    gate.router.try_rules("table inet fw {\n chain c {\n type filter hook forward priority 0\n iifname \"lan\" drop\n tcp dport 22 iifname \"br0\" drop\n }\n }").unwrap();
    for device in ["br0", "lan"] {
        let inside = |port: &str| ask_from_inside(&gate, device, port);
        assert_eq!(inside("21").0, "passes", "{device}: the filter sees the bridge");
        assert_eq!(
            inside("22"),
            ("dropped".into(), "tcp dport 22 iifname \"br0\" drop".into()),
            "{device}"
        );
    }
}

fn ask_from_inside(gate: &Gate, device: &str, port: &str) -> (String, String) {
    let to = format!("203.0.113.10:{port}");
    let program = Portolan::new().args([
        "nat",
        "test",
        "--json",
        "--from",
        "192.168.50.10",
        "--to",
        &to,
        "--in",
        device,
    ]);
    let mut ran = gate.router.within(|| program.run());
    let answer = ran.json();
    drop(ran.any_end().any_stderr());
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let at = |path: &str| answer.pointer(path).map(word).unwrap_or_default();
    (at("/verdict"), at("/rule/rule"))
}

/// Checks that the elements of large sets decide although none of them is copied that does not matter.
#[test]
fn large_sets_decide_as_small_ones_do() {
    let Some(gate) = router() else { return };
    let many = |first: u8| {
        let each: Vec<_> = (0..4_000)
            .map(|number| format!("{first}.9.{}.{}", number / 250, number % 250))
            .collect();
        each.join(", ")
    };
    let doors: Vec<_> = (0..4_000)
        .map(|number| format!("10.8.{}.{} . 80 : accept", number / 250, number % 250))
        .collect();
    let rules = format!(
        "table inet fw {{
            set plain {{\n type ipv4_addr\n elements = {{ 203.0.113.11, {} }}\n }}
            set nets {{\n type ipv4_addr\n flags interval\n elements = {{ 203.0.113.32/28, {} }}\n }}
            map doors {{\n type ipv4_addr . inet_service : verdict\n elements = {{ 203.0.113.12 . 21 : jump deny, {} }}\n }}
            map leads {{\n type ipv4_addr : ipv4_addr\n elements = {{ 203.0.113.1 : 192.168.50.10, {} }}\n }}
            chain deny {{\n drop\n }}
            chain pre {{\n type nat hook prerouting priority -100\n tcp dport 2100 dnat ip to ip daddr map @leads\n }}
            chain c {{
                type filter hook forward priority 0
                ip saddr @plain drop
                ip saddr @nets drop
                ip saddr . tcp dport vmap @doors
                ip daddr 192.168.50.10 tcp dport 2100 counter drop
            }}
        }}",
        many(10),
        many(11),
        doors.join(", "),
        many(12).split(", ").map(|address| format!("{address} : 192.168.50.9")).collect::<Vec<_>>().join(", "),
    );
    gate.router.try_rules(&rules).unwrap();
    for (from, to, rule) in [
        ("203.0.113.10", "192.168.50.10:21", None),
        ("203.0.113.11", "192.168.50.10:21", Some("ip saddr @plain drop")),
        ("203.0.113.40", "192.168.50.10:21", Some("ip saddr @nets drop")),
        ("203.0.113.48", "192.168.50.10:21", None),
        ("203.0.113.12", "192.168.50.10:21", Some("drop")),
        ("203.0.113.12", "192.168.50.10:22", None),
        (
            "203.0.113.10",
            "203.0.113.1:2100",
            Some("ip daddr 192.168.50.10 tcp dport 2100 counter drop"),
        ),
    ] {
        let code = i32::from(rule.is_some());
        let answer = ask(&gate, &["--from", from, "--to", to], code);
        assert_eq!(answer["rule"]["rule"].as_str(), rule, "{from} {to} {answer}");
    }
}
