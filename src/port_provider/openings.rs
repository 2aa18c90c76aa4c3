//! Port ranges that the host's rulesets open for its own sessions, as recorded in the NAT ledger.

use std::{
    net::IpAddr,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
};

use crate::{
    clock::Clock,
    ftp::ports::{InboundPorts, MappedPort, PortRequest},
    limits::OPENED_PORTS_MAX,
    nat::{
        check::{Family, Net, Ports},
        host::HostNetwork,
        ruleset_store::{OpenPorts, RulesetRecord, RulesetStore},
    },
    observe::{EventEmitter, MessageLevel},
};

/// The port ranges that the host's rulesets open.
pub struct RulesetPorts {
    /// The ledger they are read from.
    ledger: Option<Arc<dyn RulesetStore>>,
    /// True if the run may change rulesets; otherwise they are looked up only once.
    may_change: bool,
    /// The observer that is told where a range came from.
    pub(super) observer: EventEmitter,
    /// The clock for trials, which may have ended.
    clock: Clock,
    known: OnceLock<Vec<NamedRange>>,
}

/// The name of a ruleset, and a range that it opens.
type NamedRange = (String, OpenPorts);

impl RulesetPorts {
    /// Creates a lookup of the ranges recorded in `ledger`; without a ledger there are none.
    pub fn new(
        ledger: Option<Arc<dyn RulesetStore>>,
        may_change: bool,
        observer: EventEmitter,
        clock: Clock,
    ) -> Self {
        Self { ledger, may_change, observer, clock, known: OnceLock::new() }
    }

    /// Returns the first range that suits a session, restricted to the ports that the user has named. If the user has
    /// named none, the choice is reported once.
    pub(super) fn of(&self, wish: &PortRequest) -> Option<OpenRange> {
        if self.may_change {
            return self.chosen(&self.looked_up(), wish);
        }
        self.chosen(self.known.get_or_init(|| self.looked_up()), wish)
    }

    fn looked_up(&self) -> Vec<NamedRange> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        let now = self.clock.now();
        match ledger.all() {
            Ok(records) => {
                let named = |record: &RulesetRecord| -> Vec<NamedRange> {
                    let opened = record.opened(now).iter();
                    opened.map(|one| (record.ruleset.clone(), one.clone())).collect()
                };
                records.iter().flat_map(named).collect()
            }
            Err(fault) => {
                self.observer.warn_once(format!("no ruleset's range is used: {fault}"));
                Vec::new()
            }
        }
    }

    fn chosen(&self, all: &[NamedRange], wish: &PortRequest) -> Option<OpenRange> {
        let found = all.iter().find_map(|(name, one)| Some((name, one, fitting(one, wish)?)));
        let (name, opened, opening) = found?;
        if wish.ports.is_none() {
            let outside = opening.address.filter(|_| wish.address.is_none());
            let outside = outside.map(|address| format!(" of {address}")).unwrap_or_default();
            let text = format!(
                "active mode takes ports {}{outside}, which the ruleset `{name}` of this host opens",
                Ports::new(opened.ports.clone()).map(|ports| ports.to_string()).unwrap_or_default()
            );
            self.observer.message_once(MessageLevel::Info, text);
        }
        Some(opening)
    }
}

impl std::fmt::Debug for RulesetPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Openings")
    }
}

/// Open local ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenRange {
    ranges: Vec<(u16, u16)>,
    /// The external address of the host, if the ruleset names it.
    pub(super) address: Option<IpAddr>,
}

impl OpenRange {
    /// Returns them as inbound ports.
    pub(super) fn door(&self) -> InboundPorts {
        let ports = self.ranges.iter().flat_map(|(first, last)| *first..=*last);
        let ports = ports.take(OPENED_PORTS_MAX).map(|here| MappedPort { here, outside: here });
        InboundPorts { ports: ports.collect(), address: self.address }
    }

    /// Returns the first contiguous range.
    pub(super) fn first_range(&self) -> Option<RangeInclusive<u16>> {
        self.ranges.first().map(|(first, last)| *first..=*last)
    }
}

/// Returns the part of `opened` that a session can use: every restriction on servers in the ruleset must allow this
/// one.
fn fitting(opened: &OpenPorts, wish: &PortRequest) -> Option<OpenRange> {
    if let Some(from) = &opened.server
        && !Net::parse(from).is_ok_and(|net| net.has(wish.server))
    {
        return None;
    }
    if let Some(device) = &opened.device {
        let here = HostNetwork::look();
        let towards = here.device_towards(wish.server).map(|device| device.to_string());
        if towards.or(here.default_device).as_ref() != Some(device) {
            return None;
        }
    }
    let within = |(first, last): &(u16, u16)| {
        let Some(named) = &wish.ports else { return Some((*first, *last)) };
        let (first, last) = ((*first).max(*named.start()), (*last).min(*named.end()));
        (first <= last).then_some((first, last))
    };
    let ranges: Vec<_> = opened.ports.iter().filter_map(within).collect();
    let is_of_family = |address: &IpAddr| Family::of(*address) == Family::of(wish.ours);
    let address = opened.external.filter(is_of_family);
    (!ranges.is_empty()).then_some(OpenRange { ranges, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(ports: Option<RangeInclusive<u16>>) -> PortRequest {
        PortRequest {
            ours: "192.168.0.10".parse().unwrap(),
            server: "203.0.113.20".parse().unwrap(),
            ports,
            address: None,
            count: 1,
            may_ask: false,
        }
    }

    #[test]
    fn a_range_is_for_whom_the_ruleset_names_and_within_what_the_user_names() {
        let all = OpenPorts { ports: vec![(40000, 40009), (41000, 41000)], ..OpenPorts::default() };
        let fits = |opened: &OpenPorts, ports| fitting(opened, &wish(ports)).map(|one| one.ranges);
        assert_eq!(fits(&all, None), Some(all.ports.clone()));
        assert_eq!(fits(&all, Some(40005..=40100)), Some(vec![(40005, 40009)]));
        assert_eq!(fits(&all, Some(50000..=50009)), None);
        for (server, is_it) in
            [("203.0.113.0/24", true), ("203.0.113.21", false), ("fd00::/8", false)]
        {
            let opened = OpenPorts { server: Some(server.into()), ..all.clone() };
            assert_eq!(fits(&opened, None).is_some(), is_it, "{server}");
        }
        let nowhere = OpenPorts { device: Some("nothing-here".into()), ..all.clone() };
        assert_eq!(fits(&nowhere, None), None);
        for (external, shown) in [("203.0.113.1", true), ("2001:db8::1", false)] {
            let opened = OpenPorts { external: external.parse().ok(), ..all.clone() };
            let door = fitting(&opened, &wish(None)).unwrap().door();
            assert_eq!(door.address.is_some(), shown);
            assert_eq!(door.ports.len(), 11);
        }
    }
}
