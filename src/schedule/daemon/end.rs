//! The end of attempts, and of runs with their last attempt.

use std::time::Instant;

use jiff::Timestamp;

use super::{
    Daemon,
    active::{Active, Stage},
    rows,
};
use crate::{
    fault::Outcome,
    limits::{PRUNE_INTERVAL, PRUNE_ROWS_MAX},
    observe::{Level, duration_text, metrics, size_text},
    schedule::{
        child::{
            Ended, log,
            verdict::{Cut, Verdict, verdict, wait_after},
        },
        facts,
        notify::of_end,
    },
    store::{
        backup,
        history::{Attempt, End, Health, NewRun, State, Sum},
    },
};

impl Daemon {
    /// Collects attempts that have ended.
    pub(super) fn reap(&mut self) -> Outcome<()> {
        let now = self.clock.now();
        let mut ended = Vec::new();
        for active in self.active.values_mut() {
            if let Stage::Running(child) = &mut active.stage
                && let Some(end) = child.ended()
            {
                let verdict = verdict(&end, active.cut.as_ref(), &active.job.retry);
                active.stage = Stage::Ended(Box::new(end), verdict, now);
            }
            let is_over = match &active.stage {
                Stage::Ended(..) => true,
                // No attempt is in progress, and none will follow.
                Stage::Between(_) => active.cut.is_some(),
                Stage::Running(_) => false,
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
    fn settle(&mut self, run: i64) -> Outcome<()> {
        let Some(active) = self.active.get_mut(&run) else { return Ok(()) };
        let Stage::Ended(end, verdict, at) = &mut active.stage else {
            return self.settle_between(run);
        };
        let (verdict, at) = (verdict.clone(), *at);
        let attempt = attempt_of(active.attempt, end, &verdict, at);
        let (files, fallbacks) = facts::parts(active.attempt, &end.account);
        self.store.end_attempt(run, &attempt, &files, &fallbacks)?;
        let tries = active.tries;
        let is_again = verdict.is_worth_another
            && tries <= active.job.retry.retries
            && !matches!(active.cut, Some(Cut::Stopped | Cut::Replaced(_)))
            && !self.is_stopping;
        if is_again {
            let wait = wait_after(tries, &active.job.retry, rows::draw(run, active.attempt));
            let error = verdict.error.unwrap_or_default();
            let text =
                format!("{error}; attempt {} in {}", active.attempt + 1, duration_text(wait));
            end.log.end(Level::Warn, &text);
            self.observer.warn(format!("run {run} of `{}`: {text}", active.job.name));
            self.metrics.retried(&active.job.name);
            active.stage = Stage::Between(Instant::now() + wait);
            (active.cut, active.force_at, active.kill_at) = (None, None, None);
            return Ok(());
        }
        let mut log = end.log.take();
        self.finish(run, &verdict, &attempt.sum, at)?;
        let text = verdict.error.map_or_else(String::new, |error| format!(": {error}"));
        log.end(Level::Info, &format!("run {run} is {}{text}", verdict.state.word()));
        Ok(())
    }

    /// Ends a run that is waiting for its next attempt.
    fn settle_between(&mut self, run: i64) -> Outcome<()> {
        let Some(active) = self.active.get(&run) else { return Ok(()) };
        let last = self.store.attempts(run)?.pop();
        let sum = last.map(|attempt| attempt.sum).unwrap_or_default();
        let verdict = match &active.cut {
            Some(Cut::Stopped) | None => Verdict {
                state: State::Interrupted,
                kind: Some("interrupted".into()),
                error: Some("the scheduler was stopped".into()),
                is_worth_another: false,
            },
            // The failure is that of the last attempt.
            Some(cut) => Verdict {
                state: State::Failed,
                kind: sum.error_kind.clone(),
                error: sum.error.as_ref().map(|error| format!("{error} ({})", no_other(cut))),
                is_worth_another: false,
            },
        };
        let at = self.clock.now();
        self.finish(run, &verdict, &sum, at)
    }

    /// Records the end of a run, with the notices for it.
    fn finish(&mut self, run: i64, verdict: &Verdict, last: &Sum, at: Timestamp) -> Outcome<()> {
        let Some(active) = self.active.get(&run) else { return Ok(()) };
        let sum =
            Sum { error_kind: verdict.kind.clone(), error: verdict.error.clone(), ..last.clone() };
        let job = std::sync::Arc::clone(&active.job);
        let is_done = verdict.state == State::Done;
        if is_done {
            self.planner.succeeded(&job.name, at);
        }
        let mark = rows::state_row(&self.planner, &job.name).filter(|_| is_done);
        let health = match verdict.state {
            State::Done => Some(Health::Good),
            State::Partial | State::Failed => Some(Health::Bad),
            _ => None,
        };
        let tail = self.tail_for(run, &job);
        let (name, state) = (&*job.name, verdict.state);
        let end = End { run, job: name, state, sum: &sum, mark: mark.as_ref(), health, at };
        self.store
            .close(&end, |found, before, after| of_end(&job.notify, found, before, after, &tail))?;
        let Some(active) = self.active.remove(&run) else { return Ok(()) };
        self.report(&active, verdict)
    }

    /// Logs and counts the end of a run.
    fn report(&self, active: &Active, verdict: &Verdict) -> Outcome<()> {
        let Some(run) = self.store.run(active.run)? else { return Ok(()) };
        let took = active.begun.elapsed();
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        self.metrics.ended(&metrics::Ended {
            job: &active.job.name,
            outcome: verdict.state.word(),
            is_success: verdict.state == State::Done,
            at: run.ended_at.unwrap_or_default(),
            took,
            files: number(run.sum.files),
            bytes: number(run.sum.bytes),
            fallbacks: number(run.fallbacks),
        });
        let level = match verdict.state {
            State::Done => Level::Info,
            State::Interrupted => Level::Warn,
            _ => Level::Error,
        };
        let (files, bytes) = (run.sum.files, size_text(number(run.sum.bytes)));
        let error = verdict.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let text = format!(
            "run {} of `{}` is {} after {}, {files} files, {bytes}{error}",
            active.run,
            active.job.name,
            verdict.state.word(),
            duration_text(took)
        );
        self.observer.say(level, text);
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
            self.active.values_mut().for_each(|active| active.force_at = Some(now));
            return;
        }
        self.is_stopping = true;
        let grace = self.active.values().map(|active| active.job.timeouts.kill_grace).max();
        super::system::stopping(grace.unwrap_or_default());
        let text = match self.active.len() {
            0 => "stopping".to_owned(),
            runs => format!("stopping: {runs} running, which may reach their next file"),
        };
        self.observer.say(Level::Info, text);
        self.active.values_mut().for_each(|active| active.drain(now));
    }

    /// Logs and counts a skipped slot.
    pub(super) fn tell_skip(&self, row: &NewRun) {
        let reason = row.reason.as_deref().unwrap_or_default();
        let due = row.scheduled_for.map(|at| format!(" of {at}")).unwrap_or_default();
        self.metrics.count(&row.job, State::Skipped.word());
        self.observer
            .say(Level::Info, format!("`{}`: the slot{due} is skipped: {reason}", row.job));
    }

    /// Removes old or surplus history with its logs, at intervals.
    pub(super) fn prune(&mut self) -> Outcome<()> {
        if self.pruned_at.is_some_and(|at| at.elapsed() < PRUNE_INTERVAL) {
            return Ok(());
        }
        let retention = self.planner.jobs().runner.retention;
        let age = jiff::SignedDuration::try_from(retention.age).unwrap_or_default();
        let before = self.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut is_done = true;
        for job in self.store.jobs_with_history()? {
            let gone = self.store.prune(&job, retention.runs, before)?;
            is_done &= gone.len() < usize::try_from(PRUNE_ROWS_MAX).unwrap_or(usize::MAX);
            for run in gone {
                // A skipped run has no log.
                std::fs::remove_file(log::path(&self.start.state, &job, run)).ok();
            }
        }
        if is_done {
            self.pruned_at = Some(Instant::now());
            self.back_up();
        }
        Ok(())
    }

    /// Copies the store once a day, in the background because it may take a while.
    fn back_up(&self) {
        let (state, observer) = (self.start.state.clone(), self.observer.clone());
        if !backup::is_due(&state, self.clock.now()) {
            return;
        }
        std::thread::spawn(move || {
            if let Err(fault) = backup::back_up(&state) {
                observer.warn(fault.to_string());
            }
        });
    }
}

/// Returns the reason why no other attempt follows.
const fn no_other(cut: &Cut) -> &'static str {
    match cut {
        Cut::Run(_) => "no other attempt: `run_timeout`",
        Cut::Replaced(_) => "no other attempt: the next slot is due",
        _ => "no other attempt",
    }
}

fn attempt_of(number: i64, end: &Ended, verdict: &Verdict, at: Timestamp) -> Attempt {
    let account = &end.account;
    let number_of = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    Attempt {
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
