//! Kernel settings are shared by all rulesets that need them, and a trial that is over forwards nothing.

use std::{fs, time::Duration};

use rustix::process::Signal;

use super::{Gate, OFFICE, echo};
use crate::support::wait;

/// A ruleset for a part of the same network, between the same interfaces.
const GUESTS: &str = r#"
let rules = nat::ruleset("guests");
rules.masquerade(#{ source: "192.168.50.128/25", out: "wan" });
rules.forwarding(true);
rules.apply();
"#;
/// A ruleset for a network without a route: forwarding is on for all interfaces.
const SOMEWHERE: &str = r#"
let rules = nat::ruleset("somewhere");
rules.masquerade(#{ source: "10.99.0.0/16", out: "wan" });
rules.forwarding(true);
rules.apply();
"#;

fn laid() -> Option<Gate> {
    let gate = Gate::lay()?;
    // Writing the switch of all interfaces sets each of them as well.
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/ip_forward");
    Some(gate)
}

fn is_forwarding_all(gate: &Gate) -> String {
    gate.prints(&["cat", "/proc/sys/net/ipv4/ip_forward"]).trim().to_owned()
}

#[test]
fn a_setting_goes_back_with_the_last_ruleset_that_needs_it() {
    for [first, last] in [[OFFICE, GUESTS], [GUESTS, OFFICE]] {
        let Some(gate) = laid() else { return };
        gate.done(first, &["apply"]);
        gate.done(last, &["apply"]);
        assert_eq!(gate.forwards(), ["1", "1"]);
        gate.done(first, &["revert"]);
        assert_eq!(gate.forwards(), ["1", "1"], "the other still needs it");
        gate.done(last, &["revert"]);
        assert_eq!(gate.forwards(), ["0", "0"]);
    }
}

#[test]
fn a_switch_of_all_leaves_those_on_that_others_need() {
    for [first, last] in [[OFFICE, SOMEWHERE], [SOMEWHERE, OFFICE]] {
        let Some(gate) = laid() else { return };
        gate.done(first, &["apply"]);
        gate.done(last, &["apply"]);
        assert_eq!(is_forwarding_all(&gate), "1");
        gate.done(SOMEWHERE, &["revert"]);
        assert_eq!(is_forwarding_all(&gate), "0");
        assert_eq!(gate.forwards(), ["1", "1"], "the office still needs them");
        gate.done(OFFICE, &["revert"]);
        assert_eq!(gate.forwards(), ["0", "0"]);
    }
}

#[test]
fn a_switch_of_all_leaves_what_was_on_before_it() {
    let Some(gate) = laid() else { return };
    gate.router.sh("echo 1 >/proc/sys/net/ipv4/conf/lan/forwarding");
    gate.done(SOMEWHERE, &["apply"]);
    assert_eq!(gate.forwards(), ["1", "1"]);
    gate.done(SOMEWHERE, &["revert"]);
    assert_eq!(
        (is_forwarding_all(&gate).as_str(), gate.forwards()),
        ("0", ["1", "0"].map(str::to_owned))
    );
}

#[test]
fn what_was_set_by_hand_is_set_at_the_next_start_as_well() {
    let Some(gate) = laid() else { return };
    gate.router.sh("echo 1 >/proc/sys/net/ipv4/conf/lan/forwarding");
    let root = gate.state.path().join("root");
    let lasting =
        OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
    gate.done(&lasting, &["apply"]);
    let settings = root.join("etc/sysctl.d/90-portolan-nat-office.conf");
    let both = "net.ipv4.conf.lan.forwarding = 1\nnet.ipv4.conf.wan.forwarding = 1\n";
    let written = fs::read_to_string(&settings).unwrap();
    assert!(written.starts_with(both), "{written}");
    gate.done(&lasting, &["revert"]);
    assert_eq!(gate.forwards(), ["1", "0"], "what was set by hand stays");
    assert!(!settings.exists());
}

#[test]
fn what_is_set_at_the_next_start_goes_back_with_the_rules() {
    let Some(gate) = laid() else { return };
    let root = gate.state.path().join("root");
    let written = || {
        let settings = root.join("etc/sysctl.d/90-portolan-nat-office.conf");
        fs::read_to_string(settings).unwrap()
    };
    let lasting =
        OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
    gate.done(&lasting, &["apply"]);
    let both = written();
    assert!(both.contains("conf.lan.forwarding = 1"), "{both}");
    gate.done(&lasting.replace("192.168.50.0/24", "10.99.0.0/16"), &["apply"]);
    assert_eq!(written(), "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.accept_redirects = 0\n");
    gate.done(&lasting, &["rollback"]);
    assert_eq!((written(), gate.forwards()), (both, ["1", "1"].map(str::to_owned)));
    assert_eq!(is_forwarding_all(&gate), "0");
}

/// Sets up a gate whose server has a route to the client's network: without a packet filter, forwarding alone lets it
/// through.
fn routed() -> Option<Gate> {
    let gate = laid()?;
    echo(&gate.server, 7000);
    gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    assert!(!gate.reaches(7000), "the router passes nothing on");
    Some(gate)
}

#[test]
fn a_trial_that_is_over_passes_on_no_more_than_was_before_it() {
    let Some(gate) = routed() else { return };
    let others = gate.others();
    // The second one begins with the remains of the first.
    for _ in 0..2 {
        let trial = OFFICE.replace(
            "rules.apply()",
            "rules.apply(#{ confirm_within: \"3s\" }); print(\"on trial\"); sleep(\"5m\")",
        );
        let program = gate.portolan(&trial).args(["run", "--allow-nat", "gate.rhai"]);
        let running = gate.router.within(|| program.spawn());
        running.until_stdout_has("on trial");
        assert!(gate.reaches(7000), "the trial passes it on");
        running.signal(Signal::KILL);
        running.wait().killed_by(9).any_stdout().any_stderr();
        // No process of portolan's is left, and the settings are those of the trial.
        let is_shut = wait::until(Duration::from_secs(20), || (!gate.reaches(7000)).then_some(()));
        assert!(is_shut.is_some(), "{}", gate.rules());
        assert_eq!(gate.forwards(), ["1", "1"]);
        assert!(gate.done(OFFICE, &["status"]).starts_with("office: missing;"));
    }
    gate.done(OFFICE, &["rollback"]);
    assert_eq!(gate.forwards(), ["0", "0"]);
    assert_eq!(gate.rules(), others);
}

#[test]
fn what_a_trial_that_is_over_has_set_goes_back_with_the_change_after_it() {
    for undo in ["rollback", "revert"] {
        let Some(gate) = routed() else { return };
        let others = gate.others();
        gate.done(OFFICE, &["apply", "--confirm-within", "1s"]);
        let missing =
            || gate.done(OFFICE, &["status"]).starts_with("office: missing;").then_some(());
        assert!(wait::until(Duration::from_secs(20), missing).is_some());
        gate.done(OFFICE, &["apply"]);
        assert!(gate.reaches(7000));
        gate.done(OFFICE, &[undo]);
        assert_eq!(gate.forwards(), ["0", "0"], "{undo}");
        assert_eq!(gate.rules(), others, "{undo}");
    }
}
