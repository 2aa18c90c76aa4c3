//! The opening of a data connection by one method, ready for one transfer command.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

pub use super::open_types::{OpenError, OpenParams, OpenedData};
use super::{
    DataConnection,
    address::{self, targets},
    listen::{DataListener, cannot_listen, listen},
    method::{DataMethod, is_matter_of_mode},
    restart::{forget_position, rest, restart},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        control::{ControlConnection, Either, FtpCommand, LookaheadReply, connect},
        proxy::{Proxy, authority},
        reply::Reply,
        tls::handshake_fault,
    },
    limits::STRANGERS_MAX,
    observe::format_duration,
};

/// Opens a data connection by `step` and starts `command` over it.
pub async fn open(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    needs: &OpenParams<'_>,
) -> Result<OpenedData, OpenError> {
    let opened = open_once(control, step, command, needs).await;
    if opened.is_err() && needs.offset > 0 {
        forget_position(control).await;
    }
    opened
}

async fn open_once(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    needs: &OpenParams<'_>,
) -> Result<OpenedData, OpenError> {
    let (tcp, address, has_begun) = if step.is_active() {
        let (tcp, address) = active(control, step, command, needs).await?;
        (tcp, address, true)
    } else {
        passive(control, step, command, needs).await?
    };
    let server = control.peer.ip();
    let may_differ = !step.is_active() && needs.proxy.is_none();
    let is_elsewhere = may_differ && tcp.peer_addr().is_ok_and(|it| it.ip() != server);
    let data = protect(control, tcp, needs)
        .await
        .map_err(|fault| OpenError::of_mode(fault, address.clone()))?;
    Ok(OpenedData { data, address, is_elsewhere, has_begun })
}

/// Opens a connection by EPSV or PASV. It connects first, then sends the command: a blocked port then costs nothing but
/// its time, and the control connection stays in step (measured on four servers).
async fn passive(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    needs: &OpenParams<'_>,
) -> Result<(TcpStream, String, bool), OpenError> {
    let verb = if step == DataMethod::Epsv { "EPSV" } else { "PASV" };
    let of_mode = |fault| OpenError::of_mode(fault, String::new());
    let ahead = control.take_ahead(verb, needs.answer_timeout).await;
    let asked = if let Some(prepared) = ahead {
        prepared
    } else {
        let reply = control.ask_within(needs.answer_timeout, &FtpCommand::bare(verb)).await;
        reply.map(|reply| LookaheadReply { reply, tcp: None })
    };
    let LookaheadReply { reply, tcp: prepared } = asked.map_err(of_mode)?;
    let server = control.peer.ip();
    let named = match (step, reply.code) {
        (DataMethod::Epsv, 229) => reply.extended_passive_port().map(|port| (port, None)),
        (_, 227) => reply.passive_address().map(|(ip, port)| (port, Some(ip))),
        _ => return Err(of_mode(reply.fault())),
    };
    let Some((port, named)) = named else {
        let message = format!("cannot read the server's \"{}\"", reply.words());
        return Err(of_mode(Error { code: reply.code, ..Error::protocol(message) }));
    };
    let connected = if let Some(tcp) = prepared {
        Ok((tcp, SocketAddr::new(server, port).to_string()))
    } else if let Some(proxy) = needs.proxy {
        connect_through(proxy, control.peer, port, needs).await
    } else {
        let targets = named.map_or_else(|| vec![server], |ip| targets(server, ip, needs.address));
        connect_to_first(&targets, port, needs).await
    };
    let (tcp, address) = connected.map_err(|failure| OpenError { named, ..failure })?;
    if needs.is_early && needs.offset == 0 && needs.security.is_none() {
        let sent = control.ask_or(command, std::future::ready(())).await;
        return match sent.map_err(|fault| OpenError::of_transfer(fault, address.clone()))? {
            Either::Other(()) => Ok((tcp, address, false)),
            Either::Reply(reply) if reply.is_preliminary() => Ok((tcp, address, true)),
            Either::Reply(reply) => Err(refused(&reply, address)),
        };
    }
    let reply = begin_at(control, command, needs).await;
    let reply = reply.map_err(|fault| OpenError::of_transfer(fault, address.clone()))?;
    if reply.is_preliminary() { Ok((tcp, address, true)) } else { Err(refused(&reply, address)) }
}

/// Connects to the first of `targets` that accepts, and returns the connection and its address.
async fn connect_to_first(
    targets: &[IpAddr],
    port: u16,
    needs: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    let mut last = no_other_way();
    for ip in targets {
        let address = SocketAddr::new(*ip, port);
        let connected = timeout(needs.open_timeout, connect(address, needs.source_address));
        let fault = match needs.stop.run_until_cancelled(connected).await {
            Err(fault) => return Err(OpenError::of_transfer(fault, address.to_string())),
            Ok(Ok(Ok(tcp))) => return Ok((tcp, address.to_string())),
            Ok(Ok(Err(error))) => Error::network(&format!("cannot connect to {address}"), error),
            Ok(Err(_)) => {
                let time = format_duration(needs.open_timeout);
                let message = format!("cannot connect to {address}: no answer in {time}");
                Error::new(ErrorKind::Timeout, Origin::Network, message)
            }
        };
        last = OpenError::of_mode(fault, address.to_string());
    }
    Err(last)
}

/// Connects to the server's host through the proxy at `peer`. The proxy resolves the host by its name: the address that
/// PASV names is not used.
async fn connect_through(
    proxy: &Proxy,
    peer: SocketAddr,
    port: u16,
    needs: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    if needs.address == address::PasvHint::Deaf {
        return Err(no_other_way());
    }
    let address = authority(needs.host, port);
    let connected = async {
        let cannot = format!("cannot connect to the proxy at {peer}");
        let tcp = connect(peer, needs.source_address).await;
        let mut tcp = tcp.map_err(|error| Error::network(&cannot, error))?;
        proxy.lead(&mut tcp, (needs.host, port), needs.open_timeout).await?;
        Ok(tcp)
    };
    match needs.stop.run_until_cancelled(timeout(needs.open_timeout, connected)).await {
        Err(fault) => Err(OpenError::of_transfer(fault, address)),
        Ok(Ok(Ok(tcp))) => Ok((tcp, address)),
        Ok(Ok(Err(fault))) => Err(OpenError::of_mode(fault, address)),
        Ok(Err(_)) => {
            let time = format_duration(needs.open_timeout);
            let message = format!("the proxy {proxy} did not connect to {address} in {time}");
            let fault = Error::new(ErrorKind::Timeout, Origin::Network, message);
            Err(OpenError::of_mode(fault, address))
        }
    }
}

fn no_other_way() -> OpenError {
    let message = "PASV returned the same address that has just failed";
    let fault = Error::new(ErrorKind::DataConnection, Origin::Network, message);
    OpenError::of_mode(fault, String::new())
}

/// Opens a connection by EPRT or PORT. The server's connection is awaited together with its replies, so that a 425 ends
/// the wait at once.
async fn active(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    needs: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    let ours = control.local.ip().to_canonical();
    let of_mode = |fault| OpenError::of_mode(fault, String::new());
    let called = if needs.offset == 0 { control.take_called(command) } else { None };
    let is_called = called.is_some();
    let post = called.map_or_else(|| listen(ours, needs.ground), Ok);
    let DataListener { listener, announced } = post.map_err(of_mode)?;
    let failed = |fault| OpenError::of_mode(fault, announced.to_string());
    let of_transfer = |fault| OpenError::of_transfer(fault, announced.to_string());
    let sent = if is_called || needs.has_worked && needs.offset == 0 {
        let announcement = announce(step, announced);
        announce_with(control, &announcement, command, (is_called, needs.answer_timeout)).await?
    } else {
        // A missing reply is put down to the command: its sibling may succeed, with a listener of its own.
        let asked = control.ask_within(needs.answer_timeout, &announce(step, announced)).await;
        asked.map_err(of_mode)?.done().map_err(failed)?;
        restart(control, needs.offset).await.map_err(of_transfer)?;
        SentState::Nothing
    };
    let tcp = join(control, command, sent, (&listener, announced), needs).await?;
    tcp.set_nodelay(true).map_err(|error| failed(cannot_listen(&error)))?;
    Ok((tcp, announced.to_string()))
}

/// The progress of a transfer in active mode when its connection is awaited.
enum SentState {
    /// The command is still to be sent.
    Nothing,
    /// The command has been sent.
    Command,
    /// The 150 has been received.
    Begun,
}

/// Sends EPRT or PORT and the transfer command in one packet, which saves a round trip, unless both `are_sent` already.
/// Used only if the method has worked before: a server that refuses the first command may try to connect to nowhere for
/// the second.
async fn announce_with(
    control: &mut ControlConnection,
    announcement: &FtpCommand,
    command: &FtpCommand,
    (are_sent, time): (bool, Duration),
) -> Result<SentState, OpenError> {
    let of_mode = |fault| OpenError::of_mode(fault, String::new());
    let begun = |fault| OpenError { has_begun: true, ..of_mode(fault) };
    let first = if are_sent {
        control.next_reply(time, &announcement.verb()).await
    } else {
        control.ask_with(time, announcement, command).await
    };
    let first = first.map_err(begun)?;
    if first.is_done() {
        return Ok(SentState::Command);
    }
    let second = control.next_reply(time, &command.verb()).await.map_err(begun)?;
    match (first.is_preliminary(), second.is_done()) {
        // pyftpdlib replies to PORT only after it has connected, and to the transfer command before that (measured).
        (true, true) => Ok(SentState::Begun),
        (false, false) if !second.is_preliminary() => Err(of_mode(first.fault())),
        _ => {
            let said = format!("\"{}\" and \"{}\"", first.words(), second.words());
            let fault = Error::protocol(format!("{} was answered by {said}", announcement.verb()));
            control.poison(&fault);
            Err(begun(fault))
        }
    }
}

/// Accepts the connection that `command` makes the server open.
async fn join(
    control: &mut ControlConnection,
    command: &FtpCommand,
    sent: SentState,
    (listener, announced): (&TcpListener, SocketAddr),
    needs: &OpenParams<'_>,
) -> Result<TcpStream, OpenError> {
    let address = announced.to_string();
    let peer = control.peer.ip().to_canonical();
    let until = Instant::now() + needs.open_timeout;
    let awaited = async {
        match timeout_at(until, accept(listener, peer)).await {
            Ok(accepted) => accepted.map_err(|error| cannot_listen(&error)),
            Err(_) => Err(accept_timeout(announced, needs.open_timeout)),
        }
    };
    tokio::pin!(awaited);
    let first = match sent {
        SentState::Nothing => Some(control.ask_or(command, &mut awaited).await),
        SentState::Command => {
            Some(control.reply_or(needs.idle, &command.verb(), &mut awaited).await)
        }
        SentState::Begun => None,
    };
    let first = first.transpose();
    let first = first.map_err(|fault| out_of_step(control, fault, address.clone()))?;
    if let Some(Either::Reply(reply)) = &first
        && !reply.is_preliminary()
    {
        return Err(refused(reply, address));
    }
    let Some(Either::Other(tcp)) = first else {
        // The 150 has come; the connection or a 425 has not.
        let time = needs.open_timeout + Duration::from_secs(1);
        let next = control.reply_or(time, &command.verb(), &mut awaited).await;
        return match next.map_err(|fault| out_of_step(control, fault, address.clone()))? {
            // 150 and 226 may come together, before the data of a small file.
            Either::Reply(reply) if reply.is_done() => {
                control.unread(reply);
                awaited.await.map_err(|fault| out_of_step(control, fault, address))
            }
            Either::Reply(reply) => Err(refused(&reply, address)),
            Either::Other(tcp) => tcp.map_err(|fault| out_of_step(control, fault, address)),
        };
    };
    let tcp = tcp.map_err(|fault| out_of_step(control, fault, address.clone()))?;
    let reply = control.next_reply(needs.idle, &command.verb()).await;
    let reply = reply.map_err(|fault| OpenError::of_transfer(fault, address.clone()))?;
    if reply.is_preliminary() { Ok(tcp) } else { Err(refused(&reply, address)) }
}

/// Marks the control connection as unusable: a transfer command was sent, and its replies may never come.
fn out_of_step(control: &mut ControlConnection, fault: Error, address: String) -> OpenError {
    control.poison(&fault);
    OpenError { has_begun: true, ..OpenError::of_mode(fault, address) }
}

fn refused(reply: &Reply, address: String) -> OpenError {
    let is_matter_of_mode = is_matter_of_mode(reply.code);
    OpenError { is_matter_of_mode, ..OpenError::of_mode(reply.fault(), address) }
}

fn accept_timeout(announced: SocketAddr, time: Duration) -> Error {
    let time = format_duration(time);
    let message = format!("the server did not connect to {announced} in {time}");
    Error::new(ErrorKind::DataConnection, Origin::Network, message)
}

/// Starts `command` at its offset and returns the reply. REST is sent with it in one packet to a server that lists it
/// among its features; if the server refuses REST, its data is not read, since it begins elsewhere.
async fn begin_at(
    control: &mut ControlConnection,
    command: &FtpCommand,
    needs: &OpenParams<'_>,
) -> Result<Reply> {
    if !needs.restarts || needs.offset == 0 {
        restart(control, needs.offset).await?;
        return control.ask(command).await;
    }
    let replies = control.ask_all(&[rest(needs.offset), command.clone()]).await?;
    let [there, begun] = <[Reply; 2]>::try_from(replies)
        .map_err(|_| Error::protocol("two commands, not two replies"))?;
    if there.is_halfway() {
        return Ok(begun);
    }
    let fault = there.fault();
    if begun.is_preliminary() {
        control.poison(&fault);
    }
    Err(fault)
}

/// Returns the EPRT or PORT command for `address`.
pub fn announce(step: DataMethod, address: SocketAddr) -> FtpCommand {
    let line = match (step, address) {
        (DataMethod::Port, SocketAddr::V4(v4)) => {
            let [a, b, c, d] = v4.ip().octets();
            let [high, low] = v4.port().to_be_bytes();
            format!("PORT {a},{b},{c},{d},{high},{low}")
        }
        (_, address) => {
            let family = if address.is_ipv4() { 1 } else { 2 };
            format!("EPRT |{family}|{}|{}|", address.ip(), address.port())
        }
    };
    FtpCommand::from_safe(line)
}

/// Accepts a connection from the server only: a stranger's connection is closed and the wait continues (security class
/// C18).
async fn accept(listener: &TcpListener, peer: IpAddr) -> io::Result<TcpStream> {
    for _ in 0..STRANGERS_MAX {
        let (tcp, from) = listener.accept().await?;
        if from.ip().to_canonical() == peer {
            return Ok(tcp);
        }
        tracing::warn!(target: "portolan::data", "turned away a connection from {from}");
    }
    Err(io::Error::other("too many connections from strangers"))
}

/// Wraps the connection in TLS if data is protected, as a client in either mode (RFC 4217, 7).
async fn protect(
    control: &mut ControlConnection,
    tcp: TcpStream,
    needs: &OpenParams<'_>,
) -> Result<DataConnection> {
    let Some(security) = needs.security else {
        return Ok(DataConnection::plain(tcp, needs.idle, needs.stop.clone()));
    };
    let (connector, name) = security.handshake();
    let shaken = needs
        .stop
        .run_until_cancelled(timeout(
            needs.open_timeout,
            connector.connect(name, super::buffered(tcp)),
        ))
        .await?;
    let fault = match shaken {
        Ok(Ok(tls)) => return Ok(DataConnection::secure(tls, needs.idle, needs.stop.clone())),
        Ok(Err(error)) => handshake_fault(error),
        Err(_) => {
            Error::new(ErrorKind::Tls, Origin::Network, "no answer to TLS on the data connection")
        }
    };
    // Most servers report the reason on the control connection.
    match control.next_reply(needs.answer_timeout, "TLS").await {
        Ok(reply) => {
            let message = format!("{}; the server said \"{}\"", fault.message, reply.words());
            Err(Error { code: reply.code, message, ..fault })
        }
        Err(_) => Err(fault),
    }
}
