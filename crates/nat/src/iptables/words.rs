//! A single rule in iptables syntax: pure.

use crate::{
    chains::{Chains, comment},
    check::{Family, Interface, Net, Ports},
    rules::{Hook, Match, Rule, RuleAction},
};

/// The maximum number of ports in one rule; a range counts as two.
const PORTS_MAX: usize = 15;

/// Returns the chains for `rules`, including those of IPv6 if it is available.
pub(super) fn chains(rules: &[Rule], has_ipv6: bool) -> Chains {
    let mut chains = Chains::new();
    for rule in rules {
        for family in [Family::V4, Family::V6] {
            let is_meant = match rule.family {
                Some(only) => only == family,
                None => family == Family::V4 || has_ipv6,
            };
            if is_meant {
                let key = (rule.hook, Some(family));
                chains.entry(key).or_default().extend(lines(rule, family));
            }
        }
    }
    chains
}

/// One line of a rule: a line takes a single interface, network and protocol, and a limited number of ports.
#[derive(Clone, Default)]
struct LineValues {
    device: Option<Interface>,
    source: Option<Net>,
    target: Option<Net>,
    protocol: Option<&'static str>,
    ports: Option<String>,
}

/// Renders the rule, repeated as needed.
fn lines(rule: &Rule, family: Family) -> Vec<String> {
    let protocols = if rule.ports().is_some() { rule.protocol().words() } else { &[] };
    let mut all = vec![LineValues::default()];
    for one in &rule.matches {
        all = match one {
            Match::In(devices) => each(&all, devices, |line, one| line.device = Some(one.clone())),
            Match::Source(nets) => each(&all, nets.nets(), |line, one| line.source = Some(*one)),
            Match::Destination(nets) | Match::FirstTo(nets) => {
                each(&all, nets.nets(), |line, one| line.target = Some(*one))
            }
            Match::Protocol(protocol) if rule.ports().is_none() => {
                each(&all, protocol.words(), |line, one| line.protocol = Some(*one))
            }
            Match::Ports(ports) => {
                let all = each(&all, protocols, |line, one| line.protocol = Some(*one));
                let words = port_words(ports);
                each(&all, &words, |line, one| line.ports = Some(one.clone()))
            }
            _ => all,
        };
    }
    all.iter().map(|values| line(rule, family, values)).collect()
}

/// Returns each of the lines with each of the values.
fn each<T>(
    all: &[LineValues],
    values: &[T],
    set: impl Fn(&mut LineValues, &T) + Copy,
) -> Vec<LineValues> {
    let one = |line: &LineValues, value: &T| {
        let mut line = line.clone();
        set(&mut line, value);
        line
    };
    all.iter().flat_map(|line| values.iter().map(move |value| one(line, value))).collect()
}

fn line(rule: &Rule, family: Family, values: &LineValues) -> String {
    let LineValues { device, source, target, protocol, ports } = values;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut protocol = *protocol;
    for one in &rule.matches {
        match one {
            Match::In(_) => head.extend(device.as_ref().map(|one| format!("-i {}", name(one)))),
            Match::Out(device) => head.push(format!("-o {}", name(device))),
            Match::Loopback => head.push("-i lo".into()),
            Match::Source(_) => head.extend(source.map(|net| format!("-s {net}"))),
            // The helper is assigned before any translation.
            Match::Destination(_) | Match::FirstTo(_) => {
                head.extend(target.map(|net| format!("-d {net}")));
            }
            // `! -d` may appear only once; for the first packet of a connection, this is equivalent.
            Match::NotTo(nets) => {
                tail.extend(nets.iter().map(|net| format!("-m conntrack ! --ctorigdst {net}")));
            }
            Match::Local => tail.push("-m addrtype --dst-type LOCAL".into()),
            Match::SourcePort(port) => {
                protocol = Some("tcp");
                tail.push(format!("-m tcp --sport {port}"));
            }
            Match::Protocol(_) => {}
            Match::Ports(_) => tail.extend(
                protocol.zip(ports.as_ref()).map(|(protocol, ports)| port_match(protocol, ports)),
            ),
            Match::Icmp => protocol = Some(icmp(family)),
            Match::Established => tail.push(state("ESTABLISHED")),
            Match::Related => tail.push(state("RELATED")),
            Match::FtpData => {
                protocol = Some("tcp");
                tail.push(state("RELATED"));
                tail.push("-m helper --helper ftp -m tcp --dport 1024:65535".into());
            }
            Match::Translated => tail.push(state("DNAT")),
            // The helper is assigned before connection tracking, and the first one assigned stays.
            Match::New if matches!(rule.hook, Hook::Helper | Hook::HelperLocal) => {}
            Match::New => tail.push(state("NEW")),
            Match::Invalid => tail.push(state("INVALID")),
            Match::Syn => {
                protocol = Some("tcp");
                tail.push("-m tcp --tcp-flags SYN,RST SYN".into());
            }
            Match::Lease => {
                protocol = Some("udp");
                let port = if family == Family::V4 { 68 } else { 546 };
                tail.push(format!("-m udp --dport {port}"));
            }
        }
    }
    head.extend(protocol.map(|protocol| format!("-p {protocol}")));
    tail.push(format!("-m comment --comment \"{}\"", comment(&rule.note)));
    tail.push(action(&rule.action));
    head.extend(tail);
    head.join(" ")
}

/// Returns the name of an interface; all with the same beginning have `+` after it.
fn name(device: &Interface) -> String {
    match device.prefix() {
        Some(start) => format!("{start}+"),
        None => device.to_string(),
    }
}

const fn icmp(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "ipv6-icmp",
    }
}

fn state(word: &str) -> String {
    format!("-m conntrack --ctstate {word}")
}

fn action(action: &RuleAction) -> String {
    match action {
        RuleAction::Helper => "-j CT --helper ftp".into(),
        RuleAction::Masquerade => "-j MASQUERADE".into(),
        RuleAction::Snat(address) => format!("-j SNAT --to-source {address}"),
        RuleAction::Dnat(target) => format!("-j DNAT --to-destination {target}"),
        RuleAction::ClampMss => "-j TCPMSS --clamp-mss-to-pmtu".into(),
        // Not ACCEPT, which would overrule foreign rules in the same table.
        RuleAction::Accept => "-j RETURN".into(),
        RuleAction::Drop => "-j DROP".into(),
    }
}

/// Returns the match of a list of ports.
fn port_match(protocol: &str, ports: &str) -> String {
    if ports.contains(',') {
        format!("-m multiport --dports {ports}")
    } else {
        format!("-m {protocol} --dport {ports}")
    }
}

/// Returns the ports in lists that each fit one rule.
fn port_words(ports: &Ports) -> Vec<String> {
    let word = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}:{last}") }
    };
    let mut all: Vec<(usize, Vec<String>)> = Vec::new();
    for range in ports.ranges() {
        let weight = if range.0 == range.1 { 1 } else { 2 };
        match all.last_mut().filter(|(filled, _)| filled + weight <= PORTS_MAX) {
            Some((filled, words)) => {
                *filled += weight;
                words.push(word(range));
            }
            None => all.push((weight, vec![word(range)])),
        }
    }
    all.into_iter().map(|(_, words)| words.join(",")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{Net, Protocol},
        host::HostNetwork,
        model::{
            Forward, Helper, Masquerade, Open, RulesetPart, RulesetSpec,
            tests::{allow, device, forward, masquerade, nets, open},
        },
        rules::rules,
    };

    #[track_caller]
    fn expect(part: RulesetPart, is_isolated: bool, wanted: &[&str]) {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        ruleset.add(part).unwrap();
        ruleset.isolate(is_isolated);
        let routes = vec![(Net::parse("192.168.0.0/24").unwrap(), "lan0".to_owned())];
        let here = HostNetwork { routes, login_ports: [22].into(), ..HostNetwork::default() };
        let made = chains(&rules(&ruleset, &here).unwrap().all, true);
        let shown = made.iter().flat_map(|((hook, family), rules)| {
            let family = family.unwrap().as_str();
            let place = format!("{family} {} {}", hook.table(), hook.entry());
            rules.iter().map(move |rule| {
                let (before, after) =
                    rule.split_once(" -m comment --comment \"portolan:").unwrap_or(("", rule));
                let action = after.split_once('"').unwrap().1;
                format!("{place}: {before}{action}")
            })
        });
        assert_eq!(shown.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_a_ruleset_says_is_said_to_iptables() {
        let source = Net::parse("192.168.0.0/24").unwrap();
        let masquerade = masquerade("192.168.0.0/24", "wan0");
        expect(
            RulesetPart::Masquerade(masquerade.clone()),
            false,
            &["ip nat POSTROUTING: -s 192.168.0.0/24 -o wan0 -j MASQUERADE"],
        );
        let to = "203.0.113.9".parse().ok();
        expect(
            RulesetPart::Masquerade(Masquerade { to, ..masquerade }),
            false,
            &["ip nat POSTROUTING: -s 192.168.0.0/24 -o wan0 -j SNAT --to-source 203.0.113.9"],
        );
        expect(
            RulesetPart::Forward(Forward {
                hairpin: Some(source),
                ..forward("21,50000-50009", "192.168.0.5")
            }),
            false,
            &[
                "ip nat PREROUTING: -p tcp -m addrtype --dst-type LOCAL -m conntrack ! --ctorigdst 127.0.0.0/8 -m \
                 conntrack ! --ctorigdst 192.168.0.0/24 -m multiport --dports 21,50000:50009 -j DNAT \
                 --to-destination 192.168.0.5",
                "ip nat OUTPUT: -p tcp -m addrtype --dst-type LOCAL -m conntrack ! --ctorigdst 127.0.0.0/8 -m \
                 conntrack ! --ctorigdst 192.168.0.0/24 -m multiport --dports 21,50000:50009 -j DNAT \
                 --to-destination 192.168.0.5",
                "ip nat POSTROUTING: -s 192.168.0.0/24 -d 192.168.0.5 -m conntrack --ctstate DNAT -j MASQUERADE",
            ],
        );
        let six = Forward { source_port: Some(20), ..forward("40000-40009", "fd00::5") };
        expect(
            RulesetPart::Forward(six),
            false,
            &[
                "ip6 nat PREROUTING: -i wan0 -p tcp -m addrtype --dst-type LOCAL -m tcp --sport 20 -m tcp --dport \
               40000:40009 -j DNAT --to-destination fd00::5",
            ],
        );
        let ports = Ports::parse("21").unwrap();
        let helper = Helper { ports, device: Some(device("lan0")), server: None };
        expect(
            RulesetPart::Helper(helper),
            false,
            &[
                "ip raw PREROUTING: -i lan0 -p tcp -m tcp --dport 21 -j CT --helper ftp",
                "ip6 raw PREROUTING: -i lan0 -p tcp -m tcp --dport 21 -j CT --helper ftp",
                "ip raw OUTPUT: -p tcp -m tcp --dport 21 -j CT --helper ftp",
                "ip6 raw OUTPUT: -p tcp -m tcp --dport 21 -j CT --helper ftp",
            ],
        );
    }

    #[test]
    fn an_isolated_gateway_returns_what_may_pass_and_drops_the_rest() {
        let rest = |family: &str, icmp: &str| {
            [
                format!("{family} filter FORWARD: -i lan0 -m conntrack --ctstate INVALID -j DROP"),
                format!("{family} filter FORWARD: -i wan0 -m conntrack --ctstate INVALID -j DROP"),
                format!("{family} filter FORWARD: -m conntrack --ctstate ESTABLISHED -j RETURN"),
                format!(
                    "{family} filter FORWARD: -p {icmp} -m conntrack --ctstate RELATED -j RETURN"
                ),
                format!("{family} filter FORWARD: -i lan0 -o wan0 -j RETURN"),
                format!("{family} filter FORWARD: -i lan0 -j DROP"),
                format!("{family} filter FORWARD: -i wan0 -j DROP"),
            ]
        };
        let wanted = [rest("ip", "icmp"), rest("ip6", "ipv6-icmp")].concat();
        expect(
            RulesetPart::Allow(allow("lan0", "wan0")),
            true,
            &wanted.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn many_ports_are_several_rules() {
        let ports: Vec<_> = (10..20).map(|ten| format!("{ten}0-{ten}1")).collect();
        let open = Open { from: Some(nets("10.0.0.0/8")), ..open("x", &ports.join(",")) };
        expect(
            RulesetPart::Open(open),
            false,
            &[
                "ip filter INPUT: -s 10.0.0.0/8 -p tcp -m multiport --dports \
                 100:101,110:111,120:121,130:131,140:141,150:151,160:161 -m conntrack --ctstate NEW -j RETURN",
                "ip filter INPUT: -s 10.0.0.0/8 -p tcp -m multiport --dports 170:171,180:181,190:191 -m conntrack \
                 --ctstate NEW -j RETURN",
            ],
        );
    }

    #[test]
    fn sets_and_protocols_are_several_rules() {
        let to_port = Ports::parse("5353").ok();
        let part = Forward {
            device: None,
            protocol: Protocol::Both,
            to_port,
            from: Some(nets("203.0.113.0/24 198.51.100.7")),
            except: Some(nets("203.0.113.2")),
            ..forward("53", "192.168.0.5")
        };
        let rule = |from: &str, protocol: &str| {
            format!(
                "ip nat PREROUTING: -s {from} -p {protocol} -m addrtype --dst-type LOCAL -m conntrack ! --ctorigdst \
                 203.0.113.2 -m {protocol} --dport 53 -j DNAT --to-destination 192.168.0.5:5353"
            )
        };
        let wanted = [
            rule("198.51.100.7", "tcp"),
            rule("198.51.100.7", "udp"),
            rule("203.0.113.0/24", "tcp"),
            rule("203.0.113.0/24", "udp"),
        ];
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        expect(RulesetPart::Forward(part), false, &wanted);
        let ports = Ports::parse("21").unwrap();
        let helper = Helper { ports, device: None, server: Some(nets("2001:db8::5")) };
        expect(
            RulesetPart::Helper(helper),
            false,
            &[
                "ip6 raw PREROUTING: -d 2001:db8::5 -p tcp -m tcp --dport 21 -j CT --helper ftp",
                "ip6 raw OUTPUT: -d 2001:db8::5 -p tcp -m tcp --dport 21 -j CT --helper ftp",
            ],
        );
        let to_port = Ports::parse("9000-9001").ok();
        let six = Forward { to_port, ..forward("8000-8001", "fd00::5") };
        expect(
            RulesetPart::Forward(six),
            false,
            &[
                "ip6 nat PREROUTING: -i wan0 -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8000 -j DNAT \
                 --to-destination [fd00::5]:9000",
                "ip6 nat PREROUTING: -i wan0 -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8001 -j DNAT \
                 --to-destination [fd00::5]:9001",
            ],
        );
    }
}
