//! The output of `nft monitor trace`, parsed: pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// The name of the tables by which packets are traced. They exist in twins only.
pub(super) const TRACE_TABLE: &str = "portolan_probe";
/// The chain that sees what is about to leave, after every other.
pub(super) const SENT: &str = "sent";
/// The chain that sees what arrives at the host itself, after every other.
pub(super) const HERE: &str = "here";

/// A rule, or the policy of a chain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TracedRule {
    /// `inet`, `ip` and so on.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The text of the rule, or `policy drop`.
    pub rule: String,
}

impl std::fmt::Display for TracedRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { family, table, chain, rule } = self;
        write!(f, "{family} {table} {chain}: {rule}")
    }
}

/// The way of one packet through the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// The rule that decided against it.
    pub(super) dropped: Option<TracedRule>,
    /// The chain with a hook that it went through last.
    pub(super) base: Option<String>,
    /// The rule that handed it to a program.
    pub(super) queued: Option<TracedRule>,
    /// The rules that translated an address or port.
    pub(super) translated: Vec<TracedRule>,
    /// The interface by which it left.
    pub(super) out: Option<String>,
    /// True if it arrived at the host itself.
    pub(super) is_here: bool,
    /// Its source and its destination where it was seen last.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
}

impl Trace {
    /// Returns true if it is known where the packet ended.
    pub(super) fn has_ended(&self) -> bool {
        self.dropped.is_some() || self.queued.is_some() || self.out.is_some() || self.is_here
    }
}

/// Reads the lines of `nft monitor trace`. `sent` has source and destination of each packet, in the order in which they
/// were sent; the result has its trace at the same place. Ids of the kernel are reused, and a packet that passes a bridge
/// gets another one on its way, so packets are known again by their addresses.
pub(super) fn read<'l>(
    lines: impl Iterator<Item = &'l str>,
    sent: &[(SocketAddr, SocketAddr)],
) -> Vec<Trace> {
    let mut traces = vec![Trace::default(); sent.len()];
    let mut current: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines {
        let Some(line) = TraceLine::parse(line) else { continue };
        if let Some(text) = line.rest.strip_prefix("packet: ") {
            let ends = ends(text);
            if let Some(at) = ends.and_then(|ends| known(ends, sent, current.get(line.id).copied()))
            {
                current.insert(line.id, at);
            }
            let Some(trace) = current.get(line.id).and_then(|at| traces.get_mut(*at)) else {
                continue;
            };
            trace.ends = ends.or(trace.ends);
            trace.base = Some(line.chain.to_owned());
            if line.table == TRACE_TABLE && line.chain == SENT {
                trace.out = word_after(text, "oif").map(str::to_owned);
            }
            trace.is_here |= line.table == TRACE_TABLE && line.chain == HERE;
            continue;
        }
        if let Some(trace) = current.get(line.id).and_then(|at| traces.get_mut(*at)) {
            trace.take(&line);
        }
    }
    traces
}

/// Returns the packet that a chain sees with these addresses: the one that was sent so, else the one that has this id,
/// else the one with this source, since its destination may be translated by now.
fn known(
    ends: (SocketAddr, SocketAddr),
    sent: &[(SocketAddr, SocketAddr)],
    with_id: Option<usize>,
) -> Option<usize> {
    let sent_so = sent.iter().position(|one| *one == ends);
    sent_so.or(with_id).or_else(|| sent.iter().position(|(source, _)| *source == ends.0))
}

/// Returns source and destination of the packet that one of [`TRACE_TABLE`]'s chains sees in this line.
pub(super) fn seen(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = TraceLine::parse(line).filter(|line| line.table == TRACE_TABLE)?;
    ends(line.rest.strip_prefix("packet: ")?)
}

impl Trace {
    fn take(&mut self, line: &TraceLine<'_>) {
        if line.table == TRACE_TABLE {
            return;
        }
        if let Some(policy) = line.rest.strip_prefix("policy ") {
            if policy.trim() == "drop" {
                self.dropped = Some(line.rule("policy drop".into()));
            }
            return;
        }
        let Some((rule, verdict)) =
            line.rest.strip_prefix("rule ").and_then(|rest| rest.rsplit_once(" (verdict "))
        else {
            return;
        };
        let rule = line.rule(stateless(rule));
        match verdict.trim_end().trim_end_matches(')') {
            "drop" | "stolen" => self.dropped = Some(rule),
            verdict if verdict.starts_with("queue") => self.queued = Some(rule),
            "accept" if translates(&rule.rule) => self.translated.push(rule),
            _ => {}
        }
    }
}

/// One line: `trace id 8b2ac2a5 inet fw deny rule drop (verdict drop)`.
struct TraceLine<'l> {
    id: &'l str,
    family: &'l str,
    table: &'l str,
    chain: &'l str,
    rest: &'l str,
}

impl<'l> TraceLine<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let mut words = line.strip_prefix("trace id ")?.splitn(5, ' ');
        let (id, family, table, chain) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self { id, family, table, chain, rest: words.next()?.trim() })
    }

    fn rule(&self, rule: String) -> TracedRule {
        let [family, table, chain] = [self.family, self.table, self.chain].map(str::to_owned);
        TracedRule { family, table, chain, rule }
    }
}

/// Returns the text of a rule without the numbers of its counters.
fn stateless(rule: &str) -> String {
    let mut words = rule.split_whitespace().peekable();
    let mut kept: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        if word == "packets" && kept.last() == Some(&"counter") {
            // `packets 3 bytes 180`
            words.nth(2);
            continue;
        }
        kept.push(word);
    }
    kept.join(" ")
}

/// Returns true if a rule that ends with `accept` does so since it translates.
fn translates(rule: &str) -> bool {
    let rule = rule.split(" comment \"").next().unwrap_or(rule);
    let is_such = |word: &str| {
        matches!(
            word,
            "dnat"
                | "snat"
                | "masquerade"
                | "redirect"
                | "tproxy"
                | "DNAT"
                | "SNAT"
                | "MASQUERADE"
                | "REDIRECT"
                | "TPROXY"
                | "NETMAP"
        )
    };
    // `ct status dnat accept` only asks.
    let words: Vec<_> = rule.split_whitespace().collect();
    words.iter().enumerate().any(|(at, word)| {
        let before = at.checked_sub(1).and_then(|at| words.get(at)).copied();
        is_such(word) && !matches!(before, Some("status" | "!="))
    })
}

/// Returns source and destination of `… ip saddr 203.0.113.30 ip daddr 203.0.113.1 … tcp sport 50000 tcp dport 21 …`.
fn ends(packet: &str) -> Option<(SocketAddr, SocketAddr)> {
    let words: Vec<_> = packet.split_whitespace().collect();
    let after = |first: &[&str], second: &str| {
        words.windows(3).find_map(|three| match three {
            [one, two, value] if first.contains(one) && *two == second => Some(*value),
            _ => None,
        })
    };
    let address = |which: &str| after(&["ip", "ip6"], which)?.parse::<IpAddr>().ok();
    let port = |which: &str| after(&["tcp", "udp"], which)?.parse::<u16>().ok();
    let source = SocketAddr::new(address("saddr")?, port("sport")?);
    Some((source, SocketAddr::new(address("daddr")?, port("dport")?)))
}

fn word_after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == key)?;
    Some(words.next()?.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "ip saddr 203.0.113.30 ip daddr";

    fn traced(lines: &[String]) -> Trace {
        let sent = [("203.0.113.30:44907".parse().unwrap(), "203.0.113.1:8080".parse().unwrap())];
        read(lines.iter().map(String::as_str), &sent).remove(0)
    }

    fn begin(id: &str) -> String {
        format!(
            "trace id {id} inet portolan_probe pre packet: iif \"eth1\" {HEAD} 203.0.113.1 ip ttl 64 tcp sport 44907 tcp dport 8080 tcp flags == syn "
        )
    }

    #[test]
    fn the_rule_that_drops_is_named() {
        let found = traced(&[
            begin("ad94"),
            "trace id ad94 inet fw fi rule tcp dport 8080 jump deny (verdict jump deny)".into(),
            "trace id 1111 inet fw other rule drop (verdict drop)".into(),
            "trace id ad94 inet fw deny rule ct status dnat counter packets 3 bytes 180 drop (verdict drop)".into(),
        ]);
        assert_eq!(found.dropped.unwrap().to_string(), "inet fw deny: ct status dnat counter drop");
        let found = traced(&[begin("1"), "trace id 1 ip fw c policy drop ".into()]);
        assert_eq!(found.dropped.unwrap().to_string(), "ip fw c: policy drop");
    }

    #[test]
    fn the_way_out_is_named_with_the_translations() {
        let found = traced(&[
            begin("1"),
            "trace id 1 inet portolan_probe pre rule meta nftrace set 1 (verdict continue)".into(),
            "trace id 1 ip n pre rule tcp dport 8080 counter packets 0 bytes 0 dnat to 192.168.0.10 (verdict accept)".into(),
            "trace id 1 ip f c rule ct status dnat accept (verdict accept)".into(),
            format!("trace id 1 inet portolan_probe sent packet: iif \"eth1\" oif \"eth0\" {HEAD} 192.168.0.10 tcp sport 44907 tcp dport 21 "),
            "trace id 1 inet portolan_probe sent policy accept ".into(),
        ]);
        assert!(found.has_ended() && found.dropped.is_none());
        assert_eq!(found.out.as_deref(), Some("eth0"));
        assert_eq!(found.ends.unwrap().1, "192.168.0.10:21".parse().unwrap());
        let rules: Vec<_> = found.translated.iter().map(|rule| rule.rule.as_str()).collect();
        assert_eq!(rules, ["tcp dport 8080 counter dnat to 192.168.0.10"]);
    }

    #[test]
    fn a_packet_with_a_new_id_is_known_by_its_source() {
        let forward = "inet f c packet: iif \"br0\" oif \"eth1\"";
        let found = traced(&[
            begin("1"),
            format!("trace id 2 {forward} {HEAD} 192.168.0.10 tcp sport 44907 tcp dport 21 "),
            "trace id 2 inet f c rule drop (verdict drop)".into(),
        ]);
        assert_eq!(found.ends.unwrap().1, "192.168.0.10:21".parse().unwrap());
        assert!(found.dropped.is_some());
    }

    #[test]
    fn a_reused_id_is_another_packet() {
        let sent = ["203.0.113.1:21", "203.0.113.1:22"]
            .map(|to| ("203.0.113.30:5".parse().unwrap(), to.parse().unwrap()));
        let packet = |port: u16| {
            format!(
                "trace id 1 netdev portolan_probe c packet: iif \"eth1\" {HEAD} 203.0.113.1 tcp sport 5 tcp dport {port} "
            )
        };
        let here = format!(
            "trace id 1 inet portolan_probe here packet: iif \"eth1\" {HEAD} 203.0.113.1 tcp sport 5 tcp dport 22 "
        );
        let lines =
            [packet(21), "trace id 1 ip a b rule drop (verdict drop)".into(), packet(22), here];
        let found = read(lines.iter().map(String::as_str), &sent);
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert!(first.dropped.is_some() && !first.is_here);
        assert!(second.dropped.is_none() && second.is_here);
    }
}
