//! `portolan nat import`: the recipe and other scripts of iptables lines, carried over and applied.

use std::net::{SocketAddr, TcpStream};

use super::SILENCE;
use crate::{
    nat::rules::{Gate, echo},
    support::program::{Portolan, Ran},
};

/// The recipe that is found everywhere, on the router of the tests.
const RECIPE: &str = "iptables -t nat -F
iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
modprobe nf_nat_ftp
echo 1 > /proc/sys/net/ipv4/ip_forward
";

fn import(text: &str, arguments: &[&str]) -> Ran {
    let program = Portolan::new().file("rules.sh", text).args(["nat", "import", "rules.sh"]);
    program.args(arguments.to_vec()).run()
}

fn script(text: &str) -> String {
    let ran = import(text, &[]).succeeds();
    let script = ran.stdout_text().to_owned();
    drop(ran.any_stdout());
    script
}

/// Returns true if the host outside, which has a route to those inside, is connected there.
fn connects(gate: &Gate, address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    gate.server.within(|| TcpStream::connect_timeout(&address, SILENCE).is_ok())
}

#[test]
fn the_imported_recipe_makes_the_same_gateway() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    echo(&gate.client, 445);
    assert!(!gate.reaches(7000));
    let script = script(RECIPE);
    gate.done(&script, &["apply"]);
    assert!(gate.reaches(7000), "{script}");
    assert!(!connects(&gate, "203.0.113.1:445"), "{script}");
    let rules = gate.rules();
    assert!(rules.contains("masquerade") && rules.contains("ct helper set"), "{rules}");
    gate.done(&script, &["revert"]);
    assert!(!gate.reaches(7000));
}

#[test]
fn what_iptables_save_prints_is_imported_as_well() {
    let Some(gate) = Gate::lay() else { return };
    let Some(other) = Gate::lay() else { return };
    echo(&gate.server, 7000);
    for port in [40005, 445] {
        echo(&gate.client, port);
    }
    gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    other.router.sh("iptables -P FORWARD DROP
        iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A FORWARD -i lan -o wan -j ACCEPT
        iptables -t nat -A POSTROUTING -s 192.168.50.0/24 -o wan -j MASQUERADE
        iptables -t nat -A PREROUTING -i wan -p tcp --dport 40005 -j DNAT --to-destination 192.168.50.10");
    let saved = other.prints(&["iptables-save"]);
    let script = script(&saved);
    assert!(
        script.contains("rules.forward(#{ in: \"wan\", ports: 40005, to: \"192.168.50.10\" });"),
        "{script}"
    );
    gate.done(&script, &["apply"]);
    assert!(gate.reaches(7000), "{script}");
    assert!(connects(&gate, "203.0.113.1:40005"), "{script}");
    for closed in ["203.0.113.1:445", "192.168.50.10:445"] {
        assert!(!connects(&gate, closed), "{closed}: {script}");
    }
}

#[test]
fn lines_that_are_lost_are_named_and_the_exit_code_says_so() {
    let text = format!(
        "{RECIPE}iptables -A INPUT -m limit --limit 3/s -j ACCEPT\ntouch made-by-the-import\n"
    );
    let ran = import(&text, &[]).fails_with(6);
    let told = ran.stdout_text().to_owned();
    assert!(told.contains("// line 5: `iptables -A INPUT -m limit"), "{told}");
    let ran = ran
        .stderr_has("not carried over: line 5: ")
        .stderr_has("line 6: `touch made-by-the-import`");
    // Nothing of it was executed: the working directory has no other file.
    drop(ran.any_stdout().any_stderr());
    let mut ran = import(&text, &["--json", "--name", "office"]).fails_with(6).any_stderr();
    let found = ran.json();
    assert_eq!(found["left"].as_array().unwrap().len(), 2, "{found:#}");
    assert!(found["script"].as_str().unwrap().starts_with("let rules = nat::ruleset(\"office\");"));
    drop(ran);
}

#[test]
fn standard_input_is_read_and_an_empty_file_is_an_error() {
    let piped = Portolan::new().stdin(RECIPE).args(["nat", "import", "-"]).run();
    assert!(piped.stdout_text().contains("rules.masquerade("));
    drop(piped.succeeds().any_stdout());
    import("# nothing\n", &[]).fails_with(3).stderr_has("no line can be carried over").any_stderr();
    import(RECIPE, &["--name", "a b"]).any_code().stderr_has("(nat.bad_name)").any_stderr();
}
