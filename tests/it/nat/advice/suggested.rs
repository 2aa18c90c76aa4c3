//! `nat::suggest` and `portolan doctor`, followed on the host that they are for.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use super::{CLIENT, CLIENT6, DATABASE, HOST, HOST6, SILENCE, Segment, link_local, suggested};
use crate::support::{firewalls::FirewallRoom, net::Space, program::Portolan};

/// Filters that let in what is established, and refuse the rest in a way that each administrator writes differently.
const CLOSED_BY_NFT: [&str; 3] = [
    "table inet filter {
        chain input {
            type filter hook input priority filter; policy accept;
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            tcp dport 22 accept
            reject
        }
    }",
    "table inet fw {
        chain in {
            type filter hook input priority 10; policy drop;
            ct state vmap { established : accept, related : accept }
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }",
    "table ip mine {
        chain INCOMING {
            type filter hook input priority 0; policy accept;
            ct state established accept
            jump rest
        }
        chain rest {
            counter drop
        }
    }
    table ip6 mine {
        chain INCOMING {
            type filter hook input priority 0; policy drop;
            ct state established accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }",
];
const CLOSED_BY_IPTABLES: &str = "for tool in iptables ip6tables; do
    $tool -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    $tool -A INPUT -p tcp --dport 22 -j ACCEPT
    [ $tool = iptables ] || $tool -A INPUT -p icmpv6 -j ACCEPT
    $tool -A INPUT -j REJECT
done";

/// Checks each family: closed before, open after `run` has carried out the suggestion, and then for FTP alone.
fn check_server(format: &str, close: &str, run: &mut dyn FnMut(&Space, &str)) {
    for address in [IpAddr::from(HOST), HOST6.into()] {
        let Some(segment) = Segment::lay() else { return };
        let served = segment.serve(address);
        served.is_reached(&segment.client);
        segment.host.sh(close);
        assert!(!served.database_answers(&segment.client));
        segment.is_closed("passive", served.address());
        let from = if address.is_ipv4() { CLIENT } else { CLIENT6 };
        let options = format!("side: \"server\", format: {format:?}, from: {from:?}");
        run(&segment.host, &suggested(&segment.host, &options));
        segment.is_open("passive", served.address());
        assert!(!served.database_answers(&segment.client), "{format} opens more than FTP");
    }
}

#[test]
fn nft_inserts_into_the_chain_that_filters_whatever_its_name() {
    for rules in CLOSED_BY_NFT {
        let close = format!("nft -f - <<'END'\n{rules}\nEND\n");
        check_server("nft", &close, &mut |host, text| {
            assert!(text.contains("nft insert rule "), "{text}");
            host.sh(text);
        });
    }
}

#[test]
fn iptables_inserts_before_the_reject_at_the_end() {
    check_server("iptables", CLOSED_BY_IPTABLES, &mut |host, text| host.sh(text));
}

/// Closes a client, lets it follow what `ask` prints there, and checks that active mode works then, and nothing else.
fn check_client(
    segment: &Segment,
    close: &dyn Fn(&mut Administrator<'_>),
    ask: &dyn Fn() -> String,
    is_ruled: bool,
) {
    let room = is_ruled.then(|| FirewallRoom::open(&segment.client)).flatten();
    let mut administrator = Administrator { host: &segment.client, room };
    let served = segment.serve(HOST);
    let intranet = SocketAddr::new(CLIENT.parse().unwrap(), DATABASE);
    let _intranet = segment.client.within(|| TcpListener::bind(intranet).unwrap());
    let reached = || segment.host.within(|| TcpStream::connect_timeout(&intranet, SILENCE).is_ok());
    assert!(reached(), "a closed port would be no proof");
    let asked_before = ask();
    close(&mut administrator);
    segment.is_closed("active", served.address());
    assert!(!reached());
    let text = if asked_before.is_empty() { ask() } else { asked_before };
    // All of it: what is printed is run.
    administrator.sh(&text);
    segment.is_open("active", served.address());
    assert!(!reached(), "{text}");
}

/// An administrator of a host, with a room of the programs of firewalls or with its shell alone.
struct Administrator<'a> {
    host: &'a Space,
    room: Option<FirewallRoom>,
}

impl Administrator<'_> {
    #[track_caller]
    fn sh(&mut self, script: &str) {
        match &mut self.room {
            Some(room) => drop(room.sh(script)),
            None => self.host.sh(script),
        }
    }
}

/// Checks that a client in active mode is reached by the server alone, on the client's range alone.
#[test]
fn a_client_in_active_mode_lets_in_the_server_alone() {
    let nft = |rules: &str| format!("nft -f - <<'END'\n{rules}\nEND\n");
    let by_ufw = "ufw --force enable";
    for (format, close) in [
        ("nft", nft(CLOSED_BY_NFT[0])),
        ("nft", nft(CLOSED_BY_NFT[1])),
        ("nft", nft(CLOSED_BY_NFT[2])),
        ("iptables", CLOSED_BY_IPTABLES.to_owned()),
        ("ufw", by_ufw.to_owned()),
        ("firewalld", String::new()),
    ] {
        let Some(segment) = Segment::lay() else { return };
        let is_ruled = format == "ufw" || format == "firewalld";
        if is_ruled && FirewallRoom::open(&segment.client).is_none() {
            return;
        }
        let options =
            format!("side: \"client\", mode: \"active\", format: {format:?}, from: \"{HOST}\"");
        let is_asked = std::cell::Cell::new(false);
        let close = |administrator: &mut Administrator<'_>| {
            if let Some(room) = administrator.room.as_mut().filter(|_| format == "firewalld") {
                room.firewalld();
            }
            administrator.sh(&close);
            is_asked.set(true);
        };
        // It is asked for once the host is closed: then it names the chains that are there.
        let ask = || {
            if is_asked.get() { suggested(&segment.client, &options) } else { String::new() }
        };
        check_client(&segment, &close, &ask, is_ruled);
        let listing = match format {
            "nft" => "nft list ruleset",
            "iptables" | "ufw" => "iptables-save",
            _ => continue,
        };
        let listing = segment.client.read(listing);
        let opened: Vec<_> = listing.lines().filter(|line| line.contains("40000")).collect();
        let host = HOST.to_string();
        assert!(!opened.is_empty() && opened.iter().all(|line| line.contains(&host)), "{listing}");
    }
}

/// Checks the rules of `portolan doctor` for the client, where active mode is the one that works: they are printed while
/// the client still lets everything in, and followed once it does not.
#[test]
fn the_doctors_rules_for_a_client_in_active_mode_open_its_range_to_the_server() {
    for (key, open, close) in [
        (
            "nft",
            "nft 'add table inet mine'
             nft 'add chain inet mine in { type filter hook input priority 0; policy accept; }'
             nft add rule inet mine in ct state established,related accept
             nft add rule inet mine in tcp dport 23 drop",
            "nft 'chain inet mine in { policy drop; }'",
        ),
        (
            "iptables",
            "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "iptables -A INPUT -j REJECT",
        ),
    ] {
        let Some(segment) = Segment::lay() else { return };
        segment.client.sh(open);
        // The server's passive ports are closed, so its clients use active mode.
        segment.host.sh("nft add table inet fw
            nft 'add chain inet fw in { type filter hook input priority 0; }'
            nft add rule inet fw in tcp dport 50000-50009 ct state new drop");
        let ask = || {
            let url = format!("ftp://tester@{HOST}/");
            let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args([
                "doctor",
                &url,
                "--json",
                "--read-only",
                "--set",
                "connect_timeout=1s",
                "--set",
                "port_range=40000-40009",
            ]);
            let mut ran = segment.client.within(|| program.run()).any_code().any_stderr();
            let found = ran.json();
            drop(ran);
            let rules = found["rules"].as_array().unwrap();
            let here: Vec<_> = rules.iter().filter(|rule| rule["side"] == "here").collect();
            assert_eq!(here.len(), 2, "{found:#}");
            let is_data = |rule: &&&serde_json::Value| {
                rule["words"].as_str().unwrap().starts_with("inbound TCP from 203.0.113.10")
            };
            assert_eq!(here.iter().filter(is_data).count(), 1, "{found:#}");
            let commands = here.iter().map(|rule| rule[key].as_str().unwrap());
            commands.collect::<Vec<_>>().join("\n")
        };
        check_client(&segment, &|administrator| administrator.sh(close), &ask, false);
    }
}

#[test]
fn ufw_takes_the_suggestion_and_passes_nothing_else() {
    for address in [IpAddr::from(HOST), HOST6.into()] {
        let Some(segment) = Segment::lay() else { return };
        let Some(mut room) = FirewallRoom::open(&segment.host) else { return };
        let served = segment.serve(address);
        served.is_reached(&segment.client);
        room.sh("ufw --force enable; ufw deny in proto tcp from any to any port 21");
        segment.is_closed("passive", served.address());
        room.sh(&suggested(&segment.host, "side: \"server\", format: \"ufw\""));
        segment.is_open("passive", served.address());
        assert!(!served.database_answers(&segment.client));
    }
}

#[test]
fn firewalld_takes_the_suggestion_into_the_zone_of_the_interface() {
    for (address, from) in [(IpAddr::from(HOST), None), (HOST6.into(), Some(CLIENT6))] {
        let Some(segment) = Segment::lay() else { return };
        let Some(mut room) = FirewallRoom::open(&segment.host) else { return };
        let served = segment.serve(address);
        served.is_reached(&segment.client);
        room.firewalld();
        room.sh("firewall-cmd --zone=external --change-interface=eth1");
        segment.is_closed("passive", served.address());
        let from = from.map_or(String::new(), |from| format!(", from: {from:?}"));
        for options in [", in: \"eth1\"", ""] {
            let options = format!("side: \"server\", format: \"firewalld\"{options}{from}");
            room.sh(&suggested(&segment.host, &options));
        }
        segment.is_open("passive", served.address());
        assert!(!served.database_answers(&segment.client));
        let zone = room.sh("firewall-cmd --zone=external --list-all; firewall-cmd --permanent --zone=external --list-all");
        assert_eq!(zone.matches("50000-50009").count(), 2, "now and at the next start: {zone}");
        let usual = room.sh("firewall-cmd --zone=public --list-all");
        assert!(!usual.contains("50000"), "{usual}");
    }
}

/// The network of a server behind a router: `client 203.0.113.30 -- 203.0.113.1 router 10.0.0.1 -- 10.0.0.5 server`.
#[test]
fn a_router_forwards_the_ports_of_the_suggestion_alone() {
    let forward = "table inet fw {
        chain through {
            type filter hook forward priority 0; policy drop;
            ct state established,related accept
        }
    }";
    let by_nft = format!("nft -f - <<'END'\n{forward}\nEND\n");
    let by_iptables = "iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A FORWARD -j REJECT";
    for (format, close) in
        [("nft", &*by_nft), ("iptables", by_iptables), ("firewalld", ""), ("ufw", "")]
    {
        let (Some(router), Some(segment)) = (Space::open(), Segment::lay()) else { return };
        segment.host.wire("lan", &router, "eth0");
        // The host of the segment is the router here, and the space behind it the server.
        segment.host.sh("ip addr add 10.0.0.1/24 dev lan; echo 1 >/proc/sys/net/ipv4/ip_forward");
        router.sh("ip addr add 10.0.0.5/24 dev eth0; ip route add default via 10.0.0.1
            echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range");
        let gate = Segment { client: segment.client, host: segment.host };
        let behind = Segment { client: Space::open().unwrap(), host: router };
        let served = behind.serve(std::net::Ipv4Addr::new(10, 0, 0, 5));
        gate.client.sh("ip route add 10.0.0.0/24 via 203.0.113.10");
        served.is_reached(&gate.client);
        gate.host.sh(close);
        let mut room = (format == "firewalld" || format == "ufw")
            .then(|| FirewallRoom::open(&gate.host))
            .flatten();
        match (format, &mut room) {
            ("firewalld", Some(room)) => {
                room.firewalld();
                room.sh("firewall-cmd --zone=external --change-interface=eth1
                    firewall-cmd --zone=internal --change-interface=lan");
            }
            // ufw has no redirections: its administrator has made that, as the comment says.
            ("ufw", Some(room)) => {
                room.sh("ufw --force enable");
                gate.host.sh("iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m multiport --dports \
                    21,50000:50009 -j DNAT --to-destination 10.0.0.5");
            }
            ("firewalld" | "ufw", None) => return,
            _ => {}
        }
        gate.is_closed("passive", HOST.into());
        let options =
            format!("side: \"server\", format: {format:?}, to: \"10.0.0.5\", in: \"eth1\"");
        let text = suggested(&gate.host, &options);
        match &mut room {
            Some(room) => drop(room.sh(&text)),
            None => gate.host.sh(&text),
        }
        gate.is_open("passive", HOST.into());
        assert!(!served.database_answers(&gate.client), "{format}: {text}");
    }
}

/// Checks the pinhole of firewalld: for a host with an address of IPv6, whether or not the interfaces are in zones.
#[test]
fn firewalld_opens_a_pinhole_to_the_host_of_the_suggestion_alone() {
    for zones in [
        "",
        "firewall-cmd --permanent --zone=external --add-interface=eth1
         firewall-cmd --permanent --zone=internal --add-interface=lan
         firewall-cmd --reload",
    ] {
        let (Some(inside), Some(gate)) = (Space::open(), Segment::lay()) else { return };
        gate.host.wire("lan", &inside, "eth0");
        inside.sh(&link_local("eth0", 4));
        gate.host.sh(&link_local("lan", 3));
        gate.host.sh("ip addr add 2001:db8:1::1/64 dev lan nodad
            echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv4/ip_forward");
        inside.sh(
            "ip addr add 2001:db8:1::5/64 dev eth0 nodad; ip -6 route add default via 2001:db8:1::1
            echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range",
        );
        gate.client.sh(&format!("ip -6 route add 2001:db8:1::/64 via {HOST6}"));
        let Some(mut room) = FirewallRoom::open(&gate.host) else { return };
        let behind = Segment { client: Space::open().unwrap(), host: inside };
        let address: IpAddr = "2001:db8:1::5".parse().unwrap();
        let served = behind.serve(address);
        served.is_reached(&gate.client);
        room.firewalld();
        room.sh(&format!("true\n{zones}"));
        gate.is_closed("passive", address);
        let options =
            format!("side: \"server\", format: \"firewalld\", to: \"{address}\", in: \"eth1\"");
        let text = suggested(&gate.host, &options);
        room.sh(&text);
        gate.is_open("passive", address);
        assert!(!served.database_answers(&gate.client), "{text}");
        room.sh(&text);
    }
}

/// Checks the rules of `portolan doctor`: from the client, for both sides.
#[test]
fn the_doctors_rules_for_the_server_open_its_range_and_nothing_else() {
    for (key, close) in [
        ("nft", format!("nft -f - <<'END'\n{}\nEND\n", CLOSED_BY_NFT[0])),
        ("iptables", CLOSED_BY_IPTABLES.to_owned()),
    ] {
        for address in [IpAddr::from(HOST), HOST6.into()] {
            let Some(segment) = Segment::lay() else { return };
            let served = segment.serve(address);
            served.is_reached(&segment.client);
            segment.host.sh(&close);
            // The administrator has opened the control port alone.
            segment.host.sh("nft insert rule inet filter input tcp dport 21 accept || {
                iptables -I INPUT -p tcp --dport 21 -j ACCEPT
                ip6tables -I INPUT -p tcp --dport 21 -j ACCEPT
            } 2>/dev/null");
            let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let url = format!("ftp://tester@{host}/");
            let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args([
                "doctor",
                &url,
                "--json",
                "--read-only",
                "--set",
                "connect_timeout=2s",
            ]);
            // Active mode works in this segment, so passive mode is asked for alone.
            segment.client.sh("nft add table inet f; nft 'add chain inet f i { type filter hook input priority 0; }'
                nft add rule inet f i tcp dport '>= 1024' ct state new drop");
            let mut ran = segment.client.within(|| program.run()).any_code().any_stderr();
            let found = ran.json();
            let rules = found["rules"].as_array().unwrap();
            let theirs: Vec<_> = rules.iter().filter(|rule| rule["side"] == "server").collect();
            let [rule] = theirs.as_slice() else { panic!("{found:#}") };
            assert!(rule["words"].as_str().unwrap().contains("21, 50000-50009"), "{rule:#}");
            assert!(rule["setting"].as_str().unwrap().contains("50000"), "{rule:#}");
            segment.is_closed("passive", served.address());
            // Of another host's chains nothing is known, and the remark tells how to find them.
            let note = rule["nft_note"].as_str().unwrap();
            assert!(note.contains("`nft list chains` names it"), "{rule:#}");
            segment.host.sh(rule[key].as_str().unwrap());
            segment.is_open("passive", served.address());
            assert!(!served.database_answers(&segment.client));
            drop(ran);
        }
    }
}
