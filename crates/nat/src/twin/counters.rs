//! The counters of legacy iptables, which tell where a packet was: it has no trace that stays in its namespace. Pure.

use std::collections::BTreeMap;

use super::trace::TracedRule;

/// The rules of one listing of `iptables-legacy-save -c` and the packets that each of them has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters(Vec<(TracedRule, u64)>);

impl Counters {
    /// Parses a listing; `family` is `ip` or `ip6`.
    pub(super) fn parse(family: &str, listing: &str) -> Self {
        let mut found = Vec::new();
        let mut table = "";
        for line in listing.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
                continue;
            }
            let Some((chain, rule, count)) = policy(line).or_else(|| counted(line)) else {
                continue;
            };
            let [family, table, chain] = [family, table, chain].map(str::to_owned);
            found.push((TracedRule { family, table, chain, rule }, count));
        }
        Self(found)
    }

    /// Returns the rules that have seen more packets than in `before`, in their order.
    pub(super) fn since(&self, before: &Self) -> Vec<TracedRule> {
        let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (rule, count) in before.0.iter().rev() {
            // The same rule may be there twice; each has its own counter.
            seen.entry(rule.to_string()).or_default().push(*count);
        }
        let is_more = |(rule, count): &&(TracedRule, u64)| {
            let before = seen.get_mut(&rule.to_string()).and_then(Vec::pop).unwrap_or(0);
            *count > before
        };
        self.0.iter().filter(is_more).map(|(rule, _)| rule.clone()).collect()
    }
}

/// Reads `:FORWARD DROP [3:180]`.
fn policy(line: &str) -> Option<(&str, String, u64)> {
    let mut words = line.strip_prefix(':')?.split_whitespace();
    let (chain, policy, counters) = (words.next()?, words.next()?, words.next()?);
    Some((chain, format!("policy {}", policy.to_lowercase()), packets(counters)?))
}

/// Reads `[3:180] -A FORWARD -i eth1 -j DROP`.
fn counted(line: &str) -> Option<(&str, String, u64)> {
    let (counters, rest) = line.split_once(' ')?;
    let rest = rest.strip_prefix("-A ")?;
    let (chain, rule) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((chain, rule.to_owned(), packets(counters)?))
}

fn packets(counters: &str) -> Option<u64> {
    counters.strip_prefix('[')?.split(':').next()?.parse().ok()
}

/// Returns the rule that dropped a packet, of those that have seen it, and those that translated it.
pub(super) fn decided(seen: &[TracedRule]) -> (Option<TracedRule>, Vec<TracedRule>) {
    let target = |rule: &TracedRule| {
        let mut words =
            rule.rule.split_whitespace().skip_while(|word| !matches!(*word, "-j" | "-g"));
        words.nth(1).unwrap_or_default().to_owned()
    };
    let drops = |rule: &&TracedRule| {
        matches!(target(rule).as_str(), "DROP" | "REJECT" | "TARPIT") || rule.rule == "policy drop"
    };
    let translates = |rule: &&TracedRule| {
        matches!(
            target(rule).as_str(),
            "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" | "TPROXY"
        )
    };
    (seen.iter().find(drops).cloned(), seen.iter().filter(translates).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "# Generated\n*nat\n:PREROUTING ACCEPT [@:0]\n[@:60] -A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.5\nCOMMIT\n\
        *filter\n:FORWARD DROP [0:0]\n[0:0] -A FORWARD -i eth1 -j DROP\n[@:60] -A FORWARD -i eth1 -j DROP\n[@:60] -A FORWARD -j LOG\nCOMMIT\n";

    #[test]
    fn the_rule_whose_counter_rises_is_named() {
        let at = |count: &str| Counters::parse("ip", &LISTING.replace('@', count));
        let seen = at("2").since(&at("1"));
        let (dropped, translated) = decided(&seen);
        assert_eq!(dropped.unwrap().to_string(), "ip filter FORWARD: -i eth1 -j DROP");
        let [translated] = translated.as_slice() else { panic!("{translated:?}") };
        assert!(translated.rule.ends_with("--to-destination 10.0.0.5"));
        assert_eq!(at("2").since(&at("2")), []);
        let policy =
            Counters::parse("ip", "*filter\n:INPUT DROP [1:60]\n").since(&Counters::default());
        assert_eq!(decided(&policy).0.unwrap().to_string(), "ip filter INPUT: policy drop");
    }
}
