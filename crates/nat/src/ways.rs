//! The ways of connections that a ruleset should let through: pure. Each is tried in a copy of the host, and remedies
//! for what others drop open exactly these.

use std::net::IpAddr;

use super::{
    check::{Family, Interface, InterfaceSelector, Net, Ports, Protocol},
    host::HostNetwork,
    model::{Allow, Forward, Masquerade, Open, RulesetPart, RulesetSpec},
    nets::NetSet,
};
use portolan_core::error::Result;

/// The direction of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathKind {
    /// Through the host.
    Through,
    /// To the host, and on to another host by a translation.
    Forwarded,
    /// To the host itself.
    Here,
}

/// A way of connections that a ruleset should let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionPath {
    pub(super) kind: PathKind,
    /// The description of its part.
    pub(super) note: String,
    pub(super) family: Family,
    /// The interface by which they come in; any if `None`.
    pub(super) from: Option<Interface>,
    /// The interface by which they leave; not known if `None`.
    pub(super) to: Option<Interface>,
    /// The only sources.
    pub(super) source: Option<NetSet>,
    pub(super) source_port: Option<u16>,
    /// The only destinations, as filters of forwarded packets see them.
    pub(super) target: Option<NetSet>,
    /// The address of the host to which connections are made that are translated.
    pub(super) external: Option<IpAddr>,
    pub(super) protocol: Option<Protocol>,
    /// The ports to which connections are made.
    pub(super) asked: Option<Ports>,
    /// The ports as filters of forwarded packets see them.
    pub(super) ports: Option<Ports>,
}

impl ConnectionPath {
    pub(super) fn new(kind: PathKind, note: String, family: Family) -> Self {
        Self {
            kind,
            note,
            family,
            from: None,
            to: None,
            source: None,
            source_port: None,
            target: None,
            external: None,
            protocol: None,
            asked: None,
            ports: None,
        }
    }

    /// Returns the protocols of its connections.
    pub(super) fn protocols(&self) -> &'static [&'static str] {
        self.protocol.unwrap_or_default().words()
    }

    /// Returns the port that connections to `asked` have once they are translated.
    pub(super) fn port_behind(&self, asked: u16) -> u16 {
        match (&self.asked, &self.ports) {
            (Some(from), Some(to)) if from != to => {
                let at = from.each().position(|port| port == asked).unwrap_or(0);
                to.each().nth(at).or_else(|| to.each().next()).unwrap_or(asked)
            }
            _ => asked,
        }
    }
}

/// Returns the ways of `ruleset` on this host.
pub(super) fn ways(ruleset: &RulesetSpec, here: &HostNetwork) -> Result<Vec<ConnectionPath>> {
    let mut found = Vec::new();
    for part in ruleset.parts() {
        match part {
            RulesetPart::Masquerade(part) => masquerade(part, here, &mut found)?,
            RulesetPart::Forward(part) => forward(part, here, &mut found)?,
            RulesetPart::Allow(part) => allow(part, here, &mut found)?,
            RulesetPart::Open(part) => open(part, here, &mut found)?,
            RulesetPart::Helper(_) | RulesetPart::Clamp(_) => {}
        }
    }
    Ok(found)
}

/// Returns the interfaces that `device` stands for and that there are; `None` for any.
fn devices(
    device: Option<&InterfaceSelector>,
    family: Option<Family>,
    source: Option<Net>,
    here: &HostNetwork,
) -> Result<Vec<Option<Interface>>> {
    let Some(device) = device else { return Ok(vec![None]) };
    let mut found = Vec::new();
    for one in here.resolve(device, family, source)? {
        if one.prefix().is_none() {
            found.push(Some(one));
            continue;
        }
        let covered = here.interfaces.iter().filter(|name| one.covers(name));
        found.extend(covered.filter_map(|name| Interface::parse(name).ok()).map(Some));
    }
    Ok(found)
}

fn masquerade(
    part: &Masquerade,
    here: &HostNetwork,
    found: &mut Vec<ConnectionPath>,
) -> Result<()> {
    let family = part.source.family();
    for net in part.source.nets() {
        for to in devices(Some(&part.out), Some(family), Some(*net), here)? {
            let note = part.text(to.as_ref().map_or("", Interface::as_str));
            let way = |from| ConnectionPath {
                from,
                to: to.clone(),
                source: Some((*net).into()),
                ..ConnectionPath::new(PathKind::Through, note.clone(), family)
            };
            let froms = here.devices_of(net);
            // It is masqueraded only where it leaves by another interface.
            let froms = froms.into_iter().filter(|from| to.as_ref() != Some(from));
            let before = found.len();
            found.extend(froms.map(|from| way(Some(from))));
            if found.len() == before {
                found.push(way(None));
            }
        }
    }
    Ok(())
}

fn forward(part: &Forward, here: &HostNetwork, found: &mut Vec<ConnectionPath>) -> Result<()> {
    let family = Family::of(part.to);
    for from in devices(part.device.as_ref(), Some(family), None, here)? {
        let note = part.text(from.as_ref().map(Interface::as_str));
        found.push(ConnectionPath {
            from,
            to: here.device_towards(part.to),
            source: part.from.clone(),
            source_port: part.source_port,
            target: Some(Net::new(part.to, u8::MAX).into()),
            external: part.external,
            protocol: Some(part.protocol),
            asked: Some(part.ports.clone()),
            ports: Some(part.to_port.clone().unwrap_or_else(|| part.ports.clone())),
            ..ConnectionPath::new(PathKind::Forwarded, note, family)
        });
    }
    Ok(())
}

fn allow(part: &Allow, here: &HostNetwork, found: &mut Vec<ConnectionPath>) -> Result<()> {
    let said = part.named_family().or(part.family);
    let family = said.unwrap_or(Family::V4);
    for to in devices(Some(&part.out), said, None, here)? {
        for from in devices(Some(&part.device), said, None, here)? {
            let names = [&from, &to].map(|one| one.as_ref().map_or("", Interface::as_str));
            let [name, out] = names;
            let note = part.text(name, out);
            found.push(ConnectionPath {
                from,
                to: to.clone(),
                source: part.source.clone(),
                target: part.to.clone(),
                protocol: part.protocol,
                asked: part.ports.clone(),
                ports: part.ports.clone(),
                ..ConnectionPath::new(PathKind::Through, note, family)
            });
        }
    }
    Ok(())
}

fn open(part: &Open, here: &HostNetwork, found: &mut Vec<ConnectionPath>) -> Result<()> {
    let family = part.from.as_ref().map(NetSet::family);
    for from in devices(part.device.as_ref(), family, None, here)? {
        let note = part.text(from.as_ref().map(Interface::as_str));
        found.push(ConnectionPath {
            from,
            source: part.from.clone(),
            source_port: part.source_port,
            protocol: part.protocol,
            asked: part.ports.clone(),
            ports: part.ports.clone(),
            ..ConnectionPath::new(PathKind::Here, note, family.unwrap_or(Family::V4))
        });
    }
    Ok(())
}
