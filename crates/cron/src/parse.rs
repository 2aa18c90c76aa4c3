//! The parser for expressions: turns text into fields and warnings.

use super::{
    Expression, ExpressionKind, Mistake, alias,
    field::{DAY, FieldText, HOUR, MINUTE, MONTH, SECOND, WEEKDAY},
    fields::{CronFields, Texts},
};
use crate::stable_hash;
use portolan_core::{duration::parse_duration, limits::CRON_BYTES_MAX, similar::nearest};

const STAR: FieldText<'static> = FieldText { text: "*", at: 0 };
const ZERO: FieldText<'static> = FieldText { text: "0", at: 0 };

/// Parses an expression.
pub(super) fn parse(text: &str, job: &str) -> Result<Expression, Mistake> {
    let whole = FieldText { text, at: 0 };
    if text.len() > CRON_BYTES_MAX {
        return Err(whole.mistake(format!("an expression has at most {CRON_BYTES_MAX} bytes")));
    }
    let mut words = words(text);
    let zone = zone(&mut words)?;
    let expression = |kind, warnings| Expression { text: text.to_owned(), kind, zone, warnings };
    if let Some(first) = words.first().copied().filter(|word| word.text.starts_with('@')) {
        let fields = alias::fields_of(first.text).ok_or_else(|| unknown_alias(first))?;
        let rest = words.get(1..).unwrap_or_default();
        if fields.is_empty() {
            return Ok(expression(every(first, rest, text, job)?, Vec::new()));
        }
        if let Some(more) = rest.first() {
            return Err(more.mistake(format!("nothing stands behind `{}`", first.text)));
        }
        let texts = texts(&self::words(fields), first)?;
        return Ok(expression(
            ExpressionKind::Fields(Box::new(CronFields::read(&texts, job)?)),
            Vec::new(),
        ));
    }
    let texts = texts(&words, whole)?;
    let fields = CronFields::read(&texts, job)?;
    Ok(expression(ExpressionKind::Fields(Box::new(fields)), warnings(&texts)))
}

/// Returns five fields with the values of `H` for a job in its place; `None` if there are not five, or if one cannot be
/// read.
pub fn without_hash(fields: &str, job: &str) -> Option<String> {
    let words = words(fields);
    let specs = [MINUTE, HOUR, DAY, MONTH, WEEKDAY];
    if words.len() != specs.len() {
        return None;
    }
    let fields = specs.iter().zip(words).map(|(spec, word)| spec.without_hash(word, job));
    Some(fields.collect::<Option<Vec<_>>>()?.join(" "))
}

fn words(text: &str) -> Vec<FieldText<'_>> {
    let start = text.as_ptr() as usize;
    text.split_whitespace()
        .map(|text| FieldText { text, at: text.as_ptr() as usize - start })
        .collect()
}

/// Removes `CRON_TZ=…` or `TZ=…` from the front.
fn zone(words: &mut Vec<FieldText<'_>>) -> Result<Option<String>, Mistake> {
    let Some(first) = words.first().copied() else { return Ok(None) };
    let named = first.text.strip_prefix("CRON_TZ=").or_else(|| first.text.strip_prefix("TZ="));
    let Some(name) = named else { return Ok(None) };
    if name.is_empty() {
        return Err(first.hinted("no zone is named", "such as `CRON_TZ=Europe/Berlin`"));
    }
    words.remove(0);
    Ok(Some(name.to_owned()))
}

fn unknown_alias(word: FieldText<'_>) -> Mistake {
    if word.text.eq_ignore_ascii_case("@reboot") {
        let hint = "a run that was missed while the machine was down is made good: see `misfire`";
        return word.hinted("portolan has no `@reboot`", hint);
    }
    let names = alias::names();
    let hint = nearest(word.text, &names).map_or_else(
        || format!("there are {}", names.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    word.hinted(format!("there is no `{}`", word.text), hint)
}

/// Reads `@every 90m`: counted from the epoch, with a phase per job, so that restarts do not move it.
fn every(
    word: FieldText<'_>,
    rest: &[FieldText<'_>],
    text: &str,
    job: &str,
) -> Result<ExpressionKind, Mistake> {
    let (Some(first), Some(last)) = (rest.first(), rest.last()) else {
        return Err(word.hinted("`@every` lacks its time", "such as `@every 90m`"));
    };
    let range = first.at..last.range().end;
    let given = text.get(range.clone()).unwrap_or_default();
    let period = parse_duration(given).map(|time| time.as_secs_f64());
    let period = period.filter(|seconds| *seconds >= 1.0 && seconds.fract() == 0.0);
    let Some(period) = period else {
        let message = format!("`@every` wants whole seconds up to 30 days, got `{given}`");
        let hint = Some("such as `90s`, `5m` or `1h 30m`".to_owned());
        return Err(Mistake { message, hint, at: range });
    };
    #[expect(clippy::cast_possible_truncation, reason = "whole and at most 30 days")]
    let period_s = period as i64;
    let phase = stable_hash(&[job, "every"]) % period_s.unsigned_abs();
    let phase_s = if job.is_empty() { 0 } else { i64::try_from(phase).unwrap_or(0) };
    Ok(ExpressionKind::Every { period_s, phase_s })
}

/// Assigns the words to the fields.
fn texts<'t>(words: &[FieldText<'t>], whole: FieldText<'t>) -> Result<Texts<'t>, Mistake> {
    let (second, five, year) = match words {
        [minute, hour, day, month, weekday] => (ZERO, [minute, hour, day, month, weekday], STAR),
        [_, _, _, _, _, last] if looks_like_year(last.text) => {
            return Err(last.hinted(
                format!("{} is no day of the week; did you mean a year?", last.text),
                "a year is the last of seven fields: write a `0` for the seconds in front",
            ));
        }
        [second, minute, hour, day, month, weekday] => {
            (*second, [minute, hour, day, month, weekday], STAR)
        }
        [second, minute, hour, day, month, weekday, year] => {
            (*second, [minute, hour, day, month, weekday], *year)
        }
        [] => return Err(whole.hinted("the expression is empty", "such as `15 3 * * *`")),
        [first, rest @ ..] if first.text.eq_ignore_ascii_case("every") && !rest.is_empty() => {
            return Err(whole.hinted(
                "`every` is no field",
                "an interval is `@every 90m`, or `*/5 * * * *` for every five minutes of the hour",
            ));
        }
        _ => {
            let hint =
                "it wants 5 (minute hour day month weekday), 6 (seconds first) or 7 (a year last)";
            let fields = if words.len() == 1 { "field" } else { "fields" };
            return Err(whole.hinted(format!("the expression has {} {fields}", words.len()), hint));
        }
    };
    let [minute, hour, day, month, weekday] = five.map(|word| *word);
    Ok(Texts { second, minute, hour, day, month, weekday, year })
}

/// Returns true if `text` looks like a year: a day of the week has one digit.
fn looks_like_year(text: &str) -> bool {
    let first = text.split([',', '-', '/']).next().unwrap_or_default();
    first.parse::<u16>().is_ok_and(|number| number >= 1970)
}

/// Returns warnings for forms that are allowed but usually not meant.
fn warnings(texts: &Texts<'_>) -> Vec<Mistake> {
    let Texts { second, minute, hour, day, weekday, .. } = *texts;
    let mut warnings = Vec::new();
    if !day.is_star() && !weekday.is_star() {
        let message = "both day fields are set: it runs on the days of either, as in crontab";
        warnings.push(weekday.hinted(message, on_both(day, weekday)));
    }
    let often = |field: FieldText<'_>, next: FieldText<'_>, what: &str, of: &str| {
        (field.text == "*" && !next.is_star()).then(|| {
            let message = format!("it runs every {what} of the {of} that is named, not once");
            field.hinted(message, format!("for once write `0` for the {what}"))
        })
    };
    warnings.extend(often(second, minute, "second", "minute"));
    warnings.extend(often(minute, hour, "minute", "hour"));
    for (spec, field) in [
        (SECOND, second),
        (MINUTE, minute),
        (HOUR, hour),
        (DAY, day),
        (MONTH, texts.month),
        (WEEKDAY, weekday),
    ] {
        let open = field.items().find_map(|item| {
            let (from, step) = item.text.split_once('/')?;
            Some((item, from.parse().ok()?, step))
        });
        warnings.extend(open.map(|(item, from, step)| {
            let message = format!("`{}` means from there to the end by that step", item.text);
            let range = spec.range_from(from);
            item.hinted(
                message,
                format!("crontab has no such form: write a range, as in `{range}/{step}`"),
            )
        }));
    }
    warnings
}

/// Returns the hint for two restricted day fields.
fn on_both(day: FieldText<'_>, weekday: FieldText<'_>) -> String {
    let is_day = |text: &str| WEEKDAY.value(weekday, text).is_ok();
    let is_one = is_day(weekday.text);
    match day.text {
        "1-7" if is_one => format!("for the first of a month write `* {}#1`", weekday.text),
        "8-14" if is_one => format!("for the second of a month write `* {}#2`", weekday.text),
        "15-21" if is_one => format!("for the third of a month write `* {}#3`", weekday.text),
        "22-28" if is_one => format!("for the fourth of a month write `* {}#4`", weekday.text),
        _ => format!(
            "if one is enough, write `*` for the other; `{}#1` is the first of a month",
            weekday
                .text
                .split([',', '-', '/', '#'])
                .next()
                .filter(|text| is_day(text))
                .unwrap_or("MON")
        ),
    }
}
