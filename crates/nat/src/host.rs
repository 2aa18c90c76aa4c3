//! The network state of the host on which rules depend: read from `/proc` and over netlink, without privileges.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::{
    NatError,
    check::{Family, Interface, InterfaceSelector, Net},
    netlink::{self, DefaultRoute, NetworkLink, NetworkState},
    session::logins,
};
use portolan_core::error::Result;

/// The port of SSH unless configured otherwise.
const SSH_PORT: u16 = 22;

/// The network state of the host.
#[derive(Debug, Clone, Default)]
pub struct HostNetwork {
    /// The names of its interfaces.
    pub interfaces: Vec<String>,
    /// The routes other than default routes, each with its interface.
    pub routes: Vec<(Net, String)>,
    /// The first interface by which far addresses are reached.
    pub default_device: Option<String>,
    /// The interfaces of all default routes of IPv6.
    pub default_devices6: BTreeSet<String>,
    /// The TCP ports on which it listens for other hosts.
    pub listeners: BTreeSet<u16>,
    /// The SSH ports.
    pub login_ports: BTreeSet<u16>,
    /// Its interfaces as the kernel tells of them; empty if it cannot be asked.
    pub(super) links: Vec<NetworkLink>,
    /// The addresses of its interfaces.
    pub(super) addresses: Vec<(String, IpAddr)>,
    /// Its default routes, those of policy routing included.
    pub(super) defaults: Vec<DefaultRoute>,
    /// The largest packets that its interfaces take, in bytes, as far as they are known.
    pub mtus: BTreeMap<String, u32>,
}

/// An interface with what stays when it is renamed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLink {
    /// Its name.
    pub name: String,
    /// The number that the kernel gives it.
    pub index: u32,
    /// Its MAC address.
    pub mac: String,
}

impl HostNetwork {
    /// Reads the current state.
    pub fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (mut routes, default_device) = routes4(&read("/proc/net/route"));
        let (more, defaults6) = routes6(&read("/proc/net/ipv6_route"));
        routes.extend(more);
        let listeners =
            listeners(&read("/proc/net/tcp")).chain(listeners(&read("/proc/net/tcp6"))).collect();
        let mut login_ports = BTreeSet::from([SSH_PORT]);
        login_ports.extend(logins().iter().map(|login| login.port));
        login_ports.extend(configured_ports(&read("/etc/ssh/sshd_config")));
        for file in fs::read_dir("/etc/ssh/sshd_config.d").into_iter().flatten().flatten() {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            login_ports.extend(configured_ports(&text));
        }
        let NetworkState { links, addresses, defaults } = NetworkState::read().unwrap_or_default();
        let taken = defaults.iter().find(|one| one.is_taken).map(|one| one.device.clone());
        let interfaces = interfaces(&read("/proc/net/dev"));
        let mtus = interfaces.iter().filter_map(|name| Some((name.clone(), mtu(name)?))).collect();
        Self {
            interfaces,
            mtus,
            routes,
            default_device: taken.or(default_device).or(defaults6.first().cloned()),
            default_devices6: defaults6.into_iter().collect(),
            listeners,
            login_ports,
            links,
            addresses,
            defaults,
        }
    }

    /// Returns the interfaces that `device` stands for, for packets of `family` from `source`: `auto` is every one by
    /// which the kernel may send them to far addresses. Fails with `nat.unknown_interface` if there is none.
    pub(super) fn resolve(
        &self,
        device: &InterfaceSelector,
        family: Option<Family>,
        source: Option<Net>,
    ) -> Result<Vec<Interface>> {
        let InterfaceSelector::Named(name) = device else {
            let mut found = self.uplinks(family, source);
            if found.is_empty() {
                // A host with one uplink has it for both families, or will.
                found = self.uplinks(None, source);
            }
            if found.is_empty() {
                found.extend(self.default_device.as_deref());
            }
            if found.is_empty() {
                let message = "\"auto\" is the interface of the default route, and there is none: name the interface";
                return Err(NatError::UnknownInterface.fault(message));
            }
            return found.into_iter().map(Interface::parse).collect();
        };
        Ok(vec![name.clone()])
    }

    /// Returns the interfaces of the default routes that the kernel takes for packets of `family` from `source`: all hops
    /// of the usual one, and those of tables to which policy rules lead such packets.
    fn uplinks(&self, family: Option<Family>, source: Option<Net>) -> Vec<&str> {
        let is_led = |one: &DefaultRoute| {
            let meets = |from: Net| source.is_none_or(|source| source.meets(from));
            one.is_taken || (one.is_ruled && one.from.is_none_or(meets))
        };
        let mut found = Vec::new();
        for one in self.defaults.iter().filter(|one| is_led(one)) {
            let is_new = !found.contains(&one.device.as_str());
            if is_new && family.is_none_or(|family| family == one.family) {
                found.push(one.device.as_str());
            }
        }
        found
    }

    /// Returns the interface that leads to `address`, if a route other than the default one covers it.
    pub fn device_towards(&self, address: IpAddr) -> Option<Interface> {
        let fits = self.routes.iter().filter(|(net, _)| net.has(address));
        let (_, device) = fits.max_by_key(|(net, _)| net.prefix())?;
        Interface::parse(device).ok()
    }

    /// Returns the interfaces behind which parts of `net` are: those of all routes within it, and of the narrowest routes
    /// around it. Default routes do not count.
    pub fn devices_of(&self, net: &Net) -> BTreeSet<Interface> {
        let around = |(route, _): &&(Net, String)| {
            route.prefix() <= net.prefix() && route.has(net.address())
        };
        let narrowest = self.routes.iter().filter(around).map(|(route, _)| route.prefix()).max();
        let is_of = |route: &Net| {
            let is_within = route.prefix() >= net.prefix() && net.has(route.address());
            is_within || Some(route.prefix()) == narrowest && route.has(net.address())
        };
        let devices = self.routes.iter().filter(|(route, _)| is_of(route));
        devices.filter_map(|(_, device)| Interface::parse(device).ok()).collect()
    }

    /// Returns true if packets for `address` are the host's own.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, own)| *own == address)
            || netlink::route(address, &self.links).is_some_and(|route| route.is_local)
    }

    /// Returns the interface by which packets from `peer` come in, as far as their answers tell, and true if it is a tunnel:
    /// then other packets, which come in elsewhere, carry them.
    pub(super) fn way_to(&self, peer: IpAddr) -> Option<(String, bool)> {
        const KINDS: [&str; 13] = [
            "tun",
            "wireguard",
            "gre",
            "gretap",
            "ip6gre",
            "ipip",
            "ip6tnl",
            "sit",
            "vti",
            "xfrm",
            "vxlan",
            "geneve",
            "l2tp",
        ];
        let route = netlink::route(peer, &self.links)?;
        let (device, _) = route.hops.into_iter().next()?;
        let link = self.links.iter().find(|link| link.name == device);
        let is_tunnel = link.is_some_and(|link| KINDS.contains(&link.kind.as_str()));
        Some((device, is_tunnel))
    }

    /// Returns true if an interface of that name is of the kinds that are made anew with each connection or restart of
    /// the network: by what the kernel says of it, or else by its name.
    pub(super) fn is_volatile(&self, device: &Interface) -> bool {
        const KINDS: [&str; 9] =
            ["ppp", "tun", "wireguard", "vlan", "gre", "ipip", "sit", "vti", "xfrm"];
        const NAMES: [&str; 7] = ["ppp", "tun", "tap", "wg", "wwan", "vlan", "vti"];
        let name = device.as_str();
        let link = self.links.iter().find(|link| link.name == name);
        link.is_some_and(|link| KINDS.contains(&link.kind.as_str()))
            || NAMES.iter().any(|start| name.starts_with(start))
            // As VLANs are usually called: eth0.7.
            || name.contains('.')
    }

    /// Returns those of the interfaces `names` that are there and have a MAC address, to be found again under other names.
    pub(super) fn known_links(&self, names: &[String]) -> Vec<KnownLink> {
        let links = self.links.iter().filter(|link| names.contains(&link.name));
        let links = links.filter(|link| !link.mac.is_empty());
        let known = |link: &NetworkLink| KnownLink {
            name: link.name.clone(),
            index: link.index,
            mac: link.mac.clone(),
        };
        links.map(known).collect()
    }

    /// Returns the present name of an interface, if it was renamed: it has the same number and MAC address. Where the old
    /// name is gone, the address alone tells it, if no other interface has that (VLANs have the address of their card).
    pub(super) fn new_name(&self, known: &KnownLink) -> Option<&str> {
        let mut same = self.links.iter().filter(|link| link.mac == known.mac);
        let by_number = same.clone().find(|link| link.index == known.index);
        let is_gone = self.links.iter().all(|link| link.name != known.name);
        let by_address = match (same.next(), same.next()) {
            (Some(only), None) if is_gone => Some(only),
            _ => None,
        };
        let found = by_number.or(by_address)?;
        (found.name != known.name && !known.mac.is_empty()).then_some(found.name.as_str())
    }

    /// Returns true if there is an interface of that name, or one that it stands for.
    pub fn has(&self, device: &Interface) -> bool {
        self.interfaces.iter().any(|name| device.covers(name))
    }
}

/// Returns the MTU of an interface. That of IPv6 is smaller if its router says so, and is read in the network namespace
/// of this process; `/sys` may show another one.
fn mtu(device: &str) -> Option<u32> {
    let paths =
        [format!("/proc/sys/net/ipv6/conf/{device}/mtu"), format!("/sys/class/net/{device}/mtu")];
    paths.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn interfaces(text: &str) -> Vec<String> {
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Returns the networks of `/proc/net/route`, and the interface of the default route with the lowest metric.
fn routes4(text: &str) -> (Vec<(Net, String)>, Option<String>) {
    let mut routes = Vec::new();
    let mut default: Option<(u32, String)> = None;
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [device, target, _, _, _, _, metric, mask, ..] = fields.as_slice() else { continue };
        let (Some(target), Some(mask)) = (address4(target), address4(mask)) else { continue };
        let prefix = u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32);
        if prefix > 0 {
            routes.push((Net::new(target.into(), prefix), (*device).to_owned()));
            continue;
        }
        let metric = metric.parse().unwrap_or(u32::MAX);
        if default.as_ref().is_none_or(|(known, _)| metric < *known) {
            default = Some((metric, (*device).to_owned()));
        }
    }
    (routes, default.map(|(_, device)| device))
}

/// Returns the same for `/proc/net/ipv6_route`, with all default routes; routes to the host itself go over `lo` and are
/// skipped.
fn routes6(text: &str) -> (Vec<(Net, String)>, Vec<String>) {
    let mut routes = Vec::new();
    let mut defaults = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(target), Some(prefix), Some(device)) =
            (fields.first(), fields.get(1), fields.last())
        else {
            continue;
        };
        let (Some(target), Ok(prefix)) = (address6(target), u8::from_str_radix(prefix, 16)) else {
            continue;
        };
        match prefix {
            _ if *device == "lo" => {}
            0 => defaults.push((*device).to_owned()),
            // Every interface has the link-local and the multicast network.
            _ if target.is_unicast_link_local() || target.is_multicast() => {}
            _ => routes.push((Net::new(target.into(), prefix), (*device).to_owned())),
        }
    }
    (routes, defaults)
}

/// Converts an address that the kernel prints as a number in native byte order.
fn address4(hex: &str) -> Option<Ipv4Addr> {
    u32::from_str_radix(hex, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()))
}

fn address6(hex: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32).map(Ipv6Addr::from_bits)
}

/// Returns the ports of `/proc/net/tcp` or `tcp6` that listen on other addresses than loopback.
fn listeners(text: &str) -> impl Iterator<Item = u16> {
    const LISTENING: &str = "0A";
    /// The prefix `::ffff:` in words of native byte order.
    const MAPPED: &str = "0000000000000000FFFF0000";
    text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        let is_listening = fields.nth(1) == Some(LISTENING);
        // An IPv4 address is either by itself or the end of an IPv6 address.
        let v4 = address.strip_prefix(MAPPED).unwrap_or(address);
        let is_loopback = address4(v4).is_some_and(|address| address.is_loopback())
            || address == "00000000000000000000000001000000";
        let port = u16::from_str_radix(port, 16).ok()?;
        (is_listening && !is_loopback).then_some(port)
    })
}

/// Returns the ports that an sshd configuration names, in its `Port` and `ListenAddress` lines.
fn configured_ports(text: &str) -> impl Iterator<Item = u16> {
    text.lines().filter_map(|line| {
        let (key, value) = line.trim().split_once([' ', '\t', '='])?;
        let value = value.split_whitespace().next()?;
        if key.eq_ignore_ascii_case("port") {
            return value.parse().ok();
        }
        if !key.eq_ignore_ascii_case("listenaddress") {
            return None;
        }
        // 10.0.0.1:22, [fd00::1]:22; an IPv6 address without brackets has no port.
        let (host, port) = value.rsplit_once(':')?;
        let is_host = host.ends_with(']') || !host.contains(':');
        is_host.then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        wan0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        ppp0\t00000000\t00000000\t0003\t0\t0\t50\t00000000\t0\t0\t0\n\
        lan0\t0032A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_tell_what_is_behind_which_interface() {
        let (routes, default) = routes4(ROUTES);
        assert_eq!(default.as_deref(), Some("ppp0"));
        let here = HostNetwork { routes, default_device: default, ..HostNetwork::default() };
        let inside = here.device_towards("192.168.50.10".parse().unwrap());
        assert_eq!(inside.unwrap().as_str(), "lan0");
        assert_eq!(here.device_towards("192.168.51.10".parse().unwrap()), None);
        let auto = |here: &HostNetwork| here.resolve(&InterfaceSelector::Auto, None, None);
        assert_eq!(auto(&here).unwrap(), [Interface::parse("ppp0").unwrap()]);
        let fault = auto(&HostNetwork::default()).unwrap_err();
        assert_eq!(fault.name, Some("nat.unknown_interface"));
    }

    #[test]
    fn an_interface_is_found_again_under_another_name() {
        let link = |index, name: &str, mac: &str| NetworkLink {
            index,
            name: name.into(),
            mac: mac.into(),
            ..NetworkLink::default()
        };
        let here =
            |links: &[NetworkLink]| HostNetwork { links: links.to_vec(), ..HostNetwork::default() };
        let before = [link(2, "eth0", "aa"), link(3, "eth1", "bb"), link(4, "ppp0", "")];
        let names = ["eth0", "eth1", "ppp0"].map(str::to_owned);
        let known = here(&before).known_links(&names);
        assert_eq!(known.len(), 2, "what has no address is not found again");
        let [eth0, eth1] = known.as_slice() else { panic!("{known:?}") };
        assert_eq!(here(&before).new_name(eth0), None);
        // Renamed; two that exchange their names; made anew under another number, such as after a reboot.
        assert_eq!(here(&[link(2, "lan", "aa")]).new_name(eth0), Some("lan"));
        let swapped = here(&[link(3, "eth0", "bb"), link(2, "eth1", "aa")]);
        assert_eq!((swapped.new_name(eth0), swapped.new_name(eth1)), (Some("eth1"), Some("eth0")));
        assert_eq!(here(&[link(9, "lan", "aa")]).new_name(eth0), Some("lan"));
        // Another card of that name; a VLAN with the address of the card; a card that is gone.
        assert_eq!(here(&[link(9, "eth0", "cc")]).new_name(eth0), None);
        assert_eq!(here(&[link(9, "a", "aa"), link(10, "a.7", "aa")]).new_name(eth0), None);
        assert_eq!(here(&[link(9, "eth0", "cc"), link(10, "b", "aa")]).new_name(eth0), None);
        assert_eq!(here(&[]).new_name(eth0), None);
    }

    #[test]
    fn a_network_may_be_behind_several_interfaces() {
        let routes = [
            ("192.168.0.0/24", "lan0"),
            ("192.168.7.0/24", "lan1"),
            ("192.168.0.0/16", "vpn0"),
            ("10.0.0.0/8", "wan0"),
        ];
        let routes = routes.map(|(net, device)| (Net::parse(net).unwrap(), device.to_owned()));
        let here = HostNetwork { routes: routes.into(), ..HostNetwork::default() };
        for (net, devices) in [
            ("192.168.0.0/16", &["lan0", "lan1", "vpn0"][..]),
            ("192.168.6.0/23", &["lan1", "vpn0"]),
            ("192.168.7.0/24", &["lan1"]),
            ("192.168.7.5", &["lan1"]),
            ("192.168.9.0/24", &["vpn0"]),
            ("0.0.0.0/0", &["lan0", "lan1", "vpn0", "wan0"]),
            ("172.16.0.0/12", &[]),
            ("fd00::/8", &[]),
        ] {
            let found = here.devices_of(&Net::parse(net).unwrap());
            assert_eq!(found.iter().map(Interface::as_str).collect::<Vec<_>>(), devices, "{net}");
        }
    }

    #[test]
    fn auto_is_every_way_that_packets_may_take() {
        let route = |family, device: &str, is_taken, from: Option<&str>| DefaultRoute {
            family,
            device: device.into(),
            gateway: None,
            table: 254,
            is_taken,
            is_ruled: from.is_some(),
            from: from.and_then(|net| Net::parse(net).ok()),
        };
        let here = HostNetwork {
            defaults: vec![
                route(Family::V4, "eth1", true, None),
                route(Family::V4, "eth2", true, None),
                route(Family::V4, "backup0", false, None),
                route(Family::V4, "wg0", false, Some("192.168.0.0/25")),
                route(Family::V6, "he0", true, None),
            ],
            ..HostNetwork::default()
        };
        let auto = |family, source: &str| {
            let found = here.resolve(&InterfaceSelector::Auto, family, Net::parse(source).ok());
            found.unwrap().iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(auto(Some(Family::V4), "192.168.0.0/24"), "eth1 eth2 wg0");
        assert_eq!(auto(Some(Family::V4), "192.168.0.128/25"), "eth1 eth2");
        assert_eq!(auto(Some(Family::V6), "fd00::/64"), "he0");
        assert_eq!(auto(None, "192.168.0.0/24"), "eth1 eth2 wg0 he0");
    }

    #[test]
    fn routes_of_ipv6_are_read() {
        let zero = "0".repeat(32);
        let line = |target: &str, prefix: &str, device: &str| {
            format!(
                "{target} {prefix} {zero} 00 {zero} 00000100 00000001 00000000 00000001     {device}\n"
            )
        };
        let lan = format!("fd50{}", "0".repeat(28));
        let text = [
            line(&lan, "40", "lan0"),
            line(&format!("fe80{}", "0".repeat(28)), "40", "wan0"),
            line(&zero, "00", "wan0"),
            line(&zero, "00", "lo"),
        ];
        let (routes, default) = routes6(&text.concat());
        assert_eq!(routes, [(Net::parse("fd50::/64").unwrap(), "lan0".to_owned())]);
        assert_eq!(default, ["wan0"]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_others_can_reach_listens() {
        let text = "  sl  local_address rem_address   st\n\
            0: 00000000:0016 00000000:0000 0A 0\n\
            1: 0100007F:0019 00000000:0000 0A 0\n\
            2: 0A32A8C0:9C40 0101A8C0:0015 01 0\n";
        assert_eq!(listeners(text).collect::<Vec<_>>(), [22]);
        let text = "sl\n0: 00000000000000000000000000000000:0015 0:0 0A\n\
                    1: 00000000000000000000000001000000:0050 0:0 0A\n\
                    2: 0000000000000000FFFF00000100007F:0051 0:0 0A\n";
        assert_eq!(listeners(text).collect::<Vec<_>>(), [21]);
    }

    #[test]
    fn ssh_may_be_told_to_listen_elsewhere() {
        let text = "#Port 22\nPort 2222\n  port\t443\nPermitRootLogin no\nListenAddress 10.0.0.1:23\n\
                    ListenAddress [fd00::1]:24 rdomain x\nListenAddress fd00::25\nListenAddress 10.0.0.1\n";
        assert_eq!(configured_ports(text).collect::<Vec<_>>(), [2222, 443, 23, 24]);
    }
}
