//! The firewall rules that a mode requires, on either side, with a limited range of ports.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use crate::{
    ftp::{
        doctor::{Advice, Diagnosis, PORT_RANGE},
        site::Mode,
    },
    nat::{
        check::{Family, Net},
        suggest::{
            FirewallMode, FirewallSide, SERVER_PORTS, WantedPorts,
            filter_chains::{self, FilterChain},
            software::ServerSoftware,
        },
    },
};

/// One connection to let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedConnection {
    /// The host on which it applies: `here` or `server`.
    pub side: &'static str,
    /// The nftables command.
    pub nft: String,
    /// The remark on the chain that it names, if that host's chains are not known.
    pub nft_note: Option<String>,
    /// The iptables command.
    pub iptables: String,
    /// A description, for Windows Firewall and the security groups of clouds.
    pub words: String,
    /// The setting that limits the server's passive ports to the range of the rule.
    pub setting: Option<String>,
}

/// The sizes of the blocks in which the passive ports of a server may lie, for a range to be assumed.
const BLOCKS: [u16; 3] = [10, 100, 1000];
/// The passive range to suggest if the usual one contains the control port.
const OTHER_PORTS: RangeInclusive<u16> = 51000..=51009;

/// Returns the rules for the mode of the verdict, or for passive mode, which is easier to allow, if none works.
pub fn rules(diagnosis: &Diagnosis, verdict: &Advice) -> Vec<AllowedConnection> {
    rules_with(diagnosis, verdict, &filter_chains::here())
}

/// Returns the same for a host with those filter chains. Pure.
pub fn rules_with(
    diagnosis: &Diagnosis,
    verdict: &Advice,
    chains: &[FilterChain],
) -> Vec<AllowedConnection> {
    let Some(server) = verdict.server else { return Vec::new() };
    let (ip, control) = (server.ip().to_canonical(), server.port());
    let is_active = verdict.mode == Some(Mode::Active);
    let (mode, ports) = if is_active {
        let range = diagnosis.site.port_range.clone();
        (FirewallMode::Active, range.unwrap_or(PORT_RANGE))
    } else {
        (FirewallMode::Passive, passive_range(diagnosis, control))
    };
    let client = WantedPorts {
        from: Some(Net::new(ip, u8::MAX)),
        chains: chains.to_vec(),
        ..WantedPorts::new(FirewallSide::Client, mode, control, ports.clone())
    };
    let host = WantedPorts {
        family: Some(Family::of(ip)),
        ..WantedPorts::new(FirewallSide::Server, mode, control, ports.clone())
    };
    let software = ServerSoftware::of(diagnosis.greeting.as_deref().unwrap_or_default());
    let setting = (!is_active).then(|| software.range_setting(&ports));
    let mut found = connections("here", &client, Some(ip), None);
    found.extend(connections("server", &host, None, setting.as_deref()));
    // The control connection is opened first.
    found.sort_by_key(|rule| (rule.side == "server", is_active && rule.words.contains("data")));
    found
}

fn connections(
    side: &'static str,
    wanted: &WantedPorts,
    other: Option<IpAddr>,
    setting: Option<&str>,
) -> Vec<AllowedConnection> {
    let each = wanted.commands().into_iter().map(|rule| {
        let what = match (side, wanted.mode, rule.is_inbound) {
            ("here", FirewallMode::Active, true) => "the server's data connections (`port_range`)",
            ("here", FirewallMode::Active, false) => "to the server's command port",
            ("here", ..) => "its command port and its passive range",
            (_, FirewallMode::Active, true) => "its command port",
            (_, FirewallMode::Active, false) => "its data connections to the clients' `port_range`",
            _ => "its command port and its passive range",
        };
        let direction = if rule.is_inbound { "inbound" } else { "outbound" };
        let end = if rule.is_inbound { "from" } else { "to" };
        let other = other.map(|address| format!(" {end} {address}")).unwrap_or_default();
        let first = setting.map(|text| format!("; first set {text}")).unwrap_or_default();
        let ports = rule.ports;
        AllowedConnection {
            side,
            nft: rule.nft.join(" && "),
            nft_note: rule.nft_note,
            iptables: rule.iptables.join(" && "),
            words: format!("{direction} TCP{other}, destination ports {ports}: {what}{first}"),
            setting: setting.map(str::to_owned),
        }
    });
    each.collect()
}

/// Returns the range that the server's passive ports seem to be limited to: the smallest block that has all of them.
/// Ports from all over the place are those of a server without a range, which then gets the usual one.
pub(super) fn passive_range(diagnosis: &Diagnosis, control: u16) -> RangeInclusive<u16> {
    let trials = diagnosis.endpoints.iter().flat_map(|endpoint| &endpoint.trials);
    let passive = trials.filter(|trial| !trial.step.is_active());
    let seen = passive.filter_map(|trial| trial.address.parse::<SocketAddr>().ok());
    let seen: Vec<u16> = seen.map(|address| address.port()).collect();
    let is_free = |range: &RangeInclusive<u16>| !range.contains(&control);
    let usual = if is_free(&SERVER_PORTS) { SERVER_PORTS } else { OTHER_PORTS };
    let (Some(lowest), Some(highest)) = (seen.iter().min(), seen.iter().max()) else {
        return usual;
    };
    let block = BLOCKS.into_iter().find_map(|size| {
        let first = lowest - lowest % size;
        let last = first.saturating_add(size - 1);
        (*highest <= last && first >= 1024).then_some(first..=last)
    });
    block.filter(is_free).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::Clock,
        ftp::{
            data::method::DataMethod,
            doctor::{Endpoint, LoginOutcome, ModeProbe, verdict},
            site::{Site, TlsMode},
        },
    };

    fn survey(server: &str, greeting: &str, seen: &[u16], active: bool) -> Diagnosis {
        let address: SocketAddr = server.parse().unwrap();
        let works = Ok(Duration::from_millis(1));
        let trial = |step, port: u16| ModeProbe {
            step,
            address: SocketAddr::new(address.ip(), port).to_string(),
            listing: works.clone(),
            upload: None,
            download: None,
        };
        let trials = if active {
            vec![trial(DataMethod::Eprt, 50003)]
        } else {
            seen.iter().map(|port| trial(DataMethod::Epsv, *port)).collect()
        };
        let endpoint = Endpoint {
            tls: TlsMode::Off,
            address,
            local: None,
            protection: None,
            entry: LoginOutcome::Entered(Duration::ZERO),
            trials,
        };
        Diagnosis {
            site: Site::new("ftp.example.org"),
            read_only: true,
            at: Clock::System.now(),
            took: Duration::ZERO,
            lookup: None,
            addresses: Vec::new(),
            greeting: Some(greeting.into()),
            endpoints: vec![endpoint],
            server: None,
            left: Vec::new(),
            own_filters: Vec::new(),
            is_cut_short: false,
        }
    }

    fn told(survey: &Diagnosis) -> Vec<AllowedConnection> {
        rules_with(survey, &verdict(survey), &[])
    }

    #[test]
    fn the_server_is_told_a_limited_range_and_its_setting() {
        for (seen, range) in [
            (&[50003][..], "50000-50009"),
            (&[40012, 40077], "40000-40099"),
            (&[40012, 40377], "40000-40999"),
            (&[32801, 60123], "50000-50009"),
            (&[], "50000-50009"),
        ] {
            // Without a passive trial no mode works, and passive mode is still the one to allow.
            let found = told(&survey("203.0.113.20:21", "(vsFTPd 3.0.3)", seen, false));
            let [here, server] = found.as_slice() else { panic!("{found:?}") };
            let first = range.split('-').next().unwrap();
            let nft =
                format!("nft insert rule inet filter input tcp dport {{ 21, {range} }} accept");
            assert_eq!(server.nft, nft);
            let note = server.nft_note.as_deref().unwrap();
            assert!(
                note.starts_with("# ") && note.contains("`nft list chains` names it"),
                "{note}"
            );
            let setting = server.setting.as_deref().unwrap();
            assert!(setting.starts_with(&format!("pasv_min_port={first} and ")), "{setting}");
            assert!(
                here.nft
                    .contains(&format!("output ip daddr 203.0.113.20 tcp dport {{ 21, {range} }}"))
            );
            assert!(here.setting.is_none());
        }
    }

    #[test]
    fn each_family_has_its_tool_and_a_control_port_in_the_range_moves_it() {
        let found = told(&survey("[2001:db8::20]:50005", "Pure-FTPd", &[], false));
        let [_, server] = found.as_slice() else { panic!("{found:?}") };
        let rule = "ip6tables -I INPUT -p tcp -m multiport --dports 50005,51000:51009 -j ACCEPT";
        assert_eq!(server.iptables, rule);
        assert!(server.words.contains("first set PassivePortRange 51000 51009 in pure-ftpd.conf"));
    }

    #[test]
    fn active_mode_opens_the_range_of_the_client_to_the_server_alone() {
        let found = told(&survey("203.0.113.20:21", "", &[], true));
        let sides: Vec<_> = found.iter().map(|rule| rule.side).collect();
        assert_eq!(sides, ["here", "here", "server", "server"]);
        let data =
            "nft insert rule inet filter input ip saddr 203.0.113.20 tcp dport 50000-50010 accept";
        assert_eq!(found.get(1).unwrap().nft, data);
        assert!(found.iter().all(|rule| rule.setting.is_none()));
        assert!(found.get(2).unwrap().words.starts_with("inbound TCP, destination ports 21: "));
    }
}
