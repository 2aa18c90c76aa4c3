//! Rulesets that are proved by FTP sessions during their trial.

use std::net::SocketAddr;

use super::Gate;
use crate::support::{program::Ran, rehearsal::Rehearsal, server::say_skipped};

const PLAIN: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });
rules.forwarding(true);
rules.apply();
"#;
const URL: &str = "ftp://tester:open+sesame-21@203.0.113.10/";

/// Starts a server outside of the gateway.
fn server(gate: &Gate, faults: &[&str], tls: bool) -> Rehearsal {
    let address: SocketAddr = "203.0.113.10:21".parse().unwrap();
    gate.server.sh("echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range");
    gate.server.within(|| Rehearsal::start_at(address, "203.0.113.10", faults, tls))
}

fn probed(gate: &Gate, script: &str) -> Ran {
    gate.nat(script, &["apply", "--probe", URL])
}

#[test]
fn a_ruleset_that_carries_sessions_from_inside_is_confirmed() {
    let Some(gate) = Gate::lay() else { return };
    let plain = "proved by passive mode, plain, from 192.168.50.254";
    {
        let _server = server(&gate, &[], false);
        let ran = probed(&gate, PLAIN).succeeds().stdout("office: applied\n");
        drop(ran.stderr_has(plain).any_stderr());
        assert!(gate.done(PLAIN, &["status"]).starts_with("office: applied since "));
        gate.done(PLAIN, &["revert"]);
    }
    let server = server(&gate, &[], true);
    let program = gate.portolan(PLAIN).file("ca.pem", server.server.ca_pem());
    let args = ["--set", "ca_file=ca.pem", "nat", "apply", "--probe", URL, "gate.rhai"];
    let ran = gate.router.within(|| program.args(args).run()).succeeds();
    let ran = ran.stdout("office: applied\n").stderr_has("passive mode, TLS, from 192.168.50.254");
    drop(ran.any_stderr());
}

#[test]
fn a_mode_that_does_not_get_through_rolls_back_and_is_named() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let closed = "table inet fw {\n chain c {\n type filter hook input priority 0\n tcp dport 40000-40099 drop\n }\n }";
    gate.server.try_rules(closed).unwrap();
    let _server = server(&gate, &[], false);
    let failed = probed(&gate, PLAIN).fails_with(7).stderr_has("(nat.probe_failed)");
    drop(
        failed
            .stderr_has("failed at this step: passive mode, plain, from 192.168.50.254 (")
            .stderr_has("the old rules are back")
            .any_stderr(),
    );
    assert_eq!(gate.rules(), before);
    assert_eq!(gate.forwards(), ["0", "0"]);
    // By a script.
    let script = PLAIN.replace("rules.apply()", &format!("rules.apply(#{{ probe: {URL:?} }})"));
    drop(gate.run(&script).any_code().stderr_has("(nat.probe_failed)").any_stdout().any_stderr());
    assert_eq!(gate.rules(), before);
    gate.server.sh("nft delete table inet fw");
    drop(
        gate.run(&script)
            .succeeds()
            .any_stdout()
            .stderr_has("proved by passive mode, plain")
            .any_stderr(),
    );
    assert!(gate.done(PLAIN, &["status"]).starts_with("office: applied since "));
    // What stands already is not taken back.
    gate.server.try_rules(closed).unwrap();
    drop(
        probed(&gate, PLAIN)
            .fails_with(7)
            .stderr_has("(nat.probe_failed)")
            .any_stdout()
            .any_stderr(),
    );
    assert!(gate.done(PLAIN, &["status"]).starts_with("office: applied since "));
}

#[test]
fn a_helper_must_carry_active_mode() {
    let Some(gate) = Gate::lay() else { return };
    let script = PLAIN.replace("rules.forwarding", "rules.ftp_helper(#{}); rules.forwarding");
    let ran = gate.nat(&script, &["apply"]);
    if ran.stderr_text().contains("nat.helper_missing") {
        drop(ran.fails_with(5).any_stderr());
        say_skipped("a_helper_must_carry_active_mode", "the kernel has no FTP connection tracking");
        return;
    }
    drop(ran.succeeds().any_stdout().any_stderr());
    gate.done(&script, &["revert"]);
    {
        let _server = server(&gate, &[], false);
        let words =
            "passive mode, plain, from 192.168.50.254; active mode, plain, from 192.168.50.254";
        drop(probed(&gate, &script).succeeds().any_stdout().stderr_has(words).any_stderr());
        gate.done(&script, &["revert"]);
    }
    // Nothing that the server begins leaves it.
    let closed = "table inet fw {\n chain c {\n type filter hook output priority 0\n tcp flags syn / syn,ack drop\n }\n }";
    gate.server.try_rules(closed).unwrap();
    let _server = server(&gate, &[], false);
    let failed = probed(&gate, &script).fails_with(7);
    drop(failed.stderr_has("at this step: active mode, plain, from 192.168.50.254 (").any_stderr());
    assert!(gate.done(&script, &["status"]).starts_with("office: missing"));
}

/// Filters see only what is forwarded: a session that begins on the gateway is not dropped by them.
#[test]
fn the_session_is_forwarded_and_so_is_what_the_server_opens() {
    let Some(gate) = Gate::lay() else { return };
    let _server = server(&gate, &[], false);
    let before = gate.router.read("ip -o link | sort; tc qdisc show dev lan; ip route");
    let script = PLAIN.replace("rules.forwarding", "rules.ftp_helper(#{}); rules.forwarding");
    let filter = |rule: &str| {
        format!(
            "table inet fw {{
                chain c {{
                    type filter hook forward priority 0
                    {rule}
                }}
            }}"
        )
    };
    let planned = gate.nat(&script, &["plan"]).any_code();
    let has_helper = !planned.stderr_text().contains("nat.helper_missing");
    drop(planned.any_stdout().any_stderr());
    let script = if has_helper { script.as_str() } else { PLAIN };
    // Of what the server opens, only the kernel knows why it does not pass.
    let is_named = |step: &str| !step.starts_with("active");
    for (rule, step) in [
        ("tcp dport 21 drop", Some("login")),
        ("tcp dport 40000-40099 drop", Some("passive mode, plain")),
        ("iifname \"wan\" ct state related drop", has_helper.then_some("active mode, plain")),
        // The interface is that of the clients, on both ways.
        ("iifname != { \"lan\", \"wan\" } drop", None),
        ("oifname != { \"lan\", \"wan\" } drop", None),
        ("iifname \"lan\" ip saddr != 192.168.50.0/24 drop", None),
    ] {
        gate.router.try_rules(&filter(rule)).unwrap();
        let ran = probed(&gate, script);
        if let Some(step) = step {
            let words = format!("failed at this step: {step}, from 192.168.50.254 (");
            let ran = ran.fails_with(7).stderr_has("(nat.probe_failed)");
            let ran = ran.stderr_has(&words).stderr_has("the old rules are back");
            let named = format!("; here dropped by inet fw c: {rule}");
            assert_eq!(ran.stderr_text().contains(&named), is_named(step), "{}", ran.stderr_text());
            drop(ran.any_stderr());
            assert!(gate.done(script, &["status"]).starts_with("office: missing"), "{rule}");
        } else {
            let words = "proved by passive mode, plain, from 192.168.50.254";
            drop(ran.succeeds().any_stdout().stderr_has(words).any_stderr());
            gate.done(script, &["revert"]);
        }
        gate.router.sh("nft delete table inet fw");
    }
    let after = gate.router.read("ip -o link | sort; tc qdisc show dev lan; ip route");
    assert_eq!(after, before, "nothing is left of the client's place");
}

/// Checks rulesets of other shapes: a bridge inside, and a strict filter against forged sources.
#[test]
fn a_bridge_inside_and_a_strict_reverse_path_filter_are_no_obstacle() {
    let Some(gate) = Gate::lay() else { return };
    gate.router.sh("ip addr flush dev lan; ip link add br0 type bridge; ip link set br0 up
        ip link set lan master br0; ip addr add 192.168.50.1/24 dev br0
        echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 1 >/proc/sys/net/ipv4/conf/br0/rp_filter");
    let _server = server(&gate, &[], false);
    let script = PLAIN.replace("192.168.50.0/24", "0.0.0.0/0");
    let words = "proved by passive mode, plain, from 192.168.50.254";
    drop(probed(&gate, &script).succeeds().any_stdout().stderr_has(words).any_stderr());
}

/// Checks the range of a client in active mode, plain and under TLS: from that client's own address, unless it is there.
#[test]
fn a_range_is_proved_from_the_place_of_its_client() {
    let Some(gate) = Gate::lay() else { return };
    let server = server(&gate, &[], true);
    let script = PLAIN.replace(
        "rules.forwarding",
        "rules.ftp_active(#{ ports: \"41000-41009\", to: \"192.168.50.77\", in: \"wan\" }); rules.forwarding",
    );
    let probed = |script: &str| {
        let program = gate.portolan(script).file("ca.pem", server.server.ca_pem());
        let args = ["--set", "ca_file=ca.pem", "nat", "apply", "--probe", URL, "gate.rhai"];
        gate.router.within(|| program.args(args).run())
    };
    let ran = probed(&script).succeeds().any_stdout();
    let ran = ran.stderr_has("active mode, plain, from 192.168.50.77");
    drop(ran.stderr_has("active mode, TLS, from 192.168.50.77").any_stderr());
    gate.done(&script, &["revert"]);
    // Under TLS, only the range is left, and it is dropped.
    gate.router
        .try_rules("table inet fw {\n chain c {\n type filter hook forward priority 0\n tcp dport 41000-41009 drop\n }\n }")
        .unwrap();
    let failed = probed(&script).fails_with(7);
    let words = "at this step: active mode, plain, from 192.168.50.77 (";
    drop(failed.stderr_has(words).any_stdout().any_stderr());
    gate.router.sh("nft delete table inet fw");
    let taken = script.replace("192.168.50.77", "192.168.50.10");
    let words = "active mode to a range not tried (no client's place inside: 192.168.50.10 is there itself)";
    drop(probed(&taken).succeeds().any_stdout().stderr_has(words).any_stderr());
}

#[test]
fn a_server_that_does_not_answer_or_a_url_that_is_none_applies_nothing() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    drop(probed(&gate, PLAIN).fails_with(7).stderr_has("at this step: ").any_stderr());
    assert_eq!(gate.rules(), before);
    let wrong = gate.nat(PLAIN, &["apply", "--probe", "http://203.0.113.10/"]);
    drop(wrong.any_end().stderr_has("http").any_stderr());
    assert_eq!(gate.rules(), before);
}
