//! The bytes of an attempt over time, in a limited number of points.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

/// The maximum number of points: as many as a picture on a page has room for.
const POINTS_MAX: usize = 240;
/// The time between two points at first; it is doubled whenever there are too many.
const INTERVAL: Duration = Duration::from_millis(500);
/// The maximum number of transfers in progress that are followed; a run has a few dozen at most.
const TRANSFERS_MAX: usize = 1_024;

/// The bytes of an attempt over time.
#[derive(Debug)]
pub struct ByteSamples {
    interval: Duration,
    points: Vec<(Duration, u64)>,
    /// The newest point, while it is too close to the last of `points`.
    newest: Option<(Duration, u64)>,
    /// The bytes of each transfer in progress.
    moving: BTreeMap<u64, u64>,
    /// The bytes of the transfers that have ended.
    done: u64,
}

impl Default for ByteSamples {
    fn default() -> Self {
        let (points, moving) = (Vec::new(), BTreeMap::new());
        Self { interval: INTERVAL, points, newest: None, moving, done: 0 }
    }
}

impl ByteSamples {
    /// Adds one line of `--json` that arrived `elapsed` after the beginning of the attempt.
    pub fn take(&mut self, line: &Value, elapsed: Duration) {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| line.get(name).and_then(Value::as_u64);
        let Some(id) = number("id").filter(|_| matches!(text("verb"), "upload" | "download"))
        else {
            return;
        };
        let bytes = number("bytes").unwrap_or(0);
        match text("event") {
            "moved" if self.moving.len() < TRANSFERS_MAX || self.moving.contains_key(&id) => {
                self.moving.insert(id, bytes);
            }
            "transfer_done" => {
                self.moving.remove(&id);
                self.done = self.done.saturating_add(bytes);
            }
            "transfer_failed" => {
                self.moving.remove(&id);
            }
            _ => return,
        }
        self.add((elapsed, self.bytes()));
    }

    /// Returns the bytes so far: those of complete transfers, and those of transfers in progress.
    pub fn bytes(&self) -> u64 {
        self.moving.values().fold(self.done, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Returns the points in the order of time.
    pub fn points(&self) -> Vec<(Duration, u64)> {
        self.points.iter().copied().chain(self.newest).collect()
    }

    fn add(&mut self, point: (Duration, u64)) {
        let last = self.points.last().map(|(at, _)| *at);
        if last.is_some_and(|last| point.0.saturating_sub(last) < self.interval) {
            self.newest = Some(point);
            return;
        }
        self.newest = None;
        self.points.push(point);
        if self.points.len() > POINTS_MAX {
            let mut number = 0;
            self.points.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.interval *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(event: &str, id: u64, bytes: u64) -> Value {
        json!({ "event": event, "verb": "upload", "id": id, "bytes": bytes })
    }

    #[test]
    fn bytes_of_transfers_add_up_and_those_of_failed_ones_are_gone() {
        let mut samples = ByteSamples::default();
        let second = Duration::from_secs;
        samples.take(&line("moved", 1, 10), second(1));
        samples.take(&line("moved", 2, 5), second(2));
        samples.take(&line("transfer_done", 1, 20), second(3));
        samples.take(&line("transfer_failed", 2, 0), second(4));
        samples.take(&json!({ "event": "moved", "verb": "list", "id": 3, "bytes": 9 }), second(5));
        samples.take(&json!({ "event": "printed" }), second(6));
        let wanted = [(second(1), 10), (second(2), 15), (second(3), 25), (second(4), 20)];
        assert_eq!(samples.points(), wanted);
        assert_eq!(samples.bytes(), 20);
    }

    #[test]
    fn points_are_few_and_the_last_is_the_newest() {
        let mut samples = ByteSamples::default();
        for number in 0..100_000 {
            samples.take(&line("moved", 1, number), Duration::from_millis(100 * number));
        }
        let points = samples.points();
        assert!((100..=POINTS_MAX + 1).contains(&points.len()), "{}", points.len());
        assert_eq!(points.first().unwrap().1, 0);
        assert_eq!(points.last().unwrap().1, 99_999);
        assert!(points.is_sorted());
    }
}
