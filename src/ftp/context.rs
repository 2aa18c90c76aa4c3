//! What a session needs of the run it belongs to.

use crate::{clock::Clock, observe::Observer, stop::Stop};

/// Signal, events and time of a run.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The signal to stop.
    pub stop: Stop,
    /// Where events go.
    pub observer: Observer,
    /// What time it is.
    pub clock: Clock,
}
