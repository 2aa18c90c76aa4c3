//! Inbound ports for active data connections: requested by `ftp`, provided by `nat`. A range that a ruleset of the host
//! opens is taken if there is one. Ports mapped on the router are shared by all sessions of a run; the router is asked
//! when a session is about to listen, and only if the user allows it.

mod openings;

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;

pub use self::openings::RulesetPorts;

use crate::{
    error::{Error, Result},
    ftp::ports::{InboundPorts, MappedPort, PortProvider, PortRequest},
    limits::{MAP_AGAIN_AFTER, MAPPED_PORTS_AUTO, MAPPED_PORTS_MAX},
    nat::{
        NatError,
        address::why_unreachable,
        gateway::Gateway,
        portmap::{self, Lease, Leases},
    },
};

/// The inbound ports that one run can use.
#[derive(Debug)]
pub struct RunPortProvider {
    leases: Arc<Leases>,
    openings: RulesetPorts,
    /// The last failure of the router and its time: the router is not asked again for every file.
    failed: Mutex<Option<(Instant, Error)>>,
    /// A lock for requests: one session asks the router, the others wait for its result.
    asking: tokio::sync::Mutex<()>,
}

impl RunPortProvider {
    /// Returns a provider of the ports of `openings` and `leases`; more leases may be requested.
    pub fn shared(leases: Arc<Leases>, openings: RulesetPorts) -> Arc<dyn PortProvider> {
        let (failed, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { leases, openings, failed, asking })
    }

    /// Returns the ports that are already mapped, restricted to the range that the user has named.
    fn mapped(&self, wish: &PortRequest) -> Option<InboundPorts> {
        let is_wanted =
            |lease: &Lease| wish.ports.as_ref().is_none_or(|ports| ports.contains(&lease.internal));
        let leases = self.leases.mapped().leases;
        let leases: Vec<_> = leases
            .into_iter()
            .filter(|lease| IpAddr::V4(lease.ours) == wish.ours && is_wanted(lease))
            .collect();
        let address = leases.first()?.address;
        // The address that the user announces belongs to another router than this one.
        if wish.address.is_some_and(|named| named != IpAddr::V4(address)) {
            return None;
        }
        let ports = leases.iter().filter(|lease| lease.address == address);
        let port = |lease: &Lease| MappedPort { here: lease.internal, outside: lease.external };
        Some(InboundPorts { ports: ports.map(port).collect(), address: Some(address.into()) })
    }

    async fn ask(&self, wish: &PortRequest, ours: Ipv4Addr) -> Result<()> {
        let gateway = Gateway::find()?;
        if gateway.ours != ours {
            let message = format!(
                "router {} is not on the route to the server (source address {ours})",
                gateway.address
            );
            return Err(NatError::NoMapping.fault(message));
        }
        let count = wish.count.clamp(MAPPED_PORTS_AUTO, MAPPED_PORTS_MAX);
        let ports = match &wish.ports {
            Some(ports) => ports.clone().take(count).collect(),
            None => free_ports(ours, count)?,
        };
        self.leases.map(&portmap::MappingRequest::new(ports, None, None)?).await.map(drop)
    }

    fn recent_failure(&self) -> Option<Error> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, fault) = failed.as_ref()?;
        (at.elapsed() < MAP_AGAIN_AFTER).then(|| fault.clone())
    }

    /// Returns ports mapped on the router of this network.
    async fn through_router(&self, wish: &PortRequest) -> Result<Option<InboundPorts>> {
        let is_outside = why_unreachable(wish.server).is_none();
        // There is no NAT router between two hosts of one network, nor in front of a public address.
        let (IpAddr::V4(ours), true) = (wish.ours, is_outside) else { return Ok(None) };
        if why_unreachable(wish.ours).is_none() {
            return Ok(None);
        }
        let is_forwarded_by_hand = wish.address.is_some();
        if let Some(door) = self.mapped(wish) {
            return Ok(Some(door));
        }
        if !wish.may_ask || is_forwarded_by_hand {
            return Ok(None);
        }
        let _asking = self.asking.lock().await;
        if let Some(door) = self.mapped(wish) {
            return Ok(Some(door));
        }
        if let Some(fault) = self.recent_failure() {
            return Err(fault);
        }
        match Box::pin(self.ask(wish, ours)).await {
            Ok(()) => Ok(self.mapped(wish)),
            Err(fault) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                *failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }
}

#[async_trait]
impl PortProvider for RunPortProvider {
    async fn open(&self, wish: &PortRequest) -> Result<Option<InboundPorts>> {
        let Some(opening) = self.openings.of(wish) else { return self.through_router(wish).await };
        let door = opening.door();
        // A ruleset or user that names the external address has configured the router as well.
        if door.address.or(wish.address).is_some() {
            return Ok(Some(door));
        }
        let narrowed = PortRequest { ports: opening.first_range(), ..wish.clone() };
        match self.through_router(&narrowed).await {
            Ok(mapped) => Ok(mapped.or(Some(door))),
            Err(fault) => {
                let text = format!("active mode goes without a mapped port: {fault}");
                self.openings.observer.warn_once(text);
                Ok(Some(door))
            }
        }
    }
}

/// Finds ports that are free now, in the range from which the kernel assigns them.
fn free_ports(ours: Ipv4Addr, count: usize) -> Result<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind((ours, 0))).collect::<Result<Vec<_>, _>>();
    let ports = held.and_then(|held| {
        held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<_, _>>()
    });
    ports.map_err(|error| Error::network("cannot listen on a free port", error))
}
