//! Ports of a home router that lead to this machine: asked for by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP, for a
//! time, and given back.
//!
//! A [`Lease`] is one port. [`Leases`] keeps those of a run: it renews them at half of their time and gives them back
//! at the end. What a crash leaves behind stands in a [`Book`], and ends by itself when its time is over.
//!
//! Only the default gateway is asked, and whatever it says is checked: an address that nobody can reach is no
//! external address, and no reply is waited for longer than the limits say.

mod ask;
mod book;
mod leases;
mod pcp;
mod upnp;

use std::{net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    ask::external_address,
    book::Book,
    leases::{Leases, Mapped, reap},
};
use super::Reason;
use crate::{
    fault::{Fault, Outcome},
    limits::{LEASE_TIME, LEASE_TIME_MAX, LEASE_TIME_MIN, MAPPED_PORTS_MAX},
};

/// How a router is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Port Control Protocol.
    Pcp,
    /// NAT Port Mapping Protocol, which came before it.
    NatPmp,
    /// Universal Plug and Play, Internet Gateway Device.
    Upnp,
}

impl Via {
    /// All of them, the one to ask by first in front.
    pub const ALL: [Self; 3] = [Self::Pcp, Self::NatPmp, Self::Upnp];

    /// The word that scripts use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        }
    }

    /// The one of that word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.word() == word)
    }
}

/// What a router is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Ports of this machine, which shall have the same numbers outside where the router lets them.
    ports: Vec<u16>,
    /// For how long, until they are asked for again.
    time: Duration,
    /// The only way to ask, if not all.
    via: Option<Via>,
}

impl Wish {
    /// A wish for `ports`; fails with `nat.bad_range` for too many and for port 0, and with `invalid` for a time that
    /// no router gives. Without `time` it is an hour.
    pub fn new(mut ports: Vec<u16>, time: Option<Duration>, via: Option<Via>) -> Outcome<Self> {
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() || ports.contains(&0) || ports.len() > MAPPED_PORTS_MAX {
            let message = format!(
                "1 to {MAPPED_PORTS_MAX} ports can be mapped (one is enough for transfers that do not run at the same \
                 time), and port 0 is none"
            );
            return Err(Reason::BadRange.fault(message));
        }
        let time = time.unwrap_or(LEASE_TIME);
        if !(LEASE_TIME_MIN..=LEASE_TIME_MAX).contains(&time) {
            let (least, most) = (LEASE_TIME_MIN.as_secs(), LEASE_TIME_MAX.as_secs() / 86400);
            let message = format!("`lease` wants a time from {least} seconds to {most} days");
            return Err(Fault::invalid(message));
        }
        Ok(Self { ports, time, via })
    }

    /// The ports, each once, the lowest first.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }
}

/// One port of the router that leads to this machine, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// How it was asked for.
    pub via: Via,
    /// The router.
    pub router: Ipv4Addr,
    /// Our address, to which it leads.
    pub ours: Ipv4Addr,
    /// The port here.
    pub internal: u16,
    /// The port outside.
    pub external: u16,
    /// The router's address outside.
    pub address: Ipv4Addr,
    /// For how long it was granted; nothing when the router keeps it until it is told otherwise.
    pub time: Option<Duration>,
    /// What proves to a PCP server that the mapping is ours.
    nonce: [u32; 3],
}
