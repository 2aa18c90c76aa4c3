//! Rules of other programs that would drop the traffic of a ruleset, and the commands that mend this: pure.

use super::{
    check::Interface,
    host::HostNetwork,
    listing::FilterTable,
    remedies::{DropPlace, TableOwner, line, remedies},
    rules::{CompiledRules, Hook, Match, RuleAction},
    ways::{ConnectionPath, PathKind},
};
use portolan_core::observe::visible::visible;

/// A warning for the user before rules are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its topic: `blocked`, `conflict`, `legacy`, `interface`, `idle`, `isolate`, `trial`, `refused`,
    /// `backend`, `address`, `uplink`, `hidden` or `clamp`.
    pub about: &'static str,
    /// The problem.
    pub text: String,
    /// The command that mends it; empty if there is none.
    pub remedy: String,
}

impl Warning {
    /// Returns both in one line.
    pub fn words(&self) -> String {
        let Self { text, remedy, .. } = self;
        if remedy.is_empty() { text.clone() } else { format!("{text}; run: {remedy}") }
    }
}

impl TableOwner {
    /// Returns its name, as warnings have it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
            Self::Libvirt => "libvirt",
            Self::Portolan => "another ruleset of portolan",
            Self::Iptables => "iptables or another script",
            Self::Other => "another script",
        }
    }

    /// Returns the owner of a table, by its name and its chains.
    pub(super) fn of(table: &FilterTable) -> Self {
        match table.name.as_str() {
            "firewalld" => Self::Firewalld,
            "docker-bridges" => Self::Docker,
            name if name.starts_with("libvirt") => Self::Libvirt,
            name if name.starts_with("portolan_") => Self::Portolan,
            _ if table.has_chain(|name| name == "DOCKER-USER") => Self::Docker,
            _ if table.has_chain(|name| name.starts_with("ufw-") || name.starts_with("ufw6-")) => {
                Self::Ufw
            }
            _ if table.has_chain(|name| name.starts_with("LIBVIRT_")) => Self::Libvirt,
            name if ["filter", "nat", "mangle", "raw", "security"].contains(&name)
                && table.family.starts_with("ip") =>
            {
                Self::Iptables
            }
            _ => Self::Other,
        }
    }
}

/// Returns the owner of a table, in words.
pub(super) fn owner_of(table: &FilterTable) -> &'static str {
    TableOwner::of(table).as_str()
}

/// The effects of other people's rules on a ruleset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ForeignEffects {
    /// The warnings about them.
    pub(super) warnings: Vec<Warning>,
    /// The rules that lead ports elsewhere which they name: the ruleset is refused without `force`.
    pub(super) conflicts: Vec<String>,
}

/// Returns a warning for every foreign chain that drops by default what the ruleset should pass, as it is written: used
/// where nothing can be tried. An accept in one table does not overrule a drop in another: only the owner of that table
/// can change it.
pub(super) fn blockers(
    everything: &[FilterTable],
    own: &str,
    ways: &[ConnectionPath],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for table in everything.iter().filter(|table| table.name != own) {
        for chain in &table.chains {
            let Some(place) = chain.hook.as_ref().filter(|place| place.kind == "filter") else {
                continue;
            };
            let concerned: Vec<_> = ways
                .iter()
                .filter(|way| match place.hook.as_str() {
                    "forward" => way.kind != PathKind::Here,
                    "input" => way.kind == PathKind::Here,
                    _ => false,
                })
                .collect();
            let how = match (place.policy.as_str(), chain.ends_in_a_drop()) {
                ("drop", _) => "policy drop",
                (_, true) => "its last rule",
                _ => continue,
            };
            if !concerned.is_empty() {
                let place = DropPlace {
                    owner: TableOwner::of(table),
                    family: visible(&table.family),
                    table: visible(&table.name),
                    chain: visible(&chain.name),
                    hook: place.hook.clone(),
                    is_legacy: false,
                };
                let best = |way: &&ConnectionPath| remedies(&place, way).into_iter().next();
                let commands = concerned.iter().filter_map(best).flat_map(|remedy| remedy.shown);
                let is_here = place.hook == "input";
                warnings.push(blocked(&place, &by_default(is_here, how), line(commands)));
            }
        }
    }
    warnings
}

/// Returns the words for a chain that drops everything that no rule accepts.
pub(super) fn by_default(is_here: bool, how: &str) -> String {
    let what = if is_here { "connections to this machine" } else { "forwarded traffic" };
    format!("drops {what} by default ({how})")
}

/// Returns the warning for a place that drops, and the commands that mend it.
pub(super) fn blocked(place: &DropPlace, does: &str, remedy: String) -> Warning {
    let DropPlace { owner, family, table, chain, .. } = place;
    let text = format!(
        "{family} {table} {chain} ({}) {does}; an accept in portolan's table cannot overrule it",
        owner.as_str()
    );
    Warning { about: "blocked", text, remedy }
}

/// Warns that an isolated ruleset drops Docker's traffic as well: Docker's accept does not overrule portolan's drop. A
/// ruleset with a forward lets all translated connections pass, those of published ports among them.
pub(super) fn also_dropped(
    everything: &[FilterTable],
    rules: &CompiledRules,
    here: &HostNetwork,
) -> Option<Warning> {
    let drop =
        rules.all.iter().find(|one| one.hook == Hook::Forward && one.action == RuleAction::Drop)?;
    if rules.all.iter().any(|one| matches!(one.action, RuleAction::Dnat(_))) {
        return None;
    }
    let devices = drop.matches.iter().find_map(|one| match one {
        Match::In(devices) => Some(devices),
        _ => None,
    })?;
    everything.iter().find(|table| TableOwner::of(table) == TableOwner::Docker)?;
    let names: Vec<_> = devices.iter().map(Interface::as_str).collect();
    // Clients of published ports come in where packets leave.
    let leaves = rules.all.iter().flat_map(|rule| &rule.matches).find_map(|one| match one {
        Match::Out(device) => Some(device.as_str()),
        _ => None,
    });
    let outer = here.default_device.as_deref().or(leaves).filter(|name| names.contains(name));
    let outer = outer.or(names.first().copied())?;
    let text = format!(
        "`isolate` drops what comes in by {} for docker's containers as well: `rules.allow(#{{ in: \"{outer}\", out: \
         \"docker0\" }})` lets it pass",
        names.join(" and ")
    );
    Some(Warning { about: "isolate", text, remedy: String::new() })
}

/// Warns of tables registered by legacy iptables: nft does not show their rules, which are in force nevertheless.
pub(super) fn legacy(names4: &str, names6: &str) -> Option<Warning> {
    let names: Vec<_> = names4.split_whitespace().chain(names6.split_whitespace()).collect();
    if names.is_empty() {
        return None;
    }
    let text = format!(
        "iptables-legacy has tables here ({}), which nft does not show and which may drop or translate all the same",
        visible(names.join(", "))
    );
    Some(Warning { about: "legacy", text, remedy: "iptables-legacy-save".into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        listing::tables,
        remedies::tests::through,
        rules::{DnatTarget, Rule},
    };

    #[track_caller]
    fn expect(listing: &str, text: &str, remedy: &str) {
        let found = blockers(&tables(listing), "portolan_x", &[through()]);
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert!(found.text.starts_with(text), "{found:?}");
        assert_eq!(found.remedy, remedy);
    }

    #[test]
    fn each_owner_of_a_drop_is_told_in_its_own_words() {
        let forward = |family: &str,
                       table: &str,
                       chain: &str,
                       policy: &str,
                       rules: &str,
                       more: &str| {
            format!(
                "table {family} {table} {{\n\tchain {chain} {{\n\t\ttype filter hook forward priority 0; policy \
                 {policy};\n{rules}\t}}\n{more}}}\n"
            )
        };
        expect(
            &forward("ip", "filter", "FORWARD", "drop", "", "\tchain DOCKER-USER {\n\t}\n"),
            "ip filter FORWARD (docker) drops forwarded traffic by default (policy drop)",
            "iptables -I DOCKER-USER -i lan0 -o wan0 -s 192.168.0.0/24 -j ACCEPT && iptables -I DOCKER-USER -i wan0 -o \
             lan0 -d 192.168.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        );
        expect(
            &forward("ip", "filter", "FORWARD", "drop", "", "\tchain ufw-user-forward {\n\t}\n"),
            "ip filter FORWARD (ufw)",
            "ufw route allow in on lan0 out on wan0 from 192.168.0.0/24 to any",
        );
        expect(
            &forward("ip", "filter", "FORWARD", "drop", "", ""),
            "ip filter FORWARD (iptables or another script)",
            "iptables -I FORWARD -i lan0 -o wan0 -s 192.168.0.0/24 -j ACCEPT && iptables -I FORWARD -i wan0 -o lan0 -d \
             192.168.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        );
        expect(
            &forward(
                "inet",
                "firewalld",
                "filter_FORWARD",
                "accept",
                "\t\treject with icmpx admin-prohibited\n",
                "",
            ),
            "inet firewalld filter_FORWARD (firewalld) drops forwarded traffic by default (its last rule)",
            "{ firewall-cmd --permanent --info-policy=portolan-lan0-wan0 >/dev/null 2>&1 || firewall-cmd --permanent \
             --new-policy=portolan-lan0-wan0; } && firewall-cmd --permanent --policy=portolan-lan0-wan0 \
             --add-ingress-zone=$(firewall-cmd --get-zone-of-interface=lan0 2>/dev/null || echo ANY) && firewall-cmd \
             --permanent --policy=portolan-lan0-wan0 --add-egress-zone=$(firewall-cmd --get-zone-of-interface=wan0 \
             2>/dev/null || echo ANY) && firewall-cmd --permanent --policy=portolan-lan0-wan0 --add-rich-rule='rule \
             family=ipv4 source address=192.168.0.0/24 accept' && firewall-cmd --reload",
        );
        expect(
            &forward("inet", "mine", "through", "accept", "\t\tcounter drop\n", ""),
            "inet mine through (another script)",
            "nft insert rule inet mine through iifname '\"lan0\"' oifname '\"wan0\"' ip saddr 192.168.0.0/24 accept && nft \
             insert rule inet mine through iifname '\"wan0\"' oifname '\"lan0\"' ip daddr 192.168.0.0/24 ct state \
             established,related accept",
        );
        expect(
            &forward("inet", "portolan_y", "forward", "accept", "\t\tdrop\n", ""),
            "inet portolan_y",
            "",
        );
    }

    #[test]
    fn a_drop_of_ours_that_is_dockers_as_well_is_told() {
        let device = |name| Interface::parse(name).unwrap();
        let rule = Rule {
            hook: Hook::Forward,
            family: None,
            matches: vec![Match::In(vec![device("lan0"), device("wan0")])],
            action: RuleAction::Drop,
            note: String::new(),
        };
        let isolated = CompiledRules { all: vec![rule.clone()], ..CompiledRules::default() };
        let docker = tables("table ip filter {\n\tchain DOCKER-USER {\n\t}\n}\n");
        let wan = Some("wan0".to_owned());
        let here = HostNetwork { default_device: wan, ..HostNetwork::default() };
        let told = also_dropped(&docker, &isolated, &here).unwrap().text;
        assert!(told.contains("by lan0 and wan0") && told.contains("in: \"wan0\", out:"), "{told}");
        assert_eq!(also_dropped(&docker, &CompiledRules::default(), &here), None);
        assert_eq!(also_dropped(&[], &isolated, &here), None);
        let address = "10.0.0.5".parse().unwrap();
        let action = RuleAction::Dnat(DnatTarget { address, port: None });
        let forward = Rule { hook: Hook::Prerouting, matches: Vec::new(), action, ..rule.clone() };
        let forwarding = CompiledRules { all: vec![forward, rule], ..CompiledRules::default() };
        assert_eq!(also_dropped(&docker, &forwarding, &here), None);
    }

    #[test]
    fn what_does_not_drop_ours_is_not_named() {
        let listing = "table inet portolan_x {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy \
                       accept;\n\t\tdrop\n\t}\n}\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input \
                       priority 0; policy drop;\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; \
                       policy accept;\n\t}\n}\n";
        assert_eq!(blockers(&tables(listing), "portolan_x", &[through()]), []);
        assert_eq!(legacy("", "\n"), None);
        assert!(legacy("nat\nfilter\n", "").unwrap().text.contains("(nat, filter)"));
    }
}
