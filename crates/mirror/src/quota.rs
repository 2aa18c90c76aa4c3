//! Limits of a whole run that are enforced while its bytes are transferred: listed sizes, or missing ones, prove
//! nothing (S50).

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use portolan_core::error::{
    Error, ErrorKind, Origin, Result,
    codes::{LIMIT_MAX_TOTAL, LIMIT_MIN_FREE},
};
use portolan_fs::{AtomicFile, free_bytes};
use portolan_remote::source_sink::ByteSink;

/// The number of bytes after which the free space is checked again: each session receives no more than that unchecked.
const LOOK_BYTES: u64 = 4 * 1024 * 1024;

/// The limits that a run may not exceed: otherwise nothing is done at all (class C19).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// The maximum size of one file in bytes.
    pub max_file_size: Option<u64>,
    /// The maximum number of bytes transferred in all.
    pub max_total: Option<u64>,
    /// The minimum number of bytes that stay free on the local disk.
    pub min_free: Option<u64>,
}

/// The bytes that all sessions of a run have moved together, and the limits.
pub(super) struct Total {
    moved: AtomicU64,
    caps: Quotas,
    folder: PathBuf,
}

impl Total {
    /// Creates the counter of a run with the limits `caps`, whose files come to the local directory `folder`.
    pub(super) const fn new(caps: Quotas, folder: PathBuf) -> Self {
        Self { moved: AtomicU64::new(0), caps, folder }
    }

    /// Adds `bytes`; fails if that is more than may move.
    pub(super) fn count(&self, bytes: u64) -> Result<()> {
        let before = self.moved.fetch_add(bytes, Ordering::Relaxed);
        match self.caps.max_total {
            Some(most) if before.saturating_add(bytes) > most => {
                let message = format!("more bytes moved than `max_total`, which is {most}");
                Err(Error::new(ErrorKind::Guard, Origin::Here, message).with_name(LIMIT_MAX_TOTAL))
            }
            _ => Ok(()),
        }
    }

    /// Subtracts the bytes of a file that is not kept.
    pub(super) fn take_back(&self, bytes: u64) {
        self.moved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Fails if less space is free on the disk than must remain.
    fn look(&self) -> Result<()> {
        let Some(least) = self.caps.min_free else { return Ok(()) };
        let free = free_bytes(&self.folder)?;
        if free >= least {
            return Ok(());
        }
        let message = format!("{free} bytes are free on the disk, and `min_free` is {least}");
        Err(Error::new(ErrorKind::Guard, Origin::Here, message).with_name(LIMIT_MIN_FREE))
    }
}

/// Returns true if a run has reached one of its limits, after which no file is started.
pub(super) fn is_at_limit(fault: &Error) -> bool {
    matches!(fault.name, Some(LIMIT_MAX_TOTAL | LIMIT_MIN_FREE))
}

/// A file that is being received, within its own limit and those of the run.
pub(super) struct Capped<'l> {
    landing: &'l mut AtomicFile,
    total: &'l Total,
    /// The number of bytes counted for it.
    counted: u64,
    /// The number of bytes received since the last check of the disk.
    unseen: u64,
    is_kept: bool,
}

impl<'l> Capped<'l> {
    pub(super) fn new(landing: &'l mut AtomicFile, total: &'l Total) -> Self {
        Self { landing, total, counted: 0, unseen: LOOK_BYTES, is_kept: false }
    }

    /// Keeps the file, which has arrived, in the count.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl ByteSink for Capped<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let count = bytes.len() as u64;
        let most = self.total.caps.max_file_size;
        if let Some(most) = most.filter(|most| self.landing.bytes() + count > *most) {
            let message = format!("more bytes came than `max_file_size`, which is {most}");
            return Err(Error::new(ErrorKind::Guard, Origin::Here, message));
        }
        self.counted += count;
        self.total.count(count)?;
        if self.unseen >= LOOK_BYTES {
            self.total.look()?;
            self.unseen = 0;
        }
        self.unseen += count;
        self.landing.take(bytes)
    }

    fn restart(&mut self) -> Result<()> {
        self.total.take_back(self.counted);
        self.counted = 0;
        self.landing.restart()
    }
}

impl Drop for Capped<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.total.take_back(self.counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(max_total: Option<u64>, max_file_size: Option<u64>) -> Total {
        let caps = Quotas { max_total, max_file_size, min_free: None };
        Total { moved: AtomicU64::new(0), caps, folder: PathBuf::from("/") }
    }

    #[test]
    fn files_count_together_and_what_is_not_kept_is_taken_back() {
        let scratch = tempfile::tempdir().unwrap();
        let landing = |name: &str| AtomicFile::begin(scratch.path().join(name)).unwrap();
        let total = total(Some(10), None);
        let (mut first, mut second, mut third) = (landing("a"), landing("b"), landing("c"));
        let mut one = Capped::new(&mut first, &total);
        one.take(b"123456").unwrap();
        one.keep();
        let mut other = Capped::new(&mut second, &total);
        other.take(b"1234").unwrap();
        assert!(is_at_limit(&other.take(b"5").unwrap_err()));
        drop(other);
        let mut other = Capped::new(&mut third, &total);
        other.take(b"123").unwrap();
        other.restart().unwrap();
        other.take(b"1234").unwrap();
        assert!(other.take(b"5").is_err());
    }

    #[test]
    fn a_file_has_its_own_limit_and_numbers_never_wrap() {
        let scratch = tempfile::tempdir().unwrap();
        let mut landing = AtomicFile::begin(scratch.path().join("a")).unwrap();
        let total = total(Some(u64::MAX - 1), Some(3));
        let mut capped = Capped::new(&mut landing, &total);
        capped.take(b"123").unwrap();
        assert_eq!(capped.take(b"4").unwrap_err().kind, ErrorKind::Guard);
        drop(capped);
        total.count(u64::MAX - 1).unwrap();
        assert!(is_at_limit(&total.count(u64::MAX - 1).unwrap_err()));
    }

    #[test]
    fn a_disk_without_the_room_that_must_stay_ends_the_run() {
        let scratch = tempfile::tempdir().unwrap();
        let mut landing = AtomicFile::begin(scratch.path().join("a")).unwrap();
        let caps = Quotas { min_free: Some(u64::MAX), ..Quotas::default() };
        let folder = scratch.path().to_owned();
        let total = Total { moved: AtomicU64::new(0), caps, folder };
        assert!(is_at_limit(&Capped::new(&mut landing, &total).take(b"1").unwrap_err()));
    }
}
