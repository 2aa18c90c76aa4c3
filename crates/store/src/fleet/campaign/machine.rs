//! A machine of the campaign: it may lead, and runs what it is given.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{ActLedger, JOBS, TTL, job, rest};
use crate::{
    PostgresSettings, Store,
    fleet::{Dispatch, LeaderLease, LeaderState, RunClaim, WorkerRecord, tests::slot},
    history::{Decisions, Health, JobStateRecord, RunEnd, RunState, Sum, Trigger, Wait},
};
use portolan_core::{error::Result, random::SeededRng};

/// The time between two slots of a job.
const PERIOD_MS: i64 = 400;

/// A process of the fleet, in one of its lives.
pub(super) struct FleetMachine {
    name: String,
    pub(super) boot: i64,
    pub(super) store: Store,
    random: SeededRng,
    ledger: Arc<ActLedger>,
    /// The time until which it may act: it sent a sign of life, and that was answered.
    pub(super) good_until: Instant,
    beaten: Instant,
    active: Vec<GivenRun>,
    seen: Option<(LeaderState, Instant)>,
    pub(super) leading: Option<LeaderKnowledge>,
    is_killed: bool,
}

struct GivenRun {
    claim: RunClaim,
    job: String,
    slot: String,
    done_at: Instant,
    is_done: bool,
}

/// The knowledge of a leader, which is forgotten with its lease, or when something cannot be written.
pub(super) struct LeaderKnowledge {
    lease: LeaderLease,
    marks: HashMap<String, i64>,
    workers: HashMap<String, (i64, i64, Instant)>,
    renewed: Instant,
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

impl FleetMachine {
    pub(super) fn begin_life(
        name: &str,
        settings: &PostgresSettings,
        ledger: &Arc<ActLedger>,
        seed: u64,
    ) -> Result<Self> {
        let mut store = Store::connect(settings)?;
        let sent = Instant::now();
        let record = WorkerRecord {
            name: name.into(),
            room: 8,
            started_at: Timestamp::now(),
            ..WorkerRecord::default()
        };
        let boot = store.register_worker(&record)?;
        Ok(Self {
            name: name.into(),
            boot,
            store,
            random: SeededRng::new(seed),
            ledger: Arc::clone(ledger),
            good_until: sent + TTL * 8 / 10,
            beaten: sent,
            active: Vec::new(),
            seen: None,
            leading: None,
            is_killed: false,
        })
    }

    /// Lives until it is killed, declared dead, or the campaign is over.
    pub(super) fn live(&mut self) {
        while !self.ledger.is_over.load(Ordering::Relaxed) {
            match self.random.below(2_000) {
                // Killed: what it knows and does is gone, and its connection with it.
                0..6 => return self.note_fault(),
                // Frozen for longer than its lease.
                6..9 => {
                    self.note_fault();
                    rest(TTL * 3 / 2);
                }
                _ => {}
            }
            if self.beaten.elapsed() > TTL / 4 {
                let sent = Instant::now();
                let record = WorkerRecord {
                    name: self.name.clone(),
                    boot: self.boot,
                    ..WorkerRecord::default()
                };
                match self.store.heartbeat(&record) {
                    Ok(true) => (self.beaten, self.good_until) = (sent, sent + TTL * 8 / 10),
                    Ok(false) => return,
                    Err(_) => {}
                }
            }
            if Instant::now() > self.good_until {
                return;
            }
            // What cannot be written now is written, or found to be written, at a later turn.
            self.work().ok();
            if self.is_killed {
                return self.note_fault();
            }
            if self.lead().is_err() {
                self.leading = None;
            }
            rest(Duration::from_millis(5));
        }
    }

    fn note_fault(&self) {
        self.ledger.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// The part of a worker.
    pub(super) fn work(&mut self) -> Result<()> {
        for found in self.store.dispatched(Some((&self.name, self.boot)))? {
            let claim = found.claim();
            if self.active.iter().any(|work| work.claim == claim) {
                continue;
            }
            let number = found.run.attempts + 1;
            if self.store.begin(claim, number, Timestamp::now())? {
                let time = Duration::from_millis(self.random.below(250));
                let (job, slot) = (found.run.job, found.run.slot.unwrap_or_default());
                let done_at = Instant::now() + time;
                self.active.push(GivenRun { claim, job, slot, done_at, is_done: false });
            }
        }
        for work in &mut self.active {
            if work.is_done || Instant::now() < work.done_at {
                continue;
            }
            let mut acts = self.ledger.acts.lock().unwrap();
            // Right before an act that cannot be taken back.
            if Instant::now() < self.good_until {
                acts.entry((work.job.clone(), work.slot.clone()))
                    .or_default()
                    .push(work.claim.fence);
                work.is_done = true;
            }
        }
        if self.active.iter().any(|given| given.is_done) && self.random.below(20) == 0 {
            // Killed between the act and the report of it.
            self.is_killed = true;
            return Ok(());
        }
        let sum = Sum::default();
        while let Some(place) = self.active.iter().position(|work| work.is_done) {
            let work = &self.active[place];
            let (state, health) = (RunState::Done, Some(Health::Good));
            let (claim, job, at) = (work.claim, work.job.as_str(), Timestamp::now());
            self.store.close(&RunEnd { claim, job, state, sum: &sum, health, at }, |_, _, _| {
                Vec::new()
            })?;
            self.active.remove(place);
        }
        Ok(())
    }

    /// The part of a leader, or of one that would be.
    pub(super) fn lead(&mut self) -> Result<()> {
        if self.leading.is_none() && !self.stand()? {
            return Ok(());
        }
        let workers = self.store.workers()?;
        let Some(leading) = &mut self.leading else { return Ok(()) };
        let mut gone: Vec<(String, i64, Option<i64>)> = Vec::new();
        for worker in &workers {
            let now = Instant::now();
            let seen = leading.workers.entry(worker.name.clone()).or_insert((
                worker.boot,
                worker.beat,
                now,
            ));
            if (seen.0, seen.1) != (worker.boot, worker.beat) {
                *seen = (worker.boot, worker.beat, now);
            }
            if seen.2.elapsed() > TTL * 12 / 10 {
                gone.push((worker.name.clone(), worker.boot, Some(worker.beat)));
            }
        }
        let running = self.store.dispatched(None)?;
        for run in &running {
            if !workers.iter().any(|worker| (&worker.name, worker.boot) == (&run.worker, run.boot))
            {
                gone.push((run.worker.clone(), run.boot, None));
            }
        }
        for (name, boot, beat) in &gone {
            let now = Timestamp::now();
            let dead =
                self.store.declare_dead(&leading.lease, (name, *boot), *beat, "gone", now)?;
            if dead.is_none() {
                self.leading = None;
                return Ok(());
            }
        }
        for run in self.store.runs_that_are(RunState::Interrupted)? {
            let now = Timestamp::now();
            let wait =
                Wait { not_before: now, give_up: Timestamp::MAX, needs_since: Timestamp::MIN };
            self.store.take_up(&leading.lease, run.id, Trigger::CatchUp, wait, "again")?;
        }
        let alive: Vec<_> = workers
            .into_iter()
            .filter(|worker| {
                !gone.iter().any(|(name, boot, _)| (name, boot) == (&worker.name, &worker.boot))
            })
            .collect();
        self.decide(&alive)
    }

    /// Takes the lease if it is free, or if it has not moved for long. Returns true if it has it.
    fn stand(&mut self) -> Result<bool> {
        let state = self.store.lease()?;
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if *seen == state => *since,
            _ => now,
        };
        let is_free = state.lease.holder.is_empty() || now.duration_since(since) > TTL;
        let taken = if is_free { self.store.take_lease(&self.name, &state)? } else { None };
        self.seen = Some((state, since));
        let Some(lease) = taken else { return Ok(false) };
        let marks = self.store.job_states()?.into_iter();
        let marks = marks.filter_map(|state| Some((state.job, state.watermark?.as_millisecond())));
        let (marks, workers) = (marks.collect(), HashMap::new());
        self.leading = Some(LeaderKnowledge { lease, marks, workers, renewed: now });
        Ok(true)
    }

    /// Decides every slot up to now: it begins, or is skipped since the run before it is still in progress.
    fn decide(&mut self, alive: &[WorkerRecord]) -> Result<()> {
        let waiting = self.store.runs_that_are(RunState::Waiting)?;
        let running = self.store.dispatched(None)?;
        let Some(leading) = &mut self.leading else { return Ok(()) };
        let (mut runs, mut states, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let is_over = self.ledger.is_over.load(Ordering::Relaxed);
        for job in (0..JOBS).map(job) {
            let mut is_busy = running.iter().any(|run| run.run.job == job);
            for run in waiting.iter().filter(|run| run.job == job) {
                if !is_busy && let Some(worker) = self.random.one_of(alive) {
                    places.push((runs.len(), worker));
                    runs.push(slot(
                        &job,
                        run.slot.as_deref().unwrap_or_default(),
                        RunState::Running,
                    ));
                    is_busy = true;
                }
            }
            let last = now_ms() / PERIOD_MS;
            let mark = leading.marks.get(&job).map_or(last - 1, |mark| mark / PERIOD_MS);
            if is_over || mark >= last {
                continue;
            }
            is_busy |= waiting.iter().any(|run| run.job == job);
            for number in mark + 1..=last {
                let worker = self.random.one_of(alive).filter(|_| !is_busy);
                let state = if worker.is_some() { RunState::Running } else { RunState::Skipped };
                places.extend(worker.map(|worker| (runs.len(), worker)));
                runs.push(slot(&job, &number.to_string(), state));
                is_busy |= worker.is_some();
            }
            let watermark = Timestamp::from_millisecond(last * PERIOD_MS).ok();
            states.push(JobStateRecord {
                job,
                revision: "r1".into(),
                watermark,
                ..JobStateRecord::default()
            });
        }
        if runs.is_empty() && leading.renewed.elapsed() < TTL / 4 {
            return Ok(());
        }
        let dispatch =
            |(row, worker): &(usize, &'_ WorkerRecord)| (*row, worker.name.clone(), worker.boot);
        let places: Vec<_> = places.iter().map(dispatch).collect();
        let dispatches: Vec<_> = places
            .iter()
            .map(|(row, worker, boot)| Dispatch { row: *row, worker, boot: *boot })
            .collect();
        let decisions = Decisions {
            runs: &runs,
            states: &states,
            dispatches: &dispatches,
            ..Decisions::default()
        };
        let decided = self.store.decide_as(&leading.lease, &decisions, Timestamp::now())?;
        if decided.is_none() {
            self.leading = None;
            return Ok(());
        }
        leading.renewed = Instant::now();
        for state in states {
            let mark = state.watermark.unwrap_or_default().as_millisecond();
            leading.marks.insert(state.job, mark);
        }
        Ok(())
    }
}
