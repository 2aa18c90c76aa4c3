//! Warnings about addresses that the host does not have, and about answers that leave by another uplink: pure.

use std::net::IpAddr;

use super::{
    check::{Family, InterfaceSelector},
    foreign::Warning,
    host::HostNetwork,
    model::{Forward, RulesetPart, RulesetSpec},
    netlink::DefaultRoute,
    nets::NetSet,
};

/// The topics of the warnings of this module.
pub(super) const ADDRESS: &str = "address";
const UPLINK: &str = "uplink";
/// The lowest number of a routing table, and of a mark, in a remedy; the index of the interface is added. Others seldom
/// use numbers of that size.
const TABLE_FIRST: u32 = 7000;

/// Returns the warnings for `ruleset` on this host. `is_own` tells of an address that the kernel delivers to the host.
pub(super) fn warnings(
    ruleset: &RulesetSpec,
    here: &HostNetwork,
    is_own: impl Fn(IpAddr) -> bool,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    // Nothing is known of addresses if the kernel could not be asked.
    if here.addresses.is_empty() {
        return warnings;
    }
    for part in ruleset.parts() {
        match part {
            RulesetPart::Masquerade(part) => {
                let Some(to) = part.to.filter(|to| !is_own(*to)) else { continue };
                let out = here.resolve(
                    &part.out,
                    Some(Family::of(to)),
                    part.source.nets().first().copied(),
                );
                let devices = out.unwrap_or_default();
                let text = format!(
                    "packets from {} leave as {to}, which no interface has, so answers do not come back{}: name the \
                     address that the host has now, or leave `to` out; {}",
                    part.source,
                    now_has(here, to, |name| devices.iter().any(|one| one.covers(name))),
                    routed(to)
                );
                warnings.push(Warning { about: ADDRESS, text, remedy: String::new() });
            }
            RulesetPart::Forward(part) => {
                warnings.extend(external(part, here, &is_own));
                warnings.extend(answers_elsewhere(part, here));
            }
            _ => {}
        }
    }
    warnings
}

fn routed(address: IpAddr) -> String {
    format!(
        "if the provider routes it to this host, `ip route add local {address} dev lo` makes it the host's own"
    )
}

/// Returns the addresses of the family of `address` on the interfaces of `is_meant`, as words in brackets.
fn now_has(here: &HostNetwork, address: IpAddr, is_meant: impl Fn(&str) -> bool) -> String {
    let is_one = |(device, own): &&(String, IpAddr)| {
        let is_far = match own {
            IpAddr::V4(own) => !own.is_loopback(),
            IpAddr::V6(own) => !own.is_loopback() && !own.is_unicast_link_local(),
        };
        is_far && own.is_ipv4() == address.is_ipv4() && is_meant(device)
    };
    let found = here.addresses.iter().filter(is_one);
    let found: Vec<_> = found.map(|(device, own)| format!("{device} has {own}")).collect();
    if found.is_empty() { String::new() } else { format!(" ({})", found.join(", ")) }
}

/// Returns a warning if `external` is an address for which no packet arrives.
fn external(
    part: &Forward,
    here: &HostNetwork,
    is_own: impl Fn(IpAddr) -> bool,
) -> Option<Warning> {
    let external = part.external.filter(|one| !is_own(*one))?;
    let inside = here.device_towards(part.to);
    let is_outer = |name: &str| inside.as_ref().is_none_or(|inside| inside.as_str() != name);
    let text = format!(
        "`{} {} -> {}` is for packets to {external}, which no interface has{}: where the provider translates the \
         public address (1:1 NAT of clouds), leave `external` out or name the host's own; {}",
        part.what,
        part.ports,
        part.to,
        now_has(here, external, is_outer),
        routed(external)
    );
    Some(Warning { about: ADDRESS, text, remedy: String::new() })
}

/// Returns a warning for each uplink by which connections come in, and whose answers the kernel sends by another one.
fn answers_elsewhere(part: &Forward, here: &HostNetwork) -> Vec<Warning> {
    let family = Family::of(part.to);
    let named = match &part.device {
        Some(InterfaceSelector::Named(name)) => Some(name),
        Some(InterfaceSelector::Auto) | None => None,
    };
    let is_led = |one: &&DefaultRoute| {
        one.family == family && one.is_ruled && one.from.is_none_or(|from| from.has(part.to))
    };
    let led: Vec<_> = here.defaults.iter().filter(is_led).map(|one| &one.device).collect();
    let of_family = here.defaults.iter().filter(|one| one.family == family);
    let taken: Vec<_> =
        of_family.clone().filter(|one| one.is_taken).map(|one| one.device.as_str()).collect();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for uplink in of_family {
        let device = uplink.device.as_str();
        let is_meant = named.is_none_or(|name| name.covers(device));
        let is_answered = match taken.as_slice() {
            [] => true,
            [only] => *only == device,
            _ => false,
        };
        let near = part.from.iter().flat_map(NetSet::nets).filter(|from| from.prefix() > 0);
        let mut near = near.filter_map(|from| here.device_towards(from.address()));
        let is_near = near.any(|near| near.as_str() == device);
        if !is_meant || is_answered || is_near || led.contains(&&uplink.device) {
            continue;
        }
        if told.contains(&device) {
            continue;
        }
        told.push(device);
        let text = format!(
            "connections for `{} {} -> {}` that come in by {device} are answered by {}: the client hears nothing where \
             a provider drops the other's addresses; marks on connections send answers back",
            part.what,
            part.ports,
            part.to,
            taken.join(" or "),
        );
        let remedy = marks(uplink, here);
        warnings.push(Warning { about: UPLINK, text, remedy });
    }
    warnings
}

/// Returns the commands that send the answers to connections by `uplink` back by it. They are not part of a ruleset: marks
/// and routing tables are shared by all programs of the host, their numbers are its administrator's to choose, and the
/// kernel does not end them with a trial.
fn marks(uplink: &DefaultRoute, here: &HostNetwork) -> String {
    let DefaultRoute { device, family, gateway, .. } = uplink;
    let index = here.links.iter().find(|link| link.name == *device).map_or(0, |link| link.index);
    let number = TABLE_FIRST.saturating_add(index);
    let (option, ip) = match family {
        Family::V4 => ("", "ip"),
        Family::V6 => ("-6 ", "ip6"),
    };
    let via = gateway.map(|gateway| format!("via {gateway} ")).unwrap_or_default();
    let table = format!("{ip} answers_{number}");
    let commands = [
        format!("nft add table {table}"),
        format!("nft add chain {table} marks '{{ type filter hook prerouting priority mangle; }}'"),
        format!("nft add rule {table} marks iifname {device} ct state new ct mark set {number}"),
        format!(
            "nft add rule {table} marks iifname != {device} ct mark {number} meta mark set {number}"
        ),
        format!("ip {option}route replace default {via}dev {device} table {number}"),
        format!("ip {option}rule add fwmark {number} lookup {number}"),
    ];
    commands.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{Interface, Net},
        model::{
            Masquerade,
            tests::{forward, masquerade},
        },
    };

    fn route(device: &str, is_taken: bool, is_ruled: bool) -> DefaultRoute {
        DefaultRoute {
            family: Family::V4,
            device: device.into(),
            gateway: "198.51.100.1".parse().ok(),
            table: 254,
            is_taken,
            is_ruled,
            from: None,
        }
    }

    fn here(defaults: Vec<DefaultRoute>) -> HostNetwork {
        let own = |device: &str, address: &str| (device.to_owned(), address.parse().unwrap());
        HostNetwork {
            addresses: vec![own("eth1", "203.0.113.7"), own("lan", "192.168.0.1")],
            routes: vec![(Net::parse("192.168.0.0/24").unwrap(), "lan".into())],
            defaults,
            ..HostNetwork::default()
        }
    }

    fn told(part: RulesetPart, here: &HostNetwork) -> Vec<(&'static str, String)> {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        ruleset.add(part).unwrap();
        let is_local = |address| here.addresses.iter().any(|(_, own)| *own == address);
        let found = warnings(&ruleset, here, is_local);
        found.into_iter().map(|one| (one.about, one.text)).collect()
    }

    #[test]
    fn an_address_that_no_interface_has_is_told_with_the_present_one() {
        let here = here(vec![route("eth1", true, false)]);
        let with = |to: &str| {
            let (out, to) = (InterfaceSelector::Auto, to.parse().ok());
            RulesetPart::Masquerade(Masquerade { out, to, ..masquerade("192.168.0.0/24", "x") })
        };
        assert_eq!(told(with("203.0.113.7"), &here), []);
        let found = told(with("203.0.113.1"), &here);
        assert_eq!(found[0].0, ADDRESS);
        assert!(found[0].1.contains("(eth1 has 203.0.113.7)"), "{found:?}");
        let device = Some(InterfaceSelector::Auto);
        let external = |address: &str| {
            let external = address.parse().ok();
            RulesetPart::Forward(Forward {
                external,
                device: device.clone(),
                ..forward("21", "192.168.0.5")
            })
        };
        assert_eq!(told(external("203.0.113.7"), &here), []);
        let found = told(external("52.0.0.1"), &here);
        assert!(found[0].1.contains("(eth1 has 203.0.113.7)"), "{found:?}");
        assert!(found[0].1.contains("leave `external` out"), "{found:?}");
    }

    #[test]
    fn answers_by_another_uplink_are_told_until_a_rule_leads_them_back() {
        let by = |device: Option<&str>| {
            let device =
                device.map(|name| InterfaceSelector::Named(Interface::parse(name).unwrap()));
            RulesetPart::Forward(Forward { device, ..forward("21", "192.168.0.5") })
        };
        let two = here(vec![route("eth1", true, false), route("eth2", false, false)]);
        assert_eq!(told(by(Some("eth1")), &two), []);
        assert_eq!(told(by(Some("eth2")), &two)[0].0, UPLINK);
        assert_eq!(told(by(None), &two).len(), 1, "by any");
        let mended = here(vec![route("eth1", true, false), route("eth2", false, true)]);
        assert_eq!(told(by(Some("eth2")), &mended), []);
        let equal = here(vec![route("eth1", true, false), route("eth2", true, false)]);
        assert_eq!(told(by(None), &equal).len(), 2);
    }
}
