//! Causes between client and server, told rightly: a load balancer, a filter of this host, a gateway.

use serde_json::Value;

use super::{DATABASE, HOST, SILENCE, Segment};
use crate::{
    nat::{
        rules::{Gate, OFFICE},
        world::{Plan, Range, Router, World},
    },
    support::{
        net::Space,
        program::Portolan,
        rehearsal::Rehearsal,
        server::{find, skip},
    },
};

/// The reply to STAT of a server that sees all clients at an address of its own side.
const BALANCED: &str = "reply=STAT:211-Status:\\r\\n Connected to ::ffff:192.168.0.1\\r\\n211 End";
/// No connection comes in to the client.
const NO_ACTIVE: &str = "nft add table inet f
    nft 'add chain inet f i { type filter hook input priority 0; }'
    nft add rule inet f i tcp dport '>= 1024' ct state new drop";

fn serve(host: &Space, faults: &[&str]) -> Rehearsal {
    let address = std::net::SocketAddr::from((HOST, 21));
    let server = host.within(|| Rehearsal::start_at(address, &HOST.to_string(), faults, false));
    server.file("a", "hello");
    server
}

fn doctor(client: &Space) -> Value {
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args([
        "doctor",
        &format!("ftp://tester@{HOST}/"),
        "--json",
        "--read-only",
        "--set",
        "connect_timeout=1s",
    ]);
    let mut ran = client.within(|| program.run()).any_code().any_stderr();
    let found = ran.json();
    drop(ran);
    found
}

#[test]
fn a_load_balancer_is_no_nat_of_the_client() {
    let Some(segment) = Segment::lay() else { return };
    segment.client.sh(NO_ACTIVE);
    let _server = serve(&segment.host, &[BALANCED]);
    let found = doctor(&segment.client);
    let verdict = found["verdict"].as_str().unwrap();
    assert!(verdict.contains("a load balancer or proxy stands before the server"), "{verdict}");
    assert!(!verdict.contains("behind NAT"), "{verdict}");
    let script = format!(
        "let site = ftp::connect(\"ftp://tester@{HOST}\", #{{ password: \"open+sesame-21\" }});
        let found = nat::detect(site);
        print(`${{found.balancer}} ${{found.client_nat}} ${{found.mode}} ${{found.advice}}`);"
    );
    let ran = segment.client.within(|| Portolan::new().script(&script).run()).succeeds();
    let told = ran.stdout_text().to_owned();
    assert!(told.starts_with("true false passive A load balancer or proxy"), "{told}");
    assert!(!told.contains("announce 192.168.0.1"), "{told}");
    drop(ran.any_stdout());
}

#[test]
fn a_filter_of_this_host_is_named_before_the_server_is_blamed() {
    let Some(segment) = Segment::lay() else { return };
    segment.client.sh(NO_ACTIVE);
    segment.client.sh("nft 'add chain inet f leaving { type filter hook output priority 0; }'
        nft add rule inet f leaving ct state established accept
        nft add rule inet f leaving tcp dport 21 accept
        nft add rule inet f leaving tcp dport '>= 1024' drop");
    let _server = serve(&segment.host, &[]);
    let found = doctor(&segment.client);
    let verdict = found["verdict"].as_str().unwrap();
    assert!(
        verdict.contains("this machine's own filter `inet f leaving` lets not all out"),
        "{verdict}"
    );
    let rules = found["rules"].as_array().unwrap();
    let here: Vec<_> = rules.iter().filter(|rule| rule["side"] == "here").collect();
    let [rule] = here.as_slice() else { panic!("{found:#}") };
    let command = rule["nft"].as_str().unwrap();
    assert!(
        command.starts_with("nft insert rule inet f leaving ip daddr 203.0.113.10 "),
        "{command}"
    );
    let database = std::net::SocketAddr::from((HOST, DATABASE));
    let _database = segment.host.within(|| std::net::TcpListener::bind(database).unwrap());
    segment.client.sh(command);
    segment.is_open("passive", HOST.into());
    let reached = || std::net::TcpStream::connect_timeout(&database, SILENCE).is_ok();
    assert!(!segment.client.within(reached), "{command}");
    segment.client.sh("nft delete table inet f");
    assert!(segment.client.within(reached), "a closed port would be no proof");
}

#[test]
fn without_a_url_the_doctor_tells_of_this_host_as_a_gateway() {
    let Some(gate) = Gate::lay() else { return };
    let doctor = |arguments: &[&str]| {
        let program = Portolan::new().env("PORTOLAN_STATE", gate.state.path()).args(["doctor"]);
        let program = program.args(arguments.to_vec());
        let ran = gate.router.within(|| program.run()).succeeds();
        let text = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        text
    };
    gate.router.sh("nft add table inet theirs
        nft 'add chain inet theirs through { type filter hook forward priority 5; policy drop; }'");
    assert!(doctor(&[]).contains("translates addresses, but forwards nothing"));
    gate.done(OFFICE, &["apply"]);
    let page = doctor(&[]);
    assert!(page.contains("a gateway: forwards packets and translates addresses"), "{page}");
    assert!(
        page.contains("inet theirs through (another script) drops what is forwarded"),
        "{page}"
    );
    let found: Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    let gateway = &found["gateway"];
    let list = |key: &str| {
        gateway[key].as_array().unwrap().iter().map(Value::to_string).collect::<String>()
    };
    assert!(
        list("forwarding").contains("lan") && list("forwarding").contains("wan"),
        "{gateway:#}"
    );
    assert!(list("masquerades").contains("inet portolan_office"), "{gateway:#}");
    assert!(list("forwards").contains("192.168.50.10"), "{gateway:#}");
}

/// The network: `client 192.168.50.10 -- 192.168.50.1 router 203.0.113.1 -- 203.0.113.10 server`.
#[test]
fn the_chart_has_the_router_and_the_step_that_fails_in_each_format() {
    let plan =
        Plan { router: Router::Masquerade, network: "192.168.50", gate: false, range: Range::Open };
    let Some(world) = World::lay("the_chart_has_the_router", plan) else { return };
    let status = "reply=STAT:211-Status:\\r\\n Connected to ::ffff:203.0.113.1\\r\\n211 End";
    let _server = serve(&world.server, &[status]);
    let printed = |arguments: &[&str]| {
        let url = format!("ftp://tester@{HOST}/");
        let program = Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .args(["doctor", &url, "--read-only", "--set", "connect_timeout=1s"])
            .args(arguments.to_vec());
        let ran = world.client.within(|| program.run()).succeeds().any_stderr();
        let text = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        text
    };
    // The page is wrapped.
    let text = printed(&["--chart", "text"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.starts_with("Passive mode, to be used"), "{text}");
    assert!(
        text.contains("router 192.168.50.1 | 203.0.113.1: reads PORT (helper), or forwards"),
        "{text}"
    );
    assert!(
        text.contains("2. → EPRT: this machine names 192.168.50.10:")
            && text.contains("✗ the server said"),
        "{text}"
    );
    assert!(!text.contains("What firewalls"), "{text}");
    let mermaid = printed(&["--chart", "mermaid"]);
    assert!(mermaid.starts_with("sequenceDiagram\n"), "{mermaid}");
    assert!(mermaid.contains("participant R as router 192.168.50.1 / 203.0.113.1"), "{mermaid}");
    assert!(mermaid.contains("C-xS: 2. EPRT"), "{mermaid}");
    let svg = printed(&["--chart", "svg"]);
    assert!(svg.starts_with("<svg ") && svg.contains("192.168.50.1 | 203.0.113.1"), "{svg}");
    let channels = printed(&["--channels"]);
    // A heading, and each of four connections in both directions.
    assert_eq!(channels.lines().count(), 9, "{channels}");
    assert_eq!(channels.matches("with ACK only").count(), 4, "{channels}");
    assert!(printed(&[]).contains("1. → "));
}

/// Checks that the chart names the rule of this host at the step that it breaks, for each direction and for the login.
#[test]
fn the_chart_names_the_rule_that_breaks_a_step() {
    let Some(segment) = Segment::lay() else { return };
    let _server = serve(&segment.host, &[]);
    let printed = |format: &[&str]| {
        let url = format!("ftp://tester@{HOST}/");
        let program = Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .args(["doctor", &url, "--read-only", "--set", "connect_timeout=1s"])
            .args(format.to_vec());
        let ran = segment.client.within(|| program.run()).any_code().any_stderr();
        let text = ran.stdout_text().split_whitespace().collect::<Vec<_>>().join(" ");
        drop(ran.any_stdout());
        text
    };
    for (rules, named, mode, step) in [
        (
            "chain out { type filter hook output priority 0; tcp dport 50000-50009 counter drop; }",
            "dropped by inet fw out: tcp dport 50000-50009 counter",
            "passive",
            4,
        ),
        (
            "chain in { type filter hook input priority 0; policy drop; ct state established accept; }",
            "dropped by inet fw in: policy drop",
            "active",
            3,
        ),
        (
            "chain out { type filter hook output priority 0; tcp dport 21 reject; }",
            "dropped by inet fw out: tcp dport 21 reject",
            "passive",
            1,
        ),
    ] {
        segment
            .client
            .try_rules(&format!("table inet fw {{\n{}\n}}", rules.replace("; ", "\n")))
            .unwrap();
        let text = printed(&["--chart", "text"]);
        assert!(text.contains(named), "{rules}: {text}");
        assert!(printed(&["--chart", "svg"]).contains(named), "{rules}");
        let mermaid = printed(&["--chart", "mermaid"]);
        assert!(mermaid.contains(&named.replace(['<', '>'], " ")), "{rules}: {mermaid}");
        let found: Value = serde_json::from_str(&printed(&["--json"])).unwrap();
        let breaks = found["breaks"].as_array().unwrap();
        let one = breaks.iter().find(|one| one["rule"].is_string()).unwrap();
        assert_eq!(
            (one["mode"].as_str(), one["step"].as_u64()),
            (Some(mode), Some(step)),
            "{found:#}"
        );
        assert!(one["rule"].as_str().unwrap().starts_with(named), "{found:#}");
        segment.client.sh("nft delete table inet fw");
        assert!(
            !printed(&["--chart", "text"]).contains("dropped by"),
            "what is mended is told no more"
        );
    }
}

/// The network: `client 192.168.50.10 -- 192.168.50.1 router 100.64.0.9 -- 100.64.0.1 carrier 203.0.113.1 -- server`. The
/// home router tells its outside address by NAT-PMP (RFC 6886, 3.2).
#[test]
fn a_carriers_nat_behind_the_home_router_is_recognized() {
    let spaces = [Space::open(), Space::open(), Space::open(), Space::open()];
    let [Some(client), Some(router), Some(carrier), Some(host)] = spaces else { return };
    client.wire("eth0", &router, "lan");
    router.wire("wan", &carrier, "lan");
    carrier.wire("wan", &host, "eth0");
    client.sh("ip addr add 192.168.50.10/24 dev eth0; ip route add default via 192.168.50.1");
    router.sh("ip addr add 192.168.50.1/24 dev lan; ip addr add 100.64.0.9/24 dev wan
        ip route add default via 100.64.0.1");
    carrier.sh("ip addr add 100.64.0.1/24 dev lan; ip addr add 203.0.113.1/24 dev wan");
    host.sh(&format!("ip addr add {HOST}/24 dev eth0"));
    for gateway in [&router, &carrier] {
        gateway.sh("echo 1 >/proc/sys/net/ipv4/ip_forward; nft add table ip hide
            nft 'add chain ip hide out { type nat hook postrouting priority srcnat; }'
            nft add rule ip hide out oifname wan masquerade");
    }
    let socket = router.within(|| std::net::UdpSocket::bind("192.168.50.1:5351").unwrap());
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            // Of NAT-PMP, the question for the outside address; to anything else it is silent.
            if bytes.get(..count) == Some(&[0, 0]) {
                socket.send_to(&[0, 128, 0, 0, 0, 0, 0, 9, 100, 64, 0, 9], from).ok();
            }
        }
    });
    let status = "reply=STAT:211-Status:\\r\\n Connected to ::ffff:203.0.113.1\\r\\n211 End";
    let _server = serve(&host, &[status]);
    let script = format!(
        "let site = ftp::connect(\"ftp://tester@{HOST}\", #{{ password: \"open+sesame-21\" }});
        let found = nat::detect(site);
        print(`${{found.cgnat}} ${{found.client_nat}} ${{found.mode}} ${{found.router_outside}} ${{found.advice}}`);"
    );
    let ran = client.within(|| Portolan::new().script(&script).run()).succeeds();
    let told = ran.stdout_text().to_owned();
    let wanted = "true true passive 100.64.0.9 The router 192.168.50.1 is itself behind NAT, with 100.64.0.9 outside";
    assert!(told.starts_with(wanted), "{told}");
    drop(ran.any_stdout().any_stderr());
}

/// A translator between the families (NAT64, RFC 6146), which ends with the test.
struct Translator {
    process: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Translator {
    /// Starts tayga on a router. `None` if it is missing, which has then been reported.
    fn start(router: &Space) -> Option<Self> {
        let Some((program, _)) = find("tayga") else {
            skip("no tayga here: run tests/servers/install");
            return None;
        };
        let folder = tempfile::TempDir::new().unwrap();
        let configuration = folder.path().join("tayga.conf");
        let text = format!(
            "tun-device nat64\nipv4-addr 192.168.255.1\nprefix 2001:db8:1:ffff::/96\n\
             dynamic-pool 192.168.255.0/24\ndata-dir {}\n",
            folder.path().display()
        );
        std::fs::write(&configuration, text).unwrap();
        let command = |option: &str| {
            let mut command = std::process::Command::new(&program);
            command.arg("-c").arg(&configuration).arg(option);
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            command
        };
        let made = router.within(|| command("--mktun").status().unwrap());
        assert!(made.success());
        router.sh("ip link set nat64 up; ip route add 192.168.255.0/24 dev nat64
            ip route add 2001:db8:1:ffff::/96 dev nat64");
        let process = router.within(|| command("--nodetach").spawn().unwrap());
        Some(Self { process, _folder: folder })
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The network: `client 2001:db8:64::10 -- 2001:db8:64::1 router (NAT64) 203.0.113.1 -- 203.0.113.10 server`.
#[test]
fn through_nat64_passive_mode_works_and_no_address_is_announced() {
    let spaces = [Space::open(), Space::open(), Space::open()];
    let [Some(client), Some(router), Some(host)] = spaces else { return };
    client.wire("eth0", &router, "lan");
    router.wire("wan", &host, "eth0");
    client.sh(
        "ip addr add 2001:db8:64::10/64 dev eth0 nodad; ip route add default via 2001:db8:64::1",
    );
    router.sh("ip addr add 2001:db8:64::1/64 dev lan nodad; ip addr add 203.0.113.1/24 dev wan
        echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        nft add table ip hide
        nft 'add chain ip hide out { type nat hook postrouting priority srcnat; }'
        nft add rule ip hide out oifname wan masquerade");
    host.sh(&format!("ip addr add {HOST}/24 dev eth0"));
    let Some(_translator) = Translator::start(&router) else { return };
    let status = "reply=STAT:211-Status:\\r\\n Connected to ::ffff:203.0.113.1\\r\\n211 End";
    let _server = serve(&host, &[status]);
    let script = "let site = ftp::connect(\"ftp://tester@[2001:db8:1:ffff::cb00:710a]\", #{
            password: \"open+sesame-21\", mode: args[0], data_timeout: \"5s\",
        });
        let found = nat::detect(site);
        print(`${site.read(\"/a\")} ${site.route} ${found.mode} ${found.advice}`);";
    for mode in ["passive", "auto", "active"] {
        let ran = client.within(|| Portolan::new().script(script).args([mode]).run()).succeeds();
        let told = ran.stdout_text().to_owned();
        assert!(told.starts_with("hello epsv passive "), "{mode}: {told}");
        assert!(told.contains("NAT64") && !told.contains("announce"), "{mode}: {told}");
        drop(ran.any_stdout().any_stderr());
    }
}
