//! The opening of a data connection by one method, ready for one transfer command.

use tokio::{net::TcpStream, time::timeout};

pub use super::open_types::{OpenError, OpenParams, OpenedData};
use super::{
    active::active,
    connection::{DataConnection, buffered},
    method::DataMethod,
    passive::passive,
    restart::forget_position,
};
use crate::{
    control::{ControlConnection, FtpCommand},
    tls::handshake_fault,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// Opens a data connection by `step` and starts `command` over it.
pub async fn open(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    params: &OpenParams<'_>,
) -> Result<OpenedData, OpenError> {
    let mut opened = open_once(control, step, command, params).await;
    control.record_data(|recorder| match &mut opened {
        Ok(OpenedData { data, address, .. }) => {
            let resumed = data.is_tls().then(|| !data.is_fresh_tls());
            data.record(recorder.opened(step.as_str(), command.verb(), address, resumed));
        }
        Err(failure) => recorder.data_failed(step.as_str(), command.verb(), &failure.error),
    });
    if opened.is_err() && params.offset > 0 {
        forget_position(control).await;
    }
    opened
}

async fn open_once(
    control: &mut ControlConnection,
    step: DataMethod,
    command: &FtpCommand,
    params: &OpenParams<'_>,
) -> Result<OpenedData, OpenError> {
    let (tcp, address, has_begun) = if step.is_active() {
        let (tcp, address) = active(control, step, command, params).await?;
        (tcp, address, true)
    } else {
        passive(control, step, command, params).await?
    };
    let server = control.peer.ip();
    let may_differ = !step.is_active() && params.proxy.is_none();
    let is_elsewhere = may_differ && tcp.peer_addr().is_ok_and(|it| it.ip() != server);
    let data = protect(control, tcp, params)
        .await
        .map_err(|error| OpenError::of_mode(error, address.clone()))?;
    Ok(OpenedData { data, address, is_elsewhere, has_begun })
}

/// Wraps the connection in TLS if data is protected, as a client in either mode (RFC 4217, 7).
async fn protect(
    control: &mut ControlConnection,
    tcp: TcpStream,
    params: &OpenParams<'_>,
) -> Result<DataConnection> {
    let Some(security) = params.security else {
        return Ok(DataConnection::plain(tcp, params.idle, params.stop.clone()));
    };
    let (connector, name) = security.handshake();
    let shaken = params
        .stop
        .run_until_cancelled(timeout(params.open_timeout, connector.connect(name, buffered(tcp))))
        .await?;
    let error = match shaken {
        Ok(Ok(tls)) => return Ok(DataConnection::secure(tls, params.idle, params.stop.clone())),
        Ok(Err(error)) => handshake_fault(error),
        Err(_) => {
            Error::new(ErrorKind::Tls, Origin::Network, "no answer to TLS on the data connection")
        }
    };
    // Most servers report the reason on the control connection.
    match control.next_reply(params.answer_timeout, "TLS").await {
        Ok(reply) => {
            let message = format!("{}; the server said \"{}\"", error.message, reply.words());
            Err(Error { code: reply.code.value(), message, ..error })
        }
        Err(_) => Err(error),
    }
}
