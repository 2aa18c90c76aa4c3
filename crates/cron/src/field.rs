//! A field of an expression: lists, ranges, steps, names, `H`.

use std::ops::Range;

use super::Mistake;
use crate::stable_hash;
use portolan_core::similar::nearest;

/// The values that a field accepts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    /// The name of the field in messages.
    pub(super) name: &'static str,
    pub(super) least: u16,
    pub(super) most: u16,
    /// The names of values; the first stands for `first_name`.
    names: &'static [&'static str],
    first_name: u16,
    /// The greatest value that `H` may choose: one that every month has.
    hash_most: u16,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const fn plain(name: &'static str, least: u16, most: u16, hash_most: u16) -> Spec {
    Spec { name, least, most, names: &[], first_name: 0, hash_most }
}

pub(super) const SECOND: Spec = plain("second", 0, 59, 59);
pub(super) const MINUTE: Spec = plain("minute", 0, 59, 59);
pub(super) const HOUR: Spec = plain("hour", 0, 23, 23);
pub(super) const DAY: Spec = plain("day of the month", 1, 31, 28);
pub(super) const MONTH: Spec = Spec { names: &MONTHS, first_name: 1, ..plain("month", 1, 12, 12) };
/// The day of the week; 7 is Sunday, as is 0.
pub(super) const WEEKDAY: Spec = Spec { names: &DAYS, ..plain("day of the week", 0, 7, 6) };
/// The year; jiff's calendar ends with the year 9999.
pub(super) const YEAR: Spec = plain("year", 1970, 9999, 2099);

/// A range with a step, including both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SteppedRange {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) step: u16,
}

impl SteppedRange {
    pub(super) fn has(self, value: u16) -> bool {
        (self.first..=self.last).contains(&value) && (value - self.first).is_multiple_of(self.step)
    }
}

/// A field, or a part of one, with its position in the expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldText<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> FieldText<'t> {
    pub(super) fn range(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Returns the parts between commas.
    pub(super) fn items(self) -> impl Iterator<Item = FieldText<'t>> {
        let start = self.text.as_ptr() as usize;
        self.text
            .split(',')
            .map(move |text| FieldText { text, at: self.at + text.as_ptr() as usize - start })
    }

    /// Returns true if it starts with `*` or `?`, and so counts as unrestricted, as in crontab(5).
    pub(super) fn is_star(self) -> bool {
        self.text.starts_with(['*', '?'])
    }

    pub(super) fn mistake(self, message: impl Into<String>) -> Mistake {
        Mistake { message: message.into(), hint: None, at: self.range() }
    }

    pub(super) fn hinted(self, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        Mistake { hint: Some(hint.into()), ..self.mistake(message) }
    }
}

impl Spec {
    /// Reads an item as a range; `job` determines the value of `H`.
    pub(super) fn run(&self, item: FieldText<'_>, job: &str) -> Result<SteppedRange, Mistake> {
        let FieldText { text, .. } = item;
        if text.is_empty() {
            let message = format!("the {} has nothing between two commas, or after one", self.name);
            return Err(item.hinted(message, "a list has no blanks: write `1,2`, not `1, 2`"));
        }
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.step(item, step)?)),
            None => (text, None),
        };
        if range.starts_with(['H', 'h']) {
            return self.hashed(item, range, step, job);
        }
        let (first, last) = match range.split_once('-') {
            // crontab has `*/n` and `a-b/n`; `?` is Quartz's word for an unrestricted day.
            None if range == "*" || range == "?" => (self.least, self.whole_most()),
            None if step.is_some() => (self.first(self.value(item, range)?), self.whole_most()),
            None => {
                let value = self.value(item, range)?;
                (value, value)
            }
            Some((first, last)) => (self.value(item, first)?, self.end(item, last)?),
        };
        if first > last {
            let message = format!("the range `{range}` ends before it begins");
            let parts = self.unrolled(first, last, step.unwrap_or(1));
            return Err(item.hinted(message, format!("write `{parts}`")));
        }
        Ok(SteppedRange { first, last, step: step.unwrap_or(1) })
    }

    /// Returns the last value of `*`: Sunday does not count twice.
    fn whole_most(&self) -> u16 {
        if self.most == 7 { 6 } else { self.most }
    }

    /// Returns the first value of a range that starts with `value`: 7 is also the Sunday before Monday.
    fn first(&self, value: u16) -> u16 {
        if value > self.whole_most() { self.least } else { value }
    }

    /// Returns the range from `value` to the end.
    pub(super) fn range_from(&self, value: u16) -> String {
        format!("{}-{}", self.first(value), self.whole_most())
    }

    /// Returns the items equivalent to `first-last/step` if the range wraps around, as from Friday to Monday.
    fn unrolled(&self, first: u16, last: u16, step: u16) -> String {
        let (bottom, top, first) = (self.least, self.whole_most(), self.first(first));
        let range = |from: u16, to: u16| {
            if from == to { from.to_string() } else { format!("{from}-{to}") }
        };
        if self.least == YEAR.least {
            // Years do not wrap around.
            let every = if step == 1 { String::new() } else { format!("/{step}") };
            return format!("{last}-{first}{every}");
        }
        if step == 1 {
            return if first <= last {
                range(first, last)
            } else {
                format!("{},{}", range(first, top), range(bottom, last))
            };
        }
        let span = top - bottom + 1;
        let length = (last + span - first) % span;
        let mut values: Vec<_> = (0..=length)
            .step_by(step.into())
            .map(|more| bottom + (first - bottom + more) % span)
            .collect();
        values.sort_unstable();
        values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn step(&self, item: FieldText<'_>, step: &str) -> Result<u16, Mistake> {
        let span = self.most - self.least;
        let number = step.parse::<u16>().ok().filter(|step| *step >= 1);
        let Some(number) = number else {
            return Err(item.mistake(format!("`/{step}` is no step: it wants a number from 1 on")));
        };
        if number > span {
            let message = format!("no {} is {number} after another", self.name);
            let hint = format!("steps go up to {span}; `{}` alone is the first", self.least);
            return Err(item.hinted(message, hint));
        }
        Ok(number)
    }

    /// Reads a number or a name.
    pub(super) fn value(&self, item: FieldText<'_>, word: &str) -> Result<u16, Mistake> {
        let Self { name, least, most, .. } = self;
        if let Some(value) = self.named(word) {
            return Ok(value);
        }
        match word.parse::<u16>() {
            Ok(value) if (*least..=*most).contains(&value) => Ok(value),
            Ok(value) => {
                Err(item.mistake(format!("{value} is no {name}: those are {least} to {most}")))
            }
            Err(_) if word.is_empty() => Err(item.mistake(format!("the {name} lacks a number"))),
            Err(_) => Err(self.no_value(item, word)),
        }
    }

    /// Reads the end of a range: `FRI-SUN` ends with the following Sunday, which is 7.
    fn end(&self, item: FieldText<'_>, word: &str) -> Result<u16, Mistake> {
        let value = self.value(item, word)?;
        Ok(if self.most == 7 && value == 0 && word.parse::<u16>().is_err() { 7 } else { value })
    }

    fn named(&self, word: &str) -> Option<u16> {
        let word = word.to_ascii_lowercase();
        let is_it = |name: &&str| name.get(..3) == Some(&word) || **name == word;
        let at = self.names.iter().position(is_it)?;
        u16::try_from(at).ok().map(|at| at + self.first_name)
    }

    fn no_value(&self, item: FieldText<'_>, word: &str) -> Mistake {
        let message = format!("`{word}` is no {}", self.name);
        let short = self.names.iter().filter_map(|name| name.get(..3));
        let known: Vec<_> = short.chain(self.names.iter().copied()).collect();
        let near = nearest(word, &known);
        let short = near.and_then(|name| name.get(..3)).map(str::to_uppercase);
        if let Some(short) = short {
            return item.hinted(message, format!("did you mean `{short}`?"));
        }
        if word.contains('~') {
            return item
                .hinted(message, "`H` is a value of the job's own, `H(0-29)` one in a range");
        }
        let names = match self.names {
            [first, .., last] => {
                let short = |name: &str| name.get(..3).unwrap_or(name).to_uppercase();
                format!(", or {} to {}", short(first), short(last))
            }
            _ => String::new(),
        };
        item.hinted(message, format!("a {} is {} to {}{names}", self.name, self.least, self.most))
    }

    /// Returns the field with a number, or a range with a step, in the place of each `H`; `None` if it cannot be read.
    pub(super) fn without_hash(&self, field: FieldText<'_>, job: &str) -> Option<String> {
        let item = |item: FieldText<'_>| {
            if !item.text.starts_with(['H', 'h']) {
                return Some(item.text.to_owned());
            }
            let SteppedRange { first, last, step } = self.run(item, job).ok()?;
            // Where only one value fits in, a range with a step would not be read everywhere.
            Some(if first + step > last {
                first.to_string()
            } else if step == 1 {
                format!("{first}-{last}")
            } else {
                format!("{first}-{last}/{step}")
            })
        };
        Some(field.items().map(item).collect::<Option<Vec<_>>>()?.join(","))
    }

    /// Reads `H`, `H/15`, `H(0-29)`, `H(0-29)/10`: values that depend on the job's name alone.
    fn hashed(
        &self,
        item: FieldText<'_>,
        range: &str,
        step: Option<u16>,
        job: &str,
    ) -> Result<SteppedRange, Mistake> {
        let inside = range.get(1..).unwrap_or_default();
        let (first, last) = if inside.is_empty() {
            (self.least, self.hash_most)
        } else {
            let pair = inside.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let pair = pair.and_then(|pair| pair.split_once('-'));
            let Some((first, last)) = pair else {
                return Err(item.hinted(
                    format!("`{range}` cannot be read"),
                    "write `H`, `H/15`, `H(0-29)` or `H(0-29)/10`",
                ));
            };
            (self.value(item, first)?, self.end(item, last)?)
        };
        if first > last {
            let message = format!("the range `{range}` ends before it begins");
            let every = step.map(|step| format!("/{step}")).unwrap_or_default();
            let (bottom, top) = (self.least, self.whole_most());
            let late =
                if first > top { String::new() } else { format!("`H({first}-{top}){every}` or ") };
            return Err(item.hinted(message, format!("write {late}`H({bottom}-{last}){every}`")));
        }
        let span = step.unwrap_or(last - first + 1).min(last - first + 1);
        let chosen = stable_hash(&[job, self.name]) % u64::from(span);
        let chosen = first + u16::try_from(chosen).unwrap_or(0);
        Ok(match step {
            None => SteppedRange { first: chosen, last: chosen, step: 1 },
            Some(step) => SteppedRange { first: chosen, last, step },
        })
    }
}
