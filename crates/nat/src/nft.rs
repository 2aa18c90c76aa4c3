//! Rules in nftables syntax: pure.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use super::{
    chains::{Chains, Shape, comment},
    check::{Family, Net, Ports, Protocol},
    fold::groups,
    listing::FilterTable,
    rules::{DnatTarget, Hook, Match, Rule, RuleAction},
};

impl Hook {
    /// Returns the name of the chain.
    pub(super) const fn chain(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::HelperLocal => "helper_local",
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Clamp => "clamp",
            Self::Forward => "forward",
            Self::Input => "input",
        }
    }

    /// Returns the hook and its priority. NAT chains run five before the usual priorities: of several rules, the first
    /// that matches wins. nft 1.0.6 does not accept `dstnat` for the output hook.
    const fn place(self) -> &'static str {
        match self {
            Self::Helper => "type filter hook prerouting priority filter",
            Self::HelperLocal => "type filter hook output priority filter",
            Self::Prerouting => "type nat hook prerouting priority dstnat - 5",
            Self::Output => "type nat hook output priority -105",
            Self::Postrouting => "type nat hook postrouting priority srcnat - 5",
            Self::Clamp => "type filter hook forward priority mangle",
            Self::Forward => "type filter hook forward priority filter",
            Self::Input => "type filter hook input priority filter",
        }
    }

    fn of_chain(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.chain() == name)
    }
}

/// Returns the chains for `rules`.
pub(super) fn chains(rules: &[Rule]) -> Chains {
    let mut chains = Chains::new();
    for group in groups(rules) {
        if let Some(first) = group.first() {
            let lines = chains.entry((first.hook, None)).or_default();
            lines.push(if group.len() == 1 { line(first) } else { map_line(first, &group) });
        }
    }
    chains
}

/// Returns the commands that create a table of that name and remove an existing one, in one transaction.
pub(super) fn replacing(table: &str, body: &str) -> String {
    format!("{}{body}", removing(table))
}

/// Returns the commands that remove a table, whether or not it exists. nft 1.0.6 does not know `destroy`.
pub(super) fn removing(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// Renders the complete table.
pub(super) fn table(name: &str, chains: &Chains) -> String {
    let mut text = opening(name, chains.keys().map(|(hook, _)| *hook));
    for ((hook, _), rules) in chains {
        let (chain, place) = (hook.chain(), hook.place());
        write!(text, "\tchain {chain} {{\n\t\t{place}; policy accept;\n").ok();
        for rule in rules {
            writeln!(text, "\t\t{rule}").ok();
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// Renders the complete table as interactive commands, owned by the process that enters them.
pub(super) fn owned(name: &str, chains: &Chains) -> String {
    let mut text = format!("add table inet {name} {{ flags owner; }}\n");
    for ((hook, _), rules) in chains {
        let (chain, place) = (hook.chain(), hook.place());
        writeln!(text, "add chain inet {name} {chain} {{ {place}; policy accept; }}").ok();
        for rule in rules {
            writeln!(text, "add rule inet {name} {chain} {rule}").ok();
        }
    }
    text
}

/// Renders one table with both rulesets: the new one is reached through map elements that the kernel expires by itself,
/// after which the old one is in force again without any process of portolan. `closed` are rules for that time, before
/// the old ones.
pub(super) fn trial(
    name: &str,
    new: &Chains,
    old: &Chains,
    closed: &Chains,
    time: Duration,
) -> String {
    let all: BTreeSet<_> = new.keys().chain(old.keys()).chain(closed.keys()).copied().collect();
    let mut text = opening(name, all.iter().map(|(hook, _)| *hook));
    let seconds = time.as_secs().max(1);
    for key in all {
        let (chain, place) = (key.0.chain(), key.0.place());
        let gate = format!("timeout {seconds}s : goto {chain}_new");
        write!(
            text,
            "\tmap trial_{chain} {{\n\t\ttype nf_proto : verdict\n\t\tflags timeout\n\t\telements = {{ ipv4 {gate}, \
             ipv6 {gate} }}\n\t}}\n"
        )
        .ok();
        for (age, rules) in [("new", new.get(&key)), ("old", old.get(&key))] {
            writeln!(text, "\tchain {chain}_{age} {{").ok();
            for rule in rules.into_iter().flatten() {
                writeln!(text, "\t\t{rule}").ok();
            }
            text.push_str("\t}\n");
        }
        write!(
            text,
            "\tchain {chain} {{\n\t\t{place}; policy accept;\n\t\tmeta nfproto vmap @trial_{chain}\n"
        )
        .ok();
        for rule in closed.get(&key).into_iter().flatten() {
            writeln!(text, "\t\t{rule}").ok();
        }
        write!(text, "\t\tgoto {chain}_old\n\t}}\n").ok();
    }
    text.push_str("}\n");
    text
}

fn opening(name: &str, mut hooks: impl Iterator<Item = Hook>) -> String {
    let object = if hooks.any(|hook| matches!(hook, Hook::Helper | Hook::HelperLocal)) {
        "\tct helper ftp {\n\t\ttype \"ftp\" protocol tcp\n\t}\n"
    } else {
        ""
    };
    format!("table inet {name} {{\n{object}")
}

fn line(rule: &Rule) -> String {
    let mut words = matches(rule, true);
    words.push(action(rule));
    words.push(format!("comment \"{}\"", comment(&rule.note)));
    words.join(" ")
}

/// Renders rules that differ in ports and destination as one, with a map: the kernel looks a port up, in place of
/// comparing it with that of each rule.
fn map_line(first: &Rule, group: &[&Rule]) -> String {
    let mut words = matches(first, false);
    let elements = group.iter().flat_map(|rule| {
        let target = match rule.action {
            RuleAction::Dnat(DnatTarget { address, port: None }) => address.to_string(),
            RuleAction::Dnat(DnatTarget { address, port: Some(port) }) => {
                format!("{address} . {port}")
            }
            _ => String::new(),
        };
        let comment = comment(&rule.note);
        let ranges = rule.ports().map(Ports::ranges).unwrap_or_default();
        ranges.iter().map(move |(first, last)| {
            let key = if first == last { first.to_string() } else { format!("{first}-{last}") };
            format!("{key} comment \"{comment}\" : {target}")
        })
    });
    let elements: Vec<_> = elements.collect();
    let (family, port) = (first.family.map_or("", Family::as_str), destination_port(first));
    words.push(format!("dnat {family} to {port} map {{ {} }}", elements.join(", ")));
    words.join(" ")
}

/// Returns the matches of a rule, with or without its ports.
fn matches(rule: &Rule, has_ports: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut has_family = false;
    for one in &rule.matches {
        has_family |= matches!(one, Match::Source(_) | Match::Destination(_) | Match::NotTo(_));
        match one {
            // The word of the port says it.
            Match::Protocol(Protocol::Tcp | Protocol::Udp) if rule.ports().is_some() => {}
            Match::Ports(ports) if has_ports => {
                words.push(format!("{} {}", destination_port(rule), port_set(ports)));
            }
            Match::Ports(_) => {}
            _ => words.push(matched(one, rule.family.map_or("", Family::as_str))),
        }
    }
    // A rule that matches no address must name its family.
    if let (Some(family), false) = (rule.family, has_family) {
        let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
        words.insert(0, format!("meta nfproto {word}"));
    }
    words
}

/// Returns the word for the destination port of the rule's protocol.
fn destination_port(rule: &Rule) -> &'static str {
    match rule.protocol() {
        Protocol::Tcp => "tcp dport",
        Protocol::Udp => "udp dport",
        Protocol::Both => "th dport",
    }
}

fn action(rule: &Rule) -> String {
    let family = rule.family.map_or("", Family::as_str);
    match &rule.action {
        RuleAction::Helper => "ct helper set \"ftp\"".into(),
        RuleAction::Masquerade => "masquerade".into(),
        RuleAction::Snat(to) => format!("snat {family} to {to}"),
        RuleAction::Dnat(to) => format!("dnat {family} to {to}"),
        RuleAction::ClampMss => "tcp option maxseg size set rt mtu".into(),
        RuleAction::Accept => "accept".into(),
        RuleAction::Drop => "drop".into(),
    }
}

fn matched(one: &Match, family: &str) -> String {
    let nets = |nets: &[Net]| set(&nets.iter().map(Net::to_string).collect::<Vec<_>>());
    match one {
        Match::In(devices) => {
            let names: Vec<_> = devices.iter().map(|device| format!("\"{device}\"")).collect();
            format!("iifname {}", set(&names))
        }
        Match::Out(device) => format!("oifname \"{device}\""),
        // Only `lo` is certain to exist, as `iif` requires.
        Match::Loopback => "iif \"lo\"".into(),
        Match::Source(source) => format!("{family} saddr {}", nets(source.nets())),
        Match::Destination(to) => format!("{family} daddr {}", nets(to.nets())),
        Match::NotTo(except) => format!("{family} daddr != {}", nets(except)),
        Match::FirstTo(to) => format!("ct original {family} daddr {}", nets(to.nets())),
        Match::Local => "fib daddr type local".into(),
        Match::Protocol(protocol) => {
            let words: Vec<_> = protocol.words().iter().map(|word| (*word).to_owned()).collect();
            format!("meta l4proto {}", set(&words))
        }
        Match::SourcePort(port) => format!("tcp sport {port}"),
        Match::Ports(ports) => format!("tcp dport {}", port_set(ports)),
        // ICMP and ICMPv6: small systems have no /etc/protocols with their names.
        Match::Icmp => "meta l4proto { 1, 58 }".into(),
        Match::Established => "ct state established".into(),
        Match::Related => "ct state related".into(),
        Match::FtpData => "ct state related ct helper \"ftp\" tcp dport 1024-65535".into(),
        Match::Translated => "ct status dnat".into(),
        Match::New => "ct state new".into(),
        Match::Invalid => "ct state invalid".into(),
        Match::Syn => "tcp flags syn / syn,rst".into(),
        Match::Lease => "udp dport { 68, 546 }".into(),
    }
}

fn set(all: &[String]) -> String {
    match all {
        [one] => one.clone(),
        all => format!("{{ {} }}", all.join(", ")),
    }
}

fn port_set(ports: &Ports) -> String {
    if ports.ranges().len() == 1 { ports.to_string() } else { format!("{{ {ports} }}") }
}

/// Classifies one of portolan's tables.
pub(super) fn shape(table: &FilterTable) -> Shape {
    if !table.strange.is_empty() {
        return Shape::Strange;
    }
    if !table.maps.iter().any(|map| map.name.starts_with("trial_")) {
        let mut chains = Chains::new();
        for chain in &table.chains {
            let Some(hook) = Hook::of_chain(&chain.name).filter(|_| chain.hook.is_some()) else {
                return Shape::Strange;
            };
            chains.insert((hook, None), chain.rules.clone());
        }
        return Shape::Plain(chains);
    }
    let (mut new, mut old) = (Chains::new(), Chains::new());
    for chain in &table.chains {
        let parts = [("_new", &mut new), ("_old", &mut old)];
        for (ending, chains) in parts {
            let hook = chain.name.strip_suffix(ending).and_then(Hook::of_chain);
            if let Some(hook) = hook.filter(|_| !chain.rules.is_empty()) {
                chains.insert((hook, None), chain.rules.clone());
            }
        }
    }
    let is_over = table.maps.iter().all(|map| !map.has_elements);
    Shape::Trial { new, old, is_over }
}
