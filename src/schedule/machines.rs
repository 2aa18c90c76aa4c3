//! The machines that share a schedule, for whoever shows them.

use jiff::{SignedDuration, Timestamp};

use crate::{
    error::Result,
    store::{Store, fleet::WorkerRecord, releases::PublishedRelease},
};

/// The difference of clocks from which on it is shown.
const CLOCK_SHOWN_MS: i64 = 2_000;

/// The number of missing secrets that are shown.
const SECRETS_SHOWN: usize = 3;

/// A machine, with what it does at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineState {
    /// Its record.
    pub record: WorkerRecord,
    /// True if it leads.
    pub leads: bool,
    /// The number of its runs.
    pub running: u32,
    /// The time since its last heartbeat.
    pub age: SignedDuration,
    /// True if its jobs are those of the leader.
    pub has_leaders_jobs: bool,
    /// The number of the published release that its jobs are.
    pub release_number: Option<i64>,
}

impl MachineState {
    /// Reads all machines, sorted by name. `now` is the time of the database.
    pub fn read_all(store: &Store, now: Timestamp) -> Result<Vec<Self>> {
        let (lease, runs, workers) = (store.lease()?, store.dispatched(None)?, store.workers()?);
        let leader = workers.iter().find(|worker| worker.name == lease.lease.holder);
        let release = leader.map(|leader| leader.release.clone());
        let published = store.releases()?;
        let number_of = |release: &str| {
            let is_of = |one: &&PublishedRelease| one.is_of(release);
            let current = published.iter().filter(|one| one.is_current).find(is_of);
            current.or_else(|| published.iter().find(is_of)).map(|one| one.number)
        };
        let is_same = |one: &str, other: &str| {
            one == other || number_of(one).is_some_and(|number| number_of(other) == Some(number))
        };
        let machine = |record: WorkerRecord| Self {
            leads: record.name == lease.lease.holder,
            running: u32::try_from(
                runs.iter()
                    .filter(|run| (&run.worker, run.boot) == (&record.name, record.boot))
                    .count(),
            )
            .unwrap_or(u32::MAX),
            age: now.duration_since(record.beat_at).max(SignedDuration::ZERO),
            has_leaders_jobs: release.as_ref().is_none_or(|one| is_same(one, &record.release)),
            release_number: number_of(&record.release),
            record,
        };
        Ok(workers.into_iter().map(machine).collect())
    }

    /// Returns true if it gave a sign of life within its lease.
    pub fn is_alive(&self) -> bool {
        self.age.as_millis() <= i128::from(self.record.lease_ms)
    }

    /// Returns the word for its part in the fleet.
    pub fn role(&self) -> &'static str {
        match (self.leads, self.record.is_draining) {
            (true, _) => "leader",
            (false, true) => "draining",
            (false, false) => "worker",
        }
    }

    /// Returns the age of its last heartbeat in words.
    pub fn heartbeat(&self) -> String {
        let silent = if self.is_alive() { "" } else { " (silent)" };
        match self.age.as_secs() {
            seconds @ 0..120 => format!("{seconds} s ago{silent}"),
            seconds @ 120..7_200 => format!("{} min ago{silent}", seconds / 60),
            seconds => format!("{} h ago{silent}", seconds / 3600),
        }
    }

    /// Returns the release of its jobs, whether it is that of the leader, and what it lacks to run them.
    pub fn release_words(&self) -> String {
        let WorkerRecord { release, missing, fault, .. } = &self.record;
        let mut words = self
            .release_number
            .map_or_else(|| release.clone(), |number| format!("release {number}"));
        if !self.has_leaders_jobs {
            words.push_str(" (not the leader's: no runs)");
        }
        let mut lacks = Vec::new();
        if !missing.is_empty() {
            let names: Vec<_> = missing.lines().take(SECRETS_SHOWN).collect();
            let more = if missing.lines().count() > SECRETS_SHOWN { ", …" } else { "" };
            lacks.push(format!("no secret {}{more}", names.join(", ")));
        }
        if !fault.is_empty() {
            lacks.push(fault.clone());
        }
        std::iter::once(words).chain(lacks).collect::<Vec<_>>().join("; ")
    }

    /// Returns how much its clock is wrong, if that is worth showing.
    pub fn clock_words(&self) -> String {
        let ahead = self.record.clock_ahead_ms;
        if ahead.abs() < CLOCK_SHOWN_MS { String::new() } else { format!("{:+} s", ahead / 1000) }
    }
}
