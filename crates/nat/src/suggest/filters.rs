//! Commands of packet filters on Linux and Windows. They insert: behind a rule that rejects the rest, an appended one
//! is never reached.

use std::net::IpAddr;

use super::{FirewallRule, WantedPorts, filter_chains::FilterChain, listed, one};
use crate::check::{Family, Net};

/// The zone of an interface, or the default zone if it is in none; `firewall-cmd` prints that it is in none.
fn zone_of(device: &str) -> String {
    format!(
        "\"$(firewall-cmd --get-zone-of-interface={device} 2>/dev/null || firewall-cmd --get-default-zone)\""
    )
}

/// The zone of an interface, for a policy: up to firewalld 1.3 policies leave out an interface that is in no zone, unless
/// they are for any.
fn policy_zone_of(device: &str) -> String {
    format!("\"$(firewall-cmd --get-zone-of-interface={device} 2>/dev/null || echo ANY)\"")
}

/// The table for redirections that the nft commands create: no table of others is changed by them.
const OWN_TABLE: &str = "ip ftp_forward";

impl WantedPorts {
    /// Returns a match of the other side's addresses in nft's words.
    fn nft_other(&self, is_inbound: bool) -> String {
        self.from.map_or(String::new(), |net| {
            let end = if is_inbound { "saddr" } else { "daddr" };
            format!("{} {end} {net} ", net.family().as_str())
        })
    }

    /// Returns the chains of a hook into which a rule has to be inserted, and whether they are known.
    fn chains_at(&self, hook: &str) -> (Vec<FilterChain>, bool) {
        let family = self.only_family();
        let fits = |chain: &&FilterChain| chain.hook == hook && chain.sees(family);
        let known: Vec<_> = self.chains.iter().filter(fits).cloned().collect();
        if known.is_empty() { (vec![FilterChain::usual(hook)], false) } else { (known, true) }
    }

    fn insert_nft(&self, hook: &str, rules: &[String]) -> Vec<String> {
        let (chains, is_known) = self.chains_at(hook);
        // The host that is known to filter elsewhere does not do so here, and has no chain to insert into.
        if !is_known && !self.chains.is_empty() {
            let way = match hook {
                "input" => "comes in",
                "output" => "goes out",
                _ => "is forwarded",
            };
            return vec![format!("# no rule is needed: nothing here filters what {way}")];
        }
        let mut lines = Vec::new();
        if !is_known {
            lines.push(format!(
                "# in the chain that filters there: `nft list chains` names it where it is not `inet filter {hook}`"
            ));
        }
        for FilterChain { family, table, name, .. } in &chains {
            let line = |rule: &String| format!("nft insert rule {family} {table} {name} {rule}");
            lines.extend(rules.iter().map(line));
        }
        lines
    }

    pub(super) fn nft(&self, rule: &FirewallRule) -> Vec<String> {
        let ports = listed(&rule.ports, '-');
        let ports = if rule.ports.len() > 1 { format!("{{ {ports} }}") } else { ports };
        let other = self.nft_other(rule.is_inbound);
        let device = self.device.as_ref().map_or(String::new(), |device| {
            let end = if rule.is_inbound { "iifname" } else { "oifname" };
            // The shell takes the outer quotes, nft the inner ones.
            format!("{end} '\"{device}\"' ")
        });
        let Some(to) = self.to else {
            let hook = if rule.is_inbound { "input" } else { "output" };
            return self.insert_nft(hook, &[format!("{device}{other}tcp dport {ports} accept")]);
        };
        let family = Family::of(to).as_str();
        if !rule.is_inbound {
            let rules = [format!("{device}{family} saddr {to} {other}tcp dport {ports} accept")];
            return self.insert_nft("forward", &rules);
        }
        let mut lines = Vec::new();
        let mut translated = "";
        if to.is_ipv4() {
            translated = "ct status dnat ";
            lines.extend([
                format!("nft add table {OWN_TABLE}"),
                format!(
                    "nft 'add chain {OWN_TABLE} prerouting {{ type nat hook prerouting priority dstnat; }}'"
                ),
                format!(
                    "nft add rule {OWN_TABLE} prerouting {device}{other}fib daddr type local tcp dport {ports} dnat to {to}"
                ),
            ]);
        }
        let passing = [
            format!("{device}{other}{family} daddr {to} tcp dport {ports} {translated}accept"),
            format!("{family} saddr {to} tcp sport {ports} ct state established accept"),
        ];
        lines.extend(self.insert_nft("forward", &passing));
        lines
    }

    pub(super) fn iptables(&self, rule: &FirewallRule) -> Vec<String> {
        let ports = listed(&rule.ports, ':').replace(' ', "");
        let other = |end| self.from.map_or(String::new(), |net| format!("{end} {net} "));
        let (other, interface) =
            if rule.is_inbound { (other("-s"), "-i") } else { (other("-d"), "-o") };
        let device = self.device.as_ref();
        let device = device.map_or(String::new(), |device| format!("{interface} {device} "));
        let wanted = format!("-p tcp -m multiport --dports {ports}");
        let tools = [("iptables", Family::V4), ("ip6tables", Family::V6)];
        let tools = tools.into_iter().filter(|(_, family)| self.has(*family));
        let lines = tools.map(|(tool, _)| match self.to {
            None => {
                let chain = if rule.is_inbound { "INPUT" } else { "OUTPUT" };
                vec![format!("{tool} -I {chain} {device}{other}{wanted} -j ACCEPT")]
            }
            Some(to) if !rule.is_inbound => {
                vec![format!("{tool} -I FORWARD {device}-s {to} {other}{wanted} -j ACCEPT")]
            }
            Some(to) => {
                let mut lines = Vec::new();
                let mut translated = "";
                if to.is_ipv4() {
                    translated = " -m conntrack --ctstate DNAT";
                    lines.push(format!(
                        "{tool} -t nat -I PREROUTING {device}{other}-m addrtype --dst-type LOCAL {wanted} -j DNAT \
                         --to-destination {to}"
                    ));
                }
                let back = wanted.replace("--dports", "--sports");
                lines.extend([
                    format!("{tool} -I FORWARD {device}{other}-d {to} {wanted}{translated} -j ACCEPT"),
                    format!(
                        "{tool} -I FORWARD -s {to} {back} -m conntrack --ctstate ESTABLISHED -j ACCEPT"
                    ),
                ]);
                lines
            }
        });
        lines.flatten().collect()
    }

    pub(super) fn ufw(&self, rule: &FirewallRule) -> Vec<String> {
        let ports = listed(&rule.ports, ':').replace(' ', "");
        let other = self.from.map_or("any".into(), |net| net.to_string());
        let way = if rule.is_inbound { "in" } else { "out" };
        let on = self.device.as_ref().map_or(String::new(), |device| format!(" on {device}"));
        let (from, target) = match (self.to, rule.is_inbound) {
            (None, true) => (other, "any".to_owned()),
            (None, false) => ("any".to_owned(), other),
            (Some(to), true) => (other, to.to_string()),
            (Some(to), false) => (to.to_string(), other),
        };
        let Some(to) = self.to else {
            return vec![format!(
                "ufw prepend allow {way}{on} proto tcp from {from} to {target} port {ports}"
            )];
        };
        let on = if on.is_empty() { on } else { format!(" {way}{on}") };
        let mut lines = Vec::new();
        if to.is_ipv4() && rule.is_inbound {
            // ufw itself knows no redirections: they are lines of its file.
            let source = self.from.map_or(String::new(), |net| format!("-s {net} "));
            lines.push(format!(
                "# and in /etc/ufw/before.rules, above *filter: *nat, -A PREROUTING {source}-m addrtype --dst-type LOCAL \
                 -p tcp -m multiport --dports {ports} -j DNAT --to-destination {to}, COMMIT"
            ));
        }
        lines.push(format!(
            "ufw route prepend allow{on} proto tcp from {from} to {target} port {ports}"
        ));
        lines
    }

    pub(super) fn firewalld(&self, rule: &FirewallRule) -> Vec<String> {
        if !rule.is_inbound {
            return self.firewalld_out(rule);
        }
        let device = self.outer_device();
        if let Some(to @ IpAddr::V6(_)) = self.to {
            return self.firewalld_policy(rule, &policy_zone_of(&device), to);
        }
        let zone = zone_of(&device);
        let option = |range: &_| {
            let ports = one(range, '-');
            match (self.from, self.to) {
                (None, None) => format!("--add-port={ports}/tcp"),
                (None, Some(to)) => {
                    format!("--add-forward-port=port={ports}:proto=tcp:toaddr={to}")
                }
                (Some(net), to) => {
                    format!("--add-rich-rule='{}'", rich_rule(net, &ports, to))
                }
            }
        };
        // Now, and at the next start: a reload would drop what others have set for now.
        let lines = |range| {
            let option = option(range);
            [
                format!("firewall-cmd --zone={zone} {option}"),
                format!("firewall-cmd --permanent --zone={zone} {option}"),
            ]
        };
        rule.ports.iter().flat_map(lines).collect()
    }

    /// Returns what to set where a policy of the administrator's own forbids connections: its name is not known.
    fn firewalld_out(&self, rule: &FirewallRule) -> Vec<String> {
        let mut lines = vec![
            "# firewalld lets connections out unless a policy of yours forbids it; then, with its name for NAME:"
                .to_owned(),
        ];
        let end =
            |word: &str, address: &dyn std::fmt::Display| format!("{word} address=\"{address}\" ");
        for range in &rule.ports {
            let ports = one(range, '-');
            let option = match (self.to, self.from) {
                (None, None) => format!("--add-port={ports}/tcp"),
                (to, from) => {
                    let family =
                        if self.only_family() == Some(Family::V6) { "ipv6" } else { "ipv4" };
                    let source = to.map(|to| end("source", &to)).unwrap_or_default();
                    let target = from.map(|net| end("destination", &net)).unwrap_or_default();
                    format!(
                        "--add-rich-rule='rule family=\"{family}\" {source}{target}port port=\"{ports}\" \
                         protocol=\"tcp\" accept'"
                    )
                }
            };
            lines.push(format!("# firewall-cmd --permanent --policy=NAME {option}"));
        }
        lines.push("# firewall-cmd --reload".into());
        lines
    }

    /// Returns the interface by which connections of the other side come in, as an argument of a shell.
    fn outer_device(&self) -> String {
        if let Some(device) = &self.device {
            return device.to_string();
        }
        let family = if self.only_family() == Some(Family::V6) { "ip -6" } else { "ip" };
        let route = match self.from {
            Some(net) => format!("get {}", net.address()),
            None => "show default".to_owned(),
        };
        format!("\"$({family} route {route} | grep -o 'dev [^ ]*' | head -n 1 | cut -c 5-)\"")
    }

    /// Returns the commands for a host with an address of its own behind the router: a policy between two zones.
    fn firewalld_policy(&self, rule: &FirewallRule, zone: &str, to: IpAddr) -> Vec<String> {
        let behind =
            format!("\"$(ip -6 route get {to} | grep -o 'dev [^ ]*' | head -n 1 | cut -c 5-)\"");
        let source = self.from.map_or(String::new(), |net| format!("source address=\"{net}\" "));
        let policy = "firewall-cmd --permanent --policy=ftp-pinhole";
        let mut lines = vec![
            "firewall-cmd --permanent --info-policy=ftp-pinhole >/dev/null 2>&1 || firewall-cmd --permanent \
             --new-policy=ftp-pinhole"
                .to_owned(),
            format!("{policy} --add-ingress-zone={zone}"),
            format!("{policy} --add-egress-zone={}", policy_zone_of(&behind)),
        ];
        lines.extend(rule.ports.iter().map(|range| {
            format!(
                "{policy} --add-rich-rule='rule family=\"ipv6\" {source}destination address=\"{to}\" port port=\"{}\" \
                 protocol=\"tcp\" accept'",
                one(range, '-')
            )
        }));
        lines.push("firewall-cmd --reload".into());
        lines
    }

    pub(super) fn windows(&self, rule: &FirewallRule) -> Vec<String> {
        let (short, long, end) = if rule.is_inbound {
            ("in", "Inbound", "local")
        } else {
            ("out", "Outbound", "remote")
        };
        let ports = listed(&rule.ports, '-').replace(' ', "");
        let other = self.from.map_or(String::new(), |net| format!(" remoteip={net}"));
        let netsh = format!(
            "netsh advfirewall firewall add rule name=\"FTP by portolan\" dir={short} action=allow protocol=TCP \
             {end}port={ports}{other}"
        );
        let end = if rule.is_inbound { "LocalPort" } else { "RemotePort" };
        let other = self.from.map_or(String::new(), |net| format!(" -RemoteAddress {net}"));
        let powershell = format!(
            "New-NetFirewallRule -DisplayName \"FTP by portolan\" -Direction {long} -Action Allow -Protocol TCP \
             -{end} {ports}{other}"
        );
        vec![netsh, "# the same in PowerShell:".into(), powershell]
    }
}

/// Returns a rich rule for connections from `net`, let in or led to `to`.
fn rich_rule(net: Net, ports: &str, to: Option<IpAddr>) -> String {
    let family = if net.address().is_ipv6() { "ipv6" } else { "ipv4" };
    let head = format!("rule family=\"{family}\" source address=\"{net}\"");
    match to {
        None => format!("{head} port port=\"{ports}\" protocol=\"tcp\" accept"),
        Some(to) => {
            format!("{head} forward-port port=\"{ports}\" protocol=\"tcp\" to-addr=\"{to}\"")
        }
    }
}
