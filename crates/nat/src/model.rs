//! The wanted state: a ruleset as its user describes it. Pure; every part is checked as it is added.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    NatError,
    check::{Family, InterfaceSelector, Net, Ports},
    host::HostNetwork,
};
use portolan_core::{error::Result, limits::NAT_PARTS_MAX};

/// The maximum length of a ruleset's name: the table's name is nine longer, which is far below the kernel's limit.
const NAME_LENGTH_MAX: usize = 32;
/// The description of a range for data connections of active mode.
pub const ACTIVE_RANGE: &str = "active range";
/// The port from which servers open data connections (RFC 959, 3.2); some use another.
pub const DATA_PORT: u16 = 20;

/// The purpose of a part, one of a few. (An alias: for a field that is plainly a reference, serde would borrow.)
pub type Purpose = &'static str;

/// The descriptions of parts that have several.
const PURPOSES: [&str; 3] = ["forward", "ftp server", ACTIVE_RANGE];

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
}

/// Source NAT for the packets of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The network.
    pub source: Net,
    /// The outgoing interface.
    pub out: InterfaceSelector,
    /// The new source address; that of the interface if `None`.
    pub to: Option<IpAddr>,
}

/// Connections to the host that are forwarded to another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The purpose, as plans show it.
    #[serde(deserialize_with = "purpose")]
    pub what: Purpose,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
    /// The destination ports; they are not translated, since an FTP server announces its own.
    pub ports: Ports,
    /// The host to forward to.
    pub to: IpAddr,
    /// The network from which the external address must work as well.
    pub hairpin: Option<Net>,
    /// The only source network.
    pub from: Option<Net>,
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
    /// The only source network.
    pub source: Option<Net>,
}

/// The kernel's FTP helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helper {
    /// The ports of control connections.
    pub ports: Ports,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
}

/// Open ports of the host itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The purpose, as plans show it.
    #[serde(deserialize_with = "purpose")]
    pub what: Purpose,
    /// The incoming interface; any if `None`.
    pub device: Option<InterfaceSelector>,
    /// The ports.
    pub ports: Ports,
    /// The only source network.
    pub from: Option<Net>,
    /// The only source port.
    pub source_port: Option<u16>,
    /// The external address of the host, which its own sessions announce.
    pub external: Option<IpAddr>,
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
            return Ok(Self { name, parts: Vec::new(), isolate: false, forwarding: false });
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

    /// Adds `part`; fails with `nat.family_mismatch`, `nat.bad_cidr` for loopback, or `nat.conflict` with an existing
    /// part. An identical part is not added again.
    pub fn add(&mut self, part: RulesetPart) -> Result<()> {
        if self.parts.contains(&part) {
            return Ok(());
        }
        if self.parts.len() >= NAT_PARTS_MAX {
            let message = format!("a ruleset has at most {NAT_PARTS_MAX} parts");
            return Err(NatError::Conflict.fault(message));
        }
        match &part {
            RulesetPart::Masquerade(one) => {
                same_family(one.source.family(), "source", one.to.map(Family::of), "to")?;
            }
            RulesetPart::Forward(one) => {
                let family = Family::of(one.to);
                not_loopback(one.to, "to")?;
                one.external.map_or(Ok(()), |external| not_loopback(external, "external"))?;
                same_family(family, "to", one.from.map(|net| net.family()), "from")?;
                same_family(family, "to", one.hairpin.map(|net| net.family()), "hairpin")?;
                same_family(family, "to", one.external.map(Family::of), "external")?;
                self.no_other_wants(one)?;
            }
            _ => {}
        }
        self.parts.push(part);
        Ok(())
    }

    fn no_other_wants(&self, one: &Forward) -> Result<()> {
        for part in &self.parts {
            let RulesetPart::Forward(other) = part else { continue };
            let Some(port) = one.ports.shared(&other.ports) else { continue };
            let devices = one.device.is_none()
                || other.device.is_none()
                || one.device == other.device
                || one.hairpin.is_some()
                || other.hairpin.is_some();
            let families = Family::of(one.to) == Family::of(other.to);
            let addresses = one.external.is_none()
                || other.external.is_none()
                || one.external == other.external;
            let sources = one.from.is_none() || other.from.is_none() || one.from == other.from;
            if devices && families && addresses && sources {
                let message = format!(
                    "port {port} is forwarded twice: {} to {}, and {} to {}",
                    other.ports, other.to, one.ports, one.to
                );
                return Err(NatError::Conflict.fault(message));
            }
        }
        Ok(())
    }
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
pub(super) mod tests {
    use super::*;
    use crate::check::Interface;

    pub(crate) fn device(name: &str) -> InterfaceSelector {
        InterfaceSelector::Named(Interface::parse(name).unwrap())
    }

    pub(crate) fn forward(ports: &str, to: &str) -> Forward {
        Forward {
            what: "forward",
            device: Some(device("wan0")),
            ports: Ports::parse(ports).unwrap(),
            to: to.parse().unwrap(),
            hairpin: None,
            from: None,
            source_port: None,
            external: None,
        }
    }

    fn net(text: &str) -> Option<Net> {
        Net::parse(text).ok()
    }

    #[test]
    fn a_name_is_one_word() {
        for name in ["office", "a", "Gate-2_b", "0"] {
            assert!(RulesetSpec::new(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "_a", "a b", "a;", "a\"", "a{", "ä", "a\n", "a/b", &"x".repeat(33)]
        {
            assert_eq!(RulesetSpec::new(name).unwrap_err().name, Some("nat.bad_name"), "{name:?}");
        }
    }

    #[test]
    fn one_port_goes_one_way() {
        let mut rules = RulesetSpec::new("x").unwrap();
        let first = forward("21,50000-50009", "10.0.0.5");
        rules.add(RulesetPart::Forward(first.clone())).unwrap();
        // An identical part is not added again.
        rules.add(RulesetPart::Forward(first)).unwrap();
        assert_eq!(rules.parts().len(), 1);
        let fault = rules.add(RulesetPart::Forward(forward("50009", "10.0.0.6"))).unwrap_err();
        assert_eq!(fault.name, Some("nat.conflict"));
        assert!(fault.message.starts_with("port 50009 is forwarded twice"), "{fault}");
        rules.add(RulesetPart::Forward(forward("50010", "10.0.0.6"))).unwrap();
        let elsewhere = Forward { device: Some(device("wan1")), ..forward("21", "10.0.0.6") };
        rules.add(RulesetPart::Forward(elsewhere)).unwrap();
        rules.add(RulesetPart::Forward(forward("21", "fd00::5"))).unwrap();
        assert_eq!(rules.parts().len(), 4);
    }

    #[test]
    fn one_rule_is_of_one_family() {
        let mut rules = RulesetSpec::new("x").unwrap();
        let source = Net::parse("10.0.0.0/8").unwrap();
        let mixed = Masquerade { source, out: InterfaceSelector::Auto, to: "fd00::1".parse().ok() };
        let plain = forward("21", "10.0.0.5");
        for part in [
            RulesetPart::Masquerade(mixed),
            RulesetPart::Forward(Forward { from: net("fd00::/8"), ..plain.clone() }),
            RulesetPart::Forward(Forward { hairpin: net("fd00::/8"), ..plain.clone() }),
            RulesetPart::Forward(Forward { external: "fd00::1".parse().ok(), ..plain }),
        ] {
            assert_eq!(rules.add(part).unwrap_err().name, Some("nat.family_mismatch"));
        }
        assert!(rules.parts().is_empty());
    }

    #[test]
    fn nothing_is_led_to_loopback_or_away_from_it() {
        let mut rules = RulesetSpec::new("x").unwrap();
        let own = forward("21", "127.0.0.2");
        let external = "127.0.0.1".parse().ok();
        let away = Forward { external, ..forward("21", "10.0.0.5") };
        for part in [own, away, forward("21", "::1")] {
            let fault = rules.add(RulesetPart::Forward(part)).unwrap_err();
            assert_eq!(fault.name, Some("nat.bad_cidr"), "{fault}");
        }
        assert!(rules.parts().is_empty());
    }
}
