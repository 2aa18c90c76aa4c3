//! Rate limits in bytes per second: the time to wait after some bytes have moved, so that all users of one limit
//! together keep it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portolan_core::limits::{COPY_BYTES, PACE_BURST, PACE_PIECE_BYTES_MIN};

use crate::shared_rate::SharedRateLimits;

/// A rate limit, shared by its clones.
#[derive(Debug, Clone)]
pub struct RateLimiter(Arc<Mutex<PaceState>>);

#[derive(Debug)]
struct PaceState {
    bytes_per_second: u64,
    /// The time at which all bytes so far would have been moved at the limited rate.
    even_at: Option<Instant>,
}

/// The rate limits of a run: one for each host, and those that it shares with other runs, if there are any.
#[derive(Debug, Clone, Default)]
pub struct HostRateLimiters {
    hosts: Arc<Mutex<BTreeMap<String, RateLimiter>>>,
    shared: Option<Arc<SharedRateLimits>>,
}

impl RateLimiter {
    /// Returns a limit of `bytes_per_second`; 0 counts as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        Self(Arc::new(Mutex::new(PaceState { bytes_per_second, even_at: None })))
    }

    /// Counts `bytes` that have just moved and returns the time to wait before the next.
    pub fn wait_after(&self, bytes: usize, now: Instant) -> Duration {
        let mut state = lock(&self.0);
        // Capacity that was unused a while ago is not recovered: that would be a burst.
        let earliest = now.checked_sub(PACE_BURST).unwrap_or(now);
        let begun = state.even_at.map_or(earliest, |even| even.max(earliest));
        let even = begun + time_of(bytes as u64, state.bytes_per_second);
        state.even_at = Some(even);
        even.saturating_duration_since(now)
    }

    /// Returns the number of bytes to move at once, so that they flow evenly.
    pub fn piece(&self) -> usize {
        piece_of(lock(&self.0).bytes_per_second)
    }
}

/// Returns the number of bytes to move at once at a rate.
pub fn piece_of(bytes_per_second: u64) -> usize {
    let tenth = bytes_per_second / 10;
    usize::try_from(tenth).unwrap_or(COPY_BYTES).clamp(PACE_PIECE_BYTES_MIN, COPY_BYTES)
}

impl HostRateLimiters {
    /// Returns the rate limits of a run that shares some with others.
    pub fn sharing(shared: Arc<SharedRateLimits>) -> Self {
        Self { shared: Some(shared), ..Self::default() }
    }

    /// Returns the rate limits that the run shares with others.
    pub fn shared(&self) -> Option<&SharedRateLimits> {
        self.shared.as_deref()
    }

    /// Returns the rate limit of all sessions with `host` in this run; the rate that was requested last applies.
    pub fn of_host(&self, host: &str, bytes_per_second: u64) -> RateLimiter {
        let mut paces = lock(&self.hosts);
        let pace = paces
            .entry(host.to_ascii_lowercase())
            .or_insert_with(|| RateLimiter::new(bytes_per_second))
            .clone();
        lock(&pace.0).bytes_per_second = bytes_per_second.max(1);
        pace
    }
}

fn time_of(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the time that it takes to move `bytes` in pieces, by a simulated clock.
    fn time(pace: &RateLimiter, bytes: usize, piece: usize) -> Duration {
        let began = Instant::now();
        let mut now = began;
        for _ in 0..bytes / piece {
            now += pace.wait_after(piece, now);
        }
        now - began
    }

    #[test]
    fn so_many_bytes_take_so_many_seconds() {
        for (rate, bytes, seconds) in [(1_000_u64, 10_000, 10), (1 << 20, 8 << 20, 8)] {
            let took = time(&RateLimiter::new(rate), bytes, 1_000);
            let exact = Duration::from_secs(seconds);
            assert!(took <= exact && took + PACE_BURST * 2 >= exact, "{took:?}");
        }
    }

    #[test]
    fn two_at_one_pace_share_it() {
        let pace = RateLimiter::new(1_000);
        let now = Instant::now();
        let (one, two) = (pace.clone(), pace);
        one.wait_after(1_000, now);
        let wait = two.wait_after(1_000, now);
        assert!(wait > Duration::from_millis(1_700), "{wait:?}");
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let pace = RateLimiter::new(1_000);
        let now = Instant::now();
        pace.wait_after(1_000, now);
        let wait = pace.wait_after(1_000, now + Duration::from_mins(1));
        assert!(wait >= Duration::from_secs(1).saturating_sub(PACE_BURST), "{wait:?}");
    }

    #[test]
    fn sessions_with_one_host_have_one_pace_and_others_another() {
        let paces = HostRateLimiters::default();
        let now = Instant::now();
        let one = paces.of_host("FTP.example.org", 1_000);
        one.wait_after(5_000, now);
        let same = paces.of_host("ftp.example.org", 1_000).wait_after(0, now);
        assert!(same > Duration::from_secs(4), "{same:?}");
        assert_eq!(paces.of_host("other.example.org", 1_000).wait_after(0, now), Duration::ZERO);
    }

    #[test]
    fn slow_paces_move_small_pieces() {
        for (rate, piece) in
            [(1, PACE_PIECE_BYTES_MIN), (100 * 1024, 10 * 1024), (u64::MAX, COPY_BYTES)]
        {
            assert_eq!(RateLimiter::new(rate).piece(), piece);
        }
    }
}
