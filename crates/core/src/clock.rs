//! The clock: the system time, that of a server which several hosts share, or a time that a test sets.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};

/// A source of the time of day. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system clock.
    #[default]
    System,
    /// A time in seconds since 1970 that a test sets.
    Set(Arc<AtomicI64>),
    /// The time of a server, which hosts with different clocks share.
    Server(Arc<ServerClock>),
}

/// The time of a server: as it was when it was asked last, and since then by the monotonic clock of this host, whose time
/// of day does not matter.
#[derive(Debug)]
pub struct ServerClock(Mutex<(Timestamp, Instant)>);

impl ServerClock {
    /// Creates the clock of a server that had the time `at` at the moment `asked`.
    pub const fn new(at: Timestamp, asked: Instant) -> Self {
        Self(Mutex::new((at, asked)))
    }

    /// Sets the time that the server had at the moment `asked`.
    pub fn set(&self, at: Timestamp, asked: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (at, asked);
    }

    /// Returns its time.
    pub fn now(&self) -> Timestamp {
        let (at, asked) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = SignedDuration::try_from(asked.elapsed()).unwrap_or_default();
        at.checked_add(since).unwrap_or(at)
    }
}

impl Clock {
    /// Returns a clock that stands at `seconds` since 1970 until it is moved.
    pub fn standing_at(seconds: i64) -> Self {
        Self::Set(Arc::new(AtomicI64::new(seconds)))
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Set(seconds) => {
                Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
            }
            Self::Server(clock) => clock.now(),
        }
    }
}
