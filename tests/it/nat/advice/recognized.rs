//! Causes between client and server, told rightly: a load balancer, a filter of this host, a gateway.

use serde_json::Value;

use super::{HOST, Segment};
use crate::{
    nat::{
        rules::{Gate, OFFICE},
        world::{Plan, Range, Router, World},
    },
    support::{net::Space, program::Portolan, rehearsal::Rehearsal},
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
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "secret").args([
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
        "let site = ftp::connect(\"ftp://tester@{HOST}\", #{{ password: \"secret\" }});
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
    segment.client.sh(command);
    segment.is_open("passive", HOST.into());
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
            .env("PORTOLAN_PASSWORD", "secret")
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
