//! Requests to the router, by the protocols that it supports.

use std::{net::Ipv4Addr, pin::pin, time::Duration};

use futures_util::future::{Either, select};

use super::{Lease, MappingRequest, Via, pcp, upnp::Router};
use crate::{NatError, address::why_unreachable, gateway::Gateway};
use portolan_core::error::{Error, Result};

/// The request for one port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) internal: u16,
    pub(super) external: u16,
    pub(super) time: Duration,
    pub(super) nonce: [u32; 3],
}

/// The reason why a router did not fulfil a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No reply arrived.
    NoAnswer,
    /// The router does not support the protocol.
    Unknown,
    /// The router refused, or sent an invalid reply, with this text.
    Said(String),
}

/// The failures of the protocols that were tried.
#[derive(Debug, Default)]
struct FailedProbes(Vec<(Via, Refusal)>);

impl FailedProbes {
    fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    fn words(&self) -> String {
        let words = |(via, refusal): &(Via, Refusal)| format!("{}: {refusal}", via.as_str());
        self.0.iter().map(words).collect::<Vec<_>>().join("; ")
    }

    /// Returns the fault for all failures: `nat.mapping_refused` if the router refused, else `nat.no_mapping`.
    fn fault(&self, gateway: &Gateway) -> Error {
        let (router, words) = (gateway.address, self.words());
        if self.0.iter().any(|(_, refusal)| matches!(refusal, Refusal::Said(_))) {
            let message = format!("the router {router} does not map the port ({words})");
            return NatError::MappingRefused.fault(message);
        }
        let message = format!(
            "the router {router} maps no ports ({words}): switch on UPnP, NAT-PMP or PCP in it; or forward a range by \
             hand, and name it with `port_range` and `external_address`; or use passive mode"
        );
        NatError::NoMapping.fault(message)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "no answer",
            Self::Unknown => "it does not speak that",
            Self::Said(words) => words,
        })
    }
}

impl MappingRequest {
    /// Fails, without an entry, if the user has chosen another protocol.
    fn permit(&self, via: Via) -> Result<(), FailedProbes> {
        if self.via.is_none_or(|only| only == via) { Ok(()) } else { Err(FailedProbes::default()) }
    }
}

/// The lease of the first port, and the router's protocol for the next ones.
struct Begun {
    way: RouterProtocol,
    lease: Lease,
}

enum RouterProtocol {
    Pcp,
    NatPmp(Ipv4Addr),
    Upnp(Box<Router>),
}

/// The first response of a router.
enum RouterProbe {
    Pcp(Lease),
    NatPmp(Ipv4Addr),
    Upnp(Box<Router>),
}

/// Asks the default gateway for the ports of `wish`. All ports are mapped or none: if the router refuses one, the
/// earlier ones are released. Fails with `nat.mapping_refused`, `nat.no_mapping`, or `nat.double_nat` if the router's
/// own external address is not public.
pub(super) async fn map(
    gateway: &Gateway,
    wish: &MappingRequest,
    nonce: [u32; 3],
) -> Result<Vec<Lease>> {
    let asked = |port| Asked { internal: port, external: port, time: wish.time, nonce };
    let Some((first, rest)) = wish.ports.split_first() else { return Ok(Vec::new()) };
    let begun = Box::pin(begin(gateway, wish, &asked(*first))).await;
    let begun = begun.map_err(|tried| tried.fault(gateway))?;
    let mut result = check_outside(gateway, begun.lease.address);
    let mut leases = vec![begun.lease];
    for port in rest {
        if result.is_ok() {
            result = match begun.way.map(gateway, &asked(*port)).await {
                Ok(lease) => {
                    leases.push(lease);
                    Ok(())
                }
                Err(refusal) => Err(FailedProbes(vec![(begun.way.via(), refusal)]).fault(gateway)),
            };
        }
    }
    if let Err(fault) = result {
        give_back(&leases).await;
        return Err(fault);
    }
    Ok(leases)
}

/// Renews `lease` for `time`; the router may assign another port.
pub(super) async fn renew(gateway: &Gateway, lease: &Lease, time: Duration) -> Result<Lease> {
    let Lease { internal, external, nonce, .. } = *lease;
    let asked = Asked { internal, external, time, nonce };
    let renewed = async {
        let way = match lease.via {
            Via::Pcp => RouterProtocol::Pcp,
            Via::NatPmp => RouterProtocol::NatPmp(pcp::address_natpmp(gateway.address).await?),
            Via::Upnp => {
                RouterProtocol::Upnp(Box::new(Router::find(gateway.address, gateway.ours).await?))
            }
        };
        way.map(gateway, &asked).await
    };
    renewed.await.map_err(|refusal| FailedProbes(vec![(lease.via, refusal)]).fault(gateway))
}

/// Releases `leases`; returns those that remain, with the reason. A router that does not answer is not asked again.
pub(super) async fn give_back(leases: &[Lease]) -> Vec<(Lease, Refusal)> {
    let mut stay = Vec::new();
    let mut routers: Vec<(Ipv4Addr, Result<Router, Refusal>)> = Vec::new();
    for lease in leases {
        let is_silent = |(other, refusal): &(Lease, Refusal)| {
            (other.via, other.router) == (lease.via, lease.router) && *refusal == Refusal::NoAnswer
        };
        let given = if stay.iter().any(is_silent) {
            Err(Refusal::NoAnswer)
        } else if lease.via == Via::Upnp {
            if routers.iter().all(|(address, _)| *address != lease.router) {
                routers.push((lease.router, Router::find(lease.router, lease.ours).await));
            }
            match routers.iter().find(|(address, _)| *address == lease.router) {
                Some((_, Ok(router))) => router.unmap(lease).await,
                Some((_, Err(refusal))) => Err(refusal.clone()),
                None => Err(Refusal::NoAnswer),
            }
        } else {
            pcp::unmap(lease).await
        };
        if let Err(refusal) = given {
            stay.push((lease.clone(), refusal));
        }
    }
    stay
}

/// Returns the router's external address, whether others can reach it or not; `None` if it does not say it.
pub async fn outside_of(gateway: &Gateway) -> Option<Ipv4Addr> {
    asked_outside(gateway).await.ok()
}

/// Returns the router's external address, without mapping a port: by NAT-PMP, else by UPnP.
pub async fn external_address(gateway: &Gateway) -> Result<Ipv4Addr> {
    let address = asked_outside(gateway).await?;
    check_outside(gateway, address)?;
    Ok(address)
}

async fn asked_outside(gateway: &Gateway) -> Result<Ipv4Addr> {
    let natpmp = async { told(Via::NatPmp, pcp::address_natpmp(gateway.address).await) };
    let upnp = async {
        let said = async { Router::find(gateway.address, gateway.ours).await?.outside().await };
        told(Via::Upnp, said.await)
    };
    prefer(natpmp, upnp).await.map_err(|tried| {
        let message = format!(
            "the router {} does not say its address ({}); `nat::detect` asks the FTP server instead",
            gateway.address,
            tried.words()
        );
        NatError::NoMapping.fault(message)
    })
}

impl RouterProtocol {
    const fn via(&self) -> Via {
        match self {
            Self::Pcp => Via::Pcp,
            Self::NatPmp(_) => Via::NatPmp,
            Self::Upnp(_) => Via::Upnp,
        }
    }

    async fn map(&self, gateway: &Gateway, asked: &Asked) -> Result<Lease, Refusal> {
        match self {
            Self::Pcp => pcp::map_pcp(gateway, asked).await,
            Self::NatPmp(address) => pcp::map_natpmp(gateway, asked, *address).await,
            Self::Upnp(router) => {
                let outside = router.outside().await?;
                router.map(asked, outside).await
            }
        }
    }
}

/// Asks by all protocols at once for the first port; of those that succeed, PCP is preferred, then NAT-PMP. Only PCP
/// requests the port itself at this stage, since it has no other query.
async fn begin(
    gateway: &Gateway,
    wish: &MappingRequest,
    asked: &Asked,
) -> Result<Begun, FailedProbes> {
    let Gateway { address, ours, .. } = *gateway;
    let pcp = async {
        wish.permit(Via::Pcp)?;
        told(Via::Pcp, pcp::map_pcp(gateway, asked).await.map(RouterProbe::Pcp))
    };
    let natpmp = async {
        wish.permit(Via::NatPmp)?;
        told(Via::NatPmp, pcp::address_natpmp(address).await.map(RouterProbe::NatPmp))
    };
    let find = || async {
        wish.permit(Via::Upnp)?;
        told(Via::Upnp, Router::find(address, ours).await.map(Box::new))
    };
    let upnp = async { find().await.map(RouterProbe::Upnp) };
    let router = match prefer(pcp, prefer(natpmp, Box::pin(upnp))).await? {
        RouterProbe::Pcp(lease) => return Ok(Begun { way: RouterProtocol::Pcp, lease }),
        RouterProbe::NatPmp(outside) => {
            let way = RouterProtocol::NatPmp(outside);
            match told(Via::NatPmp, way.map(gateway, asked).await) {
                Ok(lease) => return Ok(Begun { way, lease }),
                Err(tried) => find().await.map_err(|more| tried.and(more))?,
            }
        }
        RouterProbe::Upnp(router) => router,
    };
    let way = RouterProtocol::Upnp(router);
    let lease = told(Via::Upnp, way.map(gateway, asked).await)?;
    Ok(Begun { way, lease })
}

fn told<T>(via: Via, result: Result<T, Refusal>) -> Result<T, FailedProbes> {
    result.map_err(|refusal| FailedProbes(vec![(via, refusal)]))
}

/// Waits for both futures, but not for `second` once `first` has succeeded.
async fn prefer<T>(
    first: impl Future<Output = Result<T, FailedProbes>>,
    second: impl Future<Output = Result<T, FailedProbes>>,
) -> Result<T, FailedProbes> {
    let (one, other) = match select(pin!(first), pin!(second)).await {
        Either::Left((Ok(one), _)) => return Ok(one),
        Either::Left((Err(tried), second)) => (tried, second.await),
        Either::Right((other, first)) => match first.await {
            Ok(one) => return Ok(one),
            Err(tried) => (tried, other),
        },
    };
    other.map_err(|more| one.and(more))
}

/// Fails with `nat.double_nat` if the router's external address is not public.
fn check_outside(gateway: &Gateway, outside: Ipv4Addr) -> Result<()> {
    let Some(why) = why_unreachable(outside.into()) else { return Ok(()) };
    let message = format!(
        "the router {} has the address {outside} outside, which is {why}: another NAT stands behind it, so use passive \
         mode",
        gateway.address
    );
    Err(NatError::DoubleNat.fault(message))
}
