//! The part of a scheduler in a fleet: its name, which no other machine may have, and its wish to lead.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use super::heartbeat::BEATS;
use crate::{
    error::{Error, ErrorKind, Origin, Result, fleet_codes::FLEET_OTHER_RELEASE},
    observe::EventEmitter,
    schedule::child::lease::boottime_ms,
    store::{
        Store, StorePlace,
        fleet::{LeaderState, WorkerRecord},
        releases::PublishedRelease,
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
    /// True if it runs the release that is published; false if it has a jobs file of its own.
    pub follows_releases: bool,
}

/// The time between two looks at the lease of the leader, and at a machine of the same name.
const LOOK: Duration = Duration::from_millis(500);
/// The number of heartbeats in which one of a machine that is alive comes, also of a busy one.
const CLONE_BEATS: u32 = 3;
/// The file with the number of the start of this host.
const HOST_BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// The file in the state folder with the name of the machine and the number of its last start.
const MACHINE: &str = "machine";

/// Fails if another process that is alive has the name: its counter moves. A row of an earlier process with this state
/// folder, which is locked, is our own; with one that was copied, as that of a cloned machine, it may be that of the
/// original.
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
    if own == own_lines(name, found.boot, state)? {
        return Ok(());
    }
    let of_other = Duration::from_millis(u64::try_from(found.lease_ms).unwrap_or(0));
    let is_like_ours = own.lines().next() == own_lines(name, found.boot, state)?.lines().next();
    let end = if is_like_ours {
        // That of this machine before it was started again, unless the next heartbeats come.
        Instant::now() + lease.max(of_other) / BEATS * CLONE_BEATS
    } else {
        // What it runs ends within its lease, if it is cut off: nothing of it is begun here before.
        Instant::now() + lease.max(of_other) * 12 / 10
    };
    let (_sender, timer) = channel::<()>();
    while Instant::now() < end {
        timer.recv_timeout(LOOK).ok();
        // It has left, or was declared dead.
        let Some(now) = of_name()? else { return Ok(()) };
        if (now.boot, now.beat) != (found.boot, found.beat) {
            let fault = taken(name);
            let copied =
                "; its state folder is a copy of that one's: begin with an empty one as well";
            return Err(if is_like_ours {
                Error { message: fault.message + copied, ..fault }
            } else {
                fault
            });
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

/// Returns the text of a start: its name and number, and on a second line what a copy of the folder does not have.
fn own_lines(name: &str, boot: i64, state: &Path) -> Result<String> {
    let cannot = |error| Error::local("look at the state folder", state, error);
    let folder = fs::metadata(state).map_err(cannot)?;
    // A suspended copy of this host, with its memory, is found by its next heartbeat.
    let host = fs::read_to_string(HOST_BOOT).unwrap_or_default();
    Ok(format!("{name} {boot}\n{} {} {}\n", folder.dev(), folder.ino(), host.trim()))
}

/// Notes the number of a start, by which the next one knows that it is its own.
pub(super) fn note_start(state: &Path, name: &str, boot: i64) -> Result<()> {
    let path = state.join(MACHINE);
    fs::write(&path, own_lines(name, boot, state)?)
        .map_err(|error| Error::local("write the name of the machine", &path, error))
}

/// The machines that have the release of the fleet.
#[derive(Debug)]
struct OtherMachines {
    release: String,
    /// Their starts and counters, in the order of their names.
    beats: Vec<(i64, i64)>,
    /// The time since which this machine has another release.
    since: u64,
    /// The time at which one of the counters was seen to move.
    moved: u64,
}

/// The number of leases after which a machine with other jobs may lead, if none with those of the fleet gives a sign of life.
const GONE_LEASES: u128 = 20;

/// The number of leases after which it may if none with those of the fleet is registered: all have left in order, and were not
/// started again.
const LEFT_LEASES: u128 = 3;
/// The number of leases after which a machine with the jobs of the last leader may lead, if no machine that has the published ones
/// gives a sign of life.
const LEADERS_LEASES: u128 = 1;

/// The facts of a machine that matter for who leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct CandidateFacts<'f> {
    /// Its name.
    pub(super) name: &'f str,
    /// The lease of machines.
    pub(super) lease: Duration,
    /// The release of its jobs.
    pub(super) release: &'f str,
    /// The published release that is current, if there is one.
    pub(super) published: Option<&'f PublishedRelease>,
}

/// A machine that does not lead, and watches the one that does.
#[derive(Debug, Default)]
pub(super) struct LeaderCandidate {
    looked: Option<Instant>,
    /// The machines with the release of the fleet, while that of this machine is another one.
    others: Option<OtherMachines>,
    /// The release of the fleet that was warned of last, and that of this machine.
    warned: Option<(String, String)>,
    /// The lease as it was seen first, and when, by the clock that goes on in suspension.
    seen: Option<(LeaderState, u64)>,
    /// The leader that was told of last.
    pub(super) told: Option<String>,
}

impl LeaderCandidate {
    /// Looks at the lease, at intervals. Returns it if it may be taken: it has no holder, this machine held it when it
    /// was killed, or its holder has not renewed it for a whole lease; and the jobs of this machine are those of the fleet.
    pub(super) fn look(
        &mut self,
        store: &Store,
        own: CandidateFacts<'_>,
        observer: &EventEmitter,
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
        let is_own = state.lease.holder == own.name;
        let is_free = is_own || state.lease.holder.is_empty();
        let has_lapsed = u128::from(now - since) > own.lease.as_millis();
        self.seen = Some((state.clone(), since));
        if !self.has_fit_jobs(store, &state, own, observer)? && !is_own {
            return Ok(None);
        }
        Ok((is_free || has_lapsed).then_some(state))
    }

    /// Returns true if the jobs of this machine are the published ones, or without those the ones by which the last leader has
    /// decided; or if no machine with those is registered, or none has given a sign of life for long. With other jobs it would
    /// drop what the fleet has planned.
    fn has_fit_jobs(
        &mut self,
        store: &Store,
        state: &LeaderState,
        own: CandidateFacts<'_>,
        observer: &EventEmitter,
    ) -> Result<bool> {
        let is_wanted = |release: &str| match own.published {
            Some(published) => published.is_of(release),
            None => state.release.is_empty() || state.release == release,
        };
        if is_wanted(own.release) {
            self.others = None;
            return Ok(true);
        }
        let wanted = own.published.map_or(&*state.release, PublishedRelease::short_digest);
        let now = boottime_ms();
        let others = store.workers()?.into_iter();
        let others = others.filter(|one| !one.never_leads && is_wanted(&one.release));
        let beats: Vec<_> = others.map(|one| (one.boot, one.beat)).collect();
        let is_none_left = beats.is_empty();
        let known = self.others.take().filter(|known| known.release == wanted);
        let (since, moved) = known.map_or((now, now), |known| {
            (known.since, if known.beats == beats { known.moved } else { now })
        });
        self.others = Some(OtherMachines { release: wanted.to_owned(), beats, since, moved });
        // While new jobs come to all machines they differ for a moment.
        if u128::from(now - since) > own.lease.as_millis() {
            self.warn_of_jobs(wanted, own.release, observer);
        }
        let leases = if !state.release.is_empty() && state.release == own.release {
            LEADERS_LEASES
        } else if is_none_left {
            LEFT_LEASES
        } else {
            GONE_LEASES
        };
        Ok(u128::from(now - moved) > own.lease.as_millis() * leases)
    }

    fn warn_of_jobs(&mut self, release: &str, own: &str, observer: &EventEmitter) {
        let pair = (release.to_owned(), own.to_owned());
        if self.warned.as_ref() == Some(&pair) {
            return;
        }
        observer.warn(format!(
            "the jobs of this machine (release {own}) are not those of its fleet (release {release}): it does not lead, and \
             gets no runs, until they are the same ({FLEET_OTHER_RELEASE})"
        ));
        self.warned = Some(pair);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    #[test]
    fn other_jobs_lead_only_when_no_machine_with_those_of_the_fleet_is_left() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path())?;
        let worker = |name: &str, release: &str| WorkerRecord {
            name: name.into(),
            release: release.into(),
            ..WorkerRecord::default()
        };
        let boot = store.register_worker(&worker("one", "r1"))?;
        store.register_worker(&worker("two", "r2"))?;
        let lease = store.take_lease("one", &store.lease()?)?.unwrap();
        assert!(store.lead_with(&lease, "r1")?);
        store.release_lease(&lease)?;
        // Twenty of them are a second.
        let lease = Duration::from_millis(50);
        let facts = |name, release| CandidateFacts { name, lease, release, published: None };
        let observer = EventEmitter::new(Vec::new());
        let mut candidate = LeaderCandidate::default();
        let (_sender, timer) = channel::<()>();
        let mut look = |store: &Store, own: CandidateFacts<'_>| {
            timer.recv_timeout(LOOK).ok();
            candidate.look(store, own, &observer).map(|found| found.is_some())
        };
        for _ in 0..4 {
            store.heartbeat(&WorkerRecord { boot, ..worker("one", "r1") })?;
            assert!(!look(&store, facts("two", "r2"))?);
        }
        assert!(look(&store, facts("two", "r1"))?, "it has the jobs of the fleet now");
        assert!(!look(&store, facts("two", "r2"))?);
        assert!(!look(&store, facts("two", "r2"))?);
        timer.recv_timeout(2 * LOOK).ok();
        assert!(look(&store, facts("two", "r2"))?, "none of them has given a sign of life");
        Ok(())
    }

    #[test]
    fn other_jobs_lead_soon_when_all_machines_with_those_of_the_fleet_have_left() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path())?;
        let worker = |name: &str, release: &str| WorkerRecord {
            name: name.into(),
            release: release.into(),
            ..WorkerRecord::default()
        };
        let boot = store.register_worker(&worker("one", "r1"))?;
        store.register_worker(&worker("two", "r2"))?;
        let lease = store.take_lease("one", &store.lease()?)?.unwrap();
        assert!(store.lead_with(&lease, "r1")?);
        store.release_lease(&lease)?;
        let published = store.publish(&new_release("r2"), jiff::Timestamp::UNIX_EPOCH)?.0;
        let mut candidates = [LeaderCandidate::default(), LeaderCandidate::default()];
        let (_sender, timer) = channel::<()>();
        let observer = EventEmitter::new(Vec::new());
        // Three of them are 1.5 seconds, and twenty are ten.
        let lease = Duration::from_millis(500);
        let mut look = |store: &Store, release, published| {
            let [first, second] = &mut candidates;
            let candidate = if release == "r1" { first } else { second };
            let own = CandidateFacts { name: "two", lease, release, published };
            timer.recv_timeout(LOOK + LOOK / 10).ok();
            candidate.look(store, own, &observer).map(|found| found.is_some())
        };
        assert!(!look(&store, "r2", None)?);
        store.remove_worker("one", boot)?;
        for _ in 0..2 {
            assert!(!look(&store, "r2", None)?);
        }
        timer.recv_timeout(4 * LOOK).ok();
        assert!(look(&store, "r2", None)?);
        // The published release is one that no machine can use: the jobs of the last leader do.
        let published = published.filter(|published| published.digest == "r2").map(|published| {
            PublishedRelease { digest: "r3".into(), jobs_digest: "r3".into(), ..published }
        });
        assert!(!look(&store, "r1", published.as_ref())?);
        assert!(!look(&store, "r4", published.as_ref())?);
        timer.recv_timeout(LOOK).ok();
        assert!(look(&store, "r1", published.as_ref())?);
        Ok(())
    }

    fn new_release(digest: &str) -> crate::store::releases::NewRelease {
        crate::store::releases::NewRelease { digest: digest.into(), ..Default::default() }
    }
}
