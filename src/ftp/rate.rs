//! How fast bytes may pass: one limit for all sessions of a site together.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Pieces a second in which a limited transfer moves: small enough to be even, large enough to cost nothing.
const PIECES_PER_SECOND: u64 = 10;

/// So many bytes a second, for whoever shares this value.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    /// When what has been let through so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Rate {
    /// So many bytes a second; 0 is as fast as they can.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, paid: Mutex::new(None) }
    }

    /// How many of `most` bytes to move at once.
    pub fn piece(&self, most: usize) -> usize {
        if self.bytes_per_second == 0 {
            return most;
        }
        let piece = self.bytes_per_second.div_ceil(PIECES_PER_SECOND);
        usize::try_from(piece).unwrap_or(most).min(most)
    }

    /// When the next bytes may follow these. What was not used while nobody sent is not saved up.
    pub fn after(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let nanoseconds = (bytes as u64).saturating_mul(1_000_000_000);
        let price = nanoseconds.checked_div(self.bytes_per_second).unwrap_or(0);
        let price = Duration::from_nanos(price);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let next = paid.map_or(now, |paid| paid.max(now)) + price;
        *paid = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_bytes_is_time_and_nobody_pays_twice() {
        let rate = Rate::new(1000);
        let start = Instant::now();
        assert!(rate.after(500) >= start + Duration::from_millis(500));
        // Another session of the same site waits for both.
        let both = rate.after(500);
        assert!(both >= start + Duration::from_secs(1));
        assert!(both < start + Duration::from_mins(1));
        assert_eq!((rate.piece(256), rate.piece(64), Rate::new(0).piece(9)), (100, 64, 9));
        assert!(Rate::new(0).after(usize::MAX) < start + Duration::from_mins(1));
    }
}
