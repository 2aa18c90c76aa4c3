//! Rules that can be folded into one with a map: pure.

use std::collections::BTreeMap;

use super::rules::{Match, Rule, RuleAction};

/// The number of rules from which a map is worth it. Fewer are easier to read as single rules.
const FOLD_MIN: usize = 8;

/// Returns the rules in groups, in order. The rules of a group of several differ only in ports and destination, and share
/// no port; the group takes the place of its first rule.
pub(super) fn groups(rules: &[Rule]) -> Vec<Vec<&Rule>> {
    let leaders = leaders(rules);
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for leader in &leaders {
        *sizes.entry(*leader).or_default() += 1;
    }
    let mut groups: Vec<Vec<&Rule>> = Vec::new();
    // The group of each leader of several, if it has been begun.
    let mut begun: BTreeMap<usize, usize> = BTreeMap::new();
    for (rule, leader) in rules.iter().zip(leaders) {
        let is_large = sizes.get(&leader).is_some_and(|size| *size >= FOLD_MIN);
        if let Some(group) = begun.get(&leader).and_then(|at| groups.get_mut(*at)) {
            group.push(rule);
            continue;
        }
        if is_large {
            begun.insert(leader, groups.len());
        }
        groups.push(vec![rule]);
    }
    groups
}

/// Returns for each rule the position of the first one that it can be folded with, or its own.
fn leaders(rules: &[Rule]) -> Vec<usize> {
    let mut leaders: Vec<usize> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let earlier = rules.get(..at).unwrap_or_default();
        let last = earlier.iter().rposition(|other| is_alike(rule, other));
        let leader = last.and_then(|last| leaders.get(last).copied()).filter(|leader| {
            // A rule can move up unless it shares ports with one that it would pass, or with one of its group.
            !earlier.iter().skip(*leader).any(|other| meets(rule, other))
        });
        leaders.push(leader.unwrap_or(at));
    }
    leaders
}

/// Returns true if both lead connections elsewhere, and differ in nothing but ports and destination.
fn is_alike(one: &Rule, other: &Rule) -> bool {
    let others = |rule: &'_ Rule| -> Vec<Match> {
        rule.matches.iter().filter(|one| !matches!(one, Match::Ports(_))).cloned().collect()
    };
    let is_alike = match (&one.action, &other.action) {
        (RuleAction::Dnat(one), RuleAction::Dnat(other)) => {
            one.port.is_some() == other.port.is_some()
        }
        _ => false,
    };
    is_alike
        && (one.hook, one.family) == (other.hook, other.family)
        && one.ports().is_some()
        && other.ports().is_some()
        && others(one) == others(other)
}

fn meets(one: &Rule, other: &Rule) -> bool {
    let is_shared = match (one.ports(), other.ports()) {
        (Some(one), Some(other)) => one.shared(other).is_some(),
        _ => true,
    };
    one.hook == other.hook && is_shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Protocol,
        host::HostNetwork,
        model::{
            Forward, RulesetPart, RulesetSpec,
            tests::{device, forward, nets},
        },
        rules::rules,
    };

    fn sizes(parts: Vec<Forward>) -> Vec<usize> {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        for part in parts {
            ruleset.add(RulesetPart::Forward(part)).unwrap();
        }
        let made = rules(&ruleset, &HostNetwork::default()).unwrap();
        groups(&made.all).iter().map(Vec::len).collect()
    }

    fn many(count: u16, change: impl Fn(u16, &mut Forward)) -> Vec<Forward> {
        let parts = (0..count).map(|one| {
            let mut part = forward(&format!("{}", 2000 + one), "10.0.0.5");
            change(one, &mut part);
            part
        });
        parts.collect()
    }

    #[test]
    fn many_forwards_alike_are_one_map() {
        assert_eq!(sizes(many(500, |_, _| {})), [500]);
        assert_eq!(sizes(many(7, |_, _| {})), [1; 7]);
        // Of each protocol, interface, and kind of target.
        let mixed = many(40, |one, part| {
            if one % 2 == 0 {
                part.protocol = Protocol::Udp;
            }
            if one % 4 < 2 {
                part.to_port = crate::check::Ports::parse("80").ok();
            }
        });
        assert_eq!(sizes(mixed), [10; 4]);
        let few = many(20, |one, part| {
            if one % 3 == 0 {
                part.device = Some(device("wan1"));
            }
        });
        assert_eq!(sizes(few).iter().max(), Some(&13));
    }

    #[test]
    fn a_rule_passes_no_other_of_the_same_port() {
        // The second leads a port of the last to another host for some.
        let mut parts = many(8, |_, _| {});
        let from = Some(nets("203.0.113.0/24"));
        parts.push(Forward { from, ..forward("3000", "10.0.0.6") });
        parts.push(forward("3000", "10.0.0.5"));
        assert_eq!(sizes(parts), [8, 1, 1]);
    }
}
