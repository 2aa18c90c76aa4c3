//! The report of a mirror or a transfer in numbers, as shown by scripts, `--json` and the last line of a run.

use std::fmt;

use serde::{Serialize, Serializer};

use portolan_core::{
    error::Error,
    observe::{format_size, json::fault_value},
};
use portolan_remote::transfer::TransferStats;

/// The results of a mirror or a transfer. Its JSON has the names and the order of the fields.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The number of files uploaded.
    pub uploaded: u64,
    /// The number of files downloaded.
    pub downloaded: u64,
    /// The number of files and directories deleted.
    pub deleted: u64,
    /// The number of files removed from the source after their copies were verified.
    pub moved: u64,
    /// The number of files left alone because of an option or a safety rule.
    pub skipped: u64,
    /// The number of files that were the same on both sides.
    pub unchanged: u64,
    /// The number of files that failed.
    pub failed: u64,
    /// The number of bytes transferred.
    pub bytes: u64,
    /// The duration in seconds.
    pub seconds: f64,
    /// The number of transfers whose size was verified at the other end.
    pub verified: u64,
    /// The number of transfers whose size could not be verified.
    pub unverified: u64,
    /// The number of files uploaded directly under their final names, and incomplete there for a while.
    pub in_place: u64,
    /// The failures.
    #[serde(serialize_with = "failures")]
    pub errors: Vec<Error>,
    /// For a staged mirror: the files that got their final names.
    pub placed: Vec<String>,
    /// The planned steps, one per line.
    pub plan: Vec<String>,
    /// The changes of the target since the last run, one per line.
    pub drift: Vec<String>,
    /// The data-connection method that was used: `epsv`, `pasv`, `eprt` or `port`.
    pub route: String,
    /// The totals of the plan, if the run was a dry run.
    #[serde(skip)]
    pub planned: Option<PlannedTotals>,
}

/// The totals of a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlannedTotals {
    /// True for uploads.
    pub is_up: bool,
    /// The number of files to transfer.
    pub transfers: u64,
    /// The number of bytes in them, as far as sizes are known.
    pub bytes: u64,
    /// The number of files and directories to delete.
    pub deletes: u64,
    /// The number of files to remove from the source.
    pub moves: u64,
}

impl fmt::Display for PlannedTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_up, transfers, bytes, deletes, moves } = *self;
        let way = if is_up { "up" } else { "down" };
        let noun = if transfers == 1 { "file" } else { "files" };
        write!(
            f,
            "would transfer {transfers} {noun} ({}) {way}, delete {deletes}",
            format_size(bytes)
        )?;
        match moves {
            0 => Ok(()),
            moves => write!(f, ", remove {moves} from the source"),
        }
    }
}

fn failures<S: Serializer>(errors: &[Error], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(errors.iter().map(fault_value))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uploaded, downloaded, deleted, unchanged, failed, in_place, moved, .. } = self;
        if let Some(planned) = &self.planned {
            return write!(f, "{planned}; {unchanged} unchanged, {failed} failed");
        }
        write!(
            f,
            "{uploaded} up, {downloaded} down, {deleted} deleted, {unchanged} unchanged, {failed} failed"
        )?;
        if *moved > 0 {
            write!(f, ", {moved} removed from the source")?;
        }
        if *in_place > 0 {
            write!(f, ", {in_place} under the final name at once")?;
        }
        Ok(())
    }
}

impl Report {
    /// Counts a failure.
    pub(super) fn fail(&mut self, fault: Error) {
        self.failed += 1;
        self.errors.push(fault);
    }

    /// Adds the figures and errors of another report.
    pub fn merge(&mut self, other: Self) {
        self.uploaded += other.uploaded;
        self.downloaded += other.downloaded;
        self.deleted += other.deleted;
        self.moved += other.moved;
        self.skipped += other.skipped;
        self.unchanged += other.unchanged;
        self.failed += other.failed;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.seconds += other.seconds;
        self.verified += other.verified;
        self.unverified += other.unverified;
        self.in_place += other.in_place;
        self.errors.extend(other.errors);
        self.placed.extend(other.placed);
        self.drift.extend(other.drift);
    }

    /// Counts a failure of one of several transfers.
    pub fn add_failure(&mut self, fault: Error) {
        self.fail(fault);
    }

    /// Counts a transfer that arrived.
    pub fn add(&mut self, moved: TransferStats) {
        self.bytes = self.bytes.saturating_add(moved.bytes);
        self.seconds += moved.took.as_secs_f64();
        self.in_place += u64::from(moved.in_place);
        if moved.verified {
            self.verified += 1;
        } else {
            self.unverified += 1;
        }
    }
}
