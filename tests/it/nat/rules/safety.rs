//! No login is cut off, no command runs without permission, and running transfers continue.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use super::{Gate, OFFICE, echo};
use crate::support::{program::Portolan, wait};

#[test]
fn a_login_that_is_older_than_the_rules_survives_them() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.router, 22);
    echo(&gate.router, 7000);
    let address = |port| SocketAddr::from(([192, 168, 50, 1], port));
    // Made before the kernel had any reason to track connections.
    let mut login = gate.client.within(|| TcpStream::connect(address(22)).unwrap());
    login.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut works = |when: &str| {
        let mut back = [0; 2];
        login.write_all(b"id").unwrap();
        login.read_exact(&mut back).unwrap_or_else(|error| panic!("{when}: {error}"));
    };
    works("before");
    let closed = r#"
        let rules = nat::ruleset("host");
        rules.ftp_server(#{ passive: "50000-50009" });
        rules.isolate(true);
        rules.apply();
    "#;
    gate.done(closed, &["apply"]);
    works("under rules that drop");
    let is_open = |port| {
        let time = Duration::from_millis(500);
        gate.client.within(|| TcpStream::connect_timeout(&address(port), time).is_ok())
    };
    assert!(is_open(22), "a new login gets in");
    assert!(!is_open(7000), "nothing else does");
    gate.done(closed, &["apply", "--force"]);
    gate.done(closed, &["revert"]);
    works("after");
}

#[test]
fn rules_that_take_a_port_in_use_away_are_refused() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.router, 22);
    echo(&gate.router, 50005);
    let before = gate.rules();
    let forward = |ports: &str| {
        format!(
            "let rules = nat::ruleset(\"office\");
             rules.forward(#{{ in: \"lan\", ports: {ports:?}, to: \"203.0.113.10\" }});
             rules.apply();"
        )
    };
    for (ports, name) in [("1-1023", "(nat.would_lock_out)"), ("50000-50009", "(nat.conflict)")] {
        gate.nat(&forward(ports), &["apply"]).fails_with(7).stderr_has(name).any_stderr();
        gate.run(&forward(ports)).fails_with(7).stderr_has(name).any_stderr();
        assert_eq!(gate.rules(), before);
        let plan = gate.nat(&forward(ports), &["plan"]).fails_with(2);
        drop(plan.stdout_has("away from").any_stdout());
    }
    // A session on another port, in the variable that sshd sets for it.
    let elsewhere = gate.portolan(&forward("2000-3000")).args(["nat", "apply", "gate.rhai"]);
    echo(&gate.router, 2222);
    let elsewhere = elsewhere.env("SSH_CONNECTION", "192.168.50.10 50000 192.168.50.1 2222");
    let ran = gate.router.within(|| elsewhere.run());
    ran.fails_with(7).stderr_has("port 2222 away").stderr_has("(nat.would_lock_out)").any_stderr();
    assert_eq!(gate.rules(), before);
    gate.done(&forward("50000-50009"), &["apply", "--force"]);
}

/// Checks for the login in a parent process: `sudo` removes the variable from its child, and the shell before it still
/// has it.
#[test]
fn a_login_is_seen_behind_what_hides_it() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.router, 2222);
    let forward = r#"
        let rules = nat::ruleset("office");
        rules.forward(#{ in: "lan", ports: "2000-3000", to: "203.0.113.10" });
        rules.apply();
    "#;
    let before = gate.rules();
    let hiding = "env -u SSH_CONNECTION \"$0\" \"$@\"; exit $?";
    let program = Portolan::played_by("/bin/sh").file("gate.rhai", forward);
    let program = program.args(["-c", hiding, env!("CARGO_BIN_EXE_portolan")]);
    let program = program.args(["nat", "apply", "gate.rhai"]);
    let program = program.env("PORTOLAN_STATE", gate.state.path());
    let program = program.env("SSH_CONNECTION", "192.168.50.10 50000 192.168.50.1 2222");
    let ran = gate.router.within(|| program.run()).fails_with(7);
    drop(ran.stderr_has("port 2222 away").stderr_has("(nat.would_lock_out)").any_stderr());
    assert_eq!(gate.rules(), before);
}

#[test]
fn a_plan_that_is_no_longer_true_is_not_applied() {
    let Some(gate) = Gate::lay() else { return };
    let mut plan = gate.nat(OFFICE, &["plan", "--json"]).fails_with(2);
    let id = plan.json()["rulesets"][0]["id"].as_str().unwrap().to_owned();
    gate.router.try_rules("table inet portolan_office { }").unwrap();
    let late = gate.nat(OFFICE, &["apply", "--plan", &id]);
    late.fails_with(7).stderr_has("(nat.changed_since_plan)").any_stderr();
    // The same within a script that waits in between.
    let slow = OFFICE
        .replace("rules.apply()", "rules.plan(); print(\"seen\"); sleep(\"3s\"); rules.apply()");
    let program = gate.portolan(&slow).args(["run", "--allow-nat", "gate.rhai"]);
    let running = gate.router.within(|| program.spawn());
    running.until_stdout_has("seen");
    gate.router.sh("nft add chain inet portolan_office mine");
    running.wait().fails_with(7).stderr_has("(nat.changed_since_plan)").any_stdout().any_stderr();
}

#[test]
fn a_script_changes_nothing_unless_the_user_lets_it() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    for call in [
        "rules.apply()",
        "rules.confirm()",
        "rules.rollback()",
        "rules.revert()",
        "nat::with_open(#{ ports: 40000, to: \"192.168.50.10\" }, || print(\"open\"))",
    ] {
        let script = OFFICE.replace("rules.apply()", call);
        let program = gate.portolan(&script).args(["run", "gate.rhai"]);
        let ran = gate.router.within(|| program.run());
        ran.fails_with(5).stderr_has("`--allow-nat`").stderr_has("(nat.not_allowed)").any_stderr();
    }
    assert_eq!(gate.rules(), before);
}

#[test]
fn who_has_no_right_may_plan_and_is_told_what_is_wanting() {
    let Some(gate) = Gate::lay() else { return };
    let folder = tempfile::Builder::new().prefix("portolan-nobody-").tempdir().unwrap();
    let (script, program) = (folder.path().join("gate.rhai"), folder.path().join("portolan"));
    std::fs::write(&script, OFFICE).unwrap();
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_portolan")), &program).unwrap();
    gate.router.sh(&format!("chmod 755 {0}; chown -R 65534 {0}", folder.path().display()));
    let before = gate.rules();
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(&program).args(arguments).arg(&script);
        command.env("HOME", folder.path()).env_remove("PORTOLAN_STATE");
        let ran = gate.router.within(|| command.output().unwrap());
        let text = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, said) = nobody(&["nat", "plan"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("live state unreadable without CAP_NET_ADMIN: the full ruleset is shown"),
        "{said}"
    );
    assert!(said.contains("+\t\tip saddr 192.168.50.0/24 oifname \"wan\" masquerade"), "{said}");
    let (code, said) = nobody(&["nat", "status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("office: missing;"), "{said}");
    for arguments in [&["nat", "apply"][..], &["nat", "revert"], &["run", "--allow-nat"]] {
        let (code, said) = nobody(arguments);
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains("AmbientCapabilities=CAP_NET_ADMIN"), "{said}");
        assert!(said.contains("(nat.not_permitted)"), "{said}");
    }
    assert_eq!(gate.rules(), before);
}

/// Checks that `CAP_NET_ADMIN` is sufficient.
#[test]
fn who_has_that_one_right_may_do_all_of_it() {
    let Some(gate) = Gate::lay() else { return };
    let folder = tempfile::Builder::new().prefix("portolan-capable-").tempdir().unwrap();
    let (script, program) = (folder.path().join("gate.rhai"), folder.path().join("portolan"));
    std::fs::write(&script, OFFICE).unwrap();
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_portolan")), &program).unwrap();
    gate.router.sh(&format!("chmod 755 {0}; chown -R 65534 {0}", folder.path().display()));
    for verb in ["apply", "plan", "revert"] {
        let mut command = Command::new("setpriv");
        let rights = [
            "--inh-caps=-all,+net_admin",
            "--ambient-caps=-all,+net_admin",
            "--bounding-set=-all,+net_admin",
        ];
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(rights).arg("--");
        command.arg(&program).args(["nat", verb]).arg(&script).env("HOME", folder.path());
        let ran = gate.router.within(|| command.output().unwrap());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{verb}: {said}");
        assert_eq!(gate.rules().contains("portolan_office"), verb != "revert");
    }
}

#[test]
fn what_is_open_for_a_while_is_closed_with_the_program_however_that_ends() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let script =
        "nat::with_open(#{ ports: \"40000-40009\", to: \"192.168.50.10\", in: \"wan\" }, || {
        print(\"open\"); sleep(args[0]); });";
    let program = |time: &str| {
        let program = gate.portolan(script).args(["run", "--allow-nat", "gate.rhai", time]);
        gate.router.within(|| program.spawn())
    };
    let running = program("30s");
    running.until_stdout_has("open");
    let during = gate.rules();
    assert!(during.contains("flags owner"), "{during}");
    assert!(during.contains("tcp dport 40000-40009 dnat ip to 192.168.50.10"), "{during}");
    let table = format!("nft delete table inet portolan_open_{}", running.id());
    assert!(gate.router.try_sh(&table).is_err(), "no other user can take it away");
    running.signal(Signal::KILL);
    running.wait().killed_by(9).any_stdout();
    let is_gone = wait::until(Duration::from_secs(10), || (gate.rules() == before).then_some(()));
    assert!(is_gone.is_some(), "{}", gate.rules());
    program("0s").wait().stdout("open\n").any_stderr();
    assert_eq!(gate.rules(), before);
}

/// Checks that the sandbox of a run leaves what rules need: the filter's program, kernel settings, the state.
#[test]
fn a_confined_run_changes_nat_if_it_may_and_nothing_else() {
    let Some(gate) = Gate::lay() else { return };
    let script = format!(
        "{OFFICE}\ntry {{ local::read(\"gate.rhai\"); }} catch (err) {{ print(err.kind); }}\n"
    );
    let program =
        gate.portolan(&script).args(["run", "--allow-nat", "--allow-env=HOME", "gate.rhai"]);
    let ran = gate.router.within(|| program.run());
    ran.succeeds().stdout("denied_by_policy\n").any_stderr().forget();
    assert!(gate.rules().contains("portolan_office"));
    assert_eq!(gate.forwards(), ["1", "1"].map(str::to_owned));
    gate.done(OFFICE, &["revert"]);
}
