//! Rules in the words of nftables: pure.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::{
    check::{Family, Net, Ports},
    listing::Table,
    rules::{Action, Hook, Match, Rule},
};

/// What begins the comment of each rule of ours.
pub(super) const MARK: &str = "portolan:";

/// The rules of each base chain, by its name.
pub(super) type Chains = BTreeMap<&'static str, Vec<String>>;

impl Hook {
    /// The chain that hangs there.
    pub(super) const fn chain(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::HelperLocal => "helper_local",
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Forward => "forward",
            Self::Input => "input",
        }
    }

    /// The hook and its priority. Five before and after the usual places of NAT: of several, the first that fits wins.
    /// `dstnat` is not a word that nft 1.0.6 takes at the output.
    const fn place(self) -> &'static str {
        match self {
            Self::Helper => "type filter hook prerouting priority filter",
            Self::HelperLocal => "type filter hook output priority filter",
            Self::Prerouting => "type nat hook prerouting priority dstnat - 5",
            Self::Output => "type nat hook output priority -105",
            Self::Postrouting => "type nat hook postrouting priority srcnat - 5",
            Self::Forward => "type filter hook forward priority filter",
            Self::Input => "type filter hook input priority filter",
        }
    }

    fn of_chain(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.chain() == name)
    }
}

/// The chains that `rules` make.
pub(super) fn chains(rules: &[Rule]) -> Chains {
    let mut chains = Chains::new();
    for rule in rules {
        chains.entry(rule.hook.chain()).or_default().push(line(rule));
    }
    chains
}

/// What makes a table of that name, and takes away one that was there: one transaction.
pub(super) fn replacing(table: &str, body: &str) -> String {
    format!("{}{body}", removing(table))
}

/// What takes a table away, also where there is none. `destroy` is not a word that nft 1.0.6 knows.
pub(super) fn removing(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// The whole table.
pub(super) fn table(name: &str, chains: &Chains) -> String {
    let mut text = opening(name, chains.keys());
    for (chain, rules) in chains {
        let place = Hook::of_chain(chain).map_or("", Hook::place);
        write!(text, "\tchain {chain} {{\n\t\t{place}; policy accept;\n").ok();
        for rule in rules {
            writeln!(text, "\t\t{rule}").ok();
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// The whole table, line by line as one types it, owned by who types it.
pub(super) fn owned(name: &str, chains: &Chains) -> String {
    let mut text = format!("add table inet {name} {{ flags owner; }}\n");
    for (chain, rules) in chains {
        let place = Hook::of_chain(chain).map_or("", Hook::place);
        writeln!(text, "add chain inet {name} {chain} {{ {place}; policy accept; }}").ok();
        for rule in rules {
            writeln!(text, "add rule inet {name} {chain} {rule}").ok();
        }
    }
    text
}

/// One table with both rulesets: the new one is reached through elements of maps that the kernel itself lets expire,
/// and then the old one rules again, with no process of ours alive. `closed` are rules for then, before the old ones.
pub(super) fn trial(
    name: &str,
    new: &Chains,
    old: &Chains,
    closed: &[Rule],
    time: Duration,
) -> String {
    let closed = chains(closed);
    let mut all: Vec<_> = new.keys().chain(old.keys()).chain(closed.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let mut text = opening(name, all.iter());
    let seconds = time.as_secs().max(1);
    for chain in all {
        let gate = format!("timeout {seconds}s : goto {chain}_new");
        write!(
            text,
            "\tmap trial_{chain} {{\n\t\ttype nf_proto : verdict\n\t\tflags timeout\n\t\telements = {{ ipv4 {gate}, \
             ipv6 {gate} }}\n\t}}\n"
        )
        .ok();
        for (age, rules) in [("new", new.get(chain)), ("old", old.get(chain))] {
            writeln!(text, "\tchain {chain}_{age} {{").ok();
            for rule in rules.into_iter().flatten() {
                writeln!(text, "\t\t{rule}").ok();
            }
            text.push_str("\t}\n");
        }
        let place = Hook::of_chain(chain).map_or("", Hook::place);
        write!(
            text,
            "\tchain {chain} {{\n\t\t{place}; policy accept;\n\t\tmeta nfproto vmap @trial_{chain}\n"
        )
        .ok();
        for rule in closed.get(chain).into_iter().flatten() {
            writeln!(text, "\t\t{rule}").ok();
        }
        write!(text, "\t\tgoto {chain}_old\n\t}}\n").ok();
    }
    text.push_str("}\n");
    text
}

fn opening<'c>(name: &str, mut chains: impl Iterator<Item = &'c &'static str>) -> String {
    let helper = Hook::Helper.chain();
    let object = if chains.any(|chain| chain.starts_with(helper)) {
        "\tct helper ftp {\n\t\ttype \"ftp\" protocol tcp\n\t}\n"
    } else {
        ""
    };
    format!("table inet {name} {{\n{object}")
}

fn line(rule: &Rule) -> String {
    let mut words: Vec<String> = Vec::new();
    let family = rule.family.map_or("", Family::word);
    let mut has_family = false;
    for one in &rule.matches {
        has_family |= matches!(one, Match::Source(_) | Match::Destination(_) | Match::NotTo(_));
        words.push(matched(one, family));
    }
    // What no address tells of its family must be told.
    if let (Some(family), false) = (rule.family, has_family) {
        let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
        words.insert(0, format!("meta nfproto {word}"));
    }
    words.push(match &rule.action {
        Action::Helper => "ct helper set \"ftp\"".into(),
        Action::Masquerade => "masquerade".into(),
        Action::Snat(to) => format!("snat {family} to {to}"),
        Action::Dnat(to) => format!("dnat {family} to {to}"),
        Action::Accept => "accept".into(),
        Action::Drop => "drop".into(),
    });
    words.push(format!("comment \"{}\"", comment(&rule.note)));
    words.join(" ")
}

/// The kernel keeps 128 bytes of a comment.
fn comment(note: &str) -> String {
    const LENGTH_MAX: usize = 120;
    let note = note.get(..LENGTH_MAX - MARK.len()).unwrap_or(note);
    format!("{MARK}{note}")
}

fn matched(one: &Match, family: &str) -> String {
    match one {
        Match::In(devices) => {
            let names: Vec<_> = devices.iter().map(|device| format!("\"{device}\"")).collect();
            format!("iifname {}", set(&names))
        }
        Match::Out(device) => format!("oifname \"{device}\""),
        // Of `lo` alone it is known that it is there.
        Match::Loopback => "iif \"lo\"".into(),
        Match::Source(net) => format!("{family} saddr {net}"),
        Match::Destination(net) => format!("{family} daddr {net}"),
        Match::NotTo(nets) => {
            let nets: Vec<_> = nets.iter().map(Net::to_string).collect();
            format!("{family} daddr != {}", set(&nets))
        }
        Match::Local => "fib daddr type local".into(),
        Match::SourcePort(port) => format!("tcp sport {port}"),
        Match::Ports(ports) => format!("tcp dport {}", port_set(ports)),
        Match::Icmp => "meta l4proto { icmp, ipv6-icmp }".into(),
        Match::Established => "ct state established".into(),
        Match::Related => "ct state related".into(),
        Match::FtpData => "ct state related ct helper \"ftp\" tcp dport 1024-65535".into(),
        Match::Translated => "ct status dnat".into(),
        Match::New => "ct state new".into(),
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

/// What a table of ours is now, as its listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// One ruleset.
    Plain(Chains),
    /// A trial of `new`; `old` rules once it is over.
    Trial { new: Chains, old: Chains, is_over: bool },
    /// Something that is not ours alone: it cannot be put back rule by rule.
    Strange,
}

/// Reads what a table of ours is.
pub(super) fn shape(table: &Table) -> Shape {
    if !table.strange.is_empty() {
        return Shape::Strange;
    }
    if !table.maps.iter().any(|map| map.name.starts_with("trial_")) {
        let mut chains = Chains::new();
        for chain in &table.chains {
            let Some(hook) = Hook::of_chain(&chain.name).filter(|_| chain.hook.is_some()) else {
                return Shape::Strange;
            };
            chains.insert(hook.chain(), chain.rules.clone());
        }
        return Shape::Plain(chains);
    }
    let (mut new, mut old) = (Chains::new(), Chains::new());
    for chain in &table.chains {
        let parts = [("_new", &mut new), ("_old", &mut old)];
        for (ending, chains) in parts {
            let hook = chain.name.strip_suffix(ending).and_then(Hook::of_chain);
            if let Some(hook) = hook.filter(|_| !chain.rules.is_empty()) {
                chains.insert(hook.chain(), chain.rules.clone());
            }
        }
    }
    let is_over = table.maps.iter().all(|map| !map.has_elements);
    Shape::Trial { new, old, is_over }
}

/// What the rules of a table are for, each part once.
pub(super) fn notes(chains: &Chains) -> Vec<String> {
    let mut notes = Vec::new();
    for rule in chains.values().flatten() {
        let Some((_, note)) = rule.rsplit_once(&format!("comment \"{MARK}")) else { continue };
        let note = note.trim_end_matches('"').to_owned();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}
