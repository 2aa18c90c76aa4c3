//! The reason for a decision, as data and as a clause.

use std::{fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::state::RunId;
use crate::observe::visible::visible;

/// The reason for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionReason {
    /// It is due.
    Due,
    /// It was requested manually.
    Asked,
    /// The jobs before it have succeeded.
    Succeeded,
    /// Files have arrived.
    Arrived,
    /// It was missed, and this run catches up on it and on others.
    CaughtUp {
        /// The delay.
        late: SignedDuration,
    },
    /// It starts later, after its fixed delay within `jitter`.
    Jitter {
        /// The start time.
        until: Timestamp,
    },
    /// It starts later, so that not all jobs catch up at once.
    Spread {
        /// The start time.
        until: Timestamp,
    },
    /// It is outside the windows of its job, and starts later.
    Window {
        /// The start time.
        until: Timestamp,
    },
    /// It was missed, and `misfire` is `skip`.
    MisfireSkip,
    /// It was missed, and the run for a later slot covers it.
    Covered {
        /// The slot that is run.
        by: Timestamp,
    },
    /// It was missed, and only the `max_catchup` newest missed slots are run.
    TooMany {
        /// The number that is run.
        most: u32,
    },
    /// Its delay has reached `start_deadline`.
    TooLate {
        /// The delay.
        late: SignedDuration,
    },
    /// A run of the job is in progress.
    StillRunning {
        /// The run.
        run: RunId,
        /// The start of that run.
        since: Timestamp,
    },
    /// An earlier slot of the job has not started.
    StillWaiting {
        /// The earlier slot.
        slot: Timestamp,
    },
    /// A later slot of the job replaces it.
    Replaced {
        /// The later slot.
        by: Timestamp,
    },
    /// As many runs are in progress as `max_running` allows.
    MaxRunning {
        /// The limit.
        most: u32,
    },
    /// Another run holds a lock.
    Locked {
        /// The name of the lock.
        lock: String,
        /// The job whose run holds it.
        by: Arc<str>,
        /// The places that the run takes, and those that the lock has, if it takes several.
        places: Option<(u32, u32)>,
    },
    /// An earlier slot waits for places of a lock.
    LockAwaited {
        /// The name of the lock.
        lock: String,
        /// The job of that slot.
        by: Arc<str>,
    },
    /// A job that it follows has not succeeded.
    Awaits {
        /// The job.
        job: Arc<str>,
        /// The time after which it must succeed.
        since: Timestamp,
    },
    /// It could not start before its deadline.
    GaveUp {
        /// The last reason for which it waited.
        waited_for: Option<Box<Self>>,
    },
    /// Too many slots of the job are waiting.
    QueueFull,
    /// The job is paused.
    Paused {
        /// The start of the pause.
        since: Timestamp,
        /// The reason given for the pause.
        reason: String,
    },
    /// Its schedule was changed.
    Edited,
    /// The jobs file no longer has the job.
    Removed,
    /// Its time comes from a clock that was far ahead.
    ClockAhead,
    /// The next slot is due and ends the retries of the one before.
    NextSlot,
    /// No machine that shares the schedule has the labels that the job needs.
    NoMachine {
        /// The labels.
        needs: String,
    },
    /// The machines with the labels that the job needs run as many as they may.
    NoRoom {
        /// The labels.
        needs: String,
    },
}

/// The word of [`DecisionReason::Paused`] in history.
pub const PAUSED: &str = "paused";

impl DecisionReason {
    /// Returns its word in history and in `--json`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Asked => "asked",
            Self::Succeeded => "succeeded",
            Self::Arrived => "arrived",
            Self::CaughtUp { .. } => "caught-up",
            Self::Jitter { .. } => "jitter",
            Self::Spread { .. } => "spread",
            Self::Window { .. } => "window",
            Self::MisfireSkip => "misfire-skip",
            Self::Covered { .. } => "covered",
            Self::TooMany { .. } => "too-many",
            Self::TooLate { .. } => "too-late",
            Self::StillRunning { .. } => "still-running",
            Self::StillWaiting { .. } => "still-waiting",
            Self::Replaced { .. } => "replaced",
            Self::MaxRunning { .. } => "max-running",
            Self::Locked { .. } | Self::LockAwaited { .. } => "locked",
            Self::Awaits { .. } => "awaits",
            Self::GaveUp { .. } => "gave-up",
            Self::QueueFull => "queue-full",
            Self::Paused { .. } => PAUSED,
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::ClockAhead => "clock-ahead",
            Self::NextSlot => "next-slot",
            Self::NoMachine { .. } => "no-machine",
            Self::NoRoom { .. } => "no-room",
        }
    }

    /// Returns the slot whose run covers the one that was skipped.
    pub const fn covered_by(&self) -> Option<Timestamp> {
        match self {
            Self::Covered { by } => Some(*by),
            _ => None,
        }
    }
}

impl fmt::Display for DecisionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due => write!(f, "due"),
            Self::Asked => write!(f, "asked for"),
            Self::Succeeded => write!(f, "the jobs before it have succeeded"),
            Self::Arrived => write!(f, "files have arrived"),
            Self::CaughtUp { late } => write!(f, "missed, {:#} late", whole(*late)),
            Self::Jitter { until } => write!(f, "`jitter`, until {until}"),
            Self::Spread { until } => {
                write!(f, "`catchup_spread`, until {until}")
            }
            Self::Window { until } => write!(f, "`window` and `not_on`, until {until}"),
            Self::MisfireSkip => write!(f, "missed, and `misfire` is \"skip\""),
            Self::Covered { by } => write!(f, "missed, covered by {by}"),
            Self::TooMany { most } => {
                write!(f, "missed, the {most} newest are run (`max_catchup`)")
            }
            Self::TooLate { late } => write!(f, "{:#} late, past `start_deadline`", whole(*late)),
            Self::StillRunning { run, since } => {
                write!(f, "still running, run {}, since {since:.0}", run.0)
            }
            Self::StillWaiting { slot } => write!(f, "the slot of {slot} still waits"),
            Self::Replaced { by } => write!(f, "replaced by the slot of {by}"),
            Self::MaxRunning { most: 1 } => write!(f, "another run is in progress (`max_running`)"),
            Self::MaxRunning { most } => write!(f, "{most} runs are in progress (`max_running`)"),
            Self::Locked { lock, by, places } => {
                write!(f, "`{}` holds the lock `{}`", visible(&**by), visible(lock))?;
                let Some((wanted, limit)) = places else { return Ok(()) };
                write!(f, ", of whose {limit} places this run takes {wanted}")
            }
            Self::LockAwaited { lock, by } => {
                write!(f, "`{}` waits for the lock `{}` before it", visible(&**by), visible(lock))
            }
            Self::Awaits { job, since } => {
                write!(f, "`{}` has not succeeded since {since:.0}", visible(&**job))
            }
            Self::GaveUp { waited_for: None } => write!(f, "it could not begin in time"),
            Self::GaveUp { waited_for: Some(what) } => {
                write!(f, "it could not begin in time: {what}")
            }
            Self::QueueFull => write!(f, "too many slots wait"),
            Self::Paused { since, reason } if reason.is_empty() => {
                write!(f, "paused since {since:.0}")
            }
            Self::Paused { since, reason } => {
                write!(f, "paused since {since:.0}: {}", visible(reason))
            }
            Self::Edited => write!(f, "its schedule was changed"),
            Self::Removed => write!(f, "the jobs file has the job no more"),
            Self::ClockAhead => write!(f, "its time was set by a clock that was far ahead"),
            Self::NextSlot => write!(f, "the next slot is due"),
            Self::NoMachine { needs } if needs.is_empty() => write!(f, "no machine is there"),
            Self::NoMachine { needs } => write!(f, "no machine with `{needs}` is there"),
            Self::NoRoom { needs } if needs.is_empty() => {
                write!(f, "each machine runs as many as it may")
            }
            Self::NoRoom { needs } => {
                write!(f, "each machine with `{needs}` runs as many as it may")
            }
        }
    }
}

/// Truncates to whole seconds.
fn whole(late: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(late.as_secs())
}
