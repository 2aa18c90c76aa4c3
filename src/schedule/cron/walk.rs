//! When an expression fires in a zone.
//!
//! A zone is a row of segments in which the offset from UTC does not change. Within one, the wall clock is a plain
//! axis; what happens where two meet is decided here: a fixed time that the clock jumps over is moved to the first
//! moment after the jump, one that comes twice is taken the first time, and an interval goes by what really happens.
//! Jumps of more than three hours are changes of the calendar: missing times are dropped, repeated ones come again.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::{Kind, Schedule, fields::Fields};
use crate::{
    limits::CRON_SEARCH_YEARS,
    schedule::slot::{Slot, SlotId},
};

/// The longest jump of a clock that is a matter of seasons: Troll goes by two hours, nobody by more.
const SEASON_MAX: SignedDuration = SignedDuration::from_hours(3);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// As if all those years were leap years.
const SEARCH: SignedDuration = SignedDuration::from_hours(CRON_SEARCH_YEARS * 366 * 24);

/// The slots of a schedule, in order, without end unless none comes within eight years.
#[derive(Debug, Clone)]
pub struct Firings<'s> {
    schedule: &'s Schedule,
    walk: Walk,
}

impl<'s> Firings<'s> {
    pub(super) fn new(schedule: &'s Schedule, after: Timestamp) -> Self {
        Self { schedule, walk: Walk::new(after) }
    }
}

impl Iterator for Firings<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        self.walk.next(self.schedule)
    }
}

/// A place among the slots of a schedule. Kept apart from the schedule so that it can stand beside it.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Walk {
    /// Slots up to here have been given.
    after: Timestamp,
    /// The segment of `after`, once it has been looked up.
    segment: Option<Segment>,
}

impl Walk {
    /// Before the first slot later than `after`.
    pub(in crate::schedule) fn new(after: Timestamp) -> Self {
        Self { after, segment: None }
    }

    /// The next slot.
    pub(in crate::schedule) fn next(&mut self, schedule: &Schedule) -> Option<Slot> {
        let slot = match &schedule.expression.kind {
            Kind::Every { period_s, phase_s } => every(self.after, *period_s, *phase_s),
            Kind::Fields(fields) => self.next_of(fields, &schedule.zone.rules),
        }?;
        self.after = slot.at;
        Some(slot)
    }

    fn next_of(&mut self, fields: &Fields, zone: &TimeZone) -> Option<Slot> {
        let horizon = horizon(fields, self.after)?;
        let held = self.segment.take().filter(|segment| segment.holds(self.after));
        let mut segment = held.unwrap_or_else(|| Segment::of(self.after, zone));
        let mut low = segment.civil(self.after);
        loop {
            if let Some(slot) = segment.next(fields, low, horizon) {
                // A slot at the end of a segment belongs to the next one.
                self.segment = segment.holds(slot.at).then_some(segment);
                return Some(slot);
            }
            let end = segment.end?;
            if end > horizon {
                return None;
            }
            segment = Segment::of(end, zone);
            // The first second of a segment may match as well.
            low = segment.civil(end).checked_sub(SECOND).ok()?;
        }
    }
}

/// The moment after which nothing is looked for any more.
fn horizon(fields: &Fields, after: Timestamp) -> Option<Timestamp> {
    // Where years are named, the last of them is the end, however far it is. Two days more, for the zone.
    let last = match fields.last_year() {
        Some(year) => {
            let end = DateTime::new(i16::try_from(year).ok()?, 12, 31, 23, 59, 59, 0).ok()?;
            TimeZone::UTC
                .to_timestamp(end)
                .unwrap_or(Timestamp::MAX)
                .checked_add(SignedDuration::from_hours(48))
        }
        None => after.checked_add(SEARCH),
    };
    // The calendar ends with the year 9999.
    Some(last.unwrap_or(Timestamp::MAX))
}

fn every(after: Timestamp, period_s: i64, phase_s: i64) -> Option<Slot> {
    let since = after.as_second().checked_sub(phase_s)?;
    // A moment within a second, before 1970: `as_second` rounds towards zero.
    let since = if after.subsec_nanosecond() < 0 { since - 1 } else { since };
    let second = since.div_euclid(period_s).checked_add(1)?.checked_mul(period_s)?;
    let at = Timestamp::from_second(second.checked_add(phase_s)?).ok()?;
    Some(Slot { id: SlotId::Instant(at), at, moved_from: None })
}

/// A stretch of time in which a zone's offset does not change.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    offset: Offset,
    next: Option<Offset>,
    /// The time on the wall that the segment before had reached, if the clock was put back here, and by how much.
    put_back: Option<(DateTime, SignedDuration)>,
}

impl Segment {
    fn of(at: Timestamp, zone: &TimeZone) -> Self {
        let nanosecond = SignedDuration::from_nanos(1);
        let after = at.checked_add(nanosecond).unwrap_or(at);
        let start = zone.preceding(after).next().map(|change| change.timestamp());
        let before = start.and_then(|start| start.checked_sub(nanosecond).ok());
        let next = zone.following(at).next();
        let offset = zone.to_offset(at);
        let put_back = before.map(|before| zone.to_offset(before)).zip(start);
        let put_back = put_back.and_then(|(before, start)| {
            let back = seconds(before) - seconds(offset);
            (back > SignedDuration::ZERO).then(|| (before.to_datetime(start), back))
        });
        Self {
            start,
            end: next.as_ref().map(jiff::tz::TimeZoneTransition::timestamp),
            offset,
            next: next.map(|change| change.offset()),
            put_back,
        }
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at < end)
    }

    fn civil(&self, at: Timestamp) -> DateTime {
        self.offset.to_datetime(at)
    }

    /// The first slot of this segment, or at its end, after the time on the wall `low`.
    fn next(&self, fields: &Fields, mut low: DateTime, horizon: Timestamp) -> Option<Slot> {
        let put_back = self.put_back.filter(|_| !fields.is_interval);
        if let Some((reached, back)) = put_back
            && back <= SEASON_MAX
        {
            // What the first pass had is spent.
            low = low.max(reached.checked_sub(SECOND).ok()?);
        }
        let last = self.end.unwrap_or(horizon).min(horizon);
        let last_civil = self.offset.to_datetime(last).checked_sub(SECOND).ok()?;
        if let Some(civil) = fields.next(low, last_civil) {
            let at = self.offset.to_timestamp(civil).ok()?;
            let id = match put_back {
                _ if fields.is_interval => SlotId::Instant(at),
                Some((reached, _)) if civil < reached => SlotId::CivilAgain(civil),
                _ => SlotId::Civil(civil),
            };
            return Some(Slot { id, at, moved_from: None });
        }
        self.moved(fields)
    }

    /// The slot at the end of this segment for the fixed times that the clock jumps over there.
    fn moved(&self, fields: &Fields) -> Option<Slot> {
        let (end, next) = (self.end?, self.next?);
        let ahead = seconds(next) - seconds(self.offset);
        if fields.is_interval || ahead <= SignedDuration::ZERO || ahead > SEASON_MAX {
            return None;
        }
        let (from, to) = (self.civil(end), next.to_datetime(end));
        let civil = fields.next(from.checked_sub(SECOND).ok()?, to.checked_sub(SECOND).ok()?)?;
        Some(Slot { id: SlotId::Civil(civil), at: end, moved_from: Some(civil) })
    }
}

fn seconds(offset: Offset) -> SignedDuration {
    SignedDuration::from_secs(offset.seconds().into())
}
