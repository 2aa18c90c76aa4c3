//! The limit on TCP segments where an interface takes smaller packets than Ethernet: pure.
//!
//! Hosts learn the size that fits from ICMP errors, which many networks drop: then a transfer hangs with its first full
//! packet. The kernel can write the size that fits into the packets by which a connection begins.

use std::collections::BTreeSet;

use super::{
    check::Interface,
    rules::{Hook, Maker, Match, RuleAction},
};

/// The MTU of Ethernet, for which hosts announce their segments.
const ETHERNET_MTU: u32 = 1_500;
/// The beginning of the names of dial-up lines, whose MTU is below that of Ethernet and may not be known yet.
const DIAL_UP: &str = "ppp";

/// The interfaces with such a limit.
#[derive(Debug, Default)]
pub(super) struct Clamped {
    /// Those that have it in any case.
    pub(super) wanted: BTreeSet<Interface>,
    /// Those that have it if they are narrow.
    pub(super) usual: BTreeSet<Interface>,
}

impl Maker<'_> {
    /// Limits segments on the interfaces that need it; on all or none of the usual ones if `on` says so.
    pub(super) fn clamp(&mut self, on: Option<bool>) {
        let Clamped { mut wanted, usual } = std::mem::take(&mut self.clamped);
        wanted.extend(
            usual.into_iter().filter(|device| on.unwrap_or_else(|| self.is_narrow(device))),
        );
        for device in wanted {
            let note = format!("clamp mss on {device}");
            // The reply announces the segments of the other direction.
            for through in [Match::Out(device.clone()), Match::In(vec![device])] {
                let matches = vec![through, Match::Syn];
                self.add(Hook::Clamp, None, matches, RuleAction::ClampMss, &note);
            }
        }
    }

    fn is_narrow(&self, device: &Interface) -> bool {
        let mut mtus = self.here.mtus.iter().filter(|(name, _)| device.covers(name));
        device.as_str().starts_with(DIAL_UP) || mtus.any(|(_, mtu)| *mtu < ETHERNET_MTU)
    }
}
