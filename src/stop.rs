//! The one cancel signal: set by Ctrl-C or by the end of the run's time, waited on by everything that waits.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::fault::{Fault, Kind, Outcome, Side};

/// A signal that stays set until [`Stop::reset`]. Clones share it.
#[derive(Debug, Clone)]
pub struct Stop {
    signal: Arc<watch::Sender<bool>>,
    /// What is under way goes on, and nothing else begins.
    is_draining: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A signal that nobody has set.
    pub fn new() -> Self {
        Self {
            signal: Arc::new(watch::Sender::new(false)),
            is_draining: Arc::default(),
            deadline: None,
        }
    }

    /// The same signal, set also when `time` from now has passed (or earlier, if it was so before).
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

    /// Lets what is under way go on, and nothing else begin. Whoever waits is not woken: that is what [`Stop::set`] is for.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Fails where no other transfer is to begin: with `interrupted` after [`Stop::drain`], else as [`Stop::check`].
    pub fn may_begin(&self) -> Outcome<()> {
        self.check()?;
        if self.is_draining.load(Ordering::Relaxed) { Err(interrupted()) } else { Ok(()) }
    }

    /// Takes the signal back, for a prompt: there Ctrl-C ends one command, and the next begins anew.
    pub fn reset(&self) {
        self.is_draining.store(false, Ordering::Relaxed);
        self.signal.send_replace(false);
    }

    /// Whether to stop now.
    pub fn is_set(&self) -> bool {
        *self.signal.borrow() || self.is_late()
    }

    /// Fails with `interrupted` or `timeout` when it is time to stop.
    pub fn check(&self) -> Outcome<()> {
        if self.is_set() { Err(self.fault()) } else { Ok(()) }
    }

    /// Ends when the signal is set.
    pub async fn wait(&self) {
        let mut signal = self.signal.subscribe();
        let set = signal.wait_for(|set| *set);
        match self.deadline {
            None => drop(set.await),
            Some(end) => drop(tokio::time::timeout_at(end.into(), set).await),
        }
    }

    /// The result of `work`, unless the signal comes first: then work is dropped where it is.
    pub async fn race<T>(&self, work: impl Future<Output = T>) -> Outcome<T> {
        self.check()?;
        // Work first: what is ready at once never pays for a place in the signal's queue.
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.wait() => Err(self.fault()),
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    fn fault(&self) -> Fault {
        if *self.signal.borrow() {
            interrupted()
        } else {
            Fault::new(Kind::Timeout, Side::Here, "the time for this run is over")
        }
    }
}

fn interrupted() -> Fault {
    Fault::new(Kind::Interrupted, Side::Here, "interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_lets_nothing_begin_and_stops_nothing() {
        let stop = Stop::new();
        let of_a_part = stop.within(Duration::from_mins(1));
        assert!(of_a_part.may_begin().is_ok());
        stop.drain();
        assert_eq!(of_a_part.may_begin().unwrap_err().kind, Kind::Interrupted);
        assert!(of_a_part.check().is_ok());
        stop.reset();
        assert!(of_a_part.may_begin().is_ok());
    }

    #[tokio::test]
    async fn what_waits_ends_when_the_signal_is_set() {
        let stop = Stop::new();
        let other = stop.clone();
        let waiting = stop.race(std::future::pending::<()>());
        let (fault, ()) = tokio::join!(waiting, async move { other.set() });
        assert_eq!(fault.unwrap_err().kind, Kind::Interrupted);
        assert!(stop.is_set());
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait_and_is_told_apart() {
        let stop = Stop::new();
        let brief = stop.within(Duration::from_millis(5)).within(Duration::from_mins(1));
        assert_eq!(brief.race(std::future::pending::<()>()).await.unwrap_err().kind, Kind::Timeout);
        assert!(!stop.is_set());
    }
}
