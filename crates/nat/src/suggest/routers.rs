//! Commands of routers that are no plain Linux host: `OpenWrt`, `RouterOS`, and pf of OpenBSD and FreeBSD.

use super::{FirewallRule, WantedPorts, listed, one};
use crate::check::Family;

impl WantedPorts {
    /// Returns `uci` commands: a redirect for a host behind the router, a rule for the router itself or for IPv6.
    pub(super) fn openwrt(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = Vec::new();
        for rule in rules {
            lines.push(format!("# {}", rule.what));
            if !rule.is_inbound {
                lines.push("# OpenWrt lets connections out from lan to wan".into());
                continue;
            }
            if self.to.is_some_and(|to| to.is_ipv4()) {
                let each = rule.ports.iter().enumerate();
                lines.extend(each.flat_map(|(number, range)| {
                    let ports = one(range, '-');
                    self.section("redirect", number, &ports, "src_dport")
                }));
            } else {
                let ports = listed(&rule.ports, '-').replace(',', "");
                lines.extend(self.section("rule", 0, &ports, "dest_port"));
            }
        }
        lines.extend(["uci commit firewall".into(), "service firewall reload".into()]);
        lines
    }

    fn section(&self, kind: &str, number: usize, ports: &str, key: &str) -> Vec<String> {
        let name = format!("firewall.ftp_{}", number + 1);
        let family = self.only_family().map(|family| match family {
            Family::V4 => ("family", "ipv4".to_owned()),
            Family::V6 => ("family", "ipv6".to_owned()),
        });
        let mut options = vec![
            ("name", format!("FTP by portolan {}", number + 1)),
            ("src", "wan".to_owned()),
            ("proto", "tcp".to_owned()),
            (key, ports.to_owned()),
        ];
        options.extend(self.from.map(|net| ("src_ip", net.to_string())));
        if let Some(to) = self.to {
            options.extend([("dest", "lan".to_owned()), ("dest_ip", to.to_string())]);
        }
        options.extend(family);
        let target = if kind == "redirect" { "DNAT" } else { "ACCEPT" };
        options.push(("target", target.to_owned()));
        let set = options.iter().map(|(key, value)| format!("uci set {name}.{key}='{value}'"));
        std::iter::once(format!("uci set {name}={kind}")).chain(set).collect()
    }

    /// Returns commands of `RouterOS`, placed before all others.
    pub(super) fn routeros(&self, rule: &FirewallRule) -> Vec<String> {
        let ports = listed(&rule.ports, '-').replace(' ', "");
        let (end, way) = if rule.is_inbound { ("src", "in") } else { ("dst", "out") };
        let other = self.from.map_or(String::new(), |net| format!(" {end}-address={net}"));
        let device = match &self.device {
            Some(device) => format!(" {way}-interface={device}"),
            None => format!(" {way}-interface-list=WAN"),
        };
        let wanted = format!("protocol=tcp dst-port={ports}{other}{device}");
        let end_words = "comment=\"FTP by portolan\" place-before=0";
        let mut lines = Vec::new();
        for (menu, family) in [("ip", Family::V4), ("ipv6", Family::V6)] {
            if !self.has(family) {
                continue;
            }
            let filter = format!("/{menu} firewall filter add");
            lines.extend(match self.to {
                Some(to) if rule.is_inbound && to.is_ipv4() => vec![
                    format!(
                        "/ip firewall nat add chain=dstnat {wanted} action=dst-nat to-addresses={to} {end_words}"
                    ),
                    format!(
                        "{filter} chain=forward connection-nat-state=dstnat dst-address={to} {wanted} action=accept {end_words}"
                    ),
                ],
                Some(to) => {
                    let end = if rule.is_inbound { "dst" } else { "src" };
                    vec![format!(
                        "{filter} chain=forward {end}-address={to} {wanted} action=accept {end_words}"
                    )]
                }
                None => {
                    let chain = if rule.is_inbound { "input" } else { "output" };
                    vec![format!("{filter} chain={chain} {wanted} action=accept {end_words}")]
                }
            });
        }
        lines
    }

    /// Returns lines of `pf.conf`. `quick` ends the search, so a block that follows does not count.
    pub(super) fn pf(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines = vec![
            "# /etc/pf.conf, before other filter rules; then: pfctl -f /etc/pf.conf".to_owned(),
        ];
        let family = self.only_family().map_or("", |family| match family {
            Family::V4 => " inet",
            Family::V6 => " inet6",
        });
        let on = self.device.as_ref().map_or("egress", |device| device.as_str());
        let other = self.from.map_or("any".to_owned(), |net| net.to_string());
        for rule in rules {
            lines.push(format!("# {}", rule.what));
            let ports = listed(&rule.ports, ':');
            let ports = if rule.ports.len() > 1 { format!("{{ {ports} }}") } else { ports };
            let head = if rule.is_inbound { "pass in quick" } else { "pass out quick" };
            match self.to {
                Some(to) if rule.is_inbound && to.is_ipv4() => {
                    let wanted = format!("on {on}{family} proto tcp from {other} to ({on})");
                    lines.push(format!("{head} {wanted} port {ports} rdr-to {to}"));
                    lines.push(
                        "# FreeBSD, in place of that, among its rules of translation:".into(),
                    );
                    lines.extend(rule.ports.iter().map(|range| {
                        format!("# rdr pass {wanted} port {} -> {to}", one(range, ':'))
                    }));
                }
                to => {
                    let (from, to) = if rule.is_inbound {
                        (other.clone(), to.map_or("any".into(), |to| to.to_string()))
                    } else {
                        (to.map_or("any".into(), |to| to.to_string()), other.clone())
                    };
                    let device = match &self.device {
                        Some(device) => format!(" on {device}"),
                        None => String::new(),
                    };
                    lines.push(format!(
                        "{head}{device}{family} proto tcp from {from} to {to} port {ports}"
                    ));
                }
            }
        }
        lines
    }
}
