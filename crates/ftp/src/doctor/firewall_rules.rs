//! The firewall rules that a mode requires, on either side. Pure.

use std::net::{IpAddr, SocketAddr};

use super::{advice::PORT_RANGE, diagnosis::Diagnosis};
use crate::site::Mode;

/// One connection to let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedConnection {
    /// The host on which it applies: `here` or `server`.
    pub side: &'static str,
    /// The nftables command.
    pub nft: String,
    /// The iptables command.
    pub iptables: String,
    /// A description, for Windows Firewall and the security groups of clouds.
    pub words: String,
}

/// The ports that either side may use for a connection.
const HIGH: &str = "1024-65535";
const HIGH_FROM: u16 = 1024;

/// Returns the rules that `mode` requires on the local host and on the server, which listens at `server`.
pub fn rules(diagnosis: &Diagnosis, server: SocketAddr, mode: Mode) -> Vec<AllowedConnection> {
    let (ip, control) = (server.ip().to_canonical(), server.port());
    let range = diagnosis.site.port_range.as_ref();
    let range = range.map(|range| format!("{}-{}", range.start(), range.end()));
    let range = range.unwrap_or_else(|| PORT_RANGE.into());
    match mode {
        Mode::Active => vec![
            rule("here", "output", Some(ip), &control.to_string(), "to the server's command port"),
            rule("here", "input", Some(ip), &range, "the server's data connections (`port_range`)"),
            rule("server", "input", None, &control.to_string(), "its command port"),
            rule(
                "server",
                "output",
                None,
                &range,
                "its data connections to the clients' `port_range`",
            ),
        ],
        Mode::Passive | Mode::Auto | Mode::Race => {
            // nft refuses a set with overlapping ranges.
            let both =
                if control < HIGH_FROM { format!("{control}, {HIGH}") } else { HIGH.to_owned() };
            vec![
                rule("here", "output", Some(ip), &both, "its command port and its passive ports"),
                rule(
                    "server",
                    "input",
                    None,
                    &both,
                    "its command port and its passive range, as narrow as it is set",
                ),
            ]
        }
    }
}

fn rule(
    side: &'static str,
    hook: &str,
    server: Option<IpAddr>,
    ports: &str,
    what: &str,
) -> AllowedConnection {
    let is_input = hook == "input";
    let v6 = server.is_some_and(|address| address.is_ipv6());
    let of_server = server.map(|address| {
        let family = if v6 { "ip6" } else { "ip" };
        format!("{family} {} {address} ", if is_input { "saddr" } else { "daddr" })
    });
    let set = if ports.contains(',') { format!("{{ {ports} }}") } else { ports.to_owned() };
    let nft = format!(
        "nft add rule inet filter {hook} {}tcp dport {set} ct state new accept",
        of_server.unwrap_or_default()
    );
    let tool = if v6 { "ip6tables" } else { "iptables" };
    let of_server =
        server.map(|address| format!("{} {address} ", if is_input { "-s" } else { "-d" }));
    let iptables = format!(
        "{tool} -A {} {}-p tcp -m multiport --dports {} -j ACCEPT",
        hook.to_uppercase(),
        of_server.unwrap_or_default(),
        ports.replace(", ", ",").replace('-', ":")
    );
    let direction = if is_input { "inbound" } else { "outbound" };
    let other =
        server.map(|address| format!(" {} {address}", if is_input { "from" } else { "to" }));
    let words =
        format!("{direction} TCP{}, destination ports {ports}: {what}", other.unwrap_or_default());
    AllowedConnection { side, nft, iptables, words }
}

#[cfg(test)]
mod tests {
    use super::rule;

    #[test]
    fn a_rule_names_direction_server_and_ports() {
        let ip = Some("203.0.113.20".parse().unwrap());
        let found = rule("here", "input", ip, "50000-50010", "data");
        assert_eq!(
            [found.nft, found.iptables, found.words],
            [
                "nft add rule inet filter input ip saddr 203.0.113.20 tcp dport 50000-50010 ct state new accept",
                "iptables -A INPUT -s 203.0.113.20 -p tcp -m multiport --dports 50000:50010 -j ACCEPT",
                "inbound TCP from 203.0.113.20, destination ports 50000-50010: data",
            ]
        );
        let found = rule("server", "input", None, "21, 1024-65535", "x");
        assert!(found.nft.contains("tcp dport { 21, 1024-65535 } ct"));
        assert!(found.iptables.contains("--dports 21,1024:65535 "));
    }
}
