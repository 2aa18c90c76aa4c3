//! Ways in for active data connections: ftp's wish, granted by nat. Where a ruleset of this machine opens a range, that is
//! taken. What a run has asked its router for is used by all of its sessions; a router is asked when a session is about
//! to listen, and only where the user lets it.

mod openings;

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use async_trait::async_trait;

pub use self::openings::Openings;

use crate::{
    fault::{Fault, Outcome},
    ftp::door::{Door, Doors, Port, Wish},
    limits::{MAP_AGAIN_AFTER, MAPPED_PORTS_AUTO, MAPPED_PORTS_MAX},
    nat::{
        Reason,
        address::why_unreachable,
        gateway::Gateway,
        portmap::{self, Lease, Leases},
    },
};

/// The ways in that one run knows.
#[derive(Debug)]
pub struct RunDoors {
    leases: Arc<Leases>,
    openings: Openings,
    /// The last time that the router gave nothing, and why: it is not asked again for every file.
    failed: Mutex<Option<(Instant, Fault)>>,
    /// One session asks, the others wait for what it gets.
    asking: tokio::sync::Mutex<()>,
}

impl RunDoors {
    /// The ways in by `openings`, and by `leases`, more of which may be asked for.
    pub fn shared(leases: Arc<Leases>, openings: Openings) -> Arc<dyn Doors> {
        let (failed, asking) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { leases, openings, failed, asking })
    }

    /// The door by what is mapped already, in the ports that the user has named.
    fn mapped(&self, wish: &Wish) -> Option<Door> {
        let is_wanted =
            |lease: &Lease| wish.ports.as_ref().is_none_or(|ports| ports.contains(&lease.internal));
        let leases = self.leases.mapped().leases;
        let leases: Vec<_> = leases
            .into_iter()
            .filter(|lease| IpAddr::V4(lease.ours) == wish.ours && is_wanted(lease))
            .collect();
        let address = leases.first()?.address;
        // What the user announces is another router's than this one.
        if wish.address.is_some_and(|named| named != IpAddr::V4(address)) {
            return None;
        }
        let ports = leases.iter().filter(|lease| lease.address == address);
        let port = |lease: &Lease| Port { here: lease.internal, outside: lease.external };
        Some(Door { ports: ports.map(port).collect(), address: Some(address.into()) })
    }

    async fn ask(&self, wish: &Wish, ours: Ipv4Addr) -> Outcome<()> {
        let gateway = Gateway::find()?;
        if gateway.ours != ours {
            let message = format!(
                "the way to the server does not lead over the router {}: it begins at {ours}",
                gateway.address
            );
            return Err(Reason::NoMapping.fault(message));
        }
        let count = wish.count.clamp(MAPPED_PORTS_AUTO, MAPPED_PORTS_MAX);
        let ports = match &wish.ports {
            Some(ports) => ports.clone().take(count).collect(),
            None => free_ports(ours, count)?,
        };
        self.leases.map(&portmap::Wish::new(ports, None, None)?).await.map(drop)
    }

    fn recent_failure(&self) -> Option<Fault> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, fault) = failed.as_ref()?;
        (at.elapsed() < MAP_AGAIN_AFTER).then(|| fault.clone())
    }

    /// The door by the router before this machine.
    async fn through_router(&self, wish: &Wish) -> Outcome<Option<Door>> {
        let is_outside = why_unreachable(wish.server).is_none();
        // No router with NAT stands between two machines of one network, nor before a public address.
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
impl Doors for RunDoors {
    async fn open(&self, wish: &Wish) -> Outcome<Option<Door>> {
        let Some(opening) = self.openings.of(wish) else { return self.through_router(wish).await };
        let door = opening.door();
        // Who says how this machine is called outside has taken care of the router.
        if door.address.or(wish.address).is_some() {
            return Ok(Some(door));
        }
        let narrowed = Wish { ports: opening.first_range(), ..wish.clone() };
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

/// Ports that nobody listens on now, of those that the kernel hands out.
fn free_ports(ours: Ipv4Addr, count: usize) -> Outcome<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind((ours, 0))).collect::<Result<Vec<_>, _>>();
    let ports = held.and_then(|held| {
        held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<_, _>>()
    });
    ports.map_err(|error| Fault::network("cannot listen on a free port", error))
}
