//! The end of attempts, and of runs with their last attempt.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;

use super::{
    Worker,
    active::{ActiveRun, RunStage},
    rows,
};
use crate::{
    error::Result,
    observe::{MessageLevel, counted, format_duration, format_size, metrics},
    schedule::{
        child::{
            EndedAttempt, log,
            verdict::{AttemptResult, TerminationCause, verdict, wait_after},
        },
        facts,
        jobs::Job,
        notify::of_end,
    },
    store::history::{AttemptRecord, Health, RunEnd, RunState, Sum},
};

impl Worker {
    /// Collects attempts that have ended.
    pub(super) fn reap(&mut self) -> Result<()> {
        let now = self.context.clock.now();
        let mut ended = Vec::new();
        for active in self.active.values_mut() {
            if let RunStage::Running(child) = &mut active.stage
                && let Some(end) = child.ended()
            {
                let verdict = verdict(&end, active.cut.as_ref(), &active.job.retry);
                active.stage = RunStage::Ended(Box::new(end), verdict, now);
            }
            let is_over = match &active.stage {
                RunStage::Ended(..) => true,
                // No attempt is in progress, and none will follow.
                RunStage::Between(_) => active.cut.is_some(),
                RunStage::Running(_) => false,
            };
            if is_over {
                ended.push(active.claim.run);
            }
        }
        for run in ended {
            self.settle(run)?;
        }
        Ok(())
    }

    /// Records the end of an attempt, and of the run if no other attempt follows. After a failed write it is tried
    /// again at the next tick.
    fn settle(&mut self, run: i64) -> Result<()> {
        let Some(active) = self.active.get_mut(&run) else { return Ok(()) };
        let RunStage::Ended(end, verdict, at) = &mut active.stage else {
            return self.settle_between(run);
        };
        let (verdict, at) = (verdict.clone(), *at);
        let attempt = attempt_of(active.attempt, end, &verdict, at);
        let (files, fallbacks) = facts::parts(active.attempt, &end.account);
        if !self.store.end_attempt(active.claim, &attempt, &files, &fallbacks)? {
            self.drop_lost(run);
            return Ok(());
        }
        if let Some(progress) = self.context.view.ended(run) {
            let points = facts::points(active.attempt, &progress.points());
            // The picture of a run must not hold up its end.
            if !points.is_empty()
                && let Err(fault) = self.store.put_progress(run, &points)
            {
                tracing::debug!(target: "portolan", "the progress of run {run} is not kept: {fault}");
            }
        }
        let tries = active.tries;
        let is_again = verdict.is_worth_another
            && tries <= active.job.retry.retries
            && !matches!(
                active.cut,
                Some(
                    TerminationCause::Stopped
                        | TerminationCause::Replaced(_)
                        | TerminationCause::Requested(_)
                        | TerminationCause::Lost
                        | TerminationCause::Lapsed
                )
            )
            && !self.is_stopping;
        if is_again {
            let wait = wait_after(tries, &active.job.retry, rows::draw(run, active.attempt));
            let next = format!("attempt {} in {}", active.attempt + 1, format_duration(wait));
            let text = format!("{}; {next}", verdict.error.as_deref().unwrap_or_default());
            let is_told = end.has_told(verdict.error.as_deref());
            end.log.end(MessageLevel::Warn, if is_told { &next } else { &text });
            self.context.observer.warn(format!("run {run} of `{}`: {text}", active.job.name));
            self.context.metrics.retried(&active.job.name);
            active.stage = RunStage::Between(Instant::now() + wait);
            (active.cut, active.force_at, active.kill_at) = (None, None, None);
            return Ok(());
        }
        let is_told = end.has_told(verdict.error.as_deref());
        let mut log = end.log.take();
        let (name, shared) = (Arc::clone(&active.job.name), active.shared_log);
        // Readers who follow it get as far as this line, and are then told that the run has ended.
        let (shared, _) = self.send_log(run, &name, shared);
        self.finish(run, &verdict, &attempt.sum, at)?;
        let error = verdict.error.filter(|_| !is_told);
        let text = error.map_or_else(String::new, |error| format!(": {error}"));
        log.end(MessageLevel::Info, &format!("run {run} is {}{text}", verdict.state.as_str()));
        self.send_log(run, &name, shared);
        Ok(())
    }

    /// Ends a run that is waiting for its next attempt.
    fn settle_between(&mut self, run: i64) -> Result<()> {
        let Some(active) = self.active.get(&run) else { return Ok(()) };
        let last = self.store.attempts(run)?.pop();
        let sum = last.map(|attempt| attempt.sum).unwrap_or_default();
        let verdict = match &active.cut {
            Some(TerminationCause::Stopped) | None => AttemptResult {
                state: RunState::Interrupted,
                kind: Some("interrupted".into()),
                error: Some("the scheduler was stopped".into()),
                is_worth_another: false,
            },
            Some(TerminationCause::Requested(by)) => AttemptResult {
                state: RunState::Interrupted,
                kind: Some("interrupted".into()),
                error: Some(format!("stopped by `{by}`")),
                is_worth_another: false,
            },
            // The failure is that of the last attempt.
            Some(cut) => AttemptResult {
                state: RunState::Failed,
                kind: sum.error_kind.clone(),
                error: sum.error.as_ref().map(|error| format!("{error} ({})", no_other(cut))),
                is_worth_another: false,
            },
        };
        let at = self.context.clock.now();
        self.finish(run, &verdict, &sum, at)
    }

    /// Records the end of a run, with the notices for it.
    fn finish(
        &mut self,
        run: i64,
        verdict: &AttemptResult,
        last: &Sum,
        at: Timestamp,
    ) -> Result<()> {
        let Some(active) = self.active.get(&run) else { return Ok(()) };
        let mut verdict = verdict.clone();
        // Whatever else was interrupted is begun again on another machine.
        if self.heartbeat.is_some() && matches!(active.cut, Some(TerminationCause::Requested(_))) {
            verdict.kind = verdict.kind.map(|_| "stopped".to_owned());
        }
        let verdict = &verdict;
        let sum =
            Sum { error_kind: verdict.kind.clone(), error: verdict.error.clone(), ..last.clone() };
        let (claim, job) = (active.claim, Arc::clone(&active.job));
        let health = match verdict.state {
            RunState::Done => Some(Health::Good),
            RunState::Partial | RunState::Failed => Some(Health::Bad),
            _ => None,
        };
        let tail = self.tail_for(run, &job);
        let page = self.context.page_url();
        let context = self.context.notice_context(&job, page.as_deref(), &tail);
        let (name, state) = (&*job.name, verdict.state);
        let end = RunEnd { claim, job: name, state, sum: &sum, health, at };
        let is_ours = self.store.close(&end, |found, before, after| {
            of_end(&job.notify, found, before, after, &context)
        })?;
        if !is_ours {
            self.drop_lost(run);
            return Ok(());
        }
        let Some(active) = self.active.remove(&run) else { return Ok(()) };
        self.report(&active, verdict)
    }

    /// Forgets a run that another worker was given, or that the leader has ended: what it did is not recorded.
    fn drop_lost(&mut self, run: i64) {
        if let Some(active) = self.active.remove(&run) {
            self.context.view.ended(run);
            let name = &active.job.name;
            let text = format!(
                "run {run} of `{name}` is no longer this worker's: its result does not count"
            );
            self.context.observer.warn(text);
        }
    }

    /// Returns the end of a run's log if a notice may contain it.
    fn tail_for(&self, run: i64, job: &Job) -> String {
        if !job.notify.is_any() {
            return String::new();
        }
        log::tail(&log::path(&self.context.start.state, &job.name, run)).unwrap_or_default()
    }

    /// Logs and counts the end of a run.
    fn report(&self, active: &ActiveRun, verdict: &AttemptResult) -> Result<()> {
        let Some(run) = self.store.run(active.claim.run)? else { return Ok(()) };
        let took = active.begun.elapsed();
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        self.context.metrics.ended(&metrics::EndedRun {
            job: &active.job.name,
            outcome: verdict.state.as_str(),
            is_success: verdict.state == RunState::Done,
            at: run.ended_at.unwrap_or_default(),
            took,
            files: number(run.sum.files),
            bytes: number(run.sum.bytes),
            fallbacks: number(run.fallbacks),
        });
        let level = match verdict.state {
            RunState::Done => MessageLevel::Info,
            RunState::Interrupted => MessageLevel::Warn,
            _ => MessageLevel::Error,
        };
        let files = counted(run.sum.files, "file");
        let bytes = format_size(number(run.sum.bytes));
        let error = verdict.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "run {} of `{}` is {} after {}, {files}, {bytes}{error}",
            run.id,
            active.job.name,
            verdict.state.as_str(),
            format_duration(took)
        );
        self.context.observer.message(level, text);
        if matches!(verdict.state, RunState::Failed | RunState::Partial) && !active.files.is_empty()
        {
            let (run, job) = (run.id, &active.job.name);
            self.context.observer.warn(format!(
                "the files that run {run} of `{job}` was given are not handed out again, unless they change: `portolan \
                 show {run}` lists them"
            ));
        }
        Ok(())
    }

    /// Terminates runs that exceed a time limit, and escalates against those that do not end.
    pub(super) fn time_out(&mut self) {
        let now = Instant::now();
        let mut ending = Vec::new();
        for active in self.active.values_mut() {
            if active.cut.is_none()
                && let Some(cut) = active.overtime(now)
            {
                active.cut(cut, now);
                ending.push(active.claim.run);
            }
            active.press(now);
        }
        for run in ending {
            self.note_end(run);
        }
    }

    /// Begins a graceful stop: nothing new is started, and runs in progress are asked to stop at their next file.
    pub(super) fn stop(&mut self) {
        let now = Instant::now();
        if self.is_stopping {
            // A second request means that the user is in a hurry.
            self.active.values_mut().for_each(|active| active.hurry(now));
            return;
        }
        self.is_stopping = true;
        self.look_again();
        let grace = self.active.values().map(|active| active.job.timeouts.kill_grace).max();
        super::system::stopping(grace.unwrap_or_default());
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.change(|record| record.is_draining = true);
        }
        let text = match self.active.len() {
            0 => "stopping".to_owned(),
            runs => format!("stopping: {runs} running, which may reach their next file"),
        };
        self.context.observer.message(MessageLevel::Info, text);
        let stopped = || TerminationCause::Stopped;
        self.active.values_mut().for_each(|active| active.drain(stopped(), now));
    }

    /// Asks a run to stop at its next file, and not to try again.
    pub(super) fn stop_run(&mut self, run: i64, by: String) {
        let Some(active) = self.active.get_mut(&run) else { return self.stop_elsewhere(run, &by) };
        if active.cut.is_some() {
            return;
        }
        let text = format!("run {run} of `{}` is stopped by `{by}`", active.job.name);
        active.drain(TerminationCause::Requested(by), Instant::now());
        self.context.observer.message(MessageLevel::Info, text);
        self.note_end(run);
    }

    /// Asks the machine that has a run to stop it.
    fn stop_elsewhere(&mut self, run: i64, by: &str) {
        if self.heartbeat.is_some()
            && let Err(fault) = self.store.ask_to_stop_by(run, by)
        {
            self.context.observer.warn(fault.to_string());
        }
    }

    /// Notes that a run is ending, so that the leader need not end it again. If it is not told, it ends it once more, which
    /// changes nothing.
    fn note_end(&mut self, run: i64) {
        let Some(claim) = self.active.get(&run).map(|active| active.claim) else { return };
        if let Err(fault) = self.store.note_ending(claim) {
            self.context.observer.warn(fault.to_string());
        }
    }
}

/// Returns the reason why no other attempt follows.
const fn no_other(cut: &TerminationCause) -> &'static str {
    match cut {
        TerminationCause::Run(_) => "no other attempt: `run_timeout`",
        TerminationCause::Replaced(_) => "no other attempt: the next slot is due",
        _ => "no other attempt",
    }
}

fn attempt_of(
    number: i64,
    end: &EndedAttempt,
    verdict: &AttemptResult,
    at: Timestamp,
) -> AttemptRecord {
    let account = &end.account;
    let number_of = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    AttemptRecord {
        number,
        started_at: at,
        ended_at: Some(at),
        state: verdict.state,
        sum: Sum {
            files: number_of(account.files),
            bytes: number_of(account.bytes),
            route: account.route.clone(),
            exit_code: end.code.map(i64::from),
            error_kind: verdict.kind.clone(),
            error: verdict.error.clone(),
        },
    }
}
