//! The end of attempts, and of runs with their last attempt.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    Daemon,
    active::{ActiveRun, RunStage},
    rows,
};
use crate::{
    error::Result,
    observe::{MessageLevel, format_duration, format_size, metrics},
    schedule::{
        child::{
            EndedAttempt,
            verdict::{AttemptResult, TerminationCause, verdict, wait_after},
        },
        facts,
        notify::{NoticeContext, of_end},
    },
    store::history::{AttemptRecord, Health, NewRun, RunEnd, RunState, Sum},
};

impl Daemon {
    /// Collects attempts that have ended.
    pub(super) fn reap(&mut self) -> Result<()> {
        let now = self.clock.now();
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
                ended.push(active.run);
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
        self.store.end_attempt(run, &attempt, &files, &fallbacks)?;
        if let Some(progress) = self.view.ended(run) {
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
                )
            )
            && !self.is_stopping;
        if is_again {
            let wait = wait_after(tries, &active.job.retry, rows::draw(run, active.attempt));
            let error = verdict.error.unwrap_or_default();
            let text =
                format!("{error}; attempt {} in {}", active.attempt + 1, format_duration(wait));
            end.log.end(MessageLevel::Warn, &text);
            self.observer.warn(format!("run {run} of `{}`: {text}", active.job.name));
            self.metrics.retried(&active.job.name);
            active.stage = RunStage::Between(Instant::now() + wait);
            (active.cut, active.force_at, active.kill_at) = (None, None, None);
            return Ok(());
        }
        let mut log = end.log.take();
        self.finish(run, &verdict, &attempt.sum, at)?;
        let text = verdict.error.map_or_else(String::new, |error| format!(": {error}"));
        log.end(MessageLevel::Info, &format!("run {run} is {}{text}", verdict.state.as_str()));
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
        let at = self.clock.now();
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
        let sum =
            Sum { error_kind: verdict.kind.clone(), error: verdict.error.clone(), ..last.clone() };
        let job = std::sync::Arc::clone(&active.job);
        let is_done = verdict.state == RunState::Done;
        if is_done {
            self.planner.succeeded(&job.name, at);
        }
        let mark = rows::state_row(&self.planner, &job.name).filter(|_| is_done);
        let health = match verdict.state {
            RunState::Done => Some(Health::Good),
            RunState::Partial | RunState::Failed => Some(Health::Bad),
            _ => None,
        };
        let tail = self.tail_for(run, &job);
        let page = self.page_url();
        let context = NoticeContext {
            host: &self.host,
            page: page.as_deref(),
            description: job.description.as_deref(),
            log: &tail,
        };
        let (name, state) = (&*job.name, verdict.state);
        let end = RunEnd { run, job: name, state, sum: &sum, mark: mark.as_ref(), health, at };
        self.store.close(&end, |found, before, after| {
            of_end(&job.notify, found, before, after, &context)
        })?;
        let Some(active) = self.active.remove(&run) else { return Ok(()) };
        self.report(&active, verdict)
    }

    /// Logs and counts the end of a run.
    fn report(&self, active: &ActiveRun, verdict: &AttemptResult) -> Result<()> {
        let Some(run) = self.store.run(active.run)? else { return Ok(()) };
        let took = active.begun.elapsed();
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        self.metrics.ended(&metrics::EndedRun {
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
        let (files, bytes) = (run.sum.files, format_size(number(run.sum.bytes)));
        let error = verdict.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "run {} of `{}` is {} after {}, {files} files, {bytes}{error}",
            active.run,
            active.job.name,
            verdict.state.as_str(),
            format_duration(took)
        );
        self.observer.message(level, text);
        if matches!(verdict.state, RunState::Failed | RunState::Partial) && !active.files.is_empty()
        {
            let (run, job) = (active.run, &active.job.name);
            self.observer.warn(format!(
                "the files that run {run} of `{job}` was given are not handed out again, unless they change: `portolan \
                 show {run}` lists them"
            ));
        }
        Ok(())
    }

    /// Terminates runs that exceed a time limit, and escalates against those that do not end.
    pub(super) fn time_out(&mut self) {
        let now = Instant::now();
        for active in self.active.values_mut() {
            if active.cut.is_none()
                && let Some(cut) = active.overtime(now)
            {
                active.cut(cut, now);
            }
            active.press(now);
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
        let grace = self.active.values().map(|active| active.job.timeouts.kill_grace).max();
        super::system::stopping(grace.unwrap_or_default());
        let text = match self.active.len() {
            0 => "stopping".to_owned(),
            runs => format!("stopping: {runs} running, which may reach their next file"),
        };
        self.observer.message(MessageLevel::Info, text);
        let stopped = || TerminationCause::Stopped;
        self.active.values_mut().for_each(|active| active.drain(stopped(), now));
    }

    /// Asks a run to stop at its next file, and not to try again.
    pub(super) fn stop_run(&mut self, run: i64, by: String) {
        let Some(active) = self.active.get_mut(&run) else { return };
        let text = format!("run {run} of `{}` is stopped by `{by}`", active.job.name);
        active.drain(TerminationCause::Requested(by), Instant::now());
        self.observer.message(MessageLevel::Info, text);
    }

    /// Logs and counts a skipped slot.
    pub(super) fn tell_skip(&self, row: &NewRun) {
        let reason = row.reason.as_deref().unwrap_or_default();
        let due = row.scheduled_for.map(|at| format!(" of {at}")).unwrap_or_default();
        self.metrics.count(&row.job, RunState::Skipped.as_str());
        self.observer.message(
            MessageLevel::Info,
            format!("`{}`: the slot{due} is skipped: {reason}", row.job),
        );
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
