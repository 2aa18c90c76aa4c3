//! The context that a session needs from its run.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    ports::PortProvider, rate_limit::HostRateLimiters, recorder::RunRecorder,
    replayed::ReplayedDials, server_store::ServerStore, site::Site, temp_records::TempRecords,
};
use portolan_core::{cancel::CancelToken, clock::Clock, observe::EventEmitter};
use portolan_permissions::RunPermissions;

/// The address at which each host answered last, shared by all sessions of a run.
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<Mutex<BTreeMap<(String, u16), IpAddr>>>);

impl Answered {
    /// Returns the address at which the host of `site` answered last.
    pub(super) fn of(&self, site: &Site) -> Option<IpAddr> {
        self.lock().get(&(site.host.to_ascii_lowercase(), site.port)).copied()
    }

    /// Records that the host of `site` has answered at `address`.
    pub(super) fn note(&self, site: &Site, address: IpAddr) {
        self.lock().insert((site.host.to_ascii_lowercase(), site.port), address);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, u16), IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signal, events, clock and stored state of a run.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    /// The signal to stop.
    pub stop: CancelToken,
    /// The receiver of events.
    pub observer: EventEmitter,
    /// The clock of the run.
    pub clock: Clock,
    /// The server records of earlier runs; without them each run starts from scratch.
    pub memory: Option<Arc<dyn ServerStore>>,
    /// The provider of inbound ports for active data connections; without it a session uses its own options only.
    pub port_provider: Option<Arc<dyn PortProvider>>,
    /// The addresses of the hosts that have answered in this run.
    pub answered: Answered,
    /// The records of temporary files on servers; without a state directory there are none.
    pub temps: TempRecords,
    /// The rate limits of each host.
    pub paces: HostRateLimiters,
    /// The maximum number of sessions that the run has with a server at a time, for what one session does in parallel; without
    /// it there is no limit.
    pub sessions_max: Option<u16>,
    /// The recorder of what passes between the run and its servers, if it is recorded.
    pub recorder: Option<Arc<RunRecorder>>,
    /// The results of connections in a recorded run that is played again.
    pub replayed: Option<Arc<ReplayedDials>>,
    /// The permissions of the run: the servers with which it may connect, among others.
    pub permissions: Arc<RunPermissions>,
    /// True if a person reads the errors as they come: a name that is missing is answered with the most similar one, which
    /// costs a listing.
    pub is_watched: bool,
}
