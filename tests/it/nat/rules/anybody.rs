//! Without root: in a user namespace, in which any user has all rights over its networks.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::OFFICE;
use crate::support::server::say_skipped;

/// A script with all steps, from a plan to removal, and each exit code. `$0` is the program.
const FLOW: &str = r#"
for pair in lan wan; do
    ip link add $pair type veth peer name $pair-far
    ip link set $pair up
    echo 0 >/proc/sys/net/ipv4/conf/$pair/forwarding
done
ip link set lo up
ip addr add 192.168.50.1/24 dev lan
ip addr add 203.0.113.1/24 dev wan
for verb in plan apply plan status 'apply --confirm-within 60s' revert status; do
    echo "== $verb"
    "$0" nat $verb gate.rhai
    echo "-- $?"
done
echo "== left"
nft list ruleset
cat /proc/sys/net/ipv4/conf/lan/forwarding
echo "== without the right"
setpriv --inh-caps=-all --bounding-set=-all "$0" nat apply gate.rhai 2>&1
echo "-- $?"
"#;

/// Returns a command that an unprivileged user runs in namespaces of its own.
fn nobody(words: &[&str]) -> Command {
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let prefix = if rustix::process::geteuid().is_root() { &as_nobody[..] } else { &[] };
    let mut all = prefix.iter().chain(&["unshare", "-Urn"]).chain(words);
    let mut command = Command::new(all.next().unwrap());
    command.args(all).stdin(Stdio::null());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

#[test]
fn anybody_may_do_all_of_it_in_a_network_of_his_own() {
    const TEST: &str = "anybody_may_do_all_of_it_in_a_network_of_his_own";
    let tried = nobody(&["true"]).output();
    match tried {
        Ok(ran) if ran.status.success() => {}
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stderr);
            return say_skipped(TEST, &format!("no user namespaces here: {}", said.trim()));
        }
        Err(error) => return say_skipped(TEST, &format!("no user namespaces here: {error}")),
    }
    let folder = tempfile::Builder::new().prefix("portolan-anybody-").tempdir().unwrap();
    let program = folder.path().join("portolan");
    std::fs::write(folder.path().join("gate.rhai"), OFFICE).unwrap();
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_portolan")), &program).unwrap();
    if rustix::process::geteuid().is_root() {
        let script = "chmod 755 \"$0\" && chown -R 65534 \"$0\"";
        let done = Command::new("sh").args(["-c", script]).arg(folder.path()).status().unwrap();
        assert!(done.success());
    }
    let mut command = nobody(&["sh", "-c", FLOW]);
    let ran = command.arg(&program).current_dir(folder.path()).env("HOME", folder.path());
    let ran = ran.env_remove("PORTOLAN_STATE").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let part = |name: &str| {
        let head = format!("== {name}\n");
        let rest = said.rsplit_once(&head).map(|(_, rest)| rest);
        let rest =
            rest.unwrap_or_else(|| panic!("{said}\n{}", String::from_utf8_lossy(&ran.stderr)));
        rest.split("== ").next().unwrap().to_owned()
    };
    let first = said.split("== apply").next().unwrap();
    assert!(first.contains("Plan: 4 to add") && first.ends_with("-- 2\n"), "{first}");
    assert_eq!(part("apply"), "office: applied\n-- 0\n");
    assert!(part("plan").ends_with("\nNo changes. The live ruleset matches the plan.\n-- 0\n"));
    assert_eq!(part("apply --confirm-within 60s"), "office: unchanged\n-- 0\n");
    assert_eq!(part("revert"), "office: reverted\n-- 0\n");
    assert_eq!(part("status"), "office: missing\n-- 0\n");
    assert_eq!(part("left"), "0\n");
    let refused = part("without the right");
    assert!(refused.ends_with("-- 5\n"), "{refused}");
    for word in ["(nat.not_permitted)", "CAP_NET_ADMIN", "setpriv", "AmbientCapabilities"] {
        assert!(refused.contains(word), "{refused}");
    }
}
