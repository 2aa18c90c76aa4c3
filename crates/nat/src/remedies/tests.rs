//! Tests of remedies, by the rules that they are for.

use super::*;
use crate::check::Protocol;

pub(crate) fn through() -> ConnectionPath {
    ConnectionPath {
        from: Interface::parse("lan0").ok(),
        to: Interface::parse("wan0").ok(),
        source: Some(Net::parse("192.168.0.0/24").unwrap().into()),
        ..ConnectionPath::new(PathKind::Through, "masquerade".into(), Family::V4)
    }
}

fn forwarded() -> ConnectionPath {
    ConnectionPath {
        from: Interface::parse("wan0").ok(),
        to: Interface::parse("lan0").ok(),
        target: Some(Net::parse("192.168.0.5").unwrap().into()),
        asked: Ports::parse("21,50000-50009").ok(),
        ports: Ports::parse("21,50000-50009").ok(),
        protocol: Some(Protocol::Tcp),
        ..ConnectionPath::new(PathKind::Forwarded, "forward".into(), Family::V4)
    }
}

fn here() -> ConnectionPath {
    ConnectionPath {
        from: Interface::parse("wan0").ok(),
        source: Some(Net::parse("203.0.113.30").unwrap().into()),
        source_port: Some(20),
        asked: Ports::parse("40000-40009").ok(),
        ports: Ports::parse("40000-40009").ok(),
        ..ConnectionPath::new(PathKind::Here, "active range".into(), Family::V4)
    }
}

fn place(owner: TableOwner, table: &str, chain: &str, hook: &str) -> DropPlace {
    let [table, chain, hook] = [table, chain, hook].map(str::to_owned);
    let family = if table == "filter" { "ip".into() } else { "inet".into() };
    DropPlace { owner, family, table, chain, hook, is_legacy: false }
}

#[track_caller]
fn expect(place: &DropPlace, way: &ConnectionPath, shown: &[&str]) {
    let all = remedies(place, way);
    assert_eq!(all.first().unwrap().shown, shown);
}

#[test]
fn a_forward_is_opened_with_its_target_and_ports() {
    let way = forwarded();
    expect(
        &place(TableOwner::Iptables, "filter", "FORWARD", "forward"),
        &way,
        &[
            "iptables -I FORWARD -i wan0 -o lan0 -d 192.168.0.5 -p tcp -m multiport --dports 21,50000:50009 -m \
             conntrack --ctstate DNAT -j ACCEPT",
            "iptables -I FORWARD -i lan0 -o wan0 -s 192.168.0.5 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ],
    );
    expect(
        &place(TableOwner::Other, "mine", "deny", "forward"),
        &way,
        &[
            "nft insert rule inet mine deny iifname '\"wan0\"' oifname '\"lan0\"' ip daddr 192.168.0.5 tcp dport '{ 21, \
             50000-50009 }' ct status dnat accept",
            "nft insert rule inet mine deny iifname '\"lan0\"' oifname '\"wan0\"' ip saddr 192.168.0.5 ct state \
             established,related accept",
        ],
    );
    expect(
        &place(TableOwner::Ufw, "filter", "FORWARD", "forward"),
        &way,
        &[
            "ufw route allow in on wan0 out on lan0 proto tcp from any to 192.168.0.5 port 21,50000:50009",
        ],
    );
    // Before the translation, neither target nor way out is known.
    expect(
        &place(TableOwner::Other, "mine", "pre", "prerouting"),
        &way,
        &[
            "nft insert rule inet mine pre iifname '\"wan0\"' tcp dport '{ 21, 50000-50009 }' accept",
        ],
    );
    let docker = remedies(&place(TableOwner::Docker, "filter", "FORWARD", "forward"), &way);
    assert!(docker[0].shown[0].starts_with("iptables -I DOCKER-USER -i wan0"));
}

#[test]
fn own_ports_are_opened_to_their_source() {
    let way = here();
    expect(
        &place(TableOwner::Iptables, "filter", "INPUT", "input"),
        &way,
        &[
            "iptables -I INPUT -i wan0 -s 203.0.113.30 -p tcp --sport 20 --dport 40000:40009 -j ACCEPT",
        ],
    );
    expect(
        &place(TableOwner::Ufw, "filter", "INPUT", "input"),
        &way,
        &["ufw allow in on wan0 proto tcp from 203.0.113.30 port 20 to any port 40000:40009"],
    );
    expect(
        &place(TableOwner::Firewalld, "firewalld", "filter_INPUT", "input"),
        &way,
        &[
            "firewall-cmd --permanent --zone=$(firewall-cmd --get-zone-of-interface=wan0 2>/dev/null || \
             firewall-cmd --get-default-zone) --add-rich-rule='rule family=ipv4 source address=203.0.113.30 port port=40000-40009 \
             protocol=tcp accept'",
            "firewall-cmd --reload",
        ],
    );
}

#[test]
fn a_network_keeps_its_source() {
    expect(
        &place(TableOwner::Iptables, "filter", "FORWARD", "forward"),
        &through(),
        &[
            "iptables -I FORWARD -i lan0 -o wan0 -s 192.168.0.0/24 -j ACCEPT",
            "iptables -I FORWARD -i wan0 -o lan0 -d 192.168.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ],
    );
    expect(
        &place(TableOwner::Ufw, "filter", "FORWARD", "forward"),
        &through(),
        &["ufw route allow in on lan0 out on wan0 from 192.168.0.0/24 to any"],
    );
    let firewalld =
        remedies(&place(TableOwner::Firewalld, "firewalld", "x", "forward"), &through());
    let shown = &firewalld[0].shown;
    assert_eq!(shown.len(), 5);
    assert!(shown[3].ends_with(
        "--policy=portolan-lan0-wan0 --add-rich-rule='rule family=ipv4 source address=192.168.0.0/24 accept'"
    ));
    assert_eq!(
        remedies(&place(TableOwner::Portolan, "portolan_y", "forward", "forward"), &through()),
        []
    );
}

#[test]
fn long_lists_of_ports_are_parted_and_a_reload_comes_last() {
    let ports: Vec<_> = (1..=20).map(|port| (port * 10, port * 10)).collect();
    let lists = port_lists(&Ports::new(ports).unwrap(), ':');
    assert_eq!(lists.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [15, 5]);
    let said = ["a", "firewall-cmd --reload", "b", "a", "firewall-cmd --reload"].map(str::to_owned);
    assert_eq!(line(said), "a && b && firewall-cmd --reload");
}

#[test]
fn a_protocol_without_ports_is_opened_alone() {
    let way = ConnectionPath { source: None, protocol: Some(Protocol::Udp), ..through() };
    for (owner, table, shown) in [
        (TableOwner::Other, "mine", "oifname '\"wan0\"' meta l4proto udp accept"),
        (TableOwner::Iptables, "filter", "iptables -I x -i lan0 -o wan0 -p udp -j ACCEPT"),
        (
            TableOwner::Ufw,
            "filter",
            "ufw route allow in on lan0 out on wan0 proto udp from any to any",
        ),
        (TableOwner::Firewalld, "firewalld", "'rule family=ipv4 protocol value=udp accept'"),
    ] {
        let all = remedies(&place(owner, table, "x", "forward"), &way);
        let commands = &all.first().unwrap().shown;
        assert!(commands.iter().any(|command| command.ends_with(shown)), "{commands:?}");
    }
}

/// Checks that zones of one way are not opened to those of another, and that an interface in no zone is not let into
/// everything.
#[test]
fn a_policy_of_firewalld_is_for_two_interfaces() {
    let commands = |way: &ConnectionPath| {
        let place = place(TableOwner::Firewalld, "firewalld", "x", "forward");
        line(remedies(&place, way).remove(0).shown)
    };
    let any = ConnectionPath { from: None, ..forwarded() };
    let told = commands(&any);
    assert!(told.contains("--policy=portolan-ANY-lan0 --add-ingress-zone=ANY && "), "{told}");
    let own = ConnectionPath { from: None, ..here() };
    let told = commands(&own);
    assert!(told.contains("--policy=portolan-ANY-HOST --add-ingress-zone=ANY && "), "{told}");
    assert!(told.contains("--policy=portolan-ANY-HOST --add-egress-zone=HOST && "), "{told}");
    let everything = ConnectionPath { source: None, ..through() };
    let told = commands(&everything);
    assert!(
        !told.contains("echo ANY") && told.contains("'rule priority=-1 family=ipv4 accept'"),
        "{told}"
    );
    let names = [("eth0", "eth1"), ("eth0.100", "wan"), ("enp0s31f6", "enp0s31f7")]
        .map(|(from, to)| policy_name(from, to));
    assert_eq!(names[0], "portolan-eth0-eth1");
    for name in names {
        assert!(name.len() <= POLICY_LENGTH_MAX && !name.contains('.'), "{name}");
    }
}
