//! What is wanted: a ruleset as its user describes it. Pure; every part is checked as it is added.

use std::net::IpAddr;

use super::{
    Reason,
    check::{Device, Family, Net, Ports},
};
use crate::{fault::Outcome, limits::NAT_PARTS_MAX};

/// Characters of a ruleset's name: the table's is longer by nine, and the kernel's limit is far away.
const NAME_LENGTH_MAX: usize = 32;
/// What a range for data connections of active mode is called.
pub const ACTIVE_RANGE: &str = "active range";
/// The port that servers open their data connections from (RFC 959, 3.2); some do not.
pub const DATA_PORT: u16 = 20;

/// One table of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    name: String,
    parts: Vec<Part>,
    isolate: bool,
    forwarding: bool,
}

/// One thing that a ruleset does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What comes from a network goes out under another address.
    Masquerade(Masquerade),
    /// Connections to this machine go on to another.
    Forward(Forward),
    /// What may pass through an isolated gateway.
    Allow(Allow),
    /// The kernel reads FTP along and opens what is announced there.
    Helper(Helper),
    /// Ports of this machine itself that others may connect to.
    Open(Open),
}

/// What comes from a network goes out under another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// The network.
    pub source: Net,
    /// Where it goes out.
    pub out: Device,
    /// The address that it gets; without one, that of the interface.
    pub to: Option<IpAddr>,
}

/// Connections to this machine go on to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// What it is for, in the words of a plan.
    pub what: &'static str,
    /// Where they come in; anywhere without it.
    pub device: Option<Device>,
    /// To which ports; they stay what they are, since an FTP server announces its own.
    pub ports: Ports,
    /// To which machine.
    pub to: IpAddr,
    /// The network from which the outside address must work as well.
    pub hairpin: Option<Net>,
    /// From where alone.
    pub from: Option<Net>,
    /// From which port alone.
    pub source_port: Option<u16>,
    /// The address of this machine that is meant; any without it.
    pub external: Option<IpAddr>,
}

/// What may pass through an isolated gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// Where it comes in.
    pub device: Device,
    /// Where it goes out.
    pub out: Device,
    /// From where alone.
    pub source: Option<Net>,
}

/// The kernel reads FTP along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// The ports of control connections.
    pub ports: Ports,
    /// Where they come in; anywhere without it.
    pub device: Option<Device>,
}

/// Ports of this machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What it is for, in the words of a plan.
    pub what: &'static str,
    /// Where connections come in; anywhere without it.
    pub device: Option<Device>,
    /// The ports.
    pub ports: Ports,
    /// From where alone.
    pub from: Option<Net>,
    /// From which port alone.
    pub source_port: Option<u16>,
    /// How this machine is called outside: what sessions of its own announce.
    pub external: Option<IpAddr>,
}

impl Ruleset {
    /// An empty ruleset. Its name is letters, digits, `_` and `-`, and begins with a letter or digit; else
    /// `nat.bad_name`.
    pub fn new(name: &str) -> Outcome<Self> {
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
        Err(Reason::BadName.fault(message))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table that is its own.
    pub fn table(&self) -> String {
        format!("portolan_{}", self.name)
    }

    /// What it does, in the order in which it was said.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it drops what nothing in it lets pass.
    pub const fn is_isolated(&self) -> bool {
        self.isolate
    }

    /// Whether it turns forwarding on.
    pub const fn is_forwarding(&self) -> bool {
        self.forwarding
    }

    /// Drops what nothing in it lets pass: the only drop there is.
    pub const fn isolate(&mut self, on: bool) {
        self.isolate = on;
    }

    /// Lets the kernel pass packets on between the interfaces that it names.
    pub const fn forwarding(&mut self, on: bool) {
        self.forwarding = on;
    }

    /// Adds `part`; fails with `nat.family_mismatch`, or `nat.conflict` with what is there already. A part that is
    /// there already, to the letter, is not added again.
    pub fn add(&mut self, part: Part) -> Outcome<()> {
        if self.parts.contains(&part) {
            return Ok(());
        }
        if self.parts.len() >= NAT_PARTS_MAX {
            let message = format!("a ruleset has at most {NAT_PARTS_MAX} parts");
            return Err(Reason::Conflict.fault(message));
        }
        match &part {
            Part::Masquerade(one) => {
                same_family(one.source.family(), "source", one.to.map(Family::of), "to")?;
            }
            Part::Forward(one) => {
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

    fn no_other_wants(&self, one: &Forward) -> Outcome<()> {
        for part in &self.parts {
            let Part::Forward(other) = part else { continue };
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
                return Err(Reason::Conflict.fault(message));
            }
        }
        Ok(())
    }
}

/// Loopback is this machine's own: what comes from elsewhere is not led there, and what is there not away.
fn not_loopback(address: IpAddr, name: &str) -> Outcome<()> {
    if !address.is_loopback() {
        return Ok(());
    }
    let message = format!("`{name}` is {address}, which is each machine itself");
    Err(Reason::BadCidr.fault(message))
}

fn same_family(one: Family, name: &str, other: Option<Family>, other_name: &str) -> Outcome<()> {
    if other.is_none_or(|other| other == one) {
        return Ok(());
    }
    let message = format!("`{name}` and `{other_name}` must both be IPv4 or both be IPv6");
    Err(Reason::FamilyMismatch.fault(message))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nat::check::Interface;

    pub(in crate::nat) fn device(name: &str) -> Device {
        Device::Named(Interface::parse(name).unwrap())
    }

    pub(in crate::nat) fn forward(ports: &str, to: &str) -> Forward {
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
            assert!(Ruleset::new(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "_a", "a b", "a;", "a\"", "a{", "ä", "a\n", "a/b", &"x".repeat(33)]
        {
            assert_eq!(Ruleset::new(name).unwrap_err().name, Some("nat.bad_name"), "{name:?}");
        }
    }

    #[test]
    fn one_port_goes_one_way() {
        let mut rules = Ruleset::new("x").unwrap();
        let first = forward("21,50000-50009", "10.0.0.5");
        rules.add(Part::Forward(first.clone())).unwrap();
        // The same again is nothing new.
        rules.add(Part::Forward(first)).unwrap();
        assert_eq!(rules.parts().len(), 1);
        let fault = rules.add(Part::Forward(forward("50009", "10.0.0.6"))).unwrap_err();
        assert_eq!(fault.name, Some("nat.conflict"));
        assert!(fault.message.starts_with("port 50009 is forwarded twice"), "{fault}");
        rules.add(Part::Forward(forward("50010", "10.0.0.6"))).unwrap();
        let elsewhere = Forward { device: Some(device("wan1")), ..forward("21", "10.0.0.6") };
        rules.add(Part::Forward(elsewhere)).unwrap();
        rules.add(Part::Forward(forward("21", "fd00::5"))).unwrap();
        assert_eq!(rules.parts().len(), 4);
    }

    #[test]
    fn one_rule_is_of_one_family() {
        let mut rules = Ruleset::new("x").unwrap();
        let source = Net::parse("10.0.0.0/8").unwrap();
        let mixed = Masquerade { source, out: Device::Auto, to: "fd00::1".parse().ok() };
        let plain = forward("21", "10.0.0.5");
        for part in [
            Part::Masquerade(mixed),
            Part::Forward(Forward { from: net("fd00::/8"), ..plain.clone() }),
            Part::Forward(Forward { hairpin: net("fd00::/8"), ..plain.clone() }),
            Part::Forward(Forward { external: "fd00::1".parse().ok(), ..plain }),
        ] {
            assert_eq!(rules.add(part).unwrap_err().name, Some("nat.family_mismatch"));
        }
        assert!(rules.parts().is_empty());
    }

    #[test]
    fn nothing_is_led_to_loopback_or_away_from_it() {
        let mut rules = Ruleset::new("x").unwrap();
        let own = forward("21", "127.0.0.2");
        let external = "127.0.0.1".parse().ok();
        let away = Forward { external, ..forward("21", "10.0.0.5") };
        for part in [own, away, forward("21", "::1")] {
            let fault = rules.add(Part::Forward(part)).unwrap_err();
            assert_eq!(fault.name, Some("nat.bad_cidr"), "{fault}");
        }
        assert!(rules.parts().is_empty());
    }
}
