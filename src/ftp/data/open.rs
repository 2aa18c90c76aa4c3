//! One step of the ladder, done: a data connection made ready for one transfer command.

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

/// What a data connection needs to know of its session.
#[derive(Debug)]
pub struct Needs<'a> {
    /// TLS for the data, where it is protected.
    pub security: Option<&'a Security>,
    /// Where to listen in active mode.
    pub ground: Ground<'a>,
    /// What to connect from in passive mode.
    pub source_address: Option<IpAddr>,
    /// What passive connections go through, to the `host` by its name.
    pub proxy: Option<&'a Proxy>,
    /// The server as the user named it.
    pub host: &'a str,
    /// Time for the answer to EPSV, PASV, EPRT or PORT.
    pub answer_timeout: Duration,
    /// Time for the connection to stand.
    pub open_timeout: Duration,
    /// What is known of the server's address.
    pub address: address::Known,
    /// Time without a byte.
    pub idle: Duration,
    /// Where the transfer begins, if not at 0.
    pub offset: u64,
    /// Whether the server names REST among its features.
    pub restarts: bool,
    /// Whether the step has carried data before, so that EPRT or PORT may go out together with the transfer.
    pub has_worked: bool,
    /// Whether the data may go before the server has said that it takes it: the 150 is then still to come.
    pub is_early: bool,
    /// The signal to stop.
    pub stop: Stop,
}

/// Why a step came to nothing.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub fault: Fault,
    /// Whether another step may do better.
    pub is_matter_of_mode: bool,
    /// Where the step went or listened.
    pub address: String,
    /// What the server named in reply to PASV.
    pub named: Option<Ipv4Addr>,
    /// Whether the server has begun the transfer, and may be at it for another minute.
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

/// A data connection over which `command` has begun, and where it goes.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub data: Data,
    /// Where it goes to or comes from.
    pub address: String,
    /// Whether it goes where PASV named, and not to the server's own address.
    pub is_elsewhere: bool,
    /// Whether the server has said that the transfer begins.
    pub has_begun: bool,
}

/// Makes a data connection by `step` and starts `command` over it.
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

/// EPSV or PASV; connects first, then sends the command: a blocked port then costs nothing but its time, and the
/// control connection stays in step (measured on four servers).
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

/// A connection with the first of `targets` that takes it, and where it goes.
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

/// A connection with the server's host by way of the proxy at `peer`. The proxy knows the host by its name: what PASV
/// announces is of no matter.
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

/// EPRT or PORT; the server's connection is awaited together with its replies, so that a 425 ends the wait at once.
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
        // No answer is about the command: its twin may fare better, on a listener of its own.
        let asked = control.ask_within(needs.answer_timeout, &announce(step, announced)).await;
        asked.map_err(of_mode)?.done().map_err(failed)?;
        restart(control, needs.offset).await.map_err(of_transfer)?;
        Sent::Nothing
    };
    let tcp = join(control, command, sent, (&listener, announced), needs).await?;
    tcp.set_nodelay(true).map_err(|error| failed(cannot_listen(&error)))?;
    Ok((tcp, announced.to_string()))
}

/// How far a transfer in active mode has come when its connection is awaited.
enum Sent {
    /// The command is still to be sent.
    Nothing,
    /// It is on its way.
    Command,
    /// Its 150 is here.
    Begun,
}

/// Sends EPRT or PORT and the transfer command in one packet, which saves a round trip, unless both `are_sent` already.
/// Only where the step has worked before: a server that refuses the first may take the second for a connection to
/// nowhere.
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
        // pyftpdlib answers PORT when it has connected, and the transfer before that (measured).
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

/// The connection that `command` makes the server open.
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
        // The 150 is here; the connection or a 425 is not.
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

/// A transfer command was sent and its replies are still to come, for ever perhaps: this control connection is of
/// no more use.
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

/// The reply to `command` at its offset. REST goes with it in one packet to a server that names it among its features;
/// from one that refuses it all the same nothing is taken, since what it sends then begins elsewhere.
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

/// EPRT or PORT with `address`.
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

/// Only the server may connect: a stranger's connection is closed and the wait goes on (security class C18).
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

/// Wraps the connection in TLS where data is protected, as a client in either mode (RFC 4217, 7).
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
    // The server says why on the control connection, most of the time.
    match control.next_reply(needs.answer_timeout, "TLS").await {
        Ok(reply) => {
            let message = format!("{}; the server said \"{}\"", fault.message, reply.words());
            Err(Fault { code: reply.code, message, ..fault })
        }
        Err(_) => Err(fault),
    }
}
