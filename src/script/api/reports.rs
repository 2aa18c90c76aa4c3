//! The result of a mirror or transfer.

use rhai::{Array, Dynamic, ImmutableString, export_module};

use crate::mirror::report::Report as Value;

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reports of mirrors and transfers.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// The report of a mirror or a transfer.
    pub type Report = Value;

    /// The number of files uploaded.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// print(site.put("a.txt", "/in/").uploaded);
    /// ```
    #[rhai_fn(get = "uploaded", pure)]
    pub fn uploaded(report: &mut Report) -> i64 {
        count(report.uploaded)
    }

    /// The number of files downloaded.
    #[rhai_fn(get = "downloaded", pure)]
    pub fn downloaded(report: &mut Report) -> i64 {
        count(report.downloaded)
    }

    /// The number of files and folders deleted.
    #[rhai_fn(get = "deleted", pure)]
    pub fn deleted(report: &mut Report) -> i64 {
        count(report.deleted)
    }

    /// The number of files skipped because of an option or a safety rule.
    #[rhai_fn(get = "skipped", pure)]
    pub fn skipped(report: &mut Report) -> i64 {
        count(report.skipped)
    }

    /// The number of files that were the same on both sides.
    #[rhai_fn(get = "unchanged", pure)]
    pub fn unchanged(report: &mut Report) -> i64 {
        count(report.unchanged)
    }

    /// The number of files that failed.
    #[rhai_fn(get = "failed", pure)]
    pub fn failed(report: &mut Report) -> i64 {
        count(report.failed)
    }

    /// The number of bytes transferred.
    #[rhai_fn(get = "bytes", pure)]
    pub fn bytes(report: &mut Report) -> i64 {
        count(report.bytes)
    }

    /// The duration in seconds.
    #[rhai_fn(get = "seconds", pure)]
    pub fn seconds(report: &mut Report) -> f64 {
        report.seconds
    }

    /// The number of transfers whose size was confirmed by the other side.
    #[rhai_fn(get = "verified", pure)]
    pub fn verified(report: &mut Report) -> i64 {
        count(report.verified)
    }

    /// The number of transfers whose size the other side did not report.
    #[rhai_fn(get = "unverified", pure)]
    pub fn unverified(report: &mut Report) -> i64 {
        count(report.unverified)
    }

    /// The number of files written directly under their final names (`inplace`), which were incomplete for a while.
    #[rhai_fn(get = "in_place", pure)]
    pub fn in_place(report: &mut Report) -> i64 {
        count(report.in_place)
    }

    /// The errors, as an array of faults.
    #[rhai_fn(get = "errors", pure)]
    pub fn errors(report: &mut Report) -> Array {
        report.errors.iter().cloned().map(Dynamic::from).collect()
    }

    /// The paths of the files that a staged mirror has renamed to their final names.
    #[rhai_fn(get = "placed", pure)]
    pub fn placed(report: &mut Report) -> Array {
        report.placed.iter().map(|path| Dynamic::from(path.clone())).collect()
    }

    /// The plan, as an array of lines.
    #[rhai_fn(get = "plan", pure)]
    pub fn plan(report: &mut Report) -> Array {
        report.plan.iter().cloned().map(Dynamic::from).collect()
    }

    /// The changes in the target since the last run, as an array of lines.
    #[rhai_fn(get = "drift", pure)]
    pub fn drift(report: &mut Report) -> Array {
        report.drift.iter().cloned().map(Dynamic::from).collect()
    }

    /// The command by which the data connections were opened: "epsv", "pasv", "eprt" or "port".
    #[rhai_fn(get = "route", pure)]
    pub fn route(report: &mut Report) -> ImmutableString {
        report.route.as_str().into()
    }

    /// Returns the numbers in one line.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(report: &mut Report) -> ImmutableString {
        report.to_string().into()
    }
}
