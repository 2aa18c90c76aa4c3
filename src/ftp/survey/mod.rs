//! What one server offers to this machine: every way in and every way to data, tried, and what came of each.
//!
//! ```text
//! mod            the value, and the order of the probes
//! doors          addresses, protection, certificates, logins
//! modes          EPSV, PASV, EPRT, PORT: a listing, an upload, a download each
//! server         what else it can do: time, names, TLS sessions, sessions at a time
//! certificate    X.509, as far as a person wants to know
//! ```
//!
//! and pure, from a survey:
//!
//! ```text
//! verdict        one sentence; hopeless has those for when nothing works
//! advice         the line to put into the script
//! findings       what else is worth knowing
//! rules          what firewalls have to let through
//! value          all of it as JSON
//! ```
//!
//! A password goes only where the URL sends it, or to the same port under TLS whose certificate holds. What a probe
//! puts on the server it takes away again; where it cannot, `left` names it.

mod advice;
mod certificate;
mod doors;
mod findings;
mod hopeless;
mod modes;
mod rules;
mod server;
mod value;
mod verdict;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use jiff::Timestamp;

pub use self::{
    certificate::Certificate,
    findings::{Finding, Weight, findings},
    rules::{Rule, rules},
    value::value,
    verdict::{Verdict, ms_text, verdict},
};
use super::{
    data::route::Step,
    session::Context,
    site::{Site, Tls},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    limits::{SURVEY_CONNECT_TIMEOUT, SURVEY_REPLY_TIMEOUT, SURVEY_SESSIONS_MAX, SURVEY_TIME_MAX},
    observe::{Level, Observer},
};

/// What to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sends no command that changes anything on the server.
    pub read_only: bool,
    /// Sessions to hold at a time, at most [`SURVEY_SESSIONS_MAX`]; fewer try fewer.
    pub sessions: u16,
    /// Time for everything; what was not come to by then is left out.
    pub time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, sessions: SURVEY_SESSIONS_MAX, time: SURVEY_TIME_MAX }
    }
}

/// Everything seen of one server.
#[derive(Debug, Clone)]
pub struct Survey {
    /// What was asked for.
    pub site: Site,
    /// Whether nothing was written.
    pub read_only: bool,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Why the name has no address, if so.
    pub lookup: Option<Fault>,
    /// The addresses of the host.
    pub addresses: Vec<Address>,
    /// What the server says first.
    pub greeting: Option<String>,
    /// The ways in, the one that was asked for first.
    pub doors: Vec<Door>,
    /// What the server can do, if it let us in.
    pub server: Option<Server>,
    /// Files of ours that could not be removed.
    pub left: Vec<String>,
    /// Whether the time was over before everything was tried.
    pub is_cut_short: bool,
}

/// One address of the host.
#[derive(Debug, Clone)]
pub struct Address {
    /// The address, with the control port.
    pub address: SocketAddr,
    /// Time to connect, or why not.
    pub reached: Outcome<Duration>,
}

/// One way in.
#[derive(Debug, Clone)]
pub struct Door {
    /// How it is protected.
    pub tls: Tls,
    /// Where it is.
    pub address: SocketAddr,
    /// Our own address, as this machine sees it.
    pub local: Option<SocketAddr>,
    /// The TLS that was made.
    pub protection: Option<Protection>,
    /// Whether we came in.
    pub entry: Entry,
    /// What came of each mode.
    pub trials: Vec<Trial>,
}

/// Whether we came in by a door.
#[derive(Debug, Clone)]
pub enum Entry {
    /// In, after so long.
    Entered(Duration),
    /// It is there, and was not tried; why not.
    Offered(&'static str),
    /// It is shut.
    Shut(Fault),
}

/// TLS of a control connection.
#[derive(Debug, Clone)]
pub struct Protection {
    /// `TLSv1.3`, `TLSv1.2`.
    pub version: String,
    /// Whom we talk to.
    pub certificate: Option<Certificate>,
    /// Why the certificate is not trusted, if so.
    pub distrust: Option<Fault>,
}

/// What came of one mode.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Which one.
    pub step: Step,
    /// Where the data went to or came from.
    pub address: String,
    /// Time for a listing, or why there was none.
    pub listing: Outcome<Duration>,
    /// The same for an upload of 1 KiB, where it was tried.
    pub upload: Option<Outcome<Duration>>,
    /// The same for its download.
    pub download: Option<Outcome<Duration>>,
}

impl Trial {
    /// Why not everything that was tried worked.
    pub fn fault(&self) -> Option<&Fault> {
        let moved = [&self.upload, &self.download].into_iter().flatten();
        std::iter::once(&self.listing).chain(moved).find_map(|tried| tried.as_ref().err())
    }

    /// Whether data came through at all.
    pub const fn carries(&self) -> bool {
        self.listing.is_ok()
    }

    /// Whether it waited in vain for a connection of the same mode as that of `step`.
    fn waited_like(&self, step: Step) -> bool {
        let waited = |fault: &Fault| {
            fault.code == 0 && matches!(fault.kind, Kind::Timeout | Kind::DataConnection)
        };
        self.step.mode() == step.mode() && self.listing.as_ref().is_err_and(waited)
    }

    /// Time for one file of 1 KiB; for a listing, where no file moved.
    pub fn time(&self) -> Option<Duration> {
        let moved = [self.upload.as_ref(), self.download.as_ref()];
        let moved: Vec<&Duration> = moved.into_iter().flatten().flatten().collect();
        let count = u32::try_from(moved.len()).ok()?;
        let file = moved.into_iter().sum::<Duration>().checked_div(count);
        file.or_else(|| self.listing.clone().ok())
    }
}

/// What a server can do.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// The reply to SYST.
    pub system: Option<String>,
    /// The features that it names.
    pub features: BTreeMap<String, String>,
    /// The folder that was looked at.
    pub folder: String,
    /// The median of a few NOOPs.
    pub round_trip: Option<Duration>,
    /// The address under which it says it sees us.
    pub sees_us_at: Option<IpAddr>,
    /// The address in its reply to PASV.
    pub passive_address: Option<Ipv4Addr>,
    /// Whether it takes REST.
    pub restarts: Option<bool>,
    /// Seconds by which its clock is ahead of ours.
    pub clock_ahead_s: Option<i64>,
    /// Whether the time of a file can be set.
    pub sets_times: Option<bool>,
    /// Whether a rename replaces the file that has the name.
    pub renames_over: Option<Outcome<()>>,
    /// Whether names that begin with a dot are listed.
    pub hidden: Option<Hidden>,
    /// TLS sessions of data connections.
    pub reuse: Option<Reuse>,
    /// Whether TLS 1.3 had to be left for TLS 1.2.
    pub tls12_only: bool,
    /// Sessions at a time.
    pub sessions: Option<Sessions>,
}

/// Whether names that begin with a dot are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// By `LIST`.
    pub by_list: bool,
    /// By `LIST -a`.
    pub by_list_all: bool,
}

/// Whether data connections resume the TLS session of their control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// Whether they do.
    pub resumed: bool,
    /// Whether they must, if that is known.
    pub required: Option<bool>,
}

/// Sessions at a time.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// How many were open together.
    pub open: u16,
    /// Why there was not one more; nothing where no more were tried.
    pub refusal: Option<Fault>,
}

/// Tries everything that `options` allow on the server of `site`. Fails only when it is interrupted, or when there is a
/// proxy, which it cannot go through: what does not work is in the survey.
pub async fn survey(site: &Site, options: &Options, context: &Context) -> Outcome<Survey> {
    if site.proxy.is_some() {
        let message = "this version of portolan cannot look through a `proxy` yet: doctor tries the direct way only";
        return Err(Fault::unsupported(Side::Here, message));
    }
    let started = Instant::now();
    let mut survey = Survey {
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
    let probe = Probe::new(site, options, context);
    // Boxed: all its sessions and buffers would lie in every caller's future.
    let probed = Box::pin(probe.everything(&mut survey)).await;
    context.stop.check()?;
    survey.is_cut_short = probed.is_err();
    survey.took = started.elapsed();
    Ok(survey)
}

/// What every probe needs.
struct Probe<'a> {
    /// The server, with the short times of a survey.
    site: Site,
    options: &'a Options,
    /// The run that asked; its observer hears what is being done.
    outer: &'a Context,
    /// The same for the sessions under test: silent, and with the end of the survey's time.
    inner: Context,
}

impl<'a> Probe<'a> {
    fn new(site: &Site, options: &'a Options, outer: &'a Context) -> Self {
        let mut site = site.clone();
        site.connect_timeout = site.connect_timeout.min(SURVEY_CONNECT_TIMEOUT);
        site.reply_timeout = site.reply_timeout.min(SURVEY_REPLY_TIMEOUT);
        site.data_timeout = site.data_timeout.min(SURVEY_REPLY_TIMEOUT);
        let inner = Context {
            stop: outer.stop.within(options.time),
            observer: Observer::default(),
            clock: outer.clock.clone(),
            // What is under test is looked at, not remembered.
            memory: None,
            doors: outer.doors.clone(),
            answered: outer.answered.clone(),
            paces: outer.paces.clone(),
            bases: None,
        };
        Self { site, options, outer, inner }
    }

    /// Says what is being tried, to whoever wants to know.
    fn say(&self, text: impl Into<String>) {
        self.outer.observer.say(Level::Debug, text);
    }

    /// Fails when the time is over.
    async fn everything(&self, survey: &mut Survey) -> Outcome<()> {
        self.look_up(survey).await?;
        let reached = survey.addresses.iter().filter(|address| address.reached.is_ok());
        let reached: Vec<SocketAddr> = reached.map(|address| address.address).collect();
        let Some(first) = reached.first().copied() else { return Ok(()) };
        for door in self.knock(first, survey).await? {
            Box::pin(self.visit(door, survey)).await?;
        }
        let other = reached.iter().find(|address| address.is_ipv6() != first.is_ipv6());
        if let (Some(address), Some(like)) = (other, best_door(survey).cloned()) {
            let address = SocketAddr::new(address.ip(), like.address.port());
            Box::pin(self.visit(Door { address, ..like }, survey)).await?;
        }
        match best_door(survey).cloned() {
            Some(door) => self.crowd(&door, survey).await,
            None => Ok(()),
        }
    }

    /// Goes in by `door`, and tries there what there is to try.
    async fn visit(&self, mut door: Door, survey: &mut Survey) -> Outcome<()> {
        self.say(format!("logging in {}", doors::words(&door)));
        let started = Instant::now();
        door.trials = Vec::new();
        match self.enter(&door).await {
            Err(fault) => {
                door.entry = Entry::Shut(fault);
                survey.doors.push(door);
            }
            Ok(mut session) => {
                door.entry = Entry::Entered(started.elapsed());
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

/// The protected door of those that let us in, else the first.
fn best_door(survey: &Survey) -> Option<&Door> {
    let mut entered = survey.doors.iter().filter(|door| matches!(door.entry, Entry::Entered(_)));
    entered.clone().find(|door| door.tls != Tls::Off).or_else(|| entered.next())
}
