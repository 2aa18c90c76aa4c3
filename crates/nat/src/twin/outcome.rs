//! The end of one packet, as values, text and JSON: pure.

use std::{fmt::Write, net::SocketAddr};
use strum::IntoStaticStr;

use serde::Serialize;

use super::{
    packet::Packet,
    trace::{Trace, TracedRule},
};
use portolan_core::observe::visible::visible;

/// The end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum PacketVerdict {
    /// It passes: it leaves by an interface, or arrives at the host itself.
    Passes,
    /// A rule drops or rejects it.
    Dropped,
    /// It goes to another destination than was wanted.
    Diverted,
    /// A rule hands it to a program, which decides.
    Queued,
    /// The kernel discards it without a rule: no route, no forwarding, or a source that comes in by the wrong interface.
    Lost,
}

impl PacketVerdict {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The way and the end of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketOutcome {
    /// The packet as it was sent.
    pub packet: Packet,
    /// Its end.
    pub verdict: PacketVerdict,
    /// The rule that drops, diverts or queues it.
    pub rule: Option<TracedRule>,
    /// The chain with a hook that leads to that rule; not known of legacy iptables.
    pub(super) base: Option<String>,
    /// The rules that translate it, in their order.
    pub translated: Vec<TracedRule>,
    /// The interface by which it leaves.
    pub out: Option<String>,
    /// True if it arrives at the host itself.
    pub is_here: bool,
    /// Its source where it was seen last.
    pub source: SocketAddr,
    /// Its destination where it was seen last.
    pub destination: SocketAddr,
    /// The reason why it is lost, or a remark.
    pub note: String,
}

impl PacketOutcome {
    /// Returns the end of `packet`, whose trace is `trace`. `is_local` is true if the host has the address to which it
    /// was sent: then a translation is its business, and does not divert it.
    pub(super) fn of(packet: &Packet, trace: Trace, is_local: bool) -> Self {
        let (source, destination) = trace.ends.unwrap_or((packet.from, packet.to));
        let is_elsewhere = destination != packet.to || (trace.is_here && !is_local);
        let (verdict, rule) = match (trace.dropped, trace.queued) {
            (Some(rule), _) => (PacketVerdict::Dropped, Some(rule)),
            (None, Some(rule)) => (PacketVerdict::Queued, Some(rule)),
            (None, None) if trace.out.is_none() && !trace.is_here => (PacketVerdict::Lost, None),
            (None, None) if is_elsewhere && !is_local => {
                (PacketVerdict::Diverted, trace.translated.last().cloned())
            }
            (None, None) => (PacketVerdict::Passes, None),
        };
        Self {
            packet: packet.clone(),
            verdict,
            rule,
            base: trace.base,
            translated: trace.translated,
            out: trace.out,
            is_here: trace.is_here,
            source,
            destination,
            note: String::new(),
        }
    }

    /// Marks it as diverted unless it goes where it is expected: to that address, and to that port if it is not 0.
    pub(super) fn expect(mut self, expected: SocketAddr) -> Self {
        let is_there = self.destination.ip() == expected.ip()
            && [0, self.destination.port()].contains(&expected.port());
        if self.verdict == PacketVerdict::Passes && !is_there {
            self.verdict = PacketVerdict::Diverted;
            self.rule = self.translated.iter().find(|rule| changes_destination(rule)).cloned();
            self.note = format!("{} was expected", shown(expected));
        }
        self
    }

    /// Returns the place where it ends: `it leaves by eth0 for 192.168.0.10:21`.
    pub fn place(&self) -> String {
        let Self { destination, source, packet, .. } = self;
        let as_source = if source.ip() == packet.from.ip() {
            String::new()
        } else {
            format!(" as {}", source.ip())
        };
        match &self.out {
            Some(out) => format!("it leaves by {} for {destination}{as_source}", visible(out)),
            None if self.is_here => format!("it arrives at this host, at {destination}"),
            None => "it does not leave".into(),
        }
    }

    /// Returns its end, with the rule that did it.
    fn end(&self) -> String {
        let rule = self.rule.as_ref().map(|rule| visible(rule.to_string())).unwrap_or_default();
        let end = match self.verdict {
            PacketVerdict::Passes => format!("passes; {}", self.place()),
            PacketVerdict::Dropped => format!("dropped by {rule}"),
            PacketVerdict::Diverted => format!("diverted by {rule}; {}", self.place()),
            PacketVerdict::Queued => format!("handed to a program by {rule}"),
            PacketVerdict::Lost => "discarded by the kernel".into(),
        };
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!(" ({})", visible(&self.note))
        };
        end + &note
    }

    /// Returns the reason why it does not pass.
    pub(super) fn reason(&self) -> Option<String> {
        (self.verdict != PacketVerdict::Passes).then(|| self.end())
    }

    /// Returns it as text.
    pub fn words(&self) -> String {
        let mut text = format!("{}: {}\n", self.packet, self.end());
        for rule in &self.translated {
            writeln!(text, "  translated by {}", visible(rule.to_string())).ok();
        }
        text
    }

    /// Returns it as `--json` has it.
    pub fn document(&self) -> PacketDocument<'_> {
        PacketDocument {
            from: self.packet.from.ip().to_string(),
            to: self.packet.to.to_string(),
            protocol: self.packet.transport.as_str(),
            device: self.packet.device.as_deref(),
            verdict: self.verdict.as_str(),
            passes: self.verdict == PacketVerdict::Passes,
            rule: self.rule.as_ref(),
            translated: &self.translated,
            out: self.out.as_deref(),
            local: self.is_here,
            source: self.source.to_string(),
            destination: self.destination.to_string(),
            note: &self.note,
        }
    }
}

/// Returns true if a rule translates the destination.
pub(super) fn changes_destination(rule: &TracedRule) -> bool {
    let words = ["dnat", "redirect", "tproxy", "DNAT", "REDIRECT", "TPROXY"];
    rule.rule.split_whitespace().any(|word| words.contains(&word))
}

fn shown(address: SocketAddr) -> String {
    if address.port() == 0 { address.ip().to_string() } else { address.to_string() }
}

/// The way of a packet as `--json` has it.
#[derive(Debug, Clone, Serialize)]
pub struct PacketDocument<'o> {
    from: String,
    to: String,
    protocol: &'static str,
    #[serde(rename = "in")]
    device: Option<&'o str>,
    verdict: &'static str,
    passes: bool,
    rule: Option<&'o TracedRule>,
    translated: &'o [TracedRule],
    out: Option<&'o str>,
    local: bool,
    source: String,
    destination: String,
    note: &'o str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::packet::Transport;

    fn packet() -> Packet {
        let (from, to) = ("203.0.113.30:0".parse().unwrap(), "203.0.113.1:21".parse().unwrap());
        Packet { from, to, transport: Transport::Tcp, device: Some("eth1".into()) }
    }

    fn rule(text: &str) -> TracedRule {
        let [family, table, chain] = ["ip", "nat", "PRE"].map(str::to_owned);
        TracedRule { family, table, chain, rule: text.into() }
    }

    fn forwarded() -> Trace {
        let ends =
            Some(("203.0.113.30:50000".parse().unwrap(), "192.168.0.10:21".parse().unwrap()));
        let translated = vec![rule("tcp dport 21 dnat to 192.168.0.10")];
        Trace { translated, out: Some("eth0".into()), ends, ..Trace::default() }
    }

    #[test]
    fn a_packet_to_the_host_may_be_translated() {
        let outcome = PacketOutcome::of(&packet(), forwarded(), true);
        assert_eq!(outcome.verdict, PacketVerdict::Passes);
        assert_eq!(
            outcome.words(),
            "203.0.113.30 -> 203.0.113.1:21 (tcp, in by eth1): passes; it leaves by eth0 for 192.168.0.10:21\n  \
             translated by ip nat PRE: tcp dport 21 dnat to 192.168.0.10\n"
        );
        let outcome = outcome.expect("192.168.0.5:0".parse().unwrap());
        assert_eq!(outcome.verdict, PacketVerdict::Diverted);
        assert!(outcome.words().contains(
            "diverted by ip nat PRE: tcp dport 21 dnat to 192.168.0.10; it leaves by eth0 for 192.168.0.10:21 (192.168.0.5 was expected)"
        ));
    }

    #[test]
    fn a_packet_to_another_host_that_is_translated_is_diverted() {
        let outcome = PacketOutcome::of(&packet(), forwarded(), false);
        assert_eq!(outcome.verdict, PacketVerdict::Diverted);
        assert_eq!(outcome.rule, Some(rule("tcp dport 21 dnat to 192.168.0.10")));
    }

    #[test]
    fn a_packet_that_is_not_seen_again_is_lost() {
        let outcome = PacketOutcome::of(&packet(), Trace::default(), true);
        assert_eq!(
            (outcome.verdict, outcome.place()),
            (PacketVerdict::Lost, "it does not leave".into())
        );
        let dropped = Trace { dropped: Some(rule("policy drop")), ..Trace::default() };
        let outcome = PacketOutcome::of(&packet(), dropped, true);
        assert!(outcome.words().ends_with(": dropped by ip nat PRE: policy drop\n"));
        let value = serde_json::to_value(outcome.document()).unwrap();
        assert_eq!(
            (value["verdict"].as_str(), value["rule"]["chain"].as_str()),
            (Some("dropped"), Some("PRE"))
        );
    }
}
