//! The report of a mirror or a transfer in numbers, as shown by scripts, `--json` and the last line of a run.

use std::fmt;

use crate::{
    error::Error,
    observe::json::{fault_value, line},
    remote::transfer::TransferStats,
};

/// The results of a mirror or a transfer.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The number of files uploaded.
    pub uploaded: u64,
    /// The number of files downloaded.
    pub downloaded: u64,
    /// The number of files and directories deleted.
    pub deleted: u64,
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
    pub errors: Vec<Error>,
    /// For a staged mirror: the files that got their final names.
    pub placed: Vec<String>,
    /// The planned steps, one per line.
    pub plan: Vec<String>,
    /// The changes of the target since the last run, one per line.
    pub drift: Vec<String>,
    /// The data-connection method that was used: `epsv`, `pasv`, `eprt` or `port`.
    pub route: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uploaded, downloaded, deleted, unchanged, failed, in_place, .. } = self;
        write!(
            f,
            "{uploaded} up, {downloaded} down, {deleted} deleted, {unchanged} unchanged, {failed} failed"
        )?;
        if *in_place > 0 {
            write!(f, ", {in_place} under the final name at once")?;
        }
        Ok(())
    }
}

impl Report {
    /// Returns the whole report as one line of JSON.
    pub fn json(&self) -> String {
        String::from_utf8_lossy(&line(&self.value())).into_owned()
    }

    /// Returns the whole report as a JSON value.
    pub fn value(&self) -> serde_json::Value {
        let errors: Vec<_> = self.errors.iter().map(fault_value).collect();
        serde_json::json!({
            "uploaded": self.uploaded,
            "downloaded": self.downloaded,
            "deleted": self.deleted,
            "skipped": self.skipped,
            "unchanged": self.unchanged,
            "failed": self.failed,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "verified": self.verified,
            "unverified": self.unverified,
            "in_place": self.in_place,
            "errors": errors,
            "placed": self.placed,
            "plan": self.plan,
            "drift": self.drift,
            "route": self.route,
        })
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, fault: Error) {
        self.failed += 1;
        self.errors.push(fault);
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
