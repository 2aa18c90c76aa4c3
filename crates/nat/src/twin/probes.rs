//! The packets that stand for the ways of a ruleset: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::packet::{Packet, Transport};
use crate::{
    check::{Family, Interface, Net},
    host::HostNetwork,
    nets::NetSet,
    ways::{ConnectionPath, PathKind},
};

/// The maximum number of packets for one ruleset. Of more, some of each kind are sent.
const PROBES_MAX: usize = 256;
/// The maximum number of ports of one way that are tried since rules of others name them.
const NAMED_PORTS_MAX: usize = 16;
/// The port of FTP control connections, for ways that name no port.
const FTP_PORT: u16 = 21;
/// Ports that hardly anybody opens: what is dropped there must be dropped still when a way is opened.
pub(super) const CLOSED_PORTS: [u16; 2] = [445, 3306];
/// Hosts of the Internet that no list of reserved addresses contains. Nothing is sent to them.
const FAR4: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));
const FAR6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111));

/// A packet that stands for a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathProbe {
    /// The place of its way in the list of ways.
    pub(super) way: usize,
    pub(super) packet: Packet,
    /// The destination that the ruleset gives it.
    pub(super) expected: SocketAddr,
}

/// Returns the packets for `ways`, first and last port of each range, and the ports that `texts` name: rules of others
/// may treat a part of a range in another way. A way whose ends are not known has none.
pub(super) fn probes(
    ways: &[ConnectionPath],
    here: &HostNetwork,
    texts: &[&str],
) -> Vec<PathProbe> {
    let named = named_ports(texts);
    let mut found = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        let Some((device, from, to)) = ends(way, here) else { continue };
        for port in ports(way, &named) {
            for protocol in way.protocols() {
                let transport = protocol.parse().unwrap_or_default();
                let from = SocketAddr::new(from, way.source_port.unwrap_or(0));
                let packet = Packet {
                    from,
                    to: SocketAddr::new(to, port),
                    transport,
                    device: Some(device.to_string()),
                };
                let target = way.target.as_ref().filter(|_| way.kind == PathKind::Forwarded);
                let target = target.and_then(|set| set.nets().first()).map(Net::address);
                let expected = SocketAddr::new(target.unwrap_or(to), way.port_behind(port));
                found.push(PathProbe { way: at, packet, expected });
            }
        }
    }
    sampled(found, |probe| {
        let way = ways.get(probe.way);
        let is_named = named.contains(&probe.packet.to.port());
        (is_named, way.map(kind).unwrap_or_default() + probe.packet.transport.as_str())
    })
}

/// Returns the ways that none of `probes` stands for although their ends are known: there are too many of them.
pub(super) fn untried<'w>(
    ways: &'w [ConnectionPath],
    here: &HostNetwork,
    probes: &[PathProbe],
) -> Vec<&'w ConnectionPath> {
    let tried: BTreeSet<_> = probes.iter().map(|probe| probe.way).collect();
    let left = ways.iter().enumerate().filter(|(at, _)| !tried.contains(at));
    left.filter(|(_, way)| ends(way, here).is_some()).map(|(_, way)| way).collect()
}

/// Returns what ways have in common that filters treat alike: all but their ports and targets.
fn kind(way: &ConnectionPath) -> String {
    let ConnectionPath { kind, family, from, to, source, external, protocol, .. } = way;
    format!("{kind:?} {family:?} {from:?} {to:?} {source:?} {external:?} {protocol:?}")
}

/// Returns [`PROBES_MAX`] of `all`, in their order: of each kind as many as of the others, as far as it has so many, and
/// evenly spread over it. `kind` returns true for those that come first, and the kind.
fn sampled<T>(all: Vec<T>, kind: impl Fn(&T) -> (bool, String)) -> Vec<T> {
    if all.len() <= PROBES_MAX {
        return all;
    }
    let mut kinds: BTreeMap<String, Vec<(bool, usize)>> = BTreeMap::new();
    for (at, one) in all.iter().enumerate() {
        let (is_first, kind) = kind(one);
        kinds.entry(kind).or_default().push((!is_first, at));
    }
    // The places of each kind as 0, 1/2, 1/4, 3/4, 1/8 …: any beginning of that is spread evenly.
    let mut queues: Vec<_> = kinds
        .into_values()
        .map(|places| {
            let mut spread: Vec<_> = places.into_iter().enumerate().collect();
            spread.sort_by_key(|(nth, (is_late, _))| (*is_late, nth.reverse_bits()));
            spread.into_iter().map(|(_, (_, at))| at)
        })
        .collect();
    let mut chosen = BTreeSet::new();
    while chosen.len() < PROBES_MAX {
        let before = chosen.len();
        for queue in &mut queues {
            chosen.extend(queue.next().filter(|_| chosen.len() < PROBES_MAX));
        }
        if chosen.len() == before {
            break;
        }
    }
    let all = all.into_iter().enumerate().filter(|(at, _)| chosen.contains(at));
    all.map(|(_, one)| one).collect()
}

/// Returns unsolicited packets: to ports beside those of the ways, and to the hosts behind them without a
/// translation. Remedies must not let them pass.
pub(super) fn strangers(ways: &[ConnectionPath], here: &HostNetwork) -> Vec<Packet> {
    let mut found: Vec<Packet> = Vec::new();
    for way in ways {
        let Some((device, from, to)) = ends(way, here) else { continue };
        let mut add = |device: &Interface, from: IpAddr, to: IpAddr| {
            let is_back = way.kind == PathKind::Through;
            for port in CLOSED_PORTS.into_iter().filter(|port| is_back || !names(way, *port)) {
                let packet = Packet {
                    from: SocketAddr::new(from, 0),
                    to: SocketAddr::new(to, port),
                    transport: Transport::Tcp,
                    device: Some(device.to_string()),
                };
                let is_asked = ways.iter().any(|way| asks(way, (device, from, to), port, here));
                if !is_asked && !found.contains(&packet) {
                    found.push(packet);
                }
            }
        };
        match way.kind {
            PathKind::Through => {
                // Back from where it leads to.
                let Some(out) = &way.to else { continue };
                if let Some(outside) = outside(out, way.family, here) {
                    add(out, outside, from);
                }
            }
            PathKind::Forwarded => {
                add(&device, from, to);
                let target = way.target.as_ref().and_then(|set| set.nets().first());
                if let Some(target) = target.map(Net::address) {
                    add(&device, from, target);
                }
            }
            PathKind::Here => add(&device, from, to),
        }
    }
    sampled(found, |packet| (false, format!("{:?} {:?}", packet.device, packet.to.port())))
}

fn names(way: &ConnectionPath, port: u16) -> bool {
    way.asked.as_ref().is_none_or(|ports| ports.has(port))
}

/// Returns true if a way should let connections pass that come in by this interface, between these ends.
fn asks(
    way: &ConnectionPath,
    (device, from, to): (&Interface, IpAddr, IpAddr),
    port: u16,
    here: &HostNetwork,
) -> bool {
    let has = |set: &Option<NetSet>, address| set.as_ref().is_none_or(|set| set.has(address));
    let leads_by = |out: &Interface| match here.device_towards(to) {
        Some(device) => device == *out,
        None => here
            .defaults
            .iter()
            .any(|route| route.device == out.as_str() && route.family == way.family),
    };
    let is_there = match way.kind {
        PathKind::Through => has(&way.target, to) && way.to.as_ref().is_none_or(leads_by),
        PathKind::Forwarded | PathKind::Here => match way.external {
            Some(external) => external == to,
            None => here.addresses.iter().any(|(_, own)| *own == to),
        },
    };
    is_there
        && way.family == Family::of(from)
        && names(way, port)
        && way.from.as_ref().is_none_or(|wanted| wanted == device)
        && has(&way.source, from)
}

/// Returns the interface by which connections of a way come in, and both of their ends.
fn ends(way: &ConnectionPath, here: &HostNetwork) -> Option<(Interface, IpAddr, IpAddr)> {
    let device = match &way.from {
        Some(device) => here.has(device).then(|| device.clone())?,
        None => incoming(way, here)?,
    };
    let from = match &way.source {
        Some(source) => sample(source, here)?,
        None => outside(&device, way.family, here)?,
    };
    let to = match way.kind {
        PathKind::Through => match &way.target {
            Some(target) => sample(target, here)?,
            None => outside(way.to.as_ref()?, way.family, here)?,
        },
        PathKind::Forwarded | PathKind::Here => match way.external {
            Some(external) => external,
            None => own(&device, way.family, here)?,
        },
    };
    (from != to).then_some((device, from, to))
}

/// Returns the interface by which connections of a way without one come in most likely.
fn incoming(way: &ConnectionPath, here: &HostNetwork) -> Option<Interface> {
    if let Some(source) = &way.source {
        let first = source.nets().first()?.address();
        if let Some(device) = here.device_towards(first) {
            return Some(device);
        }
    }
    if way.kind == PathKind::Through {
        return None;
    }
    let others = here.default_device.iter().chain(&here.interfaces);
    let mut others = others.filter_map(|name| Interface::parse(name).ok());
    others.find(|device| {
        Some(device) != way.to.as_ref()
            && own(device, way.family, here).is_some()
            && outside(device, way.family, here).is_some()
    })
}

/// Returns an address of the host on an interface.
fn own(device: &Interface, family: Family, here: &HostNetwork) -> Option<IpAddr> {
    let is_global = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    let all = here.addresses.iter().filter(|(name, _)| name == device.as_str());
    let mut all = all.map(|(_, address)| *address);
    all.find(|address| Family::of(*address) == family && is_global(address))
}

/// Returns an address that is reached by an interface: a far one, if its default route is there.
fn outside(device: &Interface, family: Family, here: &HostNetwork) -> Option<IpAddr> {
    let has_default =
        here.defaults.iter().any(|route| route.device == device.as_str() && route.family == family);
    if has_default {
        return Some(if family == Family::V4 { FAR4 } else { FAR6 });
    }
    let fits = |(net, name): &&(Net, String)| name == device.as_str() && net.family() == family;
    here.routes.iter().filter(fits).find_map(|(net, _)| sample_of(*net, here))
}

fn sample(nets: &NetSet, here: &HostNetwork) -> Option<IpAddr> {
    nets.nets().iter().find_map(|net| sample_of(*net, here))
}

/// Returns an address of a network that is neither the host's own nor the first or last one.
fn sample_of(net: Net, here: &HostNetwork) -> Option<IpAddr> {
    let is_own = |address: IpAddr| here.addresses.iter().any(|(_, own)| *own == address);
    if net.has(FAR4) || net.has(FAR6) {
        return Some(if net.family() == Family::V4 { FAR4 } else { FAR6 });
    }
    let at = |offset: u32| match net.address() {
        IpAddr::V4(first) => {
            first.to_bits().checked_add(offset).map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(first) => {
            first.to_bits().checked_add(offset.into()).map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    };
    let is_last = |address: IpAddr| at_end(net, address);
    let tried = [10, 2, 3, 4, 5, 1, 0].into_iter().filter_map(at);
    tried
        .into_iter()
        .find(|address: &IpAddr| net.has(*address) && !is_own(*address) && !is_last(*address))
}

/// Returns true if `address` is the broadcast address of a network.
fn at_end(net: Net, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) if net.prefix() < 31 => {
            let hosts = u32::MAX.checked_shr(net.prefix().into()).unwrap_or(0);
            address.to_bits() & hosts == hosts
        }
        _ => false,
    }
}

/// Returns the ports of a way that are tried.
fn ports(way: &ConnectionPath, named: &BTreeSet<u16>) -> BTreeSet<u16> {
    let Some(asked) = &way.asked else { return BTreeSet::from([FTP_PORT]) };
    let mut found: BTreeSet<_> =
        named.iter().copied().filter(|port| asked.has(*port)).take(NAMED_PORTS_MAX).collect();
    for (first, last) in asked.ranges().iter().take(NAMED_PORTS_MAX) {
        found.extend([*first, *last]);
    }
    found
}

/// Returns the numbers in rules that may be ports, and those on either side of a range.
fn named_ports(texts: &[&str]) -> BTreeSet<u16> {
    let mut found = BTreeSet::new();
    for text in texts {
        for word in text.split(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | ':' | '.'))) {
            if word.contains('.') || word.is_empty() {
                continue;
            }
            let ends = word.split(['-', ':']).filter_map(|number| number.parse::<u16>().ok());
            found.extend(ends.filter(|port| *port > 0));
        }
    }
    found
}

/// Returns true if a rule names the port, by itself or in a range.
pub(super) fn names_port(rule: &str, port: u16) -> bool {
    let rule = rule.split(" comment \"").next().unwrap_or(rule);
    let words = rule.split(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | ':' | '.')));
    words.filter(|word| !word.contains('.')).any(|word| {
        let mut ends = word.split(['-', ':']).map(str::parse::<u16>);
        match (ends.next(), ends.next()) {
            (Some(Ok(one)), None) => one == port,
            (Some(Ok(first)), Some(Ok(last))) => (first..=last).contains(&port),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{Ports, Protocol},
        model::{
            Allow, RulesetPart, RulesetSpec,
            tests::{allow, forward, masquerade, nets},
        },
        ways::ways,
    };

    fn here() -> HostNetwork {
        let net = |text: &str, device: &str| (Net::parse(text).unwrap(), device.to_owned());
        let address = |device: &str, text: &str| (device.to_owned(), text.parse().unwrap());
        HostNetwork {
            interfaces: ["lo", "lan0", "wan0"].map(str::to_owned).to_vec(),
            routes: vec![net("10.0.0.0/24", "lan0"), net("203.0.113.0/30", "wan0")],
            addresses: vec![address("lan0", "10.0.0.10"), address("wan0", "203.0.113.1")],
            ..HostNetwork::default()
        }
    }

    #[test]
    fn a_forward_is_tried_at_both_ends_and_where_others_name_ports() {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        ruleset.add(RulesetPart::Forward(forward("21,50000-50009", "10.0.0.5"))).unwrap();
        let ways = ways(&ruleset, &here()).unwrap();
        let found = probes(
            &ways,
            &here(),
            &["tcp dport 50004 drop", "ip daddr 10.0.0.21 counter packets 7"],
        );
        let tried: Vec<_> = found.iter().map(|probe| probe.packet.to.to_string()).collect();
        let port = |port: u16| format!("203.0.113.1:{port}");
        assert_eq!(tried, [21, 50000, 50004, 50009].map(port));
        let first = found.first().unwrap();
        assert_eq!(
            (first.packet.from.ip().to_string(), first.packet.device.as_deref()),
            ("203.0.113.2".into(), Some("wan0"))
        );
        assert_eq!(first.expected, "10.0.0.5:21".parse().unwrap());
        let strange: Vec<_> =
            strangers(&ways, &here()).iter().map(|packet| packet.to.to_string()).collect();
        assert_eq!(
            strange,
            ["203.0.113.1:445", "203.0.113.1:3306", "10.0.0.5:445", "10.0.0.5:3306"]
        );
    }

    /// Checks a pinhole beside a way out: what comes back from the pinhole is what the way out is for.
    #[test]
    fn what_another_way_asks_for_is_not_strange() {
        let strange = |parts: &[RulesetPart]| {
            let mut ruleset = RulesetSpec::new("x").unwrap();
            for part in parts {
                ruleset.add(part.clone()).unwrap();
            }
            let found = strangers(&ways(&ruleset, &here()).unwrap(), &here());
            let inside = found.iter().filter(|packet| packet.device.as_deref() == Some("lan0"));
            (found.len(), inside.count())
        };
        let pinhole = RulesetPart::Allow(Allow {
            ports: Ports::parse("21").ok(),
            to: Some(nets("10.0.0.5")),
            ..allow("wan0", "lan0")
        });
        let out = RulesetPart::Masquerade(masquerade("10.0.0.0/24", "wan0"));
        assert_eq!(strange(std::slice::from_ref(&pinhole)), (2, 2));
        assert_eq!(strange(std::slice::from_ref(&out)), (2, 0));
        assert_eq!(strange(&[pinhole, out]), (2, 0));
        let shares = RulesetPart::Forward(forward("445", "10.0.0.6"));
        let ftp = RulesetPart::Forward(forward("21", "10.0.0.5"));
        // To the host at port 3306, and straight to either host inside at both ports.
        assert_eq!(strange(&[ftp, shares]).0, 4);
    }

    #[test]
    fn of_many_ways_some_of_each_kind_are_tried_and_the_others_are_known() {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        for number in 0..500_u16 {
            let target = format!("10.0.0.{}", 20 + number % 200);
            let ports = (5_000 + 2 * number).to_string();
            let mut one = forward(&ports, &target);
            // The last ones are of another kind.
            one.protocol = if number < 495 { Protocol::Tcp } else { Protocol::Udp };
            ruleset.add(RulesetPart::Forward(one)).unwrap();
        }
        let ways = ways(&ruleset, &here()).unwrap();
        let found = probes(&ways, &here(), &["tcp dport 5502 drop", "tcp dport 5998 drop"]);
        assert_eq!(found.len(), PROBES_MAX);
        let has = |port: u16| found.iter().any(|probe| probe.packet.to.port() == port);
        assert!(has(5_502) && has(5_998), "those that rules of others name");
        assert!([5_990, 5_992, 5_994, 5_996].map(has).iter().all(|is_tried| *is_tried));
        // Neither end of the others is left out.
        let tcp: Vec<_> =
            found.iter().map(|one| one.packet.to.port()).filter(|port| *port < 5_990).collect();
        let gap = tcp.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(*tcp.first().unwrap() < 5_010 && *tcp.last().unwrap() > 5_970 && gap <= 8, "{gap}");
        assert_eq!(untried(&ways, &here(), &found).len(), 500 - PROBES_MAX);
        assert!(untried(&ways[..200], &here(), &probes(&ways[..200], &here(), &[])).is_empty());
    }

    #[test]
    fn samples_are_hosts_of_their_network() {
        let sample = |text: &str| {
            sample_of(Net::parse(text).unwrap(), &here()).map(|address| address.to_string())
        };
        assert_eq!(sample("10.0.0.0/24").as_deref(), Some("10.0.0.2"));
        assert_eq!(sample("203.0.113.0/30").as_deref(), Some("203.0.113.2"));
        assert_eq!(sample("192.0.2.9").as_deref(), Some("192.0.2.9"));
        assert_eq!(sample("0.0.0.0/0").as_deref(), Some("1.1.1.1"));
        assert_eq!(sample("fd00::/64").as_deref(), Some("fd00::a"));
        assert_eq!(sample("203.0.113.1"), None);
    }

    #[test]
    fn a_rule_names_ports_by_number_and_range() {
        for rule in [
            "tcp dport 21 drop",
            "th dport { 20-22, 80 } x",
            "--dport 20:30 -j",
            "map { 21 : 10.0.0.1 }",
        ] {
            assert!(names_port(rule, 21), "{rule}");
        }
        for rule in ["tcp dport 22", "dnat to 10.0.0.21", "drop comment \"21\"", "iifname \"eth1\""]
        {
            assert!(!names_port(rule, 21), "{rule}");
        }
    }
}
