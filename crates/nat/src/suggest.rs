//! Suggested settings for administrators that let FTP pass: rules of packet filters, and the passive settings of
//! servers. Pure; every value is typed, so no value of a script can become another command.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use super::NatError;
use portolan_core::error::{Error, Result};

/// The side that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallSide {
    /// The client's host.
    Client,
    /// The server's host.
    Server,
}

/// The side that opens data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallMode {
    /// The server.
    Active,
    /// The client.
    Passive,
}

/// The program that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallFormat {
    /// nftables commands.
    Nft,
    /// iptables commands.
    Iptables,
    /// Commands of ufw.
    Ufw,
    /// Commands of firewalld.
    Firewalld,
    /// Windows Firewall, by netsh and by PowerShell.
    Windows,
    /// `vsftpd.conf`.
    Vsftpd,
    /// `proftpd.conf`.
    Proftpd,
    /// `pure-ftpd.conf`.
    PureFtpd,
}

/// The parameters of a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPorts {
    /// The side that is configured.
    pub side: FirewallSide,
    /// The mode of data connections.
    pub mode: FirewallMode,
    /// The program that is configured.
    pub format: FirewallFormat,
    /// The client's `port_range` in active mode, the server's passive ports in passive mode.
    pub ports: RangeInclusive<u16>,
    /// The server's control port.
    pub control: u16,
    /// The address of the other side, if only that is to be allowed.
    pub from: Option<IpAddr>,
    /// The external address of a server behind NAT.
    pub external: Option<Ipv4Addr>,
}

/// A rule for new TCP connections to `ports`, inbound or outbound.
struct FirewallRule {
    is_inbound: bool,
    ports: Vec<RangeInclusive<u16>>,
    what: &'static str,
}

impl WantedPorts {
    /// Returns the lines to set. Fails with `invalid` for server settings on a client, with `nat.bad_range` for ports
    /// below 1024, which no FTP data connection may have, and with `nat.conflict` if the control port is among the
    /// ports.
    pub fn text(&self) -> Result<String> {
        let is_server = matches!(
            self.format,
            FirewallFormat::Vsftpd | FirewallFormat::Proftpd | FirewallFormat::PureFtpd
        );
        if is_server && self.side == FirewallSide::Client {
            let message =
                "the settings of an FTP server are of the server's side: side: \"server\"";
            return Err(Error::invalid(message));
        }
        let (first, last) = (*self.ports.start(), *self.ports.end());
        if first < 1024 || first > last {
            let message = format!("ports of data connections are from 1024 on, got {first}-{last}");
            return Err(NatError::BadRange.fault(message));
        }
        if self.ports.contains(&self.control) {
            let message = format!("the control port {} lies in {first}-{last}", self.control);
            return Err(NatError::Conflict.fault(message));
        }
        Ok(match self.format {
            FirewallFormat::Vsftpd => self.vsftpd(),
            FirewallFormat::Proftpd => self.proftpd(),
            FirewallFormat::PureFtpd => self.pure_ftpd(),
            _ => self.filter(),
        })
    }

    fn filter(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for rule in self.rules() {
            lines.push(format!("# {}", rule.what));
            match self.format {
                FirewallFormat::Iptables => lines.extend(self.iptables(&rule)),
                FirewallFormat::Ufw => lines.extend(self.ufw(&rule)),
                FirewallFormat::Firewalld => lines.extend(self.firewalld(&rule)),
                FirewallFormat::Windows => lines.extend(self.windows(&rule)),
                _ => lines.push(self.nft(&rule)),
            }
        }
        if self.format == FirewallFormat::Firewalld {
            lines.push("firewall-cmd --reload".into());
        }
        lines.join("\n") + "\n"
    }

    /// Returns the rules that each side needs. Outbound connections are allowed nearly everywhere; their rules are for
    /// sites that restrict them.
    fn rules(&self) -> Vec<FirewallRule> {
        let (control, ports) = (self.control..=self.control, self.ports.clone());
        let rule = |is_inbound, ports: &[&RangeInclusive<u16>], what| FirewallRule {
            is_inbound,
            ports: ports.iter().map(|range| (*range).clone()).collect(),
            what,
        };
        match (self.side, self.mode) {
            (FirewallSide::Client, FirewallMode::Active) => vec![
                rule(true, &[&ports], "the server's data connections come in to `port_range`"),
                rule(false, &[&control], "to the server's control port"),
            ],
            (FirewallSide::Client, FirewallMode::Passive) => {
                vec![rule(false, &[&control, &ports], "to the server's control and passive ports")]
            }
            (FirewallSide::Server, FirewallMode::Active) => vec![
                rule(true, &[&control], "clients come in to the control port"),
                rule(false, &[&ports], "data connections go out to the clients' `port_range`"),
            ],
            (FirewallSide::Server, FirewallMode::Passive) => {
                let what = "clients come in to the control port and the passive ports";
                vec![rule(true, &[&control, &ports], what)]
            }
        }
    }

    fn nft(&self, rule: &FirewallRule) -> String {
        let chain = if rule.is_inbound { "input" } else { "output" };
        let ports = listed(&rule.ports, '-');
        let ports = if rule.ports.len() > 1 { format!("{{ {ports} }}") } else { ports };
        let from = self.from.map_or(String::new(), |address| {
            let family = if address.is_ipv6() { "ip6" } else { "ip" };
            let end = if rule.is_inbound { "saddr" } else { "daddr" };
            format!("{family} {end} {address} ")
        });
        format!("nft add rule inet filter {chain} {from}tcp dport {ports} ct state new accept")
    }

    fn iptables(&self, rule: &FirewallRule) -> Vec<String> {
        let chain = if rule.is_inbound { "INPUT" } else { "OUTPUT" };
        let ports = listed(&rule.ports, ':').replace(' ', "");
        let from = self.from.map_or(String::new(), |address| {
            format!("{} {address} ", if rule.is_inbound { "-s" } else { "-d" })
        });
        let tools: &[_] = match self.from {
            Some(IpAddr::V4(_)) => &["iptables"],
            Some(IpAddr::V6(_)) => &["ip6tables"],
            None => &["iptables", "ip6tables"],
        };
        let line = |tool| {
            format!(
                "{tool} -A {chain} {from}-p tcp -m multiport --dports {ports} -m conntrack --ctstate NEW -j ACCEPT"
            )
        };
        tools.iter().map(line).collect()
    }

    fn ufw(&self, rule: &FirewallRule) -> Vec<String> {
        let ports = listed(&rule.ports, ':').replace(' ', "");
        let other = self.from.map_or("any".into(), |address| address.to_string());
        vec![if rule.is_inbound {
            format!("ufw allow in proto tcp from {other} to any port {ports}")
        } else {
            format!("ufw allow out proto tcp from any to {other} port {ports}")
        }]
    }

    fn firewalld(&self, rule: &FirewallRule) -> Vec<String> {
        if !rule.is_inbound {
            return vec![
                "# firewalld lets connections out unless a policy of yours forbids it".into(),
            ];
        }
        let line = |range: &RangeInclusive<u16>| {
            let ports = one(range, '-');
            match self.from {
                None => format!("firewall-cmd --permanent --add-port={ports}/tcp"),
                Some(address) => {
                    let family = if address.is_ipv6() { "ipv6" } else { "ipv4" };
                    format!(
                        "firewall-cmd --permanent --add-rich-rule='rule family=\"{family}\" source \
                         address=\"{address}\" port port=\"{ports}\" protocol=\"tcp\" accept'"
                    )
                }
            }
        };
        rule.ports.iter().map(line).collect()
    }

    fn windows(&self, rule: &FirewallRule) -> Vec<String> {
        let (short, long, end) = if rule.is_inbound {
            ("in", "Inbound", "local")
        } else {
            ("out", "Outbound", "remote")
        };
        let ports = listed(&rule.ports, '-').replace(' ', "");
        let other = self.from.map_or(String::new(), |address| format!(" remoteip={address}"));
        let netsh = format!(
            "netsh advfirewall firewall add rule name=\"FTP by portolan\" dir={short} action=allow protocol=TCP \
             {end}port={ports}{other}"
        );
        let end = if rule.is_inbound { "LocalPort" } else { "RemotePort" };
        let other = self.from.map_or(String::new(), |address| format!(" -RemoteAddress {address}"));
        let powershell = format!(
            "New-NetFirewallRule -DisplayName \"FTP by portolan\" -Direction {long} -Action Allow -Protocol TCP \
             -{end} {ports}{other}"
        );
        vec![netsh, "# the same in PowerShell:".into(), powershell]
    }

    fn vsftpd(&self) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        let mut lines = vec!["# /etc/vsftpd.conf".to_owned()];
        if self.control != 21 {
            lines.push(format!("listen_port={}", self.control));
        }
        if self.mode == FirewallMode::Active {
            lines.extend(["port_enable=YES".into(), "connect_from_port_20=YES".into()]);
            return lines.join("\n") + "\n";
        }
        lines.push("pasv_enable=YES".into());
        lines.extend([format!("pasv_min_port={first}"), format!("pasv_max_port={last}")]);
        lines.extend(self.external.map(|address| format!("pasv_address={address}")));
        lines.join("\n") + "\n"
    }

    fn proftpd(&self) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        let mut lines = vec!["# /etc/proftpd/proftpd.conf".to_owned()];
        if self.control != 21 {
            lines.push(format!("Port {}", self.control));
        }
        if self.mode == FirewallMode::Active {
            lines.push("# active mode is on; the data connections come from the port below the control port".into());
            return lines.join("\n") + "\n";
        }
        lines.push(format!("PassivePorts {first} {last}"));
        lines.extend(self.external.map(|address| format!("MasqueradeAddress {address}")));
        lines.join("\n") + "\n"
    }

    fn pure_ftpd(&self) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        let mut lines = vec![
            "# /etc/pure-ftpd/conf holds one file for each (Debian), or pure-ftpd.conf".to_owned(),
        ];
        if self.control != 21 {
            lines.push(format!("Bind ,{}", self.control));
        }
        if self.mode == FirewallMode::Active {
            lines.push("# active mode is on".into());
            return lines.join("\n") + "\n";
        }
        lines.push(format!("PassivePortRange {first} {last}"));
        lines.extend(self.external.map(|address| format!("ForcePassiveIP {address}")));
        lines.join("\n") + "\n"
    }
}

fn one(range: &RangeInclusive<u16>, between: char) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}{between}{}", range.start(), range.end())
    }
}

fn listed(ranges: &[RangeInclusive<u16>], between: char) -> String {
    ranges.iter().map(|range| one(range, between)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(side: FirewallSide, mode: FirewallMode, format: FirewallFormat) -> WantedPorts {
        WantedPorts {
            side,
            mode,
            format,
            ports: 50000..=50009,
            control: 21,
            from: Some(Ipv4Addr::new(203, 0, 113, 20).into()),
            external: Some(Ipv4Addr::new(198, 51, 100, 7)),
        }
    }

    fn text(side: FirewallSide, mode: FirewallMode, format: FirewallFormat) -> String {
        wanted(side, mode, format).text().unwrap()
    }

    #[test]
    fn each_filter_has_its_own_words_for_a_client_in_active_mode() {
        let told = |format| {
            let text = text(FirewallSide::Client, FirewallMode::Active, format);
            text.lines().nth(1).unwrap_or_default().to_owned()
        };
        let nft = "nft add rule inet filter input ip saddr 203.0.113.20 tcp dport 50000-50009 ct state new accept";
        assert_eq!(told(FirewallFormat::Nft), nft);
        let iptables = "iptables -A INPUT -s 203.0.113.20 -p tcp -m multiport --dports 50000:50009 -m conntrack \
                        --ctstate NEW -j ACCEPT";
        assert_eq!(told(FirewallFormat::Iptables), iptables);
        let ufw = "ufw allow in proto tcp from 203.0.113.20 to any port 50000:50009";
        assert_eq!(told(FirewallFormat::Ufw), ufw);
        let firewalld = "firewall-cmd --permanent --add-rich-rule='rule family=\"ipv4\" source \
                         address=\"203.0.113.20\" port port=\"50000-50009\" protocol=\"tcp\" accept'";
        assert_eq!(told(FirewallFormat::Firewalld), firewalld);
        let windows = "netsh advfirewall firewall add rule name=\"FTP by portolan\" dir=in action=allow protocol=TCP \
                       localport=50000-50009 remoteip=203.0.113.20";
        assert_eq!(told(FirewallFormat::Windows), windows);
    }

    #[test]
    fn a_server_in_passive_mode_opens_both_ports() {
        let open = WantedPorts {
            from: None,
            ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
        };
        let text = |format| WantedPorts { format, ..open.clone() }.text().unwrap();
        let nft =
            "nft add rule inet filter input tcp dport { 21, 50000-50009 } ct state new accept";
        assert_eq!(text(FirewallFormat::Nft).lines().nth(1), Some(nft));
        let iptables = text(FirewallFormat::Iptables);
        assert!(
            iptables.contains("\nip6tables -A INPUT -p tcp -m multiport --dports 21,50000:50009 ")
        );
        let firewalld = text(FirewallFormat::Firewalld);
        let lines: Vec<_> = firewalld.lines().skip(1).collect();
        let wanted = [
            "firewall-cmd --permanent --add-port=21/tcp",
            "firewall-cmd --permanent --add-port=50000-50009/tcp",
            "firewall-cmd --reload",
        ];
        assert_eq!(lines, wanted);
        let windows = text(FirewallFormat::Windows);
        assert!(windows.contains(
            "-Direction Inbound -Action Allow -Protocol TCP -LocalPort 21,50000-50009\n"
        ));
    }

    #[test]
    fn servers_get_their_passive_settings() {
        let told = |format| text(FirewallSide::Server, FirewallMode::Passive, format);
        let vsftpd = "# /etc/vsftpd.conf\npasv_enable=YES\npasv_min_port=50000\npasv_max_port=50009\n\
                      pasv_address=198.51.100.7\n";
        assert_eq!(told(FirewallFormat::Vsftpd), vsftpd);
        let proftpd = "PassivePorts 50000 50009\nMasqueradeAddress 198.51.100.7\n";
        assert!(told(FirewallFormat::Proftpd).ends_with(proftpd));
        let pure = "PassivePortRange 50000 50009\nForcePassiveIP 198.51.100.7\n";
        assert!(told(FirewallFormat::PureFtpd).ends_with(pure));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let fault = wanted(FirewallSide::Client, FirewallMode::Passive, FirewallFormat::Vsftpd)
            .text()
            .unwrap_err();
        assert!(fault.message.contains("side: \"server\""), "{fault}");
        for (first, last) in [(1, 1023), (50009, 50000), (0, 0)] {
            let ports = first..=last;
            let fault = WantedPorts {
                ports,
                ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
            };
            assert_eq!(fault.text().unwrap_err().name, Some("nat.bad_range"));
        }
        let inside = WantedPorts {
            control: 50001,
            ..wanted(FirewallSide::Server, FirewallMode::Passive, FirewallFormat::Nft)
        };
        assert_eq!(inside.text().unwrap_err().name, Some("nat.conflict"));
    }
}
