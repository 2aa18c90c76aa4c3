//! Isolated gateways: services of their own, what they let through, and what never leaves them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Gate, echo, echo_at,
    reach::{answers, connects, each_filter, serve},
};

#[test]
fn an_isolated_gateway_lets_in_to_its_services_whom_it_names() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        for address in [
            "192.168.50.1:53",
            "192.168.50.1:54",
            "[::]:8080",
            "192.168.50.1:7777",
            "203.0.113.1:53",
        ] {
            serve(&gate.router, address);
        }
        gate.apply_in(
            filter,
            r#"
            rules.ftp_server(#{ passive: "50000-50009" });
            rules.accept(#{ ports: 53, protocol: "both", in: "lan" });
            rules.accept(#{ ports: 54, protocol: "udp" });
            rules.accept(#{ ports: [8080], from: ["192.168.50.0/24", "2001:db8:50::/64"] });
            rules.isolate(true);
            "#,
        );
        let (client, server) = (&gate.client, &gate.server);
        assert!(connects(client, "192.168.50.1:53") && answers(client, "192.168.50.1:53"));
        assert!(answers(client, "192.168.50.1:54") && !connects(client, "192.168.50.1:54"));
        assert!(connects(client, "192.168.50.1:8080") && connects(client, "[2001:db8:50::1]:8080"));
        assert!(!connects(client, "192.168.50.1:7777") && !answers(client, "192.168.50.1:7777"));
        assert!(!connects(server, "203.0.113.1:53") && !answers(server, "203.0.113.1:53"));
        assert!(!connects(server, "203.0.113.1:8080"));
        assert!(!connects(server, "[2001:db8:113::1]:8080"));
        // All of the inside, and no more.
        gate.apply_in(filter, r#"rules.accept(#{ in: "lan" }); rules.isolate(true);"#);
        assert!(connects(client, "192.168.50.1:7777") && answers(client, "192.168.50.1:7777"));
        assert!(!connects(server, "203.0.113.1:53") && !connects(server, "203.0.113.1:8080"));
    });
}

#[test]
fn what_may_pass_is_named_by_ports_protocol_and_networks() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.route_back();
        gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
        for address in ["0.0.0.0:7000", "0.0.0.0:7001", "[2001:db8:113::10]:7000"] {
            serve(&gate.server, address);
        }
        for port in ["7000", "7001", "7002"] {
            serve(&gate.client, &format!("[2001:db8:50::10]:{port}"));
        }
        let client = &gate.client;
        gate.apply_in(
            filter,
            r#"
            rules.allow(#{ in: "lan", out: "wan", ports: 7000, to: "203.0.113.0/24", except: "203.0.113.11" });
            rules.allow(#{ in: "wan", out: "lan", ports: [7000, "7002-7003"], to: "2001:db8:50::10",
                source: ["2001:db8:113::/64", "2001:db8:9::/48"] });
            rules.allow(#{ in: "wan", out: "lan", ports: 7001, protocol: "udp", to: "2001:db8:50::10" });
            rules.isolate(true);
            "#,
        );
        assert!(connects(client, "203.0.113.10:7000") && !answers(client, "203.0.113.10:7000"));
        assert!(!connects(client, "203.0.113.10:7001"));
        assert!(!connects(client, "203.0.113.11:7000"), "an exception");
        assert!(!connects(client, "[2001:db8:113::10]:7000"), "no rule says so");
        let pinhole = |port: u16| format!("[2001:db8:50::10]:{port}");
        assert!(connects(&gate.server, &pinhole(7000)) && connects(&gate.server, &pinhole(7002)));
        assert!(!connects(&gate.server, &pinhole(7001)) && answers(&gate.server, &pinhole(7001)));
        assert!(!answers(&gate.server, &pinhole(7000)));
        // Everything but one network; the other family has no exception.
        gate.apply_in(
            filter,
            r#"rules.allow(#{ in: "lan", out: "wan", except: "203.0.113.11" }); rules.isolate(true);"#,
        );
        assert!(connects(client, "203.0.113.10:7001") && answers(client, "203.0.113.10:7000"));
        assert!(!connects(client, "203.0.113.11:7000"));
        assert!(!connects(&gate.server, &pinhole(7000)));
    });
}

#[test]
fn an_allow_limits_what_a_masquerade_lets_out() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.client.sh("ip addr add 192.168.50.200/24 dev eth0");
        gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
        for address in ["0.0.0.0:7000", "0.0.0.0:7001", "[2001:db8:113::10]:7001"] {
            serve(&gate.server, address);
        }
        let client = &gate.client;
        let masquerade = r#"rules.masquerade(#{ source: ["192.168.50.0/24", "2001:db8:50::/64"], out: "wan" });
            rules.isolate(true);"#;
        gate.apply_in(filter, masquerade);
        assert!(connects(client, "203.0.113.10:7000") && connects(client, "203.0.113.10:7001"));
        let ports = r#"rules.allow(#{ in: "lan", out: "wan", ports: 7000 });"#;
        gate.apply_in(filter, &format!("{masquerade} {ports}"));
        assert!(connects(client, "203.0.113.10:7000") && !connects(client, "203.0.113.10:7001"));
        assert!(!answers(client, "203.0.113.10:7000"));
        assert!(!connects(client, "[2001:db8:113::10]:7001"), "both families");
        let except = r#"rules.allow(#{ in: "lan", out: "wan", except: "203.0.113.11" });"#;
        gate.apply_in(filter, &format!("{except} {masquerade}"));
        assert!(connects(client, "203.0.113.10:7001") && !connects(client, "203.0.113.11:7001"));
        assert!(connects(client, "[2001:db8:113::10]:7001"));
        // For some sources only.
        let guests =
            r#"rules.allow(#{ in: "lan", out: "wan", source: "192.168.50.128/25", ports: 7000 });"#;
        gate.apply_in(filter, &format!("{masquerade} {guests}"));
        assert!(connects(client, "203.0.113.10:7001"));
        client.sh("ip route replace 203.0.113.0/24 via 192.168.50.1 src 192.168.50.200");
        assert!(connects(client, "203.0.113.10:7000") && !connects(client, "203.0.113.10:7001"));
        // An allow of everything limits nothing, as ever.
        gate.apply_in(
            filter,
            &format!(r#"{masquerade} rules.allow(#{{ in: "lan", out: "wan", source: "192.168.50.10" }});"#),
        );
        assert!(connects(client, "203.0.113.10:7001"));
    });
}

/// Checks the kind of packets that the kernel translates in no rule, since they belong to no connection.
#[test]
fn packets_that_belong_to_no_connection_do_not_leave() {
    each_filter(|gate, filter| {
        gate.route_back();
        gate.server.sh("nft -f - <<'END'
            table inet seen {
                chain in {
                    type filter hook input priority filter
                    ip saddr 192.168.50.10 counter comment \"private\"
                    ip saddr 203.0.113.1 counter comment \"public\"
                }
            }
END");
        let masquerade = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" });"#;
        let seen = |words: &str| {
            let listing = gate.server.read("nft list table inet seen");
            let line = listing.lines().find(|line| line.contains(words)).unwrap().to_owned();
            !line.contains("packets 0")
        };
        // The answer to an echo request that was not sent.
        let reply = [0_u8, 0, 0xff, 0xff, 0, 0, 0, 0];
        let send = || {
            let socket = gate
                .client
                .within(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap());
            let to: std::net::SocketAddr = "203.0.113.10:0".parse().unwrap();
            for _ in 0..3 {
                socket.send_to(&reply, &to.into()).unwrap();
            }
            // It comes after them, and is translated.
            connects(&gate.client, "203.0.113.10:9");
        };
        gate.apply_in(filter, &format!("{masquerade} rules.isolate(true);"));
        send();
        assert!(seen("public") && !seen("private"), "{filter}: a private source outside");
        // It is the rule that does it: nothing is dropped without `isolate`.
        gate.apply_in(filter, masquerade);
        send();
        assert!(seen("private"), "{filter}: the probe proves something");
    });
}

/// Announces a port in a session with the server, as active mode does.
fn announced(gate: &Gate, server: &str, announcement: &str) -> TcpStream {
    let address = server.parse().unwrap();
    let mut control = gate
        .client
        .within(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap());
    // The helper knows where a command begins once it has seen the end of one.
    for line in ["USER somebody\r\n", announcement] {
        control.write_all(line.as_bytes()).unwrap();
        // The server echoes it: it has come through.
        let count = control.read(&mut [0; 64]).unwrap();
        assert!(count > 0, "{server}");
    }
    control
}

/// Does so, and returns the connections that the router then expects.
fn expected(gate: &Gate, server: &str, announcement: &str) -> String {
    let _control = announced(gate, server, announcement);
    gate.router.read("cat /proc/net/nf_conntrack_expect")
}

/// A page in a client's network that a stranger is after: its server has made the client say `PORT` with that port.
#[test]
fn a_strangers_server_gets_no_hole_to_a_client_through_the_helper() {
    each_filter(|gate, filter| {
        gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
        echo(&gate.server, 21);
        serve(&gate.client, "192.168.50.10:8080");
        let attack = || {
            let _control = announced(gate, "203.0.113.11:21", "PORT 192,168,50,10,31,144\r\n");
            gate.server.within(|| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
                let from: std::net::SocketAddr = "203.0.113.11:0".parse().unwrap();
                let to: std::net::SocketAddr = "203.0.113.1:8080".parse().unwrap();
                socket.bind(&from.into()).unwrap();
                socket.connect_timeout(&to.into(), Duration::from_millis(700)).is_ok()
            })
        };
        let parts = |helper: &str| {
            format!(
                r#"rules.masquerade(#{{ source: "192.168.50.0/24", out: "wan" }});
                rules.ftp_helper({helper}); rules.isolate(true);"#
            )
        };
        gate.apply_in(filter, &parts(r#"#{ server: "203.0.113.10" }"#));
        assert!(!attack(), "{filter}: the page is reached from outside");
        // The helper that reads every server opens it, which is why it can be limited.
        gate.apply_in(filter, &parts("#{}"));
        assert!(attack(), "{filter}: the attack proves something");
    });
}

#[test]
fn the_helper_reads_the_connections_to_its_servers_alone() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.server.sh("ip addr add 203.0.113.11/24 dev eth0");
        echo(&gate.server, 21);
        echo_at(&gate.server, "[2001:db8:113::10]:21");
        gate.apply_in(
            filter,
            r#"
            rules.masquerade(#{ source: ["192.168.50.0/24", "2001:db8:50::/64"], out: "wan" });
            rules.ftp_helper(#{ server: ["203.0.113.10", "198.51.100.0/24", "2001:db8:113::10"] });
            "#,
        );
        let port = "PORT 192,168,50,10,200,10\r\n";
        let other = expected(gate, "203.0.113.11:21", port);
        assert!(!other.contains("src=203.0.113.11 "), "{filter}: a stranger's server: {other}");
        let named = expected(gate, "203.0.113.10:21", port);
        assert!(named.contains("src=203.0.113.10 "), "{filter}: {named}");
        let six = expected(gate, "[2001:db8:113::10]:21", "EPRT |2|2001:db8:50::10|51210|\r\n");
        assert!(six.contains("src=2001:0db8:0113:"), "{filter}: {six}");
        // Without a server, it reads what any server says.
        gate.apply_in(
            filter,
            r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.ftp_helper(#{});"#,
        );
        let other = expected(gate, "203.0.113.11:21", port);
        assert!(other.contains("src=203.0.113.11 "), "{filter}: the probe proves something");
    });
}
