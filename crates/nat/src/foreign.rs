//! Rules of other programs that would drop the traffic of a ruleset, and the commands that mend this: pure.

use super::{
    check::Interface,
    listing::{Chain, FilterTable},
    rules::{CompiledRules, ForwardPath, Hook, Match, RuleAction},
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

/// The program that maintains a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableOwner {
    Docker,
    Ufw,
    Firewalld,
    Libvirt,
    Portolan,
    Iptables,
    Other,
}

impl TableOwner {
    const fn word(self) -> &'static str {
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

    fn of(table: &FilterTable) -> Self {
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

/// Returns a warning for every foreign chain that drops by default what `rules` should pass. An accept in one table
/// does not overrule a drop in another: only the owner of that table can change it.
pub(super) fn blockers(
    everything: &[FilterTable],
    own: &str,
    rules: &CompiledRules,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for table in everything.iter().filter(|table| table.name != own) {
        for chain in &table.chains {
            let Some(place) = chain.hook.as_ref().filter(|place| place.kind == "filter") else {
                continue;
            };
            let is_ours = match place.hook.as_str() {
                "forward" => !rules.ways.is_empty(),
                "input" => rules.all.iter().any(|rule| rule.hook == Hook::Input),
                _ => false,
            };
            let how = match (place.policy.as_str(), chain.ends_in_a_drop()) {
                ("drop", _) => "policy drop",
                (_, true) => "its last rule",
                _ => continue,
            };
            if is_ours {
                warnings.push(warning(table, chain, &place.hook, how, rules));
            }
        }
    }
    warnings
}

fn warning(
    table: &FilterTable,
    chain: &Chain,
    hook: &str,
    how: &str,
    rules: &CompiledRules,
) -> Warning {
    let owner = TableOwner::of(table);
    let (family, name, chain) =
        (visible(&table.family), visible(&table.name), visible(&chain.name));
    let what = if hook == "forward" { "forwarded traffic" } else { "connections to this machine" };
    let text = format!(
        "{family} {name} {chain} ({}) drops {what} by default ({how}); an accept in portolan's table cannot overrule it",
        owner.word()
    );
    let commands: Vec<String> = if hook == "forward" {
        rules
            .ways
            .iter()
            .flat_map(|way| forward_remedy(owner, [&family, &name, &chain], way))
            .collect()
    } else {
        input_remedy(owner, [&family, &name, &chain], rules)
    };
    let mut unique: Vec<String> = Vec::new();
    for command in commands {
        if !unique.contains(&command) {
            unique.push(command);
        }
    }
    Warning { about: "blocked", text, remedy: unique.join(" && ") }
}

fn forward_remedy(
    owner: TableOwner,
    [family, table, chain]: [&str; 3],
    way: &ForwardPath,
) -> Vec<String> {
    let words = |from: &str, to: &str| {
        let part = |word: &str, device: &Option<Interface>| {
            device.as_ref().map(|device| format!(" {word} {device}")).unwrap_or_default()
        };
        (part(from, &way.from), part(to, &way.to), part(from, &way.to), part(to, &way.from))
    };
    match owner {
        TableOwner::Docker | TableOwner::Iptables => {
            let program = if family == "ip6" { "ip6tables" } else { "iptables" };
            let chain = if owner == TableOwner::Docker { "DOCKER-USER" } else { chain };
            let (from, to, back_from, back_to) = words("-i", "-o");
            vec![
                format!("{program} -I {chain}{from}{to} -j ACCEPT"),
                format!(
                    "{program} -I {chain}{back_from}{back_to} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                ),
            ]
        }
        TableOwner::Ufw => {
            let (from, to, ..) = words("in on", "out on");
            let source = way.source.map(|source| format!(" from {source}")).unwrap_or_default();
            vec![format!("ufw route allow{from}{to}{source}")]
        }
        TableOwner::Firewalld => {
            let zone = |device: &Option<Interface>| match device {
                Some(device) => format!("$(firewall-cmd --get-zone-of-interface={device})"),
                None => "ANY".into(),
            };
            vec![
                "firewall-cmd --permanent --new-policy=portolan".into(),
                format!(
                    "firewall-cmd --permanent --policy=portolan --set-target=ACCEPT --add-ingress-zone={} \
                     --add-egress-zone={}",
                    zone(&way.from),
                    zone(&way.to)
                ),
                "firewall-cmd --reload".into(),
            ]
        }
        TableOwner::Portolan => Vec::new(),
        TableOwner::Libvirt | TableOwner::Other => {
            let part = |word: &str, device: &Option<Interface>| {
                device.as_ref().map(|device| format!("{word} \"{device}\" ")).unwrap_or_default()
            };
            let (from, to) = (part("iifname", &way.from), part("oifname", &way.to));
            let (back_from, back_to) = (part("iifname", &way.to), part("oifname", &way.from));
            let rule = format!("nft insert rule {family} {table} {chain}");
            vec![
                format!("{rule} {from}{to}accept"),
                format!("{rule} {back_from}{back_to}ct state established,related accept"),
            ]
        }
    }
}

fn input_remedy(
    owner: TableOwner,
    [family, table, chain]: [&str; 3],
    rules: &CompiledRules,
) -> Vec<String> {
    let opened = rules
        .all
        .iter()
        .filter(|rule| rule.hook == Hook::Input && rule.action == RuleAction::Accept);
    let ports = opened.flat_map(|rule| &rule.matches).filter_map(|one| match one {
        Match::Ports(ports) => Some(ports.ranges()),
        _ => None,
    });
    ports
        .flatten()
        .flat_map(|(first, last)| {
            let range = |between: &str| {
                if first == last { first.to_string() } else { format!("{first}{between}{last}") }
            };
            match owner {
                TableOwner::Ufw => vec![format!("ufw allow proto tcp to any port {}", range(":"))],
                TableOwner::Firewalld => vec![
                    format!("firewall-cmd --permanent --add-port={}/tcp", range("-")),
                    "firewall-cmd --reload".into(),
                ],
                TableOwner::Docker | TableOwner::Iptables => {
                    let program = if family == "ip6" { "ip6tables" } else { "iptables" };
                    vec![format!("{program} -I {chain} -p tcp --dport {} -j ACCEPT", range(":"))]
                }
                TableOwner::Portolan => Vec::new(),
                TableOwner::Libvirt | TableOwner::Other => {
                    vec![format!(
                        "nft insert rule {family} {table} {chain} tcp dport {} accept",
                        range("-")
                    )]
                }
            }
        })
        .collect()
}

/// Warns that an isolated ruleset drops Docker's traffic as well: Docker's accept does not overrule portolan's drop.
pub(super) fn also_dropped(everything: &[FilterTable], rules: &CompiledRules) -> Option<Warning> {
    let drop =
        rules.all.iter().find(|one| one.hook == Hook::Forward && one.action == RuleAction::Drop)?;
    let devices = drop.matches.iter().find_map(|one| match one {
        Match::In(devices) => Some(devices),
        _ => None,
    })?;
    everything.iter().find(|table| TableOwner::of(table) == TableOwner::Docker)?;
    let names: Vec<_> = devices.iter().map(Interface::as_str).collect();
    let first = names.first()?;
    let text = format!(
        "`isolate` drops what comes in by {} for docker's containers as well: `rules.allow(#{{ in: \"{first}\", out: \
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
    use crate::{check::Net, listing::tables, rules::Rule};

    fn way() -> CompiledRules {
        let device = |name| Some(Interface::parse(name).unwrap());
        let source = Some(Net::parse("192.168.0.0/24").unwrap());
        CompiledRules {
            ways: vec![ForwardPath { from: device("lan0"), to: device("wan0"), source }],
            ..CompiledRules::default()
        }
    }

    #[track_caller]
    fn expect(listing: &str, text: &str, remedy: &str) {
        let found = blockers(&tables(listing), "portolan_x", &way());
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
            "iptables -I DOCKER-USER -i lan0 -o wan0 -j ACCEPT && iptables -I DOCKER-USER -i wan0 -o lan0 -m conntrack \
             --ctstate RELATED,ESTABLISHED -j ACCEPT",
        );
        expect(
            &forward("ip", "filter", "FORWARD", "drop", "", "\tchain ufw-user-forward {\n\t}\n"),
            "ip filter FORWARD (ufw)",
            "ufw route allow in on lan0 out on wan0 from 192.168.0.0/24",
        );
        expect(
            &forward("ip", "filter", "FORWARD", "drop", "", ""),
            "ip filter FORWARD (iptables or another script)",
            "iptables -I FORWARD -i lan0 -o wan0 -j ACCEPT && iptables -I FORWARD -i wan0 -o lan0 -m conntrack \
             --ctstate RELATED,ESTABLISHED -j ACCEPT",
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
            "firewall-cmd --permanent --new-policy=portolan && firewall-cmd --permanent --policy=portolan \
             --set-target=ACCEPT --add-ingress-zone=$(firewall-cmd --get-zone-of-interface=lan0) \
             --add-egress-zone=$(firewall-cmd --get-zone-of-interface=wan0) && firewall-cmd --reload",
        );
        expect(
            &forward("inet", "mine", "through", "accept", "\t\tcounter drop\n", ""),
            "inet mine through (another script)",
            "nft insert rule inet mine through iifname \"lan0\" oifname \"wan0\" accept && nft insert rule inet mine \
             through iifname \"wan0\" oifname \"lan0\" ct state established,related accept",
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
        let isolated = CompiledRules { all: vec![rule], ..CompiledRules::default() };
        let docker = tables("table ip filter {\n\tchain DOCKER-USER {\n\t}\n}\n");
        let told = also_dropped(&docker, &isolated).unwrap().text;
        assert!(told.contains("by lan0 and wan0") && told.contains("in: \"lan0\", out:"), "{told}");
        assert_eq!(also_dropped(&docker, &CompiledRules::default()), None);
        assert_eq!(also_dropped(&[], &isolated), None);
    }

    #[test]
    fn what_does_not_drop_ours_is_not_named() {
        let listing = "table inet portolan_x {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy \
                       accept;\n\t\tdrop\n\t}\n}\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input \
                       priority 0; policy drop;\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; \
                       policy accept;\n\t}\n}\n";
        assert_eq!(blockers(&tables(listing), "portolan_x", &way()), []);
        assert_eq!(legacy("", "\n"), None);
        assert!(legacy("nat\nfilter\n", "").unwrap().text.contains("(nat, filter)"));
    }
}
