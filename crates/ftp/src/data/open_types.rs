//! The parameters and the results of opening a data connection.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{address, connection::DataConnection, listen::ListenConfig, method::is_matter_of_mode};
use crate::{proxy::Proxy, reply::Reply, tls::TlsContext};
use portolan_core::{cancel::CancelToken, error::Error};

/// The parameters of a data connection, taken from its session.
#[derive(Debug)]
pub struct OpenParams<'a> {
    /// The TLS context, if data connections are protected.
    pub security: Option<&'a TlsContext>,
    /// The listen configuration for active mode.
    pub listen_config: ListenConfig<'a>,
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
    pub address: address::PasvHint,
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
    pub stop: CancelToken,
}

/// A failed attempt to open a data connection.
#[derive(Debug)]
pub struct OpenError {
    /// The error.
    pub error: Error,
    /// True if another method may succeed.
    pub is_matter_of_mode: bool,
    /// The address that the method connected to or listened on.
    pub address: String,
    /// The address that the server named in reply to PASV.
    pub named: Option<Ipv4Addr>,
    /// True if the server has begun the transfer, and may be busy with it for another minute.
    pub has_begun: bool,
    /// True if it answered the transfer command before the EPRT or PORT in the same packet.
    pub is_swapped: bool,
}

impl OpenError {
    pub(super) const fn of_mode(error: Error, address: String) -> Self {
        let (named, has_begun, is_swapped) = (None, false, false);
        Self { error, is_matter_of_mode: true, address, named, has_begun, is_swapped }
    }

    pub(super) fn of_transfer(error: Error, address: String) -> Self {
        Self { is_matter_of_mode: false, ..Self::of_mode(error, address) }
    }

    /// Returns the error of a transfer command that was refused with `reply`.
    pub(super) fn refused(reply: &Reply, address: String) -> Self {
        let is_matter_of_mode = is_matter_of_mode(reply.code);
        Self { is_matter_of_mode, ..Self::of_mode(reply.fault(), address) }
    }
}

/// A data connection over which `command` has begun, and its address.
#[derive(Debug)]
pub struct OpenedData {
    /// The connection.
    pub data: DataConnection,
    /// The remote address in passive mode, the advertised address in active mode.
    pub address: String,
    /// True if the connection goes to the address that PASV named, and not to the server's own.
    pub is_elsewhere: bool,
    /// True if the server has confirmed the start of the transfer.
    pub has_begun: bool,
}
