//! From a host's name to a connection with one of its addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::site::Site,
    stop::Stop,
};

/// A connection over which nothing has been said yet.
#[derive(Debug)]
pub(in crate::ftp) struct Line {
    pub(in crate::ftp) tcp: TcpStream,
    /// The server's address and port, or the proxy's.
    pub(in crate::ftp) peer: SocketAddr,
    /// Our own.
    pub(in crate::ftp) local: SocketAddr,
    /// When we began to look for the host.
    pub(in crate::ftp) began: Instant,
}

/// Connects to the first of the host's addresses that answers, or to the host by way of its proxy.
pub(in crate::ftp) async fn dial(site: &Site, stop: &Stop) -> Outcome<Line> {
    let began = Instant::now();
    let tcp = stop.race(reach(site)).await??;
    let ends = tcp.peer_addr().and_then(|peer| Ok((peer, tcp.local_addr()?)));
    let (peer, local) = ends.map_err(|error| Fault::network("cannot use the socket", error))?;
    Ok(Line { tcp, peer, local, began })
}

async fn reach(site: &Site) -> Outcome<TcpStream> {
    let mut tcp = first_to_answer(site).await?;
    if let Some(proxy) = &site.proxy {
        let led = proxy.lead(&mut tcp, (&site.host, site.port), site.connect_timeout).await;
        led.map_err(|fault| fault.on(&site.host))?;
    }
    Ok(tcp)
}

async fn first_to_answer(site: &Site) -> Outcome<TcpStream> {
    let addresses = match &site.proxy {
        Some(proxy) => look_up(site, (&proxy.host, proxy.port), "the proxy").await?,
        None => resolve(site).await?,
    };
    let whose = if site.proxy.is_some() { "the proxy at " } else { "" };
    let mut last = None;
    for address in addresses {
        let attempt = timeout(site.connect_timeout, connect(address, site.source_address)).await;
        match attempt {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => {
                last = Some(Fault::network(&format!("cannot connect to {whose}{address}"), error));
            }
            Err(_) => {
                let time = site.connect_timeout.as_secs_f32();
                let message = format!("cannot connect to {whose}{address}: no answer in {time} s");
                last = Some(Fault::new(Kind::Timeout, Side::Network, message));
            }
        }
    }
    let fault = last
        .unwrap_or_else(|| Fault::new(Kind::Unreachable, Side::Network, "the name has no address"));
    Err(fault.on(&site.host))
}

/// The addresses to try, in the resolver's order.
pub(in crate::ftp) async fn resolve(site: &Site) -> Outcome<Vec<SocketAddr>> {
    match site.detour.or(site.address) {
        Some(address) => Ok(vec![address]),
        None => look_up(site, (&site.host, site.port), "the host").await,
    }
}

async fn look_up(site: &Site, place: (&str, u16), what: &str) -> Outcome<Vec<SocketAddr>> {
    match tokio::net::lookup_host(place).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            let text = error.to_string();
            let words = text.rsplit(": ").next().unwrap_or(&text).to_lowercase();
            let message = format!("cannot find {what}: {words}");
            let fault = Fault::new(Kind::Unreachable, Side::Network, message);
            Err(fault.on(&site.host).because(error))
        }
    }
}

/// A connection to `address`, from `source` where that is given.
pub(in crate::ftp) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let tcp = socket.connect(address).await?;
    tcp.set_nodelay(true)?;
    // NAT boxes forget a control connection that is silent through a long transfer.
    let alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
    socket2::SockRef::from(&tcp).set_tcp_keepalive(&alive)?;
    Ok(tcp)
}
