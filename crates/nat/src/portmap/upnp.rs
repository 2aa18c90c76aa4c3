//! UPnP's Internet Gateway Device, by `igd-next`. The library accepts no answer of more than 1 MiB or with deep
//! nesting, and follows only the address of the device that answered; here that must be the default gateway.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use igd_next::{
    AddPortError, GetExternalIpError, PortMappingProtocol, RemovePortError, RequestError,
    SearchError, SearchOptions,
    aio::{
        Gateway as Device,
        tokio::{Tokio, search_gateway},
    },
};
use tokio::time::timeout;

use super::{
    Lease, Via,
    ask::{Asked, Refusal},
};
use portolan_core::{
    limits::{ROUTER_ENTRIES_MAX, ROUTER_REQUEST_TIMEOUT, ROUTER_SEARCH_TIMEOUT, ROUTER_WORDS_MAX},
    observe::visible::visible,
};

/// The port on which routers listen for search requests.
const SEARCH_PORT: u16 = 1900;
/// The multicast address on which all of them listen.
const EVERYBODY: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), SEARCH_PORT);
/// The description of portolan's entries in the router's list, for users and for portolan itself.
const DESCRIPTION: &str = "portolan";

/// A router that was found.
pub(super) struct Router {
    device: Device<Tokio>,
    address: Ipv4Addr,
    ours: Ipv4Addr,
}

impl Router {
    /// Searches for the router at `address`, by unicast and, for routers that do not answer that, by multicast: the
    /// answer to multicast is lost if the host's firewall drops packets that belong to no connection.
    pub(super) async fn find(address: Ipv4Addr, ours: Ipv4Addr) -> Result<Self, Refusal> {
        let alone = find_by(SocketAddr::from((address, SEARCH_PORT)), address, ours);
        let by_all = find_by(SocketAddr::from(EVERYBODY), address, ours);
        tokio::pin!(alone, by_all);
        let device = tokio::select! {
            found = &mut alone => match found { Ok(device) => Ok(device), Err(_) => by_all.await },
            found = &mut by_all => match found { Ok(device) => Ok(device), Err(_) => alone.await },
        };
        Ok(Self { device: device?, address, ours })
    }

    /// Returns its external address.
    pub(super) async fn outside(&self) -> Result<Ipv4Addr, Refusal> {
        match within(self.device.get_external_ip()).await? {
            Ok(IpAddr::V4(address)) => Ok(address),
            Ok(IpAddr::V6(_)) => Err(Refusal::Said("it gave no IPv4 address".into())),
            Err(GetExternalIpError::ActionNotAuthorized) => Err(not_authorized()),
            Err(GetExternalIpError::RequestError(error)) => Err(refusal(&error)),
        }
    }

    /// Requests `asked`.
    pub(super) async fn map(&self, asked: &Asked, outside: Ipv4Addr) -> Result<Lease, Refusal> {
        let mut time = Some(asked.time);
        let mut result = self.add(asked, asked.time).await?;
        if matches!(result, Err(AddPortError::OnlyPermanentLeasesSupported)) {
            time = None;
            result = self.add(asked, Duration::ZERO).await?;
        }
        result.map_err(|error| match error {
            AddPortError::PortInUse => {
                Refusal::Said(format!("port {} leads to another machine", asked.external))
            }
            AddPortError::ActionNotAuthorized => not_authorized(),
            AddPortError::RequestError(error) => refusal(&error),
            other => Refusal::Said(shown(&other.to_string())),
        })?;
        Ok(Lease {
            via: Via::Upnp,
            router: self.address,
            ours: self.ours,
            internal: asked.internal,
            external: asked.external,
            address: outside,
            time,
            nonce: asked.nonce,
        })
    }

    async fn add(
        &self,
        asked: &Asked,
        time: Duration,
    ) -> Result<Result<(), AddPortError>, Refusal> {
        let ours = SocketAddr::from((self.ours, asked.internal));
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let tcp = PortMappingProtocol::TCP;
        within(self.device.add_port(tcp, asked.external, ours, seconds, DESCRIPTION)).await
    }

    /// Releases `lease`. An entry for its port that is not ours is kept: since a crash the port may have gone to
    /// another host.
    pub(super) async fn unmap(&self, lease: &Lease) -> Result<(), Refusal> {
        if self.is_anothers(lease).await? {
            return Ok(());
        }
        let tcp = PortMappingProtocol::TCP;
        match within(self.device.remove_port(tcp, lease.external)).await? {
            Ok(()) | Err(RemovePortError::NoSuchPortMapping) => Ok(()),
            Err(RemovePortError::ActionNotAuthorized) => Err(not_authorized()),
            Err(RemovePortError::RequestError(error)) => Err(refusal(&error)),
        }
    }

    /// Returns true if the router lists the port of `lease` for another host. A router that lists nothing decides by
    /// itself: most accept a removal only from the host that the mapping leads to.
    async fn is_anothers(&self, lease: &Lease) -> Result<bool, Refusal> {
        for index in 0..ROUTER_ENTRIES_MAX {
            let Ok(entry) = within(self.device.get_generic_port_mapping_entry(index)).await? else {
                return Ok(false);
            };
            if entry.external_port == lease.external && entry.protocol == PortMappingProtocol::TCP {
                let is_ours = entry.internal_client.parse() == Ok(lease.ours)
                    && entry.internal_port == lease.internal
                    && entry.port_mapping_description == DESCRIPTION;
                return Ok(!is_ours);
            }
        }
        Ok(false)
    }
}

async fn find_by(
    asked: SocketAddr,
    address: Ipv4Addr,
    ours: Ipv4Addr,
) -> Result<Device<Tokio>, Refusal> {
    let mut options = SearchOptions::default();
    options.bind_addr = SocketAddr::from((ours, 0));
    options.broadcast_address = asked;
    options.timeout = Some(ROUTER_SEARCH_TIMEOUT);
    options.single_search_timeout = Some(ROUTER_SEARCH_TIMEOUT);
    let device = search_gateway(options).await.map_err(|error| match error {
        SearchError::NoResponseWithinTimeout | SearchError::IoError(_) => Refusal::NoAnswer,
        other => Refusal::Said(shown(&other.to_string())),
    })?;
    if device.addr.ip() == IpAddr::from(address) {
        return Ok(device);
    }
    let message = format!("{} answered, and is not the default gateway", device.addr.ip());
    Err(Refusal::Said(message))
}

/// Runs `work` within the time limit of one request.
async fn within<T>(work: impl Future<Output = T>) -> Result<T, Refusal> {
    timeout(ROUTER_REQUEST_TIMEOUT, work).await.map_err(|_| Refusal::NoAnswer)
}

fn not_authorized() -> Refusal {
    Refusal::Said("it does not let this machine do that".into())
}

fn refusal(error: &RequestError) -> Refusal {
    Refusal::Said(match error {
        RequestError::ErrorCode(code, words) => format!("error {code}: {}", shown(words)),
        RequestError::InvalidResponse(_) => "its answer is none".into(),
        other => shown(&other.to_string()),
    })
}

/// Returns the router's text, cut to the length that fits in a message.
fn shown(words: &str) -> String {
    visible(words.chars().take(ROUTER_WORDS_MAX).collect::<String>())
}
