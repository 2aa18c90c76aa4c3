//! Remarks of plans on the script and on the host, besides remedies for drops of others: followed, each makes the
//! connection pass that it is about, and no other.

use serde_json::Value;

use super::{
    Gate, OFFICE, echo, echo_at,
    reach::{connects, each_filter},
};
use crate::support::net::Space;

/// A gateway that lets nothing in.
const ISOLATED: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });
// more
rules.isolate(true);
rules.forwarding(true);
rules.apply();
"#;

/// Returns the document of a plan.
fn plan(gate: &Gate, script: &str) -> Value {
    let mut ran = gate.nat(script, &["plan", "--json"]).any_end();
    let document = ran.json();
    drop(ran.any_stderr());
    document
}

/// Returns the warning of a plan that has these words.
#[track_caller]
fn warning(gate: &Gate, script: &str, words: &str) -> String {
    let document = plan(gate, script);
    let all = document.get("warnings").and_then(Value::as_array).unwrap();
    let mut found = all.iter().map(|one| one.as_str().unwrap().to_owned());
    found.find(|one| one.contains(words)).unwrap_or_else(|| panic!("{document:#}"))
}

/// Returns the text in backquotes that begins like this.
#[track_caller]
fn quoted(warning: &str, beginning: &str) -> String {
    let mut parts = warning.split('`').skip(1).step_by(2);
    let found = parts.find(|part| part.starts_with(beginning));
    found.unwrap_or_else(|| panic!("{warning}")).to_owned()
}

/// Makes the router a host of Docker as well: a container at 172.17.0.2 with port 80 published as 8081, and 3306 that is
/// not.
fn with_docker(gate: &Gate) -> Option<Space> {
    let container = Space::open()?;
    gate.router.wire("docker0", &container, "eth0");
    gate.router.sh("ip addr add 172.17.0.1/16 dev docker0");
    container.sh("ip addr add 172.17.0.2/16 dev eth0; ip route add default via 172.17.0.1");
    for port in [80, 3306] {
        echo(&container, port);
    }
    gate.router.sh(
        "echo 1 >/proc/sys/net/ipv4/ip_forward
        iptables -t nat -N DOCKER
        iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
        iptables -N DOCKER
        iptables -N DOCKER-USER
        iptables -P FORWARD DROP
        iptables -A FORWARD -j DOCKER-USER
        iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A FORWARD -o docker0 -j DOCKER
        iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
        iptables -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT
        iptables -A DOCKER-USER -j RETURN",
    );
    gate.server.sh("ip route add 172.17.0.0/16 via 203.0.113.1");
    Some(container)
}

#[test]
fn the_allow_for_dockers_bridge_passes_its_published_ports() {
    each_filter(|gate, filter| {
        let Some(_container) = with_docker(gate) else { return };
        let published = || connects(&gate.server, "203.0.113.1:8081");
        let unnamed = || connects(&gate.server, "172.17.0.2:3306");
        assert!(published() && !unnamed(), "{filter}");
        let told = warning(gate, ISOLATED, "docker's containers");
        drop(
            gate.nat(ISOLATED, &["apply", "--backend", filter])
                .succeeds()
                .any_stdout()
                .any_stderr(),
        );
        assert!(!published(), "{filter}");
        let part = format!("{};", quoted(&told, "rules.allow("));
        let mended = ISOLATED.replace("// more", &part);
        drop(
            gate.nat(&mended, &["apply", "--backend", filter]).succeeds().any_stdout().any_stderr(),
        );
        assert!(published(), "{filter}: {part}");
        assert!(!unnamed(), "{filter}: {part}");
        echo(&gate.client, 445);
        gate.route_back();
        assert!(!connects(&gate.server, "192.168.50.10:445"), "{filter}: {part}");
    });
}

#[test]
fn forwarding_that_is_missing_is_told_with_what_switches_it_on() {
    let Some(gate) = Gate::lay() else { return };
    gate.route_back();
    echo(&gate.server, 7000);
    echo(&gate.client, 445);
    let idle = ISOLATED.replace("rules.forwarding(true);", "// forwarding");
    let told = warning(&gate, &idle, "the kernel does not pass packets on");
    drop(gate.nat(&idle, &["apply"]).succeeds().any_stdout().any_stderr());
    assert!(!gate.reaches(7000));
    let part = format!("rules.{};", quoted(&told, "forwarding("));
    // The doctor of this host says so as well.
    let program = gate.portolan(&idle).args(["doctor"]);
    let ran = gate.router.within(|| program.run()).succeeds();
    assert!(ran.stdout_text().contains(part.trim_end_matches(';')), "{}", ran.stdout_text());
    drop(ran.any_stdout());
    gate.done(&idle.replace("// forwarding", &part), &["apply"]);
    assert!(gate.reaches(7000), "{part}");
    assert!(!connects(&gate.server, "192.168.50.10:445"), "{part}");
}

#[test]
fn ipv6_that_is_turned_off_is_told_with_what_turns_it_on() {
    let Some(gate) = Gate::lay() else { return };
    gate.router.sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    let script = r#"
        let rules = nat::ruleset("six");
        rules.allow(#{ in: "wan", out: "lan", to: "2001:db8:50::10", ports: 8021 });
        rules.isolate(true);
        rules.forwarding(true);
        rules.apply();
    "#;
    let told = warning(&gate, script, "which is turned off");
    let (_, remedy) = told.split_once("; run: ").unwrap();
    gate.router.sh(remedy);
    gate.add_ipv6();
    for port in [8021, 445] {
        echo_at(&gate.client, &format!("[2001:db8:50::10]:{port}"));
    }
    drop(gate.nat(script, &["apply"]).succeeds().any_stdout().any_stderr());
    assert!(connects(&gate.server, "[2001:db8:50::10]:8021"), "{remedy}");
    assert!(!connects(&gate.server, "[2001:db8:50::10]:445"), "{remedy}");
    let document = plan(&gate, script);
    assert_eq!(document["warnings"].as_array().unwrap().len(), 0, "{document:#}");
}

/// Checks the three ways out that a plan names where `to` is an address that the host no longer has.
#[test]
fn a_source_address_that_is_gone_is_mended_in_each_way_that_is_told() {
    for way in ["now", "none", "routed"] {
        let Some(gate) = Gate::lay() else { return };
        gate.route_back();
        echo(&gate.server, 7000);
        echo(&gate.client, 445);
        gate.server.sh("ip route replace 192.168.50.0/24 via 203.0.113.7");
        gate.router.sh("ip addr del 203.0.113.1/24 dev wan; ip addr add 203.0.113.7/24 dev wan");
        let to = ", to: \"203.0.113.1\" ";
        let script = ISOLATED.replace("out: \"wan\" ", &format!("out: \"wan\"{to}"));
        assert_ne!(script, ISOLATED);
        let told = warning(&gate, &script, "203.0.113.1, which no interface has");
        drop(gate.nat(&script, &["apply"]).succeeds().any_stdout().any_stderr());
        assert!(!gate.reaches(7000), "{way}");
        let mended = match way {
            "now" => {
                let (_, now) = told.split_once("(wan has ").unwrap_or_else(|| panic!("{told}"));
                let (now, _) = now.split_once(')').unwrap();
                script.replace(to, &format!(", to: {now:?} "))
            }
            "none" => script.replace(to, ""),
            _ => {
                gate.router.sh(&quoted(&told, "ip route "));
                script
            }
        };
        let ran = gate.nat(&mended, &["apply"]).succeeds().any_stdout().any_stderr();
        drop(ran.never_says("which no interface has"));
        assert!(gate.reaches(7000), "{way}: {told}");
        assert!(!connects(&gate.server, "192.168.50.10:445"), "{way}: {told}");
    }
}

/// Checks the commands of a plan as JSON, run by hand: they are what `apply` does.
#[test]
fn the_commands_of_a_plan_make_the_same_gateway() {
    each_filter(|gate, filter| {
        gate.route_back();
        echo(&gate.server, 7000);
        for port in [8080, 445] {
            echo(&gate.client, port);
        }
        let forward = r#"rules.forward(#{ in: "wan", ports: 8080, to: "192.168.50.10" });"#;
        let script = ISOLATED.replace("// more", forward);
        let mut ran = gate.nat(&script, &["plan", "--json", "--backend", filter]).fails_with(2);
        let document = ran.json();
        drop(ran.any_stderr());
        let commands = document["commands"].as_array().unwrap().iter();
        let commands: Vec<_> = commands.map(|one| one.as_str().unwrap()).collect();
        gate.router.sh(&commands.join("\n"));
        assert!(gate.reaches(7000), "{commands:#?}");
        assert!(connects(&gate.server, "203.0.113.1:8080"), "{commands:#?}");
        assert!(!connects(&gate.server, "192.168.50.10:445"), "{commands:#?}");
        let rules = gate.rules();
        drop(
            gate.nat(&script, &["apply", "--backend", filter]).succeeds().any_stdout().any_stderr(),
        );
        assert_eq!(gate.rules(), rules, "{filter}");
    });
}

/// Checks the order of the administrator: rules of others, and then the file for boot, loaded as one transaction.
#[test]
fn a_reload_that_includes_the_file_for_boot_is_one_transaction() {
    let Some(gate) = Gate::lay() else { return };
    let root = gate.state.path().join("root");
    let apply = format!("rules.apply(#{{ persist: \"{}\" }})", root.display());
    let lasting = OFFICE.replace("rules.apply()", &apply);
    gate.done(&lasting, &["apply"]);
    let rules = gate.rules();
    let folder = root.join("etc/portolan/nat");
    let main = gate.state.path().join("nftables.conf");
    let theirs = "table inet theirs {\n chain c {\n type filter hook input priority 0\n tcp dport 1 drop\n }\n}";
    let reload = |last: &str| {
        let text =
            format!("flush ruleset\n{theirs}\ninclude \"{}/*.nft\"\n{last}\n", folder.display());
        std::fs::write(&main, text).unwrap();
        gate.router.try_sh(&format!("nft -f {}", main.display()))
    };
    // What fails leaves all as it was: nothing of it is in force in between.
    reload("add rule inet nothing c drop").unwrap_err();
    assert_eq!(gate.rules(), rules);
    reload("").unwrap();
    assert!(gate.rules().contains("table inet theirs"), "{}", gate.rules());
    let status = gate.done(&lasting, &["status"]);
    assert!(status.starts_with("office: applied since "), "{status}");
}
