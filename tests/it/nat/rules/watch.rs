//! Applied rulesets hold when interfaces come and go, routes and addresses change, and others flush rules.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::process::Signal;

use super::{Gate, OFFICE, echo, links::two_uplinks};
use crate::support::wait;

/// The classic recipe over a line that is dialled.
const LINE: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "ppp0" });
rules.isolate(true);
rules.forwarding(true);
rules.apply(#{ absent_ok: true });
"#;

/// Makes the line of that name anew, as a dial does, and waits until it carries packets.
fn dial(gate: &Gate, device: &str) {
    gate.router.wire(device, &gate.server, "dialled");
    gate.router.sh(&format!("ip addr add 198.51.100.1/24 dev {device}"));
    gate.server.sh("ip addr add 198.51.100.10/24 dev dialled");
}

/// Returns true if the client reaches the server over the line.
fn reaches(gate: &Gate) -> bool {
    let address = SocketAddr::from(([198, 51, 100, 10], 7000));
    let time = Duration::from_millis(300);
    let reached =
        || gate.client.within(|| TcpStream::connect_timeout(&address, time).is_ok()).then_some(());
    // The kernel tells of a link that is up only after a while.
    wait::until(Duration::from_secs(6), reached).is_some()
}

fn forwards(gate: &Gate, device: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{device}/forwarding");
    gate.prints(&["cat", &path]).trim().to_owned()
}

fn watched_once(gate: &Gate) -> String {
    gate.done(OFFICE, &["watch", "--once"])
}

fn laid() -> Option<Gate> {
    let gate = Gate::lay()?;
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/ip_forward");
    echo(&gate.server, 7000);
    Some(gate)
}

#[test]
fn a_line_that_comes_later_works_by_itself_and_goes_back_with_the_rules() {
    for backend in ["nft", "iptables"] {
        let Some(gate) = laid() else { return };
        let root = gate.state.path().join("root");
        let lasting =
            LINE.replace("absent_ok: true", &format!("absent_ok: true, persist: {root:?}"));
        gate.done(&lasting, &["--backend", backend, "apply"]);
        drop(gate.nat(&lasting, &["plan"]).succeeds().any_stderr().any_stdout());
        let settings = root.join("etc/sysctl.d/90-portolan-nat-office.conf");
        let written = fs::read_to_string(&settings).unwrap();
        assert!(written.contains("net.ipv4.conf.ppp0.forwarding = 1\n"), "{written}");
        for _ in 0..2 {
            dial(&gate, "ppp0");
            assert!(reaches(&gate), "{backend}: {}", gate.rules());
            gate.router.sh("ip link del ppp0");
        }
        dial(&gate, "ppp0");
        gate.done(&lasting, &["revert"]);
        assert_eq!(["ppp0", "lan", "default"].map(|device| forwards(&gate, device)), ["0"; 3]);
        assert!(!settings.exists());
    }
}

#[test]
fn an_interface_that_is_made_anew_gets_what_its_rules_need() {
    let Some(gate) = laid() else { return };
    let script = LINE.replace("ppp0", "outer");
    dial(&gate, "outer");
    gate.done(&script, &["apply"]);
    assert_eq!(forwards(&gate, "default"), "0", "this one is not expected to come and go");
    gate.router.sh("ip link del outer");
    assert_eq!(watched_once(&gate), "office: outer is not there; its rules wait for it\n");
    dial(&gate, "outer");
    assert_eq!(forwards(&gate, "outer"), "0");
    let told = watched_once(&gate);
    assert!(told.starts_with("office: net.ipv4.conf.outer.forwarding 0 -> 1\n"), "{told}");
    assert!(reaches(&gate), "{}", gate.rules());
    assert_eq!(watched_once(&gate), "", "nothing is left to mend");
    gate.done(&script, &["revert"]);
    assert_eq!(forwards(&gate, "outer"), "0");
}

#[test]
fn interfaces_that_are_renamed_are_followed_and_go_back_with_the_rules() {
    for backend in ["nft", "iptables"] {
        let Some(gate) = laid() else { return };
        let root = gate.state.path().join("root");
        let lasting = OFFICE.replace("apply()", &format!("apply(#{{ persist: {root:?} }})"));
        gate.done(&lasting, &["--backend", backend, "apply"]);
        gate.router.sh("ip link set wan down; ip link set wan name ext0; ip link set ext0 up");
        let told = watched_once(&gate);
        assert!(
            told.starts_with("office: wan is called ext0 now, and the rules name that\n"),
            "{told}"
        );
        assert!(gate.reaches(7000), "{backend}: {}", gate.rules());
        assert_eq!(watched_once(&gate), "");
        let program = gate.portolan(OFFICE).args(["nat", "status", "--ruleset", "office"]);
        let ran = gate.router.within(|| program.run()).succeeds().any_stderr();
        let status = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        assert!(status.starts_with("office: applied since ") && !status.contains('!'), "{status}");
        let settings =
            fs::read_to_string(root.join("etc/sysctl.d/90-portolan-nat-office.conf")).unwrap();
        assert!(settings.contains("net.ipv4.conf.ext0.forwarding = 1\n"), "{settings}");
        assert!(!settings.contains(".wan."), "{settings}");
        // Two that exchange their names.
        gate.router.sh("ip link set ext0 down; ip link set lan down
            ip link set ext0 name third; ip link set lan name ext0; ip link set third name lan
            ip link set ext0 up; ip link set lan up");
        let told = watched_once(&gate);
        assert!(
            told.contains("ext0 is called lan now") && told.contains("lan is called ext0 now"),
            "{told}"
        );
        assert!(gate.reaches(7000), "{backend}: {}", gate.rules());
        let program = gate.portolan(OFFICE).args(["nat", "revert", "--ruleset", "office"]);
        drop(gate.router.within(|| program.run()).succeeds().any_stdout().any_stderr());
        assert_eq!(["ext0", "lan"].map(|device| forwards(&gate, device)), ["0"; 2]);
    }
}

/// Checks `serve` with `nat_watch`: rulesets of the usual place and of the scheduler's own are mended, and it ends.
#[test]
fn the_scheduler_watches_rulesets_if_it_is_told_to() {
    let Some(gate) = laid() else { return };
    gate.done(OFFICE, &["apply"]);
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("jobs.toml"), "[runner]\nnat_watch = true\nstate = \"state\"\n")
        .unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.args(["serve", "--jobs", "jobs.toml"]).current_dir(folder.path());
    command.env("HOME", folder.path()).env("PORTOLAN_STATE", gate.state.path());
    command.stdin(std::process::Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut serving = gate.router.within(|| command.spawn().unwrap());
    let read = || fs::read_to_string(folder.path().join("log")).unwrap();
    let told = |words: &str| {
        let seen = wait::until(Duration::from_secs(20), || read().contains(words).then_some(()));
        assert!(seen.is_some(), "no `{words}` in {}", read());
    };
    told("jobs, state in");
    gate.router.sh("nft flush ruleset");
    told("ruleset office: its rules were gone, and are loaded again");
    assert!(gate.reaches(7000));
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/wan/forwarding");
    told("ruleset office: net.ipv4.conf.wan.forwarding 0 -> 1");
    let process = rustix::process::Pid::from_child(&serving);
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    assert_eq!(serving.wait().unwrap().code(), Some(0), "{}", read());
}

#[test]
fn what_others_flush_edit_or_switch_off_is_mended_and_told() {
    for backend in ["nft", "iptables"] {
        let Some(gate) = laid() else { return };
        gate.done(OFFICE, &["--backend", backend, "apply"]);
        let before = gate.rules();
        assert_eq!(watched_once(&gate), "");
        gate.router.sh("nft flush ruleset");
        let told = watched_once(&gate);
        assert!(told.starts_with("office: its rules were "), "{told}");
        assert!(told.ends_with("loaded again\n"), "{told}");
        assert!(gate.done(OFFICE, &["status"]).starts_with("office: applied"));
        if backend == "nft" {
            gate.router.sh("nft add rule inet portolan_office postrouting counter accept");
            let told = watched_once(&gate);
            assert_eq!(
                told,
                "office: its rules were changed by another program, and are loaded again\n"
            );
            assert!(before.contains(&gate.prints(&[
                "nft",
                "-s",
                "list",
                "table",
                "inet",
                "portolan_office"
            ])));
        }
        gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/wan/forwarding");
        assert_eq!(watched_once(&gate), "office: net.ipv4.conf.wan.forwarding 0 -> 1\n");
        gate.done(OFFICE, &["revert"]);
        assert_eq!(gate.forwards(), ["0", "0"]);
        assert_eq!(watched_once(&gate), "", "what was reverted is not there to be mended");
    }
}

#[test]
fn a_trial_and_a_foreign_table_are_left_alone() {
    let Some(gate) = laid() else { return };
    gate.done(OFFICE, &["apply", "--confirm-within", "5m"]);
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/wan/forwarding");
    let before = gate.rules();
    assert_eq!(watched_once(&gate), "");
    assert_eq!((gate.rules(), forwards(&gate, "wan")), (before, "0".to_owned()));
    gate.done(OFFICE, &["confirm"]);
    gate.router.sh("nft delete table inet portolan_office; nft add table inet portolan_office; \
         nft add chain inet portolan_office own; nft add rule inet portolan_office own accept");
    let before = gate.rules();
    let told = watched_once(&gate);
    assert!(told.contains("rules that are not portolan's"), "{told}");
    assert_eq!(gate.rules(), before);
}

/// The service: it follows the default route and the address, re-asserts what is flushed, and ends cleanly.
#[test]
fn the_watcher_follows_routes_and_addresses_until_it_is_told_to_end() {
    let Some(gate) = two_uplinks() else { return };
    gate.router.sh("ip route add default via 203.0.113.10");
    let script = r#"
        let rules = nat::ruleset("office");
        rules.masquerade(#{ source: "192.168.50.0/24", out: "auto" });
        rules.forwarding(true);
        rules.apply();
        let fixed = nat::ruleset("fixed");
        fixed.masquerade(#{ source: "192.168.60.0/24", out: "wan", to: "203.0.113.1" });
        fixed.apply();
    "#;
    gate.done(script, &["apply"]);
    let program = gate.portolan(script).args(["nat", "watch"]);
    let running = gate.router.within(|| program.spawn());
    let holds = |done: &dyn Fn() -> bool| {
        let done = || done().then_some(());
        assert!(wait::until(Duration::from_secs(20), done).is_some(), "{}", gate.rules());
    };
    gate.router.sh("nft flush ruleset");
    holds(&|| gate.rules().contains("table inet portolan_office"));
    gate.router.sh("ip route replace default via 198.51.100.10");
    holds(&|| gate.rules().contains("oifname \"wan2\" masquerade"));
    holds(&|| forwards(&gate, "wan2") == "1");
    gate.router.sh("ip addr del 203.0.113.1/24 dev wan; ip addr add 203.0.113.7/24 dev wan");
    holds(&|| gate.rules().contains("snat ip to 203.0.113.7"));
    gate.router.sh("echo 0 >/proc/sys/net/ipv4/conf/lan/forwarding");
    holds(&|| forwards(&gate, "lan") == "1");
    running.signal(Signal::TERM);
    running
        .wait()
        .succeeds()
        .any_stderr()
        .stdout_has("office: its rules were gone, and are loaded again\n")
        .stdout_has(
            "office: its rules follow what has changed here: + masquerade 192.168.50.0/24 -> wan2, \
             - masquerade 192.168.50.0/24 -> wan\n",
        )
        .stdout_has("office: net.ipv4.conf.wan2.forwarding 0 -> 1\n")
        .stdout_has("fixed: wan has 203.0.113.7 in place of 203.0.113.1, and the rules name that\n")
        .stdout_has("office: net.ipv4.conf.lan.forwarding 0 -> 1\n")
        .any_stdout();
    gate.done(script, &["revert"]);
    assert_eq!(["lan", "wan", "wan2"].map(|device| forwards(&gate, device)), ["0"; 3]);
}

/// A login on another port than 22 stays let in when the watcher, which has no login, writes the rules anew.
#[test]
fn the_watcher_keeps_the_login_port_of_the_session_that_applied() {
    let Some(gate) = laid() else { return };
    let script = r#"
        let rules = nat::ruleset("office");
        rules.ftp_server(#{ passive: "50000-50009" });
        rules.isolate(true);
        rules.apply();
    "#;
    let program = gate.portolan(script).args(["nat", "apply", "gate.rhai"]);
    let program = program.env("SSH_CONNECTION", "192.168.50.10 50000 192.168.50.1 7022");
    drop(gate.router.within(|| program.run()).succeeds().any_stderr().any_stdout());
    assert!(gate.rules().contains("tcp dport { 22, 7022 }"), "{}", gate.rules());
    assert_eq!(watched_once(&gate), "");
    gate.router.sh("nft flush ruleset");
    watched_once(&gate);
    assert!(gate.rules().contains("tcp dport { 22, 7022 }"), "{}", gate.rules());
}
