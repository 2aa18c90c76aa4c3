//! Plans beside rules of others: each way of a ruleset is tried, what drops or diverts it is named, the remedy works, and
//! opens nothing else.

use std::fmt::Write as _;
use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::{Gate, echo};
use crate::support::server::skip;

/// A forward of a port, and the way out for everybody inside.
const WEB: &str = r#"
let rules = nat::ruleset("web");
rules.forward(#{ in: "wan", ports: 8080, to: "192.168.50.10" });
rules.forwarding(true);
rules.apply();
"#;

/// The network with an inside server, and an outside host that sends to private addresses as well.
fn lay() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    for port in [8080, 445] {
        echo(&gate.client, port);
    }
    Some(gate)
}

fn connects(gate: &Gate, address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    let time = Duration::from_millis(500);
    gate.server.within(|| TcpStream::connect_timeout(&address, time).is_ok())
}

/// Returns the warnings of a plan that tell of drops of others.
#[track_caller]
pub(super) fn told_drops(gate: &Gate, script: &str) -> Vec<String> {
    let mut told = warnings(gate, script);
    told.retain(|warning| warning.contains("an accept in portolan's table cannot overrule it"));
    told
}

/// Runs the command of each warning, which must have one.
#[track_caller]
pub(super) fn run_remedies(told: &[String], mut run: impl FnMut(&str)) {
    assert!(!told.is_empty());
    for warning in told {
        let (_, remedy) = warning.split_once("; run: ").unwrap_or_else(|| panic!("{warning}"));
        run(remedy);
    }
}

/// Returns the warnings of a plan.
#[track_caller]
fn warnings(gate: &Gate, script: &str) -> Vec<String> {
    let mut ran = gate.nat(script, &["plan", "--json"]).any_end();
    let document: Value = ran.json();
    drop(ran.any_stderr());
    let all = document.get("warnings").and_then(Value::as_array).unwrap().iter();
    all.map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn inet(name: &str, rules: &str) -> String {
    format!("table inet {name} {{\n{rules}\n}}")
}

fn forward(rules: &str) -> String {
    inet("fw", &format!("chain c {{\n type filter hook forward priority 10\n {rules}\n }}"))
}

/// The drops of others that no plan saw as long as it read only the last rule of a chain; each with the words that name it.
fn drops() -> Vec<(String, &'static str)> {
    vec![
        (forward("iifname \"wan\" drop"), "inet fw c (another script) drops `forward 8080 -> 192.168.50.10 from wan` by its rule `iifname \"wan\" drop`"),
        (forward("iifname { \"wan\", \"ppp0\" } counter drop"), "by its rule `iifname { \"wan\", \"ppp0\" } counter drop`"),
        (forward("tcp dport vmap { 8080 : drop, 22 : accept }"), "by its rule `tcp dport vmap { 22 : accept, 8080 : drop }`"),
        (forward("ct state vmap { new : drop, established : accept }"), "by its rule `ct state vmap"),
        (forward("ct state new reject with icmpx admin-prohibited"), "by its rule `ct state new reject"),
        (
            inet("fw", "chain deny {\n drop\n }\n chain c {\n type filter hook forward priority 0\n iifname \"wan\" jump deny\n }"),
            "inet fw deny (another script) drops",
        ),
        (
            inet("fw", "chain outer {\n tcp dport 1-65535 reject\n }\n chain c {\n type filter hook forward priority 0\n iifname vmap { \"wan\" : goto outer }\n }"),
            "inet fw outer (another script) drops",
        ),
        (
            inet("fw", "chain c {\n type filter hook prerouting priority -150\n iifname \"wan\" tcp dport 8080 drop\n }"),
            "inet fw c (another script) drops",
        ),
        (
            inet("fw", "chain c {\n type filter hook postrouting priority 150\n oifname \"lan\" ip daddr 192.168.50.10 drop\n }"),
            "inet fw c (another script) drops",
        ),
        (
            "table ip libvirt_network {\n chain guest_input {\n oifname \"lan\" ct state established accept\n oifname \"lan\" reject\n }\n \
             chain forward {\n type filter hook forward priority filter\n jump guest_input\n }\n }"
                .to_owned(),
            "ip libvirt_network guest_input (libvirt) drops",
        ),
        (
            "table ip filter {\n chain LIBVIRT_FWI {\n oifname \"lan\" reject\n }\n chain FORWARD {\n type filter hook forward priority filter\n \
             counter jump LIBVIRT_FWI\n }\n }"
                .to_owned(),
            "ip filter LIBVIRT_FWI (libvirt) drops",
        ),
        // As Docker makes it: only its own chain outlives its next start.
        (
            "table ip filter {\n chain DOCKER {\n iifname != \"docker0\" oifname \"docker0\" counter drop\n }\n chain DOCKER-USER {\n \
             counter return\n }\n chain FORWARD {\n type filter hook forward priority filter; policy drop;\n counter jump \
             DOCKER-USER\n oifname \"docker0\" ct state related,established counter accept\n oifname \"docker0\" counter jump \
             DOCKER\n iifname \"docker0\" oifname != \"docker0\" counter accept\n }\n }"
                .to_owned(),
            "ip filter FORWARD (docker) drops forwarded traffic by default (policy drop); an accept in portolan's table \
             cannot overrule it; run: iptables -I DOCKER-USER -i wan -o lan -d 192.168.50.10 -p tcp --dport 8080 ",
        ),
        (
            "table ip filter {\n chain FORWARD {\n type filter hook forward priority filter; policy drop;\n }\n }".to_owned(),
            "cannot overrule it; run: iptables -I FORWARD -i wan -o lan -d 192.168.50.10 -p tcp --dport 8080 ",
        ),
        (
            inet("fw", "chain c {\n type filter hook forward priority 0; policy drop;\n ct state established accept\n }"),
            "inet fw c (another script) drops forwarded traffic by default (policy drop)",
        ),
    ]
}

#[test]
fn every_drop_of_others_is_named_mended_and_told_no_more() {
    let Some(gate) = lay() else { return };
    gate.done(WEB, &["apply"]);
    assert!(connects(&gate, "203.0.113.1:8080"));
    for (rules, words) in drops() {
        gate.router.try_rules(&rules).unwrap();
        assert!(!connects(&gate, "203.0.113.1:8080"), "{rules}");
        let before = gate.rules();
        let told = warnings(&gate, WEB);
        assert_eq!(gate.rules(), before, "a plan changes nothing");
        let [warning] = told.as_slice() else { panic!("{rules}\n{told:?}") };
        assert!(warning.contains(words), "{rules}\n{warning}");
        let (_, remedy) = warning.split_once("; run: ").unwrap_or_else(|| panic!("{warning}"));
        let other = connects(&gate, "192.168.50.10:445");
        gate.router.sh(remedy);
        assert!(connects(&gate, "203.0.113.1:8080"), "{rules}\n{remedy}");
        assert_eq!(connects(&gate, "192.168.50.10:445"), other, "{rules}\n{remedy}");
        assert_eq!(warnings(&gate, WEB), Vec::<String>::new(), "{rules}\n{remedy}");
        let table = rules.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ");
        gate.router.sh(&format!("nft delete table {table}"));
    }
}

/// Checks rules of which one hides the other: both are told at once.
#[test]
fn a_drop_behind_a_drop_is_told_with_it() {
    let Some(gate) = lay() else { return };
    gate.done(WEB, &["apply"]);
    gate.router.try_rules(&forward("iifname \"wan\" drop")).unwrap();
    gate.router
        .try_rules(&inet(
            "second",
            "chain c {\n type filter hook postrouting priority 200\n tcp dport 8080 drop\n }",
        ))
        .unwrap();
    let told = warnings(&gate, WEB);
    let [first, second] = told.as_slice() else { panic!("{told:?}") };
    for warning in [first, second] {
        gate.router.sh(warning.split_once("; run: ").unwrap().1);
    }
    assert!(connects(&gate, "203.0.113.1:8080"));
    assert!(!connects(&gate, "192.168.50.10:445"));
}

#[test]
fn another_ruleset_of_ours_that_isolates_is_named() {
    let Some(gate) = lay() else { return };
    let isolated = r#"
        let rules = nat::ruleset("other");
        rules.allow(#{ in: "lan", out: "wan" });
        rules.isolate(true);
        rules.forwarding(true);
        rules.apply();
    "#;
    gate.done(isolated, &["apply"]);
    let told = warnings(&gate, WEB);
    let [warning] = told.as_slice() else { panic!("{told:?}") };
    let named = "inet portolan_other forward (another ruleset of portolan) drops";
    assert!(warning.starts_with(named), "{warning}");
    assert!(warning.contains("isolate: the rest"), "{warning}");
}

/// Checks the remedy for ports of the host: for their source alone, and for nothing else that the ruleset lets in.
#[test]
fn own_ports_are_opened_to_their_source_alone() {
    let Some(gate) = Gate::lay() else { return };
    let script = r#"
        let rules = nat::ruleset("own");
        rules.ftp_active(#{ ports: "40000-40009", server: "203.0.113.10" });
        rules.isolate(true);
        rules.apply();
    "#;
    for port in [22, 40003] {
        echo(&gate.router, port);
    }
    gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
    for rules in [
        "table inet fw {\n chain c {\n type filter hook input priority 0; policy drop;\n ct state established accept\n \
         iifname \"lan\" tcp dport 22 accept\n }\n }",
        "table ip filter {\n chain INPUT {\n type filter hook input priority filter; policy drop;\n ct state established counter accept\n }\n }",
    ] {
        gate.router.try_rules(rules).unwrap();
        gate.done(script, &["apply"]);
        let told = warnings(&gate, script);
        let [warning] = told.as_slice() else { panic!("{told:?}") };
        assert!(
            warning.contains("drops connections to this machine by default (policy drop)"),
            "{warning}"
        );
        assert!(!connects(&gate, "203.0.113.1:40003"));
        gate.router.sh(warning.split_once("; run: ").unwrap().1);
        assert!(connects(&gate, "203.0.113.1:40003"), "{warning}");
        assert!(!connects(&gate, "203.0.113.1:22"), "{warning}");
        gate.server.sh("ip route add 203.0.113.1 dev eth0 src 203.0.113.11");
        assert!(!connects(&gate, "203.0.113.1:40003"), "another host: {warning}");
        gate.server.sh("ip route del 203.0.113.1");
        assert_eq!(warnings(&gate, script), Vec::<String>::new());
        let table = rules.split_whitespace().skip(1).take(2).collect::<Vec<_>>().join(" ");
        gate.router.sh(&format!("nft delete table {table}"));
    }
}

#[test]
fn a_rule_that_leads_the_same_port_elsewhere_is_named_in_each_form() {
    let Some(gate) = lay() else { return };
    let nat = |priority: i32, rule: &str| {
        format!(
            "table ip theirs {{\n chain p {{\n type nat hook prerouting priority {priority}\n {rule}\n }}\n }}"
        )
    };
    let to = "dnat to 192.168.50.77";
    for rule in [
        format!("iifname {{ \"wan\", \"ppp0\" }} tcp dport 8080 {to}"),
        format!("iifname \"w*\" tcp dport 8000-8100 {to}"),
        format!("meta l4proto {{ tcp, udp }} th dport 8080 {to}"),
        "dnat to iifname . tcp dport map { \"wan\" . 8080 : 192.168.50.77 }".to_owned(),
        "tcp dport 8080 redirect to :80".to_owned(),
    ] {
        for (priority, first) in [(-100, "portolan's"), (-190, "theirs")] {
            gate.router.try_rules(&nat(priority, &rule)).unwrap();
            let told = warnings(&gate, WEB).join("\n");
            assert!(
                told.contains("ip theirs p leads port 8080 elsewhere as well ("),
                "{rule}\n{told}"
            );
            assert!(told.contains(&format!("heard of, which is {first}")), "{rule}\n{told}");
            let fault = gate.nat(WEB, &["apply"]).fails_with(7);
            drop(fault.stderr_has("(nat.conflict)").any_stderr());
            gate.router.sh("nft delete table ip theirs");
        }
    }
    // A rule for every port is told, and forbids nothing.
    gate.router.try_rules(&nat(-190, &format!("iifname \"wan\" {to}"))).unwrap();
    let told = warnings(&gate, WEB);
    assert!(
        told.iter().any(|one| one.contains("ip theirs p leads port 8080 elsewhere")),
        "{told:?}"
    );
    gate.done(WEB, &["apply"]);
    // Rules that hang below an address or interface of others are no rivals.
    gate.router.sh("nft delete table ip theirs");
    gate.router
        .try_rules(&nat(
            -190,
            &format!(
                "ip daddr 10.96.0.10 tcp dport 8080 {to}\niifname \"docker0\" tcp dport 8080 {to}"
            ),
        ))
        .unwrap();
    assert_eq!(warnings(&gate, WEB), Vec::<String>::new());
}

/// Checks the chains of a Kubernetes node: no service is told, since none of them takes what the forward wants.
#[test]
fn two_hundred_services_are_not_told_one_by_one() {
    let Some(gate) = lay() else { return };
    let (mut jumps, mut chains) = (String::new(), String::new());
    for number in 0..200 {
        let address = format!("10.96.{}.{}", number / 100, number % 100);
        writeln!(jumps, "ip daddr {address} tcp dport 8080 counter jump KUBE-SVC-{number}")
            .unwrap();
        write!(
            chains,
            "chain KUBE-SVC-{number} {{\n counter jump KUBE-SEP-{number}\n }}\n\
             chain KUBE-SEP-{number} {{\n meta l4proto tcp counter dnat to 10.244.0.{number}:8080\n }}\n"
        )
        .unwrap();
    }
    let rules = format!(
        "table ip nat {{\n{chains}chain KUBE-SERVICES {{\n{jumps}}}\nchain PREROUTING {{\n type nat hook prerouting priority dstnat\n \
         counter jump KUBE-SERVICES\n }}\n }}"
    );
    gate.router.try_rules(&rules).unwrap();
    assert_eq!(warnings(&gate, WEB), Vec::<String>::new());
    gate.done(WEB, &["apply"]);
    assert!(connects(&gate, "203.0.113.1:8080"));
}

#[test]
fn rules_of_legacy_iptables_are_tried_in_plans() {
    let Some(gate) = lay() else { return };
    if let Err(said) =
        gate.router.try_sh("iptables-legacy -P FORWARD DROP && iptables-legacy-save >/dev/null")
    {
        skip(&format!("no legacy iptables here: {said}"));
        return;
    }
    gate.done(WEB, &["apply"]);
    let told = warnings(&gate, WEB);
    let [warning] = told.as_slice() else { panic!("{told:?}") };
    assert!(warning.starts_with("ip filter FORWARD (iptables or another script) drops forwarded traffic by default (policy drop)"), "{warning}");
    gate.router.sh(warning.split_once("; run: ").unwrap().1);
    assert!(connects(&gate, "203.0.113.1:8080"), "{warning}");
    assert!(!connects(&gate, "192.168.50.10:445"), "{warning}");
    assert_eq!(warnings(&gate, WEB), Vec::<String>::new());
}

/// Checks that plans for iptables see the rules of nftables as well.
#[test]
fn the_iptables_backend_is_tried_beside_nftables() {
    let Some(gate) = lay() else { return };
    let plan = |gate: &Gate| {
        let mut ran = gate.nat(WEB, &["--backend", "iptables", "plan", "--json"]).any_end();
        let document: Value = ran.json();
        drop(ran.any_stderr());
        document["warnings"].as_array().unwrap().clone()
    };
    gate.router.try_rules(&forward("iifname \"wan\" drop")).unwrap();
    let told = plan(&gate);
    let [warning] = told.as_slice() else { panic!("{told:?}") };
    let warning = warning.as_str().unwrap();
    assert!(warning.contains("by its rule `iifname \"wan\" drop`"), "{warning}");
    let remedy = warning.split_once("; run: ").unwrap().1;
    gate.done(WEB, &["--backend", "iptables", "apply"]);
    assert!(!connects(&gate, "203.0.113.1:8080"));
    gate.router.sh(remedy);
    assert_eq!(plan(&gate), Vec::<Value>::new());
    assert!(connects(&gate, "203.0.113.1:8080"), "{remedy}");
    assert!(!connects(&gate, "192.168.50.10:445"), "{remedy}");
}

/// Checks that a way out is opened to its network alone, and not the way back.
#[test]
fn a_way_out_is_opened_to_its_network_alone() {
    let Some(gate) = lay() else { return };
    echo(&gate.server, 7000);
    let out = r#"
        let rules = nat::ruleset("out");
        rules.masquerade(#{ source: "192.168.50.0/25", out: "wan" });
        rules.forwarding(true);
        rules.apply();
    "#;
    gate.done(out, &["apply"]);
    gate.router.try_rules(&forward("ct state established accept\n drop")).unwrap();
    let told = warnings(&gate, out);
    let [warning] = told.as_slice() else { panic!("{told:?}") };
    assert!(warning.contains("(its last rule)"), "{warning}");
    assert!(!gate.reaches(7000));
    gate.router.sh(warning.split_once("; run: ").unwrap().1);
    assert!(gate.reaches(7000), "{warning}");
    assert!(!connects(&gate, "192.168.50.10:445"), "{warning}");
    gate.client.sh("ip addr add 192.168.50.200/24 dev eth0; ip route replace default via 192.168.50.1 src 192.168.50.200");
    assert!(!gate.reaches(7000), "{warning}");
    assert_eq!(warnings(&gate, out), Vec::<String>::new());
}
