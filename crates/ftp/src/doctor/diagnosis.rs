//! The diagnosis of one server: everything that the probes have found.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use super::certificate::ServerCertificate;
use crate::{
    data::method::DataMethod,
    site::{Site, TlsMode},
};
use portolan_core::error::{Error, ErrorKind, Result};

/// The results for one server.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// The server that was probed.
    pub site: Site,
    /// True if nothing was written to the server.
    pub read_only: bool,
    /// The start time.
    pub at: Timestamp,
    /// The duration.
    pub took: Duration,
    /// The reason why the name has no address, if it has none.
    pub lookup: Option<Error>,
    /// The addresses of the host.
    pub addresses: Vec<Address>,
    /// The server's greeting.
    pub greeting: Option<String>,
    /// The endpoints, the requested one first.
    pub endpoints: Vec<Endpoint>,
    /// The server's capabilities, if a login succeeded.
    pub server: Option<ServerInfo>,
    /// The probe files that could not be removed.
    pub left: Vec<String>,
    /// The chains of this host that filter what goes out, such as `inet filter output`; empty if they are not known.
    pub own_filters: Vec<String>,
    /// True if the time limit was reached before everything was tried.
    pub is_cut_short: bool,
}

/// One address of the host.
#[derive(Debug, Clone)]
pub struct Address {
    /// The address, with the control port.
    pub address: SocketAddr,
    /// The time to connect, or the reason of the failure.
    pub reached: Result<Duration>,
}

/// An endpoint of the server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its kind of TLS.
    pub tls: TlsMode,
    /// Its address.
    pub address: SocketAddr,
    /// The local address of the control connection.
    pub local: Option<SocketAddr>,
    /// The properties of the TLS connection.
    pub protection: Option<TlsInfo>,
    /// The result of the login.
    pub entry: LoginOutcome,
    /// The results of the data-connection methods.
    pub trials: Vec<ModeProbe>,
}

/// The result of a login at an endpoint.
#[derive(Debug, Clone)]
pub enum LoginOutcome {
    /// The login succeeded, after this time.
    Entered(Duration),
    /// The endpoint exists and was not tried, for this reason.
    Offered(&'static str),
    /// The endpoint or the login was refused.
    Shut(Error),
}

/// The properties of TLS on a control connection.
#[derive(Debug, Clone)]
pub struct TlsInfo {
    /// The version, such as `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The server's certificate.
    pub certificate: Option<ServerCertificate>,
    /// The reason why the certificate is not trusted, if it is not.
    pub distrust: Option<Error>,
}

/// The result of one data-connection method.
#[derive(Debug, Clone)]
pub struct ModeProbe {
    /// The method.
    pub step: DataMethod,
    /// The address of the data connection.
    pub address: String,
    /// The time for a listing, or the reason of the failure.
    pub listing: Result<Duration>,
    /// The same for an upload of 1 KiB, if it was tried.
    pub upload: Option<Result<Duration>>,
    /// The same for the download of that file.
    pub download: Option<Result<Duration>>,
}

impl ModeProbe {
    /// Returns the first failure among the transfers that were tried.
    pub fn fault(&self) -> Option<&Error> {
        let moved = [&self.upload, &self.download].into_iter().flatten();
        std::iter::once(&self.listing).chain(moved).find_map(|tried| tried.as_ref().err())
    }

    /// Returns true if data came through at all.
    pub const fn carries(&self) -> bool {
        self.listing.is_ok()
    }

    /// Returns true if it waited in vain for a connection of the same mode as that of `step`.
    pub(super) fn waited_like(&self, step: DataMethod) -> bool {
        let waited = |error: &Error| {
            error.code == 0 && matches!(error.kind, ErrorKind::Timeout | ErrorKind::DataConnection)
        };
        self.step.mode() == step.mode() && self.listing.as_ref().is_err_and(waited)
    }

    /// Returns the time for one file of 1 KiB, or for a listing if no file was moved.
    pub fn time(&self) -> Option<Duration> {
        let moved = [self.upload.as_ref(), self.download.as_ref()];
        let moved: Vec<&Duration> = moved.into_iter().flatten().flatten().collect();
        let count = u32::try_from(moved.len()).ok()?;
        let file = moved.into_iter().sum::<Duration>().checked_div(count);
        file.or_else(|| self.listing.clone().ok())
    }
}

/// The capabilities of a server.
#[derive(Debug, Clone, Default)]
pub struct ServerInfo {
    /// The reply to SYST.
    pub system: Option<String>,
    /// The features that the server lists.
    pub features: BTreeMap<String, String>,
    /// The directory that was examined.
    pub folder: String,
    /// The median round trip of a few NOOPs.
    pub round_trip: Option<Duration>,
    /// The client's address as the server reports it.
    pub sees_us_at: Option<IpAddr>,
    /// The address in the reply to PASV.
    pub passive_address: Option<Ipv4Addr>,
    /// True if the server supports REST.
    pub restarts: Option<bool>,
    /// The seconds by which its clock is ahead of the local one.
    pub clock_ahead_s: Option<i64>,
    /// True if the time of a file can be set.
    pub sets_times: Option<bool>,
    /// The result of a rename to the name of an existing file.
    pub renames_over: Option<Result<()>>,
    /// The listing of names that begin with a dot.
    pub hidden: Option<HiddenFiles>,
    /// The resumption of TLS sessions by data connections.
    pub reuse: Option<Reuse>,
    /// True if the fallback from TLS 1.3 to TLS 1.2 was necessary.
    pub tls12_only: bool,
    /// The number of simultaneous sessions.
    pub sessions: Option<Sessions>,
}

/// The listing of names that begin with a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenFiles {
    /// True if `LIST` shows them.
    pub by_list: bool,
    /// True if `LIST -a` shows them.
    pub by_list_all: bool,
}

/// The resumption of the control connection's TLS session by data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// True if data connections resume it.
    pub resumed: bool,
    /// True if the server requires that, if known.
    pub required: Option<bool>,
}

/// The number of simultaneous sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// The number of sessions that were open at the same time.
    pub open: u16,
    /// The reason why one more was refused; `None` if no more were tried.
    pub refusal: Option<Error>,
}
