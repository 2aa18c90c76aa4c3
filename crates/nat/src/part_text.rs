//! Parts of rulesets as plans, comments of rules and messages show them: pure.

use std::fmt::{self, Formatter};

use super::{
    check::{Family, InterfaceSelector, Ports, Protocol},
    model::{Allow, Forward, Helper, Masquerade, Open, RulesetPart},
    rules::HELPER_NOTE,
};

/// Returns `word` and the value; an empty text without one.
fn maybe(word: &str, value: Option<impl fmt::Display>) -> String {
    value.map(|value| format!("{word}{value}")).unwrap_or_default()
}

/// Returns ports with their protocol, which is left out for TCP.
fn service(protocol: Option<Protocol>, ports: Option<&Ports>) -> String {
    match (protocol, ports) {
        (None | Some(Protocol::Tcp), Some(ports)) => ports.to_string(),
        (Some(protocol), Some(ports)) => format!("{protocol} {ports}"),
        (Some(protocol), None) => protocol.to_string(),
        (None, None) => "all".to_owned(),
    }
}

impl fmt::Display for RulesetPart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade(part) => part.fmt(f),
            Self::Forward(part) => part.fmt(f),
            Self::Allow(part) => {
                f.write_str(&part.text(&part.device.to_string(), &part.out.to_string()))
            }
            Self::Helper(part) => f.write_str(&part.text(name(part.device.as_ref()).as_deref())),
            Self::Open(part) => part.fmt(f),
            Self::Clamp(part) => write!(f, "clamp mss on {}", part.out),
        }
    }
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&self.out.to_string()))
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(name(self.device.as_ref()).as_deref()))
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(name(self.device.as_ref()).as_deref()))
    }
}

fn name(device: Option<&InterfaceSelector>) -> Option<String> {
    device.map(ToString::to_string)
}

impl Masquerade {
    /// Returns its text with that outgoing interface.
    pub(super) fn text(&self, out: &str) -> String {
        let (to, except) = (maybe(" as ", self.to), maybe(" except ", self.except.as_ref()));
        format!("masquerade {} -> {out}{to}{except}", self.source)
    }
}

impl Forward {
    /// Returns its text with those incoming interfaces.
    pub(super) fn text(&self, by: Option<&str>) -> String {
        let service = service(Some(self.protocol), Some(&self.ports));
        let rest = [
            maybe(" port ", self.to_port.as_ref()),
            // With hairpin, connections by other interfaces are forwarded as well.
            maybe(" from ", by.filter(|_| self.hairpin.is_none())),
            maybe(" for ", self.from.as_ref()),
            maybe(" except ", self.except.as_ref()),
            maybe(", source port ", self.source_port),
            maybe(", hairpin ", self.hairpin),
        ];
        format!("{} {service} -> {}{}", self.what, self.to, rest.concat())
    }
}

impl Allow {
    /// Returns its text with those interfaces.
    pub(super) fn text(&self, by: &str, out: &str) -> String {
        let is_all = self.protocol.is_none() && self.ports.is_none();
        let protocol = (!is_all).then(|| self.protocol.unwrap_or_default());
        let parts = [
            maybe(" from ", self.source.as_ref()),
            maybe(" to ", self.to.as_ref()),
            maybe(" except ", self.except.as_ref()),
            maybe(
                " ",
                self.family.map(|family| if family == Family::V4 { "IPv4" } else { "IPv6" }),
            ),
            maybe(" ", protocol),
            maybe(" ", self.ports.as_ref()),
        ];
        format!("allow {by} -> {out}{}", parts.concat())
    }
}

impl Helper {
    /// Returns its text with those incoming interfaces.
    pub(super) fn text(&self, by: Option<&str>) -> String {
        let (by, to) = (maybe(" from ", by), maybe(" to ", self.server.as_ref()));
        format!("{HELPER_NOTE} on {}{by}{to}", self.ports)
    }
}

impl Open {
    /// Returns its text with those incoming interfaces.
    pub(super) fn text(&self, by: Option<&str>) -> String {
        let parts = [
            maybe(" from ", by),
            maybe(" for ", self.from.as_ref()),
            maybe(", source port ", self.source_port),
        ];
        format!("{} {}{}", self.what, service(self.protocol, self.ports.as_ref()), parts.concat())
    }
}
