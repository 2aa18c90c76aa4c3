//! Scripts under `portolan nat`: nothing of them is carried out but their rulesets. And root's records, which are in one
//! place whatever the home directory.

use std::{net::TcpListener, process::Command};

use tempfile::TempDir;

use super::{Gate, OFFICE};
use crate::support::server::say_skipped;

/// A script that does all kinds of other things, the rulesets first or last.
fn mixed(port: u16, is_first: bool) -> String {
    let other = format!(
        "local::write(\"written\", \"x\"); local::mkdir(\"made\");
         let site = ftp::connect(\"ftp://tester@127.0.0.1:{port}\", #{{ password: \"x\" }});
         sleep(\"5m\");
         nat::map_ports(#{{ ports: \"40000-40001\" }});
         nat::with_open(#{{ ports: 40000, to: \"192.168.50.10\" }}, || site.put(\"gate.rhai\", \"/x\"));"
    );
    let late = "site.put(\"gate.rhai\", \"/x\"); throw \"never\";";
    if is_first { format!("{OFFICE}{other}{late}") } else { format!("{other}{OFFICE}{late}") }
}

#[test]
fn nothing_of_a_script_is_carried_out_but_its_rulesets() {
    let Some(gate) = Gate::lay() else { return };
    for is_first in [true, false] {
        let listener = gate.router.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
        listener.set_nonblocking(true).unwrap();
        let script = mixed(listener.local_addr().unwrap().port(), is_first);
        let left = "the script is left at line";
        gate.nat(&script, &["plan"])
            .fails_with(2)
            .stdout_has("masquerade 192.168.50.0/24 -> wan")
            .stderr_has(left)
            .any_stderr()
            .forget();
        for (verb, said) in [
            ("status", "office: missing\n"),
            ("apply", "office: applied\n"),
            ("status", "office: applied since"),
            ("revert", "office: reverted\n"),
        ] {
            let ran = gate.nat(&script, &[verb]).succeeds().stdout_has(said);
            drop(ran.stderr_has(left).any_stderr());
        }
        assert!(listener.accept().is_err(), "no connection was made");
    }
}

#[test]
fn a_ruleset_that_may_not_be_complete_is_not_used() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let site = "let site = ftp::connect(\"ftp://tester@127.0.0.1:1\", #{ password: \"x\" });";
    for script in [
        OFFICE.replace(
            "rules.forwarding",
            &format!("{site} let there = site.exists(\"/\"); rules.forwarding"),
        ),
        format!("{site} site.get(\"/a\", \"a\"); {OFFICE}"),
        format!(
            "{OFFICE} let more = nat::ruleset(\"more\"); try {{ ftp::doctor(\"ftp://127.0.0.1:1\") }} catch {{ }} more.apply();"
        ),
    ] {
        for (verb, code) in [("plan", 1), ("apply", 3), ("export", 3)] {
            let ran = gate.nat(&script, &[verb]).fails_with(code).stderr_has("(nat.only_rulesets)");
            drop(ran.stdout("").any_stderr());
        }
    }
    assert_eq!(gate.rules(), before);
}

#[test]
fn root_has_one_place_of_records_whatever_the_home() {
    let Some(gate) = Gate::lay() else { return };
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("gate.rhai");
    std::fs::write(&script, OFFICE).unwrap();
    let from = |home: &str, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(words).env("HOME", folder.path().join(home)).env_remove("PORTOLAN_STATE");
        let ran = gate.router.within(|| command.env_remove("XDG_STATE_HOME").output().unwrap());
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code(), said)
    };
    let script = script.to_str().unwrap();
    let (code, said) = from("sudo", &["nat", "apply", "--confirm-within", "10m", script]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = from("root", &["nat", "confirm", "--ruleset", "office"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = from("third", &["nat", "status", "--check"]);
    assert!(code == Some(0) && said.starts_with("office: applied since"), "{said}");
    // A place that the user names is another one, and says which.
    let named = folder.path().join("named");
    let (code, said) = from(
        "root",
        &["nat", "confirm", "--ruleset", "office", "--state", named.to_str().unwrap()],
    );
    assert!(code == Some(5) && said.contains(named.to_str().unwrap()), "{said}");
    let (code, said) = from("third", &["nat", "revert", "--ruleset", "office"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(gate.forwards(), ["0", "0"]);
}

/// Checks that a network does not find the records of one that has ended, although the kernel gives it the same number.
#[test]
fn records_of_a_network_end_with_it() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("gate.rhai");
    std::fs::write(&script, OFFICE).unwrap();
    let run = |gate: &Gate, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(words).env("HOME", folder.path()).env_remove("PORTOLAN_STATE");
        let ran = gate.router.within(|| command.env_remove("XDG_STATE_HOME").output().unwrap());
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code(), said)
    };
    let number = |gate: &Gate| gate.router.read("stat -Lc %i /proc/self/ns/net");
    let (mut seen, mut is_met_again) = (std::collections::BTreeSet::new(), false);
    // The kernel gives the lowest number that is free.
    for _ in 0..8 {
        let Some(gate) = Gate::lay() else { return };
        let (code, said) = run(&gate, &["nat", "status", "--check"]);
        assert!(code == Some(1) && said.starts_with("no ruleset is known here"), "{said}");
        is_met_again |= !seen.insert(number(&gate));
        let (code, said) = run(&gate, &["nat", "apply", script.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = run(&gate, &["nat", "status", "--check"]);
        assert!(code == Some(0) && said.starts_with("office: applied since"), "{said}");
    }
    if !is_met_again {
        say_skipped("records_of_a_network_end_with_it", "no number was given twice");
    }
}

#[test]
fn a_revert_without_records_says_what_it_could_not_put_back() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply"]);
    let elsewhere = gate.state.path().join("elsewhere");
    let program = gate.portolan(OFFICE).env("PORTOLAN_STATE", &elsewhere);
    let program = program.args(["nat", "revert", "--ruleset", "office"]);
    let ran = gate.router.within(|| program.run()).succeeds().stdout("office: reverted\n");
    let told = format!("nothing was remembered of it in {}: kernel settings", elsewhere.display());
    drop(ran.stderr_has(&told).any_stderr());
    assert_eq!(gate.forwards(), ["1", "1"]);
    gate.done(OFFICE, &["revert"]);
    assert_eq!(gate.forwards(), ["0", "0"]);
}
