//! What a mirror or a transfer did, in numbers: what scripts, `--json` and the last line of a run show.

use std::fmt;

use crate::{
    fault::Fault,
    ftp::transfer::Moved,
    observe::json::{fault_value, line},
};

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Files sent.
    pub uploaded: u64,
    /// Files fetched.
    pub downloaded: u64,
    /// Files and folders removed.
    pub deleted: u64,
    /// Files left alone because an option or a safety rule says so.
    pub skipped: u64,
    /// Files that were the same on both sides.
    pub unchanged: u64,
    /// Files that failed.
    pub failed: u64,
    /// Bytes that moved.
    pub bytes: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Transfers whose size was seen to agree at the other end.
    pub verified: u64,
    /// Transfers of which that could not be seen.
    pub unverified: u64,
    /// Files that went under their final names at once, and were half files there for a while.
    pub in_place: u64,
    /// What failed, and why.
    pub errors: Vec<Fault>,
    /// For a staged mirror: the files that were given their names.
    pub placed: Vec<String>,
    /// What was planned, a line a step.
    pub plan: Vec<String>,
    /// What has changed in the target since the last run, a line each.
    pub drift: Vec<String>,
    /// The way that carried the data: `epsv`, `pasv`, `eprt` or `port`.
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
    /// The whole report as one line of JSON.
    pub fn json(&self) -> String {
        String::from_utf8_lossy(&line(&self.value())).into_owned()
    }

    /// The whole report as other programs read it.
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

    /// Counts something that failed.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.failed += 1;
        self.errors.push(fault);
    }

    /// Counts one transfer that arrived.
    pub fn add(&mut self, moved: Moved) {
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
