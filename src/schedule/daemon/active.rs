//! A run in progress.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    limits::CHILD_TERM_TIME_MAX,
    schedule::{
        child::{
            Child, EndedAttempt,
            verdict::{AttemptResult, TerminationCause},
        },
        jobs::{Job, LoginLimit, Timeouts},
        shared_log::LogCursor,
        slot::Slot,
    },
    store::{fleet::RunClaim, history::Trigger},
};

/// A run in progress.
#[derive(Debug)]
pub(super) struct ActiveRun {
    /// The run, with its fencing token.
    pub(super) claim: RunClaim,
    /// The job as it was when the run started: a reload does not change runs in progress.
    pub(super) job: Arc<Job>,
    /// The logins that each of its attempts may make: the places that it was dispatched with do not change.
    pub(super) logins: Option<LoginLimit>,
    pub(super) slot: Slot,
    pub(super) cause: Trigger,
    /// The arguments of the request for the run.
    pub(super) args: serde_json::Value,
    /// The time from which it is slow; `None` without recipients, or once they were notified.
    pub(super) slow_after: Option<Duration>,
    /// The paths of the files that it was given.
    pub(super) files: Vec<String>,
    /// The start by the monotonic clock.
    pub(super) begun: Instant,
    /// The part of its log that other machines have, if some share the store.
    pub(super) shared_log: Option<LogCursor>,
    /// The number of the attempt, from 1, counted across all resumptions of the run.
    pub(super) attempt: i64,
    /// The number of attempts made by this scheduler process.
    pub(super) tries: u32,
    /// The number of consecutive delays of the next attempt for lack of system resources.
    pub(super) delays: u32,
    pub(super) attempt_begun: Instant,
    pub(super) stage: RunStage,
    pub(super) cut: Option<TerminationCause>,
    /// The time at which it is told to terminate, after it was asked to stop at the next file.
    pub(super) force_at: Option<Instant>,
    /// The time at which it is killed.
    pub(super) kill_at: Option<Instant>,
}

/// The time between two checks of a process that is about to end.
const CLOSING_LOOK: Duration = Duration::from_millis(5);

/// The stage of a run.
#[derive(Debug)]
pub(super) enum RunStage {
    /// The next attempt is due at this time.
    Between(Instant),
    /// An attempt is in progress.
    Running(Box<Child>),
    /// An attempt has ended, and its result has not been written yet.
    Ended(Box<EndedAttempt>, AttemptResult, Timestamp),
}

impl ActiveRun {
    /// Returns the time until it next needs attention.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(now);
        let child = match &self.stage {
            RunStage::Between(at) => return Some(until(*at)),
            // It is written at the next tick.
            RunStage::Ended(..) => return None,
            RunStage::Running(child) => child,
        };
        if child.is_closing() {
            return Some(CLOSING_LOOK);
        }
        let Timeouts { attempt, .. } = self.job.timeouts;
        let run = self.job.timeouts.whole();
        let limits =
            [attempt.map(|time| self.attempt_begun + time), run.map(|time| self.begun + time)];
        // Once it has been told to stop, these limits no longer matter.
        let limits = limits.into_iter().filter(|_| self.cut.is_none());
        limits.chain([self.force_at, self.kill_at]).flatten().map(until).min()
    }

    /// Returns the time limit that has been exceeded, if any.
    pub(super) fn overtime(&self, now: Instant) -> Option<TerminationCause> {
        let Timeouts { attempt, stall, .. } = self.job.timeouts;
        let run = self.job.timeouts.whole();
        let since = |at: Instant| now.saturating_duration_since(at);
        let over = |limit: Option<Duration>, spent: Duration| limit.filter(|limit| spent >= *limit);
        if let Some(limit) = over(run, since(self.begun)) {
            return Some(TerminationCause::Run(limit));
        }
        let RunStage::Running(child) = &self.stage else { return None };
        if let Some(limit) = over(attempt, since(self.attempt_begun)) {
            return Some(TerminationCause::Attempt(limit));
        }
        over(stall, child.still_for()).map(TerminationCause::Stall)
    }

    /// Terminates the attempt in progress: at once, and by force after the job's grace period.
    pub(super) fn cut(&mut self, cut: TerminationCause, now: Instant) {
        if self.cut.is_some() {
            return;
        }
        self.cut = Some(cut);
        if let RunStage::Running(child) = &self.stage {
            child.terminate();
            self.kill_at = Some(now + self.job.timeouts.kill_grace);
        }
    }

    /// Asks the attempt in progress to stop at its next file; it is ended by force after the job's grace period.
    pub(super) fn drain(&mut self, cut: TerminationCause, now: Instant) {
        if self.cut.is_some() {
            return;
        }
        self.cut = Some(cut);
        if let RunStage::Running(child) = &mut self.stage {
            child.drain();
            let force_at = now + self.job.timeouts.kill_grace;
            self.force_at = Some(force_at);
            self.kill_at = Some(force_at + CHILD_TERM_TIME_MAX);
        }
    }

    /// Terminates at once an attempt that was asked to stop at its next file, because the user asked again.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.force_at = Some(now);
        let kill_at = now + CHILD_TERM_TIME_MAX;
        self.kill_at = self.kill_at.map(|at| at.min(kill_at));
    }

    /// Escalates against an attempt that does not end when its time is up.
    pub(super) fn press(&mut self, now: Instant) {
        let RunStage::Running(child) = &self.stage else { return };
        if self.force_at.is_some_and(|at| now >= at) {
            child.terminate();
            self.force_at = None;
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            child.kill();
            self.kill_at = Some(now + CHILD_TERM_TIME_MAX);
        }
    }
}
