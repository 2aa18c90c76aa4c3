//! Values of a TOML file as text, their positions among several files, and the words of other schedulers.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::observe::visible::visible;

/// Formats a value for an error message.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", visible(&**text)),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Reads `10MiB`, `64k`, `1 GB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "kb" => 1000,
        "m" | "mib" => 1 << 20,
        "mb" => 1_000_000,
        "g" | "gib" => 1 << 30,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Returns a hint for a key of another scheduler.
pub(super) fn meant(key: &str) -> Option<&'static str> {
    Some(match key {
        "schedule" | "when" | "every" | "interval" => {
            "that is `cron` here, such as \"15 3 * * *\" or \"@every 90m\""
        }
        "command" | "cmd" | "run" | "exec" => "a job runs a Rhai `script`, not a command",
        "tz" | "zone" => "that is `timezone` here",
        "timeout" => "that is `attempt_timeout` here; `run_timeout` is for all attempts together",
        "depends_on" | "needs" | "requires" => "that is `after` here",
        "disabled" | "paused" | "suspend" => {
            "`portolan pause JOB` and `portolan resume JOB` do that; `enabled = false` turns a job off"
        }
        "exclude_dates" | "holidays" | "calendar" => "that is `not_on` here",
        "matrix" | "foreach" | "for_each" => "that is `each` here",
        "concurrency" | "concurrency_policy" => "that is `overlap` here",
        "catchup" | "catch_up" => "that is `misfire` here",
        "notify" | "notifications" | "mail" | "email" | "mailto" | "alerts" => {
            "write `on_failure = { mail = \"ops@example.com\" }`; `on_success`, `on_late` and others are alike"
        }
        "env" | "environment" => "a script is given values by `[job.args]`",
        _ => return None,
    })
}

/// Returns a table with all positions moved by `by`.
pub(super) fn moved(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let moved_by = |span: Range<usize>| span.start + by..span.end + by;
    let pairs = table.into_iter().map(|(key, value)| {
        let (key_span, value_span) = (moved_by(key.span()), moved_by(value.span()));
        let key = Spanned::new(key_span, key.into_inner());
        (key, Spanned::new(value_span, moved_value(value.into_inner(), by)))
    });
    pairs.collect()
}

fn moved_value(value: DeValue<'_>, by: usize) -> DeValue<'_> {
    match value {
        DeValue::Table(table) => DeValue::Table(moved(table, by)),
        DeValue::Array(all) => {
            let all = all.into_iter().map(|item| {
                let span = item.span();
                Spanned::new(span.start + by..span.end + by, moved_value(item.into_inner(), by))
            });
            DeValue::Array(all.collect())
        }
        scalar => scalar,
    }
}
