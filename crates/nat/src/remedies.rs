//! Commands that open exactly one way in the rules of another program: pure. Sources, destinations and ports are those of
//! the way, the rule is inserted before the one that drops, and of a forward only translated connections pass.

use std::{fmt::Write, net::IpAddr};

use sha2::{Digest, Sha256};

use super::{
    check::{Family, Interface, Net, Ports, Protocol},
    nets::NetSet,
    ways::{ConnectionPath, PathKind},
};

/// The number of ports that iptables and ufw take in one rule; a range counts as two.
const PORTS_MAX: usize = 15;
/// The maximum length of the name of a policy of firewalld, which becomes the name of a chain.
const POLICY_LENGTH_MAX: usize = 18;
/// The number of bytes of the hash in a name that would be longer.
const POLICY_HASH: usize = 4;

/// The program that maintains a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableOwner {
    Docker,
    Ufw,
    Firewalld,
    Libvirt,
    Portolan,
    Iptables,
    Other,
}

/// The place where a way is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DropPlace {
    pub(super) owner: TableOwner,
    pub(super) family: String,
    pub(super) table: String,
    pub(super) chain: String,
    /// The hook of nftables at which it happens, such as `forward`.
    pub(super) hook: String,
    /// True if legacy iptables has the rule.
    pub(super) is_legacy: bool,
}

/// Commands that open a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remedy {
    pub(super) shown: Vec<String>,
    /// The commands that have the same effect on the rules; none if only the program itself can do it.
    pub(super) tried: Vec<String>,
}

impl Remedy {
    fn plain(commands: Vec<String>) -> Self {
        Self { tried: commands.clone(), shown: commands }
    }
}

/// Returns the remedies for a way that is dropped at `place`, the best one first; none where a shell cannot help.
pub(super) fn remedies(place: &DropPlace, way: &ConnectionPath) -> Vec<Remedy> {
    match place.owner {
        TableOwner::Docker if place.hook == "forward" => {
            let user = DropPlace { chain: "DOCKER-USER".into(), ..place.clone() };
            vec![Remedy::plain(iptables(&user, way, 'I')), Remedy::plain(nft(place, way))]
        }
        TableOwner::Docker | TableOwner::Iptables => {
            let plain = Remedy::plain(iptables(place, way, 'I'));
            if place.is_legacy { vec![plain] } else { vec![plain, Remedy::plain(nft(place, way))] }
        }
        TableOwner::Ufw => ufw(place, way),
        TableOwner::Firewalld => vec![firewalld(way)],
        TableOwner::Portolan => Vec::new(),
        TableOwner::Libvirt | TableOwner::Other => vec![Remedy::plain(nft(place, way))],
    }
}

/// Returns true if packets have been translated at `hook`, and where they leave is known.
fn is_after(hook: &str) -> bool {
    matches!(hook, "forward" | "postrouting")
}

/// Returns the ports of the way at `hook`.
fn ports_at<'w>(way: &'w ConnectionPath, hook: &str) -> Option<&'w Ports> {
    if is_after(hook) { way.ports.as_ref() } else { way.asked.as_ref() }
}

/// Returns the destinations of the way at `hook`; none for any.
fn targets_at(way: &ConnectionPath, hook: &str) -> Vec<Net> {
    if is_after(hook) || way.kind == PathKind::Through {
        return nets(way.target.as_ref());
    }
    let one = |address: IpAddr| Net::new(address, u8::MAX);
    way.external.map(one).into_iter().collect()
}

fn nets(set: Option<&NetSet>) -> Vec<Net> {
    set.map(|set| set.nets().to_vec()).unwrap_or_default()
}

/// Returns `word` with each of the networks; one empty text for none.
fn each(word: &str, nets: &[Net]) -> Vec<String> {
    let found: Vec<_> = nets.iter().map(|net| format!(" {word} {net}")).collect();
    if found.is_empty() { vec![String::new()] } else { found }
}

fn device(word: &str, device: Option<&Interface>) -> String {
    device.map(|device| format!(" {word} {device}")).unwrap_or_default()
}

/// Returns the ports in lists of at most [`PORTS_MAX`], with this between first and last of a range.
fn port_lists(ports: &Ports, between: char) -> Vec<(String, usize)> {
    let mut lists: Vec<(String, usize, usize)> = Vec::new();
    for (first, last) in ports.ranges() {
        let is_one = first == last;
        let word = if is_one { first.to_string() } else { format!("{first}{between}{last}") };
        let size = if is_one { 1 } else { 2 };
        match lists.last_mut() {
            Some((list, taken, count)) if *taken + size <= PORTS_MAX => {
                write!(list, ",{word}").ok();
                *taken += size;
                *count += 1;
            }
            _ => lists.push((word, size, 1)),
        }
    }
    lists.into_iter().map(|(list, _, count)| (list, count)).collect()
}

/// Returns the rules as arguments of iptables, the answers after them.
fn iptables(place: &DropPlace, way: &ConnectionPath, how: char) -> Vec<String> {
    let DropPlace { family, table, chain, hook, is_legacy, .. } = place;
    let program = match (family.as_str(), is_legacy) {
        ("ip6", true) => "ip6tables-legacy",
        ("ip6", false) => "ip6tables",
        (_, true) => "iptables-legacy",
        (_, false) => "iptables",
    };
    let table = if table == "filter" { String::new() } else { format!(" -t {table}") };
    let head = format!("{program}{table} -{how} {chain}");
    let by = if hook == "postrouting" { String::new() } else { device("-i", way.from.as_ref()) };
    let out = if is_after(hook) { device("-o", way.to.as_ref()) } else { String::new() };
    let state = if way.kind == PathKind::Forwarded && is_after(hook) {
        " -m conntrack --ctstate DNAT"
    } else {
        ""
    };
    let mut commands = Vec::new();
    let (sources, targets) =
        (each("-s", &nets(way.source.as_ref())), each("-d", &targets_at(way, hook)));
    for source in &sources {
        for target in &targets {
            for service in services(way, hook) {
                commands.push(format!("{head}{by}{out}{source}{target}{service}{state} -j ACCEPT"));
            }
        }
    }
    if hook == "forward" {
        let (by, out) = (device("-i", way.to.as_ref()), device("-o", way.from.as_ref()));
        let ends = match way.kind {
            PathKind::Forwarded => each("-s", &nets(way.target.as_ref())),
            _ => each("-d", &nets(way.source.as_ref())),
        };
        let state = "-m conntrack --ctstate RELATED,ESTABLISHED";
        commands.extend(ends.iter().map(|end| format!("{head}{by}{out}{end} {state} -j ACCEPT")));
    }
    commands
}

/// Returns protocol and ports as arguments of iptables.
fn services(way: &ConnectionPath, hook: &str) -> Vec<String> {
    let Some(ports) = ports_at(way, hook) else {
        let words = way.protocol.map_or(&[][..], |protocol| protocol.words());
        let found: Vec<_> = words.iter().map(|protocol| format!(" -p {protocol}")).collect();
        return if found.is_empty() { vec![String::new()] } else { found };
    };
    let source = way.source_port.map(|port| format!(" --sport {port}")).unwrap_or_default();
    let mut found = Vec::new();
    for protocol in way.protocols() {
        for (list, count) in port_lists(ports, ':') {
            let ports = if count == 1 {
                format!(" --dport {list}")
            } else {
                format!(" -m multiport --dports {list}")
            };
            found.push(format!(" -p {protocol}{source}{ports}"));
        }
    }
    found
}

/// Returns the rules as commands of nft, the answers after them.
fn nft(place: &DropPlace, way: &ConnectionPath) -> Vec<String> {
    let DropPlace { family, table, chain, hook, .. } = place;
    let head = format!("nft insert rule {family} {table} {chain}");
    let word = way.family.as_str();
    let name = |key: &str, device: Option<&Interface>| {
        device.map(|device| format!(" {key} '\"{device}\"'")).unwrap_or_default()
    };
    let set = |key: &str, nets: &[Net]| match nets {
        [] => String::new(),
        [one] => format!(" {word} {key} {one}"),
        all => {
            let all: Vec<_> = all.iter().map(Net::to_string).collect();
            format!(" {word} {key} '{{ {} }}'", all.join(", "))
        }
    };
    let by = if matches!(hook.as_str(), "postrouting" | "ingress") {
        String::new()
    } else {
        name("iifname", way.from.as_ref())
    };
    let out = if is_after(hook) { name("oifname", way.to.as_ref()) } else { String::new() };
    let (source, target) =
        (set("saddr", &nets(way.source.as_ref())), set("daddr", &targets_at(way, hook)));
    let ports = ports_at(way, hook).map(|ports| {
        let dport =
            if ports.ranges().len() == 1 { ports.to_string() } else { format!("'{{ {ports} }}'") };
        let protocol = match way.protocols() {
            [one] => (*one).to_owned(),
            _ => "meta l4proto '{ tcp, udp }' th".to_owned(),
        };
        let sport =
            way.source_port.map(|port| format!(" {protocol} sport {port}")).unwrap_or_default();
        format!("{sport} {protocol} dport {dport}")
    });
    let ports = ports.unwrap_or_else(|| match way.protocol.map(Protocol::words) {
        Some([one]) => format!(" meta l4proto {one}"),
        Some(all) => format!(" meta l4proto '{{ {} }}'", all.join(", ")),
        None => String::new(),
    });
    let state =
        if way.kind == PathKind::Forwarded && is_after(hook) { " ct status dnat" } else { "" };
    let mut commands = vec![format!("{head}{by}{out}{source}{target}{ports}{state} accept")];
    if hook == "forward" {
        let (by, out) = (name("iifname", way.to.as_ref()), name("oifname", way.from.as_ref()));
        let end = match way.kind {
            PathKind::Forwarded => set("saddr", &nets(way.target.as_ref())),
            _ => set("daddr", &nets(way.source.as_ref())),
        };
        commands.push(format!("{head}{by}{out}{end} ct state established,related accept"));
    }
    commands
}

/// Returns the commands of ufw: at the end of its rules, or else before them.
fn ufw(place: &DropPlace, way: &ConnectionPath) -> Vec<Remedy> {
    let is_here = way.kind == PathKind::Here;
    let by = device("in on", way.from.as_ref());
    let out = if is_here { String::new() } else { device("out on", way.to.as_ref()) };
    let from_port = way.source_port.map(|port| format!(" port {port}")).unwrap_or_default();
    let or_any = |word: &str, nets: &[Net]| {
        let found = each(word, nets);
        if nets.is_empty() { vec![format!(" {word} any")] } else { found }
    };
    let hook = if is_here { "input" } else { "forward" };
    let mut said = Vec::new();
    for source in or_any("from", &nets(way.source.as_ref())) {
        for target in or_any("to", &targets_at(way, hook)) {
            let Some(ports) = ports_at(way, hook) else {
                let words = way.protocol.map_or(&[][..], Protocol::words);
                let rule = |proto: String| format!("{by}{out}{proto}{source}{target}");
                said.extend(words.iter().map(|protocol| rule(format!(" proto {protocol}"))));
                said.extend(words.is_empty().then(|| rule(String::new())));
                continue;
            };
            for protocol in way.protocols() {
                for (list, _) in port_lists(ports, ':') {
                    said.push(format!(
                        "{by}{out} proto {protocol}{source}{from_port}{target} port {list}"
                    ));
                }
            }
        }
    }
    let route = if is_here { "" } else { " route" };
    let six = if place.family == "ip6" { "6" } else { "" };
    let chain = format!("ufw{six}-user-{hook}");
    let user = DropPlace { chain, hook: hook.into(), table: "filter".into(), ..place.clone() };
    // Its own rules let answers pass.
    let tried = |how| {
        let all = iptables(&user, way, how).into_iter();
        let all = all.filter(|rule| !rule.contains("RELATED,ESTABLISHED"));
        // Nothing of ufw asks for a translation.
        all.map(|rule| rule.replace(" -m conntrack --ctstate DNAT", "")).collect::<Vec<_>>()
    };
    ["", " prepend"]
        .into_iter()
        .zip(['A', 'I'])
        .map(|(place, how)| Remedy {
            shown: said.iter().map(|rule| format!("ufw{route}{place} allow{rule}")).collect(),
            tried: tried(how),
        })
        .collect()
}

/// Returns the rich rules of firewalld for the way. A rule has the ports of one end alone: the port from which connections
/// come is left out where they have a port to go to.
fn rich_rules(way: &ConnectionPath) -> Vec<String> {
    let family = match way.family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let hook = if way.kind == PathKind::Here { "input" } else { "forward" };
    let mut elements = Vec::new();
    if let Some(ports) = ports_at(way, hook) {
        for protocol in way.protocols() {
            elements.extend(ports.ranges().iter().map(|(first, last)| {
                let last = if first == last { String::new() } else { format!("-{last}") };
                format!(" port port={first}{last} protocol={protocol}")
            }));
        }
    } else if let Some(protocol) = way.protocol {
        let words = protocol.words().iter();
        elements.extend(words.map(|protocol| format!(" protocol value={protocol}")));
    } else {
        elements.push(String::new());
    }
    let mut rules = Vec::new();
    for source in each("source address=", &nets(way.source.as_ref())) {
        for target in each("destination address=", &targets_at(way, hook)) {
            let ends = format!("{source}{target}").replace("= ", "=");
            for element in &elements {
                // A rule that is for everything is taken only with a priority.
                let priority =
                    if ends.is_empty() && element.is_empty() { " priority=-1" } else { "" };
                rules.push(format!("rule{priority} family={family}{ends}{element} accept"));
            }
        }
    }
    rules
}

/// Returns the name of firewalld's policy between two interfaces: zones that were added to one policy would be opened to
/// each other in all directions.
fn policy_name(from: &str, to: &str) -> String {
    let name = format!("portolan-{from}-{to}");
    let is_plain = |name: &str| name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-');
    if name.len() <= POLICY_LENGTH_MAX && is_plain(&name) {
        return name;
    }
    let digest = Sha256::digest(name.as_bytes());
    let bytes = digest.iter().take(POLICY_HASH);
    let hash = bytes.fold(0_u32, |hash, byte| (hash << 8) | u32::from(*byte));
    format!("portolan-{hash:08x}")
}

/// Returns the commands of firewalld. Each takes one option, and the last one loads what is written.
fn firewalld(way: &ConnectionPath) -> Remedy {
    let zone = |device: &Interface, otherwise: &str| {
        format!("$(firewall-cmd --get-zone-of-interface={device} 2>/dev/null || {otherwise})")
    };
    let usual = "firewall-cmd --get-default-zone";
    let mut shown = Vec::new();
    let place = match &way.from {
        Some(device) if way.kind == PathKind::Here => format!("--zone={}", zone(device, usual)),
        _ => {
            // Up to firewalld 1.3 a policy leaves out the interfaces that are in no zone, except if it is for any.
            let is_narrow = way.source.is_some() || way.target.is_some();
            let otherwise = if is_narrow { "echo ANY" } else { usual };
            let end = |device: &Option<Interface>| match device {
                Some(device) => (device.to_string(), zone(device, otherwise)),
                None => ("ANY".to_owned(), "ANY".to_owned()),
            };
            let here = || ("HOST".to_owned(), "HOST".to_owned());
            let (from, to) =
                (end(&way.from), if way.kind == PathKind::Here { here() } else { end(&way.to) });
            let name = policy_name(&from.0, &to.0);
            let policy = format!("firewall-cmd --permanent --policy={name}");
            shown.extend([
                format!(
                    "{{ firewall-cmd --permanent --info-policy={name} >/dev/null 2>&1 || firewall-cmd --permanent \
                     --new-policy={name}; }}"
                ),
                format!("{policy} --add-ingress-zone={}", from.1),
                format!("{policy} --add-egress-zone={}", to.1),
            ]);
            format!("--policy={name}")
        }
    };
    let add = |rule: &String| format!("firewall-cmd --permanent {place} --add-rich-rule='{rule}'");
    shown.extend(rich_rules(way).iter().map(add));
    shown.push("firewall-cmd --reload".into());
    Remedy { shown, tried: Vec::new() }
}

/// Joins remedies to one line for a shell: each command once, and firewalld's reload at the end.
pub(super) fn line(commands: impl IntoIterator<Item = String>) -> String {
    const RELOAD: &str = "firewall-cmd --reload";
    let mut unique: Vec<String> = Vec::new();
    let mut is_reloaded = false;
    for command in commands {
        is_reloaded |= command == RELOAD;
        if command != RELOAD && !unique.contains(&command) {
            unique.push(command);
        }
    }
    unique.extend(is_reloaded.then(|| RELOAD.to_owned()));
    unique.join(" && ")
}

#[cfg(test)]
pub(super) mod tests;
