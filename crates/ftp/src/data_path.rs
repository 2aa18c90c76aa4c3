//! The data path: the remaining steps of the fallback order, the attempts so far, and the mode that was reported.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{
    control::{DialedConnection, FtpCommand},
    data::{
        method::{DataMethod, FallbackOrder},
        nat_diagnosis::ObservedAddresses,
    },
    profile::{ServerProfile, SharedMethod},
    server_store::{ServerHandle, ServerStore},
    site::{Mode, Site},
};
use portolan_core::{error::Error, observe::ConnectAttempt};

/// The knowledge of a session about its data path.
#[derive(Debug, Clone)]
pub(super) struct DataPath {
    pub(super) fallback_order: FallbackOrder,
    /// The mode that was last reported to the user.
    pub(super) reported_mode: Option<&'static str>,
    /// The addresses that were observed, to explain a failure.
    pub(super) seen: ObservedAddresses,
    /// Set once the server was asked for our address.
    pub(super) asked_for_ours: bool,
    /// The knowledge about the server.
    pub(super) profile: ServerProfile,
    /// True while only some of the methods may be used: then the method is neither shared with other sessions nor
    /// saved.
    pub(super) is_restricted: bool,
    pub(super) history: AttemptHistory,
}

/// The attempts of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptHistory {
    /// The attempts, the latest last.
    pub(super) attempts: VecDeque<ConnectAttempt>,
    /// True if the TLS of the last data connection did not resume a session: some servers refuse that.
    pub(super) began_fresh_tls: bool,
    /// The failures of an upload that is to continue under another name.
    pub(super) held: Vec<FailedMethod>,
    /// The failures when no method was left.
    pub(super) lost: Vec<FailedMethod>,
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
        let mut fallback_order = FallbackOrder::new(mode, fallback, is_ipv6);
        let record = memory.map(|memory| ServerHandle::of(memory, site, line.local.ip()));
        let known = record.as_ref().and_then(ServerHandle::known);
        if let Some(known) = known.filter(|known| known.suits(mode)) {
            fallback_order.begin_with(known.step);
        }
        let path = Self {
            fallback_order,
            reported_mode: site.proxy.is_some().then(|| mode.as_str()),
            seen: ObservedAddresses { ours, peer, ours_there: None, announced, named: None },
            asked_for_ours: false,
            profile: record.map(ServerProfile::with_record).unwrap_or_default(),
            is_restricted: false,
            history: AttemptHistory::default(),
        };
        path.follow(line);
        path
    }

    /// Returns the same data path for another session with the server, with its own history.
    pub(super) fn for_another(&self) -> Self {
        Self { history: AttemptHistory::default(), ..self.clone() }
    }

    /// Adopts the method that another session has found, unless this one has tried already: its failures stay known.
    pub(super) fn catch_up(&mut self) {
        if !self.is_restricted
            && self.history.attempts.is_empty()
            && self.fallback_order.current().is_none()
            && let Some(SharedMethod { fallback_order, reported_mode }) = self.profile.method()
        {
            (self.fallback_order, self.reported_mode) = (fallback_order, reported_mode);
        }
    }

    /// Shares the method that has just worked with the other sessions.
    pub(super) fn share_method(&self) {
        if !self.is_restricted {
            self.profile.share_method(&self.fallback_order, self.reported_mode);
        }
    }

    /// Saves the working method `step` for later runs.
    pub(super) fn save(&self, step: DataMethod) {
        if !self.is_restricted {
            self.profile.save(step, self.fallback_order.failed_besides(step));
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

    /// Updates the knowledge about the server for a new connection of the session.
    pub(super) fn follow(&self, line: &DialedConnection) {
        let second = line.is_not_first.then(|| line.peer.ip());
        self.profile.follow(line.local.ip(), second);
    }

    pub(super) fn unlearn(&self, step: DataMethod) {
        if !self.is_restricted {
            self.profile.unlearn(step);
        }
    }

    /// Discards the assumptions from earlier runs.
    pub(super) fn forget(&mut self) {
        self.profile.forget();
        self.fallback_order.forget();
    }

    /// Returns true if an upload that has just failed is to be tried once more, under another name: the server still
    /// holds the first, and may have it locked (vsftpd, measured).
    pub(super) const fn wants_another_name(&self) -> bool {
        !self.history.held.is_empty()
    }

    /// Restricts the session to the steps of `mode` without recording anything: only the winner of the race knows what
    /// works.
    pub(super) fn start_race(&mut self, mode: Mode) {
        self.fallback_order.start_race(mode);
        self.is_restricted = true;
        self.reported_mode = Some(mode.as_str());
    }

    /// Restores all steps, with the observations of the `other` side of the race.
    pub(super) fn finish_race(&mut self, other: &Self) {
        self.fallback_order.finish_race(&other.fallback_order);
        self.is_restricted = false;
        let attempts = std::mem::take(&mut self.history.attempts);
        self.history.attempts = other.history.attempts.iter().cloned().chain(attempts).collect();
        self.history.lost.clear();
    }

    /// Returns the error message, with the role of NAT if that explains it.
    pub(super) fn explained(&self, failed: &FailedMethod) -> String {
        let FailedMethod { step, error } = failed;
        match self.seen.explain(step.is_active(), error) {
            Some(why) => format!("{} ({why})", error.message),
            None => error.message.clone(),
        }
    }
}

/// A step that failed.
#[derive(Debug, Clone)]
pub(super) struct FailedMethod {
    pub(super) step: DataMethod,
    pub(super) error: Error,
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
