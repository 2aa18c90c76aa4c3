//! The fields of an expression as sets, and the search for the next local time that is in all of them.

use std::str::FromStr;

use cron::{Schedule, TimeUnitSpec};
use jiff::civil::{Date, DateTime, Time};

use super::{
    Mistake,
    days::Days,
    field::{FieldText, HOUR, MINUTE, MONTH, SECOND, Spec, SteppedRange, YEAR},
};

/// The fields of an expression, each as a set.
#[derive(Debug, Clone)]
pub(super) struct CronFields {
    /// Bit n: second n.
    seconds: u64,
    minutes: u64,
    hours: u64,
    /// Bit 1 to 12.
    months: u64,
    days: Days,
    /// The years; empty for every year.
    years: Vec<SteppedRange>,
    /// True if the second, minute or hour starts with a star.
    pub(super) is_interval: bool,
}

/// The fields as written in the expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'t> {
    pub(super) second: FieldText<'t>,
    pub(super) minute: FieldText<'t>,
    pub(super) hour: FieldText<'t>,
    pub(super) day: FieldText<'t>,
    pub(super) month: FieldText<'t>,
    pub(super) weekday: FieldText<'t>,
    pub(super) year: FieldText<'t>,
}

impl CronFields {
    /// Reads all fields.
    pub(super) fn read(texts: &Texts<'_>, job: &str) -> Result<Self, Mistake> {
        let list = |spec: &Spec, text: FieldText<'_>| -> Result<String, Mistake> {
            let runs = runs(spec, text, job)?;
            let all =
                (spec.least..=spec.most).filter(|value| runs.iter().any(|run| run.has(*value)));
            Ok(all.map(|value| value.to_string()).collect::<Vec<_>>().join(","))
        };
        let plain = format!(
            "{} {} {} * {} *",
            list(&SECOND, texts.second)?,
            list(&MINUTE, texts.minute)?,
            list(&HOUR, texts.hour)?,
            list(&MONTH, texts.month)?,
        );
        let sets = Schedule::from_str(&plain)
            .map_err(|error| texts.minute.mistake(format!("cannot be read: {error}")))?;
        let years = if texts.year.is_star() && !texts.year.text.contains('/') {
            Vec::new()
        } else {
            runs(&YEAR, texts.year, job)?
        };
        Ok(Self {
            seconds: bits(sets.seconds()),
            minutes: bits(sets.minutes()),
            hours: bits(sets.hours()),
            months: bits(sets.months()),
            days: Days::read(texts.day, texts.weekday, job)?,
            years,
            is_interval: [texts.second, texts.minute, texts.hour]
                .into_iter()
                .any(FieldText::is_star),
        })
    }

    /// Returns the last year that can match; `None` if there is none.
    pub(super) fn last_year(&self) -> Option<u16> {
        self.years.iter().map(|run| run.last).max()
    }

    /// Returns the first matching time after `after`, up to and including `last`.
    pub(super) fn next(&self, after: DateTime, last: DateTime) -> Option<DateTime> {
        let date = after.date();
        if self.is_day(date)
            && let Some(time) = self.time_after(after.time())
        {
            let found = date.to_datetime(time);
            return (found <= last).then_some(found);
        }
        let found = self.next_day(date, last.date())?.to_datetime(self.first_time()?);
        (found <= last).then_some(found)
    }

    /// Returns true if a local time matches.
    pub(super) fn has(&self, time: DateTime) -> bool {
        self.is_day(time.date())
            && self.hours >> time.hour() & 1 == 1
            && self.minutes >> time.minute() & 1 == 1
            && self.seconds >> time.second() & 1 == 1
    }

    fn is_day(&self, date: Date) -> bool {
        self.is_month(date) && self.days.mask(date.first_of_month()) >> date.day() & 1 == 1
    }

    fn is_month(&self, date: Date) -> bool {
        let year = u16::try_from(date.year()).unwrap_or(0);
        self.months >> date.month() & 1 == 1
            && (self.years.is_empty() || self.years.iter().any(|run| run.has(year)))
    }

    /// Returns the first matching day after `date`, in months up to that of `last`.
    fn next_day(&self, date: Date, last: Date) -> Option<Date> {
        let mut first = date.first_of_month();
        let mut after = date.day();
        while first <= last {
            if self.is_month(first) {
                // Bits above `after`: shifted twice, since a shift by 32 would overflow.
                let later = self.days.mask(first) >> after >> 1;
                if later != 0 {
                    let day = after + 1 + i8::try_from(later.trailing_zeros()).ok()?;
                    return Date::new(first.year(), first.month(), day).ok();
                }
            }
            first = first.last_of_month().tomorrow().ok()?;
            after = 0;
        }
        None
    }

    /// Returns the first matching time of a day after `time`.
    fn time_after(&self, time: Time) -> Option<Time> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = above(self.seconds, second)
            {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = above(self.minutes, minute) {
                return Time::new(hour, minute, lowest(self.seconds)?, 0).ok();
            }
        }
        let hour = above(self.hours, hour)?;
        Time::new(hour, lowest(self.minutes)?, lowest(self.seconds)?, 0).ok()
    }

    fn first_time(&self) -> Option<Time> {
        Time::new(lowest(self.hours)?, lowest(self.minutes)?, lowest(self.seconds)?, 0).ok()
    }
}

fn runs(spec: &Spec, text: FieldText<'_>, job: &str) -> Result<Vec<SteppedRange>, Mistake> {
    text.items().map(|item| spec.run(item, job)).collect()
}

fn bits(set: &impl TimeUnitSpec) -> u64 {
    set.iter().fold(0, |bits, value| bits | 1 << value)
}

/// Returns the lowest value of a set.
fn lowest(set: u64) -> Option<i8> {
    (set != 0).then(|| i8::try_from(set.trailing_zeros()).ok()).flatten()
}

/// Returns the lowest value of a set above `value`.
fn above(set: u64, value: i8) -> Option<i8> {
    lowest(set & (u64::MAX << value << 1))
}
