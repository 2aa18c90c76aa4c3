//! Dialing: from a host name to a connection with one of its addresses.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    context::RunContext,
    recorder::SessionRecorder,
    server_store::{ServerPlace, ServerStore},
    site::{KEEPALIVE, Site},
};
use portolan_core::{
    cancel::CancelToken,
    error::{
        Error, ErrorKind, Origin, Result,
        codes::{CONNECT_REFUSED, CONNECT_UNKNOWN_HOST},
    },
};
use portolan_permissions::RunPermissions;

/// The time after which the next address is tried in parallel with those that have not answered (RFC 8305, 5).
const NEXT_ADDRESS_TIME: Duration = Duration::from_millis(250);

/// A connection on which nothing has been sent yet.
#[derive(Debug)]
pub(crate) struct DialedConnection {
    pub(crate) tcp: TcpStream,
    /// The server's address and port, or the proxy's.
    pub(crate) peer: SocketAddr,
    /// The local address and port.
    pub(crate) local: SocketAddr,
    /// The time at which the lookup of the host began.
    pub(crate) began: Instant,
    /// True if the first of the host's addresses did not answer first, or was not tried first because it had not
    /// answered before.
    pub(crate) is_not_first: bool,
    /// The recorder of the session, if the run is recorded.
    pub(crate) recorder: Option<SessionRecorder>,
}

/// Connects to the server of `site`, and records it if the run is recorded. Fails with the error of the recorded run if
/// that is played again.
pub(crate) async fn dial(
    site: &Site,
    memory: Option<&dyn ServerStore>,
    context: &RunContext,
) -> Result<DialedConnection> {
    if let Some(error) = context.replayed.as_ref().and_then(|dials| dials.next_failure(site)) {
        return Err(error);
    }
    let dialed = dial_server(site, memory, &context.permissions, &context.stop).await;
    let Some(recorder) = &context.recorder else { return dialed };
    let mut line = dialed.inspect_err(|error| recorder.dial_failed(site, error))?;
    line.recorder = Some(recorder.dialed(site, line.local, line.peer));
    Ok(line)
}

/// Connects to the first of the host's addresses that answers, or to the host through its proxy. An address that has
/// answered before, in this run or according to `memory`, is tried first.
///
/// # Errors
///
/// `denied_by_policy` if `permissions` do not name the host, or not the address to which a wildcard has led.
async fn dial_server(
    site: &Site,
    memory: Option<&dyn ServerStore>,
    permissions: &RunPermissions,
    stop: &CancelToken,
) -> Result<DialedConnection> {
    let began = Instant::now();
    permissions.allow_net(&site.host, site.port)?;
    let (tcp, is_not_first) = stop.run_until_cancelled(reach(site, memory, permissions)).await??;
    let ends = tcp.peer_addr().and_then(|peer| Ok((peer, tcp.local_addr()?)));
    let (peer, local) = ends.map_err(|error| Error::network("cannot use the socket", error))?;
    Ok(DialedConnection { tcp, peer, local, began, is_not_first, recorder: None })
}

async fn reach(
    site: &Site,
    memory: Option<&dyn ServerStore>,
    permissions: &RunPermissions,
) -> Result<(TcpStream, bool)> {
    let Some(proxy) = &site.proxy else {
        let addresses = resolve(site).await?;
        // A detour is that of a rehearsal, which the user has ordered.
        if site.detour.is_none() {
            let reach =
                |at: &SocketAddr| permissions.allow_net_address(&site.host, site.port, at.ip());
            addresses.iter().try_for_each(reach)?;
        }
        let first = addresses.first().copied();
        let best = site.last_address.or_else(|| remembered(site, memory, &addresses));
        let tcp = first_to_answer(site, in_order(addresses, best), "").await?;
        let is_first =
            tcp.peer_addr().ok().is_none_or(|peer| Some(peer.ip()) == first.map(|it| it.ip()));
        return Ok((tcp, !is_first));
    };
    let addresses = look_up(site, (&proxy.host, proxy.port), "the proxy").await?;
    let mut tcp = first_to_answer(site, in_order(addresses, None), "the proxy at ").await?;
    let led = proxy.lead(&mut tcp, &site.host, site.port, site.connect_timeout).await;
    led.map_err(|error| error.with_host(&site.host))?;
    Ok((tcp, false))
}

/// Returns the one of `addresses` that an earlier run found to answer where another did not.
fn remembered(
    site: &Site,
    memory: Option<&dyn ServerStore>,
    addresses: &[SocketAddr],
) -> Option<IpAddr> {
    let memory = memory.filter(|_| addresses.len() > 1)?;
    addresses.iter().map(SocketAddr::ip).find(|ip| {
        let known = ours_towards(*ip).and_then(|ours| memory.recall(&ServerPlace::of(site, ours)));
        known.is_some_and(|known| known.address == Some(*ip))
    })
}

/// Returns the local address for packets to `ip`, as the system would choose it. No packet is sent.
fn ours_towards(ip: IpAddr) -> Option<IpAddr> {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((ip, 9)).ok()?;
    socket.local_addr().ok().map(|ours| ours.ip())
}

/// Returns `addresses` with `best` first and then both families alternating, each in the resolver's order (RFC 8305,
/// 4).
fn in_order(addresses: Vec<SocketAddr>, best: Option<IpAddr>) -> VecDeque<SocketAddr> {
    let is_best = |address: &SocketAddr| Some(address.ip()) == best;
    let (mut order, rest): (VecDeque<_>, VecDeque<_>) = addresses.into_iter().partition(is_best);
    let starts_v6 = order
        .front()
        .map_or_else(|| rest.front().is_some_and(SocketAddr::is_ipv6), |best| !best.is_ipv6());
    let (mut turn, mut other): (VecDeque<_>, VecDeque<_>) =
        rest.into_iter().partition(|address| address.is_ipv6() == starts_v6);
    while let Some(next) = turn.pop_front().or_else(|| other.pop_front()) {
        order.push_back(next);
        std::mem::swap(&mut turn, &mut other);
    }
    order
}

/// Connects to the first of `addresses` that answers: each is tried once the one before has failed, or has been silent
/// for a moment (RFC 8305).
async fn first_to_answer(
    site: &Site,
    mut addresses: VecDeque<SocketAddr>,
    whose: &str,
) -> Result<TcpStream> {
    let attempt = |address: SocketAddr| async move {
        let connected = timeout(site.connect_timeout, connect(address, site.source_address));
        match connected.await {
            Ok(Ok(tcp)) => {
                keep_alive(&tcp, site.keepalive).map_err(|error| {
                    Error::network("cannot probe the control connection", error)
                })?;
                Ok(tcp)
            }
            Ok(Err(error)) => {
                let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let error = Error::network(&format!("cannot connect to {whose}{address}"), error);
                Err(if is_refused { error.with_name(CONNECT_REFUSED) } else { error })
            }
            Err(_) => {
                let time = site.connect_timeout.as_secs_f32();
                let message = format!("cannot connect to {whose}{address}: no answer in {time} s");
                Err(Error::new(ErrorKind::Timeout, Origin::Network, message))
            }
        }
    };
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        let next = addresses.pop_front();
        attempts.extend(next.map(attempt));
        let answered = tokio::select! {
            answered = attempts.next() => answered,
            () = sleep(NEXT_ADDRESS_TIME), if !addresses.is_empty() => continue,
        };
        match answered {
            Some(Ok(tcp)) => return Ok(tcp),
            Some(Err(error)) => last = Some(error),
            None if addresses.is_empty() => break,
            None => {}
        }
    }
    let error = last.unwrap_or_else(|| {
        Error::new(ErrorKind::Unreachable, Origin::Network, "the name has no address")
    });
    Err(error.with_host(&site.host))
}

/// Returns the addresses to try, in the resolver's order.
pub(crate) async fn resolve(site: &Site) -> Result<Vec<SocketAddr>> {
    match site.detour.or(site.address) {
        Some(address) => Ok(vec![address]),
        None => look_up(site, (&site.host, site.port), "the host").await,
    }
}

async fn look_up(site: &Site, place: (&str, u16), what: &str) -> Result<Vec<SocketAddr>> {
    match tokio::net::lookup_host(place).await {
        Ok(addresses) => {
            let (family, all): (_, Vec<_>) = (site.family, addresses.collect());
            let found: Vec<_> = all.iter().copied().filter(|address| family.has(address)).collect();
            if found.is_empty() && !all.is_empty() {
                let message =
                    format!("{what} has no {} address, as `family` wants", family.as_str());
                let error = Error::new(ErrorKind::Unreachable, Origin::Script, message);
                return Err(error.with_host(&site.host));
            }
            Ok(found)
        }
        Err(cause) => {
            let text = cause.to_string();
            let words = text.rsplit(": ").next().unwrap_or(&text).to_lowercase();
            let message = format!("cannot find {what}: {words}");
            let error = Error::new(ErrorKind::Unreachable, Origin::Network, message)
                .with_name(CONNECT_UNKNOWN_HOST);
            Err(error.with_host(&site.host).with_source(cause))
        }
    }
}

/// Connects to `address`, from `source` if that is given.
pub(crate) async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    keep_alive(&tcp, Some(KEEPALIVE))?;
    Ok(tcp)
}

/// Lets TCP probe a connection after that time of silence: NAT boxes forget a control connection that is silent through
/// a long transfer.
fn keep_alive(tcp: &TcpStream, time: Option<Duration>) -> io::Result<()> {
    let socket = socket2::SockRef::from(tcp);
    match time {
        Some(time) => socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(time)),
        None => socket.set_keepalive(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_in_turn_and_what_answered_before_first() {
        let all = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 21)).collect()
        };
        for (addresses, best, order) in [
            (
                &["::1", "::2", "10.0.0.1", "10.0.0.2"][..],
                None,
                &["::1", "10.0.0.1", "::2", "10.0.0.2"][..],
            ),
            (&["10.0.0.1", "10.0.0.2", "::1"], None, &["10.0.0.1", "::1", "10.0.0.2"]),
            (&["::1", "::2", "10.0.0.1"], Some("10.0.0.1"), &["10.0.0.1", "::1", "::2"]),
            (&["::1", "10.0.0.1", "10.0.0.2"], Some("::1"), &["::1", "10.0.0.1", "10.0.0.2"]),
            (&["::1"], Some("10.9.9.9"), &["::1"]),
            (&[], None, &[]),
        ] {
            let best = best.map(|ip: &str| ip.parse().unwrap());
            assert_eq!(Vec::from(in_order(all(addresses), best)), all(order), "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_control_connection_is_probed_after_the_time_of_the_option() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for (keepalive, expected) in [
            (Some(KEEPALIVE), Some(KEEPALIVE)),
            (Some(Duration::from_secs(7)), Some(Duration::from_secs(7))),
            (None, None),
        ] {
            let site = Site { keepalive, ..Site::new("h") };
            let tcp = first_to_answer(&site, [address].into(), "").await.unwrap();
            let socket = socket2::SockRef::from(&tcp);
            let time = socket.keepalive().unwrap().then(|| socket.tcp_keepalive_time().unwrap());
            assert_eq!(time, expected);
        }
    }
}
