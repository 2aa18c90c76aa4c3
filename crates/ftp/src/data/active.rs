//! Active mode: the client names a port by EPRT or PORT, and the server connects to it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};

use super::{
    listen::{DataListener, cannot_listen, listen},
    method::DataMethod,
    open_types::{OpenError, OpenParams},
    restart::restart,
};
use crate::control::{ControlConnection, Either, FtpCommand};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::STRANGERS_MAX,
    observe::format_duration,
};

/// Opens a connection by EPRT or PORT. The server's connection is awaited together with its replies, so that a 425 ends
/// the wait at once.
pub(super) async fn active(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    params: &OpenParams<'_>,
) -> Result<(TcpStream, String), OpenError> {
    let ours = control.local.ip().to_canonical();
    let of_mode = |error| OpenError::of_mode(error, String::new());
    let called = if params.offset == 0 { control.take_called(command) } else { None };
    let is_called = called.is_some();
    let data_listener = called.map_or_else(|| listen(ours, params.listen_config), Ok);
    let data_listener = data_listener.map_err(of_mode)?;
    let announced = data_listener.announced;
    let failed = |error| OpenError::of_mode(error, announced.to_string());
    let of_transfer = |error| OpenError::of_transfer(error, announced.to_string());
    let sent = if is_called || params.has_worked && params.offset == 0 {
        let announcement = announce(step, announced);
        announce_with(control, &announcement, command, is_called, params.answer_timeout).await?
    } else {
        // A missing reply is put down to the command: its sibling may succeed, with a listener of its own.
        let asked = control.ask_within(params.answer_timeout, &announce(step, announced)).await;
        asked.map_err(of_mode)?.done().map_err(failed)?;
        restart(control, params.offset).await.map_err(of_transfer)?;
        SentState::Nothing
    };
    let tcp = join(control, command, sent, &data_listener, params).await?;
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
    are_sent: bool,
    time: Duration,
) -> Result<SentState, OpenError> {
    let of_mode = |error| OpenError::of_mode(error, String::new());
    let begun = |error| OpenError { has_begun: true, ..of_mode(error) };
    let first = if are_sent {
        control.next_reply(time, &announcement.word()).await
    } else {
        control.ask_with(time, announcement, command).await
    };
    let first = first.map_err(begun)?;
    if first.is_done() {
        return Ok(SentState::Command);
    }
    let second = control.next_reply(time, &command.word()).await.map_err(begun)?;
    match (first.is_preliminary(), second.is_done()) {
        // pyftpdlib replies to PORT only after it has connected, and to the transfer command before that. It takes an
        // upload then, but sends nothing of a download or listing (2.2.0, measured).
        (true, true) if command.verb().is_upload() => Ok(SentState::Begun),
        (true, true) => {
            let verb = announcement.verb();
            let error = Error::protocol(format!("{} was answered before {verb}", command.verb()));
            control.poison(&error);
            Err(OpenError { is_swapped: true, ..begun(error) })
        }
        (false, false) if !second.is_preliminary() => Err(of_mode(first.fault())),
        _ => {
            let said = format!("\"{}\" and \"{}\"", first.words(), second.words());
            let error = Error::protocol(format!("{} was answered by {said}", announcement.verb()));
            control.poison(&error);
            Err(begun(error))
        }
    }
}

/// Accepts the connection that `command` makes the server open.
async fn join(
    control: &mut ControlConnection,
    command: &FtpCommand,
    sent: SentState,
    data_listener: &DataListener,
    params: &OpenParams<'_>,
) -> Result<TcpStream, OpenError> {
    let (listener, announced) = (&data_listener.listener, data_listener.announced);
    let address = announced.to_string();
    let peer = control.peer.ip().to_canonical();
    let until = Instant::now() + params.open_timeout;
    let awaited = async {
        match timeout_at(until, accept(listener, peer)).await {
            Ok(accepted) => accepted.map_err(|error| cannot_listen(&error)),
            Err(_) => Err(accept_timeout(announced, params.open_timeout)),
        }
    };
    tokio::pin!(awaited);
    let first = match sent {
        SentState::Nothing => Some(control.ask_or(command, &mut awaited).await),
        SentState::Command => {
            Some(control.reply_or(params.idle, &command.word(), &mut awaited).await)
        }
        SentState::Begun => None,
    };
    let first = first.transpose();
    let first = first.map_err(|error| out_of_step(control, error, address.clone()))?;
    if let Some(Either::Reply(reply)) = &first
        && !reply.is_preliminary()
    {
        return Err(OpenError::refused(reply, address));
    }
    let Some(Either::Other(tcp)) = first else {
        // The 150 has come; the connection or a 425 has not.
        let time = params.open_timeout + Duration::from_secs(1);
        let next = control.reply_or(time, &command.word(), &mut awaited).await;
        return match next.map_err(|error| out_of_step(control, error, address.clone()))? {
            // 150 and 226 may come together, before the data of a small file.
            Either::Reply(reply) if reply.is_done() => {
                control.unread(reply);
                awaited.await.map_err(|error| out_of_step(control, error, address))
            }
            Either::Reply(reply) => Err(OpenError::refused(&reply, address)),
            Either::Other(tcp) => tcp.map_err(|error| out_of_step(control, error, address)),
        };
    };
    let tcp = tcp.map_err(|error| out_of_step(control, error, address.clone()))?;
    let reply = control.next_reply(params.idle, &command.word()).await;
    let reply = reply.map_err(|error| OpenError::of_transfer(error, address.clone()))?;
    if reply.is_preliminary() { Ok(tcp) } else { Err(OpenError::refused(&reply, address)) }
}

/// Marks the control connection as unusable: a transfer command was sent, and its replies may never come.
fn out_of_step(control: &mut ControlConnection, error: Error, address: String) -> OpenError {
    control.poison(&error);
    OpenError { has_begun: true, ..OpenError::of_mode(error, address) }
}

fn accept_timeout(announced: SocketAddr, time: Duration) -> Error {
    let time = format_duration(time);
    let message = format!("the server did not connect to {announced} in {time}");
    Error::new(ErrorKind::DataConnection, Origin::Network, message)
}

/// Returns the EPRT or PORT command for `address`.
pub fn announce(step: DataMethod, address: SocketAddr) -> FtpCommand {
    let address = match (step, address) {
        (DataMethod::Port, SocketAddr::V4(v4)) => {
            let [a, b, c, d] = v4.ip().octets();
            let [high, low] = v4.port().to_be_bytes();
            format!("{a},{b},{c},{d},{high},{low}")
        }
        (_, address) => {
            let family = if address.is_ipv4() { 1 } else { 2 };
            format!("|{family}|{}|{}|", address.ip(), address.port())
        }
    };
    FtpCommand::with(step.verb(), address)
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
