//! The counters of a run, and the summary line at its end.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Event, Operation, Sink, format_duration, format_size, running::RunningTransfers};

/// A sink that counts events. Every number is that of the run so far.
#[derive(Debug, Default)]
pub struct Tally(Mutex<TallyCounts>);

/// The state of a [`Tally`].
#[derive(Debug, Default)]
struct TallyCounts {
    running: RunningTransfers,
    numbers: Numbers,
    /// The paths that failed and did not succeed in a later attempt.
    failed: BTreeSet<String>,
    /// The fallbacks: the mode that failed, and the mode that carried the data instead.
    detours: BTreeSet<(&'static str, &'static str)>,
}

/// The numbers of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The number of files uploaded.
    pub up: u64,
    /// The number of files downloaded.
    pub down: u64,
    /// The number of files and directories removed, local or remote.
    pub deleted: u64,
    /// The number of files and directories that failed.
    pub failed: u64,
    /// The number of bytes in the files transferred.
    pub bytes: u64,
    /// The number of files whose size or hash was confirmed to match.
    pub verified: u64,
    /// The number of files that were transferred but could not be verified.
    pub unverified: u64,
    /// The number of fallbacks.
    pub fell_back: u64,
}

impl Tally {
    /// Creates a tally with all counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the numbers so far.
    pub fn numbers(&self) -> Numbers {
        self.with(|counts| counts.numbers)
    }

    /// Formats the numbers: `3 up, 1 down, 2.1 MiB`; empty if nothing was transferred, deleted or failed.
    pub fn text(&self) -> String {
        self.with(|counts| counts.text(None))
    }

    /// Formats the summary: `3 up, 1 down, 2.1 MiB in 0.4 s, passive after active failed`; empty if nothing was done.
    pub fn summary(&self, took: Duration) -> String {
        self.with(|counts| counts.text(Some(took)))
    }

    fn with<T>(&self, take: impl FnOnce(&mut TallyCounts) -> T) -> T {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Tally {
    fn event(&self, event: &Event) {
        self.with(|counts| counts.event(event));
    }
}

impl TallyCounts {
    fn event(&mut self, event: &Event) {
        let transfer = self.running.follow(event);
        let numbers = &mut self.numbers;
        match event {
            // At a prompt one run follows another.
            Event::RunStarted { .. } => *self = Self::default(),
            Event::TransferDone { bytes, verified, .. } => {
                let verb = transfer.as_ref().map(|transfer| transfer.verb);
                if let Some(transfer) = &transfer {
                    self.failed.remove(&transfer.path);
                    numbers.failed = self.failed.len() as u64;
                }
                match verb {
                    Some(Operation::Upload) => numbers.up += 1,
                    Some(Operation::Download) => numbers.down += 1,
                    Some(Operation::Delete) => numbers.deleted += 1,
                    _ => return,
                }
                if verb != Some(Operation::Delete) {
                    numbers.bytes = numbers.bytes.saturating_add(*bytes);
                    numbers.verified += u64::from(*verified);
                    numbers.unverified += u64::from(!*verified);
                }
            }
            Event::TransferFailed { id, .. } => {
                let path = transfer.map_or_else(|| format!("#{id}"), |transfer| transfer.path);
                self.failed.insert(path);
                numbers.failed = self.failed.len() as u64;
            }
            Event::Done { verb: Operation::Delete, .. } => numbers.deleted += 1,
            Event::FellBack { from, to, .. } => {
                numbers.fell_back += 1;
                self.detours.insert((*from, *to));
            }
            _ => {}
        }
    }

    fn text(&self, took: Option<Duration>) -> String {
        let numbers = &self.numbers;
        let counted = [
            (numbers.up, "up"),
            (numbers.down, "down"),
            (numbers.deleted, "deleted"),
            (numbers.failed, "failed"),
            (numbers.unverified, "not verified"),
        ];
        let mut parts: Vec<String> = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        // A single failure and nothing else is reported by the failure itself.
        let is_lone_failure = parts.len() == 1 && numbers.failed == 1;
        if parts.is_empty() || took.is_some() && is_lone_failure {
            return String::new();
        }
        let time = took.map(|took| format!(" in {}", format_duration(took))).unwrap_or_default();
        if numbers.up + numbers.down > 0 {
            parts.push(format_size(numbers.bytes));
        }
        if let Some(last) = parts.last_mut() {
            last.push_str(&time);
        }
        parts.extend(self.detours.iter().map(|(from, to)| format!("{to} after {from} failed")));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_file_that_arrives_in_another_try_has_not_failed() {
        let tally = Tally::new();
        let start = |id| Event::TransferStarted {
            id,
            verb: Operation::Upload,
            path: "a".into(),
            bytes: None,
        };
        for id in [1, 2] {
            tally.event(&start(id));
            tally.event(&Event::TransferFailed { id, fault: Error::protocol("no") });
        }
        assert_eq!(tally.numbers().failed, 1);
        tally.event(&start(3));
        let took = Duration::from_millis(400);
        tally.event(&Event::TransferDone { id: 3, bytes: 1, verified: true, took });
        assert_eq!(tally.text(), "1 up, 1 B");
    }

    #[test]
    fn a_summary_says_what_went_which_way() {
        let tally = Tally::new();
        let took = Duration::from_millis(400);
        assert_eq!(tally.summary(took), "");
        let failed = Event::TransferFailed { id: 7, fault: Error::protocol("no") };
        let other = Tally::new();
        other.event(&failed);
        assert_eq!(other.summary(took), "", "the failure itself says so");
        other.event(&Event::TransferFailed { id: 8, fault: Error::protocol("no") });
        assert_eq!(other.summary(took), "2 failed in 0.4 s");
        let fell_back = Event::FellBack {
            host: "h".into(),
            from: "active",
            to: "passive",
            reason: "500 no".into(),
        };
        tally.event(&fell_back);
        tally.event(&fell_back);
        for (id, verb) in [(1, Operation::Upload), (2, Operation::Upload), (3, Operation::Download)]
        {
            tally.event(&Event::TransferStarted { id, verb, path: "a".into(), bytes: None });
            let verified = id != 2;
            tally.event(&Event::TransferDone { id, bytes: 1 << 20, verified, took });
        }
        tally.event(&Event::Done { verb: Operation::Delete, path: "old".into() });
        tally.event(&Event::TransferFailed { id: 9, fault: Error::protocol("no") });

        let text = "2 up, 1 down, 1 deleted, 1 failed, 1 not verified, 3.0 MiB in 0.4 s, passive after active failed";
        assert_eq!(tally.summary(took), text);
        let numbers = tally.numbers();
        assert_eq!((numbers.verified, numbers.unverified, numbers.fell_back), (2, 1, 2));
    }
}
