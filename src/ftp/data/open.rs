//! The opening of a data connection by one method, ready for one transfer command.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Data,
    address::{self, targets},
    listen::{Ground, Post, cannot_listen, listen},
    restart::{forget_position, rest, restart},
    route::{Step, is_matter_of_mode},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::{
        control::{Command, Control, Either, Prepared, connect},
        proxy::{Proxy, authority},
        reply::Reply,
        secure::{Security, handshake_words},
    },
    limits::STRANGERS_MAX,
    observe::duration_text,
    stop::Stop,
};

/// The parameters of a data connection, taken from its session.
#[derive(Debug)]
pub struct Needs<'a> {
    /// The TLS context, if data connections are protected.
    pub security: Option<&'a Security>,
    /// The listen configuration for active mode.
    pub ground: Ground<'a>,
    /// The local address to connect from in passive mode.
    pub source_address: Option<IpAddr>,
    /// The proxy for passive connections, which are made to `host` by its name.
    pub proxy: Option<&'a Proxy>,
    /// The server as the user named it.
    pub host: &'a str,
    /// The timeout for the reply to EPSV, PASV, EPRT or PORT.
    pub answer_timeout: Duration,
    /// The timeout for establishing the connection.
    pub open_timeout: Duration,
    /// The knowledge about the server's address.
    pub address: address::Known,
    /// The idle timeout.
    pub idle: Duration,
    /// The offset at which the transfer begins.
    pub offset: u64,
    /// True if the server lists REST among its features.
    pub restarts: bool,
    /// True if the method has carried data before, so that EPRT or PORT may be pipelined with the transfer command.
    pub has_worked: bool,
    /// True if data may be sent before the server has accepted the transfer: the 150 is then still outstanding.
    pub is_early: bool,
    /// The signal to stop.
    pub stop: Stop,
}

/// A failed attempt to open a data connection.
#[derive(Debug)]
pub struct Failure {
    /// The error.
    pub fault: Fault,
    /// True if another method may succeed.
    pub is_matter_of_mode: bool,
    /// The address that the method connected to or listened on.
    pub address: String,
    /// The address that the server named in reply to PASV.
    pub named: Option<Ipv4Addr>,
    /// True if the server has begun the transfer, and may be busy with it for another minute.
    pub has_begun: bool,
}

impl Failure {
    const fn of_mode(fault: Fault, address: String) -> Self {
        Self { fault, is_matter_of_mode: true, address, named: None, has_begun: false }
    }

    const fn of_transfer(fault: Fault, address: String) -> Self {
        Self { fault, is_matter_of_mode: false, address, named: None, has_begun: false }
    }
}

/// A data connection over which `command` has begun, and its address.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub data: Data,
    /// The remote address in passive mode, the advertised address in active mode.
    pub address: String,
    /// True if the connection goes to the address that PASV named, and not to the server's own.
    pub is_elsewhere: bool,
    /// True if the server has confirmed the start of the transfer.
    pub has_begun: bool,
}

/// Opens a data connection by `step` and starts `command` over it.
pub async fn open(
    control: &mut Control,
    step: Step,
    command: &Command,
    needs: &Needs<'_>,
) -> Result<Opened, Failure> {
    let opened = open_once(control, step, command, needs).await;
    if opened.is_err() && needs.offset > 0 {
        forget_position(control).await;
    }
    opened
}

async fn open_once(
    control: &mut Control,
    step: Step,
    command: &Command,
    needs: &Needs<'_>,
) -> Result<Opened, Failure> {
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
        .map_err(|fault| Failure::of_mode(fault, address.clone()))?;
    Ok(Opened { data, address, is_elsewhere, has_begun })
}

/// Opens a connection by EPSV or PASV. It connects first, then sends the command: a blocked port then costs nothing but
/// its time, and the control connection stays in step (measured on four servers).
async fn passive(
    control: &mut Control,
    step: Step,
    command: &Command,
    needs: &Needs<'_>,
) -> Result<(TcpStream, String, bool), Failure> {
    let verb = if step == Step::Epsv { "EPSV" } else { "PASV" };
    let of_mode = |fault| Failure::of_mode(fault, String::new());
    let ahead = control.take_ahead(verb, needs.answer_timeout).await;
    let asked = if let Some(prepared) = ahead {
        prepared
    } else {
        let reply = control.ask_within(needs.answer_timeout, &Command::bare(verb)).await;
        reply.map(|reply| Prepared { reply, tcp: None })
    };
    let Prepared { reply, tcp: prepared } = asked.map_err(of_mode)?;
    let server = control.peer.ip();
    let named = match (step, reply.code) {
        (Step::Epsv, 229) => reply.extended_passive_port().map(|port| (port, None)),
        (_, 227) => reply.passive_address().map(|(ip, port)| (port, Some(ip))),
        _ => return Err(of_mode(reply.fault())),
    };
    let Some((port, named)) = named else {
        let message = format!("cannot read the server's \"{}\"", reply.words());
        return Err(of_mode(Fault { code: reply.code, ..Fault::protocol(message) }));
    };
    let connected = if let Some(tcp) = prepared {
        Ok((tcp, SocketAddr::new(server, port).to_string()))
    } else if let Some(proxy) = needs.proxy {
        connect_through(proxy, control.peer, port, needs).await
    } else {
        let targets = named.map_or_else(|| vec![server], |ip| targets(server, ip, needs.address));
        connect_to_first(&targets, port, needs).await
    };
    let (tcp, address) = connected.map_err(|failure| Failure { named, ..failure })?;
    if needs.is_early && needs.offset == 0 && needs.security.is_none() {
        let sent = control.ask_or(command, std::future::ready(())).await;
        return match sent.map_err(|fault| Failure::of_transfer(fault, address.clone()))? {
            Either::Other(()) => Ok((tcp, address, false)),
            Either::Reply(reply) if reply.is_preliminary() => Ok((tcp, address, true)),
            Either::Reply(reply) => Err(refused(&reply, address)),
        };
    }
    let reply = begin_at(control, command, needs).await;
    let reply = reply.map_err(|fault| Failure::of_transfer(fault, address.clone()))?;
    if reply.is_preliminary() { Ok((tcp, address, true)) } else { Err(refused(&reply, address)) }
}

/// Connects to the first of `targets` that accepts, and returns the connection and its address.
async fn connect_to_first(
    targets: &[IpAddr],
    port: u16,
    needs: &Needs<'_>,
) -> Result<(TcpStream, String), Failure> {
    let mut last = no_other_way();
    for ip in targets {
        let address = SocketAddr::new(*ip, port);
        let connected = timeout(needs.open_timeout, connect(address, needs.source_address));
        let fault = match needs.stop.race(connected).await {
            Err(fault) => return Err(Failure::of_transfer(fault, address.to_string())),
            Ok(Ok(Ok(tcp))) => return Ok((tcp, address.to_string())),
            Ok(Ok(Err(error))) => Fault::network(&format!("cannot connect to {address}"), error),
            Ok(Err(_)) => {
                let time = duration_text(needs.open_timeout);
                let message = format!("cannot connect to {address}: no answer in {time}");
                Fault::new(Kind::Timeout, Side::Network, message)
            }
        };
        last = Failure::of_mode(fault, address.to_string());
    }
    Err(last)
}

/// Connects to the server's host through the proxy at `peer`. The proxy resolves the host by its name: the address that
/// PASV names is not used.
async fn connect_through(
    proxy: &Proxy,
    peer: SocketAddr,
    port: u16,
    needs: &Needs<'_>,
) -> Result<(TcpStream, String), Failure> {
    if needs.address == address::Known::Deaf {
        return Err(no_other_way());
    }
    let address = authority(needs.host, port);
    let connected = async {
        let cannot = format!("cannot connect to the proxy at {peer}");
        let tcp = connect(peer, needs.source_address).await;
        let mut tcp = tcp.map_err(|error| Fault::network(&cannot, error))?;
        proxy.lead(&mut tcp, (needs.host, port), needs.open_timeout).await?;
        Ok(tcp)
    };
    match needs.stop.race(timeout(needs.open_timeout, connected)).await {
        Err(fault) => Err(Failure::of_transfer(fault, address)),
        Ok(Ok(Ok(tcp))) => Ok((tcp, address)),
        Ok(Ok(Err(fault))) => Err(Failure::of_mode(fault, address)),
        Ok(Err(_)) => {
            let time = duration_text(needs.open_timeout);
            let message = format!("no way through the proxy {proxy} to {address} in {time}");
            let fault = Fault::new(Kind::Timeout, Side::Network, message);
            Err(Failure::of_mode(fault, address))
        }
    }
}

fn no_other_way() -> Failure {
    let message = "PASV names no other way than the one that was just tried";
    let fault = Fault::new(Kind::DataConnection, Side::Network, message);
    Failure::of_mode(fault, String::new())
}

/// Opens a connection by EPRT or PORT. The server's connection is awaited together with its replies, so that a 425 ends
/// the wait at once.
async fn active(
    control: &mut Control,
    step: Step,
    command: &Command,
    needs: &Needs<'_>,
) -> Result<(TcpStream, String), Failure> {
    let ours = control.local.ip().to_canonical();
    let of_mode = |fault| Failure::of_mode(fault, String::new());
    let called = if needs.offset == 0 { control.take_called(command) } else { None };
    let is_called = called.is_some();
    let post = called.map_or_else(|| listen(ours, needs.ground), Ok);
    let Post { listener, announced } = post.map_err(of_mode)?;
    let failed = |fault| Failure::of_mode(fault, announced.to_string());
    let of_transfer = |fault| Failure::of_transfer(fault, announced.to_string());
    let sent = if is_called || needs.has_worked && needs.offset == 0 {
        let announcement = announce(step, announced);
        announce_with(control, &announcement, command, (is_called, needs.answer_timeout)).await?
    } else {
        // A missing reply is put down to the command: its sibling may succeed, with a listener of its own.
        let asked = control.ask_within(needs.answer_timeout, &announce(step, announced)).await;
        asked.map_err(of_mode)?.done().map_err(failed)?;
        restart(control, needs.offset).await.map_err(of_transfer)?;
        Sent::Nothing
    };
    let tcp = join(control, command, sent, (&listener, announced), needs).await?;
    tcp.set_nodelay(true).map_err(|error| failed(cannot_listen(&error)))?;
    Ok((tcp, announced.to_string()))
}

/// The progress of a transfer in active mode when its connection is awaited.
enum Sent {
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
    control: &mut Control,
    announcement: &Command,
    command: &Command,
    (are_sent, time): (bool, Duration),
) -> Result<Sent, Failure> {
    let of_mode = |fault| Failure::of_mode(fault, String::new());
    let begun = |fault| Failure { has_begun: true, ..of_mode(fault) };
    let first = if are_sent {
        control.next_reply(time, &announcement.verb()).await
    } else {
        control.ask_with(time, announcement, command).await
    };
    let first = first.map_err(begun)?;
    if first.is_done() {
        return Ok(Sent::Command);
    }
    let second = control.next_reply(time, &command.verb()).await.map_err(begun)?;
    match (first.is_preliminary(), second.is_done()) {
        // pyftpdlib replies to PORT only after it has connected, and to the transfer command before that (measured).
        (true, true) => Ok(Sent::Begun),
        (false, false) if !second.is_preliminary() => Err(of_mode(first.fault())),
        _ => {
            let said = format!("\"{}\" and \"{}\"", first.words(), second.words());
            let fault = Fault::protocol(format!("{} was answered by {said}", announcement.verb()));
            control.give_up(&fault);
            Err(begun(fault))
        }
    }
}

/// Accepts the connection that `command` makes the server open.
async fn join(
    control: &mut Control,
    command: &Command,
    sent: Sent,
    (listener, announced): (&TcpListener, SocketAddr),
    needs: &Needs<'_>,
) -> Result<TcpStream, Failure> {
    let address = announced.to_string();
    let peer = control.peer.ip().to_canonical();
    let until = Instant::now() + needs.open_timeout;
    let awaited = async {
        match timeout_at(until, accept(listener, peer)).await {
            Ok(accepted) => accepted.map_err(|error| cannot_listen(&error)),
            Err(_) => Err(never_came(announced, needs.open_timeout)),
        }
    };
    tokio::pin!(awaited);
    let first = match sent {
        Sent::Nothing => Some(control.ask_or(command, &mut awaited).await),
        Sent::Command => Some(control.reply_or(needs.idle, &command.verb(), &mut awaited).await),
        Sent::Begun => None,
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
                control.put_back(reply);
                awaited.await.map_err(|fault| out_of_step(control, fault, address))
            }
            Either::Reply(reply) => Err(refused(&reply, address)),
            Either::Other(tcp) => tcp.map_err(|fault| out_of_step(control, fault, address)),
        };
    };
    let tcp = tcp.map_err(|fault| out_of_step(control, fault, address.clone()))?;
    let reply = control.next_reply(needs.idle, &command.verb()).await;
    let reply = reply.map_err(|fault| Failure::of_transfer(fault, address.clone()))?;
    if reply.is_preliminary() { Ok(tcp) } else { Err(refused(&reply, address)) }
}

/// Marks the control connection as unusable: a transfer command was sent, and its replies may never come.
fn out_of_step(control: &mut Control, fault: Fault, address: String) -> Failure {
    control.give_up(&fault);
    Failure { has_begun: true, ..Failure::of_mode(fault, address) }
}

fn refused(reply: &Reply, address: String) -> Failure {
    let is_matter_of_mode = is_matter_of_mode(reply.code);
    Failure { is_matter_of_mode, ..Failure::of_mode(reply.fault(), address) }
}

fn never_came(announced: SocketAddr, time: Duration) -> Fault {
    let time = duration_text(time);
    let message = format!("the server did not connect to {announced} in {time}");
    Fault::new(Kind::DataConnection, Side::Network, message)
}

/// Starts `command` at its offset and returns the reply. REST is sent with it in one packet to a server that lists it
/// among its features; if the server refuses REST, its data is not read, since it begins elsewhere.
async fn begin_at(control: &mut Control, command: &Command, needs: &Needs<'_>) -> Outcome<Reply> {
    if !needs.restarts || needs.offset == 0 {
        restart(control, needs.offset).await?;
        return control.ask(command).await;
    }
    let replies = control.ask_all(&[rest(needs.offset), command.clone()]).await?;
    let [there, begun] = <[Reply; 2]>::try_from(replies)
        .map_err(|_| Fault::protocol("two commands, not two replies"))?;
    if there.is_halfway() {
        return Ok(begun);
    }
    let fault = there.fault();
    if begun.is_preliminary() {
        control.give_up(&fault);
    }
    Err(fault)
}

/// Returns the EPRT or PORT command for `address`.
pub fn announce(step: Step, address: SocketAddr) -> Command {
    let line = match (step, address) {
        (Step::Port, SocketAddr::V4(v4)) => {
            let [a, b, c, d] = v4.ip().octets();
            let [high, low] = v4.port().to_be_bytes();
            format!("PORT {a},{b},{c},{d},{high},{low}")
        }
        (_, address) => {
            let family = if address.is_ipv4() { 1 } else { 2 };
            format!("EPRT |{family}|{}|{}|", address.ip(), address.port())
        }
    };
    Command::from_safe(line)
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
async fn protect(control: &mut Control, tcp: TcpStream, needs: &Needs<'_>) -> Outcome<Data> {
    let Some(security) = needs.security else {
        return Ok(Data::plain(tcp, needs.idle, needs.stop.clone()));
    };
    let (connector, name) = security.handshake();
    let shaken = needs
        .stop
        .race(timeout(needs.open_timeout, connector.connect(name, super::buffered(tcp))))
        .await?;
    let fault = match shaken {
        Ok(Ok(tls)) => return Ok(Data::secure(tls, needs.idle, needs.stop.clone())),
        Ok(Err(error)) => {
            let message = format!("TLS on the data connection failed: {}", handshake_words(&error));
            Fault::new(Kind::Tls, Side::Network, message).because(error)
        }
        Err(_) => Fault::new(Kind::Tls, Side::Network, "no answer to TLS on the data connection"),
    };
    // Most servers report the reason on the control connection.
    match control.next_reply(needs.answer_timeout, "TLS").await {
        Ok(reply) => {
            let message = format!("{}; the server said \"{}\"", fault.message, reply.words());
            Err(Fault { code: reply.code, message, ..fault })
        }
        Err(_) => Err(fault),
    }
}
