//! The lease of a worker of a fleet, as the processes of its runs see it.
//!
//! A worker without a lease must do nothing that cannot be undone: another worker may have been given the run. The lease is
//! in a file that the worker writes after each heartbeat that was answered, and that a run reads before each command. It
//! expires by `CLOCK_BOOTTIME`, which also counts while the host is suspended, even if the scheduler is blocked.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::{
    process::{Signal, kill_current_process_group},
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    files::owned,
};

/// The part of the time without heartbeats after which runs end, in tenths. The leader waits for longer than the whole.
const HELD_TENTHS: u32 = 8;
/// The part of that time that a run has to end, once the lease has lapsed.
const END_TENTHS: u32 = 2;
/// The time between two looks of a run that sends no commands.
const LOOK: Duration = Duration::from_millis(50);

/// The lease of a run, in its order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseSpec {
    /// The file.
    pub file: PathBuf,
    /// The milliseconds that it has to end, once the lease has lapsed.
    pub grace_ms: u64,
}

/// Returns the milliseconds since this host was started, those of suspension included.
pub fn boottime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1000 + nanos / 1_000_000
}

/// The lease of a worker: it may act until its end.
#[derive(Debug)]
pub struct WorkerLease {
    path: PathBuf,
    file: File,
    time: Duration,
    good_until: AtomicU64,
    lapses: AtomicU64,
}

impl WorkerLease {
    /// Creates the file, for a lease that has ended. `time` is that without heartbeats after which another worker is given
    /// the runs.
    pub fn create(path: &Path, time: Duration) -> Result<Self> {
        let open = owned::open(path, OpenOptions::new().write(true).create(true));
        let file = open.map_err(|error| Error::local("write the lease", path, error))?;
        let (good_until, lapses) = (AtomicU64::new(0), AtomicU64::new(0));
        let lease = Self { path: path.to_owned(), file, time, good_until, lapses };
        lease.write(0)?;
        Ok(lease)
    }

    /// Extends it, after a heartbeat was answered that was sent at `sent`, by [`boottime_ms`].
    pub fn extend(&self, sent: u64) -> Result<()> {
        let end = sent + millis(self.time * HELD_TENTHS / 10);
        let before = self.good_until.load(Ordering::SeqCst);
        let written = self.write(end);
        // A run may have seen the end of the lease before the file was written.
        if before != 0 && boottime_ms() >= before {
            self.lapses.fetch_add(1, Ordering::SeqCst);
        }
        written?;
        self.good_until.store(end, Ordering::SeqCst);
        Ok(())
    }

    /// Ends it at once: the runs are another worker's.
    pub fn end(&self) -> Result<()> {
        self.good_until.store(0, Ordering::SeqCst);
        self.lapses.fetch_add(1, Ordering::SeqCst);
        self.write(0)
    }

    fn write(&self, end: u64) -> Result<()> {
        let written = self.file.write_all_at(&end.to_le_bytes(), 0);
        written.map_err(|error| Error::local("write the lease", &self.path, error))
    }

    /// Returns true until it ends.
    pub fn is_good(&self) -> bool {
        boottime_ms() < self.good_until.load(Ordering::SeqCst)
    }

    /// Returns the number of times at which it had ended before it was extended: runs of before have ended.
    pub fn lapses(&self) -> u64 {
        self.lapses.load(Ordering::SeqCst)
    }

    /// Returns what a run needs to know of it.
    pub fn spec(&self) -> LeaseSpec {
        let grace_ms = millis(self.time * END_TENTHS / 10);
        LeaseSpec { file: self.path.clone(), grace_ms }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The lease, as a run sees it.
#[derive(Debug)]
struct SeenLease(File);

impl SeenLease {
    fn is_good(&self) -> bool {
        let mut bytes = [0; 8];
        // A file that cannot be read gives no right.
        let read = self.0.read_exact_at(&mut bytes, 0);
        read.is_ok() && boottime_ms() < u64::from_le_bytes(bytes)
    }
}

/// A lease that was opened, before the run is confined to its own files.
#[derive(Debug)]
pub struct OpenLease(File, Duration);

impl OpenLease {
    /// Opens the lease of an order.
    pub fn open(spec: &LeaseSpec) -> Result<Self> {
        let file = File::open(&spec.file);
        let file = file.map_err(|error| Error::local("open the lease", &spec.file, error))?;
        Ok(Self(file, Duration::from_millis(spec.grace_ms)))
    }

    /// Returns `stop` with the condition that the lease is good. Once it has lapsed, a thread sets the signal, and kills the
    /// run with all that it has started if it does not end.
    pub fn watch(self, stop: &CancelToken) -> Result<CancelToken> {
        let lease = std::sync::Arc::new(SeenLease(self.0));
        let (asked, grace, set) = (std::sync::Arc::clone(&lease), self.1, stop.clone());
        let watch = move || {
            let (_sender, timer) = std::sync::mpsc::channel::<()>();
            while lease.is_good() {
                timer.recv_timeout(LOOK).ok();
            }
            set.set();
            timer.recv_timeout(grace).ok();
            kill_current_process_group(Signal::KILL).ok();
        };
        let thread = std::thread::Builder::new().name("lease".into()).spawn(watch);
        thread.map_err(|error| {
            Error::new(ErrorKind::Local, Origin::Here, format!("cannot start a thread: {error}"))
        })?;
        Ok(stop.only_while(move || asked.is_good()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_good_for_a_part_of_its_time_and_counts_its_lapses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lease");
        let lease = WorkerLease::create(&path, Duration::from_secs(10)).unwrap();
        let seen = SeenLease(File::open(&path).unwrap());
        assert!(!lease.is_good() && !seen.is_good());
        let now = boottime_ms();
        lease.extend(now).unwrap();
        assert!(lease.is_good() && seen.is_good());
        assert_eq!(lease.lapses(), 0);
        // A heartbeat of nine seconds ago gives nothing, and the one after it comes too late.
        lease.extend(now.saturating_sub(9_000)).unwrap();
        assert!(!lease.is_good() && !seen.is_good());
        lease.extend(now).unwrap();
        assert_eq!((lease.is_good(), lease.lapses()), (true, 1));
        lease.end().unwrap();
        assert!(!lease.is_good() && !seen.is_good());
    }
}
