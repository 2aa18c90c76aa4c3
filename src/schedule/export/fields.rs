//! The five fields that other schedulers read, with numbers instead of names.

use std::{collections::BTreeSet, fmt};

use crate::schedule::{
    cron::{fields_of, without_hash},
    jobs::Job,
};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The five fields. Months and weekdays are numbers, and Sunday is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExportFields {
    pub(super) minute: String,
    pub(super) hour: String,
    pub(super) day: String,
    pub(super) month: String,
    pub(super) weekday: String,
}

impl fmt::Display for ExportFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minute, hour, day, month, weekday } = self;
        write!(f, "{minute} {hour} {day} {month} {weekday}")
    }
}

impl ExportFields {
    /// Reads an expression that [`crate::schedule::cron`] has accepted, if it has exactly five fields.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("`{text}` has not five fields"));
        };
        let mut fields = Self {
            minute: minute.clone(),
            hour: hour.clone(),
            day: day.clone(),
            month: numbered(month, &MONTHS, 1),
            weekday: numbered(weekday, &DAYS, 0),
        };
        if fields.weekday.contains('7') || fields.weekday.contains("-0") {
            // Sunday as 7, or at the end of a range, is not portable.
            let days: Vec<_> = fields.weekdays()?.iter().map(u8::to_string).collect();
            fields.weekday = days.join(",");
        }
        Ok(fields)
    }

    /// Returns the days of the week that are named, Sunday as 0.
    pub(super) fn weekdays(&self) -> Result<BTreeSet<u8>, String> {
        let wrong = || format!("the weekdays `{}` cannot be written", self.weekday);
        let number = |text: &str| text.parse::<u8>().ok().filter(|day| *day <= 7).ok_or_else(wrong);
        let mut days = BTreeSet::new();
        for part in self.weekday.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (0, 6),
                // `FRI-SUN` ends with the following Sunday.
                Some((first, "0")) => (number(first)?, 7),
                Some((first, last)) => (number(first)?, number(last)?),
                None if step.is_some() => (number(range)?, 6),
                None => (number(range)?, number(range)?),
            };
            let step = step.map_or(Ok(1), number)?.max(1);
            days.extend((first..=last).step_by(step.into()).map(|day| day % 7));
        }
        Ok(days)
    }
}

/// Replaces short or full names in a field by numbers that start with `first`.
fn numbered(field: &str, names: &[&str], first: usize) -> String {
    let number = |word: &str| {
        let at = names.iter().position(|name| word.starts_with(name));
        at.map_or_else(|| word.to_owned(), |at| (at + first).to_string())
    };
    let mut text = String::new();
    for part in field.split_inclusive([',', '-', '/']) {
        let word = part.trim_end_matches([',', '-', '/']);
        text += &number(word);
        text += part.get(word.len()..).unwrap_or_default();
    }
    text
}

/// Returns the five fields and the zone of a job's expression, or the reason why other schedulers cannot read it.
pub(super) fn five_fields(job: &Job) -> Result<(ExportFields, String), String> {
    let Some(schedule) = &job.schedule else {
        let files = job.files.as_ref().map(|files| format!(": it runs {}", files.words()));
        return Err(format!("it has no `cron`{}", files.unwrap_or_default()));
    };
    if !schedule.others.is_empty() {
        return Err("it has several `cron`".into());
    }
    if !job.enabled {
        return Err("it is turned off by `enabled`".into());
    }
    let text = schedule.expression.text().trim();
    let text = match text.split_once('=') {
        Some((name, rest)) if name.ends_with("TZ") => {
            rest.split_once(char::is_whitespace).map_or("", |(_, fields)| fields.trim())
        }
        _ => text,
    };
    let text = fields_of(text).filter(|fields| !fields.is_empty()).unwrap_or(text);
    let fields: Vec<_> = text.split_whitespace().collect();
    let fields = match fields.as_slice() {
        [_, _, _, _, _] => fields.join(" "),
        ["0", rest @ ..] if rest.len() == 5 => rest.join(" "),
        _ => return Err(format!("`{text}` has more than five fields, or is none of fields")),
    };
    let fields = without_hash(&fields, &job.name).unwrap_or(fields);
    // Names of days and months have other letters; `L` and `W` stand alone, or after a number.
    let is_ours = fields.to_ascii_uppercase().split([' ', ',']).any(|part| {
        let is_number_and = |letter: char| {
            part.strip_suffix(letter).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
        };
        part.contains('#')
            || part.contains('?')
            || part.starts_with("L-")
            || is_number_and('L')
            || is_number_and('W')
            || part == "LW"
            || part == "WL"
    });
    if is_ours {
        return Err(format!("`{fields}` has `L`, `W` or `#`, which only portolan reads"));
    }
    Ok((ExportFields::read(&fields)?, schedule.zone.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_and_sunday_is_0() {
        for (text, wanted) in [
            ("0 0 * JAN,march-dec MON", "0 0 * 1,3-12 1"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("0 0 * * friday-SUN", "0 0 * * 0,5,6"),
            ("0 0 * * 1-5", "0 0 * * 1-5"),
            ("0 0 * * */2", "0 0 * * */2"),
            ("0 0 * * 1-7/3", "0 0 * * 0,1,4"),
        ] {
            assert_eq!(ExportFields::read(text).unwrap().to_string(), wanted);
        }
    }
}
