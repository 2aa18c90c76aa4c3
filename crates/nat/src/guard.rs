//! Refusal of rules that would lock the user out: pure.

use super::{
    NatError,
    check::{Interface, Protocol},
    cutoff::HostServices,
    host::HostNetwork,
    rules::{CompiledRules, Rule, RuleAction},
};
use portolan_core::error::{Error, Result};

/// Fails with `nat.would_lock_out` for rules that capture an SSH port of the host, and with `nat.conflict` for those
/// that capture a port of another service: of TCP, and of UDP if the `services` are known.
pub(super) fn check(
    rules: &CompiledRules,
    here: &HostNetwork,
    services: Option<&HostServices>,
) -> Result<()> {
    for rule in &rules.all {
        if matches!(rule.action, RuleAction::Dnat(_)) {
            captured(rule, here)?;
        }
    }
    check_datagrams(rules, services)
}

/// Checks a rule that redirects connections to ports of the host.
fn captured(rule: &Rule, here: &HostNetwork) -> Result<()> {
    // The services listen for TCP.
    let Some(ports) = rule.ports().filter(|_| rule.protocol() != Protocol::Udp) else {
        return Ok(());
    };
    let is_login = |port: &&u16| here.login_ports.contains(port);
    let mut taken = here.listeners.iter().filter(|port| ports.has(**port));
    let Some(first) = taken.clone().find(is_login).or_else(|| taken.next()) else { return Ok(()) };
    let note = &rule.note;
    if is_login(&first) {
        return Err(NatError::WouldLockOut.fault(format!(
            "`{note}` takes port {first} away from this host, which accepts SSH logins there; `force` applies it anyway"
        )));
    }
    Err(NatError::Conflict.fault(format!(
        "`{note}` takes port {first} away from a service of this host that listens there; `force` applies it \
         anyway"
    )))
}

/// Fails with `nat.conflict` for rules that capture a UDP port of a service, such as that of a tunnel.
fn check_datagrams(rules: &CompiledRules, services: Option<&HostServices>) -> Result<()> {
    let waiting = services.into_iter().flat_map(HostServices::services);
    let mut waiting = waiting.filter(|socket| socket.is_udp);
    let takes = |rule: &&Rule, port: u16| {
        matches!(rule.action, RuleAction::Dnat(_))
            && rule.protocol() != Protocol::Tcp
            && rule.ports().is_some_and(|ports| ports.has(port))
    };
    let found = waiting.find_map(|socket| {
        let port = socket.local.port();
        rules.all.iter().find(|rule| takes(rule, port)).map(|rule| (&rule.note, port))
    });
    let Some((note, port)) = found else { return Ok(()) };
    Err(NatError::Conflict.fault(format!(
        "`{note}` takes udp port {port} away from a service of this host that waits there; `force` applies it anyway"
    )))
}

/// Returns the named interfaces that do not exist. Names such as `ppp*` are those of interfaces that come and go.
pub(super) fn missing<'r>(
    rules: &'r CompiledRules,
    here: &'r HostNetwork,
) -> impl Iterator<Item = &'r Interface> {
    rules.named.iter().filter(|device| device.prefix().is_none() && !here.has(device))
}

/// Returns a message for each named interface that does not exist, with the most similar one that does.
pub(super) fn absent(rules: &CompiledRules, here: &HostNetwork) -> Vec<String> {
    missing(rules, here)
        .map(|device| {
            let likeness = |other: &str| strsim::jaro_winkler(device.as_str(), other);
            let known = here.interfaces.iter().filter(|name| likeness(name) > 0.8);
            let near = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            match near {
                Some(near) => format!("there is no interface {device} here; there is {near}"),
                None => {
                    format!(
                        "there is no interface {device} here; there are {}",
                        here.interfaces.join(", ")
                    )
                }
            }
        })
        .collect()
}

/// Returns the fault for missing interfaces: their rules would do nothing, and most likely another interface is meant.
pub(super) fn absent_fault(absent: &[String]) -> Error {
    let message = format!("{}; `absent_ok` takes it as one that will come", absent.join("; "));
    NatError::UnknownInterface.fault(message)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        model::{Forward, RulesetPart, RulesetSpec, tests::forward},
        rules::rules,
        sockets::HostSocket,
    };

    fn here() -> HostNetwork {
        HostNetwork {
            interfaces: vec!["lo".into(), "wan0".into(), "lan0".into()],
            listeners: [21, 22, 2222].into(),
            login_ports: [22, 2222].into(),
            ..HostNetwork::default()
        }
    }

    fn judged(ports: &str) -> Option<&'static str> {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        ruleset.add(RulesetPart::Forward(forward(ports, "10.0.0.5"))).unwrap();
        check(&rules(&ruleset, &here()).unwrap(), &here(), None).err().and_then(|fault| fault.name)
    }

    #[test]
    fn a_forward_of_a_port_in_use_is_refused() {
        assert_eq!(judged("1-65535"), Some("nat.would_lock_out"));
        assert_eq!(judged("2000-3000"), Some("nat.would_lock_out"));
        assert_eq!(judged("20-21"), Some("nat.conflict"));
        assert_eq!(judged("40000-40009"), None);
    }

    #[test]
    fn a_forward_of_a_udp_port_in_use_is_refused() {
        let socket = |is_udp, port| HostSocket {
            is_udp,
            local: SocketAddr::from(([0; 4], port)),
            peer: None,
            inode: 1,
        };
        let services = HostServices {
            sockets: vec![socket(true, 51820), socket(false, 80)],
            ..HostServices::default()
        };
        let judged = |ports: &str, protocol| {
            let mut ruleset = RulesetSpec::new("x").unwrap();
            let part = Forward { protocol, ..forward(ports, "10.0.0.5") };
            ruleset.add(RulesetPart::Forward(part)).unwrap();
            check_datagrams(&rules(&ruleset, &here()).unwrap(), Some(&services)).is_ok()
        };
        assert!(!judged("51800-51900", Protocol::Udp) && !judged("51820", Protocol::Both));
        assert!(judged("51820", Protocol::Tcp) && judged("80", Protocol::Udp));
    }

    #[test]
    fn an_interface_that_is_not_there_names_the_nearest() {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        let device = Some(crate::model::tests::device("wan1"));
        ruleset.add(RulesetPart::Forward(Forward { device, ..forward("80", "10.0.0.5") })).unwrap();
        let absent = absent(&rules(&ruleset, &here()).unwrap(), &here());
        assert_eq!(absent, ["there is no interface wan1 here; there is wan0"]);
    }
}
