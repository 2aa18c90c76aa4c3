//! The part of a scheduler in a fleet: its name, which no other machine may have, and its wish to lead.

use std::{
    fs,
    path::Path,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    schedule::child::lease::boottime_ms,
    store::{
        Store, StorePlace,
        fleet::{LeaderState, WorkerRecord},
    },
};

/// The settings of a machine of a fleet.
#[derive(Debug, Clone)]
pub struct FleetSetup {
    /// The store that the machines share.
    pub place: StorePlace,
    /// The name of the machine, unique in the fleet.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// The number of runs that it may have at a time; `max_running` of the jobs file if it is `None`.
    pub room: Option<u32>,
    /// False if it never leads.
    pub may_lead: bool,
}

/// The time between two looks at the lease of the leader, and at a machine of the same name.
const LOOK: Duration = Duration::from_millis(500);
/// The file in the state folder with the name of the machine and the number of its last start.
const MACHINE: &str = "machine";

/// Fails if another process that is alive has the name: its counter moves. A row of an earlier process with this state
/// folder, which is locked, is our own.
pub(super) fn check_name(
    store: &Store,
    setup: &FleetSetup,
    state: &Path,
    lease: Duration,
) -> Result<()> {
    let name = &setup.name;
    let of_name = || -> Result<Option<WorkerRecord>> {
        Ok(store.workers()?.into_iter().find(|worker| worker.name == *name))
    };
    let Some(found) = of_name()? else { return Ok(()) };
    let own = fs::read_to_string(state.join(MACHINE)).unwrap_or_default();
    if own == own_line(name, found.boot) {
        return Ok(());
    }
    let of_other = Duration::from_millis(u64::try_from(found.lease_ms).unwrap_or(0));
    // What it runs ends within its lease, if it is cut off: nothing of it is begun here before.
    let end = Instant::now() + lease.max(of_other) * 12 / 10;
    let (_sender, timer) = channel::<()>();
    while Instant::now() < end {
        timer.recv_timeout(LOOK).ok();
        // It has left, or was declared dead.
        let Some(now) = of_name()? else { return Ok(()) };
        if (now.boot, now.beat) != (found.boot, found.beat) {
            return Err(taken(name));
        }
    }
    Ok(())
}

/// Returns the error of a machine whose name another one has.
pub(super) fn taken(name: &str) -> Error {
    let message = format!(
        "another machine of the fleet has the name `{name}` and is alive: give this one another with --name"
    );
    Error::new(ErrorKind::Busy, Origin::Here, message)
}

fn own_line(name: &str, boot: i64) -> String {
    format!("{name} {boot}\n")
}

/// Notes the number of a start, by which the next one knows that it is its own.
pub(super) fn note_start(state: &Path, name: &str, boot: i64) -> Result<()> {
    let path = state.join(MACHINE);
    fs::write(&path, own_line(name, boot))
        .map_err(|error| Error::local("write the name of the machine", &path, error))
}

/// A machine that does not lead, and watches the one that does.
#[derive(Debug, Default)]
pub(super) struct LeaderCandidate {
    looked: Option<Instant>,
    /// The lease as it was seen first, and when, by the clock that goes on in suspension.
    seen: Option<(LeaderState, u64)>,
    /// The leader that was told of last.
    pub(super) told: Option<String>,
}

impl LeaderCandidate {
    /// Looks at the lease, at intervals. Returns it if it may be taken: it has no holder, this machine held it when it
    /// was killed, or its holder has not renewed it for a whole lease.
    pub(super) fn look(
        &mut self,
        store: &Store,
        name: &str,
        lease: Duration,
    ) -> Result<Option<LeaderState>> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(None);
        }
        self.looked = Some(Instant::now());
        let state = store.lease()?;
        let now = boottime_ms();
        let since = match &self.seen {
            Some((seen, since)) if *seen == state => *since,
            _ => now,
        };
        let is_free = state.lease.holder.is_empty() || state.lease.holder == name;
        let has_lapsed = u128::from(now - since) > lease.as_millis();
        self.seen = Some((state.clone(), since));
        Ok((is_free || has_lapsed).then_some(state))
    }

    /// Returns the name of the leader, if it is another one than was told of.
    pub(super) fn news(&mut self) -> Option<String> {
        let holder = self.seen.as_ref().map(|(state, _)| state.lease.holder.clone());
        let holder =
            holder.filter(|holder| !holder.is_empty() && self.told.as_ref() != Some(holder));
        self.told = holder.clone().or_else(|| self.told.take());
        holder
    }
}
