//! Retries after temporary failures: a lost connection, a busy server.

use std::time::{Duration, Instant};

use super::{backoff, names::is_mended};
use crate::session::Session;
use portolan_core::{
    error::{Error, Result},
    limits::MIRROR_RETRY_TIME_MAX,
    observe::MessageLevel,
    random::random_u64,
};

impl Session {
    /// Runs `work`, and retries it up to `retries` times after a temporary failure, with a longer wait each time.
    pub(crate) async fn with_retries<T>(
        &mut self,
        retries: u16,
        mut work: impl AsyncFnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let mut since = None;
        for tries in 0..retries {
            let error = match work(self).await {
                Err(error) if error.is_retryable() => error,
                ended => return ended,
            };
            if since.get_or_insert_with(Instant::now).elapsed() >= MIRROR_RETRY_TIME_MAX {
                return Err(error);
            }
            self.pause(&error, tries).await?;
        }
        work(self).await
    }

    /// Reports a failure that is retried after `tries` earlier retries, and waits.
    pub(crate) async fn pause(&self, error: &Error, tries: u16) -> Result<()> {
        self.context.observer.message(MessageLevel::Info, format!("{error}; trying again"));
        let wait = if is_mended(error) {
            Duration::ZERO
        } else {
            backoff(self.site().retry_wait, tries, random_u64())
        };
        self.context.stop.run_until_cancelled(tokio::time::sleep(wait)).await
    }
}
