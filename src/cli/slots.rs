//! Times and zones on the command line, and the display of slots.

use std::path::Path;

use jiff::{Timestamp, tz::AmbiguousOffset};
use unicode_width::UnicodeWidthStr;

use super::report::{self, Reported, UsageError};
pub(super) use crate::schedule::moments::{day, moment, wall_clock};
use crate::{
    exit_code::Exit,
    schedule::{
        jobs::{self, Jobs, JobsReading},
        slot::Slot,
        zone::{Zone, Zones},
    },
};

/// Reads the jobs of a file; if it has errors, prints them and returns the exit code.
pub(super) fn jobs(file: &Path, zones: &Zones, now: Timestamp) -> anyhow::Result<Jobs> {
    let reading = jobs::read(file, zones, now).map_err(UsageError)?;
    if let Some(jobs) = reading.jobs {
        return Ok(jobs);
    }
    let reading = JobsReading { jobs: None, ..reading };
    Err({
        report::findings(&reading.findings, &|file| Some(reading.text_of(file).to_owned()));
        report::print("nothing is done with a jobs file that has mistakes\n");
        Reported(Exit::Usage).into()
    })
}

/// Formats a time as `Sun 2026-03-08 03:00 EDT`; with seconds if `is_exact`.
pub(super) fn local(at: Timestamp, zone: &Zone, is_exact: bool) -> String {
    let form = if is_exact { "%a %Y-%m-%d %H:%M:%S %Z" } else { "%a %Y-%m-%d %H:%M %Z" };
    at.to_zoned(zone.rules.clone()).strftime(form).to_string()
}

/// Formats a time as `2026-03-08 07:00Z`; with seconds if `is_exact`.
pub(super) fn utc(at: Timestamp, is_exact: bool) -> String {
    at.strftime(if is_exact { "%Y-%m-%d %H:%M:%SZ" } else { "%Y-%m-%d %H:%MZ" }).to_string()
}

/// Returns true if a time has seconds that a table must show.
pub(super) fn has_seconds(at: Timestamp) -> bool {
    at.as_second().rem_euclid(60) != 0
}

/// Returns a note on an unusual slot: it was moved, or its wall-clock time occurs twice.
pub(super) fn note(slot: &Slot, zone: &Zone) -> Option<String> {
    if let Some(from) = slot.moved_from {
        return Some(format!("moved: {} does not exist", from.strftime("%H:%M")));
    }
    let civil = zone.rules.to_datetime(slot.at);
    match zone.rules.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Fold { before, .. } => {
            let is_first = before.to_timestamp(civil).is_ok_and(|first| first == slot.at);
            Some(if is_first { "first pass" } else { "second pass" }.to_owned())
        }
        _ => None,
    }
}

/// Describes the first change of the clock of `zone` between two moments, if it is put forward or back: `the clock
/// goes from 02:00 EST to 03:00 EDT`.
pub(super) fn change(after: Timestamp, up_to: Timestamp, zone: &Zone) -> Option<String> {
    let changes = zone.rules.following(after).take_while(|change| change.timestamp() <= up_to);
    for change in changes {
        let at = change.timestamp();
        let Ok(before) = at.checked_sub(jiff::SignedDuration::from_nanos(1)) else { continue };
        let old = zone.rules.to_offset_info(before);
        if old.offset() != change.offset() {
            let from = old.offset().to_datetime(at).strftime("%H:%M");
            let to = change.offset().to_datetime(at).strftime("%H:%M");
            let (old, new) = (old.abbreviation(), change.abbreviation());
            return Some(format!("the clock goes from {from} {old} to {to} {new}"));
        }
    }
    None
}

/// Aligns text in columns, two blanks apart; the last column is not padded.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        cells.map(|cell| cell.width()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let blanks = width.saturating_sub(cell.width()) + 2;
            line.push_str(&" ".repeat(blanks));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Wraps text into lines of at most 78 columns, indented by two.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let is_full =
            lines.last().is_some_and(|line| line.chars().count() + word.chars().count() > 77);
        if is_full {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}
