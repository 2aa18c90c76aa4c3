//! The clock: the system time, or a time that a test sets.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// A source of the time of day. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system clock.
    #[default]
    System,
    /// A time in seconds since 1970 that a test sets.
    Set(Arc<AtomicI64>),
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
        }
    }
}
