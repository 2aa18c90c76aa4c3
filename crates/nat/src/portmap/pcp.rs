//! PCP and NAT-PMP, by `crab_nat`: one datagram to the gateway, one back from it.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU16,
    time::Duration,
};

use crab_nat::{
    GatewayAddress, InternetProtocol, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp,
    pcp::{self, BaseMapRequest, DropMappingRange, Nonce},
};

use super::{
    Lease, Via,
    ask::{Asked, Refusal},
};
use crate::gateway::Gateway;
use portolan_core::{
    limits::{LEASE_TIME_MAX, ROUTER_FIRST_WAIT, ROUTER_TRIES, ROUTER_WAIT_MAX},
    random::random_bytes,
};

/// The timeouts and number of retries of requests.
const WAITS: TimeoutConfig = TimeoutConfig {
    initial_timeout: ROUTER_FIRST_WAIT,
    max_retries: ROUTER_TRIES - 1,
    max_retry_timeout: Some(ROUTER_WAIT_MAX),
};

/// Requests `asked` by PCP.
pub(super) async fn map_pcp(gateway: &Gateway, asked: &Asked) -> Result<Lease, Refusal> {
    let port = NonZeroU16::new(asked.internal).ok_or(Refusal::NoAnswer)?;
    let request = BaseMapRequest::new(
        GatewayAddress::IpV4(gateway.address),
        gateway.ours.into(),
        InternetProtocol::Tcp,
        port,
    );
    let mapped = pcp::port_mapping(request, Some(asked.nonce), None, options(asked)).await;
    let mapped = mapped.map_err(|failure| refusal_of_pcp(&failure))?;
    let PortMappingType::Pcp { external_ip: IpAddr::V4(address), .. } = mapped.mapping_type()
    else {
        return Err(Refusal::Said("it gave no IPv4 address".into()));
    };
    lease(Via::Pcp, gateway, asked, &mapped, address)
}

/// Requests `asked` by NAT-PMP; `address` is the external address that the router reported.
pub(super) async fn map_natpmp(
    gateway: &Gateway,
    asked: &Asked,
    address: Ipv4Addr,
) -> Result<Lease, Refusal> {
    let port = NonZeroU16::new(asked.internal).ok_or(Refusal::NoAnswer)?;
    let router = GatewayAddress::IpV4(gateway.address);
    let mapped = natpmp::port_mapping(router, InternetProtocol::Tcp, port, options(asked)).await;
    let mapped = mapped.map_err(|failure| refusal_of_natpmp(&failure))?;
    lease(Via::NatPmp, gateway, asked, &mapped, address)
}

/// Returns the router's external address, by NAT-PMP.
pub(super) async fn address_natpmp(router: Ipv4Addr) -> Result<Ipv4Addr, Refusal> {
    let said = natpmp::external_address(GatewayAddress::IpV4(router), Some(WAITS)).await;
    said.map_err(|failure| refusal_of_natpmp(&failure))
}

/// Releases `lease`.
pub(super) async fn unmap(lease: &Lease) -> Result<(), Refusal> {
    let router = GatewayAddress::IpV4(lease.router);
    let port = NonZeroU16::new(lease.internal).ok_or(Refusal::NoAnswer)?;
    if lease.via == Via::NatPmp {
        let tcp = InternetProtocol::Tcp;
        let dropped = natpmp::try_drop_mapping(router, tcp, Some(port), Some(WAITS)).await;
        return dropped.map_err(|failure| refusal_of_natpmp(&failure));
    }
    let one = DropMappingRange::Single { protocol: InternetProtocol::Tcp, internal_port: port };
    let ours = lease.ours.into();
    let dropped = pcp::try_drop_mapping(router, ours, lease.nonce, one, Some(WAITS)).await;
    dropped.map_err(|failure| refusal_of_pcp(&failure))
}

fn options(asked: &Asked) -> PortMappingOptions {
    PortMappingOptions {
        external_port: NonZeroU16::new(asked.external),
        lifetime_seconds: u32::try_from(asked.time.as_secs()).ok(),
        timeout_config: Some(WAITS),
    }
}

fn lease(
    via: Via,
    gateway: &Gateway,
    asked: &Asked,
    mapped: &PortMapping,
    address: Ipv4Addr,
) -> Result<Lease, Refusal> {
    // A granted lifetime of zero is a removal.
    if mapped.lifetime() == 0 {
        return Err(Refusal::Said("it granted no time".into()));
    }
    let time = Duration::from_secs(mapped.lifetime().into()).min(LEASE_TIME_MAX);
    Ok(Lease {
        via,
        router: gateway.address,
        ours: gateway.ours,
        internal: asked.internal,
        external: mapped.external_port().get(),
        address,
        time: Some(time),
        nonce: asked.nonce,
    })
}

fn refusal_of_pcp(failure: &pcp::Failure) -> Refusal {
    match failure {
        pcp::Failure::Timeout | pcp::Failure::Socket(_) => Refusal::NoAnswer,
        pcp::Failure::UnsupportedVersion(_) => Refusal::Unknown,
        other => Refusal::Said(plain(&other.to_string())),
    }
}

fn refusal_of_natpmp(failure: &natpmp::Failure) -> Refusal {
    match failure {
        natpmp::Failure::Timeout | natpmp::Failure::Socket(_) => Refusal::NoAnswer,
        natpmp::Failure::UnsupportedVersion(_) => Refusal::Unknown,
        other => Refusal::Said(plain(&other.to_string())),
    }
}

/// Returns the library's error text as a clause.
fn plain(words: &str) -> String {
    let words = words.strip_prefix("Server responded with code: ").unwrap_or(words);
    let mut words = words.to_owned();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}

/// Returns a nonce that cannot be guessed.
pub(super) fn new_nonce() -> Nonce {
    std::array::from_fn(|_| u32::from_ne_bytes(random_bytes()))
}
