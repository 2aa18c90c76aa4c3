//! A host whose loopback interface carries nothing: a filter that forgets it, a container that never sets it up.

use super::run_in;
use crate::support::{net::Space, program::Portolan, rehearsal::Rehearsal};

/// Sets up a client and a server on one cable.
fn lay(tls: bool) -> Option<(Space, Space, Rehearsal)> {
    let (client, host) = (Space::open()?, Space::open()?);
    client.wire("eth0", &host, "eth0");
    client.sh("ip addr add 10.0.0.9/24 dev eth0");
    host.sh("ip addr add 10.0.0.5/24 dev eth0");
    let address = "10.0.0.5:21".parse().unwrap();
    let server = host.within(|| Rehearsal::start_at(address, "10.0.0.5", &[], tls));
    server.file("a", "hello");
    Some((client, host, server))
}

fn silence(client: &Space, how: &str) {
    match how {
        "down" => client.sh("ip link set lo down"),
        verdict => client
            .try_rules(&format!(
                "table inet lab {{
                    chain in {{
                        type filter hook input priority filter
                        iifname \"lo\" {verdict}
                    }}
                }}"
            ))
            .unwrap(),
    }
}

#[test]
fn transfers_need_no_loopback_interface() {
    for how in ["down", "drop", "reject"] {
        for tls in [false, true] {
            let Some((client, _host, server)) = lay(tls) else { return };
            silence(&client, how);
            for mode in ["passive", "active"] {
                let route = if mode == "active" { "eprt" } else { "epsv" };
                let ran = run_in(&client, &server, "10.0.0.5", mode, tls);
                ran.succeeds().stdout(&format!("hello 2 {route}\n")).any_stderr();
            }
        }
    }
}

#[test]
fn the_commands_need_no_loopback_interface() {
    let Some((client, _host, server)) = lay(false) else { return };
    silence(&client, "drop");
    let run = |arguments: &[&str]| {
        let program = Portolan::new().file("b", "sent").args(arguments.iter().copied());
        let ran = client.within(|| program.run()).any_stdout().any_stderr();
        let ran = if arguments.first() == Some(&"get") { ran.wrote("a", "hello") } else { ran };
        drop(ran.succeeds());
    };
    run(&["get", "ftp://10.0.0.5/a"]);
    run(&["put", "b", "ftp://10.0.0.5/"]);
    run(&["ls", "ftp://10.0.0.5/"]);
    run(&["doctor", "ftp://10.0.0.5/"]);
    assert_eq!(server.bytes("b").as_deref(), Some(&b"sent"[..]));
}
