//! The start of runs and of their attempts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Message, Worker,
    active::{ActiveRun, RunStage},
    rows,
};
use crate::{
    error::{Error, Result},
    observe::{MessageLevel, counted, visible::visible},
    schedule::{
        child::{
            Child, is_shortage,
            log::{self, RunLog},
            verdict::AttemptResult,
        },
        jobs::LoginLimit,
        notify::of_start,
        shared_log::LogCursor,
    },
    store::{
        fleet::{DispatchedRun, RunClaim},
        history::{ArrivedFile, HistoryRun, RunEnd, RunState, Sum},
    },
};

impl Worker {
    /// Takes up a run that was dispatched to this worker.
    pub(super) fn begin(&mut self, dispatched: &DispatchedRun) -> Result<()> {
        let (found, claim) = (&dispatched.run, dispatched.claim());
        let jobs = self.context.view.jobs_of(&dispatched.release);
        let (Some(job), Some(slot)) = (jobs.get(&found.job), rows::slot_of(found)) else {
            return self.give_up(found, claim);
        };
        let (run, job, cause) = (found.id, Arc::clone(job), found.cause);
        let files = if slot.is_of_files() { self.store.files_given(run)? } else { Vec::new() };
        let given = match files.len() {
            0 => String::new(),
            1 => ", 1 file".to_owned(),
            many => format!(", {many} files"),
        };
        let text = format!("run {run} of `{}` begins ({}{given})", job.name, cause.as_str());
        let before = self.store.attempts(run)?.last().map_or(0, |attempt| attempt.number);
        let args = self.store.args_of(run)?.and_then(|args| serde_json::from_str(&args).ok());
        let slow_after = self.slow_after(&job)?;
        self.context.observer.message(MessageLevel::Info, text);
        let moment = Instant::now();
        let shared_log = match &self.heartbeat {
            Some(_) => {
                let path = log::path(&self.context.start.state, &job.name, run);
                Some(LogCursor::new(&self.store, run, &path)?)
            }
            None => None,
        };
        let active = ActiveRun {
            slow_after,
            shared_log,
            claim,
            logins: jobs.runner.logins_of(&job),
            job,
            slot,
            cause,
            args: args.unwrap_or_default(),
            files: files.iter().map(ArrivedFile::path).collect(),
            begun: moment,
            attempt: before,
            tries: 0,
            delays: 0,
            attempt_begun: moment,
            stage: RunStage::Between(moment),
            cut: None,
            force_at: None,
            kill_at: None,
        };
        let notices = of_start(&active.job.notify, run, &active.job.name);
        self.context.keep_notices(&mut self.store, &notices);
        self.active.insert(run, active);
        Ok(())
    }

    /// Ends a run that cannot begin: its job was removed from the jobs file in the meantime, or a later version has
    /// written its slot.
    fn give_up(&mut self, run: &HistoryRun, claim: RunClaim) -> Result<()> {
        let error = if rows::slot_of(run).is_some() {
            "its job is no longer in the jobs file"
        } else {
            "its slot cannot be read"
        };
        self.context
            .observer
            .warn(format!("run {} of `{}` does not begin: {error}", run.id, run.job));
        let sum = Sum {
            error_kind: Some("interrupted".into()),
            error: Some(error.into()),
            ..Sum::default()
        };
        let at = self.context.clock.now();
        let (job, state) = (&*run.job, RunState::Interrupted);
        let end = RunEnd { claim, job, state, sum: &sum, health: None, at };
        self.store.close(&end, |_, _, _| Vec::new()).map(drop)
    }

    /// Starts every attempt that is due.
    pub(super) fn begin_attempts(&mut self) -> Result<()> {
        if !self.may_begin() {
            return Ok(());
        }
        let now = Instant::now();
        let due = |active: &&ActiveRun| {
            matches!(active.stage, RunStage::Between(at) if at <= now) && active.cut.is_none()
        };
        let due: Vec<_> = self.active.values().filter(due).map(|active| active.claim.run).collect();
        due.into_iter().try_for_each(|run| self.begin_attempt(run))
    }

    fn begin_attempt(&mut self, run: i64) -> Result<()> {
        let Some(active) = self.active.get_mut(&run) else { return Ok(()) };
        let (now, number) = (self.context.clock.now(), active.attempt + 1);
        let context = Arc::clone(&self.context);
        let path = log::path(&context.start.state, &active.job.name, run);
        let bytes = context.jobs().runner.retention.log_bytes;
        let log = RunLog::open(&path, bytes, context.clock.clone());
        let (log, without) = match log {
            Ok(log) => (log, None),
            Err(fault) => (RunLog::none(context.clock.clone()), Some(fault)),
        };
        let last = self.store.job_state(&active.job.name)?.and_then(|state| state.last_success);
        let lease = self.heartbeat.as_ref().map(|heartbeat| heartbeat.lease().spec());
        let logins = active.logins.clone();
        let limits = (lease, logins.as_ref());
        let order = rows::order(active, number, last, limits, &context.start.state);
        let outbox = context.outbox.clone();
        let wake = move || drop(outbox.send(Message::Wake));
        let started = order
            .and_then(|order| Ok((Child::start(&context.start, &order.script, log, wake)?, order)));
        if let Err(fault) = &started
            && is_shortage(fault)
        {
            if active.delays == 0 {
                let name = &active.job.name;
                self.context.observer.warn(format!("run {run} of `{name}` waits: {fault}"));
            }
            active.stage = RunStage::Between(Instant::now() + shortage_wait(active.delays));
            active.delays += 1;
            return Ok(());
        }
        // The process has no order yet: an attempt that cannot be recorded does not start.
        if !self.store.begin(active.claim, number, now)? {
            self.active.remove(&run);
            self.context.observer.warn(format!("run {run} is no longer this worker's"));
            return Ok(());
        }
        (active.attempt, active.tries, active.delays) = (number, active.tries + 1, 0);
        active.attempt_begun = Instant::now();
        if let Some(fault) = without {
            self.context.observer.warn(format!("run {run} has no log: {fault}"));
        }
        active.stage = match started {
            Ok((mut child, order)) => {
                let name = &active.job.name;
                let of_lock = logins.filter(|limit| limit.is_less).map(|limit| {
                    let LoginLimit { lock, places, .. } = limit;
                    let sessions = counted(places, "session");
                    format!(", with {sessions} at most: it takes as many places of `{lock}`")
                });
                let of_lock = visible(of_lock.unwrap_or_default());
                let text = format!("attempt {number} of run {run}, job `{name}`{of_lock}");
                child.order(&order, &text);
                self.context.view.began(run, child.progress());
                RunStage::Running(Box::new(child))
            }
            Err(fault) => could_not_begin(&fault, &context.clock),
        };
        Ok(())
    }
}

/// Returns the wait before the next try to start a process, after `delays` failures for lack of descriptors or memory:
/// seconds, since such shortages usually end soon.
fn shortage_wait(delays: u32) -> Duration {
    Duration::from_secs(
        1_u64.checked_shl(delays).map_or(SHORTAGE_WAIT_MAX, |wait| wait.min(SHORTAGE_WAIT_MAX)),
    )
}

/// The longest such wait, in seconds.
const SHORTAGE_WAIT_MAX: u64 = 30;

/// Returns the final stage of an attempt that could not start.
fn could_not_begin(fault: &Error, clock: &crate::clock::Clock) -> RunStage {
    let verdict = AttemptResult {
        state: RunState::Failed,
        kind: Some(fault.kind.as_str().into()),
        error: Some(fault.to_string()),
        is_worth_another: false,
    };
    let ended = crate::schedule::child::EndedAttempt {
        code: None,
        signal: None,
        account: crate::observe::account::RunSummary::default(),
        tail: Vec::new(),
        log: RunLog::none(clock.clone()),
    };
    RunStage::Ended(Box::new(ended), verdict, clock.now())
}
