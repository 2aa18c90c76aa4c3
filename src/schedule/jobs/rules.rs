//! The rules of a run: retries, time limits, overlaps, missed slots, permissions.

use std::time::Duration;

use crate::{
    limits::{CATCH_UP_SPREAD, KILL_GRACE, LATE_AFTER},
    option_table::{
        OptionKind::{Duration as Wait, Flag, Own},
        OptionRow, OptionTable,
    },
};

/// The keys `retries`, `backoff`, `retry_on`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The number of attempts after the first.
    pub retries: u32,
    /// The wait before the second attempt.
    pub initial: Duration,
    /// The factor by which each wait is longer than the one before.
    pub factor: f64,
    /// The longest wait.
    pub longest: Duration,
    /// True if the wait is drawn between zero and the full time.
    pub jitter: bool,
    /// The failures that are retried. Refusals and failed logins never are.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 0,
            initial: Duration::from_secs(5),
            factor: 2.0,
            longest: Duration::from_mins(5),
            jitter: true,
            on: RetryOn::ALL.iter().map(|(_, class)| *class).collect(),
        }
    }
}

/// The keys of `backoff`.
pub(super) const BACKOFF: OptionTable<Retry> = OptionTable {
    rows: &[
        OptionRow::<Retry>::new(
            "initial",
            Wait(|it, time| it.initial = time),
            "the wait before the second attempt",
        )
        .usual("5s"),
        OptionRow::<Retry>::new(
            "factor",
            Own,
            "the factor by which each wait is longer than the one before, 2 without it; 1 to 100",
        ),
        OptionRow::<Retry>::new("max", Own, "the longest wait, \"5m\" without it"),
        OptionRow::<Retry>::new(
            "jitter",
            Flag(|it, on| it.jitter = on),
            "the wait is drawn between zero and the full time",
        )
        .usual("true"),
    ],
    usual: Retry::default,
};

/// A class of failures in `retry_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// `"connect"`: the server could not be reached.
    Connect,
    /// `"data"`: a data connection could not be opened, or broke.
    Data,
    /// `"timeout"`: an answer did not arrive in time.
    Timeout,
    /// `"4xx"`: the server reported a temporary failure.
    Busy,
    /// `"program"`: a program of `before` or `after` failed.
    Program,
}

impl RetryOn {
    /// The words of the file, with their meanings.
    pub(super) const ALL: [(&str, Self); 5] = [
        ("connect", Self::Connect),
        ("data", Self::Data),
        ("timeout", Self::Timeout),
        ("4xx", Self::Busy),
        ("program", Self::Program),
    ];
}

/// The keys `attempt_timeout`, `run_timeout`, `stall_timeout`, `kill_grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The limit for one attempt.
    pub attempt: Option<Duration>,
    /// The limit for all attempts and the waits between them.
    pub run: Option<Duration>,
    /// True if the default limit does not apply: `run_timeout = "none"`.
    pub is_endless: bool,
    /// The maximum time without a byte transferred.
    pub stall: Option<Duration>,
    /// The time between the request to stop and the kill.
    pub kill_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let kill_grace = KILL_GRACE;
        Self { attempt: None, run: None, is_endless: false, stall: None, kill_grace }
    }
}

/// The default `run_timeout`: a server that sends a byte a minute would keep a run going for ever. A daily job ends by
/// its next slot.
pub const RUN_TIMEOUT: Duration = Duration::from_hours(24);

impl Timeouts {
    /// Returns the limit of a whole run: that of the job, or the default, unless a single attempt may take longer.
    pub fn whole(&self) -> Option<Duration> {
        let is_usual =
            !self.is_endless && self.attempt.is_none_or(|attempt| attempt <= RUN_TIMEOUT);
        self.run.or(is_usual.then_some(RUN_TIMEOUT))
    }
}

/// The rule for a slot that comes while the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// `"skip"`: it is skipped.
    Skip,
    /// `"queue"`: it waits; of several, only the first.
    Queue,
    /// `"replace"`: the run in progress is terminated, then it starts.
    Replace,
    /// `"allow"`: it starts alongside the other.
    Allow,
}

/// The rule for slots missed while no scheduler could run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// `"skip"`: they are skipped.
    Skip,
    /// `"once"`: one run, for the newest, covers all of them.
    Once,
    /// `"all"`: each is run, the oldest first.
    All,
}

/// The keys `misfire`, `start_deadline`, `max_catchup`, `catchup_spread`, `late_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchUp {
    /// The rule for missed slots.
    pub misfire: Misfire,
    /// The lateness from which a slot is not run.
    pub start_deadline: Option<Duration>,
    /// The number of missed slots, the newest ones, that are run under [`Misfire::All`].
    pub most: u32,
    /// The time within which catch-up runs start, each job at its own point in it.
    pub spread: Duration,
    /// The lateness from which a slot counts as missed.
    pub late_after: Duration,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            misfire: Misfire::Once,
            start_deadline: None,
            most: 10,
            spread: CATCH_UP_SPREAD,
            late_after: LATE_AFTER,
        }
    }
}

/// A permission of a script besides moving files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// `"nat"`: change NAT rules and port mappings.
    Nat,
}

/// Returns true if the pattern of a lock fits a name: each `*` in it is any text.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_the_pattern_of_a_lock_is_any_text() {
        for (pattern, name, is) in [
            ("host:*", "host:a", true),
            ("host:*", "host:", true),
            ("host:*", "disk", false),
            ("*", "disk", true),
            ("host:*.example.com", "host:a.b.example.com", true),
            ("host:*.example.com", "host:example.com", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("disk", "disk2", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
