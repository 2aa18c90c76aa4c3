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
const URL: &str = "ftp://tester:secret@203.0.113.10/";

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
    let plain = "proved by passive mode, plain, from 192.168.50.1";
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
    let ran = ran.stdout("office: applied\n").stderr_has("passive mode, TLS, from 192.168.50.1");
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
            .stderr_has("failed at this step: passive mode, plain, from 192.168.50.1 (")
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
        let words = "passive mode, plain, from 192.168.50.1; active mode, plain, from 192.168.50.1";
        drop(probed(&gate, &script).succeeds().any_stdout().stderr_has(words).any_stderr());
        gate.done(&script, &["revert"]);
    }
    // Nothing that the server begins leaves it.
    let closed = "table inet fw {\n chain c {\n type filter hook output priority 0\n tcp flags syn / syn,ack drop\n }\n }";
    gate.server.try_rules(closed).unwrap();
    let _server = server(&gate, &[], false);
    let failed = probed(&gate, &script).fails_with(7);
    drop(failed.stderr_has("at this step: active mode, plain, from 192.168.50.1 (").any_stderr());
    assert!(gate.done(&script, &["status"]).starts_with("office: missing"));
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
