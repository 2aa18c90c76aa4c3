//! The data path: the remaining steps of the ladder, the attempts so far, and the mode that was reported.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use super::{
    control::{DialedConnection, FtpCommand, Lookahead},
    data::{
        address,
        listen::{ListenConfig, listen},
        method::{DataMethod, FallbackOrder, answer_time, open_time},
        nat_diagnosis::{ObservedAddresses, our_address_in},
        open::{OpenError, OpenParams, OpenedData, announce, open},
    },
    ports::{InboundPorts, PortRequest},
    profile::ServerProfile,
    server_store::{ServerHandle, ServerRecord, ServerStore},
    session::Session,
    shared_method::{SharedDataMethod, SharedMethod},
    site::{Mode, Site},
    transfer::NextTransfer,
};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::ConnectAttempt,
};

/// The knowledge of a session about its data path.
#[derive(Debug)]
pub(super) struct DataPath {
    pub(super) ladder: FallbackOrder,
    /// The attempts, the latest last.
    pub(super) attempts: Vec<ConnectAttempt>,
    /// The mode that was last reported to the user.
    pub(super) told_mode: Option<&'static str>,
    /// True if the TLS of the last data connection did not resume a session: some servers refuse that.
    pub(super) began_fresh_tls: bool,
    /// The addresses that were observed, to explain a failure.
    seen: ObservedAddresses,
    /// Set once the server was asked for our address.
    asked_for_ours: bool,
    /// The address of the server that answers when an earlier one in the list does not.
    pub(super) second: Option<IpAddr>,
    /// The knowledge about the server's own address for data.
    pub(super) address: address::PasvHint,
    /// The server record of earlier runs, to be updated for later ones.
    pub(super) notes: Option<ServerHandle>,
    /// The observations of the server's support for pipelined commands.
    pub(super) manners: Arc<ServerProfile>,
    /// The method that some session with the server has found, for sessions that were opened before.
    found: SharedDataMethod,
    /// The failures of an upload that is to continue under another name.
    held: Vec<FailedMethod>,
    /// The failures when no method was left.
    lost: Vec<FailedMethod>,
}

impl DataPath {
    /// Returns the data path to the server at the end of `line`: with the record from `memory`, if there is one.
    pub(super) fn new(
        site: &Site,
        line: &DialedConnection,
        memory: Option<Arc<dyn ServerStore>>,
    ) -> Self {
        let (ours, mut peer) = (line.local.ip().to_canonical(), line.peer.ip().to_canonical());
        let mut is_ipv6 = line.peer.is_ipv6();
        if site.proxy.is_some() {
            // The address at the other end is the proxy's, which says nothing about the server's.
            (peer, is_ipv6) = (Ipv4Addr::UNSPECIFIED.into(), false);
        }
        let announced = site.external_address;
        let (mode, fallback) = site.modes();
        let mut ladder = FallbackOrder::new(mode, fallback, is_ipv6);
        let notes = memory.map(|memory| ServerHandle::of(memory, site, line));
        let known = notes.as_ref().and_then(ServerHandle::known);
        if let Some(known) = known.filter(|known| known.suits(mode)) {
            ladder.begin_with(known.step);
        }
        let is_elsewhere = known.is_some_and(|known| known.is_elsewhere);
        let habits = known.map(|known| known.habits).unwrap_or_default();
        Self {
            ladder,
            attempts: Vec::new(),
            told_mode: site.proxy.is_some().then(|| mode.word()),
            began_fresh_tls: false,
            seen: ObservedAddresses { ours, peer, ours_there: None, announced, named: None },
            asked_for_ours: false,
            second: line.is_not_first.then(|| line.peer.ip()),
            address: if is_elsewhere {
                address::PasvHint::Worse
            } else {
                address::PasvHint::Nothing
            },
            notes,
            manners: Arc::new(ServerProfile::with_habits(habits)),
            found: SharedDataMethod::default(),
            held: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Returns the same data path for another session with the server, with its own history.
    pub(super) fn for_another(&self) -> Self {
        let (ladder, notes) = (self.ladder.clone(), self.notes.clone());
        let (manners, found) = (Arc::clone(&self.manners), self.found.clone());
        let (attempts, held, lost) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            ladder,
            notes,
            manners,
            found,
            attempts,
            held,
            lost,
            began_fresh_tls: false,
            ..*self
        }
    }

    /// Adopts the method that another session has found, unless this one has tried already: its failures stay known.
    fn catch_up(&mut self) {
        if self.attempts.is_empty()
            && self.ladder.current().is_none()
            && let Some(SharedMethod { ladder, told_mode, address }) = self.found.read()
        {
            (self.ladder, self.told_mode, self.address) = (ladder, told_mode, address);
        }
    }

    /// Records our address as the server's greeting reported it, if it did.
    pub(super) const fn hear(&mut self, ours_there: Option<IpAddr>) {
        self.seen.ours_there = ours_there;
    }

    /// Returns our address as the server has reported it.
    pub(super) const fn ours_there(&self) -> Option<IpAddr> {
        self.seen.ours_there
    }

    /// Returns the server record of earlier runs, or of this one.
    pub(super) fn known(&self) -> Option<ServerRecord> {
        self.notes.as_ref().and_then(ServerHandle::known)
    }

    /// Updates the state for a new connection of the session.
    pub(super) fn follow(&mut self, line: &DialedConnection) {
        self.second = line.is_not_first.then(|| line.peer.ip());
        if let Some(notes) = &mut self.notes {
            notes.follow(line);
        }
    }

    fn unlearn(&mut self, step: DataMethod) {
        if let Some(notes) = &mut self.notes {
            notes.unlearn(step);
        }
    }

    /// Discards the assumptions from earlier runs.
    pub(super) fn forget(&mut self) {
        if let Some(known) = self.known() {
            self.unlearn(known.step);
        }
        self.ladder.forget();
        self.address = address::PasvHint::Nothing;
    }

    /// Returns true if an upload that has just failed is to be tried once more, under another name: the server still
    /// holds the first, and may have it locked (vsftpd, measured).
    pub(super) const fn wants_another_name(&self) -> bool {
        !self.held.is_empty()
    }

    /// Restricts the session to the steps of `mode` without recording anything: only the winner of the race knows what
    /// works.
    pub(super) fn start_race(&mut self, mode: Mode) -> Option<ServerHandle> {
        self.ladder.start_race(mode);
        self.found = SharedDataMethod::default();
        self.told_mode = Some(mode.word());
        self.notes.take()
    }

    /// Restores all steps, with the observations of the `other` side of the race, and the server record.
    fn finish_race(&mut self, other: &Self, notes: Option<ServerHandle>) {
        self.ladder.finish_race(&other.ladder);
        self.attempts.splice(..0, other.attempts.iter().cloned());
        self.lost.clear();
        self.notes = notes;
    }

    /// Returns the error message, with the role of NAT if that explains it.
    pub(super) fn explained(&self, failed: &FailedMethod) -> String {
        let FailedMethod { step, fault } = failed;
        match self.seen.explain(step.is_active(), fault) {
            Some(why) => format!("{} ({why})", fault.message),
            None => fault.message.clone(),
        }
    }
}

/// A step that failed.
#[derive(Debug, Clone)]
pub(super) struct FailedMethod {
    pub(super) step: DataMethod,
    pub(super) fault: Error,
}

/// A step about to be tried.
#[derive(Clone, Copy)]
struct Try<'a> {
    step: DataMethod,
    /// The steps that are left after it.
    left: &'a [DataMethod],
    /// True if the same connection timed out a moment ago.
    is_deaf: bool,
    transfer: DataCommand<'a>,
}

/// A command that needs a data connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataCommand<'a> {
    pub(super) command: &'a FtpCommand,
    /// The offset at which the data begins.
    pub(super) offset: u64,
    /// True if another transfer immediately follows.
    pub(super) is_followed: bool,
}

impl<'a> DataCommand<'a> {
    /// Returns `command` for all of the data, with no transfer after it.
    pub(super) const fn whole(command: &'a FtpCommand) -> Self {
        Self { command, offset: 0, is_followed: false }
    }
}

impl Session {
    /// Restricts the session to `step`, to observe it.
    pub(super) fn hold(&mut self, step: DataMethod) {
        self.way.ladder.hold(step);
        self.way.found = SharedDataMethod::default();
        self.way.told_mode = Some(step.mode());
    }

    /// Completes a race in favour of this session, which may use all methods again.
    pub(super) fn finish_race(&mut self, other: &Self, notes: Option<ServerHandle>) {
        self.way.finish_race(&other.way, notes);
        if let Some(step) = self.way.ladder.current() {
            self.learn(step);
        }
    }

    /// Returns the error for a race that both sides lost: this one's reasons, then the `other`'s.
    pub(super) fn no_way_besides(&self, other: &Self) -> Error {
        self.no_way([self.way.lost.as_slice(), &other.way.lost].concat())
    }

    /// Makes a data connection and starts `transfer` over it, by the first method of the ladder that works.
    pub(super) async fn open_data(&mut self, transfer: DataCommand<'_>) -> Result<OpenedData> {
        let command = transfer.command;
        if matches!(command.verb().as_str(), "RETR" | "STOR" | "APPE") {
            self.needs_binary()?;
        }
        self.way.catch_up();
        // The last failure of each mode, in the order of the modes.
        let mut failed = std::mem::take(&mut self.way.held);
        let mut steps = self.way.ladder.steps();
        steps.retain(|step| failed.iter().all(|failed| failed.step.mode() != step.mode()));
        let mut hopeless = None;
        for (at, step) in steps.iter().copied().enumerate() {
            let is_deaf = hopeless == Some(step);
            // PASV costs a command only, and may name another address or reveal the server's NAT.
            if is_deaf && step != DataMethod::Pasv {
                continue;
            }
            self.ensure().await?;
            self.ask_for_ours(step, failed.last()).await?;
            let left = steps.get(at + 1..).unwrap_or_default();
            let started = Instant::now();
            let failure = match self.try_twice(Try { step, left, is_deaf, transfer }).await? {
                Ok(opened) => {
                    self.settle(step, &opened, started);
                    self.tell_mode(step, &failed);
                    self.way.found.post(&self.way.ladder, self.way.told_mode, self.way.address);
                    return Ok(opened);
                }
                Err(failure) => failure,
            };
            let fault = failure.fault.with_host(&self.site.host);
            self.way.began_fresh_tls = fault.kind == ErrorKind::Tls;
            if !failure.is_matter_of_mode || fault.kind == ErrorKind::Interrupted {
                return Err(fault);
            }
            self.way.seen.named = failure.named.or(self.way.seen.named);
            hopeless = step.sibling_to_skip(&fault, &failure.address);
            if let Some(twin) = hopeless.filter(|twin| *twin != DataMethod::Pasv) {
                self.way.ladder.failed(twin, &fault);
            }
            // A step that only asked adds nothing to one that waited for a connection.
            let is_telling = !(is_deaf && failure.address.is_empty());
            self.record(step, failure.address, Some(&fault), started);
            self.way.ladder.failed(step, &fault);
            self.way.unlearn(step);
            if is_telling {
                failed.retain(|other| other.step.mode() != step.mode());
                failed.push(FailedMethod { step, fault: fault.clone() });
            }
            let has_other_mode = left.iter().any(|other| other.mode() != step.mode());
            if failure.has_begun && command.verb() == "STOR" && has_other_mode {
                self.way.held = failed;
                return Err(fault);
            }
        }
        // If every step is known to fail, what the server said to them then is still the reason.
        if !failed.is_empty() {
            self.way.lost = failed;
        }
        Err(self.no_way(self.way.lost.clone()))
    }

    /// Tries a step, and once more if the connection was found dead before anything was done.
    async fn try_twice(&mut self, what: Try<'_>) -> Result<Result<OpenedData, OpenError>> {
        let result = self.try_once(what).await;
        match &result {
            Err(failure) if self.is_unsent(&failure.fault) => {
                self.reconnect().await?;
                Ok(self.try_once(what).await)
            }
            _ => Ok(result),
        }
    }

    async fn try_once(&mut self, what: Try<'_>) -> Result<OpenedData, OpenError> {
        let Try { step, left, is_deaf, transfer } = what;
        let DataCommand { command, offset, is_followed } = transfer;
        let door = if step.is_active() { self.door().await } else { None };
        let (round_trip, budget) = (self.control.round_trip, self.site.connect_timeout);
        let may_pipeline = !self.way.manners.pipelining.is_off();
        let needs = OpenParams {
            security: self.security.as_ref(),
            ground: ListenConfig::of(&self.site, door.as_ref()),
            source_address: self.site.source_address,
            proxy: self.site.proxy.as_ref(),
            host: &self.site.host,
            answer_timeout: answer_time(round_trip, budget),
            open_timeout: open_time(round_trip, budget, step, left),
            address: if is_deaf { address::PasvHint::Deaf } else { self.way.address },
            idle: self.site.data_timeout,
            offset,
            restarts: self.features.has("REST") && may_pipeline,
            has_worked: self.way.ladder.current() == Some(step) && may_pipeline,
            is_early: is_followed
                && command.verb() == "STOR"
                && self.way.ladder.current() == Some(step)
                && self.way.manners.is_trusted("STOR"),
            stop: self.context.stop.clone(),
        };
        open(&mut self.control, step, command, &needs).await
    }

    /// Returns the command for the `next` transfer to send before the reply that ends the transfer `verb`.
    pub(super) async fn lookahead(
        &mut self,
        verb: &str,
        next: NextTransfer<'_>,
    ) -> Option<Lookahead> {
        let step = self.way.ladder.current().filter(|_| next.is_some())?;
        let command = self.way.manners.ahead(verb, step)?;
        if !step.is_active() {
            return Some(Lookahead::Ask(command));
        }
        let NextTransfer::Download(file) = next else { return None };
        let next = FtpCommand::path("RETR", &self.absolute(file).ok()?);
        if command == "NOOP" {
            return Some(Lookahead::Ask(command));
        }
        let door = self.door().await;
        let ours = self.control.local.ip().to_canonical();
        // If no port is free, the next transfer is requested in its turn.
        let post = listen(ours, ListenConfig::of(&self.site, door.as_ref())).ok()?;
        let announcement = announce(step, post.announced);
        Some(Lookahead::Call(post, [announcement, next]))
    }

    /// Returns the inbound ports for the server, if they are known or can be obtained. The user's settings take
    /// precedence.
    async fn door(&mut self) -> Option<InboundPorts> {
        let doors = self.context.doors.clone()?;
        let wish = PortRequest {
            ours: self.control.local.ip().to_canonical(),
            server: self.control.peer.ip().to_canonical(),
            ports: self.site.port_range.clone(),
            address: self.site.external_address,
            count: usize::from(self.site.parallel),
            may_ask: self.site.map_ports,
        };
        match self
            .context
            .stop
            .run_until_cancelled(doors.open(&wish))
            .await
            .and_then(|opened| opened)
        {
            Ok(door) => door,
            Err(fault) => {
                let text = format!("active mode goes without a mapped port: {fault}");
                self.context.observer.warn_once(text);
                None
            }
        }
    }

    /// Asks the server for our address as it sees it, if active mode has just failed and nothing else explains it.
    async fn ask_for_ours(&mut self, next: DataMethod, last: Option<&FailedMethod>) -> Result<()> {
        let Some(FailedMethod { step, fault }) = last else { return Ok(()) };
        let is_change = step.is_active() && !next.is_active();
        if !is_change || self.way.asked_for_ours || !self.way.seen.wants_ours_there(fault) {
            return Ok(());
        }
        self.way.asked_for_ours = true;
        let time = answer_time(self.control.round_trip, self.site.connect_timeout);
        match self.control.ask_within(time, &FtpCommand::bare("STAT")).await {
            Ok(reply) => {
                self.way.seen.ours_there = our_address_in(&reply.text(), self.way.seen.peer);
            }
            Err(fault) => tracing::debug!(target: "portolan", "no STAT: {fault}"),
        }
        self.ensure().await
    }
}
