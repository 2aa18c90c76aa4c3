//! Rulesets that would cut off services, sessions and logins of the host.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use super::{Gate, echo};
use crate::support::program::Ran;

/// A gateway that is an FTP server, and nothing else from then on.
const SERVER: &str = r#"
let rules = nat::ruleset("server");
rules.ftp_server(#{ passive: "50000-50009" });
// accept
rules.isolate(true);
rules.apply();
"#;

fn accepting(parts: &str) -> String {
    SERVER.replace("// accept", parts)
}

/// Returns true if the client reaches the router at this port.
fn reaches(gate: &Gate, port: u16) -> bool {
    let address = SocketAddr::from(([192, 168, 50, 1], port));
    let time = Duration::from_millis(700);
    gate.client.within(|| TcpStream::connect_timeout(&address, time).is_ok())
}

/// Runs `portolan nat apply` in a login over `session`, as sshd names it.
fn logged_in(gate: &Gate, script: &str, session: &str) -> Ran {
    let program = gate.portolan(script).args(["nat", "apply", "gate.rhai"]);
    let program = program.env("SSH_CONNECTION", session);
    gate.router.within(|| program.run())
}

#[test]
fn services_are_named_before_they_are_cut_off() {
    let Some(gate) = Gate::lay() else { return };
    echo(&gate.router, 443);
    echo(&gate.router, 21);
    let _names = gate.router.within(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let _own = gate.router.within(|| TcpListener::bind("127.0.0.1:5432").unwrap());
    let plan = gate.nat(SERVER, &["plan"]).fails_with(2).any_stderr();
    let told = plan.stdout_text().to_owned();
    drop(plan.any_stdout());
    let line = told.lines().find(|line| line.contains("cuts off services")).unwrap().to_owned();
    assert!(line.contains("udp 53") && line.contains("tcp 443"), "{line}");
    assert!(!line.contains("5432") && !line.contains("tcp 21"), "{line}");
    let remedy = line.split('`').nth(3).unwrap().to_owned();
    drop(gate.nat(SERVER, &["apply"]).succeeds().stderr_has("cuts off services").any_stdout());
    assert!(!reaches(&gate, 443) && reaches(&gate, 21));
    // It is told before it happens, and not for ever after.
    let again = gate.nat(SERVER, &["plan"]).succeeds().any_stderr().never_says("cuts off");
    drop(again.stdout_has("No changes.").any_stdout());
    let mended = gate.nat(&accepting(&remedy), &["apply"]).succeeds().any_stdout();
    drop(mended.any_stderr().never_says("cuts off"));
    assert!(reaches(&gate, 443), "{remedy}");
    echo(&gate.router, 8443);
    assert!(!reaches(&gate, 8443), "{remedy}");
}

#[test]
fn a_login_by_any_program_stays_possible() {
    let Some(gate) = Gate::lay() else { return };
    // This process is above portolan, and holds the connection, as the server of a login does.
    let door = gate.router.within(|| TcpListener::bind("0.0.0.0:7022").unwrap());
    let address = SocketAddr::from(([192, 168, 50, 1], 7022));
    let mut client = gate.client.within(|| TcpStream::connect(address).unwrap());
    let (held, _) = door.accept().unwrap();
    let told = "you seem to be logged in from 192.168.50.10 at port 7022, which stays open";
    drop(gate.nat(SERVER, &["apply"]).succeeds().stderr_has(told).any_stdout());
    assert!(gate.rules().contains("7022"), "{}", gate.rules());
    drop(held);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the present session lives until it ends");
    assert!(reaches(&gate, 7022), "and so does the next");
}

#[test]
fn a_login_over_a_tunnel_whose_packets_would_be_dropped_is_refused() {
    let Some(gate) = Gate::lay() else { return };
    for (space, here, there) in [(&gate.router, 1, 10), (&gate.client, 10, 1)] {
        space.sh(&format!(
            "ip link add vx0 type vxlan id 7 remote 192.168.50.{there} dstport 4789; \
             ip addr add 10.8.0.{here}/24 dev vx0; ip link set vx0 up"
        ));
    }
    let before = gate.rules();
    let session = "10.8.0.10 50000 10.8.0.1 22";
    logged_in(&gate, SERVER, session)
        .fails_with(7)
        .stderr_has("over the tunnel vx0, and its own packets to udp 4789 would be dropped")
        .stderr_has("rules.accept(#{ ports: 4789, protocol: \"udp\" });");
    assert_eq!(gate.rules(), before);
    // The same login without the tunnel, and with the remedy.
    drop(
        logged_in(&gate, SERVER, "192.168.50.10 50000 192.168.50.1 22")
            .succeeds()
            .any_stdout()
            .any_stderr(),
    );
    gate.done(SERVER, &["revert"]);
    let accepted = accepting("rules.accept(#{ ports: 4789, protocol: \"udp\" });");
    drop(logged_in(&gate, &accepted, session).succeeds().any_stdout().any_stderr());
    echo(&gate.router, 22);
    let address = SocketAddr::from(([10, 8, 0, 1], 22));
    let time = Duration::from_secs(5);
    let reached = gate.client.within(|| TcpStream::connect_timeout(&address, time));
    assert!(reached.is_ok(), "{}", gate.rules());
    echo(&gate.router, 445);
    assert!(!reaches(&gate, 445), "{}", gate.rules());
}
