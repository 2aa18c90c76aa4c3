//! The data path: the remaining steps of the ladder, the attempts so far, and the mode that was reported.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use super::{
    control::{Command, Early, Line},
    data::{
        address,
        listen::{Ground, listen},
        nat_signs::{Seen, our_address_in},
        open::{Failure, Needs, Opened, announce, open},
        route::{Ladder, Step, answer_time, open_time},
    },
    door::{Door, Wish},
    found::{Board, Found},
    manners::Manners,
    memory::{Known, Notes, RouteMemory},
    session::Session,
    site::{Mode, Site},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    limits::ATTEMPTS_KEPT_MAX,
    observe::{Attempt, Event, Level},
};

/// The knowledge of a session about its data path.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) ladder: Ladder,
    /// The attempts, the latest last.
    pub(super) attempts: Vec<Attempt>,
    /// The mode that was last reported to the user.
    told_mode: Option<&'static str>,
    /// True if the TLS of the last data connection did not resume a session: some servers refuse that.
    pub(super) began_fresh_tls: bool,
    /// The addresses that were observed, to explain a failure.
    seen: Seen,
    /// Set once the server was asked for our address.
    asked_for_ours: bool,
    /// The address of the server that answers when an earlier one in the list does not.
    second: Option<IpAddr>,
    /// The knowledge about the server's own address for data.
    address: address::Known,
    /// The server record of earlier runs, to be updated for later ones.
    notes: Option<Notes>,
    /// The observations of the server's support for pipelined commands.
    pub(super) manners: Arc<Manners>,
    /// The method that some session with the server has found, for sessions that were opened before.
    found: Board,
    /// The failures of an upload that is to continue under another name.
    held: Vec<Failed>,
    /// The failures when no method was left.
    lost: Vec<Failed>,
}

impl Way {
    /// Returns the data path to the server at the end of `line`: with the record from `memory`, if there is one.
    pub(super) fn new(site: &Site, line: &Line, memory: Option<Arc<dyn RouteMemory>>) -> Self {
        let (ours, mut peer) = (line.local.ip().to_canonical(), line.peer.ip().to_canonical());
        let mut is_ipv6 = line.peer.is_ipv6();
        if site.proxy.is_some() {
            // The address at the other end is the proxy's, which says nothing about the server's.
            (peer, is_ipv6) = (Ipv4Addr::UNSPECIFIED.into(), false);
        }
        let announced = site.external_address;
        let (mode, fallback) = site.modes();
        let mut ladder = Ladder::new(mode, fallback, is_ipv6);
        let notes = memory.map(|memory| Notes::of(memory, site, line));
        let known = notes.as_ref().and_then(Notes::known);
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
            seen: Seen { ours, peer, ours_there: None, announced, named: None },
            asked_for_ours: false,
            second: line.is_not_first.then(|| line.peer.ip()),
            address: if is_elsewhere { address::Known::Worse } else { address::Known::Nothing },
            notes,
            manners: Arc::new(Manners::with_habits(habits)),
            found: Board::default(),
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
            && let Some(Found { ladder, told_mode, address }) = self.found.read()
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
    pub(super) fn known(&self) -> Option<Known> {
        self.notes.as_ref().and_then(Notes::known)
    }

    /// Updates the state for a new connection of the session.
    pub(super) fn follow(&mut self, line: &Line) {
        self.second = line.is_not_first.then(|| line.peer.ip());
        if let Some(notes) = &mut self.notes {
            notes.follow(line);
        }
    }

    fn unlearn(&mut self, step: Step) {
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
        self.address = address::Known::Nothing;
    }

    /// Returns true if an upload that has just failed is to be tried once more, under another name: the server still
    /// holds the first, and may have it locked (vsftpd, measured).
    pub(super) const fn wants_another_name(&self) -> bool {
        !self.held.is_empty()
    }

    /// Restricts the session to the steps of `mode` without recording anything: only the winner of the race knows what
    /// works.
    pub(super) fn start_race(&mut self, mode: Mode) -> Option<Notes> {
        self.ladder.start_race(mode);
        self.found = Board::default();
        self.told_mode = Some(mode.word());
        self.notes.take()
    }

    /// Restores all steps, with the observations of the `other` side of the race, and the server record.
    fn finish_race(&mut self, other: &Self, notes: Option<Notes>) {
        self.ladder.finish_race(&other.ladder);
        self.attempts.splice(..0, other.attempts.iter().cloned());
        self.lost.clear();
        self.notes = notes;
    }

    /// Returns the error message, with the role of NAT if that explains it.
    fn explained(&self, failed: &Failed) -> String {
        let Failed { step, fault } = failed;
        match self.seen.explain(step.is_active(), fault) {
            Some(why) => format!("{} ({why})", fault.message),
            None => fault.message.clone(),
        }
    }
}

/// A step that failed.
#[derive(Debug, Clone)]
struct Failed {
    step: Step,
    fault: Fault,
}

/// A step about to be tried.
#[derive(Clone, Copy)]
struct Try<'a> {
    step: Step,
    /// The steps that are left after it.
    left: &'a [Step],
    /// True if the same connection timed out a moment ago.
    is_deaf: bool,
    command: &'a Command,
    offset: u64,
}

impl Session {
    /// Restricts the session to `step`, to observe it.
    pub(super) fn hold(&mut self, step: Step) {
        self.way.ladder.hold(step);
        self.way.found = Board::default();
        self.way.told_mode = Some(step.mode());
    }

    /// Completes a race in favour of this session, which may use all methods again.
    pub(super) fn finish_race(&mut self, other: &Self, notes: Option<Notes>) {
        self.way.finish_race(&other.way, notes);
        if let Some(step) = self.way.ladder.current() {
            self.learn(step);
        }
    }

    /// Returns the error for a race that both sides lost: this one's reasons, then the `other`'s.
    pub(super) fn no_way_besides(&self, other: &Self) -> Fault {
        self.no_way([self.way.lost.as_slice(), &other.way.lost].concat())
    }

    /// Makes a data connection and starts `command` over it, by the first method of the ladder that works.
    pub(super) async fn open_data(&mut self, command: &Command, offset: u64) -> Outcome<Opened> {
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
            if is_deaf && step != Step::Pasv {
                continue;
            }
            self.ensure().await?;
            self.ask_for_ours(step, failed.last()).await?;
            let left = steps.get(at + 1..).unwrap_or_default();
            let started = Instant::now();
            let failure = match self.try_twice(Try { step, left, is_deaf, command, offset }).await?
            {
                Ok(opened) => {
                    self.settle(step, &opened, started);
                    self.tell_mode(step, &failed);
                    self.way.found.post(&self.way.ladder, self.way.told_mode, self.way.address);
                    return Ok(opened);
                }
                Err(failure) => failure,
            };
            let fault = failure.fault.on(&self.site.host);
            self.way.began_fresh_tls = fault.kind == Kind::Tls;
            if !failure.is_matter_of_mode || fault.kind == Kind::Interrupted {
                return Err(fault);
            }
            self.way.seen.named = failure.named.or(self.way.seen.named);
            hopeless = step.shares_its_fate(&fault, &failure.address);
            if let Some(twin) = hopeless.filter(|twin| *twin != Step::Pasv) {
                self.way.ladder.failed(twin, &fault);
            }
            // A step that only asked adds nothing to one that waited for a connection.
            let is_telling = !(is_deaf && failure.address.is_empty());
            self.record(step, failure.address, Some(&fault), started);
            self.way.ladder.failed(step, &fault);
            self.way.unlearn(step);
            if is_telling {
                failed.retain(|other| other.step.mode() != step.mode());
                failed.push(Failed { step, fault: fault.clone() });
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
    async fn try_twice(&mut self, what: Try<'_>) -> Outcome<Result<Opened, Failure>> {
        let result = self.try_once(what).await;
        match &result {
            Err(failure) if self.is_unsent(&failure.fault) => {
                self.renew().await?;
                Ok(self.try_once(what).await)
            }
            _ => Ok(result),
        }
    }

    async fn try_once(&mut self, what: Try<'_>) -> Result<Opened, Failure> {
        let Try { step, left, is_deaf, command, offset } = what;
        let door = if step.is_active() { self.door().await } else { None };
        let (round_trip, budget) = (self.control.round_trip, self.site.connect_timeout);
        let may_pipeline = !self.way.manners.pipelining.is_off();
        let needs = Needs {
            security: self.security.as_ref(),
            ground: Ground::of(&self.site, door.as_ref()),
            source_address: self.site.source_address,
            proxy: self.site.proxy.as_ref(),
            host: &self.site.host,
            answer_timeout: answer_time(round_trip, budget),
            open_timeout: open_time(round_trip, budget, step, left),
            address: if is_deaf { address::Known::Deaf } else { self.way.address },
            idle: self.site.data_timeout,
            offset,
            restarts: self.features.has("REST") && may_pipeline,
            has_worked: self.way.ladder.current() == Some(step) && may_pipeline,
            is_early: self.goes_on
                && command.verb() == "STOR"
                && self.way.ladder.current() == Some(step)
                && self.way.manners.is_trusted("STOR"),
            stop: self.context.stop.clone(),
        };
        open(&mut self.control, step, command, &needs).await
    }

    /// Returns the command to send before the reply that ends the transfer `verb`.
    pub(super) async fn early(&mut self, verb: &str) -> Option<Early> {
        let (goes_on, follows) = (std::mem::take(&mut self.goes_on), self.follows.take());
        let step = self.way.ladder.current().filter(|_| goes_on)?;
        let command = self.way.manners.ahead(verb, step)?;
        if !step.is_active() {
            return Some(Early::Ask(command));
        }
        let follows = follows?;
        if command == "NOOP" {
            return Some(Early::Ask(command));
        }
        let door = self.door().await;
        let ours = self.control.local.ip().to_canonical();
        // If no port is free, the next transfer is requested in its turn.
        let post = listen(ours, Ground::of(&self.site, door.as_ref())).ok()?;
        let announcement = announce(step, post.announced);
        Some(Early::Call(post, [announcement, follows]))
    }

    /// Returns the inbound ports for the server, if they are known or can be obtained. The user's settings take
    /// precedence.
    async fn door(&mut self) -> Option<Door> {
        let doors = self.context.doors.clone()?;
        let wish = Wish {
            ours: self.control.local.ip().to_canonical(),
            server: self.control.peer.ip().to_canonical(),
            ports: self.site.port_range.clone(),
            address: self.site.external_address,
            count: usize::from(self.site.parallel),
            may_ask: self.site.map_ports,
        };
        match self.context.stop.race(doors.open(&wish)).await.and_then(|opened| opened) {
            Ok(door) => door,
            Err(fault) => {
                let text = format!("active mode goes without a mapped port: {fault}");
                self.context.observer.warn_once(text);
                None
            }
        }
    }

    /// Asks the server for our address as it sees it, if active mode has just failed and nothing else explains it.
    async fn ask_for_ours(&mut self, next: Step, last: Option<&Failed>) -> Outcome<()> {
        let Some(Failed { step, fault }) = last else { return Ok(()) };
        let is_change = step.is_active() && !next.is_active();
        if !is_change || self.way.asked_for_ours || !self.way.seen.wants_ours_there(fault) {
            return Ok(());
        }
        self.way.asked_for_ours = true;
        let time = answer_time(self.control.round_trip, self.site.connect_timeout);
        match self.control.ask_within(time, &Command::bare("STAT")).await {
            Ok(reply) => {
                self.way.seen.ours_there = our_address_in(&reply.text(), self.way.seen.peer);
            }
            Err(fault) => tracing::debug!(target: "portolan", "no STAT: {fault}"),
        }
        self.ensure().await
    }

    /// Records that a step has worked.
    fn settle(&mut self, step: Step, opened: &Opened, started: Instant) {
        self.way.began_fresh_tls = opened.data.is_fresh_tls();
        if opened.is_elsewhere {
            self.way.address = address::Known::Worse;
        }
        self.record(step, opened.address.clone(), None, started);
        self.way.ladder.worked(step);
        self.learn(step);
    }

    fn record(&mut self, step: Step, address: String, fault: Option<&Fault>, started: Instant) {
        let attempt = Attempt {
            step: step.word(),
            address,
            worked: fault.is_none(),
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            words: fault.map(|fault| fault.message.clone()).unwrap_or_default(),
        };
        let host = self.site.host.clone();
        self.context.observer.tell(&Event::Attempted { host, attempt: attempt.clone() });
        if self.way.attempts.len() >= ATTEMPTS_KEPT_MAX {
            self.way.attempts.remove(0);
        }
        self.way.attempts.push(attempt);
    }

    /// Reports once that the data uses another mode than requested or than before, and why.
    fn tell_mode(&mut self, step: Step, failed: &[Failed]) {
        let wanted = match self.site.mode {
            Mode::Active => "active",
            Mode::Passive | Mode::Auto | Mode::Race => "passive",
        };
        let (from, to) = (self.way.told_mode.unwrap_or(wanted), step.mode());
        self.way.told_mode = Some(to);
        if from == to {
            return;
        }
        let host = self.site.host.clone();
        if self.way.ladder.failed_besides(step).is_some() {
            let why = failed.iter().find(|failed| failed.step.mode() == from).or(failed.last());
            let reason = why.map(|failed| self.way.explained(failed)).unwrap_or_default();
            self.context.observer.tell(&Event::FellBack { host, from, to, reason });
        } else if !matches!(self.site.mode, Mode::Auto | Mode::Race) {
            // A user who requested no mode needs no notice.
            let text =
                format!("{host}: {to} mode at once, since {from} mode failed in an earlier run");
            self.context.observer.say_once(Level::Info, text);
        }
    }

    /// Saves the working method for later runs.
    fn learn(&mut self, step: Step) {
        let Some(notes) = &mut self.way.notes else { return };
        let before = notes.known().and_then(|known| known.failed_mode);
        let failed = self.way.ladder.failed_besides(step);
        notes.learn(Known {
            step,
            failed_mode: failed.or(before.filter(|mode| *mode != step.kind())),
            tls12_only: self.site.trust.tls12_only,
            refuses_list_all: self.features.refuses_list_all,
            is_elsewhere: matches!(self.way.address, address::Known::Worse),
            round_trip: self.control.round_trip,
            habits: self.way.manners.habits(),
            address: self.way.second,
        });
    }

    fn no_way(&self, failed: Vec<Failed>) -> Fault {
        let tried = match (&self.site.proxy, self.site.fallback) {
            (Some(_), _) => "and a proxy carries passive mode only",
            (None, true) => "in either mode",
            (None, false) => "and `fallback` is off",
        };
        let each =
            |failed: &Failed| format!("{}: {}", failed.step.mode(), self.way.explained(failed));
        let reasons: Vec<_> = failed.iter().map(each).collect();
        let message = format!("no data connection could be made, {tried}: {}", reasons.join("; "));
        let fault = match failed.into_iter().next_back() {
            Some(Failed { fault, .. }) => Fault { message, kind: Kind::DataConnection, ..fault },
            None => Fault::new(Kind::DataConnection, Side::Server, message),
        };
        fault.on(&self.site.host)
    }
}
