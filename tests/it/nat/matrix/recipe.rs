//! The seed's job in seven lines of script, and the recipe that is found everywhere
//! (`iptables -t nat -A POSTROUTING -j MASQUERADE`, `ip_forward = 1`) beside it: nothing passes our gateway that the
//! recipe's refuses.

use std::{
    io::Read,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use super::{
    ALL_WORK, Expected, NOT_CURL, Row, check,
    clients::{Expected::Works, Way},
    lab::{PUBLIC, Place, Server},
};
use crate::{
    nat::rules::Gate,
    support::{net::Space, server::say_skipped},
};

/// The lines between `let rules = nat::ruleset("row");` and `rules.apply();`.
const LINES: &str = r#"rules.masquerade(#{ source: ["192.168.50.0/24", "2001:db8:50::/64"], out: "wan" });
rules.ftp_helper(#{});
rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });
rules.ftp_active(#{ ports: "40000-40009", to: "2001:db8:50::10", in: "wan" });
rules.forwarding(true);"#;
/// The number of lines of the whole script, and of transfers that must work with it.
const LINES_MAX: usize = 7;
const TRANSFERS: usize = 21;

#[test]
fn the_seeds_job_takes_seven_lines_and_carries_every_transfer() {
    const IPV6: Server = Server { is_ipv6: true, ..PUBLIC };
    const RULES: &[(Place, &str)] = &[(Place::Router, LINES)];
    let row = |name, server, ways| Row { name, server, rules: RULES, from: Place::Client, ways };
    let rows = [
        row("plain", PUBLIC, &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)]),
        row("plain, IPv6", IPV6, &[(Way::Passive, ALL_WORK), (Way::Active, ALL_WORK)]),
        row(
            "TLS",
            Server { is_tls: true, ..PUBLIC },
            &[(Way::Passive, ALL_WORK), (Way::ActiveAnnounced, [Works, Works, NOT_CURL])],
        ),
        row(
            "TLS, IPv6",
            Server { is_tls: true, ..IPV6 },
            &[(Way::Passive, ALL_WORK), (Way::ActiveAnnounced, [Works, NOT_CURL, NOT_CURL])],
        ),
    ];
    assert!(LINES.lines().count() + 2 <= LINES_MAX);
    let works = |(_, expected): &(Way, [Expected; 3])| {
        expected.iter().filter(|one| matches!(one, Works)).count()
    };
    let transfers: usize = rows.iter().flat_map(|row| row.ways).map(works).sum();
    assert_eq!(transfers, TRANSFERS);
    check(&rows);
}

/// The same job in the network of [`Gate`], which has no IPv6.
const OURS: &str = r#"
let rules = nat::ruleset("office");
rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });
rules.ftp_helper(#{});
rules.forwarding(true);
rules.apply();
"#;
const RECIPE: &str =
    "iptables -t nat -A POSTROUTING -j MASQUERADE; echo 1 >/proc/sys/net/ipv4/ip_forward";
/// The ports of services that run everywhere: on clients, on the gateway, and outside.
const PORTS: [u16; 6] = [21, 22, 445, 3306, 8080, 40_000];
const SILENCE: Duration = Duration::from_millis(500);

/// Runs services at every address of a host, over TCP and UDP, until the test is over.
fn serve(space: &Space) {
    for port in PORTS {
        let any = SocketAddr::from(([0, 0, 0, 0], port));
        let (listener, socket) =
            space.within(|| (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap()));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                stream.read_exact(&mut [0]).ok();
            }
        });
        thread::spawn(move || {
            let mut bytes = [0; 8];
            while let Ok((count, from)) = socket.recv_from(&mut bytes) {
                socket.send_to(bytes.get(..count).unwrap_or_default(), from).ok();
            }
        });
    }
}

/// A connection, and where from.
type Probe = (&'static str, &'static str, u16, &'static str);

/// Returns the probes that pass a gateway.
fn passing(gate: &Gate) -> Vec<Probe> {
    // Strangers know the networks behind the gateway, and send packets for them to it.
    gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
    [&gate.client, &gate.router, &gate.server].into_iter().for_each(serve);
    let mut passing = Vec::new();
    let ends = [
        ("outside", "203.0.113.1"),
        ("outside", "192.168.50.1"),
        ("outside", "192.168.50.10"),
        ("inside", "203.0.113.1"),
        ("inside", "192.168.50.1"),
        ("inside", "203.0.113.10"),
    ];
    for (from, to) in ends {
        let space = if from == "outside" { &gate.server } else { &gate.client };
        for port in PORTS {
            let address = SocketAddr::new(to.parse::<IpAddr>().unwrap(), port);
            let reached = space.within(|| TcpStream::connect_timeout(&address, SILENCE).is_ok());
            if reached {
                passing.push((from, to, port, "tcp"));
            }
            let answered = space.within(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_read_timeout(Some(SILENCE)).unwrap();
                socket.send_to(b"x", address).is_ok() && socket.recv_from(&mut [0; 8]).is_ok()
            });
            if answered {
                passing.push((from, to, port, "udp"));
            }
        }
    }
    passing
}

/// Returns the settings that make a gateway follow others: redirects and source routes.
fn switches(gate: &Gate) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for device in ["lan", "wan"] {
        for name in ["accept_redirects", "accept_source_route"] {
            // A redirect is taken if the one of all interfaces and its own say so (for a router), a source route as well.
            let read = |of: &str| {
                let path = format!("/proc/sys/net/ipv4/conf/{of}/{name}");
                gate.prints(&["cat", &path]).trim() == "1"
            };
            found.push((format!("{device} {name}"), read("all") && read(device)));
        }
    }
    found
}

#[test]
fn nothing_passes_our_gateway_that_the_recipes_refuses() {
    let (Some(ours), Some(recipe)) = (Gate::lay(), Gate::lay()) else { return };
    if let Err(said) = recipe.router.try_sh(RECIPE) {
        say_skipped("the recipe beside ours", &format!("iptables does not work here: {said}"));
        return;
    }
    let planned = ours.nat(OURS, &["plan"]).any_code();
    let has_helper = !planned.stderr_text().contains("nat.helper_missing");
    drop(planned.any_stdout().any_stderr());
    let helper = if has_helper { "" } else { "rules.ftp_helper(#{});\n" };
    let script = OURS.replacen(helper, "", usize::from(!has_helper));
    ours.done(&script, &["apply"]);
    let (by_ours, by_recipe) = thread::scope(|scope| {
        let other = scope.spawn(|| passing(&recipe));
        (passing(&ours), other.join().unwrap())
    });
    assert!(by_recipe.contains(&("inside", "203.0.113.10", 21, "tcp")), "{by_recipe:?}");
    assert!(by_ours.contains(&("inside", "203.0.113.10", 21, "tcp")), "{by_ours:?}");
    let more: Vec<_> = by_ours.iter().filter(|probe| !by_recipe.contains(probe)).collect();
    assert!(more.is_empty(), "these pass ours alone: {more:?}");
    for ((name, on), (_, recipes)) in switches(&ours).into_iter().zip(switches(&recipe)) {
        assert!(!on || recipes, "{name} is on, and off by the recipe");
    }
    // With a filter, hardly anything of this passes.
    let closed = script.replace("rules.forwarding", "rules.isolate(true); rules.forwarding");
    ours.done(&closed, &["apply"]);
    let address = SocketAddr::from(([192, 168, 50, 10], 445));
    let reached =
        |gate: &Gate| gate.server.within(|| TcpStream::connect_timeout(&address, SILENCE).is_ok());
    assert!(reached(&recipe) && !reached(&ours));
}
