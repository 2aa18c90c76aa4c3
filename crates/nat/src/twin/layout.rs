//! The network of a host as commands of `ip` that build it again: interfaces, addresses, routes, policy rules, and the
//! kernel settings that decide about packets. Reading is a driver; everything else is pure.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{sysctl, tools};

/// The settings of one interface, and of `all` and `default`, that decide about packets.
const SETTINGS_OF_DEVICES: [&str; 8] = [
    "net/ipv4/conf/DEVICE/forwarding",
    "net/ipv4/conf/DEVICE/rp_filter",
    "net/ipv4/conf/DEVICE/accept_local",
    "net/ipv4/conf/DEVICE/route_localnet",
    "net/ipv4/conf/DEVICE/src_valid_mark",
    "net/ipv6/conf/DEVICE/disable_ipv6",
    "net/ipv6/conf/DEVICE/forwarding",
    "net/ipv6/conf/DEVICE/force_forwarding",
];
/// The same settings of the whole host. The first comes first: it sets those of all interfaces.
const SETTINGS: [&str; 6] = [
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_helper",
    "net/netfilter/nf_conntrack_tcp_loose",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];
/// The policy rules that every namespace has.
const USUAL_RULES: [&str; 3] = [
    "0:\tfrom all lookup local",
    "32766:\tfrom all lookup main",
    "32767:\tfrom all lookup default",
];

/// The network of a host, as `ip` tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) links: Vec<CopiedLink>,
    /// The routes of IPv4 and of IPv6.
    pub(super) routes: [Vec<CopiedRoute>; 2],
    /// The policy rules of IPv4 and of IPv6, as `ip rule` prints them.
    pub(super) rules: [String; 2],
    /// The kernel settings, by path.
    pub(super) settings: Vec<(String, String)>,
}

/// One interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CopiedLink {
    pub(super) ifindex: u32,
    pub(super) ifname: String,
    flags: Vec<String>,
    mtu: u32,
    #[serde(rename = "link_type")]
    medium: String,
    address: String,
    master: Option<String>,
    #[serde(rename = "linkinfo")]
    kind: LinkInfo,
    pub(super) addr_info: Vec<LinkAddress>,
}

/// The kind of an interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct LinkInfo {
    info_kind: String,
    info_data: LinkData,
}

/// The data of an interface that depends on its kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct LinkData {
    /// The routing table of a VRF.
    table: Option<u32>,
}

/// One address of an interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LinkAddress {
    pub(super) local: Option<IpAddr>,
    /// The other end of a point-to-point link.
    address: Option<IpAddr>,
    prefixlen: u8,
    broadcast: Option<IpAddr>,
    pub(super) scope: String,
}

/// One route.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CopiedRoute {
    #[serde(rename = "type")]
    kind: Option<String>,
    dst: String,
    gateway: Option<String>,
    via: Option<HopAddress>,
    dev: Option<String>,
    table: Option<serde_json::Value>,
    prefsrc: Option<String>,
    metric: Option<u32>,
    nexthops: Vec<CopiedRoute>,
    weight: Option<u32>,
}

/// A gateway of the other family.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct HopAddress {
    family: String,
    host: String,
}

impl Layout {
    /// Reads the network of this host; `None` if there is no `ip` that can tell it.
    pub(super) fn read() -> Option<Self> {
        let links: Vec<CopiedLink> = told(&["ip", "-d", "-j", "addr"])?;
        let routes = ["-4", "-6"].map(|family| {
            told(&["ip", family, "-j", "route", "show", "table", "all"]).unwrap_or_default()
        });
        let rules = ["-4", "-6"].map(|family| {
            let ran = tools::run(&["ip", family, "rule"], "").ok().filter(|ran| ran.ok);
            ran.map(|ran| ran.out).unwrap_or_default()
        });
        let devices =
            ["all", "default"].into_iter().chain(links.iter().map(|link| link.ifname.as_str()));
        let each = devices
            .flat_map(|device| SETTINGS_OF_DEVICES.map(|path| path.replace("DEVICE", device)));
        let paths = SETTINGS.map(str::to_owned).into_iter().chain(each);
        let settings =
            paths.filter_map(|path| sysctl::read(&path).map(|value| (path, value))).collect();
        Some(Self { links: links.into_iter().filter(is_plain).collect(), routes, rules, settings })
    }

    /// Returns the interface of that name.
    pub(super) fn link(&self, device: &str) -> Option<&CopiedLink> {
        self.links.iter().find(|link| link.ifname == device)
    }

    /// Returns the addresses of the host.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.links.iter().flat_map(|link| &link.addr_info).filter_map(|one| one.local)
    }

    /// Returns true if the host has `address`.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        self.addresses().any(|local| local == address)
    }

    /// Returns the commands that build the network, as batches to be run in this order: `ip` ends a batch at the first
    /// name that it does not know, such as that of a master that cannot be made here. The cables of the interfaces in
    /// `worlds` lead to the namespaces of those processes, as `w`; all others end in the same namespace.
    pub(super) fn commands(&self, worlds: &BTreeMap<String, u32>) -> [String; 3] {
        let [mut links, mut masters] = [String::from("link set lo up\n"), String::new()];
        for link in self.links.iter().filter(|link| link.ifname != "lo") {
            link.make(&mut links, worlds.get(&link.ifname).copied());
            if let Some(master) = link.master.as_ref().filter(|master| self.is_master(master)) {
                writeln!(masters, "link set {} master {master}", link.ifname).ok();
            }
        }
        let mut addresses = String::new();
        for link in self.links.iter().filter(|link| link.is_up()) {
            writeln!(addresses, "link set {} up", link.ifname).ok();
        }
        for link in &self.links {
            for address in &link.addr_info {
                address.add(&mut addresses, &link.ifname);
            }
        }
        [links, masters, addresses]
    }

    /// Returns true if the packet filter sees that interface in place of its ports.
    fn is_master(&self, device: &str) -> bool {
        let kind = self.link(device).map(|link| link.kind.info_kind.as_str());
        matches!(kind, Some("bridge" | "vrf"))
    }

    /// Returns the address to which packets for the host are sent on `device`: that of the bridge, if it is a port.
    pub(super) fn mac_towards(&self, device: &str) -> Option<String> {
        let link = self.link(device)?;
        let bridge = link.master.as_deref().and_then(|master| self.link(master));
        let bridge = bridge.filter(|master| master.kind.info_kind == "bridge");
        Some(bridge.unwrap_or(link).mac())
    }

    /// Returns the port of a bridge by which packets for `device` come in: itself, or the port made for a bridge.
    pub(super) fn bridge_port(&self, device: &str) -> Option<String> {
        let link = self.link(device)?;
        if link.kind.info_kind == "bridge" {
            return Some(format!("tw-p{}", link.ifindex));
        }
        let master = link.master.as_deref().and_then(|master| self.link(master))?;
        (master.kind.info_kind == "bridge" && link.is_up()).then(|| device.to_owned())
    }

    /// Returns the commands for the routes and policy rules of IPv4 (0) or IPv6 (1).
    pub(super) fn route_commands(&self, family: usize) -> String {
        let (routes, rules) = (self.routes.get(family), self.rules.get(family));
        let mut text = String::new();
        for route in routes.into_iter().flatten().filter(|route| route.is_copied()) {
            writeln!(text, "route append {}", route.words()).ok();
        }
        let rules = rules.into_iter().flat_map(|rules| rules.lines()).map(str::trim_end);
        for rule in rules.filter(|rule| !USUAL_RULES.contains(rule)) {
            let Some((priority, rest)) = rule.split_once(':') else { continue };
            let rest = rest.replace("lookup [l3mdev-table]", "l3mdev").replace("[detached]", "");
            writeln!(text, "rule add pref {priority} {}", rest.trim()).ok();
        }
        text
    }
}

/// Runs a command of `ip -j`, and parses its output.
fn told<T: DeserializeOwned>(words: &[&str]) -> Option<T> {
    let ran = tools::run(words, "").ok().filter(|ran| ran.ok)?;
    serde_json::from_str(&ran.out).ok()
}

/// Returns the interface by which this host sends packets to `address`, by its policy rules and routes.
pub(super) fn device_towards(address: IpAddr) -> Option<String> {
    let routes: Vec<CopiedRoute> = told(&["ip", "-j", "route", "get", &address.to_string()])?;
    routes.into_iter().next()?.dev
}

/// Returns true if a port of a bridge passes packets on.
pub(super) fn is_forwarding(port: &str) -> bool {
    let ran = tools::run(&["ip", "-d", "link", "show", "dev", port], "");
    ran.is_ok_and(|ran| ran.out.contains("bridge_slave state forwarding"))
}

/// Returns true if the name can be a word of a command of `ip`.
fn is_plain(link: &CopiedLink) -> bool {
    let is_safe = |c: char| c.is_ascii_graphic() && !"\"'\\#".contains(c);
    !link.ifname.is_empty() && link.ifname.chars().all(is_safe)
}

impl CopiedLink {
    fn make(&self, text: &mut String, world: Option<u32>) {
        let Self { ifname, ifindex, mtu, .. } = self;
        let end = match world {
            Some(pid) => format!("w netns {pid}"),
            None => format!("tw-w{ifindex}"),
        };
        let mac = self.mac();
        match (self.kind.info_kind.as_str(), self.kind.info_data.table) {
            ("bridge", _) => {
                // A bridge passes nothing without a port.
                writeln!(text, "link add name {ifname} address {mac} type bridge").ok();
                writeln!(text, "link add name tw-p{ifindex} type veth peer name {end}").ok();
                writeln!(text, "link set tw-p{ifindex} up").ok();
                writeln!(text, "link set tw-p{ifindex} master {ifname}").ok();
            }
            ("vrf", Some(table)) => {
                writeln!(text, "link add name {ifname} type vrf table {table}").ok();
            }
            _ => {
                writeln!(text, "link add name {ifname} address {mac} type veth peer name {end}")
                    .ok();
            }
        }
        writeln!(text, "link set {ifname} mtu {mtu}").ok();
        if world.is_none() {
            writeln!(text, "link set tw-w{ifindex} up").ok();
        }
    }

    fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    /// Returns its own address on Ethernet, or one that stands for it.
    fn mac(&self) -> String {
        if self.medium == "ether" && !self.address.is_empty() {
            return self.address.clone();
        }
        let [.., high, low] = self.ifindex.to_be_bytes();
        format!("02:00:00:00:{high:02x}:{low:02x}")
    }
}

impl LinkAddress {
    fn add(&self, text: &mut String, device: &str) {
        let Some(local) = self.local else { return };
        let prefix = self.prefixlen;
        let peer = self.address.map_or_else(
            || format!("{local}/{prefix}"),
            |peer| format!("{local} peer {peer}/{prefix}"),
        );
        let broadcast =
            self.broadcast.map(|address| format!(" broadcast {address}")).unwrap_or_default();
        // The routes are copied apart, and there is no other host whose address it might be.
        let nodad = if local.is_ipv6() { " nodad" } else { "" };
        writeln!(text, "addr add {peer}{broadcast} dev {device} noprefixroute{nodad}").ok();
    }
}

impl CopiedRoute {
    /// Returns true unless the kernel makes it by itself.
    fn is_copied(&self) -> bool {
        match self.kind.as_deref() {
            Some("broadcast" | "anycast" | "multicast") => false,
            Some("local") => self.dev.as_deref() == Some("lo"),
            _ => true,
        }
    }

    fn words(&self) -> String {
        let mut text = String::new();
        if let Some(kind) = &self.kind {
            write!(text, "{kind} ").ok();
        }
        text.push_str(&self.dst);
        match &self.table {
            Some(serde_json::Value::String(table)) => write!(text, " table {table}").ok(),
            Some(table) => write!(text, " table {table}").ok(),
            None => None,
        };
        if let Some(metric) = self.metric {
            write!(text, " metric {metric}").ok();
        }
        if let Some(source) = &self.prefsrc {
            write!(text, " src {source}").ok();
        }
        if self.nexthops.is_empty() {
            text.push_str(&self.hop());
        }
        for hop in &self.nexthops {
            write!(text, " nexthop{} weight {}", hop.hop(), hop.weight.unwrap_or(1)).ok();
        }
        text
    }

    /// Returns the way to the next host. Whether that host is on the link was checked when the route was made.
    fn hop(&self) -> String {
        let mut text = String::new();
        if let Some(gateway) = &self.gateway {
            write!(text, " via {gateway}").ok();
        }
        if let Some(HopAddress { family, host }) = &self.via {
            write!(text, " via {family} {host}").ok();
        }
        if let Some(device) = &self.dev {
            write!(text, " dev {device}").ok();
            if self.gateway.is_some() || self.via.is_some() {
                text.push_str(" onlink");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: &str = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"link_type":"loopback",
        "address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
        {"ifindex":2,"ifname":"eth0","flags":["UP"],"mtu":1500,"link_type":"ether","address":"0a:00:00:00:00:02","master":"br0",
        "addr_info":[]},
        {"ifindex":3,"ifname":"br0","flags":["UP"],"mtu":1500,"link_type":"ether","address":"0a:00:00:00:00:03",
        "linkinfo":{"info_kind":"bridge"},"addr_info":[{"local":"192.168.0.1","prefixlen":24,"broadcast":"192.168.0.255","scope":"global"}]},
        {"ifindex":4,"ifname":"ppp0","flags":[],"mtu":1492,"link_type":"ppp","addr_info":[
        {"local":"203.0.113.1","address":"203.0.113.10","prefixlen":32,"scope":"global"}]},
        {"ifindex":5,"ifname":"a\"b","flags":[],"mtu":1500,"addr_info":[]}]"#;

    fn layout() -> Layout {
        let links: Vec<CopiedLink> = serde_json::from_str(LINKS).unwrap();
        Layout { links: links.into_iter().filter(is_plain).collect(), ..Layout::default() }
    }

    #[test]
    fn interfaces_become_commands() {
        let text = layout().commands(&BTreeMap::from([("ppp0".to_owned(), 77)])).concat();
        for line in [
            "link add name eth0 address 0a:00:00:00:00:02 type veth peer name tw-w2",
            "link add name br0 address 0a:00:00:00:00:03 type bridge",
            "link set tw-p3 master br0",
            "link set eth0 master br0",
            "link add name ppp0 address 02:00:00:00:00:04 type veth peer name w netns 77",
            "link set ppp0 mtu 1492",
            "addr add 192.168.0.1/24 broadcast 192.168.0.255 dev br0 noprefixroute",
            "addr add 203.0.113.1 peer 203.0.113.10/32 dev ppp0 noprefixroute",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("link set ppp0 up") && !text.contains("a\"b"), "{text}");
        assert_eq!(layout().mac_towards("eth0").unwrap(), "0a:00:00:00:00:03");
    }

    #[test]
    fn routes_and_policy_rules_become_commands() {
        let routes: Vec<CopiedRoute> = serde_json::from_str(
            r#"[{"dst":"default","gateway":"203.0.113.10","dev":"eth1","metric":5,"flags":[]},
            {"dst":"10.0.0.0/8","dev":"wg0","table":"51820","flags":[]},
            {"dst":"10.1.0.0/16","nexthops":[{"gateway":"10.0.0.1","dev":"a","weight":1},{"gateway":"10.0.0.2","dev":"b","weight":2}]},
            {"type":"local","dst":"192.168.0.1","dev":"eth0","table":"local","prefsrc":"192.168.0.1"},
            {"type":"blackhole","dst":"10.9.0.0/16"}]"#,
        )
        .unwrap();
        let rules = "0:\tfrom all lookup local\n99:\tnot from all fwmark 0xca6c lookup 51820\n\
                     1000:\tfrom all lookup [l3mdev-table]\n32766:\tfrom all lookup main\n";
        let layout = Layout {
            routes: [routes, Vec::new()],
            rules: [rules.into(), String::new()],
            ..Layout::default()
        };
        assert_eq!(
            layout.route_commands(0),
            "route append default metric 5 via 203.0.113.10 dev eth1 onlink\n\
             route append 10.0.0.0/8 table 51820 dev wg0\n\
             route append 10.1.0.0/16 nexthop via 10.0.0.1 dev a onlink weight 1 nexthop via 10.0.0.2 dev b onlink weight 2\n\
             route append blackhole 10.9.0.0/16\n\
             rule add pref 99 not from all fwmark 0xca6c lookup 51820\n\
             rule add pref 1000 from all l3mdev\n"
        );
    }
}
