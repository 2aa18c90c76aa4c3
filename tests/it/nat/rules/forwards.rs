//! Forwards of both protocols, to other ports, from sets of networks, and many of them.

use super::reach::{answers, connects, each_filter, ruleset, serve};

#[test]
fn a_forward_has_a_protocol_a_port_and_networks() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.server.sh("ip addr add 198.51.100.7/32 dev eth0");
        gate.router.sh("ip addr add 203.0.113.2/24 dev wan; ip route add 198.51.100.0/24 dev wan");
        for address in ["192.168.50.10:80", "192.168.50.10:53", "192.168.50.10:9001"] {
            serve(&gate.client, address);
        }
        serve(&gate.client, "[2001:db8:50::10]:80");
        gate.apply_in(
            filter,
            r#"
            rules.forward(#{ in: "wan", ports: [8080, 8081], to: "192.168.50.10", to_port: 80, except: "203.0.113.2" });
            rules.forward(#{ in: "wan", ports: 5353, protocol: "udp", to: "192.168.50.10", to_port: 53 });
            rules.forward(#{ in: "wan", ports: 53, protocol: "both", to: "192.168.50.10" });
            rules.forward(#{ in: "wan", ports: "7000-7002", to: "192.168.50.10", to_port: "9000-9002" });
            rules.forward(#{ in: "wan", ports: 8080, to: "2001:db8:50::10", to_port: 80 });
            rules.forward(#{ in: "wan", ports: 9090, to: "192.168.50.10", to_port: 80,
                from: ["198.51.100.0/24", "192.0.2.0/24"] });
            rules.isolate(true);
            "#,
        );
        let server = &gate.server;
        for address in
            ["203.0.113.1:8080", "203.0.113.1:8081", "203.0.113.1:53", "203.0.113.1:7001"]
        {
            assert!(connects(server, address), "{filter}: {address}");
        }
        assert!(connects(server, "[2001:db8:113::1]:8080"), "{filter}");
        assert!(answers(server, "203.0.113.1:5353") && answers(server, "203.0.113.1:53"));
        for address in
            ["203.0.113.2:8080", "203.0.113.1:5353", "203.0.113.1:7000", "203.0.113.1:9090"]
        {
            assert!(!connects(server, address), "{filter}: {address}");
        }
        assert!(!answers(server, "203.0.113.1:8080"));
        // Another client outside, of the networks that may.
        server.sh("ip route replace 203.0.113.1 dev eth0 src 198.51.100.7");
        assert!(connects(server, "203.0.113.1:9090"), "{filter}");
    });
}

/// Checks that many forwards are applied and looked up quickly, and that each still stands in the plan by its name.
#[test]
fn five_hundred_forwards_are_one_map() {
    each_filter(|gate, filter| {
        for port in [80, 443] {
            serve(&gate.client, &format!("192.168.50.10:{port}"));
        }
        let many = |last: u16| {
            format!(
                r#"
                for port in 2000..{last} {{
                    rules.forward(#{{ in: "wan", ports: port, to: "192.168.50.10", to_port: if port % 2 == 0 {{ 80 }} else {{ 443 }} }});
                }}
                rules.forward(#{{ in: "wan", ports: 443, to: "192.168.50.10" }});
                "#
            )
        };
        gate.apply_in(filter, &many(2500));
        if filter == "nft" {
            let rules = gate.rules();
            let lines = rules.lines().filter(|line| line.contains("dnat ip to"));
            assert_eq!(lines.count(), 2, "a map, and the rule of another kind");
            assert!(rules.contains("dnat ip to tcp dport map { 2000 comment"), "{rules}");
        }
        for port in [2000, 2001, 2250, 2499, 443] {
            assert!(connects(&gate.server, &format!("203.0.113.1:{port}")), "{filter}: {port}");
        }
        assert!(!connects(&gate.server, "203.0.113.1:2500"));
        let more = ruleset(&many(2501));
        let plan = gate.nat(&more, &["plan"]).fails_with(2);
        let plan = plan.stdout_has("  + forward 2500 -> 192.168.50.10 port 80 from wan\n");
        drop(plan.stdout_has("Plan: 1 to add, 0 to change, 0 to remove").any_stdout());
        gate.done(&more, &["apply", "--confirm-within", "60s"]);
        assert!(connects(&gate.server, "203.0.113.1:2500"), "{filter}: on trial");
        gate.done(&more, &["rollback"]);
        assert!(!connects(&gate.server, "203.0.113.1:2500"), "{filter}: rolled back");
        assert!(connects(&gate.server, "203.0.113.1:2499"));
        gate.done(&more, &["revert"]);
        assert!(!connects(&gate.server, "203.0.113.1:2000"));
    });
}

#[test]
fn a_udp_port_of_a_service_is_not_led_away() {
    each_filter(|gate, filter| {
        serve(&gate.router, "203.0.113.1:5353");
        let taken =
            r#"rules.forward(#{ in: "wan", ports: 5353, protocol: "udp", to: "192.168.50.10" });"#;
        let ran = gate.nat(&ruleset(taken), &["apply", "--backend", filter]).fails_with(7);
        ran.stderr_has("takes udp port 5353 away").stderr_has("(nat.conflict)").any_stderr();
        gate.apply_in(filter, &taken.replace("5353", "5354"));
    });
}

#[test]
fn a_masquerade_leaves_exceptions_as_they_are() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.route_back();
        gate.server.sh("ip addr add 203.0.113.11/24 dev eth0; nft -f - <<'END'
            table inet seen {
                chain in {
                    type filter hook input priority filter
                    ip saddr 203.0.113.1 ip daddr 203.0.113.11 counter comment \"wrong\"
                    ip saddr 192.168.50.10 ip daddr 203.0.113.10 counter comment \"wrong\"
                    ip6 saddr 2001:db8:50::10 counter comment \"wrong\"
                }
            }
END");
        for address in ["0.0.0.0:7000", "[2001:db8:113::10]:7000"] {
            serve(&gate.server, address);
        }
        gate.apply_in(
            filter,
            r#"rules.masquerade(#{ source: ["192.168.50.0/24", "10.9.0.0/16", "2001:db8:50::/64"], out: "wan",
                except: ["203.0.113.11", "10.0.0.0/8"] }); rules.isolate(true);"#,
        );
        for address in ["203.0.113.10:7000", "203.0.113.11:7000", "[2001:db8:113::10]:7000"] {
            assert!(connects(&gate.client, address), "{filter}: {address}");
        }
        let seen = gate.server.read("nft list table inet seen");
        assert_eq!(seen.matches("packets 0 ").count(), 3, "{filter}: {seen}");
    });
}
