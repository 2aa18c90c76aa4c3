//! Expressions and their slots.

mod brute;
mod vectors;
mod words;

use jiff::Timestamp;

use super::{Expression, Schedule};
use crate::schedule::{slot::Slot, zone::Zones};

/// Returns the schedule of `text` in `zone`, by the built-in rules.
fn schedule(text: &str, zone: &str) -> Schedule {
    let expression =
        Expression::parse(text, "").unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
    expression.in_zone(Zones::bundled().find(zone).unwrap())
}

fn slots(text: &str, zone: &str, after: &str, count: usize) -> Vec<Slot> {
    schedule(text, zone).firings(after.parse::<Timestamp>().unwrap()).take(count).collect()
}

/// Returns only the instants, as text.
fn instants(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    slots(text, zone, after, count).iter().map(|slot| slot.at.to_string()).collect()
}
