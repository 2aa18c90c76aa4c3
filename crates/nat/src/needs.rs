//! The kernel settings that a gateway needs: one table of needs, and the choice among them for a ruleset. Pure.
//!
//! `net.ipv4.ip_forward = 1` does more than its name says (`inet_forward_change` in the kernel's `devinet.c`): it also
//! stops the host from obeying ICMP redirects. The switch of a single interface does not, so that a gateway which only
//! sets `forwarding` can be told by one forged packet to send through somebody else. Each switch is therefore set
//! together with the settings that a router needs beside it.

use std::collections::BTreeSet;

use super::{
    check::{Family, Interface},
    foreign::Warning,
    host::HostNetwork,
    model::{Forward, RulesetPart, RulesetSpec},
    nets::NetSet,
    rules::CompiledRules,
    sysctl::{ALL4, ALL6, REDIRECTS4, Sysctl, key, switch_of},
};

/// A setting that goes with a switch: its path, in which `{}` stands for the interface, and its value.
type Need = (&'static str, &'static str);

/// The switch of one interface for IPv4. The kernel obeys redirects on an interface that forwards only if both `all`
/// and the interface accept them.
const INTERFACE4: [Need; 2] =
    [("net/ipv4/conf/{}/forwarding", "1"), ("net/ipv4/conf/{}/accept_redirects", "0")];
/// The switch of all interfaces for IPv4. The kernel sets the second one itself, unless the switch is on already.
const EVERYWHERE4: [Need; 2] = [(ALL4, "1"), (REDIRECTS4, "0")];
/// The settings of an interface on which packets come in and go out again, as with hairpin NAT: a client that is told
/// of the shorter way would leave out the gateway. The kernel sends redirects if `all` or the interface says so.
const HAIRPIN4: [Need; 2] =
    [("net/ipv4/conf/all/send_redirects", "0"), ("net/ipv4/conf/{}/send_redirects", "0")];
/// The switch of one interface for IPv6, from Linux 6.17 on. Unlike the switch of all interfaces, it leaves the host a
/// host in every other respect: it obeys redirects.
const INTERFACE6: [Need; 2] =
    [("net/ipv6/conf/{}/force_forwarding", "1"), ("net/ipv6/conf/{}/accept_redirects", "0")];
/// The setting of a forwarding interface by which the host has no default route: otherwise any machine there could make
/// itself the gateway's router, by a router advertisement.
const INSIDE6: Need = ("net/ipv6/conf/{}/accept_ra", "0");
/// The setting of an interface by which the host has its default route: a router accepts none, unless it is told to.
const OUTSIDE6: Need = ("net/ipv6/conf/{}/accept_ra", "2");
/// The switch of all interfaces for IPv6.
const EVERYWHERE6: Need = (ALL6, "1");

/// The name of the values that a new interface begins with.
const DEFAULT: &str = "default";

/// The kernel settings that a ruleset needs.
pub(super) struct RulesetSettings {
    /// Each, by path.
    pub(super) needs: Vec<(String, String)>,
    /// Those of interfaces that are still to come.
    pub(super) coming: Vec<Sysctl>,
    /// Those that are to be changed.
    pub(super) changes: Vec<Sysctl>,
    /// Those that would have to be, if the ruleset turned forwarding on.
    pub(super) idle: Vec<Sysctl>,
}

/// Returns the settings of `ruleset`, as far as they differ from those of the host.
pub(super) fn settings(
    ruleset: &RulesetSpec,
    made: &CompiledRules,
    here: &HostNetwork,
    read: impl Fn(&str) -> Option<String>,
) -> RulesetSettings {
    let needed = needed(made, here, read);
    let needs = needed.iter().map(|one| (one.path.clone(), one.set.clone())).collect();
    let coming = needed.iter().filter(|one| one.absent).cloned().collect();
    let changes = needed.into_iter().filter(Sysctl::is_change).collect();
    if ruleset.is_forwarding() {
        return RulesetSettings { needs, coming, changes, idle: Vec::new() };
    }
    RulesetSettings { needs: Vec::new(), coming: Vec::new(), changes: Vec::new(), idle: changes }
}

/// Returns the settings that make the kernel forward packets as `rules` need it, including those that are set
/// already, and those of interfaces that are still to come. For IPv4 it is enough that both interfaces of a path forward; IPv6 supports that from Linux 6.17 on, and before it
/// only all interfaces or none.
pub(super) fn needed(
    rules: &CompiledRules,
    here: &HostNetwork,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Sysctl> {
    let mut needs = GatewayNeeds { here, read, all: Vec::new() };
    if rules.families.contains(&Family::V4) {
        needs.forward4(rules);
    }
    if rules.families.contains(&Family::V6) {
        needs.forward6(rules);
    }
    needs.all
}

struct GatewayNeeds<'h, R> {
    here: &'h HostNetwork,
    read: R,
    all: Vec<Sysctl>,
}

impl<R: Fn(&str) -> Option<String>> GatewayNeeds<'_, R> {
    fn forward4(&mut self, rules: &CompiledRules) {
        let [_, (redirects, _)] = INTERFACE4;
        if rules.is_passing_elsewhere {
            for need in EVERYWHERE4 {
                self.need(need, "");
            }
        } else {
            let [switch, _] = INTERFACE4;
            self.need_each(switch, &rules.passing);
            let comes_and_goes = self.comes_and_goes(rules);
            if comes_and_goes {
                self.need(switch, DEFAULT);
            }
            // Where no interface obeys redirects, that one setting is enough.
            if self.is(REDIRECTS4, "0") {
                let [_, all] = EVERYWHERE4;
                self.need(all, "");
            } else {
                self.need_each((redirects, "0"), &rules.passing);
                if comes_and_goes {
                    self.need((redirects, "0"), DEFAULT);
                }
            }
        }
        if !rules.hairpins.is_empty() {
            let [all, own] = HAIRPIN4;
            self.need(all, "");
            self.need_each(own, &rules.hairpins);
        }
    }

    fn forward6(&mut self, rules: &CompiledRules) {
        let [switch @ (force, _), redirects] = INTERFACE6;
        let can_force = !rules.is_passing_elsewhere
            && rules.passing.iter().all(|device| self.can(force, device.as_str()));
        let is_on = self.is(ALL6, "1");
        if can_force && !is_on {
            self.need_each(switch, &rules.passing);
            self.need_each(redirects, &rules.passing);
            if self.comes_and_goes(rules) {
                self.need(switch, DEFAULT);
                self.need(redirects, DEFAULT);
            }
            for device in &rules.passing {
                let is_outside = self.here.default_devices6.contains(device.as_str());
                let (advertisements, no) = INSIDE6;
                let now = (self.read)(&path(advertisements, device.as_str()));
                // A value of 2 means that they are wanted on a router.
                if !is_outside && matches!(now.as_deref(), Some("0" | "1")) {
                    self.need((advertisements, no), device.as_str());
                }
            }
            return;
        }
        for device in &self.here.default_devices6 {
            match (self.read)(&path(OUTSIDE6.0, device)).as_deref() {
                Some("1") if !is_on => self.need(OUTSIDE6, device),
                Some("2") => self.need(OUTSIDE6, device),
                _ => {}
            }
        }
        self.need(EVERYWHERE6, "");
    }

    /// Returns true if the kernel has this setting for the interface, or will have it.
    fn can(&self, form: &str, device: &str) -> bool {
        let is_absent = !self.here.interfaces.iter().any(|name| name == device);
        let device = if is_absent { DEFAULT } else { device };
        (self.read)(&path(form, device)).is_some()
    }

    /// Returns true if an interface between which packets are forwarded is not there yet, or is one of those that are
    /// made anew with each connection: it begins with the values of `default`, before any program could set its own.
    fn comes_and_goes(&self, rules: &CompiledRules) -> bool {
        let is_one = |device: &Interface| !self.here.has(device) || self.here.is_volatile(device);
        !rules.coming.is_empty() || rules.passing.iter().any(is_one)
    }

    fn need_each(&mut self, need: Need, devices: &BTreeSet<Interface>) {
        for device in devices {
            self.need(need, device.as_str());
        }
    }

    /// Adds a setting. One of an interface that does not exist (yet) is set once it comes; any other that does not exist is
    /// unknown to this kernel.
    fn need(&mut self, (form, value): Need, device: &str) {
        let path = path(form, device);
        let now = (self.read)(&path);
        let absent = now.is_none()
            && is_later(device)
            && !self.here.interfaces.iter().any(|name| name == device);
        let inherited = || (self.read)(&self::path(form, DEFAULT)).filter(|_| absent);
        let Some(was) = now.or_else(inherited) else { return };
        let beside = match path.as_str() {
            ALL4 | ALL6 if was != value => self.beside(&path, value),
            _ => Vec::new(),
        };
        let switch_was = switch_of(&path).and_then(&self.read).unwrap_or_default();
        let set = value.to_owned();
        self.all.push(Sysctl { path, was, set, beside, switch_was, absent });
    }

    fn is(&self, path: &str, value: &str) -> bool {
        (self.read)(path).as_deref() == Some(value)
    }

    /// Returns the settings below the switch at `path` that have the value already.
    fn beside(&self, path: &str, value: &str) -> Vec<String> {
        let family = if path == ALL4 { "ipv4" } else { "ipv6" };
        let devices = self.here.interfaces.iter().map(String::as_str).chain(["default"]);
        let paths = devices.map(|device| format!("net/{family}/conf/{device}/forwarding"));
        paths.filter(|path| self.is(path, value)).collect()
    }
}

/// Returns a warning for each forward whose connections the kernel's reverse path filter drops: those that come in by an
/// interface by which their answers would not go out, such as a second uplink. That filter is the owner's choice, and is
/// not changed.
pub(super) fn reverse_path(
    parts: &[RulesetPart],
    here: &HostNetwork,
    read: impl Fn(&str) -> Option<String>,
) -> Vec<Warning> {
    const STRICT: u8 = 1;
    let filter = |device: &str| -> Option<u8> {
        read(&path("net/ipv4/conf/{}/rp_filter", device))?.parse().ok()
    };
    let warning = |part: &Forward, device: &Interface| {
        let default = here.default_device.as_deref().and_then(|name| Interface::parse(name).ok());
        let from = part.from.iter().flat_map(NetSet::nets);
        let mut back: BTreeSet<_> = from.flat_map(|net| here.devices_of(net)).collect();
        if back.is_empty() {
            back.extend(default);
        }
        let is_strict = filter("all").max(filter(device.as_str())) == Some(STRICT);
        if part.to.is_ipv6() || !is_strict || back.is_empty() || back.contains(device) {
            return None;
        }
        let setting = key(&path("net/ipv4/conf/{}/rp_filter", device.as_str()));
        let back: Vec<_> = back.iter().map(Interface::as_str).collect();
        let text = format!(
            "{setting} is strict: the kernel drops the connections of `{} {}` by {device}, since their answers would go \
             out by {}",
            part.what,
            part.ports,
            back.join(" and ")
        );
        let remedy = format!("sysctl -w {setting}=2");
        Some(Warning { about: "reverse path", text, remedy })
    };
    let forwards = parts.iter().filter_map(|part| match part {
        RulesetPart::Forward(part) => Some(part),
        _ => None,
    });
    let devices = |part: &Forward| {
        let device = part.device.as_ref()?;
        here.resolve(device, Some(Family::V4), None).ok()
    };
    let each = |part| {
        let devices = devices(part).unwrap_or_default();
        devices.into_iter().filter_map(move |device| warning(part, &device))
    };
    forwards.flat_map(each).collect()
}

/// Returns true if the setting is the value that new interfaces begin with.
pub(super) fn is_default(path: &str) -> bool {
    path.split('/').nth(3) == Some(DEFAULT)
}

/// Returns true if the name is that of an interface, and not of all or of the values that a new one gets.
fn is_later(device: &str) -> bool {
    !matches!(device, "" | "all" | DEFAULT)
}

fn path(form: &str, device: &str) -> String {
    form.replace("{}", device)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::Net;

    fn devices(names: &[&str]) -> BTreeSet<Interface> {
        names.iter().map(|name| Interface::parse(name).unwrap()).collect()
    }

    fn rules(families: &[Family], names: &[&str], elsewhere: bool) -> CompiledRules {
        CompiledRules {
            families: families.iter().copied().collect(),
            passing: devices(names),
            is_passing_elsewhere: elsewhere,
            ..CompiledRules::default()
        }
    }

    fn here(outside: &[&str]) -> HostNetwork {
        HostNetwork {
            interfaces: ["lan0", "wan0"].map(str::to_owned).into(),
            default_devices6: outside.iter().map(|&name| name.to_owned()).collect(),
            ..HostNetwork::default()
        }
    }

    fn found(rules: &CompiledRules, here: &HostNetwork, kernel: &[(&str, &str)]) -> Vec<Sysctl> {
        let kernel: BTreeMap<_, _> = kernel.iter().copied().collect();
        needed(rules, here, |path| kernel.get(path).map(|&value| value.into()))
    }

    #[track_caller]
    fn expect(rules: &CompiledRules, kernel: &[(&str, &str)], changes: &[&str]) {
        let found = found(rules, &here(&["lan0", "wan0"]), kernel);
        let found = found.iter().filter(|one| one.is_change()).map(Sysctl::words);
        assert_eq!(found.collect::<Vec<_>>(), changes);
    }

    #[test]
    fn only_the_interfaces_of_a_way_forward_ipv4_and_obey_no_redirects() {
        let kernel = [
            (ALL4, "0"),
            (REDIRECTS4, "1"),
            ("net/ipv4/conf/lan0/forwarding", "0"),
            ("net/ipv4/conf/lan0/accept_redirects", "1"),
            ("net/ipv4/conf/wan0.7/forwarding", "1"),
            ("net/ipv4/conf/wan0.7/accept_redirects", "1"),
            ("net/ipv4/conf/other/accept_redirects", "1"),
        ];
        let way = rules(&[Family::V4], &["lan0", "wan0.7", "gone0"], false);
        let changes = [
            "net.ipv4.conf.lan0.forwarding 0 -> 1",
            "net.ipv4.conf.lan0.accept_redirects 1 -> 0",
            "net.ipv4.conf.wan0/7.accept_redirects 1 -> 0",
        ];
        expect(&way, &kernel, &changes);
        let changes = ["net.ipv4.ip_forward 0 -> 1", "net.ipv4.conf.all.accept_redirects 1 -> 0"];
        expect(&rules(&[Family::V4], &["lan0"], true), &kernel, &changes);
        expect(&rules(&[], &["lan0"], false), &kernel, &[]);
    }

    #[test]
    fn a_host_that_obeys_no_redirects_anywhere_needs_that_to_stay() {
        let kernel = [
            (ALL4, "0"),
            (REDIRECTS4, "0"),
            ("net/ipv4/conf/lan0/forwarding", "0"),
            ("net/ipv4/conf/lan0/accept_redirects", "1"),
        ];
        let way = rules(&[Family::V4], &["lan0"], false);
        expect(&way, &kernel, &["net.ipv4.conf.lan0.forwarding 0 -> 1"]);
        let found = found(&way, &here(&[]), &kernel);
        let needs: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.set.as_str())).collect();
        assert_eq!(needs, [("net/ipv4/conf/lan0/forwarding", "1"), (REDIRECTS4, "0")]);
    }

    #[test]
    fn hairpins_send_no_redirects() {
        let kernel = [
            (REDIRECTS4, "0"),
            ("net/ipv4/conf/all/send_redirects", "1"),
            ("net/ipv4/conf/lan0/send_redirects", "1"),
            ("net/ipv4/conf/wan0/send_redirects", "1"),
        ];
        let way = CompiledRules {
            hairpins: devices(&["lan0"]),
            ..rules(&[Family::V4], &["lan0", "wan0"], false)
        };
        let changes =
            ["net.ipv4.conf.all.send_redirects 1 -> 0", "net.ipv4.conf.lan0.send_redirects 1 -> 0"];
        expect(&way, &kernel, &changes);
    }

    #[test]
    fn ipv6_forwards_by_interface_where_the_kernel_can() {
        let new = [
            (ALL6, "0"),
            ("net/ipv6/conf/lan0/force_forwarding", "0"),
            ("net/ipv6/conf/lan0/accept_redirects", "1"),
            ("net/ipv6/conf/wan0/force_forwarding", "0"),
            ("net/ipv6/conf/wan0/accept_redirects", "1"),
            ("net/ipv6/conf/wan0/accept_ra", "1"),
        ];
        let both = rules(&[Family::V6], &["lan0", "wan0"], false);
        let forced = [
            "net.ipv6.conf.lan0.force_forwarding 0 -> 1",
            "net.ipv6.conf.wan0.force_forwarding 0 -> 1",
            "net.ipv6.conf.lan0.accept_redirects 1 -> 0",
            "net.ipv6.conf.wan0.accept_redirects 1 -> 0",
        ];
        expect(&both, &new, &forced);
        let old = [(ALL6, "0"), ("net/ipv6/conf/wan0/accept_ra", "1")];
        let all = ["net.ipv6.conf.wan0.accept_ra 1 -> 2", "net.ipv6.conf.all.forwarding 0 -> 1"];
        expect(&both, &old, &all);
        // Both have a default route from router advertisements.
        let two = [&old[..], &[("net/ipv6/conf/lan0/accept_ra", "1")]].concat();
        expect(&both, &two, &[&["net.ipv6.conf.lan0.accept_ra 1 -> 2"], &all[..]].concat());
        expect(&both, &[(ALL6, "1")], &[]);
    }

    #[test]
    fn no_host_inside_becomes_the_router_of_a_gateway() {
        let kernel = |lan| {
            [
                (ALL6, "0"),
                ("net/ipv6/conf/lan0/force_forwarding", "1"),
                ("net/ipv6/conf/lan0/accept_ra", lan),
                ("net/ipv6/conf/wan0/force_forwarding", "1"),
                ("net/ipv6/conf/wan0/accept_ra", "1"),
            ]
        };
        let both = rules(&[Family::V6], &["lan0", "wan0"], false);
        for (lan, changes) in [
            ("1", &["net.ipv6.conf.lan0.accept_ra 1 -> 0"][..]),
            ("0", &[]),
            // Somebody has said that they are wanted on a router.
            ("2", &[]),
        ] {
            let found = found(&both, &here(&["wan0"]), &kernel(lan));
            let found = found.iter().filter(|one| one.is_change()).map(Sysctl::words);
            assert_eq!(found.collect::<Vec<_>>(), changes, "{lan}");
        }
    }

    #[test]
    fn a_strict_filter_of_a_second_uplink_is_told() {
        let told = |device: &str, from: Option<&str>, all: &str, own: &str| {
            let here = HostNetwork {
                default_device: Some("wan0".into()),
                routes: vec![(Net::parse("192.168.0.0/24").unwrap(), "lan0".into())],
                ..HostNetwork::default()
            };
            let from = from.map(crate::model::tests::nets);
            let device = Some(crate::model::tests::device(device));
            let part = Forward { device, from, ..crate::model::tests::forward("80", "10.0.0.5") };
            let read = |path: &str| {
                Some(if path.contains("/all/") { all.to_owned() } else { own.to_owned() })
            };
            let told = reverse_path(&[RulesetPart::Forward(part)], &here, read);
            told.first().map(|warning| warning.remedy.clone())
        };
        let loose = Some("sysctl -w net.ipv4.conf.wan1.rp_filter=2".to_owned());
        assert_eq!(told("wan1", None, "0", "1"), loose);
        assert_eq!(told("wan1", None, "1", "0"), loose);
        assert_eq!(told("wan1", Some("198.51.100.0/24"), "1", "0"), loose);
        for (all, own) in [("0", "0"), ("1", "2"), ("2", "1")] {
            assert_eq!(told("wan1", None, all, own), None, "{all} {own}");
        }
        assert_eq!(told("wan0", None, "1", "1"), None);
        assert_eq!(told("lan0", Some("192.168.0.7"), "1", "1"), None);
        assert!(told("wan0", Some("192.168.0.7"), "1", "1").is_some());
    }

    #[test]
    fn a_switch_of_all_knows_what_was_on_before_it() {
        let kernel = [
            (ALL4, "0"),
            ("net/ipv4/conf/lan0/forwarding", "1"),
            ("net/ipv4/conf/wan0/forwarding", "0"),
        ];
        let found = found(&rules(&[Family::V4], &["wan0"], true), &here(&[]), &kernel);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].beside, ["net/ipv4/conf/lan0/forwarding"]);
    }
}
