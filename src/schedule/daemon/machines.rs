//! The machines of the fleet, as the leader sees them: who is alive, and what each may run.
//!
//! No clocks are compared: a machine is alive as long as its counter moves, by the clock of the leader that goes on in a
//! suspended host.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Leader, leader::deposed, recover};
use crate::{
    error::Result,
    observe::EventEmitter,
    schedule::{child::lease::boottime_ms, plan::MachineRoom},
    store::{
        fleet::{DispatchedRun, WorkerRecord},
        releases::PublishedRelease,
    },
};

/// The time without a heartbeat after which a machine is declared dead, in tenths of its lease: it ends its runs earlier.
const DEAD_TENTHS: u64 = 12;
/// The time without one after which it is given nothing new.
const SILENT_TENTHS: u64 = 6;
/// The least time without a look at the machines after which all of them get a whole lease again: what kept the leader from
/// looking kept them from giving a sign of life.
const BLIND_TIME_MIN: Duration = Duration::from_secs(2);
/// The part of the lease after which the leader renews its own, if it has nothing to write.
const RENEWALS: u32 = 4;

/// The machines that the leader knows.
#[derive(Debug)]
pub(super) struct FleetView {
    lease: Duration,
    pub(super) renewed: Instant,
    seen: BTreeMap<String, SeenMachine>,
    /// The time of the last look at them.
    looked: u64,
    /// The number of runs on each machine.
    running: BTreeMap<String, u32>,
    /// The machine that led before, and lost the lease: it gets nothing until its counter moves.
    suspect: Option<String>,
    /// The published release that is current.
    pub(super) published: Option<PublishedRelease>,
    /// The machines with other jobs, and since when they have them.
    differing: BTreeMap<(String, String), u64>,
    /// Those of them that were told of.
    told: BTreeSet<(String, String)>,
}

/// A machine with the time at which its counter was seen to move.
#[derive(Debug)]
struct SeenMachine {
    record: WorkerRecord,
    since: u64,
}

impl SeenMachine {
    fn is_silent_for(&self, tenths: u64, own: Duration) -> bool {
        let own = u64::try_from(own.as_millis()).unwrap_or(u64::MAX);
        let lease = u64::try_from(self.record.lease_ms).unwrap_or(0).max(own);
        boottime_ms().saturating_sub(self.since) > lease / 10 * tenths
    }
}

impl FleetView {
    pub(super) fn new(lease: Duration, before: &str) -> Self {
        let (seen, running, told) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let suspect = Some(before.to_owned()).filter(|before| !before.is_empty());
        let (renewed, looked) = (Instant::now(), boottime_ms());
        let (published, differing) = (None, BTreeMap::new());
        Self { lease, renewed, seen, looked, running, suspect, published, differing, told }
    }

    /// Returns true if the lease of the leader is to be renewed although there is nothing to write.
    pub(super) fn is_to_be_renewed(&self) -> bool {
        self.renewed.elapsed() > self.lease / RENEWALS
    }

    /// Notes the machines that are registered.
    fn look(&mut self, workers: Vec<WorkerRecord>) {
        let now = boottime_ms();
        let blind = Duration::from_millis(now.saturating_sub(self.looked));
        let was_blind = blind > (self.lease / 2).max(BLIND_TIME_MIN);
        self.looked = now;
        let mut before = std::mem::take(&mut self.seen);
        for record in workers {
            let known = before.remove(&record.name);
            let is_same = |known: &SeenMachine| {
                (known.record.boot, known.record.beat) == (record.boot, record.beat)
            };
            if self.suspect.as_ref() == Some(&record.name)
                && known.as_ref().is_some_and(|known| !is_same(known))
            {
                self.suspect = None;
            }
            let known = known.filter(|known| is_same(known) && !was_blind);
            let since = known.map_or(now, |known| known.since);
            self.seen.insert(record.name.clone(), SeenMachine { record, since });
        }
    }

    fn is_registered(&self, worker: &str, boot: i64) -> bool {
        self.seen.get(worker).is_some_and(|seen| seen.record.boot == boot)
    }

    /// Notes the runs in progress.
    pub(super) fn count(&mut self, runs: &[DispatchedRun]) {
        self.running.clear();
        for run in runs {
            *self.running.entry(run.worker.clone()).or_default() += 1;
        }
    }

    /// Returns the number of the start of a machine.
    pub(super) fn boot_of(&self, name: &str) -> Option<i64> {
        self.seen.get(name).map(|seen| seen.record.boot)
    }

    /// Returns the machines on which runs can begin, and tells of those whose jobs are others.
    pub(super) fn rooms(&mut self, release: &str, observer: &EventEmitter) -> Vec<MachineRoom> {
        let mut rooms = Vec::new();
        let before = std::mem::take(&mut self.differing);
        for (name, seen) in &self.seen {
            let WorkerRecord { labels, room, is_draining, missing, .. } = &seen.record;
            let is_suspect = self.suspect.as_ref() == Some(name);
            if *is_draining || is_suspect || seen.is_silent_for(SILENT_TENTHS, self.lease) {
                continue;
            }
            if !self.is_same(&seen.record.release, release) {
                let key = (name.clone(), seen.record.release.clone());
                let since = before.get(&key).copied().unwrap_or_else(boottime_ms);
                // While new jobs come to all machines they differ for a moment.
                let for_long = boottime_ms().saturating_sub(since);
                let is_long = u128::from(for_long) > self.lease.as_millis();
                if is_long && self.told.insert(key.clone()) {
                    observer.warn(differs(&seen.record, release));
                }
                self.differing.insert(key, since);
                continue;
            }
            let labels = labels.lines().filter_map(|label| label.split_once('='));
            rooms.push(MachineRoom {
                name: Arc::from(name.as_str()),
                labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                room: u32::try_from(*room).unwrap_or(0),
                running: self.running.get(name).copied().unwrap_or(0),
                missing: missing.lines().map(str::to_owned).collect(),
            });
        }
        rooms
    }

    /// Returns true if two releases of machines are the same: also that of a jobs file, and the same one published.
    fn is_same(&self, one: &str, other: &str) -> bool {
        let is_of = |published: &PublishedRelease| published.is_of(one) && published.is_of(other);
        one == other || self.published.as_ref().is_some_and(is_of)
    }

    /// Returns true if a machine besides that of this name, which is alive and may lead, has the current release.
    pub(super) fn has_heir(&self, name: &str) -> bool {
        let Some(published) = &self.published else { return false };
        self.seen.values().any(|seen| {
            let WorkerRecord { name: other, never_leads, is_draining, release, .. } = &seen.record;
            other != name
                && !never_leads
                && !is_draining
                && published.is_of(release)
                && !seen.is_silent_for(SILENT_TENTHS, self.lease)
        })
    }
}

/// Returns the warning about a machine whose jobs are not those of the leader.
fn differs(record: &WorkerRecord, release: &str) -> String {
    let WorkerRecord { name, release: other, fault, .. } = record;
    let why = if fault.is_empty() { String::new() } else { format!("; it says: {fault}") };
    format!(
        "machine `{name}` has another jobs file (release {other}, here {release}): it gets no runs until they are the \
         same{why}"
    )
}

impl Leader {
    /// Looks at the machines: declares those dead that have been silent for too long, and has what they ran begun again.
    /// Returns true if anything waits that did not before.
    pub(super) fn look_at_machines(&mut self, now: Timestamp) -> Result<bool> {
        let Some(fleet) = &mut self.fleet else { return Ok(false) };
        fleet.look(self.store.workers()?);
        let dead = fleet.seen.values().filter(|seen| seen.is_silent_for(DEAD_TENTHS, fleet.lease));
        let mut gone: Vec<(String, i64, Option<i64>)> = dead
            .map(|seen| (seen.record.name.clone(), seen.record.boot, Some(seen.record.beat)))
            .collect();
        let mut left = BTreeSet::new();
        for run in self.store.dispatched(None)? {
            if !fleet.is_registered(&run.worker, run.boot) {
                left.insert((run.worker, run.boot));
            }
        }
        gone.extend(left.into_iter().map(|(name, boot)| (name, boot, None)));
        for (name, boot, beat) in gone {
            let error = format!("its machine `{name}` was lost");
            let found = self.store.declare_dead(&self.lease, (&name, boot), beat, &error, now)?;
            let Some(runs) = found else {
                self.is_deposed = true;
                return Err(deposed());
            };
            if beat.is_some() && !self.store.workers()?.iter().any(|worker| worker.name == name) {
                let count = runs.len();
                self.context.observer.warn(format!(
                    "machine `{name}` gives no sign of life: it is declared dead, and {count} runs of it are interrupted"
                ));
            }
            for run in runs {
                self.running.remove(&run);
                self.interrupted.insert(run);
            }
        }
        self.resume_interrupted(now)
    }

    /// Has interrupted runs begun again, if the rules of their jobs say so. Returns true if any waits for that. One that
    /// cannot be read or written now remains for the next call.
    pub(super) fn resume_interrupted(&mut self, now: Timestamp) -> Result<bool> {
        let mut has_resumed = false;
        while let Some(run) = self.interrupted.first().copied() {
            if let Some(found) = self.store.run(run)? {
                let jobs = Arc::clone(self.planner.jobs());
                let means = (now, &self.context.observer);
                has_resumed |= recover::resume(&mut self.store, &self.lease, &jobs, &found, means)?;
            }
            self.interrupted.remove(&run);
        }
        Ok(has_resumed)
    }

    /// Renews the lease if that is due. Fails if another machine has it.
    pub(super) fn renew(&mut self) -> Result<()> {
        let Some(fleet) = &mut self.fleet else { return Ok(()) };
        if !fleet.is_to_be_renewed() {
            return Ok(());
        }
        let asked = Instant::now();
        if !self.store.renew_lease(&self.lease)? {
            self.is_deposed = true;
            return Err(deposed());
        }
        fleet.renewed = asked;
        Ok(())
    }
}
