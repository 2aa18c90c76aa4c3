//! The wanted state: a ruleset as its user describes it. Pure; every part is checked as it is added.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    NatError,
    check::{Family, Interface, InterfaceSelector, Net, Ports, Protocol},
    host::HostNetwork,
    nets::NetSet,
    overlaps,
};
use portolan_core::{
    error::{Error, Result},
    limits::{NAT_PARTS_MAX, NAT_PORT_PAIRS_MAX},
};

/// The maximum length of a ruleset's name: the table's name is nine longer, which is far below the kernel's limit.
const NAME_LENGTH_MAX: usize = 32;
/// The description of a range for data connections of active mode.
pub const ACTIVE_RANGE: &str = "active range";
/// The description of ports of services of the host.
pub const ACCEPT: &str = "accept";
/// The port from which servers open data connections (RFC 959, 3.2); some use another.
pub const DATA_PORT: u16 = 20;

/// The purpose of a part, one of a few. (An alias: for a field that is plainly a reference, serde would borrow.)
pub type Purpose = &'static str;

/// The descriptions of parts that have several.
const PURPOSES: [&str; 4] = ["forward", "ftp server", ACTIVE_RANGE, ACCEPT];

/// Reads a description; there are no others.
fn purpose<'de, D: Deserializer<'de>>(from: D) -> Result<Purpose, D::Error> {
    let text = String::deserialize(from)?;
    let known = PURPOSES.into_iter().find(|known| *known == text);
    known.ok_or_else(|| D::Error::custom("a part of a kind that is not known"))
}

/// A ruleset, which becomes one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesetSpec {
    name: String,
    parts: Vec<RulesetPart>,
    isolate: bool,
    forwarding: bool,
    clamp: Option<bool>,
}

/// One part of a ruleset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RulesetPart {
    /// Source NAT for the packets of a network.
    Masquerade(Masquerade),
    /// Connections to the host are forwarded to another host.
    Forward(Forward),
    /// Traffic that may pass through an isolated gateway.
    Allow(Allow),
    /// The kernel's FTP helper, which inspects control connections and opens the announced ports.
    Helper(Helper),
    /// Ports of the host itself that others may connect to.
    Open(Open),
    /// A limit on the segments of TCP connections through an interface.
    Clamp(Clamp),
}

/// Source NAT for the packets of some networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The networks.
    pub source: NetSet,
    /// The outgoing interface.
    pub out: InterfaceSelector,
    /// The new source address; that of the interface if `None`.
    pub to: Option<IpAddr>,
    /// The destinations for which the source stays.
    pub except: Option<NetSet>,
}

/// Connections to the host that are forwarded to another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The purpose, as plans show it.
    #[serde(deserialize_with = "purpose")]
    pub what: Purpose,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
    /// The protocol of the ports.
    #[serde(default)]
    pub protocol: Protocol,
    /// The destination ports.
    pub ports: Ports,
    /// The host to forward to.
    pub to: IpAddr,
    /// The port on that host, or as many as `ports`, in order; the same ports if `None`, as an FTP server that announces
    /// its own needs it.
    pub to_port: Option<Ports>,
    /// The network from which the external address must work as well.
    pub hairpin: Option<Net>,
    /// The only source networks.
    pub from: Option<NetSet>,
    /// The addresses of the host to which it does not apply.
    pub except: Option<NetSet>,
    /// The only source port.
    pub source_port: Option<u16>,
    /// The address of the host to which it applies; any if `None`.
    pub external: Option<IpAddr>,
}

/// Traffic that may pass through an isolated gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// The incoming interface.
    pub device: InterfaceSelector,
    /// The outgoing interface.
    pub out: InterfaceSelector,
    /// The only source networks.
    pub source: Option<NetSet>,
    /// The only destinations.
    pub to: Option<NetSet>,
    /// The destinations that are not allowed.
    pub except: Option<NetSet>,
    /// The only protocol; TCP if `None` and there are ports.
    pub protocol: Option<Protocol>,
    /// The only destination ports.
    pub ports: Option<Ports>,
    /// The only family, if no network tells it; both if `None`.
    pub family: Option<Family>,
}

impl Allow {
    /// Returns the family of its networks; `None` if it names none.
    pub fn named_family(&self) -> Option<Family> {
        let sets = [&self.source, &self.to, &self.except];
        sets.into_iter().flatten().map(NetSet::family).next()
    }
}

/// The kernel's FTP helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helper {
    /// The ports of control connections.
    pub ports: Ports,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
    /// The only servers, by the addresses to which clients connect.
    pub server: Option<NetSet>,
}

/// Open ports of the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The purpose, as plans show it.
    #[serde(deserialize_with = "purpose")]
    pub what: Purpose,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
    /// The protocol; TCP if `None` and there are ports.
    pub protocol: Option<Protocol>,
    /// The ports; all if `None`.
    pub ports: Option<Ports>,
    /// The only source networks.
    pub from: Option<NetSet>,
    /// The only source port.
    pub source_port: Option<u16>,
    /// The external address of the host, which its own sessions announce.
    pub external: Option<IpAddr>,
}

/// A limit on the segments of TCP connections, so that their packets fit through an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamp {
    /// The interface.
    pub out: InterfaceSelector,
}

impl RulesetSpec {
    /// Creates an empty ruleset. Its name consists of letters, digits, `_` and `-`, and begins with a letter or digit;
    /// otherwise this fails with `nat.bad_name`.
    pub fn new(name: &str) -> Result<Self> {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.len() <= NAME_LENGTH_MAX
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
        if is_name {
            let name = name.to_owned();
            let parts = Vec::new();
            return Ok(Self { name, parts, isolate: false, forwarding: false, clamp: None });
        }
        let message = format!(
            "a ruleset's name has 1 to {NAME_LENGTH_MAX} letters, digits, `_` and `-`, and begins with a letter or \
             digit; got {name:?}"
        );
        Err(NatError::BadName.fault(message))
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of its table.
    pub fn table(&self) -> String {
        format!("portolan_{}", self.name)
    }

    /// Returns its parts, in the order in which they were added.
    pub fn parts(&self) -> &[RulesetPart] {
        &self.parts
    }

    /// Returns true if it drops everything that it does not allow.
    pub const fn is_isolated(&self) -> bool {
        self.isolate
    }

    /// Returns true if it turns forwarding on.
    pub const fn is_forwarding(&self) -> bool {
        self.forwarding
    }

    /// Sets whether everything is dropped that the ruleset does not allow; no other rule drops.
    pub const fn isolate(&mut self, on: bool) {
        self.isolate = on;
    }

    /// Sets whether the kernel forwards packets between the interfaces that the ruleset names.
    pub const fn forwarding(&mut self, on: bool) {
        self.forwarding = on;
    }

    /// Returns the addresses of the host that its parts name, each with the interface that has it.
    pub(super) fn own_addresses(&self, here: &HostNetwork) -> Vec<(IpAddr, String)> {
        let named = self.parts.iter().filter_map(|part| match part {
            RulesetPart::Masquerade(part) => part.to,
            RulesetPart::Forward(part) => part.external,
            _ => None,
        });
        let mut found = Vec::new();
        for address in named {
            let owner = here.addresses.iter().find(|(_, own)| *own == address);
            let owner = owner.map(|(device, _)| (address, device.clone()));
            found.extend(owner.filter(|owner| !found.contains(owner)));
        }
        found
    }

    /// Puts `new` in the place of `old` where a part names that address of the host.
    pub(super) fn readdress(&mut self, old: IpAddr, new: IpAddr) {
        for part in &mut self.parts {
            let address = match part {
                RulesetPart::Masquerade(part) => &mut part.to,
                RulesetPart::Forward(part) => &mut part.external,
                _ => continue,
            };
            if *address == Some(old) {
                *address = Some(new);
            }
        }
    }

    /// Puts the new name of interfaces in the place of the old one.
    pub(super) fn rename(&mut self, names: &BTreeMap<String, Interface>) {
        let rename = |device: &mut InterfaceSelector| {
            if let InterfaceSelector::Named(name) = device
                && let Some(new) = names.get(name.as_str())
            {
                *name = new.clone();
            }
        };
        for part in &mut self.parts {
            match part {
                RulesetPart::Masquerade(part) => rename(&mut part.out),
                RulesetPart::Forward(part) => part.device.iter_mut().for_each(rename),
                RulesetPart::Allow(part) => {
                    [&mut part.device, &mut part.out].into_iter().for_each(rename);
                }
                RulesetPart::Helper(part) => part.device.iter_mut().for_each(rename),
                RulesetPart::Open(part) => part.device.iter_mut().for_each(rename),
                RulesetPart::Clamp(part) => rename(&mut part.out),
            }
        }
    }

    /// Returns true if segments are limited on each interface by which packets leave, false if on none, and `None` if on
    /// those with a small MTU.
    pub const fn clamp(&self) -> Option<bool> {
        self.clamp
    }

    /// Sets whether segments are limited on all interfaces by which packets leave, or on none but those of
    /// [`Clamp`] parts.
    pub const fn clamp_all(&mut self, on: bool) {
        self.clamp = Some(on);
    }

    /// Adds `part`; fails with `nat.family_mismatch`, `nat.bad_cidr` for loopback, `nat.bad_range`, or `nat.conflict`
    /// with an existing part. An identical part is not added again.
    pub fn add(&mut self, part: RulesetPart) -> Result<()> {
        if self.parts.contains(&part) {
            return Ok(());
        }
        if self.parts.len() >= NAT_PARTS_MAX {
            let message = format!("a ruleset has at most {NAT_PARTS_MAX} parts");
            return Err(NatError::Conflict.fault(message));
        }
        fits(&part)?;
        overlaps::check(&self.parts, &part)?;
        self.parts.push(part);
        Ok(())
    }
}

/// Checks that the values of one part fit together.
fn fits(part: &RulesetPart) -> Result<()> {
    let of_set = |set: &Option<NetSet>| set.as_ref().map(NetSet::family);
    match part {
        RulesetPart::Masquerade(one) => {
            let family = one.source.family();
            one.to.map_or(Ok(()), |to| not_loopback(to, "to"))?;
            same_family(family, "source", one.to.map(Family::of), "to")?;
            same_family(family, "source", of_set(&one.except), "except")
        }
        RulesetPart::Forward(one) => {
            let family = Family::of(one.to);
            not_loopback(one.to, "to")?;
            one.external.map_or(Ok(()), |external| not_loopback(external, "external"))?;
            same_family(family, "to", of_set(&one.from), "from")?;
            same_family(family, "to", of_set(&one.except), "except")?;
            same_family(family, "to", one.hairpin.map(|net| net.family()), "hairpin")?;
            same_family(family, "to", one.external.map(Family::of), "external")?;
            one.to_port.as_ref().map_or(Ok(()), |to| pairs(&one.ports, to))
        }
        RulesetPart::Allow(one) => {
            let sets = [(&one.source, "source"), (&one.to, "to"), (&one.except, "except")];
            let mut given = sets.into_iter().filter_map(|(set, name)| Some((set.as_ref()?, name)));
            let Some((first, name)) = given.next() else { return Ok(()) };
            given.try_for_each(|(set, other)| {
                same_family(first.family(), name, Some(set.family()), other)
            })
        }
        RulesetPart::Open(one)
            if one.device.is_none() && one.ports.is_none() && one.from.is_none() =>
        {
            let message =
                format!("`{}` without `ports`, `in` and `from` opens this host to all", one.what);
            Err(Error::invalid(message))
        }
        RulesetPart::Open(_) | RulesetPart::Helper(_) | RulesetPart::Clamp(_) => Ok(()),
    }
}

/// Checks that `ports` can be led to `to`: to a single port, or each to one of as many.
fn pairs(ports: &Ports, to: &Ports) -> Result<()> {
    let (count, others) = (ports.count(), to.count());
    if others == 1 || (others == count && count <= NAT_PORT_PAIRS_MAX) {
        return Ok(());
    }
    let message = format!(
        "`to_port` is one port, or as many as `ports` has (at most {NAT_PORT_PAIRS_MAX}): {ports} are {count}, {to} are \
         {others}"
    );
    Err(NatError::BadRange.fault(message))
}

/// Rejects loopback addresses: connections are neither forwarded to loopback nor away from it.
fn not_loopback(address: IpAddr, name: &str) -> Result<()> {
    if !address.is_loopback() {
        return Ok(());
    }
    let message = format!("`{name}` is {address}, which is each machine itself");
    Err(NatError::BadCidr.fault(message))
}

fn same_family(one: Family, name: &str, other: Option<Family>, other_name: &str) -> Result<()> {
    if other.is_none_or(|other| other == one) {
        return Ok(());
    }
    let message = format!("`{name}` and `{other_name}` must both be IPv4 or both be IPv6");
    Err(NatError::FamilyMismatch.fault(message))
}

#[cfg(test)]
pub(super) mod tests;
