//! Rules that others have flushed, rules that are loaded twice, and tables that are no longer needed.

use super::{Gate, OFFICE, echo, reach::each_filter};

#[test]
fn what_others_have_flushed_is_drift_and_applying_mends_it() {
    each_filter(|gate, filter| {
        echo(&gate.server, 7000);
        let flushes: &[&str] = match filter {
            "nft" => {
                &["nft flush table inet portolan_office", "nft delete table inet portolan_office"]
            }
            _ => &[
                "iptables -t nat -F",
                "iptables -F; iptables -t nat -F; iptables -t mangle -F; iptables -t raw -F",
                "iptables -t nat -F; iptables -t nat -X",
            ],
        };
        let isolated = OFFICE.replace("rules.forwarding", "rules.isolate(true); rules.forwarding");
        gate.done(&isolated, &["apply", "--backend", filter]);
        let applied = gate.rules();
        for flush in flushes {
            gate.router.sh(flush);
            assert!(!gate.reaches(7000), "{flush}");
            let status = gate.done(&isolated, &["status"]);
            let is_gone = flush.contains("nft delete");
            let word = if is_gone { "office: missing" } else { "office: drifted since " };
            assert!(status.starts_with(word), "{flush}: {status}");
            drop(gate.nat(&isolated, &["plan"]).fails_with(2).any_stdout());
            assert_eq!(gate.done(&isolated, &["apply"]), "office: applied\n", "{flush}");
            assert!(gate.reaches(7000), "{flush}");
            if filter == "nft" {
                assert_eq!(gate.rules(), applied, "{flush}");
            }
        }
        // A trial after a flush goes back to no rules.
        gate.router.sh(flushes.first().unwrap());
        gate.done(&isolated, &["apply", "--confirm-within", "60s"]);
        assert!(gate.reaches(7000));
        gate.done(&isolated, &["confirm"]);
        gate.done(&isolated, &["plan"]);
        gate.done(&isolated, &["revert"]);
        assert!(!gate.rules().to_lowercase().contains("portolan_office"), "{}", gate.rules());
    });
}

/// Returns the rules of the router in the order of their lines, without those of tables that are empty.
fn lines(gate: &Gate) -> Vec<String> {
    let all = gate.rules();
    let mut lines: Vec<_> = all
        .lines()
        .filter(|line| line.to_lowercase().contains("portolan"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn an_export_can_be_loaded_any_number_of_times() {
    each_filter(|gate, filter| {
        let before = gate.rules();
        let text = gate.done(OFFICE, &["export", "--backend", filter]);
        let file = gate.state.path().join("exported");
        std::fs::write(&file, &text).unwrap();
        let file = file.display();
        let load = if filter == "nft" { format!("nft -f {file}") } else { format!("sh {file}") };
        gate.router.sh(&load);
        let once = lines(gate);
        assert!(!once.is_empty());
        for _ in 0..2 {
            gate.router.sh(&load);
            assert_eq!(lines(gate), once, "{filter}");
        }
        // It is the same as `apply` loads.
        drop(
            gate.nat(OFFICE, &["apply", "--backend", filter, "--force"])
                .succeeds()
                .any_stdout()
                .any_stderr(),
        );
        assert_eq!(lines(gate), once, "{filter}");
        gate.done(OFFICE, &["revert"]);
        assert!(lines(gate).is_empty());
        if filter == "nft" {
            assert_eq!(gate.rules(), before);
        }
    });
}

#[test]
fn a_revert_leaves_no_table_behind_that_was_not_there() {
    let helper = OFFICE.replace(
        "rules.forwarding",
        "rules.ftp_helper(#{}); rules.isolate(true); rules.forwarding",
    );
    let other = OFFICE.replace("\"office\"", "\"other\"").replace("40000-40009", "41000-41009");
    each_filter(|gate, filter| {
        if filter == "iptables" {
            gate.router.sh("iptables -A FORWARD -s 192.0.2.1 -j DROP");
        }
        let before = gate.rules();
        gate.done(&helper, &["apply", "--backend", filter]);
        gate.done(&helper, &["revert"]);
        assert_eq!(gate.rules(), before, "{filter}");
        // With two rulesets, the last one takes them along.
        gate.done(&helper, &["apply", "--backend", filter]);
        gate.done(&other, &["apply", "--backend", filter]);
        gate.done(&helper, &["revert"]);
        gate.done(&other, &["plan"]);
        gate.done(&other, &["revert"]);
        assert_eq!(gate.rules(), before, "{filter}");
        gate.done(&helper, &["apply", "--backend", filter]);
        gate.done(&helper, &["rollback"]);
        assert_eq!(gate.rules(), before, "{filter}: rolled back");
        // What others use stays, as does an empty table of theirs.
        if filter == "iptables" {
            gate.router.sh("iptables -t mangle -A FORWARD -s 192.0.2.2 -j DROP; iptables -t raw -A OUTPUT -j ACCEPT
                iptables -t raw -F");
            let before = gate.rules();
            gate.done(&helper, &["apply", "--backend", filter]);
            gate.router.sh("iptables -t nat -A POSTROUTING -s 198.51.100.9 -j MASQUERADE");
            gate.done(&helper, &["revert"]);
            gate.router.sh("iptables -t nat -D POSTROUTING -s 198.51.100.9 -j MASQUERADE");
            let after = gate.rules();
            assert!(after.contains("table ip raw") && after.contains("table ip nat"), "{after}");
            assert!(before.lines().all(|line| after.contains(line)), "{after}");
        }
    });
}
