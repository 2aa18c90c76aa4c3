//! Cron expressions, and when they fire.
//!
//! The `cron` crate is asked for nothing but which seconds, minutes, hours and months a field names: days, zones, gaps
//! and overlaps are ours (`walk`), since it fires twice, late or without end where a clock is put forward or back.

mod alias;
mod days;
mod field;
mod fields;
mod parse;
#[cfg(test)]
mod tests;
mod walk;

use std::ops::Range;

use jiff::{SignedDuration, Timestamp, civil::DateTime};

pub(in crate::schedule) use self::alias::fields_of;
pub use self::walk::Firings;
pub(super) use self::walk::Walk;
use self::{fields::Fields, parse::parse};
use super::{slot::Slot, stable, zone::Zone};
use crate::limits::CRON_SEARCH_YEARS;

/// A parsed expression, without a zone.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    kind: Kind,
    /// The zone that the expression names itself: `CRON_TZ=Europe/Berlin 0 3 * * *`.
    pub zone: Option<String>,
    /// What may not be meant.
    pub warnings: Vec<Mistake>,
}

#[derive(Debug, Clone)]
enum Kind {
    Fields(Box<Fields>),
    /// `@every`: at each whole multiple of `period_s` after `phase_s`, counted from 1970.
    Every {
        period_s: i64,
        phase_s: i64,
    },
}

/// What is wrong, or surprising, in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// A lower-case clause.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the expression, in bytes.
    pub at: Range<usize>,
}

impl Expression {
    /// Reads an expression of 5, 6 (seconds first) or 7 fields, or an alias. `job` decides what `H` and the phase of
    /// `@every` mean: always the same for one name.
    pub fn parse(text: &str, job: &str) -> Result<Self, Mistake> {
        parse(text, job)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it runs at every matching moment (its second, minute or hour begins with `*`) instead of once at each
    /// named time of day.
    pub fn is_interval(&self) -> bool {
        match &self.kind {
            Kind::Fields(fields) => fields.is_interval,
            Kind::Every { .. } => true,
        }
    }

    /// With its zone.
    pub fn in_zone(self, zone: Zone) -> Schedule {
        let hash = stable(&[&self.text, &zone.name]);
        Schedule { revision: format!("{hash:016x}"), expression: self, zone }
    }
}

/// An expression in a zone: all that is needed to know when it fires.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The expression.
    pub expression: Expression,
    /// The zone whose wall clock it goes by.
    pub zone: Zone,
    /// Changes when expression or zone do. A changed schedule begins anew, and never fires for the past.
    pub revision: String,
}

impl Schedule {
    /// The first slot later than `after`; nothing if none comes within eight years.
    pub fn next(&self, after: Timestamp) -> Option<Slot> {
        self.firings(after).next()
    }

    /// All slots later than `after`, in order.
    pub fn firings(&self, after: Timestamp) -> Firings<'_> {
        Firings::new(self, after)
    }

    /// Whether the expression names this time on the wall, be it that it happens or not.
    pub fn names(&self, time: DateTime) -> bool {
        match &self.expression.kind {
            Kind::Fields(fields) => fields.has(time),
            Kind::Every { .. } => false,
        }
    }

    /// The last slot earlier than `before`; nothing if there was none in the eight years before.
    pub fn last(&self, before: Timestamp) -> Option<Slot> {
        // From short to long, so that neither a schedule by the second nor one by the year takes long.
        let hours = [1, 24, 24 * 32, 24 * 367, 24 * 366 * CRON_SEARCH_YEARS];
        hours.into_iter().find_map(|hours| {
            let from = before.checked_sub(SignedDuration::from_hours(hours)).ok()?;
            self.firings(from).take_while(|slot| slot.at < before).last()
        })
    }

    /// The time from the first slot later than `after` to the second.
    pub fn period(&self, after: Timestamp) -> Option<SignedDuration> {
        let mut firings = self.firings(after);
        let first = firings.next()?;
        Some(firings.next()?.at.duration_since(first.at))
    }
}
