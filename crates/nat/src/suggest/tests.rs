//! Tests of suggestions: one model, written in every format.

use super::*;

fn wanted(side: FirewallSide, mode: FirewallMode, format: FirewallFormat) -> WantedPorts {
    WantedPorts {
        format,
        from: Net::parse("203.0.113.20").ok(),
        external: Some(Ipv4Addr::new(198, 51, 100, 7)),
        ..WantedPorts::new(side, mode, 21, SERVER_PORTS)
    }
}

fn text(side: FirewallSide, mode: FirewallMode, format: FirewallFormat) -> String {
    wanted(side, mode, format).text().unwrap()
}

/// Returns the commands of a text: its lines without comments.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn each_filter_has_its_own_words_for_a_client_in_active_mode() {
    let told = |format| {
        let text = text(FirewallSide::Client, FirewallMode::Active, format);
        lines(&text).first().copied().unwrap_or_default().to_owned()
    };
    let nft =
        "nft insert rule inet filter input ip saddr 203.0.113.20 tcp dport 50000-50009 accept";
    assert_eq!(told(FirewallFormat::Nft), nft);
    let iptables =
        "iptables -I INPUT -s 203.0.113.20 -p tcp -m multiport --dports 50000:50009 -j ACCEPT";
    assert_eq!(told(FirewallFormat::Iptables), iptables);
    let ufw = "ufw prepend allow in proto tcp from 203.0.113.20 to any port 50000:50009";
    assert_eq!(told(FirewallFormat::Ufw), ufw);
    let firewalld = told(FirewallFormat::Firewalld);
    assert!(firewalld.starts_with("firewall-cmd --zone=\"$("), "{firewalld}");
    assert!(firewalld.contains("ip route get 203.0.113.20 "), "{firewalld}");
    let rich = " --add-rich-rule='rule family=\"ipv4\" source address=\"203.0.113.20\" port \
                port=\"50000-50009\" protocol=\"tcp\" accept'";
    assert!(firewalld.ends_with(rich), "{firewalld}");
    let windows = "netsh advfirewall firewall add rule name=\"FTP by portolan\" dir=in action=allow protocol=TCP \
                   localport=50000-50009 remoteip=203.0.113.20";
    assert_eq!(told(FirewallFormat::Windows), windows);
}

#[test]
fn a_server_in_passive_mode_opens_both_ports() {
    let open = WantedPorts {
        from: None,
        device: Interface::parse("eth1").ok(),
        ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
    };
    let text = |format| WantedPorts { format, ..open.clone() }.text().unwrap();
    let nft = text(FirewallFormat::Nft);
    let rule =
        "nft insert rule inet filter input iifname '\"eth1\"' tcp dport { 21, 50000-50009 } accept";
    assert_eq!(lines(&nft), [rule]);
    let iptables = text(FirewallFormat::Iptables);
    let rule = "-I INPUT -i eth1 -p tcp -m multiport --dports 21,50000:50009 -j ACCEPT";
    assert_eq!(lines(&iptables), [format!("iptables {rule}"), format!("ip6tables {rule}")]);
    let firewalld = text(FirewallFormat::Firewalld);
    let zone = "--zone=\"$(firewall-cmd --get-zone-of-interface=eth1 2>/dev/null || firewall-cmd \
                --get-default-zone)\"";
    let commands = ["21", "50000-50009"].map(|ports| {
        [
            format!("firewall-cmd {zone} --add-port={ports}/tcp"),
            format!("firewall-cmd --permanent {zone} --add-port={ports}/tcp"),
        ]
    });
    assert_eq!(lines(&firewalld), commands.concat());
    let windows = text(FirewallFormat::Windows);
    assert!(
        windows
            .contains("-Direction Inbound -Action Allow -Protocol TCP -LocalPort 21,50000-50009\n")
    );
}

#[test]
fn a_known_chain_is_named_and_one_of_another_family_is_not() {
    let chain = |family: &str, table: &str, name: &str, hook: &str| FilterChain {
        family: family.into(),
        table: table.into(),
        name: name.into(),
        hook: hook.into(),
    };
    let known = WantedPorts {
        chains: vec![
            chain("inet", "fw", "in", "input"),
            chain("ip", "filter", "INPUT", "input"),
            chain("ip6", "filter", "INPUT", "input"),
            chain("ip", "filter", "FORWARD", "forward"),
        ],
        ..wanted(FirewallSide::Client, FirewallMode::Active, FirewallFormat::Nft)
    };
    let text = known.text().unwrap();
    let [first, second] = lines(&text).try_into().unwrap();
    let rule = "ip saddr 203.0.113.20 tcp dport 50000-50009 accept";
    assert_eq!(first, format!("nft insert rule inet fw in {rule}"));
    assert_eq!(second, format!("nft insert rule ip filter INPUT {rule}"));
    // A chain that does not exist is not named: the line would fail.
    let note = "# no rule is needed: nothing here filters what goes out";
    assert!(text.contains(note) && !text.contains("inet filter"), "{text}");
    let commands = known.commands();
    assert_eq!(commands.last().unwrap().nft, [note]);
    assert_eq!(commands.first().unwrap().nft.len(), 2);
    assert!(commands.iter().all(|rule| rule.nft_note.is_none()));
    // Of another host nothing is known.
    let other = WantedPorts { chains: Vec::new(), ..known };
    assert_eq!(other.text().unwrap().matches("`nft list chains` names it").count(), 2);
}

#[test]
fn a_server_behind_a_router_is_forwarded_to_in_every_format() {
    let told = |format| {
        let wanted = WantedPorts {
            to: "10.0.0.5".parse().ok(),
            ..wanted(FirewallSide::Server, FirewallMode::Passive, format)
        };
        wanted.text().unwrap()
    };
    for (format, redirect, passing) in [
        (
            FirewallFormat::Nft,
            "fib daddr type local tcp dport { 21, 50000-50009 } dnat to 10.0.0.5",
            "ip daddr 10.0.0.5 tcp dport { 21, 50000-50009 } ct status dnat accept",
        ),
        (
            FirewallFormat::Iptables,
            "--dst-type LOCAL -p tcp -m multiport --dports 21,50000:50009 -j DNAT --to-destination 10.0.0.5",
            "-d 10.0.0.5 -p tcp -m multiport --dports 21,50000:50009 -m conntrack --ctstate DNAT -j ACCEPT",
        ),
        (
            FirewallFormat::Ufw,
            "-j DNAT --to-destination 10.0.0.5",
            "ufw route prepend allow proto tcp from 203.0.113.20 to 10.0.0.5 port 21,50000:50009",
        ),
        (
            FirewallFormat::Firewalld,
            "forward-port port=\"21\" protocol=\"tcp\" to-addr=\"10.0.0.5\"",
            "forward-port port=\"50000-50009\" protocol=\"tcp\" to-addr=\"10.0.0.5\"",
        ),
        (
            FirewallFormat::OpenWrt,
            "uci set firewall.ftp_2.src_dport='50000-50009'",
            "uci set firewall.ftp_2.dest_ip='10.0.0.5'",
        ),
        (
            FirewallFormat::RouterOs,
            "chain=dstnat protocol=tcp dst-port=21,50000-50009 src-address=203.0.113.20",
            "connection-nat-state=dstnat dst-address=10.0.0.5",
        ),
        (
            FirewallFormat::Pf,
            "pass in quick on egress inet proto tcp from 203.0.113.20 to (egress) port { 21, 50000:50009 } rdr-to 10.0.0.5",
            "# rdr pass on egress inet proto tcp",
        ),
    ] {
        let text = told(format);
        assert!(text.contains(redirect) && text.contains(passing), "{text}");
        assert!(text.contains("203.0.113.20"), "the source is kept: {text}");
    }
    let mixed = WantedPorts {
        to: "fd00::5".parse().ok(),
        ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
    };
    assert_eq!(mixed.text().unwrap_err().name, Some("nat.family_mismatch"));
}

#[test]
fn clouds_get_the_same_ports_and_networks_as_terraform() {
    let told = |from: Option<&str>, format| {
        let from = from.map(|text| Net::parse(text).unwrap());
        let all = wanted(FirewallSide::Server, FirewallMode::Passive, format);
        WantedPorts { from, ..all }.text().unwrap()
    };
    for (format, one, parts) in [
        (
            FirewallFormat::Aws,
            "= \"198.51.100.0/24\"",
            ["from_port         = 50000", "to_port           = 50009", "from_port         = 21"],
        ),
        (
            FirewallFormat::Azure,
            "= \"198.51.100.0/24\"",
            ["= [\"21\", \"50000-50009\"]", "= \"Inbound\"", "= \"Allow\""],
        ),
        (
            FirewallFormat::Gcp,
            "= [\"198.51.100.0/24\"]",
            ["= [\"21\", \"50000-50009\"]", "= \"INGRESS\"", "allow {"],
        ),
        (
            FirewallFormat::Hetzner,
            "= [\"198.51.100.0/24\"]",
            ["= \"21\"", "= \"50000-50009\"", "= \"in\""],
        ),
    ] {
        let text = told(Some("198.51.100.0/24"), format);
        assert!(text.contains(one) && !text.contains("0.0.0.0/0"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        let open = told(None, format);
        assert!(open.contains("0.0.0.0/0") && open.contains("::/0"), "{open}");
    }
}

#[test]
fn no_format_opens_more_than_the_range() {
    for format in ALL {
        for (side, mode) in [
            (FirewallSide::Client, FirewallMode::Active),
            (FirewallSide::Client, FirewallMode::Passive),
            (FirewallSide::Server, FirewallMode::Active),
            (FirewallSide::Server, FirewallMode::Passive),
        ] {
            let Ok(text) = wanted(side, mode, format).text() else {
                assert_eq!(side, FirewallSide::Client, "{format:?}");
                continue;
            };
            assert!(!text.contains("1024") && !text.contains("65535"), "{text}");
            let v6 = WantedPorts {
                from: Net::parse("2001:db8::/32").ok(),
                ..wanted(side, mode, format)
            };
            let text = v6.text().unwrap();
            assert!(!text.contains("iptables -I") || text.contains("ip6tables -I"), "{text}");
            assert!(!text.lines().any(|line| line.starts_with("iptables ")), "{text}");
        }
    }
}

const ALL: [FirewallFormat; 17] = [
    FirewallFormat::Nft,
    FirewallFormat::Iptables,
    FirewallFormat::Ufw,
    FirewallFormat::Firewalld,
    FirewallFormat::Windows,
    FirewallFormat::Vsftpd,
    FirewallFormat::Proftpd,
    FirewallFormat::PureFtpd,
    FirewallFormat::FileZilla,
    FirewallFormat::Iis,
    FirewallFormat::OpenWrt,
    FirewallFormat::RouterOs,
    FirewallFormat::Pf,
    FirewallFormat::Aws,
    FirewallFormat::Azure,
    FirewallFormat::Gcp,
    FirewallFormat::Hetzner,
];

#[test]
fn servers_get_their_passive_settings() {
    let told = |format| text(FirewallSide::Server, FirewallMode::Passive, format);
    let vsftpd = "# /etc/vsftpd.conf\npasv_enable=YES\npasv_min_port=50000\npasv_max_port=50009\n\
                  pasv_address=198.51.100.7\n";
    assert_eq!(told(FirewallFormat::Vsftpd), vsftpd);
    let proftpd = "PassivePorts 50000 50009\nMasqueradeAddress 198.51.100.7\n";
    assert!(told(FirewallFormat::Proftpd).ends_with(proftpd));
    let pure = "PassivePortRange 50000 50009\nForcePassiveIP 198.51.100.7\n";
    assert!(told(FirewallFormat::PureFtpd).ends_with(pure));
    assert!(told(FirewallFormat::FileZilla).contains("from 50000 to 50009"));
    let iis = told(FirewallFormat::Iis);
    assert!(iis.contains("/lowDataChannelPort:\"50000\" /highDataChannelPort:\"50009\""), "{iis}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fault = wanted(FirewallSide::Client, FirewallMode::Passive, FirewallFormat::Vsftpd)
        .text()
        .unwrap_err();
    assert!(fault.message.contains("side: \"server\""), "{fault}");
    for (first, last) in [(1, 1023), (50009, 50000), (0, 0)] {
        let ports = first..=last;
        let fault = WantedPorts {
            ports,
            ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
        };
        assert_eq!(fault.text().unwrap_err().name, Some("nat.bad_range"));
    }
    let inside = WantedPorts {
        control: 50001,
        ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
    };
    assert_eq!(inside.text().unwrap_err().name, Some("nat.conflict"));
}
