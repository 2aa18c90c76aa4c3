//! A survey of one server from the local host: every endpoint and every data-connection method is tried, and the
//! results are recorded.

mod advice;
mod certificate;
mod endpoints;
mod findings;
mod firewall_rules;
mod modes;
mod server;
mod total_failure;
mod value;
mod verdict;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use jiff::Timestamp;

pub use self::{
    certificate::ServerCertificate,
    findings::{DoctorFinding, FindingSeverity, findings},
    firewall_rules::{AllowedConnection, rules},
    value::value,
    verdict::{Advice, ms_text, verdict},
};
use super::{
    data::method::DataMethod,
    session::RunContext,
    site::{Site, TlsMode},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{SURVEY_CONNECT_TIMEOUT, SURVEY_REPLY_TIMEOUT, SURVEY_SESSIONS_MAX, SURVEY_TIME_MAX},
    observe::{EventEmitter, MessageLevel},
    option_table::{OptionKind, OptionRow, OptionTable},
};

/// The options of a survey.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// True if no command may change anything on the server.
    pub read_only: bool,
    /// The number of sessions to hold at a time, at most [`SURVEY_SESSIONS_MAX`]; a smaller number tries fewer.
    pub sessions: u16,
    /// The time limit for the whole survey; probes that are not reached by then are left out.
    pub time: Duration,
}

impl Default for DoctorOptions {
    fn default() -> Self {
        Self { read_only: false, sessions: SURVEY_SESSIONS_MAX, time: SURVEY_TIME_MAX }
    }
}

/// Every option of a survey, besides those of the connection.
pub const OPTIONS: OptionTable<DoctorOptions> =
    OptionTable { rows: ROWS, usual: DoctorOptions::default };

const ROWS: &[OptionRow<DoctorOptions>] = &[
    OptionRow::<DoctorOptions>::new(
        "read_only",
        OptionKind::Flag(|it, on| it.read_only = on),
        "change nothing on the server, and try only listings",
    )
    .usual("false")
    .flag("read-only", "Change nothing on the server; test listings only"),
    OptionRow::<DoctorOptions>::new(
        "sessions",
        OptionKind::Count(1..=SURVEY_SESSIONS_MAX, |it, sessions| it.sessions = sessions),
        "the number of parallel sessions to open, to see if they are allowed",
    )
    .usual("4")
    .flag("sessions", "Number of concurrent sessions to test (1 to 4)"),
];

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
    pub doors: Vec<Endpoint>,
    /// The server's capabilities, if a login succeeded.
    pub server: Option<ServerInfo>,
    /// The probe files that could not be removed.
    pub left: Vec<String>,
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
    fn waited_like(&self, step: DataMethod) -> bool {
        let waited = |fault: &Error| {
            fault.code == 0 && matches!(fault.kind, ErrorKind::Timeout | ErrorKind::DataConnection)
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

/// Runs every probe that `options` allow on the server of `site`. Fails only if it is interrupted, or if there is a
/// proxy, which is not supported: failures of the server are part of the survey.
pub async fn survey(
    site: &Site,
    options: &DoctorOptions,
    context: &RunContext,
) -> Result<Diagnosis> {
    if site.proxy.is_some() {
        let message = "this version of portolan cannot look through a `proxy` yet: doctor tries the direct way only";
        return Err(Error::unsupported(Origin::Here, message));
    }
    let started = Instant::now();
    let mut survey = Diagnosis {
        site: site.clone(),
        read_only: options.read_only,
        at: context.clock.now(),
        took: Duration::ZERO,
        lookup: None,
        addresses: Vec::new(),
        greeting: None,
        doors: Vec::new(),
        server: None,
        left: Vec::new(),
        is_cut_short: false,
    };
    let probe = Prober::new(site, options, context);
    // Boxed: all its sessions and buffers would otherwise be part of every caller's future.
    let probed = Box::pin(probe.everything(&mut survey)).await;
    context.stop.check()?;
    survey.is_cut_short = probed.is_err();
    survey.took = started.elapsed();
    Ok(survey)
}

/// The context that every probe needs.
struct Prober<'a> {
    /// The server, with the short timeouts of a survey.
    site: Site,
    options: &'a DoctorOptions,
    /// The run that requested the survey; its observer receives the progress.
    outer: &'a RunContext,
    /// The context of the sessions under test: silent, and with the deadline of the survey.
    inner: RunContext,
}

impl<'a> Prober<'a> {
    fn new(site: &Site, options: &'a DoctorOptions, outer: &'a RunContext) -> Self {
        let mut site = site.clone();
        site.connect_timeout = site.connect_timeout.min(SURVEY_CONNECT_TIMEOUT);
        site.reply_timeout = site.reply_timeout.min(SURVEY_REPLY_TIMEOUT);
        site.data_timeout = site.data_timeout.min(SURVEY_REPLY_TIMEOUT);
        let inner = RunContext {
            stop: outer.stop.within(options.time),
            observer: EventEmitter::default(),
            clock: outer.clock.clone(),
            // The server under test is examined, not remembered.
            memory: None,
            doors: outer.doors.clone(),
            answered: outer.answered.clone(),
            paces: outer.paces.clone(),
            temps: Default::default(),
        };
        Self { site, options, outer, inner }
    }

    /// Reports the progress to the observer.
    fn say(&self, text: impl Into<String>) {
        self.outer.observer.message(MessageLevel::Debug, text);
    }

    /// Runs all probes; fails if the time is over.
    async fn everything(&self, survey: &mut Diagnosis) -> Result<()> {
        self.look_up(survey).await?;
        let reached = survey.addresses.iter().filter(|address| address.reached.is_ok());
        let reached: Vec<SocketAddr> = reached.map(|address| address.address).collect();
        let Some(first) = reached.first().copied() else { return Ok(()) };
        for door in self.probe_port(first, survey).await? {
            Box::pin(self.visit(door, survey)).await?;
        }
        let other = reached.iter().find(|address| address.is_ipv6() != first.is_ipv6());
        if let (Some(address), Some(like)) = (other, best_door(survey).cloned()) {
            let address = SocketAddr::new(address.ip(), like.address.port());
            Box::pin(self.visit(Endpoint { address, ..like }, survey)).await?;
        }
        match best_door(survey).cloned() {
            Some(door) => self.probe_session_limit(&door, survey).await,
            None => Ok(()),
        }
    }

    /// Logs in at `door`, and runs the probes there.
    async fn visit(&self, mut door: Endpoint, survey: &mut Diagnosis) -> Result<()> {
        self.say(format!("logging in {}", endpoints::words(&door)));
        let started = Instant::now();
        door.trials = Vec::new();
        match self.enter(&door).await {
            Err(fault) => {
                door.entry = LoginOutcome::Shut(fault);
                survey.doors.push(door);
            }
            Ok(mut session) => {
                door.entry = LoginOutcome::Entered(started.elapsed());
                door.local = Some(session.control.local);
                self.try_modes(&mut session, &mut door, survey).await;
                self.study(&mut session, &door, survey).await;
                survey.doors.push(door);
                session.close().await;
            }
        }
        self.inner.stop.check()
    }
}

/// Returns the endpoint under TLS at which the login succeeded, else the first one.
fn best_door(survey: &Diagnosis) -> Option<&Endpoint> {
    let mut entered =
        survey.doors.iter().filter(|door| matches!(door.entry, LoginOutcome::Entered(_)));
    entered.clone().find(|door| door.tls != TlsMode::Off).or_else(|| entered.next())
}
