//! The one clock: what time it is, or what a test says it is.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// Where the time of day comes from. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's own.
    #[default]
    System,
    /// Seconds since 1970 that a test sets.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `seconds` since 1970 until it is moved.
    pub fn standing_at(seconds: i64) -> Self {
        Self::Set(Arc::new(AtomicI64::new(seconds)))
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Set(seconds) => {
                Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN)
            }
        }
    }
}
