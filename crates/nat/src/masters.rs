//! Interfaces that belong to another one: the names by which the filter sees their packets. Pure.
//!
//! Packets that come in by a port of a bridge, a bond or a team come in by its master, as far as rules and routes are
//! concerned: a rule with the port's own name never fits, and an `isolate` would isolate nothing. In a VRF, packets come
//! in by the master and go out by the interface itself.

use std::collections::BTreeSet;

use super::{
    check::Interface,
    foreign::Warning,
    host::HostNetwork,
    netlink::NetworkLink,
    rules::{CompiledRules, Match},
};

/// The maximum number of masters above each other, such as a bond in a bridge in a VRF.
const MASTERS_MAX: usize = 8;

/// The names by which the filter sees the packets of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenNames {
    /// The name of the interface by which they go out.
    out: Interface,
    /// The VRF by which they come in as well.
    vrf: Option<Interface>,
}

/// Returns the names of `device`, and the masters in between with their kinds.
fn seen<'l>(device: &Interface, links: &'l [NetworkLink]) -> (SeenNames, Vec<&'l NetworkLink>) {
    let mut names = SeenNames { out: device.clone(), vrf: None };
    let mut masters = Vec::new();
    for _ in 0..MASTERS_MAX {
        let own = links.iter().find(|link| link.name == names.out.as_str());
        let master = own.and_then(|own| links.iter().find(|link| Some(link.index) == own.master));
        let Some(master) = master else { break };
        let Ok(name) = Interface::parse(&master.name) else { break };
        match master.kind.as_str() {
            "vrf" => names.vrf = Some(name),
            "bridge" | "bond" | "team" => names.out = name,
            _ => break,
        }
        masters.push(master);
        if names.vrf.is_some() {
            break;
        }
    }
    (names, masters)
}

/// Replaces the interfaces of `rules` by those by which the filter sees their packets.
pub(super) fn replace(rules: &mut CompiledRules, here: &HostNetwork) {
    let links = &here.links;
    if links.iter().all(|link| link.master.is_none()) {
        return;
    }
    let out = |device: &Interface| seen(device, links).0.out;
    let all = |device: &Interface| -> Vec<Interface> {
        let (SeenNames { out, vrf }, _) = seen(device, links);
        [out].into_iter().chain(vrf).collect()
    };
    let each = |devices: &BTreeSet<Interface>| devices.iter().flat_map(all).collect();
    for one in rules.all.iter_mut().flat_map(|rule| &mut rule.matches) {
        match one {
            Match::In(devices) => {
                let names: BTreeSet<_> = devices.iter().flat_map(all).collect();
                // Rules keep the order of their interfaces where no name changes.
                if names != devices.iter().cloned().collect() {
                    *devices = names.into_iter().collect();
                }
            }
            Match::Out(device) => *device = out(device),
            _ => {}
        }
    }
    rules.enslaved =
        rules.named.iter().filter(|device| all(device) != [(*device).clone()]).cloned().collect();
    rules.named = each(&rules.named);
    rules.passing = each(&rules.passing);
    rules.hairpins = each(&rules.hairpins);
}

/// Returns a warning for each interface that a ruleset names, and that belongs to another one.
pub(super) fn warnings(rules: &CompiledRules, here: &HostNetwork) -> Vec<Warning> {
    let warning = |device: &Interface| {
        let (names, masters) = seen(device, &here.links);
        let chain: Vec<_> =
            masters.iter().map(|master| format!("{} {}", master.kind, master.name)).collect();
        let chain = chain.join(" in ");
        let text = match (names.out == *device, &names.vrf) {
            (true, Some(vrf)) => {
                format!(
                    "{device} is in the {chain}: its packets come in by {vrf}, and the rules name both"
                )
            }
            _ => format!(
                "{device} is a port of the {chain}, and its packets come in by {}: the rules name that one and so all of \
                 its ports, between which it passes packets unfiltered",
                names.out
            ),
        };
        Warning { about: "port", text, remedy: String::new() }
    };
    rules.enslaved.iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Hook, Rule, RuleAction};

    fn device(name: &str) -> Interface {
        Interface::parse(name).unwrap()
    }

    fn here() -> HostNetwork {
        let link = |index, name: &str, kind: &str, master| NetworkLink {
            index,
            name: name.into(),
            kind: kind.into(),
            master,
            ..NetworkLink::default()
        };
        let links = vec![
            link(1, "eth0", "", None),
            link(2, "eth1", "", Some(3)),
            link(3, "br0", "bridge", None),
            link(4, "eth2", "", Some(5)),
            link(5, "bond0", "bond", Some(6)),
            link(6, "br1", "bridge", Some(7)),
            link(7, "blue", "vrf", None),
            link(8, "eth3", "", Some(7)),
            link(9, "eth4", "", Some(10)),
            link(10, "ovs-system", "openvswitch", None),
        ];
        HostNetwork { links, ..HostNetwork::default() }
    }

    #[test]
    fn packets_are_seen_by_the_name_of_the_master() {
        for (name, out, vrf) in [
            ("eth0", "eth0", None),
            ("eth1", "br0", None),
            ("eth2", "br1", Some("blue")),
            ("eth3", "eth3", Some("blue")),
            ("eth4", "eth4", None),
            ("later0", "later0", None),
        ] {
            let names = SeenNames { out: device(out), vrf: vrf.map(device) };
            assert_eq!(seen(&device(name), &here().links).0, names, "{name}");
        }
    }

    #[test]
    fn rules_name_masters_and_tell_so() {
        let rule = |matches| Rule {
            hook: Hook::Forward,
            family: None,
            matches,
            action: RuleAction::Drop,
            note: "isolate: the rest".into(),
        };
        let named: BTreeSet<_> = ["eth0", "eth1", "eth3"].map(device).into();
        let mut rules = CompiledRules {
            all: vec![
                rule(vec![Match::In(named.iter().cloned().collect())]),
                rule(vec![Match::Out(device("eth1"))]),
                rule(vec![Match::Out(device("eth3"))]),
            ],
            passing: named.clone(),
            named,
            ..CompiledRules::default()
        };
        replace(&mut rules, &here());
        let found: Vec<_> = rules.all.iter().flat_map(|rule| rule.matches.clone()).collect();
        let seen_by = ["blue", "br0", "eth0", "eth3"].map(device);
        let [_, br0, _, eth3] = seen_by.clone();
        assert_eq!(found, [Match::In(seen_by.clone().into()), Match::Out(br0), Match::Out(eth3)]);
        assert_eq!(rules.passing, seen_by.into());
        let texts: Vec<_> = warnings(&rules, &here()).into_iter().map(|one| one.text).collect();
        let [port, vrf] = texts.as_slice() else { panic!("{texts:?}") };
        assert!(
            port.starts_with("eth1 is a port of the bridge br0, and its packets come in by br0:"),
            "{port}"
        );
        assert!(vrf.starts_with("eth3 is in the vrf blue: its packets come in by blue,"), "{vrf}");
    }
}
