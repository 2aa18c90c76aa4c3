//! What a mirror or transfer gives back.

use rhai::{Array, Dynamic, ImmutableString, export_module};

use crate::mirror::report::Report as Value;

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reports of mirrors and transfers.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// What a mirror or a transfer did.
    pub type Report = Value;

    /// Files sent.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.put("a.txt", "/in/").uploaded);
    /// ```
    #[rhai_fn(get = "uploaded", pure)]
    pub fn uploaded(report: &mut Report) -> i64 {
        count(report.uploaded)
    }

    /// Files fetched.
    #[rhai_fn(get = "downloaded", pure)]
    pub fn downloaded(report: &mut Report) -> i64 {
        count(report.downloaded)
    }

    /// Files and folders removed.
    #[rhai_fn(get = "deleted", pure)]
    pub fn deleted(report: &mut Report) -> i64 {
        count(report.deleted)
    }

    /// Files left alone because an option or a safety rule says so.
    #[rhai_fn(get = "skipped", pure)]
    pub fn skipped(report: &mut Report) -> i64 {
        count(report.skipped)
    }

    /// Files that were the same on both sides.
    #[rhai_fn(get = "unchanged", pure)]
    pub fn unchanged(report: &mut Report) -> i64 {
        count(report.unchanged)
    }

    /// Files that failed.
    #[rhai_fn(get = "failed", pure)]
    pub fn failed(report: &mut Report) -> i64 {
        count(report.failed)
    }

    /// Bytes that moved.
    #[rhai_fn(get = "bytes", pure)]
    pub fn bytes(report: &mut Report) -> i64 {
        count(report.bytes)
    }

    /// How many seconds it took.
    #[rhai_fn(get = "seconds", pure)]
    pub fn seconds(report: &mut Report) -> f64 {
        report.seconds
    }

    /// Transfers whose size was seen to agree at the other end.
    #[rhai_fn(get = "verified", pure)]
    pub fn verified(report: &mut Report) -> i64 {
        count(report.verified)
    }

    /// Transfers whose size the other end did not tell.
    #[rhai_fn(get = "unverified", pure)]
    pub fn unverified(report: &mut Report) -> i64 {
        count(report.unverified)
    }

    /// Files that went under their final names at once (`inplace`), and were half files there for a while.
    #[rhai_fn(get = "in_place", pure)]
    pub fn in_place(report: &mut Report) -> i64 {
        count(report.in_place)
    }

    /// What failed, and why: an array of faults.
    #[rhai_fn(get = "errors", pure)]
    pub fn errors(report: &mut Report) -> Array {
        report.errors.iter().cloned().map(Dynamic::from).collect()
    }

    /// Of a staged mirror, the paths of the files that were given their names.
    #[rhai_fn(get = "placed", pure)]
    pub fn placed(report: &mut Report) -> Array {
        report.placed.iter().map(|path| Dynamic::from(path.clone())).collect()
    }

    /// What was planned: an array of lines.
    #[rhai_fn(get = "plan", pure)]
    pub fn plan(report: &mut Report) -> Array {
        report.plan.iter().cloned().map(Dynamic::from).collect()
    }

    /// What has changed in the target since the last run: an array of lines.
    #[rhai_fn(get = "drift", pure)]
    pub fn drift(report: &mut Report) -> Array {
        report.drift.iter().cloned().map(Dynamic::from).collect()
    }

    /// The way that carried the data: "epsv", "pasv", "eprt" or "port".
    #[rhai_fn(get = "route", pure)]
    pub fn route(report: &mut Report) -> ImmutableString {
        report.route.as_str().into()
    }

    /// The numbers in one line.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(report: &mut Report) -> ImmutableString {
        report.to_string().into()
    }
}
