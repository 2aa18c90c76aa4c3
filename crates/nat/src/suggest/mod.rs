//! Suggested settings for administrators that let FTP pass: rules of packet filters, routers and clouds, and the passive
//! settings of servers. One model (control port, range, source, side, the host behind a router) is written in every
//! format. Pure; every value is typed, so no value of a script can become another command.

mod clouds;
pub mod filter_chains;
mod filters;
mod routers;
pub mod software;

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
};

use super::{
    NatError,
    check::{Family, Interface, Net},
};
use filter_chains::FilterChain;
use portolan_core::error::{Error, Result};

/// The ports to suggest for a client in active mode; the next constant has those of a passive server.
pub const CLIENT_PORTS: RangeInclusive<u16> = 40000..=40009;
/// The ports to suggest for a server in passive mode.
pub const SERVER_PORTS: RangeInclusive<u16> = 50000..=50009;

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
    /// FileZilla Server.
    FileZilla,
    /// Microsoft IIS.
    Iis,
    /// `OpenWrt`, by `uci`.
    OpenWrt,
    /// `MikroTik` `RouterOS`.
    RouterOs,
    /// `pf.conf` of OpenBSD and FreeBSD.
    Pf,
    /// A security group of AWS, as Terraform.
    Aws,
    /// A network security group of Azure, as Terraform.
    Azure,
    /// A firewall of Google Cloud, as Terraform.
    Gcp,
    /// A firewall of Hetzner Cloud, as Terraform.
    Hetzner,
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
    /// The network of the other side, if only that is to be allowed.
    pub from: Option<Net>,
    /// The external address of a server behind NAT.
    pub external: Option<Ipv4Addr>,
    /// The host behind the router that is configured; `None` if the host itself is configured.
    pub to: Option<IpAddr>,
    /// The interface that leads to the other side.
    pub device: Option<Interface>,
    /// The address family of the connections, if only one is used.
    pub family: Option<Family>,
    /// The chains that filter on the host that is configured; empty if they are not known.
    pub chains: Vec<FilterChain>,
}

/// A rule for TCP connections to `ports`, inbound or outbound.
#[derive(Debug, Clone)]
struct FirewallRule {
    is_inbound: bool,
    ports: Vec<RangeInclusive<u16>>,
    what: &'static str,
}

/// A rule with its commands, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCommands {
    /// True if the connections come in.
    pub is_inbound: bool,
    /// The destination ports, such as `21, 50000-50009`.
    pub ports: String,
    /// The nftables commands.
    pub nft: Vec<String>,
    /// The remark on the chain that they name, if the chains of that host are not known.
    pub nft_note: Option<String>,
    /// The iptables commands.
    pub iptables: Vec<String>,
}

impl WantedPorts {
    /// Returns a suggestion without the things that few need: any source, no router, chains that are not known.
    pub const fn new(
        side: FirewallSide,
        mode: FirewallMode,
        control: u16,
        ports: RangeInclusive<u16>,
    ) -> Self {
        Self {
            side,
            mode,
            format: FirewallFormat::Nft,
            ports,
            control,
            from: None,
            external: None,
            to: None,
            device: None,
            family: None,
            chains: Vec::new(),
        }
    }

    /// Returns the lines to set. Fails with `invalid` for server settings on a client, with `nat.bad_range` for ports
    /// below 1024, which no FTP data connection may have, with `nat.conflict` if the control port is among the ports,
    /// and with `nat.family_mismatch` if source and target are of two families.
    pub fn text(&self) -> Result<String> {
        self.check()?;
        let server = match self.format {
            FirewallFormat::Vsftpd => Some(software::ServerSoftware::Vsftpd),
            FirewallFormat::Proftpd => Some(software::ServerSoftware::Proftpd),
            FirewallFormat::PureFtpd => Some(software::ServerSoftware::PureFtpd),
            FirewallFormat::FileZilla => Some(software::ServerSoftware::FileZilla),
            FirewallFormat::Iis => Some(software::ServerSoftware::Iis),
            _ => None,
        };
        if let Some(server) = server {
            if self.side == FirewallSide::Client {
                let message =
                    "the settings of an FTP server are of the server's side: side: \"server\"";
                return Err(Error::invalid(message));
            }
            return Ok(joined(&server.settings(self)));
        }
        let rules = self.rules();
        Ok(joined(&match self.format {
            FirewallFormat::OpenWrt => self.openwrt(&rules),
            FirewallFormat::Pf => self.pf(&rules),
            FirewallFormat::Aws => self.aws(&rules),
            FirewallFormat::Azure => self.azure(&rules),
            FirewallFormat::Gcp => self.gcp(&rules),
            FirewallFormat::Hetzner => self.hetzner(&rules),
            _ => self.filter(&rules),
        }))
    }

    /// Returns each rule with its commands for nft and iptables.
    pub fn commands(&self) -> Vec<RuleCommands> {
        let commands = |rule: &FirewallRule| {
            let (notes, commands): (Vec<_>, Vec<_>) =
                self.nft(rule).into_iter().partition(|line| line.starts_with('#'));
            // A note that no command is needed is one that does nothing.
            let (nft, nft_note) = if commands.is_empty() {
                (notes, None)
            } else {
                (commands, notes.into_iter().next())
            };
            RuleCommands {
                is_inbound: rule.is_inbound,
                ports: listed(&rule.ports, '-'),
                nft,
                nft_note,
                iptables: self.iptables(rule),
            }
        };
        self.rules().iter().map(commands).collect()
    }

    fn check(&self) -> Result<()> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        if first < 1024 || first > last {
            let message = format!("ports of data connections are from 1024 on, got {first}-{last}");
            return Err(NatError::BadRange.fault(message));
        }
        if self.ports.contains(&self.control) {
            let message = format!("the control port {} lies in {first}-{last}", self.control);
            return Err(NatError::Conflict.fault(message));
        }
        let (from, to) = (self.from.map(|net| net.family()), self.to.map(Family::of));
        if from.is_some() && to.is_some() && from != to {
            let message = "`from` and `to` must both be IPv4 or both be IPv6";
            return Err(NatError::FamilyMismatch.fault(message));
        }
        Ok(())
    }

    /// Returns the only address family, if there is one.
    fn only_family(&self) -> Option<Family> {
        self.to.map(Family::of).or(self.from.map(|net| net.family())).or(self.family)
    }

    /// Returns true if connections of that family are meant.
    fn has(&self, family: Family) -> bool {
        self.only_family().is_none_or(|only| only == family)
    }

    fn filter(&self, rules: &[FirewallRule]) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for rule in rules {
            lines.push(format!("# {}", rule.what));
            lines.extend(match self.format {
                FirewallFormat::Iptables => self.iptables(rule),
                FirewallFormat::Ufw => self.ufw(rule),
                FirewallFormat::Firewalld => self.firewalld(rule),
                FirewallFormat::Windows => self.windows(rule),
                FirewallFormat::RouterOs => self.routeros(rule),
                _ => self.nft(rule),
            });
        }
        lines
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
}

fn joined(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

/// Returns the ranges as nft, iptables and their like separate them: `21, 50000-50009`.
fn listed(ranges: &[RangeInclusive<u16>], between: char) -> String {
    ranges.iter().map(|range| one(range, between)).collect::<Vec<_>>().join(", ")
}

fn one(range: &RangeInclusive<u16>, between: char) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}{between}{}", range.start(), range.end())
    }
}

#[cfg(test)]
mod tests;
