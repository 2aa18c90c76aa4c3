//! Slots: the times for which a job is to run.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A time for which a job is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The identity of the slot.
    pub id: SlotId,
    /// The instant at which it is due; `job::SCHEDULED_FOR` in scripts.
    pub at: Timestamp,
    /// The local time that the clock skipped, if the slot was moved to the end of the gap.
    pub moved_from: Option<DateTime>,
}

impl Slot {
    /// Returns true for a slot of files that have arrived.
    pub const fn is_of_files(&self) -> bool {
        matches!(self.id, SlotId::Files(_))
    }

    /// Returns the local time that its schedule names: that of its instant, unless the clock skipped it.
    pub fn civil(&self, rules: &TimeZone) -> DateTime {
        match self.id {
            SlotId::Civil(civil) | SlotId::CivilAgain(civil) => civil,
            _ => rules.to_datetime(self.at),
        }
    }
}

/// The identity of a slot: unique for ever together with the job and the revision of its schedule, whatever clocks and
/// zone data do. Its text form is the key of a run's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotId {
    /// A local time, of a fixed-time schedule: new zone data may move its instant, but not duplicate it.
    Civil(DateTime),
    /// The same local time after the calendar was set back by more than three hours.
    CivilAgain(DateTime),
    /// An instant, of an interval schedule: in a repeated hour each local time occurs twice.
    Instant(Timestamp),
    /// The instant of a manual request (`portolan trigger`).
    Asked(Timestamp),
    /// The instant at which the last of the jobs in `after` succeeded, for a job without `cron`.
    After(Timestamp),
    /// The instant at which files that had arrived were handed out (`watch`, `arrival`).
    Files(Timestamp),
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |at: DateTime| {
            let form = if at.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
            at.strftime(form)
        };
        match self {
            Self::Civil(at) => write!(f, "L{}", minutes(*at)),
            Self::CivilAgain(at) => write!(f, "L{}+2", minutes(*at)),
            Self::Instant(at) => write!(f, "U{at}"),
            Self::Asked(at) => write!(f, "M{at}"),
            Self::After(at) => write!(f, "D{at}"),
            Self::Files(at) => write!(f, "F{at}"),
        }
    }
}

/// An error for text that is not a [`SlotId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no slot is written like this")]
pub struct NoSlotId;

impl FromStr for SlotId {
    type Err = NoSlotId;

    fn from_str(text: &str) -> Result<Self, NoSlotId> {
        let (kind, rest) = text.split_at_checked(1).ok_or(NoSlotId)?;
        let instant = || rest.parse::<Timestamp>().map_err(|_| NoSlotId);
        let civil = |text: &str| text.parse::<DateTime>().map_err(|_| NoSlotId);
        match (kind, rest.strip_suffix("+2")) {
            ("L", None) => civil(rest).map(Self::Civil),
            ("L", Some(rest)) => civil(rest).map(Self::CivilAgain),
            ("U", _) => instant().map(Self::Instant),
            ("M", _) => instant().map(Self::Asked),
            ("D", _) => instant().map(Self::After),
            ("F", _) => instant().map(Self::Files),
            _ => Err(NoSlotId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_from_its_text() {
        for text in [
            "L2026-11-01T01:30",
            "L2026-11-01T01:30:05",
            "L1892-07-04T12:00+2",
            "U2026-11-01T05:30:00Z",
            "M2026-11-01T05:30:00.123Z",
            "D2026-11-01T05:30:00Z",
            "F2026-11-01T05:30:00.123Z",
        ] {
            assert_eq!(text.parse::<SlotId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "L", "X2026-11-01T05:30:00Z", "U2026-11-01T01:30", "ö"] {
            assert_eq!(text.parse::<SlotId>(), Err(NoSlotId), "{text}");
        }
    }
}
