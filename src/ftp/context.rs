//! What a session needs of the run it belongs to.

use std::sync::Arc;

use super::{base::BaseMemory, door::Doors, memory::RouteMemory, pace::Paces};
use crate::{clock::Clock, observe::Observer, stop::Stop};

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
    /// How fast bytes may move to and from each host.
    pub paces: Paces,
}
