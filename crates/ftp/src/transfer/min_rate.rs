//! The minimum rate of a transfer: a byte now and then keeps a connection alive, and would hold up a run for ever.

use std::time::{Duration, Instant};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::format_duration,
};

/// The time over which the rate is measured: links that fail for minutes are not slow.
const LEAST_RATE_TIME: Duration = Duration::from_mins(5);

/// The progress of a transfer since the rate was last checked.
#[derive(Debug)]
pub(super) struct LeastRate {
    /// The minimum rate in bytes per second; 0 is no limit.
    least: u64,
    since: Instant,
    bytes: u64,
}

impl LeastRate {
    /// Starts the measurement at `now`.
    pub(super) const fn new(least: u64, now: Instant) -> Self {
        Self { least, since: now, bytes: 0 }
    }

    /// Records that `bytes` bytes have moved until `now`; fails if the rate is too low.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let time = now.saturating_duration_since(self.since);
        if self.least == 0 || time < LEAST_RATE_TIME {
            return Ok(());
        }
        if self.bytes < self.least.saturating_mul(time.as_secs()) {
            return Err(self.too_slow(time));
        }
        (self.since, self.bytes) = (now, 0);
        Ok(())
    }

    /// Excludes a time in which no data was to move.
    pub(super) fn rested(&mut self, time: Duration) {
        self.since += time;
    }

    /// Returns the longest time that `bytes` bytes may take.
    pub(super) fn time_for(&self, bytes: usize) -> Option<Duration> {
        let seconds = (bytes as u64).checked_div(self.least)?;
        Some(LEAST_RATE_TIME.max(Duration::from_secs(seconds)))
    }

    /// Returns the error of a transfer that was too slow over `time`.
    pub(super) fn too_slow(&self, time: Duration) -> Error {
        let (bytes, time, least) = (self.bytes, format_duration(time), self.least);
        let message = format!(
            "only {bytes} bytes moved in {time}, and `min_rate` is {least} bytes per second"
        );
        Error::new(ErrorKind::Timeout, Origin::Network, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_fails_below_its_least_rate_and_only_after_a_while() {
        let start = Instant::now();
        for (least, each, seconds, fails) in [
            (100, 1, 1, true),
            (100, 99, 1, true),
            (100, 100, 1, false),
            (100, 6_001, 60, false),
            (100, 100, 30, true),
            (0, 1, 60, false),
            (u64::MAX, 1_000_000, 1, true),
        ] {
            let mut rate = LeastRate::new(least, start);
            let steps = 1..=2000 / seconds;
            let mut moved =
                steps.map(|step| rate.moved(each, start + Duration::from_secs(step * seconds)));
            let failed = moved.find_map(Result::err);
            assert_eq!(failed.is_some(), fails, "{least} {each} {seconds}");
            assert!(failed.is_none_or(|error| error.is_retryable()));
        }
    }

    #[test]
    fn a_rate_limit_of_ones_own_is_not_slow() {
        let start = Instant::now();
        let mut rate = LeastRate::new(100, start);
        for step in 1..1000 {
            rate.rested(Duration::from_secs(59));
            rate.moved(200, start + Duration::from_mins(step)).unwrap();
        }
    }

    #[test]
    fn a_piece_that_is_sent_may_take_as_long_as_it_needs_at_the_least_rate() {
        let rate = LeastRate::new(100, Instant::now());
        assert_eq!(rate.time_for(1), Some(LEAST_RATE_TIME));
        assert_eq!(rate.time_for(65_536), Some(Duration::from_secs(655)));
        assert_eq!(LeastRate::new(0, Instant::now()).time_for(1), None);
    }
}
