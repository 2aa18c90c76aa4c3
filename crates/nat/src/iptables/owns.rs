//! Rulesets in iptables syntax: pure.
//!
//! A ruleset has a chain of its own for each hook where it has rules, and one jump to it from the kernel's chain. The
//! text format is that of `iptables-save`, restricted to portolan's part, with IPv6 below the line `# ip6`. The input
//! to iptables consists of the steps from one such text to another: rules of other programs are never written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::names::{Age, ChainNames};
use crate::{
    chains::{Chains, Shape, filled},
    check::Family,
    rules::Hook,
};

/// The line between the families, which is a comment to iptables.
pub(super) const SIX: &str = "# ip6";
/// The format of a UTC time in rules.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S";

/// The period in which the gate of a trial leads to the new rules: from one whole second to another, both included. It
/// has a beginning so that a clock that is set back ends the trial, or makes it at most twice as long.
pub(super) type Span = (Timestamp, Timestamp);

/// The part of one table that belongs to a ruleset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Its chains, each with its rules.
    pub(super) chains: BTreeMap<String, Vec<String>>,
    /// The jumps to them, each as the kernel's chain and the rule.
    pub(super) jumps: Vec<(String, String)>,
}

/// All parts of a ruleset, by family and table.
pub(super) type Owns = BTreeMap<(Family, String), Own>;

/// A line of the output of `iptables-save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SavedLine<'t> {
    /// A chain and its policy; `-` if it has none.
    Chain(&'t str, &'t str),
    /// A chain and one of its rules.
    Rule(&'t str, &'t str),
}

/// Returns the lines of portolan's text or of `iptables-save`, each with its family and table.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (Family, &str, SavedLine<'_>)> {
    let (mut family, mut table) = (Family::V4, "");
    text.lines().filter_map(move |line| {
        if line == SIX {
            family = Family::V6;
        }
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        }
        let found = if let Some(chain) = line.strip_prefix(':') {
            let (chain, policy) = chain.split_once(' ').unwrap_or((chain, ""));
            SavedLine::Chain(chain, policy.split(' ').next().unwrap_or(policy))
        } else {
            let rule = line.strip_prefix("-A ")?;
            let (chain, rule) = rule.split_once(' ').unwrap_or((rule, ""));
            SavedLine::Rule(chain, rule)
        };
        Some((family, table, found))
    })
}

/// Returns the parts of a text that belong to the ruleset.
pub(super) fn own(text: &str, names: &ChainNames) -> Owns {
    let jumps: BTreeMap<_, _> = Hook::ALL
        .into_iter()
        .map(|hook| ((hook.table(), hook.entry()), names.jump(hook)))
        .collect();
    let mut owns = Owns::new();
    for (family, table, line) in lines(text) {
        let key = || (family, table.to_owned());
        match line {
            SavedLine::Chain(chain, _) if names.hook(table, chain).is_some() => {
                owns.entry(key()).or_default().chains.entry(chain.to_owned()).or_default();
            }
            SavedLine::Rule(chain, rule) if names.hook(table, chain).is_some() => {
                let own = owns.entry(key()).or_default();
                own.chains.entry(chain.to_owned()).or_default().push(rule.to_owned());
            }
            SavedLine::Rule(chain, rule)
                if jumps.get(&(table, chain)).is_some_and(|jump| jump == rule) =>
            {
                owns.entry(key()).or_default().jumps.push((chain.to_owned(), rule.to_owned()));
            }
            _ => {}
        }
    }
    // The kernel's chains are listed in an order that depends on the variant of iptables.
    for own in owns.values_mut() {
        own.jumps.sort();
    }
    owns
}

/// Renders them as text; the text is empty if there are none.
pub(super) fn text(owns: &Owns) -> String {
    let mut text = String::new();
    for family in [Family::V4, Family::V6] {
        if family == Family::V6 && owns.keys().any(|(family, _)| *family == Family::V6) {
            writeln!(text, "{SIX}").ok();
        }
        for ((_, table), own) in owns.iter().filter(|((of, _), _)| *of == family) {
            writeln!(text, "*{table}").ok();
            for chain in own.chains.keys() {
                writeln!(text, ":{chain} - [0:0]").ok();
            }
            for (chain, jump) in &own.jumps {
                writeln!(text, "-A {chain} {jump}").ok();
            }
            rules(&mut text, own);
            text.push_str("COMMIT\n");
        }
    }
    text
}

fn rules(text: &mut String, own: &Own) {
    for (chain, rules) in &own.chains {
        for rule in rules {
            writeln!(text, "-A {chain} {rule}").ok();
        }
    }
}

/// Returns the steps from `found` to `wanted`, for `iptables-restore --noflush`; empty if there are none. The chains of
/// `wanted` are filled anew, existing jumps stay where they are, and new ones are inserted first, so that no earlier
/// rule accepts a packet that portolan drops.
pub(super) fn steps(found: &Owns, wanted: &Owns) -> String {
    let nothing = Own::default();
    let keys: BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    let mut texts = [String::new(), String::new()];
    for key @ (family, table) in keys {
        let before = found.get(key).unwrap_or(&nothing);
        let after = wanted.get(key).unwrap_or(&nothing);
        if before != after {
            let [four, six] = &mut texts;
            let text = if *family == Family::V4 { four } else { six };
            writeln!(text, "*{table}").ok();
            of_table(text, before, after);
            text.push_str("COMMIT\n");
        }
    }
    let [four, six] = texts;
    if six.is_empty() { four } else { format!("{four}{SIX}\n{six}") }
}

fn of_table(text: &mut String, before: &Own, after: &Own) {
    for chain in before.chains.keys().chain(after.chains.keys()).collect::<BTreeSet<_>>() {
        // Creates the chain, and empties it if it exists.
        writeln!(text, ":{chain} - [0:0]").ok();
    }
    let mut missing = after.jumps.clone();
    for jump @ (chain, rule) in &before.jumps {
        match missing.iter().position(|one| one == jump) {
            Some(at) => drop(missing.remove(at)),
            None => writeln!(text, "-D {chain} {rule}").unwrap_or_default(),
        }
    }
    for (chain, rule) in missing {
        writeln!(text, "-I {chain} {rule}").ok();
    }
    rules(text, after);
    for chain in before.chains.keys().filter(|chain| !after.chains.contains_key(*chain)) {
        writeln!(text, "-X {chain}").ok();
    }
}

/// Returns `chains` with a jump to each.
pub(super) fn plain(names: &ChainNames, chains: &Chains) -> Owns {
    let mut owns = Owns::new();
    for ((hook, family), rules) in chains {
        let own = entered(&mut owns, names, *hook, family.unwrap_or(Family::V4));
        own.chains.insert(names.chain(*hook, Age::Now), rules.clone());
    }
    owns
}

/// Returns both rulesets: a gate leads to the new one during `span`, and otherwise to `closed` and the old one. The
/// kernel compares the time for each packet, so that no process of portolan has to be alive.
pub(super) fn trial(
    names: &ChainNames,
    new: &Chains,
    old: &Chains,
    closed: &Chains,
    (from, until): Span,
) -> Owns {
    let word = |at: Timestamp| at.to_zoned(TimeZone::UTC).strftime(MOMENT).to_string();
    let span = format!("-m time --datestart {} --datestop {}", word(from), word(until));
    let all: BTreeSet<_> = new.keys().chain(old.keys()).chain(closed.keys()).copied().collect();
    let mut owns = Owns::new();
    for key @ (hook, family) in all {
        let own = entered(&mut owns, names, hook, family.unwrap_or(Family::V4));
        let [now, then, before] = Age::ALL.map(|age| names.chain(hook, age));
        let mut gate = vec![format!("{span} -g {then}")];
        gate.extend(closed.get(&key).into_iter().flatten().cloned());
        gate.push(format!("-g {before}"));
        own.chains.insert(now, gate);
        own.chains.insert(then, new.get(&key).cloned().unwrap_or_default());
        own.chains.insert(before, old.get(&key).cloned().unwrap_or_default());
    }
    owns
}

fn entered<'o>(owns: &'o mut Owns, names: &ChainNames, hook: Hook, family: Family) -> &'o mut Own {
    let own = owns.entry((family, hook.table().to_owned())).or_default();
    own.jumps.push((hook.entry().to_owned(), names.jump(hook)));
    // Sorted as `own` does.
    own.jumps.sort();
    own
}

/// Classifies them; `now` is the time of day.
pub(super) fn shape(owns: &Owns, names: &ChainNames, now: Timestamp) -> Shape {
    let owns = &in_force(owns);
    let [rules, new, old] = Age::ALL.map(|age| of_age(owns, names, age));
    if new.is_empty() && old.is_empty() {
        // A chain without its jump, or an extra jump, was not made by portolan.
        let is_whole = plain(names, &rules) == *owns;
        return if is_whole { Shape::Plain(rules) } else { Shape::Strange };
    }
    let span = rules.values().flatten().find_map(|rule| span(rule));
    // The rules between the jumps to the new and to the old ones.
    let closed = rules.into_iter().map(|(key, mut gate)| {
        gate.pop();
        (key, gate.into_iter().skip(1).collect())
    });
    let closed = closed.collect();
    match span.filter(|span| trial(names, &new, &old, &closed, *span) == *owns) {
        None => Shape::Strange,
        Some((from, until)) => {
            let now = now.as_second();
            let is_over = now < from.as_second() || until.as_second() < now;
            Shape::Trial { new: filled(new), old: filled(old), is_over }
        }
    }
}

/// Returns what is left of them without chains that another program has flushed together with the jumps to them, as
/// `iptables -F` does.
fn in_force(owns: &Owns) -> Owns {
    let is_flushed = |own: &Own| own.jumps.is_empty() && own.chains.values().all(Vec::is_empty);
    owns.iter()
        .filter(|(_, own)| !is_flushed(own))
        .map(|(k, own)| (k.clone(), own.clone()))
        .collect()
}

fn of_age(owns: &Owns, names: &ChainNames, age: Age) -> Chains {
    let mut chains = Chains::new();
    for ((family, table), own) in owns {
        for (chain, rules) in &own.chains {
            if let Some((hook, _)) = names.hook(table, chain).filter(|(_, one)| *one == age) {
                chains.insert((hook, Some(*family)), rules.clone());
            }
        }
    }
    chains
}

/// Returns the period in which a gate leads to the new rules.
fn span(rule: &str) -> Option<Span> {
    let moment = |text: &str| {
        let zoned = DateTime::strptime(MOMENT, text).ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    };
    let words: Vec<_> = rule.split(' ').collect();
    match words.as_slice() {
        ["-m", "time", "--datestart", from, "--datestop", until, ..] => {
            Some((moment(from)?, moment(until)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: &str = "\
*nat
:PORTOLAN_office_POST - [0:0]
:PORTOLAN_office_PRE - [0:0]
-A POSTROUTING -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_POST
-A PREROUTING -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_PRE
-A PORTOLAN_office_POST -o wan -j MASQUERADE
-A PORTOLAN_office_PRE -i wan -j DNAT --to-destination 10.0.0.1
COMMIT
# ip6
*filter
:PORTOLAN_office_IN - [0:0]
-A INPUT -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_IN
-A PORTOLAN_office_IN -j DROP
COMMIT
";

    fn names() -> ChainNames {
        ChainNames::of("portolan_office")
    }

    fn office() -> Owns {
        own(OFFICE, &names())
    }

    fn chains(rules: &[(Hook, &str)]) -> Chains {
        let key = |hook: &Hook| (*hook, Some(Family::V4));
        rules.iter().map(|(hook, rule)| (key(hook), vec![(*rule).to_owned()])).collect()
    }

    #[test]
    fn what_is_ours_is_found_among_the_rest_and_written_as_it_was() {
        let others = OFFICE.replace(
            "*nat\n",
            "# Warning: iptables-legacy tables present\n*nat\n:PREROUTING ACCEPT [5:300]\n:PORTOLAN_off_PRE - \
             [0:0]\n-A PREROUTING -j PORTOLAN_office_PRE\n-A PORTOLAN_off_PRE -j PORTOLAN_office_PRE\n",
        );
        assert_eq!(text(&own(&others, &names())), OFFICE);
        assert_eq!(text(&own("", &names())), "");
        assert_eq!(own(OFFICE, &ChainNames::of("portolan_off")), Owns::new());
    }

    #[test]
    fn a_plain_ruleset_comes_back_from_its_text() {
        let rules = chains(&[
            (Hook::Prerouting, "-j DNAT"),
            (Hook::Helper, "-j CT"),
            (Hook::Input, "-j DROP"),
        ]);
        let owns = plain(&names(), &rules);
        assert_eq!(own(&text(&owns), &names()), owns);
        assert_eq!(shape(&owns, &names(), Timestamp::UNIX_EPOCH), Shape::Plain(rules));
    }

    #[test]
    fn a_trial_ends_with_its_moment() {
        let new = chains(&[(Hook::Prerouting, "-j DNAT")]);
        let old = chains(&[(Hook::Postrouting, "-j MASQUERADE")]);
        let closed = chains(&[(Hook::Forward, "-i lan -j DROP")]);
        let [from, until] =
            [1_764_158_340, 1_764_158_400].map(|second| Timestamp::from_second(second).unwrap());
        let owns = trial(&names(), &new, &old, &closed, (from, until));
        let text = text(&owns);
        let gate = "-A PORTOLAN_office_PRE -m time --datestart 2025-11-26T11:59:00 --datestop 2025-11-26T12:00:00 -g PORTOLAN_office_PRE1\n\
                    -A PORTOLAN_office_PRE -g PORTOLAN_office_PRE0\n";
        assert!(text.contains(gate), "{text}");
        let shut = "-g PORTOLAN_office_FWD1\n-A PORTOLAN_office_FWD -i lan -j DROP\n\
                    -A PORTOLAN_office_FWD -g PORTOLAN_office_FWD0\n";
        assert!(text.contains(shut), "{text}");
        for (second, is_over) in [(-61, true), (-60, false), (0, false), (1, true)] {
            let now = Timestamp::from_second(until.as_second() + second).unwrap();
            let wanted = Shape::Trial { new: new.clone(), old: old.clone(), is_over };
            assert_eq!(shape(&own(&text, &names()), &names(), now), wanted, "{second}");
        }
        let changed = text.replace("-A PORTOLAN_office_PRE -g PORTOLAN_office_PRE0\n", "");
        assert_eq!(shape(&own(&changed, &names()), &names(), until), Shape::Strange);
    }

    #[test]
    fn what_others_have_changed_is_strange() {
        let jump = "-A PREROUTING -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_PRE\n";
        let twice = OFFICE.replace(jump, &jump.repeat(2));
        for changed in [
            &OFFICE.replace(jump, ""),
            &twice,
            &OFFICE.replace(":PORTOLAN_office_IN ", ":PORTOLAN_office_FWD0 "),
        ] {
            let owns = own(changed, &names());
            assert_eq!(shape(&owns, &names(), Timestamp::UNIX_EPOCH), Shape::Strange, "{changed}");
        }
    }

    #[test]
    fn what_others_have_flushed_is_gone_but_not_foreign() {
        let flushed =
            OFFICE.lines().filter(|line| !line.starts_with("-A ") || line.contains("_IN"));
        let flushed: Vec<_> = flushed.collect();
        let owns = own(&flushed.join("\n"), &names());
        let Shape::Plain(rules) = shape(&owns, &names(), Timestamp::UNIX_EPOCH) else {
            panic!("{owns:?}")
        };
        assert_eq!(rules.len(), 1);
        assert!(steps(&owns, &office()).contains("-I POSTROUTING "));
        let all = own(&OFFICE.replace("-A ", "# "), &names());
        assert_eq!(shape(&all, &names(), Timestamp::UNIX_EPOCH), Shape::Plain(Chains::new()));
    }

    #[test]
    fn the_steps_write_nothing_but_what_is_ours() {
        assert_eq!(steps(&office(), &office()), "");
        let made = steps(&Owns::new(), &office());
        assert_eq!(
            made,
            OFFICE
                .replace("-A P", "-I P")
                .replace("-A I", "-I I")
                .replace("-I PORTOLAN", "-A PORTOLAN")
        );
        let gone = "\
*nat
:PORTOLAN_office_POST - [0:0]
:PORTOLAN_office_PRE - [0:0]
-D POSTROUTING -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_POST
-D PREROUTING -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_PRE
-X PORTOLAN_office_POST
-X PORTOLAN_office_PRE
COMMIT
# ip6
*filter
:PORTOLAN_office_IN - [0:0]
-D INPUT -m comment --comment \"portolan:ruleset office\" -j PORTOLAN_office_IN
-X PORTOLAN_office_IN
COMMIT
";
        assert_eq!(steps(&office(), &Owns::new()), gone);
        let other = own(&OFFICE.replace("-o wan", "-o wan0"), &names());
        let changed = "\
*nat
:PORTOLAN_office_POST - [0:0]
:PORTOLAN_office_PRE - [0:0]
-A PORTOLAN_office_POST -o wan0 -j MASQUERADE
-A PORTOLAN_office_PRE -i wan -j DNAT --to-destination 10.0.0.1
COMMIT
";
        assert_eq!(steps(&office(), &other), changed);
    }
}
