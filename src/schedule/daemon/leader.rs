//! The leader: it asks the planner, records its decisions, and dispatches runs to workers.
//!
//! What it knows of runs in progress it reads from the store, where their workers record them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    alerts::AlertWatch, arrivals, arrivals::FileTriggers, context::SchedulerContext,
    machines::FleetView, prune::Pruning, recover, rows,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::WAITING_MAX,
    observe::MessageLevel,
    schedule::{
        jobs::Jobs,
        notify::Notifier,
        plan::{DecisionKind, Moment, Pause, Planner, PlannerStep, Request, RunId, RunningJob},
    },
    store::{
        Store,
        fleet::{Dispatch, DispatchedRun, LeaderLease, LeaderState},
        history::{Decisions, NewRun, RunRequest, RunState},
    },
};

/// The part of the scheduler that decides. There is one at a time: everything that it writes holds only under its lease.
pub(super) struct Leader {
    pub(super) context: Arc<SchedulerContext>,
    pub(super) store: Store,
    pub(super) lease: LeaderLease,
    /// The name of the worker in this process, and the number of its start: without a fleet, all runs begin on it.
    worker: (String, i64),
    /// The machines that share the store; `None` if there is this one only.
    pub(super) fleet: Option<FleetView>,
    /// Set when runs were dispatched, until the worker of this process has looked for its own.
    pub(super) has_dispatched: bool,
    /// Set when another machine has taken the lease.
    pub(super) is_deposed: bool,
    /// The release of the jobs that the store has as that of the leader.
    noted: Option<String>,
    pub(super) planner: Planner,
    /// The runs in progress, by their numbers.
    pub(super) running: BTreeMap<i64, RunningJob>,
    /// The runs of a fleet that were interrupted, and that it is not decided whether they begin again.
    pub(super) interrupted: BTreeSet<i64>,
    pub(super) triggers: FileTriggers,
    pub(super) pruning: Pruning,
    pub(super) notifier: Notifier,
    pub(super) alerts: AlertWatch,
    /// The jobs that the planner knows as paused.
    paused: BTreeSet<String>,
    requests: Vec<RunRequest>,
    /// The version of the store's data at the last look; writes by others change it.
    seen: Option<i64>,
    /// The time at which the planner asked for its next step.
    wake: Option<Timestamp>,
}

impl Leader {
    /// Takes the lease as it was `seen`, and recovers the runs of workers that are gone: of all, unless machines share the
    /// store. Returns `None` if another process was first.
    pub(super) fn open(
        context: Arc<SchedulerContext>,
        mut store: Store,
        worker: (String, i64),
        jobs: Arc<Jobs>,
        seen: &LeaderState,
    ) -> Result<Option<Self>> {
        let now = context.clock.now();
        let Some(lease) = store.take_lease(&worker.0, seen)? else { return Ok(None) };
        // Whoever leads again knows that it is alive.
        let before = Some(&*seen.lease.holder).filter(|holder| *holder != worker.0);
        let before = before.unwrap_or_default();
        let fleet = context.fleet.as_ref().map(|_| FleetView::new(context.lease, before));
        // The runs of other machines go on, and may end while the rest is read: known first, none of their ends is missed.
        let found = if fleet.is_some() { store.dispatched(None)? } else { Vec::new() };
        recover::recover(&mut store, &lease, &jobs, now, &context.observer)?;
        let planner = rows::planner(&store, jobs, now)?;
        let paused = planner.paused().map(ToString::to_string).collect();
        let notifier = Notifier::new(context.outbox.clone());
        let mut leader = Self {
            context,
            store,
            lease,
            worker,
            fleet,
            has_dispatched: false,
            is_deposed: false,
            noted: None,
            planner,
            running: BTreeMap::new(),
            interrupted: BTreeSet::new(),
            triggers: FileTriggers::default(),
            pruning: Pruning::default(),
            notifier,
            alerts: AlertWatch::default(),
            paused,
            requests: Vec::new(),
            seen: None,
            wake: None,
        };
        leader.running = leader.running_jobs(&found);
        leader.set_triggers();
        Ok(Some(leader))
    }

    /// Gives the lease up: another machine need not wait until it lapses.
    pub(super) fn resign(&mut self) -> Result<()> {
        self.store.release_lease(&self.lease)
    }

    /// Returns the name of the machine that it is on.
    pub(super) fn name(&self) -> &str {
        &self.worker.0
    }

    /// Looks at the store at the next call of [`Leader::turn`].
    pub(super) const fn look_again(&mut self) {
        self.seen = None;
    }

    /// Returns the number of its term.
    pub(super) const fn epoch(&self) -> i64 {
        self.lease.epoch
    }

    /// Performs its part of a tick.
    pub(super) fn turn(&mut self) -> Result<()> {
        self.note_release()?;
        self.look_outside()?;
        self.record_moved()?;
        self.step()?;
        self.renew()
    }

    /// Performs the part of a tick that can wait for what was decided to begin.
    pub(super) fn turn_after(&mut self) -> Result<()> {
        self.look_for_alerts()?;
        self.tell_notices()?;
        self.prune();
        self.count();
        Ok(())
    }

    /// Takes other jobs, after the jobs file was read again.
    pub(super) fn take_jobs(&mut self, jobs: Arc<Jobs>) {
        self.planner = self.planner.reload(jobs, self.context.clock.now());
        self.set_triggers();
        // A new job may have been paused before it was in the file.
        self.seen = None;
    }

    /// Records the release of its jobs before it decides anything by them: machines with others do not lead after it.
    fn note_release(&mut self) -> Result<()> {
        let release = &self.planner.jobs().release;
        if self.fleet.is_none() || self.noted.as_ref() == Some(release) {
            return Ok(());
        }
        if !self.store.lead_with(&self.lease, release)? {
            self.is_deposed = true;
            return Err(deposed());
        }
        self.noted = Some(release.clone());
        Ok(())
    }

    /// Asks the planner, records its decisions, and dispatches the runs that begin.
    fn step(&mut self) -> Result<()> {
        let now = self.context.clock.now();
        let running: Vec<_> = self.running.values().cloned().collect();
        let (requests, heard) = self.taken_requests();
        let offered = self.offer_files(now);
        if let Some(fleet) = &mut self.fleet {
            let rooms = fleet.rooms(&self.planner.jobs().release, &self.context.observer);
            self.planner.set_machines(rooms);
        }
        let step = self.planner.step(&Moment { now, running: &running, requests: &requests });
        for note in &step.notes {
            self.context.observer.message(MessageLevel::Error, note.to_string());
        }
        let (rows, states) = rows::of_step(&step, &self.planner);
        self.requests.retain(|one| !heard.contains(&(one.job.clone(), one.asked_at)));
        let mut has_dispatched = false;
        if !rows.is_empty() || !states.is_empty() || !heard.is_empty() {
            let new: Vec<_> = rows.iter().map(|(_, row)| row.clone()).collect();
            let workers = self.workers_for(&step, &rows);
            let dispatches: Vec<_> = workers
                .iter()
                .map(|(row, worker, boot)| Dispatch { row: *row, worker, boot: *boot })
                .collect();
            let files = arrivals::hand_outs(&offered, &rows);
            let decisions = Decisions {
                runs: &new,
                files: &files,
                states: &states,
                heard: &heard,
                dispatches: &dispatches,
            };
            let asked = Instant::now();
            let recorded = self.store.decide_as(&self.lease, &decisions, now)?;
            self.is_deposed = recorded.is_none();
            let recorded = recorded.ok_or_else(deposed)?;
            if let Some(fleet) = &mut self.fleet {
                fleet.renewed = asked;
            }
            has_dispatched = !dispatches.is_empty();
            self.seen = None;
            let ids: Vec<_> = recorded.into_iter().map(|row| row.run).collect();
            self.note_given(&offered, &rows, &ids);
            self.tell_skipped(&step, rows.into_iter().zip(ids));
        }
        self.cancel(&step)?;
        self.has_dispatched |= has_dispatched;
        if has_dispatched {
            // A run may end before the next turn, and its success counts as well.
            if self.look_at_runs()? {
                self.plan_anew()?;
            }
        }
        self.wake = if self.has_files_to_give() { Some(now) } else { step.wake };
        if !step.notes.is_empty() {
            // The clock was set back. History knows which of the slots that come again have been run.
            self.plan_anew()?;
        }
        Ok(())
    }

    /// Returns the worker of each row whose run begins: its name, and the number of its start.
    fn workers_for(
        &self,
        step: &PlannerStep,
        rows: &[(usize, NewRun)],
    ) -> Vec<(usize, String, i64)> {
        let begins = rows.iter().enumerate().filter(|(_, (_, row))| row.state == RunState::Running);
        let worker = |(row, (index, _)): (usize, &(usize, NewRun))| {
            let Some(fleet) = &self.fleet else {
                let (worker, boot) = &self.worker;
                return Some((row, worker.clone(), *boot));
            };
            let name = step.machines.get(index)?;
            Some((row, name.to_string(), fleet.boot_of(name)?))
        };
        begins.filter_map(worker).collect()
    }

    /// Tells which slots are skipped, and who waits for those that were missed.
    fn tell_skipped(
        &mut self,
        step: &PlannerStep,
        written: impl Iterator<Item = ((usize, NewRun), Option<i64>)>,
    ) {
        let mut missed = Vec::new();
        for ((index, row), id) in written {
            let Some(decision) = step.decisions.get(index) else { continue };
            let Some(id) = id.filter(|_| row.state == RunState::Skipped) else { continue };
            self.tell_skip(&row);
            if rows::is_missed(&decision.reason) {
                missed.push((id, Arc::clone(&decision.job)));
            }
        }
        missed.dedup_by(|one, other| one.1 == other.1);
        for (run, job) in missed {
            self.tell_missed(run, &job);
        }
    }

    /// Logs and counts a skipped slot.
    fn tell_skip(&self, row: &NewRun) {
        let reason = row.reason.as_deref().unwrap_or_default();
        let due = row.scheduled_for.map(|at| format!(" of {at}")).unwrap_or_default();
        self.context.metrics.count(&row.job, RunState::Skipped.as_str());
        self.context.observer.message(
            MessageLevel::Info,
            format!("`{}`: the slot{due} is skipped: {reason}", row.job),
        );
    }

    /// Asks the workers to end the runs that the planner cancels.
    fn cancel(&mut self, step: &PlannerStep) -> Result<()> {
        for decision in &step.decisions {
            if let DecisionKind::Cancel(run) = &decision.action {
                let reason = decision.reason.to_string();
                if !self.store.cancel(&self.lease, run.0, &reason)? {
                    self.is_deposed = true;
                    return Err(deposed());
                }
                self.seen = None;
            }
        }
        Ok(())
    }

    /// Replaces the planner by one with the stored state.
    pub(super) fn plan_anew(&mut self) -> Result<()> {
        self.seen = None;
        let jobs = Arc::clone(self.planner.jobs());
        self.planner = rows::planner(&self.store, jobs, self.context.clock.now())?;
        self.paused = self.planner.paused().map(ToString::to_string).collect();
        Ok(())
    }

    /// Returns the requests that the planner takes up now, and what is no longer a request. A job takes no more than can
    /// wait.
    fn taken_requests(&self) -> (Vec<Request>, Vec<(String, Timestamp)>) {
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut requests, mut heard) = (Vec::new(), Vec::new());
        for RunRequest { job, asked_at, slot_at } in &self.requests {
            if self.planner.jobs().get(job).is_some() {
                let waiting = || self.planner.state_of(job).map_or(0, |state| state.waiting.len());
                let count = taken.entry(job).or_insert_with(waiting);
                *count += 1;
                if *count > WAITING_MAX && slot_at.is_some() {
                    continue;
                }
                requests.push(Request { job: job.as_str().into(), at: *asked_at, slot: *slot_at });
            }
            heard.push((job.clone(), *asked_at));
        }
        (requests, heard)
    }

    /// Reads what others have written to the store: workers, and processes that request runs or pause jobs.
    fn look_outside(&mut self) -> Result<()> {
        let version = self.store.version_of_data()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let now = self.context.clock.now();
        let has_resumed = self.look_at_machines(now)?;
        if self.look_at_runs()? || has_resumed {
            self.plan_anew()?;
        }
        self.requests = self.store.requests()?;
        // Only those that are paused or were: other processes write often, and most jobs never are.
        let states = self.store.paused_jobs()?;
        let paused = states.iter().map(|state| state.job.clone()).collect();
        let before = std::mem::replace(&mut self.paused, paused);
        let mut wanted: BTreeMap<_, _> = before.into_iter().map(|job| (job, None)).collect();
        wanted.extend(states.iter().map(|state| (state.job.clone(), rows::pause_of(state))));
        for (job, pause) in wanted {
            let found = self.planner.state_of(&job).map(|known| known.paused.clone());
            if found.is_some_and(|known| known != pause) {
                self.tell_pause(&job, pause.as_ref());
                self.planner.pause(&job, pause);
            }
        }
        self.seen = Some(version);
        Ok(())
    }

    /// Reads which runs are in progress, and tells the planner which have succeeded since the last look. In a fleet, has
    /// those begun again that their machine has interrupted; returns true if there are any.
    fn look_at_runs(&mut self) -> Result<bool> {
        let found = self.store.dispatched(None)?;
        let running = self.running_jobs(&found);
        let mut interrupted = Vec::new();
        for (run, known) in &self.running {
            if running.contains_key(run) {
                continue;
            }
            match self.store.run(*run)? {
                Some(ended) if ended.state == RunState::Done => {
                    self.planner.succeeded(&known.job, ended.ended_at.unwrap_or_default());
                }
                Some(ended) if ended.state == RunState::Interrupted => interrupted.push(*run),
                _ => {}
            }
        }
        self.running = running;
        let Some(fleet) = &mut self.fleet else { return Ok(false) };
        fleet.count(&found);
        self.interrupted.extend(interrupted);
        self.resume_interrupted(self.context.clock.now())
    }

    fn running_jobs(&self, found: &[DispatchedRun]) -> BTreeMap<i64, RunningJob> {
        found.iter().filter_map(|run| Some((run.run.id, self.running_job(run)?))).collect()
    }

    /// Returns the planner's view of a run.
    fn running_job(&self, found: &DispatchedRun) -> Option<RunningJob> {
        let run = &found.run;
        let known = self.running.get(&run.id);
        let job = self.planner.jobs().get(&run.job);
        let locks = known.map(|known| known.locks.clone());
        let locks = locks.or_else(|| Some(self.planner.jobs().runner.locks_of(job?)));
        Some(RunningJob {
            run: RunId(run.id),
            job: job.map_or_else(|| run.job.as_str().into(), |job| Arc::clone(&job.name)),
            slot: rows::slot_of(run)?,
            started_at: run.started_at.unwrap_or(run.decided_at),
            locks: locks.unwrap_or_default(),
            between_attempts: found.is_between_attempts,
            is_ending: found.stop.is_some(),
        })
    }

    fn tell_pause(&self, job: &str, pause: Option<&Pause>) {
        let text = match pause {
            Some(Pause { reason, .. }) if reason.is_empty() => format!("`{job}` is paused"),
            Some(Pause { reason, .. }) => format!("`{job}` is paused: {reason}"),
            None => format!("`{job}` is resumed"),
        };
        self.context.observer.message(MessageLevel::Info, text);
    }

    /// Returns the time until there is something to decide.
    pub(super) fn due(&self, now: Timestamp) -> Option<Duration> {
        let planned = self.wake.map(|wake| wake.duration_since(now));
        planned.map(|time| Duration::try_from(time).unwrap_or(Duration::ZERO))
    }

    /// Brings the metrics of jobs up to date, for those that have changed.
    fn count(&mut self) {
        for job in self.planner.take_touched() {
            let state = self.planner.state_of(&job);
            let is_paused = state.is_some_and(|state| state.paused.is_some());
            let next = self.planner.next_of(&job).map(|slot| slot.at);
            self.context.metrics.state(&job, is_paused, next);
        }
    }
}

/// Returns the error of a leader whose lease another process has.
pub(super) fn deposed() -> Error {
    let message = "another scheduler has taken the lease of the leader";
    Error::new(ErrorKind::Busy, Origin::Here, message)
}
