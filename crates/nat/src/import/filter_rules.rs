//! Rules of the table `filter`, which say what passes: an exception becomes a part of the ruleset, if everything else is
//! dropped. Pure.

use super::{
    iptables_rule::IptablesRule,
    translate::{
        ImportedAccept, ImportedAllow, ImportedForward, LineResult, NotTaken, SAID_BEFORE,
        Translation, lost,
    },
};
use crate::check::InterfaceSelector;

impl Translation {
    /// A rule about connections to this host, of which some are let in and all others dropped.
    pub(super) fn input(&mut self, rule: IptablesRule) -> LineResult {
        let is_drop = ["DROP", "REJECT"].contains(&rule.target.as_str());
        match rule.target.as_str() {
            "ACCEPT" if is_let_in_anyway(&rule) => Ok(()),
            _ if is_drop && rule.is_unconditional() && !self.accepts.is_empty() => Ok(()),
            _ if is_drop && rule.is_unconditional() => lost(
                "connections to this host are only filtered where it lets some in (`rules.accept`)",
            ),
            _ if is_drop && rule.is_for_invalid() => {
                Err(NotTaken::Needless("such packets are dropped by themselves"))
            }
            "ACCEPT" => self.accepted(rule),
            "DROP" | "REJECT" => lost("a ruleset drops all that it does not accept"),
            _ => lost("chains of others, and of one's own, are not followed"),
        }
    }

    fn accepted(&mut self, rule: IptablesRule) -> LineResult {
        if rule.destination.is_some() || rule.out.is_some() || rule.has_flags {
            return lost("a service is let in by its ports, interface and sources");
        }
        let protocol = protocol_of(&rule)?;
        let from = rule.source.filter(|net| net.prefix() > 0);
        let is_bare = rule.ports.is_none() && rule.device.is_none() && from.is_none();
        if is_bare {
            return lost("without ports, an interface or sources it opens this host to all");
        }
        let one = ImportedAccept { ports: rule.ports, protocol, device: rule.device, from };
        if self.accepts.contains(&one) {
            return Err(NotTaken::Needless(SAID_BEFORE));
        }
        self.accepts.push(one);
        Ok(())
    }

    pub(super) fn forwarded(&mut self, rule: IptablesRule) -> LineResult {
        if rule.is_unconditional() {
            let is_known = ["DROP", "REJECT", "ACCEPT"].contains(&rule.target.as_str());
            return if is_known { Ok(()) } else { lost("chains of others are not followed") };
        }
        match rule.target.as_str() {
            "ACCEPT" if rule.is_for_replies() => Ok(()),
            "ACCEPT" => self.allowed(rule),
            "DROP" if self.is_isolated && rule.is_for_invalid() => {
                Err(NotTaken::Needless("such packets are dropped by themselves"))
            }
            "DROP" | "REJECT" => {
                lost("a ruleset drops all that it does not allow, and nothing else")
            }
            _ => lost("chains of others, and of one's own, are not followed"),
        }
    }

    fn allowed(&mut self, rule: IptablesRule) -> LineResult {
        if !self.is_isolated {
            return Err(NotTaken::Needless("forwarded packets pass, as nothing drops them here"));
        }
        if let (Some(target), Some(ports)) = (rule.destination, &rule.ports) {
            let leads = |one: &ImportedForward| {
                target.has(one.to)
                    && ports
                        .ranges()
                        .iter()
                        .all(|(first, last)| one.ports.has(*first) && one.ports.has(*last))
            };
            if self.forwards.iter().any(leads) {
                return Err(NotTaken::Needless("what is forwarded passes"));
            }
        }
        if rule.has_flags {
            return lost("an exception for flags of TCP is not carried over");
        }
        let protocol = protocol_of(&rule)?;
        let Some(device) = rule.device else {
            return lost("it names no incoming interface (-i)");
        };
        let outs = match rule.out {
            Some(out) => vec![out],
            None => self.masquerades.iter().map(|one| one.out.clone()).collect(),
        };
        // What comes in by the line goes elsewhere.
        let outs: Vec<_> = outs.into_iter().filter(|out| *out != device).collect();
        if outs.is_empty() {
            return lost("it names no outgoing interface (-o)");
        }
        for out in outs {
            let one = ImportedAllow {
                device: device.clone(),
                out,
                source: rule.source,
                to: rule.destination,
                ports: rule.ports.clone(),
                protocol,
            };
            if !self.allows.contains(&one) {
                self.allows.push(one);
            }
        }
        Ok(())
    }
}

/// Returns the protocol as an option has it. Fails for one that no option names.
fn protocol_of(rule: &IptablesRule) -> Result<Option<&'static str>, NotTaken> {
    match rule.protocol.as_deref() {
        None if rule.ports.is_some() => lost("ports are those of a protocol (-p tcp)"),
        None => Ok(None),
        Some("tcp") => Ok(rule.ports.is_none().then_some("tcp")),
        Some("udp") => Ok(Some("udp")),
        Some(other) => Err(format!("the protocol `{other}` has no counterpart").into()),
    }
}

/// Returns true for what a ruleset with services lets in by itself: replies, loopback and ICMP.
fn is_let_in_anyway(rule: &IptablesRule) -> bool {
    let is_loopback =
        matches!(&rule.device, Some(InterfaceSelector::Named(name)) if name.as_str() == "lo");
    let is_icmp = rule.protocol.as_deref().is_some_and(|name| name.contains("icmp"));
    rule.is_for_replies() || is_loopback || is_icmp
}
