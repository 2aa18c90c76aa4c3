//! Cron expressions, time zones, and the times at which expressions fire. Nothing here does I/O, but for the reading of
//! zone data.
//!
//! The `cron` crate only tells which seconds, minutes, hours and months a field names: days, zones, gaps and overlaps
//! are implemented here (`walk`), since the crate fires twice, late or endlessly when a clock is put forward or back.

mod alias;
mod days;
mod field;
mod fields;
mod parse;
mod rate_table;
pub mod slot;
mod start_limits;
#[cfg(test)]
mod tests;
mod walk;
pub mod zone;

use std::{ops::Range, sync::Arc};

use jiff::{SignedDuration, Timestamp, civil::DateTime};
use sha2::{Digest, Sha256};

pub use self::alias::fields_of;
pub use self::parse::without_hash;
pub use self::rate_table::RateTable;
pub use self::start_limits::{DateSet, DayWindow, StartLimits};
pub use self::walk::Firings;
pub use self::walk::SlotWalk;
use self::{fields::CronFields, parse::parse};
use self::{slot::Slot, zone::Zone};
use portolan_core::{limits::CRON_SEARCH_YEARS, similar::nearest};

/// The time whose slots are walked over one by one in search of the last.
const HALVED_MIN: SignedDuration = SignedDuration::from_hours(24);

/// A parsed expression, without a zone.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    kind: ExpressionKind,
    /// The zone that the expression names itself: `CRON_TZ=Europe/Berlin 0 3 * * *`.
    pub zone: Option<String>,
    /// Probable mistakes that are allowed.
    pub warnings: Vec<Mistake>,
}

#[derive(Debug, Clone)]
enum ExpressionKind {
    Fields(Box<CronFields>),
    /// `@every`: at each whole multiple of `period_s` after `phase_s`, counted from 1970.
    Every {
        period_s: i64,
        phase_s: i64,
    },
}

/// An error or a surprise in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// A lower-case clause.
    pub message: String,
    /// A hint for fixing it.
    pub hint: Option<String>,
    /// The position in the expression, in bytes.
    pub at: Range<usize>,
}

impl Expression {
    /// Parses an expression of 5, 6 (seconds first) or 7 fields, or an alias. `job` determines the value of `H` and the
    /// phase of `@every`: always the same for the same name.
    pub fn parse(text: &str, job: &str) -> Result<Self, Mistake> {
        parse(text, job)
    }

    /// Returns the expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns true if it runs at every matching instant (its second, minute or hour starts with `*`) instead of once
    /// at each named time of day.
    pub fn is_interval(&self) -> bool {
        match &self.kind {
            ExpressionKind::Fields(fields) => fields.is_interval,
            ExpressionKind::Every { .. } => true,
        }
    }

    /// Adds a zone to the expression.
    pub fn in_zone(self, zone: Zone) -> Schedule {
        let hash = stable_hash(&[&self.text, &zone.name]);
        let revision = format!("{hash:016x}");
        Schedule { revision, expression: self, others: Vec::new(), zone, limits: None }
    }
}

/// An expression in a zone: everything that determines when it fires.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The expression; the first of several.
    pub expression: Expression,
    /// The other expressions: it fires whenever one of them does.
    pub others: Vec<Expression>,
    /// The limits of its slots.
    pub limits: Option<Arc<StartLimits>>,
    /// The zone in whose local time it is evaluated.
    pub zone: Zone,
    /// A hash of expression and zone. A changed schedule starts anew, and never fires for the past.
    pub revision: String,
}

impl Schedule {
    /// Returns the schedule with further expressions and limits. Both belong to its revision.
    #[must_use]
    pub fn with(mut self, others: Vec<Expression>, limits: Option<Arc<StartLimits>>) -> Self {
        if !others.is_empty() || limits.is_some() {
            let limits = format!("{limits:?}");
            let texts = others.iter().map(Expression::text);
            let words: Vec<_> =
                [self.revision.as_str(), &limits].into_iter().chain(texts).collect();
            self.revision = format!("{:016x}", stable_hash(&words));
        }
        Self { others, limits, ..self }
    }

    /// Returns the expressions as they were written.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.expressions().map(Expression::text).collect();
        texts.join(" and ")
    }

    /// Returns its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        std::iter::once(&self.expression).chain(&self.others)
    }

    /// Returns the key that keeps it from firing at `at`, though an expression names that time.
    pub fn refusal(&self, at: Timestamp) -> Option<&'static str> {
        let limits = self.limits.as_ref()?;
        let all = Self { limits: None, ..self.clone() };
        let before = at.checked_sub(SignedDuration::from_nanos(1)).ok()?;
        let slot = all.next(before).filter(|slot| slot.at == at)?;
        limits.refusal(slot.civil(&self.zone.rules))
    }

    /// Returns the first slot after `after`; `None` if there is none within eight years.
    pub fn next(&self, after: Timestamp) -> Option<Slot> {
        self.firings(after).next()
    }

    /// Returns all slots after `after`, in order.
    pub fn firings(&self, after: Timestamp) -> Firings<'_> {
        Firings::new(self, after)
    }

    /// Returns true if the expression names this local time, whether or not that time exists in the zone.
    pub fn names(&self, time: DateTime) -> bool {
        self.expressions().any(|expression| match &expression.kind {
            ExpressionKind::Fields(fields) => fields.has(time),
            ExpressionKind::Every { .. } => false,
        })
    }

    /// Returns the last slot before `before`; `None` if there was none in the eight years before.
    pub fn last(&self, before: Timestamp) -> Option<Slot> {
        // From short to long, so that schedules with a slot per second and with a slot per year are both fast.
        let hours = [1, 24, 24 * 32, 24 * 367, 24 * 366 * CRON_SEARCH_YEARS];
        hours.into_iter().find_map(|hours| {
            let mut from = before.checked_sub(SignedDuration::from_hours(hours)).ok()?;
            let next = |after| self.firings(after).next().filter(|slot| slot.at < before);
            let mut found = next(from)?;
            // A year with a slot per second has too many to walk over: the half with the last slot is kept.
            let mut end = before;
            while end.duration_since(from) > HALVED_MIN {
                let middle = from + end.duration_since(from) / 2;
                match next(middle) {
                    Some(slot) => (from, found) = (middle, slot),
                    None => end = middle,
                }
            }
            self.firings(from).take_while(|slot| slot.at < before).last().or(Some(found))
        })
    }

    /// Returns the time between the first two slots after `after`.
    pub fn period(&self, after: Timestamp) -> Option<SignedDuration> {
        let mut firings = self.firings(after);
        let first = firings.next()?;
        Some(firings.next()?.at.duration_since(first.at))
    }
}

/// Returns a hash that is the same for the same words on every host and in every version; it spreads jobs over time.
pub fn stable_hash(words: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let bytes = hash.finalize();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns the zone that is most similar to `name`, which may be only its city.
fn nearest_zone<'z>(name: &str, known: &[&'z str]) -> Option<&'z str> {
    let city = name.replace(' ', "_").to_lowercase();
    let is_it = |zone: &&&str| zone.to_lowercase().rsplit('/').next() == Some(city.as_str());
    let by_city = known.iter().find(is_it).copied();
    by_city.or_else(|| nearest(name, known))
}
