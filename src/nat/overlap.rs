//! Ports that lead elsewhere already, by rules of others: pure.

use super::{
    Reason,
    check::{Family, Net, Ports},
    listing::{Chain, Table},
    rules::{Action, Match, Rule, Rules},
};
use crate::{fault::Outcome, observe::visible::visible};

/// Fails with `nat.conflict` where a rule of others sends one of the ports of `rules` elsewhere: whichever is asked first
/// would take it from the other. `is_own` knows a table and chain of the ruleset's own.
pub(super) fn check(
    everything: &[Table],
    is_own: impl Fn(&str, &str) -> bool,
    rules: &Rules,
) -> Outcome<()> {
    for table in everything {
        let others = table.chains.iter().filter(|chain| !is_own(&table.name, &chain.name));
        for chain in others.filter(|chain| leads_in(chain)) {
            for line in &chain.rules {
                let Some((port, rule)) = taken(line, &table.family, &rules.all) else { continue };
                let place = [&table.family, &table.name, &chain.name].map(visible).join(" ");
                return Err(Reason::Conflict.fault(format!(
                    "`{}` takes port {port}, which {place} leads elsewhere: {}; `force` does it all the same",
                    rule.note,
                    visible(line)
                )));
            }
        }
    }
    Ok(())
}

/// Whether connections of others come to a chain: not by the hook of what begins here.
fn leads_in(chain: &Chain) -> bool {
    chain.hook.as_ref().is_none_or(|place| place.hook == "prerouting")
}

/// The port that a line of a listing and one of `rules` both send elsewhere, and that rule.
fn taken<'r>(line: &str, family: &str, rules: &'r [Rule]) -> Option<(u16, &'r Rule)> {
    let line = line.split(" comment \"").next().unwrap_or(line);
    let words: Vec<_> = line.split_whitespace().collect();
    // In the words of either filter.
    let at = words.iter().position(|word| *word == "dnat" || *word == "DNAT")?;
    let (wanted, _) = words.split_at(at);
    let asked = [&["tcp", "dport"][..], &["--dport"], &["--dports"]];
    let ports = ports(asked.iter().find_map(|asked| behind(wanted, asked))?)?;
    let device = behind(wanted, &["iifname"]).or(behind(wanted, &["-i"]));
    let device = device.and_then(|rest| rest.first()).map(|word| word.trim_matches('"'));
    let device = device.filter(|_| behind(wanted, &["!", "-i"]).is_none());
    let daddr = behind(wanted, &["daddr"])
        .or(behind(wanted, &["-d"]))
        .and_then(|rest| Net::parse(rest.first()?).ok());
    let is_own_family = |rule: &Rule| match family {
        "ip" => rule.family != Some(Family::V6),
        "ip6" => rule.family != Some(Family::V4),
        _ => true,
    };
    let fits = |rule: &&Rule| {
        let devices = rule.matches.iter().find_map(|one| match one {
            Match::In(devices) => Some(devices),
            _ => None,
        });
        let is_apart = device.zip(devices).is_some_and(|(device, devices)| {
            // A set or a negation is not read any further.
            device.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
                && devices.iter().all(|own| own.as_str() != device)
        });
        let destination = rule.matches.iter().find_map(|one| match one {
            Match::Destination(net) => Some(*net),
            _ => None,
        });
        let is_elsewhere = daddr
            .zip(destination)
            .is_some_and(|(one, other)| !one.has(other.address()) && !other.has(one.address()));
        matches!(rule.action, Action::Dnat(_)) && is_own_family(rule) && !is_apart && !is_elsewhere
    };
    rules.iter().filter(fits).find_map(|rule| {
        let own = rule.matches.iter().find_map(|one| match one {
            Match::Ports(own) => Some(own),
            _ => None,
        })?;
        Some((ports.shared(own)?, rule))
    })
}

/// What stands behind these words.
fn behind<'w>(words: &'w [&'w str], wanted: &[&str]) -> Option<&'w [&'w str]> {
    let at = words.windows(wanted.len()).position(|some| some == wanted)?;
    words.get(at + wanted.len()..)
}

/// `80`, `80-90` or `{ 80, 443 }`; of iptables, `80:90` or `80,443`.
fn ports(words: &[&str]) -> Option<Ports> {
    let text = match words {
        ["{", rest @ ..] => {
            rest.iter().take_while(|word| **word != "}").copied().collect::<String>()
        }
        [one, ..] => (*one).to_owned(),
        [] => return None,
    };
    Ports::parse(&text.replace(':', "-")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::{
        here::Here,
        listing::tables,
        model::{Forward, Part, Ruleset, tests::forward},
        rules::rules,
    };

    fn judged(family: &str, line: &str) -> Option<String> {
        let mut ruleset = Ruleset::new("x").unwrap();
        let external = "203.0.113.1".parse().ok();
        let part = Forward { external, ..forward("21,50000-50009", "10.0.0.5") };
        ruleset.add(Part::Forward(part)).unwrap();
        let made = rules(&ruleset, &Here::default()).unwrap();
        let listing = format!("table {family} nat {{\n\tchain DOCKER {{\n\t\t{line}\n\t}}\n}}\n");
        check(&tables(&listing), |table, _| table == "portolan_x", &made)
            .err()
            .map(|fault| fault.message)
    }

    #[test]
    fn a_port_that_leads_elsewhere_already_is_named() {
        let fault =
            judged("ip", "iifname != \"docker0\" tcp dport 50005 counter dnat to 172.17.0.2:80");
        let fault = fault.unwrap();
        assert!(
            fault.starts_with(
                "`forward 21, 50000-50009 -> 10.0.0.5 from wan0` takes port 50005, which"
            ),
            "{fault}"
        );
        assert!(fault.contains("ip nat DOCKER leads elsewhere: iifname != \"docker0\""), "{fault}");
        for line in [
            "tcp dport 21 dnat ip to 10.0.0.9 comment \"portolan:forward\"",
            "ip daddr 203.0.113.0/24 tcp dport 21 dnat to 10.0.0.9",
            "iifname \"wan0\" tcp dport { 20, 21 } dnat to 10.0.0.9",
            "tcp dport 1-65535 dnat to 10.0.0.9",
            "! -i docker0 -p tcp -m tcp --dport 21 -j DNAT --to-destination 172.17.0.2:80",
            "-d 203.0.113.1/32 -p tcp -m multiport --dports 20,50000:50001 -j DNAT --to-destination 10.0.0.9",
        ] {
            assert!(judged("inet", line).is_some(), "{line}");
        }
    }

    #[test]
    fn what_is_apart_is_no_conflict() {
        for (family, line) in [
            ("ip6", "tcp dport 21 dnat to [fd00::9]:21"),
            ("ip", "iifname \"wan1\" tcp dport 21 dnat to 10.0.0.9"),
            ("ip", "ip daddr 203.0.113.2 tcp dport 21 dnat to 10.0.0.9"),
            ("ip", "-i wan1 -p tcp -m tcp --dport 21 -j DNAT --to-destination 10.0.0.9"),
            ("ip", "udp dport 21 dnat to 10.0.0.9"),
            ("ip", "tcp dport 22 dnat to 10.0.0.9"),
            ("ip", "tcp dport 21 accept comment \" dnat \""),
            ("ip", "tcp dport 21 masquerade"),
        ] {
            assert_eq!(judged(family, line), None, "{line}");
        }
    }
}
