//! The cancellation signal: set by Ctrl-C or by the time limit of the run, and observed by everything that waits.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Origin, Result};

/// A cancellation signal that stays set until [`CancelToken::reset`]. Clones share it.
#[derive(Debug, Clone)]
pub struct CancelToken {
    signal: Arc<watch::Sender<bool>>,
    /// Set once no new work may begin; work in progress continues.
    is_draining: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// The condition of the right to go on.
    condition: Option<CancelCondition>,
}

/// A condition that is asked for whenever something is about to begin.
#[derive(Clone)]
struct CancelCondition(Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for CancelCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelCondition")
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl CancelToken {
    /// Returns a signal that is not set.
    pub fn new() -> Self {
        Self {
            signal: Arc::new(watch::Sender::new(false)),
            is_draining: Arc::default(),
            deadline: None,
            condition: None,
        }
    }

    /// Returns the same signal, which is also set as long as `holds` returns false. That is looked at before every command,
    /// and wakes nothing that waits.
    #[must_use]
    pub fn only_while(&self, holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { condition: Some(CancelCondition(Arc::new(holds))), ..self.clone() }
    }

    /// Returns the same signal with a deadline `time` from now (or an earlier one, if it had that before).
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        let end = Instant::now() + time;
        let deadline = Some(self.deadline.map_or(end, |before| before.min(end)));
        Self { deadline, ..self.clone() }
    }

    /// Sets the signal.
    pub fn set(&self) {
        self.signal.send_replace(true);
    }

    /// Lets work in progress continue, but no new work begin. Waiting tasks are not woken: that is the purpose of
    /// [`CancelToken::set`].
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Fails if no new transfer may begin: with `interrupted` after [`CancelToken::drain`], else like [`CancelToken::check`].
    pub fn accepts_new_work(&self) -> Result<()> {
        self.check()?;
        if self.is_draining.load(Ordering::Relaxed) { Err(interrupted()) } else { Ok(()) }
    }

    /// Clears the signal, for a prompt: there Ctrl-C ends one command, and the next starts afresh.
    pub fn reset(&self) {
        self.is_draining.store(false, Ordering::Relaxed);
        self.signal.send_replace(false);
    }

    /// Returns true if the signal is set or the deadline has passed.
    pub fn is_set(&self) -> bool {
        *self.signal.borrow() || self.is_past_deadline() || self.is_lapsed()
    }

    fn is_lapsed(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| !(condition.0)())
    }

    /// Fails with `interrupted` or `timeout` if the signal is set.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(self.fault()) } else { Ok(()) }
    }

    /// Completes when the signal is set.
    pub async fn wait(&self) {
        let mut signal = self.signal.subscribe();
        let set = signal.wait_for(|set| *set);
        match self.deadline {
            None => drop(set.await),
            Some(end) => drop(tokio::time::timeout_at(end.into(), set).await),
        }
    }

    /// Returns the result of `work`, unless the signal comes first: then `work` is dropped.
    pub async fn run_until_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        self.check()?;
        // `work` is polled first: a future that is ready at once does not subscribe to the signal.
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.wait() => Err(self.fault()),
        }
    }

    fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    fn fault(&self) -> Error {
        if *self.signal.borrow() || !self.is_past_deadline() {
            interrupted()
        } else {
            Error::new(ErrorKind::Timeout, Origin::Here, "the time for this run is over")
        }
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, Origin::Here, "interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_nothing_begin_and_stops_nothing() {
        let stop = CancelToken::new();
        let of_a_part = stop.within(Duration::from_mins(1));
        assert!(of_a_part.accepts_new_work().is_ok());
        stop.drain();
        assert_eq!(of_a_part.accepts_new_work().unwrap_err().kind, ErrorKind::Interrupted);
        assert!(of_a_part.check().is_ok());
        stop.reset();
        assert!(of_a_part.accepts_new_work().is_ok());
    }

    #[tokio::test]
    async fn nothing_begins_once_its_condition_holds_no_longer() {
        let holds = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&holds);
        let stop = CancelToken::new().only_while(move || asked.load(Ordering::Relaxed));
        let of_a_part = stop.within(Duration::from_mins(1));
        assert!(of_a_part.run_until_cancelled(async {}).await.is_ok());
        holds.store(false, Ordering::Relaxed);
        let fault = of_a_part.run_until_cancelled(async {}).await.unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Interrupted);
        assert!(stop.is_set());
    }

    #[tokio::test]
    async fn what_waits_ends_when_the_signal_is_set() {
        let stop = CancelToken::new();
        let other = stop.clone();
        let waiting = stop.run_until_cancelled(std::future::pending::<()>());
        let (fault, ()) = tokio::join!(waiting, async move { other.set() });
        assert_eq!(fault.unwrap_err().kind, ErrorKind::Interrupted);
        assert!(stop.is_set());
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait_and_is_told_apart() {
        let stop = CancelToken::new();
        let brief = stop.within(Duration::from_millis(5)).within(Duration::from_mins(1));
        assert_eq!(
            brief.run_until_cancelled(std::future::pending::<()>()).await.unwrap_err().kind,
            ErrorKind::Timeout
        );
        assert!(!stop.is_set());
    }
}
