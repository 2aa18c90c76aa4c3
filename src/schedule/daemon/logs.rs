//! The logs of runs in progress, as other machines read them.

use std::{
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Worker;
use crate::schedule::{child::log, shared_log::LogCursor};

/// The time between two looks at the logs.
const LOOK: Duration = Duration::from_secs(1);
/// The time for the logs of one look. The loop that sends them also leads: the others are sent at the next look.
const SEND_TIME_MAX: Duration = Duration::from_millis(250);

impl Worker {
    /// Puts what is new in the logs of its runs into the store, at intervals.
    pub(super) fn share_logs(&mut self) {
        if self.heartbeat.is_none() || self.logs_shared.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        let began = Instant::now();
        self.logs_shared = Some(began);
        // Each look goes on behind the run with which the one before ended.
        let after = self.logs_sent.map_or(Bound::Unbounded, Bound::Excluded);
        let runs = self.active.range((after, Bound::Unbounded)).chain(self.active.iter());
        let runs = runs.take(self.active.len());
        let runs: Vec<_> = runs
            .map(|(run, active)| (*run, Arc::clone(&active.job.name), active.shared_log))
            .collect();
        for (run, job, cursor) in runs {
            let (cursor, is_sent) = self.send_log(run, &job, cursor);
            if let Some(active) = self.active.get_mut(&run) {
                active.shared_log = cursor;
            }
            self.logs_sent = Some(run);
            if !is_sent || began.elapsed() > SEND_TIME_MAX {
                break;
            }
        }
    }

    /// Puts what is new in the log of a run into the store. A log that others cannot read must not end the run: what could not
    /// be sent is sent with the next part. Returns false with such a one.
    pub(super) fn send_log(
        &mut self,
        run: i64,
        job: &str,
        mut cursor: Option<LogCursor>,
    ) -> (Option<LogCursor>, bool) {
        let Some(sent) = &mut cursor else { return (None, true) };
        let path = log::path(&self.context.start.state, job, run);
        let sent = sent.send(&mut self.store, run, &self.context.host, &path);
        if let Err(fault) = &sent {
            tracing::debug!(target: "portolan", "the log of run {run} is not shared: {fault}");
        }
        (cursor, sent.is_ok())
    }
}
