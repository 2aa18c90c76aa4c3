//! Foreign rules that redirect the same ports: pure. Of two rules for one connection the first wins, and the other has
//! no effect.

use std::fmt::Write;

use super::{
    NatError,
    check::{Family, Interface, Net, Ports, Protocol},
    foreign::{ForeignEffects, Warning},
    iptables,
    listing::{Chain, FilterTable},
    rules::{CompiledRules, Hook, Match, Rule, RuleAction},
};
use portolan_core::{error::Result, observe::visible::visible};

/// The number of rules that are told one by one.
const TOLD_MAX: usize = 3;

/// A foreign rule that redirects a port which one of portolan's rules redirects as well.
struct ConflictingRule {
    text: String,
    /// True if it names the port; otherwise it may apply to any.
    is_named: bool,
}

/// Returns the foreign rules that redirect ports of `rules`, as they are written: used where nothing can be tried.
pub(super) fn effects(
    everything: &[FilterTable],
    own: &str,
    rules: &CompiledRules,
) -> ForeignEffects {
    let (named, open): (Vec<_>, Vec<_>) =
        rivals(everything, own, rules).into_iter().partition(|rival| rival.is_named);
    let texts =
        |rivals: Vec<ConflictingRule>| shortened(rivals.into_iter().map(|one| one.text).collect());
    let warnings = texts(open).into_iter().map(warning).collect();
    ForeignEffects { warnings, conflicts: texts(named) }
}

/// Returns the warning about a rule that may lead ports elsewhere.
pub(super) fn warning(text: String) -> Warning {
    Warning { about: "conflict", text, remedy: String::new() }
}

/// Fails with `nat.conflict` if there are rules that lead the ports of a ruleset elsewhere by number.
pub(super) fn check(conflicts: &[String]) -> Result<()> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let message = format!("{}; `force` does it all the same", conflicts.join("; "));
    Err(NatError::Conflict.fault(message))
}

/// Returns the first messages, and the number of the others.
pub(super) fn shortened(mut texts: Vec<String>) -> Vec<String> {
    let more = texts.len().saturating_sub(TOLD_MAX);
    texts.truncate(TOLD_MAX);
    if let Some(last) = texts.last_mut().filter(|_| more > 0) {
        write!(last, " (and {more} more such rules)").ok();
    }
    texts
}

fn rivals(everything: &[FilterTable], own: &str, rules: &CompiledRules) -> Vec<ConflictingRule> {
    let ours: Vec<_> = rules.all.iter().filter(|rule| rule.hook == Hook::Prerouting).collect();
    let mut found = Vec::new();
    for table in everything.iter().filter(|table| table.name != own) {
        let is_own = |chain: &&Chain| iptables::is_chain_of(own, &table.name, &chain.name);
        for chain in table.chains.iter().filter(|chain| !is_own(chain) && comes_in(chain)) {
            for text in &chain.rules {
                let Some(theirs) = Theirs::read(text) else { continue };
                for rule in &ours {
                    if let Some(port) = theirs.shared(table, rule) {
                        let text = words(table, chain, (text, port), rule);
                        found.push(ConflictingRule { text, is_named: theirs.ports.is_some() });
                    }
                }
            }
        }
    }
    found
}

/// Returns true if incoming connections reach the chain, or may: a chain without a hook is the target of jumps.
fn comes_in(chain: &Chain) -> bool {
    chain.hook.as_ref().is_none_or(|place| place.kind == "nat" && place.hook == "prerouting")
}

fn words(table: &FilterTable, chain: &Chain, (text, port): (&str, u16), rule: &Rule) -> String {
    format!(
        "{} {} {} leads port {port} elsewhere as well ({}): of that rule and `{}` only the one that comes first is heard of, \
         which is portolan's unless theirs hangs before the usual places",
        visible(&table.family),
        visible(&table.name),
        visible(&chain.name),
        visible(text),
        rule.note
    )
}

/// The match of a foreign redirecting rule, as far as it is understood; anything else is assumed to match.
#[derive(Debug, Default, PartialEq, Eq)]
struct Theirs {
    /// Its ports; all if it names none.
    ports: Option<Ports>,
    /// Its interfaces, as it writes them; any if it names none.
    devices: Vec<String>,
    address: Option<Net>,
}

impl Theirs {
    /// Parses a rule for TCP, or for everything, in the syntax of nft or iptables; `None` if it redirects nothing.
    fn read(rule: &str) -> Option<Self> {
        let rule = without_comments(rule);
        let words: Vec<_> = rule.split_whitespace().collect();
        let leads = |word: &&str| {
            matches!(*word, "dnat" | "redirect" | "DNAT" | "REDIRECT" | "tproxy" | "TPROXY")
        };
        if !words.iter().any(leads) {
            return None;
        }
        let mut found = Self::default();
        let mut rest = words.as_slice();
        while let [word, after @ ..] = rest {
            let value = after.first().copied().unwrap_or_default();
            match *word {
                // Skips a negated match, which says little about what the rule does match.
                "!" => rest = after.get(1..).unwrap_or_default(),
                "l4proto" if value == "{" && braced(after).contains(&"tcp") => {
                    rest = after
                        .iter()
                        .position(|word| *word == "}")
                        .and_then(|at| after.get(at..))?;
                }
                "udp" | "sctp" | "dccp" => return None,
                // `iifname . tcp dport` is the key of a map, whose elements may be anything.
                "iifname" | "iif" | "-i" if !matches!(value, "!=" | "." | "vmap" | "map") => {
                    found.devices = braced(after).iter().map(|name| (*name).to_owned()).collect();
                }
                "daddr" | "-d" if value != "!=" => found.address = Net::parse(value).ok(),
                "dport" | "--dport" | "--dports" if value != "!=" => found.ports = ports(after),
                _ => {}
            }
            rest = rest.get(1..).unwrap_or_default();
        }
        Some(found)
    }

    /// Returns the first port that both rules match.
    fn shared(&self, table: &FilterTable, rule: &Rule) -> Option<u16> {
        let family = rule.family.map_or("inet", Family::as_str);
        if rule.protocol() == Protocol::Udp {
            return None;
        }
        let is_of_family = table.family == family || table.family == "inet" || family == "inet";
        if !is_of_family || !matches!(rule.action, RuleAction::Dnat(_)) {
            return None;
        }
        let mut first = None;
        for one in &rule.matches {
            match one {
                Match::Ports(ports) => {
                    first = match &self.ports {
                        Some(theirs) => ports.shared(theirs),
                        None => ports.ranges().first().map(|(first, _)| *first),
                    };
                }
                Match::In(devices) => {
                    let is_ours = |name: &String| devices.iter().any(|ours| meets(ours, name));
                    if !self.devices.is_empty() && !self.devices.iter().any(is_ours) {
                        return None;
                    }
                }
                Match::Destination(net) => {
                    let meets = |theirs: &Net| net.nets().iter().any(|net| net.meets(*theirs));
                    if !self.address.as_ref().is_none_or(meets) {
                        return None;
                    }
                }
                _ => {}
            }
        }
        first
    }
}

/// Returns a rule of nft without its comments, those of the elements of maps included.
fn without_comments(rule: &str) -> String {
    let mut parts = rule.split(" comment \"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('"').map_or("", |(_, rest)| rest))
}

/// Returns the words of a set in braces, or the first word, without quotes and commas.
fn braced<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let bare = |word: &&'w str| word.trim_matches(['"', ',']);
    match words {
        ["{", rest @ ..] => rest.iter().take_while(|word| **word != "}").map(bare).collect(),
        [one, ..] => vec![bare(one)],
        [] => Vec::new(),
    }
}

/// Returns true if an interface of ours is meant by a name of theirs: `eth*` of nft and `eth+` of iptables are all that
/// begin so, and `@names` a set that may have it.
fn meets(ours: &Interface, theirs: &str) -> bool {
    match theirs.strip_suffix(['*', '+']) {
        Some(start) => {
            let own = ours.prefix().unwrap_or(ours.as_str());
            own.starts_with(start) || (ours.prefix().is_some() && start.starts_with(own))
        }
        None => theirs.starts_with('@') || ours.covers(theirs),
    }
}

/// Parses the ports after `dport`: `21`, `20-21`, `20:21,80`, `{ 21, 20-22 }` or the keys of `map { 21 : 10.0.0.1 }`.
fn ports(words: &[&str]) -> Option<Ports> {
    let words = words.strip_prefix(&["map"]).unwrap_or(words);
    let items: Vec<&str> = match words {
        ["{", rest @ ..] => {
            let inside = rest.iter().take_while(|word| **word != "}");
            // Of `21 : 10.0.0.1,` only the key is kept.
            let mut is_key = true;
            let mut keys = Vec::new();
            for word in inside {
                if is_key && *word != ":" {
                    keys.push(word.trim_end_matches(','));
                }
                is_key = word.ends_with(',');
            }
            keys
        }
        [one, ..] => one.split(',').collect(),
        [] => return None,
    };
    let range = |item: &&str| {
        let (first, last) = item.split_once(['-', ':']).unwrap_or((item, item));
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?))
    };
    // A name, such as that of a set, may stand for any port.
    let ranges = items.iter().map(range).collect::<Option<Vec<_>>>()?;
    Ports::new(ranges).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::HostNetwork,
        listing::tables,
        model::{Forward, RulesetPart, RulesetSpec, tests::forward},
        rules::rules,
    };

    fn found(listing: &str, part: Forward) -> Vec<String> {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        ruleset.add(RulesetPart::Forward(part)).unwrap();
        let made = rules(&ruleset, &HostNetwork::default()).unwrap();
        rivals(&tables(listing), "portolan_x", &made).into_iter().map(|one| one.text).collect()
    }

    fn table(family: &str, name: &str, chain: &str, rule: &str) -> String {
        let hook = "type nat hook prerouting priority dstnat; policy accept;";
        format!("table {family} {name} {{\n\tchain {chain} {{\n\t\t{hook}\n\t\t{rule}\n\t}}\n}}\n")
    }

    #[test]
    fn a_rule_that_leads_the_same_port_elsewhere_is_named() {
        for (rule, port) in [
            ("tcp dport 21 dnat to 10.0.0.9", 21),
            (
                "iifname \"wan0\" meta l4proto tcp tcp dport { 80, 50000-50005 } counter packets 0 bytes 0 dnat to 10.0.0.9",
                50000,
            ),
            ("ip daddr 203.0.113.1 tcp dport != 22 dnat to 10.0.0.9", 21),
            ("tcp dport 50009 redirect to :2121 comment \"udp dport 5\"", 50009),
            ("dnat ip to tcp dport map { 80 : 10.0.0.9, 21 : 10.0.0.8 }", 21),
            ("tcp dport @services dnat to 10.0.0.9", 21),
            ("iifname { \"wan0\", \"wan9\" } tcp dport 21 dnat to 10.0.0.9", 21),
            ("iifname \"wan*\" tcp dport 21 dnat to 10.0.0.9", 21),
            ("iifname @outer tcp dport 21 dnat to 10.0.0.9", 21),
            ("-i wan+ -p tcp -m tcp --dport 21 -j DNAT --to-destination 10.0.0.9", 21),
            ("meta l4proto { tcp, udp } th dport 21 dnat to 10.0.0.9", 21),
            ("dnat ip to iifname . tcp dport map { \"wan0\" . 21 : 10.0.0.9 }", 21),
            (
                "tcp dport map { 80 comment \"portolan:a\" : 10.0.0.9, 50001 comment \"portolan:b\" : 10.0.0.8 } dnat ip to 1",
                50001,
            ),
            (
                "! -s 10.0.0.0/8 -p tcp -m multiport --dports 1:20,21 -j DNAT --to-destination 10.0.0.9",
                21,
            ),
            (
                "! -i docker0 -p tcp -m tcp --dport 50001 -j DNAT --to-destination 172.17.0.2:80",
                50001,
            ),
        ] {
            let texts =
                found(&table("ip", "nat", "DOCKER", rule), forward("21,50000-50009", "10.0.0.5"));
            let [text] = texts.as_slice() else { panic!("{rule}: {texts:?}") };
            assert!(
                text.starts_with(&format!("ip nat DOCKER leads port {port} elsewhere as well (")),
                "{text}"
            );
            assert!(text.contains("`forward 21, 50000-50009 -> 10.0.0.5 from wan0`"), "{text}");
        }
    }

    #[test]
    fn a_rule_about_something_else_is_not() {
        let ours = || Forward { external: "203.0.113.1".parse().ok(), ..forward("21", "10.0.0.5") };
        for rule in [
            "tcp dport 22 dnat to 10.0.0.9",
            "udp dport 21 dnat to 10.0.0.9",
            "-p udp -m udp --dport 21 -j DNAT --to-destination 10.0.0.9",
            "tcp dport 21 accept",
            "iifname \"lan0\" tcp dport 21 dnat to 10.0.0.9",
            "iifname { \"lan0\", \"lan1\" } tcp dport 21 dnat to 10.0.0.9",
            "iifname \"lan*\" tcp dport 21 dnat to 10.0.0.9",
            "meta l4proto { udp, sctp } th dport 21 dnat to 10.0.0.9",
            "meta l4proto udp th dport 21 dnat to 10.0.0.9",
            "ip daddr 203.0.113.2 tcp dport 21 dnat to 10.0.0.9",
            "tcp dport 21 accept comment \"dnat\"",
        ] {
            assert_eq!(
                found(&table("ip", "nat", "PREROUTING", rule), ours()),
                Vec::<String>::new(),
                "{rule}"
            );
        }
        let same = "tcp dport 21 dnat to 10.0.0.9";
        for (family, name, chain) in [
            ("ip6", "nat", "A"),
            ("inet", "portolan_x", "prerouting"),
            ("ip", "nat", "PORTOLAN_x_PRE"),
        ] {
            assert_eq!(
                found(&table(family, name, chain, same), ours()),
                Vec::<String>::new(),
                "{family} {name}"
            );
        }
        for (family, name, chain) in
            [("inet", "portolan_y", "prerouting"), ("ip", "nat", "PORTOLAN_x_y_PRE")]
        {
            assert_eq!(found(&table(family, name, chain, same), ours()).len(), 1, "{chain}");
        }
        let output = table("ip", "nat", "OUTPUT", same).replace("prerouting", "output");
        assert_eq!(found(&output, ours()), Vec::<String>::new());
    }
}
