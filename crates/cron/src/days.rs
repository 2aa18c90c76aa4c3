//! The days of a month that an expression names.

use jiff::civil::Date;

use super::{
    Mistake,
    field::{DAY, FieldText, WEEKDAY},
};

/// All bits of a week.
const EVERY_DAY: u8 = 0x7f;

/// The two day fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Days {
    /// Bit 1 to 31: these days.
    of_month: u32,
    /// Bit n: the last day but n.
    before_last: u32,
    /// `LW`: the last day from Monday to Friday.
    last_workday: bool,
    /// Bit n: `nW`, the day from Monday to Friday that is nearest to day n, in the same month.
    near: u32,
    /// Bit 0 (Sunday) to 6: these days of every week.
    of_week: u8,
    /// `FRI#2`: bits of weekdays, for the first to the fifth in a month.
    nth: [u8; 5],
    /// `5L`: bits of weekdays, each the last in a month.
    last_of_week: u8,
    /// True if one of the fields starts with a star: then both must match. Otherwise one is enough (crontab(5)).
    is_and: bool,
}

impl Days {
    /// Reads both fields.
    pub(super) fn read(
        of_month: FieldText<'_>,
        of_week: FieldText<'_>,
        job: &str,
    ) -> Result<Self, Mistake> {
        let mut days = Self { is_and: of_month.is_star() || of_week.is_star(), ..Self::default() };
        for item in of_month.items() {
            days.add_of_month(item, job)?;
        }
        for item in of_week.items() {
            days.add_of_week(item, job)?;
        }
        Ok(days)
    }

    fn add_of_month(&mut self, item: FieldText<'_>, job: &str) -> Result<(), Mistake> {
        let upper = item.text.to_ascii_uppercase();
        if upper == "LW" || upper == "WL" {
            self.last_workday = true;
        } else if let Some(rest) = upper.strip_prefix('L') {
            let before = if rest.is_empty() {
                Some(0)
            } else {
                rest.strip_prefix('-').and_then(|n| n.parse().ok()).filter(|n| *n <= 30_u32)
            };
            let wrong = || {
                item.hinted(
                    format!("`{}` cannot be read as a day of the month", item.text),
                    "`L` is the last day, `L-2` the last but two, `LW` the last from Monday to Friday",
                )
            };
            self.before_last |= 1 << before.ok_or_else(wrong)?;
        } else if let Some(day) = upper.strip_suffix('W') {
            let day = DAY.value(item, day)?;
            self.near |= 1 << day;
        } else {
            let run = DAY.run(item, job)?;
            self.of_month |=
                (1..=31).filter(|day| run.has(*day)).fold(0, |bits, day| bits | 1 << day);
        }
        Ok(())
    }

    fn add_of_week(&mut self, item: FieldText<'_>, job: &str) -> Result<(), Mistake> {
        if let Some((day, nth)) = item.text.split_once('#') {
            let bit = 1 << (WEEKDAY.value(item, day)? % 7);
            let nth =
                nth.parse::<usize>().ok().and_then(|nth| self.nth.get_mut(nth.wrapping_sub(1)));
            let Some(nth) = nth else {
                return Err(item.hinted(
                    format!("`{}` cannot be read as a day of the week", item.text),
                    "`FRI#2` is the second Friday of a month; there are up to five",
                ));
            };
            *nth |= bit;
        } else if item.text.eq_ignore_ascii_case("L") {
            return Err(item.hinted(
                "`L` alone is no day of the week",
                "`5L` is the last Friday of a month, `6` every Saturday",
            ));
        } else if let Some(day) = item
            .text
            .strip_suffix(['L', 'l'])
            .filter(|day| !day.is_empty() && WEEKDAY.value(item, day).is_ok())
        {
            self.last_of_week |= 1 << (WEEKDAY.value(item, day)? % 7);
        } else {
            let run = WEEKDAY.run(item, job)?;
            self.of_week |=
                (0..=7).filter(|day| run.has(*day)).fold(0, |bits, day| bits | 1 << (day % 7));
        }
        Ok(())
    }

    /// Returns the days of the month that starts with `first`, as bits 1 to 31.
    pub(super) fn mask(&self, first: Date) -> u32 {
        let length = u32::try_from(first.days_in_month()).unwrap_or(28);
        let all = ((1_u32 << length) - 1) << 1;
        let weekday = u32::try_from(first.weekday().to_sunday_zero_offset()).unwrap_or(0);
        let by_month = self.by_month(length, weekday) & all;
        if self.is_and && self.of_week == EVERY_DAY {
            return by_month;
        }
        let by_week = self.by_week(length, weekday) & all;
        if self.is_and { by_month & by_week } else { by_month | by_week }
    }

    fn by_month(&self, length: u32, weekday: u32) -> u32 {
        let mut mask = self.of_month;
        if self.before_last | self.near == 0 && !self.last_workday {
            return mask;
        }
        for before in (0..length).filter(|before| self.before_last >> before & 1 == 1) {
            mask |= 1 << (length - before);
        }
        for day in (1..=length).filter(|day| self.near >> day & 1 == 1) {
            mask |= 1 << workday(day, length, weekday);
        }
        if self.last_workday {
            mask |= 1 << workday(length, length, weekday);
        }
        mask
    }

    fn by_week(&self, length: u32, weekday: u32) -> u32 {
        let mut mask = 0;
        for day in 1..=length {
            let on = (weekday + day - 1) % 7;
            let nth = usize::try_from((day - 1) / 7).unwrap_or(0);
            let nth = self.nth.get(nth).copied().unwrap_or(0);
            let last = if day + 7 > length { self.last_of_week } else { 0 };
            mask |= u32::from((self.of_week | nth | last) >> on & 1) << day;
        }
        mask
    }
}

/// Returns the day from Monday to Friday that is nearest to `day` within its month.
fn workday(day: u32, length: u32, weekday_of_first: u32) -> u32 {
    match (weekday_of_first + day - 1) % 7 {
        // Saturday: the Friday before, unless that is in the month before.
        6 if day == 1 => 3,
        6 => day - 1,
        // Sunday: the Monday after, unless that is in the month after.
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}
