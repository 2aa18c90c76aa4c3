//! The number of sessions of a mirror. Pure: takes events and their times, and returns a number.

use std::time::{Duration, Instant};

use portolan_core::limits::{
    GIVE_WAY_WAIT, PARALLEL_AUTO, PARALLEL_AUTO_FIRST, PARALLEL_AUTO_NEAR, PARALLEL_MAX,
    SESSION_WAIT, SESSION_WAIT_MAX, TIDE_FILE_BYTES, TIDE_GAIN_MIN, TIDE_PIECES_MIN, TIDE_TIME_MIN,
    TIDE_TURN_PIECES,
};

/// The wanted number of sessions, with the limits learned so far.
#[derive(Debug)]
pub(super) struct PoolSizer {
    /// The number that the user or the throughput probe wants.
    wanted: usize,
    /// The number that it never exceeds.
    most: usize,
    /// The limit of the server, if it has refused sessions.
    taken: Option<ServerLimit>,
    /// The throughput probe, if the number is automatic.
    tide: Option<ThroughputProbe>,
    /// The time from which a session may give way to another that waits.
    gives_way_at: Option<Instant>,
}

/// The number of sessions that a server accepts at present.
#[derive(Debug, Clone, Copy)]
struct ServerLimit {
    count: usize,
    /// The time at which one more may be tried.
    again_at: Instant,
    /// The wait after that attempt.
    wait: Duration,
}

/// The throughput measured with the current number of sessions.
#[derive(Debug)]
struct ThroughputProbe {
    since: Option<Instant>,
    pieces: u64,
    amount: u64,
    /// The amount per second before the last increase.
    before: f64,
    /// Set once more sessions bring no gain.
    is_high: bool,
}

impl PoolSizer {
    /// Creates a pool size of at most `size_max` sessions, or one that grows as long as that brings a gain. `limit` is
    /// the number that the server accepted in an earlier run; `is_near` tells that there is no latency to hide.
    pub(super) fn new(size_max: u16, limit: Option<u16>, is_near: bool, now: Instant) -> Self {
        let is_auto = size_max == PARALLEL_AUTO;
        let wanted = match size_max {
            PARALLEL_AUTO if is_near => PARALLEL_AUTO_NEAR,
            PARALLEL_AUTO => PARALLEL_AUTO_FIRST,
            count => count.max(1),
        };
        let tide = is_auto.then_some(ThroughputProbe {
            since: None,
            pieces: 0,
            amount: 0,
            before: 0.0,
            is_high: false,
        });
        let taken = limit.map(|count| ServerLimit {
            count: usize::from(count.max(1)),
            again_at: now + SESSION_WAIT,
            wait: SESSION_WAIT,
        });
        let most = usize::from(PARALLEL_MAX);
        Self { wanted: usize::from(wanted), most, taken, tide, gives_way_at: None }
    }

    /// Returns it with at most `count` sessions, however much more would bring.
    pub(super) fn at_most(self, count: Option<u16>) -> Self {
        let most = count.map_or(usize::from(PARALLEL_MAX), |count| usize::from(count.max(1)));
        Self { wanted: self.wanted.min(most), most, ..self }
    }

    /// Returns true if the user has named the number.
    pub(super) const fn is_requested(&self) -> bool {
        self.tide.is_none()
    }

    /// Returns the number of sessions that the server accepts, if it has refused one more.
    pub(super) fn limit(&self) -> Option<u16> {
        self.taken.and_then(|taken| u16::try_from(taken.count).ok())
    }

    /// Returns the number of sessions that may be opened in addition to the `there` that exist. After a refusal, one
    /// more is tried from time to time.
    pub(super) fn lacking(&mut self, there: usize, now: Instant) -> usize {
        let lacking = self.wanted.saturating_sub(there);
        match &mut self.taken {
            None => lacking,
            Some(taken) if there >= taken.count && now >= taken.again_at => {
                taken.again_at = now + taken.wait;
                lacking.min(1)
            }
            Some(taken) => lacking.min(taken.count.saturating_sub(there)),
        }
    }

    /// Returns true if a session may give way to another that waits; one at a time, since the other needs a moment to see
    /// it.
    pub(super) fn may_give_way(&mut self, now: Instant) -> bool {
        let may = self.gives_way_at.is_none_or(|at| now >= at);
        if may {
            self.gives_way_at = Some(now + GIVE_WAY_WAIT);
        }
        may
    }

    /// Returns the number of jobs that a session may do before it reports them: few while throughput is being measured.
    pub(super) fn turn(&self) -> usize {
        let is_measured = self.tide.as_ref().is_some_and(|tide| !tide.is_high);
        if is_measured { TIDE_TURN_PIECES } else { usize::MAX }
    }

    /// Records that one more session was opened, so that there are `there`.
    pub(super) fn grew(&mut self, there: usize, now: Instant) {
        let Some(taken) = &mut self.taken else { return };
        if there > taken.count {
            taken.count = there;
            taken.wait = SESSION_WAIT;
            taken.again_at = now + SESSION_WAIT;
        }
    }

    /// Records that the server accepted no more than `there` sessions. Returns that number if it is new.
    pub(super) fn shrink(&mut self, there: usize, now: Instant) -> Option<usize> {
        let there = there.max(1);
        let before = self.taken;
        let wait = before.map_or(SESSION_WAIT, |taken| (taken.wait * 2).min(SESSION_WAIT_MAX));
        self.taken = Some(ServerLimit { count: there, again_at: now + wait, wait });
        before.is_none_or(|taken| taken.count != there).then_some(there)
    }

    /// Records a finished job of `bytes`, with `there` sessions.
    pub(super) fn moved(&mut self, bytes: u64, there: usize, now: Instant) {
        let Some(tide) = self.tide.as_mut().filter(|tide| !tide.is_high) else { return };
        if there < self.wanted {
            // Some are still being opened: this throughput is not that of the full number.
            (tide.since, tide.pieces) = (None, 0);
            return;
        }
        tide.pieces += 1;
        tide.amount += bytes + TIDE_FILE_BYTES;
        let count = u64::try_from(there).unwrap_or(u64::MAX);
        let Some(since) = tide.since else {
            // Sessions that start together finish together: the measurement runs from one such moment to another.
            if tide.pieces >= count {
                (tide.since, tide.pieces, tide.amount) = (Some(now), 0, 0);
            }
            return;
        };
        let took = now.saturating_duration_since(since);
        if took < TIDE_TIME_MIN || tide.pieces < TIDE_PIECES_MIN * count {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
        let rate = tide.amount as f64 / took.as_secs_f64();
        tracing::debug!(target: "portolan", "{there} sessions: {rate:.0}, before {:.0}", tide.before);
        (tide.since, tide.pieces) = (None, 0);
        if rate < tide.before * TIDE_GAIN_MIN {
            tide.is_high = true;
        } else {
            tide.before = rate;
            self.wanted = (self.wanted * 2).min(self.most);
            tide.is_high = self.wanted == there;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_takes_fewer_is_asked_again_after_longer_and_longer_waits() {
        let mut now = Instant::now();
        let mut size = PoolSizer::new(8, None, false, now);
        assert_eq!(size.lacking(1, now), 7);
        assert_eq!(size.shrink(3, now), Some(3));
        assert_eq!((size.lacking(3, now), size.lacking(2, now)), (0, 1));
        for waits in [1, 2, 4] {
            let wait = SESSION_WAIT * waits;
            assert_eq!(size.lacking(3, now + wait.saturating_sub(SECOND)), 0, "{waits}");
            now += wait;
            assert_eq!(size.lacking(3, now), 1, "{waits}");
            // While that session is being opened, no other is.
            assert_eq!(size.lacking(3, now), 0, "{waits}");
            assert_eq!(size.shrink(3, now), None, "the same number is no news");
        }
    }

    #[test]
    fn a_limit_of_the_run_holds_for_a_number_and_for_auto() {
        let now = Instant::now();
        for (parallel, most, lacking) in
            [(8, Some(3), 2), (2, Some(3), 1), (8, None, 7), (PARALLEL_AUTO, Some(4), 3)]
        {
            let mut size = PoolSizer::new(parallel, None, false, now).at_most(most);
            assert_eq!(size.lacking(1, now), lacking, "{parallel} {most:?}");
        }
        // However much more sessions bring.
        let mut size = PoolSizer::new(PARALLEL_AUTO, None, true, now).at_most(Some(3));
        let mut there = 1;
        for turn in 0..10_000_u32 {
            let now = now + SECOND / 20 * turn;
            there += size.lacking(there, now);
            size.moved(1_000_000 * u64::from(turn), there, now);
        }
        assert_eq!(there, 3);
    }

    #[test]
    fn a_server_that_takes_more_again_gets_them_one_by_one() {
        let now = Instant::now();
        let mut size = PoolSizer::new(4, None, false, now);
        size.shrink(1, now);
        for there in 1..4 {
            let now = now + SESSION_WAIT * u32::try_from(there).unwrap();
            assert_eq!(size.lacking(there, now), 1);
            size.grew(there + 1, now);
        }
        assert_eq!(size.lacking(4, now + SESSION_WAIT_MAX), 0);
    }

    #[test]
    fn the_limit_of_an_earlier_run_is_kept_to_and_tried_again_later() {
        let now = Instant::now();
        let mut size = PoolSizer::new(PARALLEL_AUTO, Some(2), false, now);
        assert_eq!((size.lacking(1, now), size.lacking(2, now)), (1, 0));
        assert_eq!(size.limit(), Some(2));
        assert_eq!(size.lacking(2, now + SESSION_WAIT), 1);
        size.grew(3, now + SESSION_WAIT);
        assert_eq!(size.limit(), Some(3));
    }

    #[test]
    fn a_server_without_latency_gets_few_sessions_at_first() {
        let now = Instant::now();
        for (size_max, sessions) in [(PARALLEL_AUTO, PARALLEL_AUTO_NEAR), (5, 5)] {
            let mut size = PoolSizer::new(size_max, None, true, now);
            assert_eq!(size.lacking(0, now), usize::from(sessions));
        }
    }

    #[test]
    fn sessions_give_way_one_at_a_time() {
        let now = Instant::now();
        let mut size = PoolSizer::new(4, None, false, now);
        let may = [now, now, now + GIVE_WAY_WAIT].map(|at| size.may_give_way(at));
        assert_eq!(may, [true, false, true]);
    }

    /// Returns the final number of sessions with files that take `time` each, if no more than `served` are served at a
    /// time.
    fn settled(served: usize, time: Duration) -> usize {
        let mut now = Instant::now();
        let mut size = PoolSizer::new(PARALLEL_AUTO, None, false, now);
        let mut there = 1;
        for _ in 0..10_000 {
            there += size.lacking(there, now);
            now += time / u32::try_from(there.min(served)).unwrap();
            size.moved(10_000, there, now);
        }
        there
    }

    #[test]
    fn sessions_are_added_while_they_make_it_faster() {
        let ms = Duration::from_millis;
        assert_eq!(settled(100, ms(60)), usize::from(PARALLEL_MAX));
        assert_eq!(settled(8, ms(60)), 16, "one step too far tells that it was");
        assert!(settled(1, ms(2)) <= 16);
    }

    #[test]
    fn a_number_that_was_asked_for_is_not_changed_by_throughput() {
        let now = Instant::now();
        let mut size = PoolSizer::new(2, None, false, now);
        for second in 0..1000 {
            size.moved(1, 2, now + SECOND * second);
        }
        assert_eq!(size.lacking(2, now), 0);
    }
}
