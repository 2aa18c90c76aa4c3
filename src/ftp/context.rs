//! What a session needs of the run it belongs to.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{base::BaseMemory, door::Doors, memory::RouteMemory, pace::Paces, site::Site};
use crate::{clock::Clock, observe::Observer, stop::Stop};

/// The address at which each host has answered, shared by all sessions of a run.
#[derive(Debug, Clone, Default)]
pub struct Answered(Arc<Mutex<BTreeMap<(String, u16), IpAddr>>>);

impl Answered {
    /// Where the host of `site` has answered last.
    pub(super) fn of(&self, site: &Site) -> Option<IpAddr> {
        self.lock().get(&(site.host.to_ascii_lowercase(), site.port)).copied()
    }

    /// Notes that it has answered at `address`.
    pub(super) fn note(&self, site: &Site, address: IpAddr) {
        self.lock().insert((site.host.to_ascii_lowercase(), site.port), address);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, u16), IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signal, events, time and memory of a run.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The signal to stop.
    pub stop: Stop,
    /// Where events go.
    pub observer: Observer,
    /// What time it is.
    pub clock: Clock,
    /// What earlier runs learnt of servers; without it each run begins with nothing.
    pub memory: Option<Arc<dyn RouteMemory>>,
    /// Who knows ways in for active data connections; without it a session knows what its options say.
    pub doors: Option<Arc<dyn Doors>>,
    /// What earlier mirrors left on both sides; without it they are compared by size and time.
    pub bases: Option<Arc<dyn BaseMemory>>,
    /// Which addresses of the hosts have answered in this run.
    pub answered: Answered,
    /// How fast bytes may move to and from each host.
    pub paces: Paces,
}
