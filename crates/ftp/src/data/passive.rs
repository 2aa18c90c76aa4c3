//! Passive mode: the server names a port by EPSV or PASV, and the client connects to it.

use std::net::{IpAddr, SocketAddr};

use tokio::{net::TcpStream, time::timeout};

use super::{
    address::{PasvHint, targets},
    method::DataMethod,
    open_types::{OpenError, OpenParams},
    restart::{rest, restart},
};
use crate::{
    authority::authority,
    control::{ControlConnection, Either, FtpCommand, LookaheadReply, connect},
    proxy::Proxy,
    reply::Reply,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::format_duration,
};
use portolan_proto::ReplyCode;

/// Opens a connection by EPSV or PASV. It connects first, then sends the command: a blocked port then costs nothing but
/// its time, and the control connection stays in step (measured on four servers).
pub(super) async fn passive(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    params: &OpenParams<'_>,
) -> Result<(TcpStream, String, bool), OpenError> {
    let verb = step.verb();
    let of_mode = |error| OpenError::of_mode(error, String::new());
    let ahead = control.take_ahead(verb, params.answer_timeout).await;
    let asked = if let Some(prepared) = ahead {
        prepared
    } else {
        let reply = control.ask_within(params.answer_timeout, &FtpCommand::bare(verb)).await;
        reply.map(|reply| LookaheadReply { reply, tcp: None })
    };
    let LookaheadReply { reply, tcp: prepared } = asked.map_err(of_mode)?;
    let server = control.peer.ip();
    let named = match (step, reply.code) {
        (DataMethod::Epsv, ReplyCode::EXTENDED_PASSIVE_MODE) => {
            reply.extended_passive_port().map(|port| (port, None))
        }
        (_, ReplyCode::PASSIVE_MODE) => reply.passive_address().map(|(ip, port)| (port, Some(ip))),
        _ => return Err(of_mode(reply.fault())),
    };
    let Some((port, named)) = named else {
        let message = format!("cannot read the server's \"{}\"", reply.words());
        return Err(of_mode(Error { code: reply.code.value(), ..Error::protocol(message) }));
    };
    let connected = if let Some(tcp) = prepared {
        Ok((tcp, SocketAddr::new(server, port).to_string()))
    } else if let Some(proxy) = params.proxy {
        connect_through(proxy, control.peer, port, params).await
    } else {
        let targets = named.map_or_else(|| vec![server], |ip| targets(server, ip, params.address));
        connect_to_first(&targets, port, params).await
    };
    let (tcp, address) = connected.map_err(|failure| OpenError { named, ..failure })?;
    if params.is_early && params.offset == 0 && params.security.is_none() {
        let sent = control.ask_or(command, std::future::ready(())).await;
        return match sent.map_err(|error| OpenError::of_transfer(error, address.clone()))? {
            Either::Other(()) => Ok((tcp, address, false)),
            Either::Reply(reply) if reply.is_preliminary() => Ok((tcp, address, true)),
            Either::Reply(reply) => Err(OpenError::refused(&reply, address)),
        };
    }
    let reply = begin_at(control, command, params).await;
    let reply = reply.map_err(|error| OpenError::of_transfer(error, address.clone()))?;
    if reply.is_preliminary() {
        Ok((tcp, address, true))
    } else {
        Err(OpenError::refused(&reply, address))
    }
}

/// Connects to the first of `targets` that accepts, and returns the connection and its address.
async fn connect_to_first(
    targets: &[IpAddr],
    port: u16,
    params: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    let mut last = no_other_way();
    for ip in targets {
        let address = SocketAddr::new(*ip, port);
        let connected = timeout(params.open_timeout, connect(address, params.source_address));
        let error = match params.stop.run_until_cancelled(connected).await {
            Err(error) => return Err(OpenError::of_transfer(error, address.to_string())),
            Ok(Ok(Ok(tcp))) => return Ok((tcp, address.to_string())),
            Ok(Ok(Err(error))) => Error::network(&format!("cannot connect to {address}"), error),
            Ok(Err(_)) => {
                let time = format_duration(params.open_timeout);
                let message = format!("cannot connect to {address}: no answer in {time}");
                Error::new(ErrorKind::Timeout, Origin::Network, message)
            }
        };
        last = OpenError::of_mode(error, address.to_string());
    }
    Err(last)
}

/// Connects to the server's host through the proxy at `peer`. The proxy resolves the host by its name: the address that
/// PASV names is not used.
async fn connect_through(
    proxy: &Proxy,
    peer: SocketAddr,
    port: u16,
    params: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    if params.address == PasvHint::Deaf {
        return Err(no_other_way());
    }
    let address = authority(params.host, port);
    let connected = async {
        let cannot = format!("cannot connect to the proxy at {peer}");
        let tcp = connect(peer, params.source_address).await;
        let mut tcp = tcp.map_err(|error| Error::network(&cannot, error))?;
        proxy.lead(&mut tcp, params.host, port, params.open_timeout).await?;
        Ok(tcp)
    };
    match params.stop.run_until_cancelled(timeout(params.open_timeout, connected)).await {
        Err(error) => Err(OpenError::of_transfer(error, address)),
        Ok(Ok(Ok(tcp))) => Ok((tcp, address)),
        Ok(Ok(Err(error))) => Err(OpenError::of_mode(error, address)),
        Ok(Err(_)) => {
            let time = format_duration(params.open_timeout);
            let message = format!("the proxy {proxy} did not connect to {address} in {time}");
            let error = Error::new(ErrorKind::Timeout, Origin::Network, message);
            Err(OpenError::of_mode(error, address))
        }
    }
}

fn no_other_way() -> OpenError {
    let message = "PASV returned the same address that has just failed";
    let error = Error::new(ErrorKind::DataConnection, Origin::Network, message);
    OpenError::of_mode(error, String::new())
}

/// Starts `command` at its offset and returns the reply. REST is sent with it in one packet to a server that lists it
/// among its features; if the server refuses REST, its data is not read, since it begins elsewhere.
async fn begin_at(
    control: &mut ControlConnection,
    command: &FtpCommand,
    params: &OpenParams<'_>,
) -> Result<Reply> {
    if !params.restarts || params.offset == 0 {
        restart(control, params.offset).await?;
        return control.ask(command).await;
    }
    let replies = control.ask_all(&[rest(params.offset), command.clone()]).await?;
    let [there, begun] = <[Reply; 2]>::try_from(replies)
        .map_err(|_| Error::protocol("two commands, not two replies"))?;
    if there.is_halfway() {
        return Ok(begun);
    }
    let error = there.fault();
    if begun.is_preliminary() {
        control.poison(&error);
    }
    Err(error)
}
