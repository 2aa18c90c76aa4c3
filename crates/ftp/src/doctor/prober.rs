//! The probes of one server, in their order.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    diagnosis::{Diagnosis, Endpoint, LoginOutcome},
    endpoints,
};
use crate::{
    session::RunContext,
    site::{Site, TlsMode},
    temp_records::TempRecords,
};
use portolan_core::{
    error::{Error, Origin, Result},
    limits::{SURVEY_CONNECT_TIMEOUT, SURVEY_REPLY_TIMEOUT, SURVEY_SESSIONS_MAX, SURVEY_TIME_MAX},
    observe::{EventEmitter, MessageLevel},
    option_table::{OptionKind, OptionRow, OptionTable},
};

/// The options of a diagnosis.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// True if no command may change anything on the server.
    pub read_only: bool,
    /// The number of sessions to hold at a time, at most [`SURVEY_SESSIONS_MAX`]; a smaller number tries fewer.
    pub sessions: u16,
    /// The time limit for the whole diagnosis; probes that are not reached by then are left out.
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

/// Runs every probe that `options` allow on the server of `site`. Fails only if it is interrupted, or if there is a
/// proxy, which is not supported: failures of the server are part of the diagnosis.
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
    let mut diagnosis = Diagnosis {
        site: site.clone(),
        read_only: options.read_only,
        at: context.clock.now(),
        took: Duration::ZERO,
        lookup: None,
        addresses: Vec::new(),
        greeting: None,
        endpoints: Vec::new(),
        server: None,
        left: Vec::new(),
        own_filters: Vec::new(),
        is_cut_short: false,
    };
    let probe = Prober::new(site, options, context);
    // Boxed: all its sessions and buffers would otherwise be part of every caller's future.
    let probed = Box::pin(probe.everything(&mut diagnosis)).await;
    context.stop.check()?;
    diagnosis.is_cut_short = probed.is_err();
    diagnosis.took = started.elapsed();
    Ok(diagnosis)
}

/// The context that every probe needs.
pub(super) struct Prober<'a> {
    /// The server, with the short timeouts of a diagnosis.
    pub(super) site: Site,
    pub(super) options: &'a DoctorOptions,
    /// The run that requested the diagnosis; its observer receives the progress.
    pub(super) outer: &'a RunContext,
    /// The context of the sessions under test: silent, and with the deadline of the diagnosis.
    pub(super) inner: RunContext,
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
            port_provider: outer.port_provider.clone(),
            answered: outer.answered.clone(),
            paces: outer.paces.clone(),
            sessions_max: outer.sessions_max,
            temps: TempRecords::default(),
            recorder: outer.recorder.clone(),
            is_watched: outer.is_watched,
            replayed: outer.replayed.clone(),
            permissions: Arc::clone(&outer.permissions),
        };
        Self { site, options, outer, inner }
    }

    /// Reports the progress to the observer.
    pub(super) fn say(&self, text: impl Into<String>) {
        self.outer.observer.message(MessageLevel::Debug, text);
    }

    /// Runs all probes; fails if the time is over.
    async fn everything(&self, diagnosis: &mut Diagnosis) -> Result<()> {
        self.look_up(diagnosis).await?;
        let reached = diagnosis.addresses.iter().filter(|address| address.reached.is_ok());
        let reached: Vec<SocketAddr> = reached.map(|address| address.address).collect();
        let Some(first) = reached.first().copied() else { return Ok(()) };
        for endpoint in self.probe_port(first, diagnosis).await? {
            Box::pin(self.visit(endpoint, diagnosis)).await?;
        }
        let other = reached.iter().find(|address| address.is_ipv6() != first.is_ipv6());
        if let (Some(address), Some(like)) = (other, best_endpoint(diagnosis).cloned()) {
            let address = SocketAddr::new(address.ip(), like.address.port());
            Box::pin(self.visit(Endpoint { address, ..like }, diagnosis)).await?;
        }
        match best_endpoint(diagnosis).cloned() {
            Some(endpoint) => self.probe_session_limit(&endpoint, diagnosis).await,
            None => Ok(()),
        }
    }

    /// Logs in at `endpoint`, and runs the probes there.
    async fn visit(&self, mut endpoint: Endpoint, diagnosis: &mut Diagnosis) -> Result<()> {
        self.say(format!("logging in {}", endpoints::words(&endpoint)));
        let started = Instant::now();
        endpoint.trials = Vec::new();
        match self.enter(&endpoint).await {
            Err(error) => {
                endpoint.entry = LoginOutcome::Shut(error);
                diagnosis.endpoints.push(endpoint);
            }
            Ok(mut session) => {
                endpoint.entry = LoginOutcome::Entered(started.elapsed());
                endpoint.local = Some(session.control.local);
                Box::pin(self.try_modes(&mut session, &mut endpoint, diagnosis)).await;
                self.study(&mut session, &endpoint, diagnosis).await;
                diagnosis.endpoints.push(endpoint);
                session.close().await;
            }
        }
        self.inner.stop.check()
    }
}

/// Returns the endpoint under TLS at which the login succeeded, else the first one.
fn best_endpoint(diagnosis: &Diagnosis) -> Option<&Endpoint> {
    let mut entered = diagnosis
        .endpoints
        .iter()
        .filter(|endpoint| matches!(endpoint.entry, LoginOutcome::Entered(_)));
    entered.clone().find(|endpoint| endpoint.tls != TlsMode::Off).or_else(|| entered.next())
}
