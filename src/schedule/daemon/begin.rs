//! The start of runs and of their attempts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Daemon, Message,
    active::{ActiveRun, RunStage},
    rows,
};
use crate::{
    error::{Error, Result},
    observe::MessageLevel,
    schedule::{
        child::{
            Child, is_shortage,
            log::{self, RunLog},
            verdict::{AttemptResult, TerminationCause},
        },
        plan::{DecisionKind, PlannerStep},
        slot::Slot,
    },
    store::history::{ArrivedFile, NewRun, RunState, Trigger},
};

impl Daemon {
    /// Carries out decisions that have been written.
    pub(super) fn carry_out(
        &mut self,
        step: &PlannerStep,
        written: impl Iterator<Item = ((usize, NewRun), Option<i64>)>,
        now: Timestamp,
    ) -> Result<()> {
        let mut missed = Vec::new();
        for ((index, row), id) in written {
            let Some(decision) = step.decisions.get(index) else { continue };
            let Some(id) = id else { continue };
            match row.state {
                RunState::Running => {
                    let cause = decision.trigger;
                    self.begin(id, &decision.job, decision.slot, cause, now)?;
                }
                RunState::Skipped => {
                    self.tell_skip(&row);
                    if rows::is_missed(&decision.reason) {
                        missed.push((id, Arc::clone(&decision.job)));
                    }
                }
                _ => {}
            }
        }
        missed.dedup_by(|one, other| one.1 == other.1);
        for (run, job) in missed {
            self.tell_missed(run, &job);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        run: i64,
        job: &str,
        slot: Slot,
        cause: Trigger,
        now: Timestamp,
    ) -> Result<()> {
        let Some(job) = self.planner.jobs().get(job).map(Arc::clone) else { return Ok(()) };
        let files = if slot.is_of_files() { self.store.files_given(run)? } else { Vec::new() };
        let given = match files.len() {
            0 => String::new(),
            1 => ", 1 file".to_owned(),
            many => format!(", {many} files"),
        };
        let text = format!("run {run} of `{}` begins ({}{given})", job.name, cause.as_str());
        let before = self.store.attempts(run)?.last().map_or(0, |attempt| attempt.number);
        self.observer.message(MessageLevel::Info, text);
        let moment = Instant::now();
        let args = self.store.args_of(run)?.and_then(|args| serde_json::from_str(&args).ok());
        let slow_after = self.slow_after(&job)?;
        let active = ActiveRun {
            slow_after,
            run,
            job,
            slot,
            cause,
            args: args.unwrap_or_default(),
            files: files.iter().map(ArrivedFile::path).collect(),
            started_at: now,
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
        self.tell_start(&active);
        self.active.insert(run, active);
        Ok(())
    }

    /// Starts runs that were recorded as started by a tick that failed before it started them.
    pub(super) fn begin_lost(&mut self) -> Result<()> {
        let now = self.clock.now();
        for run in self.store.runs_that_are(RunState::Running)? {
            let slot = rows::slot_of(&run).filter(|_| !self.active.contains_key(&run.id));
            if let Some(slot) = slot {
                self.begin(run.id, &run.job, slot, run.cause, now)?;
            }
        }
        Ok(())
    }

    /// Starts every attempt that is due.
    pub(super) fn begin_attempts(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = |active: &&ActiveRun| {
            matches!(active.stage, RunStage::Between(at) if at <= now) && active.cut.is_none()
        };
        let due: Vec<_> = self.active.values().filter(due).map(|active| active.run).collect();
        due.into_iter().try_for_each(|run| self.begin_attempt(run))
    }

    fn begin_attempt(&mut self, run: i64) -> Result<()> {
        let Some(active) = self.active.get_mut(&run) else { return Ok(()) };
        let (now, number) = (self.clock.now(), active.attempt + 1);
        let path = log::path(&self.start.state, &active.job.name, run);
        let bytes = self.planner.jobs().runner.retention.log_bytes;
        let log = RunLog::open(&path, bytes, self.clock.clone());
        let (log, without) = match log {
            Ok(log) => (log, None),
            Err(fault) => (RunLog::none(self.clock.clone()), Some(fault)),
        };
        let last = self.planner.state_of(&active.job.name).and_then(|state| state.last_success);
        let order = rows::order(active, number, last, &self.start.state);
        let outbox = self.outbox.clone();
        let wake = move || drop(outbox.send(Message::Wake));
        let started = order
            .and_then(|order| Ok((Child::start(&self.start, &order.script, log, wake)?, order)));
        if let Err(fault) = &started
            && is_shortage(fault)
        {
            if active.delays == 0 {
                let name = &active.job.name;
                self.observer.warn(format!("run {run} of `{name}` waits: {fault}"));
            }
            active.stage = RunStage::Between(Instant::now() + shortage_wait(active.delays));
            active.delays += 1;
            return Ok(());
        }
        // The process has no order yet: an attempt that cannot be recorded does not start.
        self.store.begin(run, number, now)?;
        (active.attempt, active.tries, active.delays) = (number, active.tries + 1, 0);
        active.attempt_begun = Instant::now();
        if let Some(fault) = without {
            self.observer.warn(format!("run {run} has no log: {fault}"));
        }
        active.stage = match started {
            Ok((mut child, order)) => {
                let name = &active.job.name;
                child.order(&order, &format!("attempt {number} of run {run}, job `{name}`"));
                self.view.began(run, child.progress());
                RunStage::Running(Box::new(child))
            }
            Err(fault) => could_not_begin(&fault, &self.clock),
        };
        Ok(())
    }

    /// Terminates the runs that the planner cancels.
    pub(super) fn cancel(&mut self, step: &PlannerStep) {
        let now = Instant::now();
        for decision in &step.decisions {
            if let DecisionKind::Cancel(run) = &decision.action
                && let Some(active) = self.active.get_mut(&run.0)
            {
                active.cut(TerminationCause::Replaced(decision.reason.to_string()), now);
            }
        }
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
