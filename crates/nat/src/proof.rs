//! The FTP sessions that prove a ruleset: pure. They are held by a caller that has an FTP client.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{
    check::{Family, InterfaceSelector, Net},
    host::HostNetwork,
    model::{ACTIVE_RANGE, Allow, Forward, Helper, RulesetPart, RulesetSpec},
};

/// A session, and the modes that must carry data in it; passive mode must in all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProofSession {
    /// The network inside in which its client stands; it is the host itself if `None`.
    pub inside: Option<InsideNetwork>,
    /// True if active mode must carry data without TLS.
    pub is_active: bool,
    /// True if active mode must carry data under TLS, which no helper can read.
    pub is_active_under_tls: bool,
    /// The ports that are forwarded to the client, and the address that it has to announce.
    pub announced: Option<(RangeInclusive<u16>, IpAddr)>,
}

/// A network inside, with a place for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsideNetwork {
    /// The interface of the host that is in it.
    pub device: String,
    /// The address of the host in it.
    pub gateway: IpAddr,
    /// The network.
    pub net: Net,
    /// The part of it from which the ruleset carries connections.
    pub source: Option<Net>,
    /// The only address for the client; any that is free if `None`.
    pub client: Option<IpAddr>,
}

/// Returns the sessions for `ruleset` with a server: one of a client inside, one of each client to which a range of ports
/// is forwarded, and one of the host itself, if a range is open for those. If there is no network inside, it is the host
/// in any case.
pub fn sessions(
    ruleset: &RulesetSpec,
    here: &HostNetwork,
    server: SocketAddr,
) -> Vec<ProofSession> {
    let family = Family::of(server.ip());
    let parts = ruleset.parts();
    let inside = parts.iter().find_map(|part| inside_of(part, here, family));
    let mut found = Vec::new();
    if let Some(inside) = &inside {
        let is_active = parts.iter().any(|part| match part {
            RulesetPart::Helper(helper) => is_read(helper, inside, server),
            _ => false,
        });
        found.push(ProofSession {
            inside: Some(inside.clone()),
            is_active,
            ..ProofSession::default()
        });
    }
    for part in parts {
        match part {
            RulesetPart::Forward(part) if part.what == ACTIVE_RANGE => {
                found.extend(announcing(part, here, server));
            }
            _ => {}
        }
    }
    let has_range =
        parts.iter().any(|part| matches!(part, RulesetPart::Open(one) if one.what == ACTIVE_RANGE));
    if has_range || found.is_empty() {
        found.push(ProofSession {
            is_active: has_range,
            is_active_under_tls: has_range,
            ..ProofSession::default()
        });
    }
    found
}

/// Returns the network inside from which a part carries connections, if the host has an address in it.
fn inside_of(part: &RulesetPart, here: &HostNetwork, family: Family) -> Option<InsideNetwork> {
    match part {
        RulesetPart::Masquerade(part) if part.source.family() == family => {
            let sources = part.source.nets().iter();
            let outs = here.resolve(&part.out, Some(family), None).unwrap_or_default();
            let is_out = |device: &str| outs.iter().any(|out| out.covers(device));
            sources.into_iter().find_map(|source| {
                let mut found = networks(here, family);
                found
                    .find(|one| source.has(one.gateway) && !is_out(&one.device))
                    .map(|one| InsideNetwork { source: Some(*source), ..one })
            })
        }
        RulesetPart::Allow(Allow { device: InterfaceSelector::Named(device), source, .. }) => {
            let sources = source.as_ref().filter(|set| set.family() == family);
            let source = sources.and_then(|set| set.nets().first().copied());
            let is_source = |one: &InsideNetwork| {
                sources.is_none_or(|set| set.has(one.gateway) && source.is_some())
            };
            let mut found = networks(here, family);
            let fits = found.find(|one| device.covers(&one.device) && is_source(one));
            // An exception for what comes in from outside names the line.
            let is_line = here.defaults.iter().any(|route| device.covers(&route.device));
            fits.filter(|_| !is_line).map(|one| InsideNetwork { source, ..one })
        }
        _ => None,
    }
}

/// Returns the networks in which the host has an address.
fn networks(here: &HostNetwork, family: Family) -> impl Iterator<Item = InsideNetwork> {
    here.addresses.iter().filter_map(move |(device, address)| {
        let is_usable = match address {
            IpAddr::V4(address) => !address.is_loopback(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        let is_around = |(net, of): &&(Net, String)| of == device && net.has(*address);
        let around = here.routes.iter().filter(is_around).map(|(net, _)| *net);
        let net = around.max_by_key(Net::prefix)?;
        (is_usable && Family::of(*address) == family).then(|| InsideNetwork {
            device: device.clone(),
            gateway: *address,
            net,
            source: None,
            client: None,
        })
    })
}

/// Returns true if the helper reads the connections of that network's clients to the server.
fn is_read(helper: &Helper, inside: &InsideNetwork, server: SocketAddr) -> bool {
    let is_device = match &helper.device {
        None => true,
        Some(InterfaceSelector::Named(device)) => device.covers(&inside.device),
        Some(InterfaceSelector::Auto) => false,
    };
    let is_server = helper.server.as_ref().is_none_or(|servers| servers.has(server.ip()));
    is_device && is_server && helper.ports.has(server.port())
}

/// Returns the session of the client to which a range is forwarded, if the host is in its network.
fn announcing(part: &Forward, here: &HostNetwork, server: SocketAddr) -> Option<ProofSession> {
    let family = Family::of(part.to);
    let is_for = part.from.as_ref().is_none_or(|servers| servers.has(server.ip()));
    if !is_for || family != Family::of(server.ip()) || part.source_port.is_some() {
        return None;
    }
    let inside = networks(here, family).find(|one| one.net.has(part.to))?;
    let outside = || {
        let named = part.device.as_ref().map(|device| here.resolve(device, Some(family), None));
        let named = named.and_then(Result::ok).unwrap_or_default();
        let mut outside = networks(here, family).filter(|one| one.device != inside.device);
        outside.find(|one| named.is_empty() || named.iter().any(|name| name.covers(&one.device)))
    };
    let address = part.external.or_else(|| outside().map(|one| one.gateway))?;
    let (first, last) = *part.ports.ranges().first()?;
    Some(ProofSession {
        inside: Some(InsideNetwork { client: Some(part.to), ..inside }),
        is_active: true,
        is_active_under_tls: true,
        announced: Some((first..=last, address)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Ports,
        model::{Masquerade, Open, tests::device, tests::forward},
    };

    fn here() -> HostNetwork {
        let net = |text: &str, device: &str| (Net::parse(text).unwrap(), device.to_owned());
        let address = |device: &str, text: &str| (device.to_owned(), text.parse().unwrap());
        HostNetwork {
            interfaces: ["lo", "wan0", "lan0"].map(str::to_owned).to_vec(),
            routes: vec![net("203.0.113.0/24", "wan0"), net("192.168.0.0/24", "lan0")],
            addresses: vec![
                address("lo", "127.0.0.1"),
                address("wan0", "203.0.113.1"),
                address("lan0", "192.168.0.1"),
            ],
            ..HostNetwork::default()
        }
    }

    fn masquerade(source: &str) -> RulesetPart {
        let source = Net::parse(source).unwrap().into();
        RulesetPart::Masquerade(Masquerade { source, out: device("wan0"), to: None, except: None })
    }

    fn told(parts: Vec<RulesetPart>) -> Vec<ProofSession> {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        for part in parts {
            ruleset.add(part).unwrap();
        }
        sessions(&ruleset, &here(), "203.0.113.10:21".parse().unwrap())
    }

    fn helper(server: Option<&str>) -> RulesetPart {
        let server = server.map(|server| Net::parse(server).unwrap().into());
        RulesetPart::Helper(Helper { ports: Ports::parse("21").unwrap(), device: None, server })
    }

    #[test]
    fn a_client_stands_inside_and_needs_the_modes_that_rules_are_for() {
        for source in ["192.168.0.0/24", "192.168.0.0/16", "0.0.0.0/0"] {
            let found = told(vec![masquerade(source)]);
            let [session] = found.as_slice() else { panic!("{found:?}") };
            let inside = session.inside.as_ref().unwrap();
            assert_eq!(
                (inside.device.as_str(), inside.net.to_string()),
                ("lan0", "192.168.0.0/24".into())
            );
            assert_eq!(inside.gateway.to_string(), "192.168.0.1");
            assert!(!session.is_active && !session.is_active_under_tls);
        }
        let active = |server| {
            told(vec![masquerade("192.168.0.0/24"), helper(server)]).first().unwrap().is_active
        };
        assert!(active(None) && active(Some("203.0.113.0/24")));
        assert!(!active(Some("198.51.100.7")), "another server's");
        // Without a network inside, it is the host.
        assert_eq!(told(vec![masquerade("10.9.0.0/16")]), [ProofSession::default()]);
    }

    #[test]
    fn a_range_is_proved_by_the_client_to_which_it_is_forwarded_or_by_the_host() {
        let mut range = forward("40000-40009", "192.168.0.10");
        range.what = ACTIVE_RANGE;
        range.device = Some(device("wan0"));
        let found = told(vec![masquerade("192.168.0.0/24"), RulesetPart::Forward(range.clone())]);
        let [_, session] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(session.announced, Some((40000..=40009, "203.0.113.1".parse().unwrap())));
        assert_eq!(session.inside.as_ref().unwrap().client, "192.168.0.10".parse().ok());
        assert!(session.is_active && session.is_active_under_tls);
        range.from = Some(Net::parse("198.51.100.7").unwrap().into());
        assert_eq!(told(vec![masquerade("192.168.0.0/24"), RulesetPart::Forward(range)]).len(), 1);
        let open = RulesetPart::Open(Open {
            what: ACTIVE_RANGE,
            device: None,
            protocol: None,
            ports: Ports::parse("40000-40009").ok(),
            from: None,
            source_port: None,
            external: None,
        });
        let own =
            ProofSession { is_active: true, is_active_under_tls: true, ..ProofSession::default() };
        assert_eq!(told(vec![open.clone()]), std::slice::from_ref(&own));
        assert_eq!(told(vec![masquerade("192.168.0.0/24"), open]).last(), Some(&own));
    }
}
