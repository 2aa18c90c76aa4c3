//! `portolan nat test`: the end of one packet on this host.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::{
    Twin,
    layout::{Layout, device_towards},
    outcome::{PacketOutcome, PacketVerdict},
    packet::{Packet, Transport, any_port},
    unavailable,
};
use crate::{NatError, check::Interface};
use portolan_core::error::Result;

/// A packet that is asked about.
#[derive(Debug, Clone)]
pub struct PacketTest {
    /// Its source.
    pub from: IpAddr,
    /// Its source port; any if `None`.
    pub source_port: Option<u16>,
    /// Its destination.
    pub to: SocketAddr,
    /// Its protocol.
    pub transport: Transport,
    /// The interface by which it comes in; without it, the one that leads to `from`.
    pub device: Option<Interface>,
    /// The destination that it must have in the end, at any port if that is 0.
    pub expect: Option<SocketAddr>,
}

/// The answer.
#[derive(Debug, Clone)]
pub struct TestedPacket {
    /// The end of the packet.
    pub outcome: PacketOutcome,
    /// The parts of the host's rules that could not be copied: they had no say.
    pub missing: Vec<String>,
}

/// Tries a packet on a twin of this host. Fails with `nat.no_twin`, `nat.unknown_interface` or `nat.family_mismatch`.
pub fn ask(question: &PacketTest) -> Result<TestedPacket> {
    if question.from.is_ipv4() != question.to.is_ipv4() {
        return Err(
            NatError::FamilyMismatch.fault("`--from` and `--to` must both be IPv4 or both be IPv6")
        );
    }
    let layout = Layout::read().ok_or_else(|| unavailable("`ip -j addr` fails"))?;
    let device = device_of(question, &layout)?;
    let mut from = any_port(question.from);
    from.set_port(question.source_port.unwrap_or(0));
    let packet =
        Packet { from, to: question.to, transport: question.transport, device: device.clone() };
    let devices: BTreeSet<String> = device.into_iter().collect();
    let twin = Twin::of_this_host(layout, &devices)?;
    let sent = twin.send(std::slice::from_ref(&packet))?;
    let mut outcome = sent.into_iter().next().ok_or_else(|| unavailable("no trace"))?;
    if outcome.verdict == PacketVerdict::Lost {
        outcome.note = twin.why_lost(&outcome)?;
    }
    if let Some(expected) = question.expect {
        outcome = outcome.expect(expected);
    }
    Ok(TestedPacket { outcome, missing: twin.missing })
}

/// Returns the reason why this host does not let the first packet of a TCP connection pass, with the rule that stops it;
/// `None` if it passes, or where no twin can be made. It comes in by `device`, or by the interface that leads to its source.
pub fn reason(from: IpAddr, to: SocketAddr, device: Option<Interface>) -> Option<String> {
    let transport = Transport::Tcp;
    let question = PacketTest { from, source_port: None, to, transport, device, expect: None };
    ask(&question).ok()?.outcome.reason()
}

/// Returns the interface by which the packet comes in; `None` if its source is an address of the host.
fn device_of(question: &PacketTest, layout: &Layout) -> Result<Option<String>> {
    let PacketTest { from, device, .. } = question;
    if let Some(device) = device {
        if layout.link(device.as_str()).is_some() {
            return Ok(Some(device.to_string()));
        }
        let names: Vec<_> = layout.links.iter().map(|link| link.ifname.as_str()).collect();
        let message =
            format!("there is no interface {device} here; there are {}", names.join(", "));
        return Err(NatError::UnknownInterface.fault(message));
    }
    if layout.is_local(*from) {
        return Ok(None);
    }
    let towards = device_towards(*from).filter(|device| layout.link(device).is_some());
    let Some(device) = towards else {
        let message =
            format!("no route leads to {from}: `--in` names the interface by which it comes in");
        return Err(NatError::UnknownInterface.fault(message));
    };
    Ok(Some(device))
}
