//! Foreign rules and manual changes: reported, respected, and never removed.

use std::time::Duration;

use super::{Gate, OFFICE, echo, reach::connects};

/// Checks that the remedy in a warning works: traffic passes.
#[test]
fn the_remedy_for_a_drop_of_others_mends_it() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    gate.done(OFFICE, &["apply"]);
    assert!(gate.reaches(7000));
    gate.route_back();
    echo(&gate.client, 445);
    assert!(connects(&gate.server, "192.168.50.10:445"), "a closed port would be no proof");
    let theirs = "table inet mine {
        chain through {
            type filter hook forward priority filter + 10; policy accept;
            counter drop
        }
    }";
    gate.router.try_rules(theirs).unwrap();
    assert!(!gate.reaches(7000));
    let mut plan = gate.nat(OFFICE, &["plan", "--json"]).succeeds();
    let found = plan.json();
    let warnings: Vec<_> = found["warnings"].as_array().unwrap().iter().collect();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    let warning = warning.as_str().unwrap();
    let named =
        "inet mine through (another script) drops forwarded traffic by default (its last rule)";
    assert!(warning.starts_with(named), "{warning}");
    let (_, remedy) = warning.split_once("; run: ").unwrap();
    gate.router.sh(remedy);
    assert!(gate.reaches(7000), "{remedy}");
    assert!(!connects(&gate.server, "192.168.50.10:445"), "{remedy}");
}

#[test]
fn a_port_that_leads_elsewhere_already_is_not_taken() {
    let Some(gate) = Gate::lay() else { return };
    let docker = "table ip nat {
        chain PREROUTING {
            type nat hook prerouting priority dstnat; policy accept;
            fib daddr type local counter jump DOCKER
        }
        chain DOCKER {
            iifname != \"docker0\" tcp dport 40005 counter dnat to 172.17.0.2:80
        }
    }";
    gate.router.try_rules(docker).unwrap();
    let before = gate.rules();
    let fault = gate.nat(OFFICE, &["apply"]).fails_with(7).stderr_has("(nat.conflict)");
    drop(fault.stderr_has("ip nat DOCKER leads port 40005 elsewhere as well").any_stderr());
    assert_eq!(gate.rules(), before);
    // Nor from another ruleset of our own.
    let elsewhere = OFFICE.replace("40000-40009", "41000");
    gate.done(&elsewhere, &["apply"]);
    let second = r#"
        let rules = nat::ruleset("second");
        rules.forward(#{ in: "wan", ports: "41000-41009", to: "192.168.50.11" });
        rules.apply();
    "#;
    let fault = gate.nat(second, &["apply"]).fails_with(7).stderr_has("(nat.conflict)");
    drop(
        fault
            .stderr_has("inet portolan_office prerouting leads port 41000 elsewhere as well")
            .any_stderr(),
    );
    gate.done(second, &["apply", "--force"]);
}

#[test]
fn a_rollback_takes_no_table_of_others_away() {
    let Some(gate) = Gate::lay() else { return };
    gate.done(OFFICE, &["apply"]);
    gate.router.sh("nft delete table inet portolan_office");
    let theirs = "table inet portolan_office {
        chain forward {
            type filter hook forward priority filter
            tcp dport 80 accept
        }
    }";
    gate.router.try_rules(theirs).unwrap();
    let before = gate.rules();
    gate.nat(OFFICE, &["rollback"]).fails_with(7).stderr_has("(nat.conflict)").any_stderr();
    assert_eq!(gate.rules(), before);
}

/// Simulates a kill between loading the rules and recording it: the next confirmation records it.
#[test]
fn a_confirmation_that_was_cut_off_can_be_said_again() {
    let Some(gate) = Gate::lay() else { return };
    let root = gate.state.path().join("root");
    let lasting =
        OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
    gate.done(&lasting, &["apply", "--confirm-within", "1h"]);
    let kept = gate.done(&lasting, &["export"]);
    let table = "table inet portolan_office";
    gate.router.try_rules(&format!("{table}\ndelete {table}\n{kept}")).unwrap();
    assert_eq!(gate.done(&lasting, &["confirm"]), "office: confirmed\n");
    assert!(gate.done(&lasting, &["status"]).starts_with("office: applied since 20"));
    assert!(root.join("etc/portolan/nat/office.nft").exists());
    gate.nat(&lasting, &["confirm"]).fails_with(5).stderr_has("(nat.no_trial)").any_stderr();
}

#[test]
fn what_is_written_for_the_next_start_is_kept_up_and_goes_with_a_revert() {
    let Some(gate) = Gate::lay() else { return };
    let root = gate.state.path().join("root");
    let lasting =
        OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
    gate.done(&lasting, &["apply"]);
    let file = root.join("etc/portolan/nat/office.nft");
    let written = || std::fs::read_to_string(&file).unwrap();
    assert!(written().contains("40000-40009"));
    // It does not ask for persistence, and that must not bring the old rules back.
    gate.done(&OFFICE.replace("40009", "40019"), &["apply"]);
    assert!(written().contains("40000-40019"), "{}", written());
    assert!(gate.done(OFFICE, &["status"]).contains("also at the next start"));
    gate.done(OFFICE, &["rollback"]);
    assert!(written().contains("40000-40009"), "{}", written());
    gate.done(OFFICE, &["revert"]);
    assert!(!file.exists());
}

#[test]
fn one_opening_stands_in_another() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let script = r#"
        let way = |ports| #{ ports: ports, to: "192.168.50.10", in: "wan" };
        let first = way.call("40000-40009");
        let second = way.call("41000-41009");
        nat::with_open(first, || nat::with_open(second, || { print("open"); sleep("5s"); }));
    "#;
    let program = gate.portolan(script).args(["run", "--allow-nat", "gate.rhai"]);
    let running = gate.router.within(|| program.spawn());
    running.until_stdout_has("open");
    let during = gate.rules();
    for ports in ["40000-40009", "41000-41009"] {
        assert!(
            during.contains(&format!("tcp dport {ports} dnat ip to 192.168.50.10")),
            "{during}"
        );
    }
    running.wait().stdout("open\n").any_stderr();
    assert_eq!(gate.rules(), before);
}

/// Checks a lease whose answer comes from another address than was asked: connection tracking does not match it to the
/// request.
#[test]
fn a_machine_that_keeps_others_out_keeps_its_own_address() {
    use std::net::UdpSocket;
    let Some(gate) = Gate::lay() else { return };
    let closed = r#"
        let rules = nat::ruleset("host");
        rules.ftp_server(#{ passive: "50000-50009" });
        rules.isolate(true);
        rules.apply();
    "#;
    gate.done(closed, &["apply"]);
    let wait = Some(Duration::from_secs(20));
    let bound = |port: u16| {
        let socket = gate.router.within(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        socket.set_read_timeout(wait).unwrap();
        socket
    };
    let (lease, other) = (bound(546), bound(547));
    let from = gate.client.within(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    // The datagram that is dropped was sent first, so that it would arrive first.
    from.send_to(b"other", "192.168.50.1:547").unwrap();
    from.send_to(b"lease", "192.168.50.1:546").unwrap();
    let mut bytes = [0; 16];
    let (count, _) = lease.recv_from(&mut bytes).unwrap();
    assert_eq!(bytes.get(..count), Some(&b"lease"[..]));
    other.set_nonblocking(true).unwrap();
    assert!(other.recv_from(&mut bytes).is_err(), "nothing else comes in");
}
