//! From plan to revert, and the reported status at each step.

use std::{fs, time::Duration};

use super::{Gate, OFFICE, echo};
use crate::support::wait;

#[test]
fn a_plan_after_apply_is_empty_and_a_revert_leaves_nothing() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    let before = gate.rules();
    gate.nat(OFFICE, &["plan"])
        .fails_with(2)
        .stdout_has("ruleset office (inet portolan_office), backend nft ")
        .stdout_has("  + masquerade 192.168.50.0/24 -> wan\n")
        .stdout_has("  + active range 40000-40009 -> 192.168.50.10 from wan\n")
        .stdout_has("  + net.ipv4.conf.lan.forwarding 0 -> 1\n")
        .stdout_has("Plan: 4 to add, 0 to change, 0 to remove, 0 warnings.\n")
        .stdout_has("+\t\tip saddr 192.168.50.0/24 oifname \"wan\" masquerade");
    assert_eq!(gate.rules(), before, "a plan changes nothing");
    assert_eq!(gate.done(OFFICE, &["status"]), "office: missing\n");
    assert!(!gate.reaches(7000));

    assert_eq!(gate.done(OFFICE, &["apply"]), "office: applied\n");
    assert!(gate.reaches(7000));
    assert_eq!(gate.forwards(), ["1", "1"]);
    let plan = gate.done(OFFICE, &["plan"]);
    assert!(plan.ends_with("\nNo changes. The live ruleset matches the plan.\n"), "{plan}");
    assert_eq!(gate.done(OFFICE, &["apply"]), "office: unchanged\n");
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: applied since 20"));

    let wider = OFFICE.replace("40009", "40019");
    gate.nat(&wider, &["plan"])
        .fails_with(2)
        .stdout_has(
            "  ~ active range 40000-40009 -> 192.168.50.10 from wan => active range 40000-40019",
        )
        .stdout_has("Plan: 0 to add, 1 to change, 0 to remove, 0 warnings.\n");
    assert_eq!(gate.done(&wider, &["apply"]), "office: applied\n");
    assert_eq!(gate.done(&wider, &["rollback"]), "office: rolled back\n");
    gate.done(OFFICE, &["plan"]);
    gate.nat(OFFICE, &["rollback"]).fails_with(5).stderr_has("(nat.no_undo)").any_stderr();

    let reverted = gate.nat(OFFICE, &["revert"]).succeeds().stdout("office: reverted\n");
    drop(reverted.stderr_has("no longer translated").any_stderr());
    assert_eq!(gate.rules(), before);
    assert_eq!(gate.forwards(), ["0", "0"]);
}

#[test]
fn a_second_revert_succeeds_and_is_no_change() {
    let Some(gate) = Gate::lay() else { return };
    let named = |name: &'static str| {
        let program = gate.portolan(OFFICE).args(["nat", "revert", "--ruleset", name]);
        gate.router.within(|| program.run())
    };
    gate.nat(OFFICE, &["revert"]).succeeds().stdout("office: nothing to revert\n");
    gate.done(OFFICE, &["apply"]);
    named("offcie").succeeds().stdout("offcie: nothing to revert\n").stderr_has("`office`");
    named("office").succeeds().stdout("office: reverted\n").any_stderr();
    named("office").succeeds().stdout("office: nothing to revert\n");
    named("Off ice").fails_with(3).any_stderr();
    let document = gate.done(OFFICE, &["revert", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let wanted = serde_json::json!({ "done": "reverted", "rulesets": [], "absent": ["office"] });
    assert_eq!(document, wanted);
    let log = gate.portolan(OFFICE).args(["nat", "log", "--json"]);
    let log = gate.router.within(|| log.run()).succeeds();
    let changes: serde_json::Value = serde_json::from_str(log.stdout_text()).unwrap();
    assert_eq!(changes["changes"].as_array().unwrap().len(), 2, "{changes:#}");
    drop(log.any_stdout());
}

#[test]
fn a_foreign_change_is_drift_and_applying_corrects_it() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply"]);
    gate.router.sh("nft add rule inet portolan_office postrouting counter accept");
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: drifted since "));
    gate.nat(OFFICE, &["plan"])
        .fails_with(2)
        .stdout_has("the table was changed by another program")
        .stdout_has("-\t\tcounter accept\n");
    gate.done(OFFICE, &["apply"]);
    gate.done(OFFICE, &["plan"]);
    gate.router.sh("nft delete table inet portolan_office");
    assert_eq!(gate.done(OFFICE, &["status"]), "office: missing\n");
}

#[test]
fn a_table_of_that_name_that_is_not_ours_is_left_alone() {
    let Some(gate) = Gate::lay() else { return };
    let theirs = "table inet portolan_office {
        chain forward {
            type filter hook forward priority filter
            tcp dport 80 accept
        }
    }";
    gate.router.try_rules(theirs).unwrap();
    let before = gate.rules();
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: foreign;"));
    for verb in ["apply", "revert"] {
        gate.nat(OFFICE, &[verb]).fails_with(7).stderr_has("(nat.conflict)").any_stderr();
        assert_eq!(gate.rules(), before, "{verb}");
    }
    gate.done(OFFICE, &["apply", "--force"]);
    gate.done(OFFICE, &["plan"]);
}

#[test]
fn a_drop_of_others_is_named_with_what_mends_it() {
    let Some(gate) = Gate::lay() else { return };
    let docker = "table ip filter {
        chain DOCKER-USER {
        }
        chain FORWARD {
            type filter hook forward priority filter; policy drop;
            jump DOCKER-USER
        }
    }";
    gate.router.try_rules(docker).unwrap();
    let mut plan = gate.nat(OFFICE, &["plan", "--json"]).fails_with(2);
    let found = plan.json();
    let warning = found["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("ip filter FORWARD (docker) drops forwarded traffic by default"),
        "{warning}"
    );
    assert!(
        warning.contains(
            "run: iptables -I DOCKER-USER -i lan -o wan -s 192.168.50.0/24 -j ACCEPT && "
        ),
        "{warning}"
    );
    assert_eq!(found["changed"], true);
    assert_eq!(found["live_readable"], true);
    assert_eq!(found["rulesets"][0]["ruleset"], "office");
    assert_eq!(found["sysctl"][0], "net.ipv4.conf.lan.forwarding 0 -> 1");
    assert!(found["commands"][0].as_str().unwrap().starts_with("nft -f - <<'END'\ntable inet"));
}

#[test]
fn what_is_not_confirmed_goes_back_by_itself() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    gate.done(OFFICE, &["apply"]);
    assert!(gate.reaches(7000));
    // It allows nothing out.
    let closed = r#"
        let rules = nat::ruleset("office");
        rules.allow(#{ in: "wan", out: "lan" });
        rules.isolate(true);
        rules.apply(#{ confirm_within: "3s" });
    "#;
    let others = gate.others();
    let said = gate.done(closed, &["apply"]);
    assert!(said.starts_with("office: on trial until 20"), "{said}");
    assert!(!gate.reaches(7000), "the new rules are on trial");
    // No process of portolan's is left: the kernel alone ends the trial.
    let is_back = wait::until(Duration::from_secs(20), || gate.reaches(7000).then_some(()));
    assert!(is_back.is_some(), "the old rules are not back\n{}", gate.rules());
    assert_eq!(gate.others(), others);
    let status = gate.done(OFFICE, &["status"]);
    assert!(status.contains("its trial is over and the old rules are back"), "{status}");
    gate.nat(closed, &["confirm"]).fails_with(5).stderr_has("(nat.no_trial)").any_stderr();
    assert_eq!(gate.done(closed, &["rollback"]), "office: rolled back\n");
    gate.done(OFFICE, &["plan"]);
    assert!(gate.reaches(7000));
}

#[test]
fn the_first_unconfirmed_trial_leaves_no_rule_in_force() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    let before = gate.rules();
    gate.done(OFFICE, &["apply", "--confirm-within", "2s"]);
    assert!(gate.reaches(7000));
    gate.nat(OFFICE, &["apply"]).fails_with(7).stderr_has("(nat.trial_pending)").any_stderr();
    let missing = || gate.done(OFFICE, &["status"]).starts_with("office: missing;").then_some(());
    assert!(wait::until(Duration::from_secs(20), missing).is_some());
    assert!(
        !gate.reaches(7000),
        "masquerade is over: the server does not know the client's network"
    );
    gate.done(OFFICE, &["rollback"]);
    assert_eq!(gate.rules(), before);
    assert_eq!(gate.forwards(), ["0", "0"]);
}

#[test]
fn a_trial_that_is_confirmed_in_time_stays() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    gate.done(OFFICE, &["apply", "--confirm-within", "60s"]);
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: trial until 20"));
    assert_eq!(gate.done(OFFICE, &["confirm"]), "office: confirmed\n");
    assert!(gate.reaches(7000));
    gate.done(OFFICE, &["plan"]);
    assert!(!gate.rules().contains("trial_"), "nothing of the trial is left");
}

#[test]
fn a_script_tests_its_own_trial() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let with = |test: &str| {
        OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ test: || {test} }})"))
    };
    for (test, code, said) in [
        ("false", 7, "the test of ruleset `office` said no: the old rules are back"),
        ("throw \"no way out\"", 3, "no way out"),
    ] {
        gate.run(&with(test)).fails_with(code).stderr_has(said).any_stderr();
        assert_eq!(gate.rules(), before, "{test}");
        assert_eq!(gate.forwards(), ["0", "0"]);
    }
    gate.run(&with("true")).succeeds().any_stderr();
    gate.done(OFFICE, &["plan"]);
}

#[test]
fn what_is_to_last_is_written_when_it_is_confirmed_and_removed_by_revert() {
    let Some(gate) = Gate::lay() else { return };
    let root = gate.state.path().join("root");
    let lasting = OFFICE.replace(
        "rules.apply()",
        &format!("rules.apply(#{{ persist: {root:?}, confirm_within: \"60s\" }})"),
    );
    gate.done(&lasting, &["apply"]);
    assert!(!root.exists(), "nothing is written for the next start while it is on trial");
    gate.done(&lasting, &["confirm"]);
    let unit =
        fs::read_to_string(root.join("etc/systemd/system/portolan-nat-office.service")).unwrap();
    assert!(unit.contains("Type=oneshot") && unit.contains("CapabilityBoundingSet=CAP_NET_ADMIN"));
    let settings =
        fs::read_to_string(root.join("etc/sysctl.d/90-portolan-nat-office.conf")).unwrap();
    let switches = "net.ipv4.conf.lan.forwarding = 1\nnet.ipv4.conf.wan.forwarding = 1\n";
    assert!(settings.starts_with(switches), "{settings}");
    assert!(settings.contains("accept_redirects = 0\n"), "{settings}");
    let wanted =
        root.join("etc/systemd/system/multi-user.target.wants/portolan-nat-office.service");
    assert!(wanted.exists(), "it is switched on");
    // The unit loads the same rules as are active.
    let rules = gate.rules();
    let file = root.join("etc/portolan/nat/office.nft");
    gate.router.sh(&format!("nft delete table inet portolan_office; nft -f {}", file.display()));
    assert_eq!(gate.rules(), rules);
    gate.done(&lasting, &["revert"]);
    assert!(!file.exists() && !wanted.exists() && wanted.symlink_metadata().is_err());
}
