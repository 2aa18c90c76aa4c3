//! The FTP sessions that prove a ruleset: pure. They are held by whoever can speak FTP.

use std::net::IpAddr;

use super::{
    check::Family,
    host::HostNetwork,
    model::{ACTIVE_RANGE, RulesetPart, RulesetSpec},
};

/// A session, and the modes that must carry data in it; passive mode must in all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofSession {
    /// The local address from which it comes: one that the ruleset masquerades; any if `None`.
    pub source: Option<IpAddr>,
    /// True if active mode must carry data without TLS.
    pub is_active: bool,
    /// True if active mode must carry data under TLS, which no helper can read.
    pub is_active_under_tls: bool,
}

/// Returns the sessions for `ruleset` with a server of that family: one from an inside address of the host, if a network
/// with one is masqueraded, and one of the host itself, if a range is open for those.
pub fn sessions(ruleset: &RulesetSpec, here: &HostNetwork, family: Family) -> Vec<ProofSession> {
    let parts = ruleset.parts();
    let inside = parts.iter().find_map(|part| match part {
        RulesetPart::Masquerade(part) if part.source.family() == family => {
            let own = here.addresses.iter().map(|(_, address)| *address);
            own.into_iter().find(|address| part.source.has(*address))
        }
        _ => None,
    });
    let has_range =
        parts.iter().any(|part| matches!(part, RulesetPart::Open(one) if one.what == ACTIVE_RANGE));
    let has_helper = parts.iter().any(|part| matches!(part, RulesetPart::Helper(_)));
    let from_inside = ProofSession {
        source: inside,
        is_active: has_helper && inside.is_some(),
        is_active_under_tls: false,
    };
    let own = ProofSession { source: None, is_active: true, is_active_under_tls: true };
    match (inside, has_range) {
        (Some(_), true) => vec![from_inside, own],
        (None, true) => vec![own],
        (_, false) => vec![from_inside],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{Net, Ports},
        model::{Helper, Masquerade, Open, tests::device},
    };

    #[test]
    fn sessions_come_from_inside_and_need_the_modes_that_rules_are_for() {
        let mut ruleset = RulesetSpec::new("x").unwrap();
        let source = Net::parse("192.168.0.0/24").unwrap().into();
        let masquerade = Masquerade { source, out: device("wan0"), to: None, except: None };
        ruleset.add(RulesetPart::Masquerade(masquerade)).unwrap();
        let inner: IpAddr = "192.168.0.1".parse().unwrap();
        let addresses = vec![("lan0".to_owned(), inner)];
        let here = HostNetwork { addresses, ..HostNetwork::default() };
        let told = |ruleset: &RulesetSpec| sessions(ruleset, &here, Family::V4);
        let passive =
            ProofSession { source: Some(inner), is_active: false, is_active_under_tls: false };
        assert_eq!(told(&ruleset), std::slice::from_ref(&passive));
        let ports = Ports::parse("21").unwrap();
        ruleset.add(RulesetPart::Helper(Helper { ports, device: None, server: None })).unwrap();
        let active = ProofSession { is_active: true, ..passive };
        assert_eq!(told(&ruleset), std::slice::from_ref(&active));
        ruleset
            .add(RulesetPart::Open(Open {
                what: ACTIVE_RANGE,
                device: None,
                protocol: None,
                ports: Ports::parse("40000-40009").ok(),
                from: None,
                source_port: None,
                external: None,
            }))
            .unwrap();
        let own = ProofSession { source: None, is_active: true, is_active_under_tls: true };
        assert_eq!(told(&ruleset), [active, own.clone()]);
        assert_eq!(sessions(&ruleset, &here, Family::V6), [own]);
    }
}
