//! The logs of runs in progress, as other machines read them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Worker;
use crate::schedule::{child::log, shared_log::LogCursor};

/// The time between two looks at the logs.
const LOOK: Duration = Duration::from_secs(1);

impl Worker {
    /// Puts what is new in the logs of its runs into the store, at intervals.
    pub(super) fn share_logs(&mut self) {
        if self.heartbeat.is_none() || self.logs_shared.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.logs_shared = Some(Instant::now());
        let runs = self.active.values();
        let runs: Vec<_> = runs
            .map(|active| (active.claim.run, Arc::clone(&active.job.name), active.shared_log))
            .collect();
        for (run, job, cursor) in runs {
            let cursor = self.send_log(run, &job, cursor);
            if let Some(active) = self.active.get_mut(&run) {
                active.shared_log = cursor;
            }
        }
    }

    /// Puts what is new in the log of a run into the store. A log that others cannot read must not end the run: what could not
    /// be sent is sent with the next part.
    pub(super) fn send_log(
        &mut self,
        run: i64,
        job: &str,
        mut cursor: Option<LogCursor>,
    ) -> Option<LogCursor> {
        let sent = cursor.as_mut()?;
        let path = log::path(&self.context.start.state, job, run);
        if let Err(fault) = sent.send(&mut self.store, run, &self.context.host, &path) {
            tracing::debug!(target: "portolan", "the log of run {run} is not shared: {fault}");
        }
        cursor
    }
}
