//! Retries after temporary failures: a lost connection, a busy server.

use std::time::{Duration, Instant};

use super::names::is_mended;
use crate::{
    error::{Error, Result},
    ftp::session::Session,
    limits::{MIRROR_RETRY_TIME_MAX, MIRROR_RETRY_WAIT, MIRROR_RETRY_WAIT_MAX},
    observe::MessageLevel,
    random::random_u64,
};

impl Session {
    /// Runs `work`, and retries it up to `retries` times after a temporary failure, with a longer wait each time.
    pub async fn with_retries<T>(
        &mut self,
        retries: u16,
        mut work: impl AsyncFnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let mut since = None;
        for tries in 0..retries {
            let fault = match work(self).await {
                Err(fault) if fault.is_retryable() => fault,
                ended => return ended,
            };
            if since.get_or_insert_with(Instant::now).elapsed() >= MIRROR_RETRY_TIME_MAX {
                return Err(fault);
            }
            self.pause(&fault, backoff(tries, random_u64())).await?;
        }
        work(self).await
    }

    /// Reports a failure that is retried, and waits for `wait`.
    pub async fn pause(&self, fault: &Error, wait: Duration) -> Result<()> {
        self.context.observer.message(MessageLevel::Info, format!("{fault}; trying again"));
        let wait = if is_mended(fault) { Duration::ZERO } else { wait };
        self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await
    }
}

/// Returns the wait before the retry after `tries` retries; `chance` selects the fraction of the longest wait.
pub fn backoff(tries: u16, chance: u64) -> Duration {
    let longest = MIRROR_RETRY_WAIT.saturating_mul(1 << tries.min(16)).min(MIRROR_RETRY_WAIT_MAX);
    longest * u32::try_from(chance % 1001).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_may_be_twice_as_long_as_the_one_before_up_to_a_limit() {
        let longest = |tries| backoff(tries, 1000);
        assert_eq!(longest(0), MIRROR_RETRY_WAIT);
        assert_eq!(longest(3), MIRROR_RETRY_WAIT * 8);
        assert_eq!(longest(u16::MAX), MIRROR_RETRY_WAIT_MAX);
        assert_eq!(backoff(3, 0), Duration::ZERO);
    }
}
