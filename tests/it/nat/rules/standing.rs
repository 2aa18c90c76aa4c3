//! The state of rulesets as `status` and `verify` tell it, with an exit code for monitoring; and several rulesets at once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Gate, OFFICE};
use crate::support::{program::Ran, server::skip};

/// A second ruleset between the same interfaces.
const GUESTS: &str = r#"
let guests = nat::ruleset("guests");
guests.masquerade(#{ source: "192.168.50.128/25", out: "wan" });
guests.forwarding(true);
guests.apply();
"#;

/// The file by which the filter's own unit brings ours along.
const DROP_IN: &str = "etc/systemd/system/nftables.service.d/portolan-nat-office.conf";

/// Runs `portolan nat` without a script.
fn bare(gate: &Gate, arguments: &[&str]) -> Ran {
    let program = gate.portolan(OFFICE).args(["nat"]).args(arguments.to_vec());
    gate.router.within(|| program.run())
}

fn persisted(gate: &Gate, script: &str) -> (String, PathBuf) {
    let root = gate.state.path().join("root");
    let apply = format!("rules.apply(#{{ persist: \"{}\" }})", root.display());
    (script.replace("rules.apply()", &apply), root)
}

#[test]
fn the_status_is_of_rules_and_settings_and_interfaces() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply"]);
    for (away, back, told) in [
        (
            "echo 0 >/proc/sys/net/ipv4/conf/lan/forwarding",
            "echo 1 >/proc/sys/net/ipv4/conf/lan/forwarding",
            "  ! net.ipv4.conf.lan.forwarding is 0, and 1 is needed\n",
        ),
        (
            "ip link set wan down; ip link set wan name old0",
            "ip link set old0 name wan; ip link set wan up",
            "  ! there is no interface wan\n",
        ),
        (
            "nft add rule inet portolan_office postrouting counter accept",
            "nft delete rule inet portolan_office postrouting handle \
             $(nft -a list table inet portolan_office | sed -n 's/.*counter .*accept # handle //p')",
            "its table was changed by another program",
        ),
    ] {
        drop(bare(&gate, &["status", "--check"]).succeeds().stdout_has("office: applied since "));
        gate.router.sh(away);
        // By the script, by the record, and of all rulesets.
        for arguments in
            [&["status", "gate.rhai"][..], &["status", "--ruleset", "office"], &["status"]]
        {
            let ran = bare(&gate, arguments).succeeds().stdout_has("office: drifted since ");
            drop(ran.stdout_has(told));
            let checked = [arguments, &["--check"]].concat();
            drop(bare(&gate, &checked).fails_with(2).stdout_has("office: drifted since "));
        }
        let script = r#"let rules = nat::ruleset("office"); print(rules.status());"#;
        let program = gate.portolan(script).args(["run", "gate.rhai"]);
        gate.router.within(|| program.run()).succeeds().stdout("drifted\n").any_stderr().forget();
        gate.router.sh(back);
    }
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/lan/forwarding");
    gate.done(OFFICE, &["apply"]);
    drop(bare(&gate, &["status", "--check"]).succeeds().stdout_has("office: applied since "));
    gate.done(OFFICE, &["revert"]);
    assert_eq!(gate.forwards(), ["0", "0"], "what was there before is still remembered");
}

#[test]
fn an_interface_that_may_be_missing_is_told_but_no_drift() {
    let Some(gate) = Gate::lay() else { return };
    let line = OFFICE.replace("out: \"wan\"", "out: \"ppp0\"");
    gate.done(&line, &["apply", "--absent-ok"]);
    let ran = bare(&gate, &["status", "--check"]).succeeds().stdout_has("office: applied since ");
    drop(ran.stdout_has("  ! there is no interface ppp0\n"));
}

#[test]
fn without_a_script_all_rulesets_are_told() {
    let Some(gate) = Gate::lay() else { return };
    drop(bare(&gate, &["status"]).succeeds().stdout("no ruleset is known here\n"));
    drop(bare(&gate, &["status", "--check"]).fails_with(1).stdout("no ruleset is known here\n"));
    gate.done(&format!("{OFFICE}{GUESTS}"), &["apply"]);
    gate.router.try_rules("table inet portolan_mine { }").unwrap();
    let mut ran = bare(&gate, &["status", "--json"]).succeeds();
    let found = ran.json();
    let all: Vec<_> = found["rulesets"].as_array().unwrap().iter().collect();
    let states: Vec<_> =
        all.iter().map(|one| (one["ruleset"].clone(), one["status"].clone())).collect();
    let pair = |name: &str, state: &str| (name.into(), state.into());
    assert_eq!(
        states,
        [pair("guests", "applied"), pair("mine", "applied"), pair("office", "applied")]
    );
    gate.router.sh("nft delete table inet portolan_guests; nft add rule inet portolan_office forward drop || nft add rule inet portolan_office postrouting drop");
    let ran = bare(&gate, &["status", "--check"]).fails_with(1);
    drop(ran.stdout_has("guests: missing\n").stdout_has("office: drifted since "));
}

#[test]
fn who_may_not_read_the_rules_is_not_told_that_there_are_none() {
    let Some(gate) = Gate::lay() else { return };
    let folder = tempfile::Builder::new().prefix("portolan-nobody-").tempdir().unwrap();
    let program = folder.path().join("portolan");
    fs::copy(Path::new(env!("CARGO_BIN_EXE_portolan")), &program).unwrap();
    gate.router.sh(&format!("chmod 755 {0}; chown -R 65534 {0}", folder.path().display()));
    for verb in [&["status", "--check"][..], &["revert"]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
        command.arg("nat").args(verb).args(["--ruleset", "office"]);
        command.env("HOME", folder.path()).env_remove("PORTOLAN_STATE");
        let ran = gate.router.within(|| command.output().unwrap());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(5), "{said}");
        assert!(said.contains("(nat.not_permitted)"), "{said}");
    }
}

/// Checks what a reboot leaves: no table, or the one of before the trial from its file for boot.
#[test]
fn a_trial_ends_with_a_reboot_and_the_status_says_so() {
    let over = "its trial is over and the rules of before it are in force";
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply", "--confirm-within", "10m"]);
    gate.router.sh("nft delete table inet portolan_office");
    let status = gate.done(OFFICE, &["status"]);
    assert!(status.starts_with(&format!("office: missing; {over}")), "{status}");
    gate.done(OFFICE, &["rollback"]);
    assert_eq!(gate.forwards(), ["0", "0"]);

    let (lasting, root) = persisted(&gate, OFFICE);
    gate.done(&lasting, &["apply"]);
    let wider = lasting.replace("40009", "40019");
    gate.done(&wider, &["apply", "--confirm-within", "10m"]);
    let boot = root.join("etc/portolan/nat/office.nft");
    gate.router.sh(&format!("nft delete table inet portolan_office; nft -f {}", boot.display()));
    for script in [&lasting, &wider] {
        let status = gate.done(script, &["status"]);
        assert!(status.starts_with("office: applied since ") && status.contains(over), "{status}");
    }
    gate.nat(&wider, &["confirm"]).fails_with(5).stderr_has("(nat.no_trial)").any_stderr().forget();
    gate.done(&wider, &["rollback"]);
    let status = gate.done(&lasting, &["status"]);
    assert!(status.starts_with("office: applied since ") && !status.contains(over), "{status}");
}

#[test]
fn of_several_rulesets_a_refused_one_stops_all_before_anything_is_done() {
    let Some(gate) = Gate::lay() else { return };
    let before = (gate.rules(), gate.forwards());
    let both = format!("{GUESTS}{}", OFFICE.replace("in: \"wan\"", "in: \"wan9\""));
    let ran = gate
        .nat(&both, &["apply"])
        .fails_with(5)
        .stderr_has("ruleset office: there is no interface wan9");
    drop(ran.stdout("").any_stderr());
    assert_eq!((gate.rules(), gate.forwards()), before);
}

#[test]
fn of_several_rulesets_what_was_done_before_a_failure_is_told() {
    let Some(gate) = Gate::lay() else { return };
    // An nft that refuses to load the second table.
    let folder = tempfile::TempDir::new().unwrap();
    let nft = folder.path().join("nft");
    let text = "#!/bin/sh
        if [ \"$*\" = '-f -' ] && ! ip link show alone >/dev/null 2>&1; then
            text=$(cat)
            case $text in *portolan_office*) echo 'Error: out of luck' >&2; exit 1;; esac
            printf '%s\\n' \"$text\" | /usr/sbin/nft -f -
        else
            exec /usr/sbin/nft \"$@\"
        fi\n";
    fs::write(&nft, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&nft, mode).unwrap();
    let both = format!("{GUESTS}{OFFICE}");
    // The plan is tested in a namespace of its own, by the same nft: there it must pass.
    let fake = fs::read_to_string(&nft).unwrap();
    fs::write(&nft, fake.replace("! ip link show alone", "ip link show lan")).unwrap();
    let program = gate
        .portolan(&both)
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.path().display()));
    let program = program.args(["nat", "apply", "--json", "gate.rhai"]);
    let mut ran = gate
        .router
        .within(|| program.run())
        .fails_with(5)
        .stderr_has("ruleset office: nft refused the rules")
        .any_stderr();
    let found = ran.json();
    assert_eq!(found["rulesets"][0]["ruleset"], "guests", "{found}");
    assert_eq!(found["rulesets"].as_array().unwrap().len(), 1, "{found}");
    let status = gate.done(&both, &["status"]);
    assert!(status.contains("guests: applied") && status.contains("office: missing"), "{status}");
}

#[test]
fn what_is_loaded_at_boot_is_compared_with_what_rules() {
    let Some(gate) = Gate::lay() else { return };
    drop(bare(&gate, &["verify", "--boot"]).fails_with(1).stdout("no ruleset is known here\n"));
    gate.done(OFFICE, &["apply"]);
    drop(
        bare(&gate, &["verify", "--boot"])
            .fails_with(1)
            .stdout_has("office: nothing is loaded at boot"),
    );
    let (lasting, root) = persisted(&gate, OFFICE);
    gate.done(OFFICE, &["revert"]);
    // Of a first trial nothing is written before it is confirmed.
    gate.done(&lasting, &["apply", "--confirm-within", "10m"]);
    let told = "office: nothing is loaded at boot; `confirm` of a trial with `persist` writes it\n";
    drop(bare(&gate, &["verify", "--boot"]).fails_with(1).stdout(told));
    gate.done(&lasting, &["confirm"]);
    let same = "office: the next boot loads what is in force\n";
    for arguments in [
        &["verify", "--boot"][..],
        &["verify", "--boot", "gate.rhai"],
        &["verify", "--boot", "--ruleset", "office"],
    ] {
        drop(bare(&gate, arguments).succeeds().stdout(same));
    }
    let (rules, unit) = (
        root.join("etc/portolan/nat/office.nft"),
        root.join("etc/systemd/system/portolan-nat-office.service"),
    );
    let settings = root.join("etc/sysctl.d/90-portolan-nat-office.conf");
    let drop_in = root.join(DROP_IN);
    for (file, change, told) in [
        (
            &rules,
            "40019",
            "+\t\tmeta nfproto ipv4 iifname \"wan\" fib daddr type local tcp dport 40000-40019",
        ),
        (&rules, "nonsense nonsense", "does not load: nft refused the rules"),
        (&unit, "40019", "portolan-nat-office.service is not as portolan writes it"),
        (&settings, "40019", "90-portolan-nat-office.conf is not as portolan writes it"),
        (&drop_in, "40019", "portolan-nat-office.conf is not as portolan writes it"),
    ] {
        let written = fs::read_to_string(file).unwrap();
        let changed = if file == &rules {
            written.replace("40009", change)
        } else {
            written.clone() + change
        };
        fs::write(file, changed).unwrap();
        drop(bare(&gate, &["verify", "--boot"]).fails_with(2).stdout_has(told));
        fs::remove_file(file).unwrap();
        drop(bare(&gate, &["verify", "--boot"]).fails_with(2).stdout_has("is missing"));
        fs::write(file, written).unwrap();
        drop(bare(&gate, &["verify", "--boot"]).succeeds().stdout(same));
    }
    // What rules has changed, and a trial has not been written yet.
    gate.done(&lasting.replace("40009", "40019"), &["apply", "--confirm-within", "10m"]);
    let before = "office: the next boot loads the rules of before the trial\n";
    drop(bare(&gate, &["verify", "--boot"]).succeeds().stdout(before));
    let status = bare(&gate, &["status"]).succeeds();
    drop(status.stdout_has("; the next start loads the rules of before it; `confirm` keeps"));
    gate.done(OFFICE, &["rollback"]);
    drop(bare(&gate, &["status"]).succeeds().stdout_has(", also at the next start\n"));
    gate.router.sh("nft flush chain inet portolan_office postrouting");
    let drifted = "; the next start loads the rules that were applied; its table was changed";
    drop(bare(&gate, &["status"]).succeeds().stdout_has(drifted));
    let mut ran = bare(&gate, &["verify", "--boot", "--json"]).fails_with(2);
    let found = ran.json();
    assert_eq!(
        (&found["verified"], &found["rulesets"][0]["boot"]),
        (&false.into(), &"differs".into())
    );
}

/// Checks the units of ours and of the filter with what portolan adds to it.
#[test]
fn systemd_understands_the_unit() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return skip("no systemd-analyze here");
    }
    let Some(gate) = Gate::lay() else { return };
    for (backend, filter) in
        [("nft", "nftables.service"), ("iptables", "netfilter-persistent.service")]
    {
        let (lasting, root) = persisted(&gate, OFFICE);
        gate.done(&lasting, &["--backend", backend, "apply"]);
        let folder = root.join("etc/systemd/system");
        fs::write(
            folder.join(filter),
            "[Unit]\nDescription=filter\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
        )
        .unwrap();
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]);
        command.args([folder.join("portolan-nat-office.service"), folder.join(filter)]);
        // Those of the system as well: theirs have the targets.
        let path = format!("{}:", folder.display());
        let ran = command.env("SYSTEMD_UNIT_PATH", path).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.is_empty(), "{said}");
        gate.done(&lasting, &["revert"]);
        assert!(!folder.join(format!("{filter}.d")).exists());
    }
}

#[test]
fn a_unit_that_nothing_starts_at_boot_is_told() {
    let Some(gate) = Gate::lay() else { return };
    let (lasting, root) = persisted(&gate, OFFICE);
    gate.done(&lasting, &["apply"]);
    let unit = "portolan-nat-office.service";
    fs::remove_file(root.join("etc/systemd/system/multi-user.target.wants").join(unit)).unwrap();
    let told = format!("{unit} is not enabled");
    drop(bare(&gate, &["verify", "--boot"]).fails_with(2).stdout_has(&told));
    gate.done(&lasting, &["apply"]);
    drop(bare(&gate, &["verify", "--boot"]).succeeds().stdout_has("loads what is in force"));
}

/// Checks what systemd does when the filter's unit is stopped, and then started: without systemd, by its commands.
#[test]
fn stopping_the_filters_unit_leaves_the_rules_and_starting_it_as_well() {
    let Some(gate) = Gate::lay() else { return };
    let (lasting, root) = persisted(&gate, OFFICE);
    gate.done(&lasting, &["apply"]);
    let value = |file: &Path, key: &str| {
        let text = fs::read_to_string(file).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let command = found.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned();
        // The files are written below another directory than the one that they are for.
        command.replace("/etc/", &format!("{}/etc/", root.display()))
    };
    let unit = root.join("etc/systemd/system/portolan-nat-office.service");
    let drop_in = root.join(DROP_IN);
    assert_eq!(value(&drop_in, "Wants"), "portolan-nat-office.service");
    let run = |command: &str| gate.router.sh(command.trim_start_matches('-'));
    let checked = || {
        drop(bare(&gate, &["status", "--check"]).succeeds().stdout_has("office: applied since "));
        assert_eq!(gate.forwards(), ["1", "1"]);
    };
    // Stopping and starting the filter flushes all rules, and our unit is active all the time: nothing of it is run.
    for key in ["ExecStopPost", "ExecStartPost", "ExecReload"] {
        gate.router.sh("nft flush ruleset");
        run(&value(&drop_in, key));
        checked();
    }
    // Started by hand, or at boot after the filter: once more.
    for key in ["ExecStart", "ExecReload"] {
        run(&value(&unit, key));
        checked();
    }
}
