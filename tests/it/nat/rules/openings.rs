//! Active mode uses the range that a ruleset of the local host opens, and reports foreign rules that forward the same
//! ports elsewhere.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::{Gate, OFFICE};
use crate::support::{program::Portolan, program::Ran, rehearsal::Rehearsal};

/// The ruleset of the client: its range, and the external address of the router's DNAT.
const ME: &str = r#"
let rules = nat::ruleset("me");
rules.ftp_active(#{ ports: "40000-40009", external: "203.0.113.1", server: "203.0.113.0/24", in: "eth0" });
rules.apply();
"#;
/// A filter on the client that drops all but replies and connections to the range.
const WALL: &str = "
table inet wall {
    chain in {
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
        tcp dport 40000-40009 counter accept
    }
}";
const TRANSFER: &str = r#"
let options = #{ password: "open+sesame-21", mode: "active", insecure: true, data_timeout: "5s" };
options += parse_json(args[1]);
let site = ftp::connect(args[0] + "://tester@203.0.113.10", options);
site.write("/b", site.read("/a"));
print(site.route);
"#;
const SAID: &str =
    "active mode takes ports 40000-40009 of 203.0.113.1, which the ruleset `me` of this host opens";

/// A client behind a router that forwards a range to it, and masquerades.
struct Inside {
    gate: Gate,
    state: TempDir,
}

impl Inside {
    fn lay() -> Option<Self> {
        let gate = Gate::lay()?;
        gate.done(OFFICE, &["apply"]);
        gate.client.try_rules(WALL).unwrap();
        Some(Self { gate, state: TempDir::new().unwrap() })
    }

    fn portolan(&self, script: &str) -> Portolan {
        Portolan::new().file("me.rhai", script).env("PORTOLAN_STATE", self.state.path())
    }

    #[track_caller]
    fn nat(&self, script: &str, verb: &[&str]) {
        let program = self.portolan(script).args(["nat"]).args(verb.to_vec()).args(["me.rhai"]);
        drop(self.gate.client.within(|| program.run()).succeeds().any_stdout().any_stderr());
    }

    fn transfer(&self, scheme: &str, options: &str) -> Ran {
        let program =
            self.portolan(TRANSFER).args(["--no-memory", "run", "me.rhai", scheme, options]);
        self.gate.client.within(|| program.run())
    }

    fn server(&self, tls: bool) -> Rehearsal {
        let address = SocketAddr::from(([203, 0, 113, 10], 21));
        let server =
            self.gate.server.within(|| Rehearsal::start_at(address, "localhost", &[], tls));
        server.file("a", "hello");
        server
    }
}

#[test]
fn active_mode_takes_the_range_and_the_address_that_a_ruleset_of_this_machine_names() {
    for (scheme, tls) in [("ftp", false), ("ftpes", true)] {
        let Some(inside) = Inside::lay() else { return };
        let server = inside.server(tls);
        let held = r#"{ "fallback": false }"#;
        // Without the ruleset, no connection gets in.
        let before = inside.transfer(scheme, held);
        assert!(
            before.stderr_text().contains("no data connection could be made"),
            "{}",
            before.stderr_text()
        );
        drop(before.any_code().any_stderr().never_says("active mode takes"));

        inside.nat(ME, &["apply"]);
        let ran = inside.transfer(scheme, held).succeeds().any_stdout();
        drop(ran.stderr_has(SAID));
        assert_eq!(server.bytes("b").as_deref(), Some(&b"hello"[..]));

        // During a trial of another range, that one is used.
        let other = ME.replace("40000-40009", "40003-40004");
        inside.nat(&other, &["apply", "--confirm-within", "60s"]);
        let said = SAID.replace("40000-40009", "40003-40004");
        drop(inside.transfer(scheme, held).succeeds().any_stdout().stderr_has(&said));
        inside.nat(&other, &["rollback"]);
        drop(inside.transfer(scheme, held).succeeds().any_stdout().stderr_has(SAID));

        inside.nat(ME, &["revert"]);
        let after = inside.transfer(scheme, held).any_code().any_stderr();
        drop(after.never_says("active mode takes"));
    }
}

#[test]
fn what_a_script_names_wins_over_the_ruleset() {
    let Some(inside) = Inside::lay() else { return };
    let server = inside.server(false);
    inside.nat(ME, &["apply"]);
    // Its own range, which no rule opens: passive mode is used.
    let ran = inside.transfer("ftp", r#"{ "port_range": "50000-50009" }"#).succeeds();
    drop(
        ran.stdout("epsv\n")
            .stderr_has("fell back from active to passive")
            .any_stderr()
            .never_says("takes ports"),
    );
    // Its own range within that of the ruleset, and its own address.
    let both =
        r#"{ "port_range": "40002-40003", "external_address": "203.0.113.1", "fallback": false }"#;
    let ran = inside.transfer("ftp", both).succeeds().stdout("eprt\n");
    drop(ran.any_stderr().never_says("takes ports"));
    // Only its own address: the ports are the ruleset's.
    let elsewhere = inside.transfer("ftp", r#"{ "external_address": "203.0.113.77" }"#).succeeds();
    let said = "active mode takes ports 40000-40009, which the ruleset `me` of this host opens";
    drop(elsewhere.stdout("epsv\n").stderr_has(said).stderr_has("fell back").any_stderr());
    assert_eq!(server.bytes("b").as_deref(), Some(&b"hello"[..]));
    // A server that the ruleset does not cover.
    let other = ME.replace("203.0.113.0/24", "198.51.100.0/24");
    inside.nat(&other, &["apply"]);
    let ran = inside.transfer("ftp", "{}").succeeds().stdout("epsv\n");
    drop(ran.stderr_has("fell back").any_stderr().never_says("takes ports"));
}

#[test]
fn a_script_that_applies_its_ruleset_uses_it_at_once() {
    let Some(inside) = Inside::lay() else { return };
    let server = inside.server(false);
    let script = format!("{ME}{TRANSFER}");
    let held = r#"{ "fallback": false }"#;
    let program = inside.portolan(&script).args(["run", "--allow-nat", "me.rhai", "ftp", held]);
    let ran = inside.gate.client.within(|| program.run()).succeeds().stdout("eprt\n");
    drop(ran.stderr_has(SAID).any_stderr());
    // The JSON output has it as well.
    let program = inside.portolan(TRANSFER).args(["--json", "run", "me.rhai", "ftp", held]);
    let ran = inside.gate.client.within(|| program.run()).succeeds();
    drop(ran.stdout_has(SAID).any_stdout().any_stderr());
    assert_eq!(server.bytes("b").as_deref(), Some(&b"hello"[..]));
}

#[test]
fn a_rule_of_others_for_the_same_ports_is_named_in_a_plan() {
    let Some(gate) = Gate::lay() else { return };
    let theirs = "table ip docker {
        chain DOCKER {
            iifname \"wan\" tcp dport 40005 counter dnat to 192.168.50.99:80
            udp dport 40006 dnat to 192.168.50.99
        }
        chain PREROUTING {
            type nat hook prerouting priority dstnat
            jump DOCKER
        }
    }";
    gate.router.try_rules(theirs).unwrap();
    let words = "ip docker DOCKER leads port 40005 elsewhere as well (iifname \"wan\" tcp dport 40005 counter";
    let plan = gate.nat(OFFICE, &["plan"]).fails_with(2).stdout_has(words);
    drop(plan.stdout_has("to change, 0 to remove, 1 warning.\n").any_stdout());
    let refused = gate.nat(OFFICE, &["apply"]).fails_with(7).stderr_has("(nat.conflict)");
    drop(refused.stderr_has(words).any_stderr());
    let forced = gate.nat(OFFICE, &["apply", "--force"]).succeeds().any_stdout();
    drop(forced.stderr_has(words).any_stderr());
    let other = OFFICE.replace("\"office\"", "\"other\"");
    let words = "inet portolan_office prerouting leads port 40000 elsewhere as well";
    drop(gate.nat(&other, &["plan"]).fails_with(2).stdout_has(words).any_stdout());
}
