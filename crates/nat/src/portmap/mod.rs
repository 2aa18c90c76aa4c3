//! Port mappings on a home router: requested by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP for a limited time, and
//! released again.
//!
//! A [`Lease`] is one port. [`Leases`] keeps those of a run: it renews them at half of their time and releases them at
//! the end. Leases left by a crash are recorded in a [`LeaseJournal`], and expire by themselves.
//!
//! Only the default gateway is asked, and all of its replies are checked: an address that is not public is not accepted
//! as external address, and no reply is awaited for longer than the limits allow.

mod ask;
mod lease_journal;
mod leases;
mod pcp;
mod upnp;

use std::{net::Ipv4Addr, time::Duration};
use strum::{EnumString, IntoStaticStr};

use serde::{Deserialize, Serialize};

pub use self::{
    ask::{external_address, outside_of},
    lease_journal::LeaseJournal,
    leases::{Leases, Mapped, reap},
};
use super::NatError;
use portolan_core::{
    error::{Error, Result},
    limits::{LEASE_TIME, LEASE_TIME_MAX, LEASE_TIME_MIN, MAPPED_PORTS_MAX},
};

/// The protocol for requests to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Port Control Protocol.
    Pcp,
    /// NAT Port Mapping Protocol, the predecessor of PCP.
    NatPmp,
    /// Universal Plug and Play, Internet Gateway Device.
    Upnp,
}

impl Via {
    /// All protocols, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Pcp, Self::NatPmp, Self::Upnp];

    /// Returns the word that scripts use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A request for port mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRequest {
    /// The local ports, for which the same external ports are requested.
    ports: Vec<u16>,
    /// The lease time.
    time: Duration,
    /// The only protocol to use; all if `None`.
    via: Option<Via>,
}

impl MappingRequest {
    /// Creates a request for `ports`. Fails with `nat.bad_range` for no port, too many ports or port 0, and with
    /// `invalid` for a lease time out of range. Without `time` it is an hour.
    pub fn new(mut ports: Vec<u16>, time: Option<Duration>, via: Option<Via>) -> Result<Self> {
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() || ports.contains(&0) || ports.len() > MAPPED_PORTS_MAX {
            let message = format!(
                "1 to {MAPPED_PORTS_MAX} ports can be mapped (one is enough for transfers that do not run at the same \
                 time), and port 0 is none"
            );
            return Err(NatError::BadRange.fault(message));
        }
        let time = time.unwrap_or(LEASE_TIME);
        if !(LEASE_TIME_MIN..=LEASE_TIME_MAX).contains(&time) {
            let (least, most) = (LEASE_TIME_MIN.as_secs(), LEASE_TIME_MAX.as_secs() / 86400);
            let message = format!("`lease` wants a time from {least} seconds to {most} days");
            return Err(Error::invalid(message));
        }
        Ok(Self { ports, time, via })
    }

    /// Returns the ports, each once, the lowest first.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }
}

/// One port of the router that is mapped to the host, for a limited time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The protocol by which it was requested.
    pub via: Via,
    /// The router.
    pub router: Ipv4Addr,
    /// The host's address, to which it is mapped.
    pub ours: Ipv4Addr,
    /// The local port.
    pub internal: u16,
    /// The external port.
    pub external: u16,
    /// The router's external address.
    pub address: Ipv4Addr,
    /// The granted time; `None` if the mapping is permanent.
    pub time: Option<Duration>,
    /// The nonce that proves to a PCP server that the mapping is ours.
    nonce: [u32; 3],
}
