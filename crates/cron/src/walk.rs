//! The slots of an expression in a zone.
//!
//! A zone is a sequence of segments with a constant offset from UTC. Within a segment, local time is a plain axis; the
//! rules for the boundaries are here: a fixed time in a gap is moved to the first instant after the gap, one that
//! occurs twice fires the first time, and an interval fires at every matching instant. Jumps of more than three hours
//! are changes of the calendar: missing times are dropped, repeated ones fire again.

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::{Expression, ExpressionKind, Schedule, StartLimits, fields::CronFields};
use crate::slot::{Slot, SlotId};
use portolan_core::limits::CRON_SEARCH_YEARS;

/// The longest jump that counts as daylight saving time: Troll station uses two hours, which is the maximum.
const SEASON_MAX: SignedDuration = SignedDuration::from_hours(3);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The search range, counted in leap years.
const SEARCH: SignedDuration = SignedDuration::from_hours(CRON_SEARCH_YEARS * 366 * 24);

/// An iterator over the slots of a schedule, in order; it ends only if none comes within eight years.
#[derive(Debug, Clone)]
pub struct Firings<'s> {
    schedule: &'s Schedule,
    walk: SlotWalk,
}

impl<'s> Firings<'s> {
    pub(super) fn new(schedule: &'s Schedule, after: Timestamp) -> Self {
        Self { schedule, walk: SlotWalk::new(after) }
    }
}

impl Iterator for Firings<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        self.walk.next(self.schedule)
    }
}

/// A position among the slots of a schedule. Separate from the schedule so that both can be stored side by side.
#[derive(Debug, Clone)]
pub struct SlotWalk {
    /// The time up to which slots have been returned.
    after: Timestamp,
    /// The segment of `after`, once it has been looked up.
    segment: Option<Segment>,
}

impl SlotWalk {
    /// Creates a position before the first slot after `after`.
    pub fn new(after: Timestamp) -> Self {
        Self { after, segment: None }
    }

    /// Returns the next slot.
    pub fn next(&mut self, schedule: &Schedule) -> Option<Slot> {
        let Some(limits) = &schedule.limits else { return self.step(schedule) };
        let end = self.after.checked_add(SEARCH).unwrap_or(Timestamp::MAX);
        loop {
            let slot = self.step(schedule).filter(|slot| slot.at <= end)?;
            let civil = slot.civil(&schedule.zone.rules);
            let open = limits.next_allowed(civil)?;
            if open == civil {
                return Some(slot);
            }
            // No slot before that time is permitted; a clock may be put ahead or back by a few hours until then.
            let then = schedule.zone.rules.to_ambiguous_timestamp(open).compatible().ok()?;
            let near = then.checked_sub(SEASON_MAX + HOUR).unwrap_or(self.after);
            if near > self.after {
                (self.after, self.segment) = (near, None);
            }
        }
    }

    /// Returns the next slot of any expression; limits matter only for times in a gap.
    fn step(&mut self, schedule: &Schedule) -> Option<Slot> {
        let slot = if schedule.others.is_empty() {
            self.next_by(&schedule.expression, schedule)?
        } else {
            let next = |expression| Self::new(self.after).next_by(expression, schedule);
            // Of two at one instant the one that was moved comes first: its local time is the earlier one.
            schedule
                .expressions()
                .filter_map(next)
                .min_by_key(|slot| (slot.at, slot.moved_from.is_none()))?
        };
        self.after = slot.at;
        Some(slot)
    }

    fn next_by(&mut self, expression: &Expression, schedule: &Schedule) -> Option<Slot> {
        match &expression.kind {
            ExpressionKind::Every { period_s, phase_s } => every(self.after, *period_s, *phase_s),
            ExpressionKind::Fields(fields) => {
                self.next_of(fields, &schedule.zone.rules, schedule.limits.as_deref())
            }
        }
    }

    fn next_of(
        &mut self,
        fields: &CronFields,
        zone: &TimeZone,
        limits: Option<&StartLimits>,
    ) -> Option<Slot> {
        let horizon = horizon(fields, self.after)?;
        let held = self.segment.take().filter(|segment| segment.holds(self.after));
        let mut segment = held.unwrap_or_else(|| Segment::of(self.after, zone));
        let mut low = segment.civil(self.after);
        loop {
            if let Some(slot) = segment.next(fields, low, horizon, limits) {
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

/// Returns the time at which the search ends.
fn horizon(fields: &CronFields, after: Timestamp) -> Option<Timestamp> {
    // If years are named, the last of them is the end, however far away. Two more days allow for the zone.
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
    // An instant within a second, before 1970: `as_second` rounds towards zero.
    let since = if after.subsec_nanosecond() < 0 { since - 1 } else { since };
    let second = since.div_euclid(period_s).checked_add(1)?.checked_mul(period_s)?;
    let at = Timestamp::from_second(second.checked_add(phase_s)?).ok()?;
    Some(Slot { id: SlotId::Instant(at), at, moved_from: None })
}

/// A period in which a zone's offset does not change.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    offset: Offset,
    next: Option<Offset>,
    /// The local time reached by the previous segment, if the clock was put back at the start of this one, and by how
    /// much.
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

    /// Returns the first slot of this segment, or at its end, after the local time `low`.
    fn next(
        &self,
        fields: &CronFields,
        mut low: DateTime,
        horizon: Timestamp,
        limits: Option<&StartLimits>,
    ) -> Option<Slot> {
        let put_back = self.put_back.filter(|_| !fields.is_interval);
        if let Some((reached, back)) = put_back
            && back <= SEASON_MAX
        {
            // Times that occurred in the first pass have fired.
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
        self.moved(fields, limits)
    }

    /// Returns the slot at the end of this segment for the fixed times in the gap that follows, the first of them that the
    /// limits permit: one that they exclude hides neither a later one nor a time after the gap.
    fn moved(&self, fields: &CronFields, limits: Option<&StartLimits>) -> Option<Slot> {
        let (end, next) = (self.end?, self.next?);
        let ahead = seconds(next) - seconds(self.offset);
        if fields.is_interval || ahead <= SignedDuration::ZERO || ahead > SEASON_MAX {
            return None;
        }
        let (from, to) = (self.civil(end), next.to_datetime(end));
        let (mut low, last) = (from.checked_sub(SECOND).ok()?, to.checked_sub(SECOND).ok()?);
        let civil = loop {
            let civil = fields.next(low, last)?;
            if limits.is_none_or(|limits| limits.allows(civil)) {
                break civil;
            }
            low = civil;
        };
        Some(Slot { id: SlotId::Civil(civil), at: end, moved_from: Some(civil) })
    }
}

fn seconds(offset: Offset) -> SignedDuration {
    SignedDuration::from_secs(offset.seconds().into())
}
