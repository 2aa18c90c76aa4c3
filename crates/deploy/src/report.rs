//! The report of a deployment: its figures, as text and as JSON, and the exit code that follows.

use std::fmt;

use serde::Serialize;

use portolan_core::{
    error::{Error, ErrorKind},
    exit_code::Exit,
    observe::format_size,
};
use portolan_mirror::{PlanCounts, report::Report};

/// The results of a deployment. Its JSON has the names and the order of the fields.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DeployReport {
    /// True if nothing was done.
    pub dry_run: bool,
    /// The totals of the plan.
    pub planned: PlanCounts,
    /// The release that `rollback` would undo next; empty if none is kept.
    pub release: String,
    /// The results of the transfers.
    #[serde(flatten)]
    pub report: Report,
}

impl DeployReport {
    /// Returns the error of the whole deployment, if nothing has arrived and every failure is temporary.
    pub fn temporary_failure(&self) -> Option<&Error> {
        let Report { uploaded, deleted, failed, errors, .. } = &self.report;
        if *failed == 0 || *uploaded + *deleted > 0 {
            return None;
        }
        // A staged run adds what follows from the failures, which is none itself.
        let mut causes = errors.iter().filter(|fault| fault.kind != ErrorKind::Guard);
        let first = causes.next().filter(|fault| fault.is_retryable())?;
        causes.all(Error::is_retryable).then_some(first)
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self.temporary_failure() {
            Some(_) => Exit::Later,
            None if self.report.failed > 0 => Exit::InPart,
            None => Exit::Done,
        }
    }
}

const fn files(count: u64) -> &'static str {
    if count == 1 { "file" } else { "files" }
}

impl fmt::Display for DeployReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanCounts { transfers, bytes, deletes, unchanged, .. } = self.planned;
        if self.dry_run {
            let bytes = format_size(bytes);
            let noun = files(transfers);
            return write!(
                f,
                "{transfers} {noun} to send ({bytes}), {deletes} to delete, {unchanged} unchanged"
            );
        }
        let Report { uploaded, bytes, deleted, unchanged, failed, .. } = &self.report;
        let (noun, bytes) = (files(*uploaded), format_size(*bytes));
        write!(f, "{uploaded} {noun} sent ({bytes}), {deleted} deleted, {unchanged} unchanged")?;
        if *failed > 0 { write!(f, ", {failed} failed") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::error::Origin;

    #[test]
    fn a_failure_is_temporary_if_nothing_arrived_and_all_causes_are() {
        let fault = |kind| Error::new(kind, Origin::Server, "no");
        let report = |uploaded, errors: &[ErrorKind]| {
            let errors: Vec<_> = errors.iter().map(|kind| fault(*kind)).collect();
            let failed = errors.len() as u64;
            let report = Report { uploaded, failed, errors, ..Report::default() };
            DeployReport { report, ..DeployReport::default() }
        };
        let (busy, refused) = (ErrorKind::Busy, ErrorKind::Refused);
        assert_eq!(report(0, &[]).exit(), Exit::Done);
        assert_eq!(report(0, &[busy, busy]).exit(), Exit::Later);
        assert_eq!(report(0, &[busy, ErrorKind::Guard]).exit(), Exit::Later);
        assert_eq!(report(0, &[busy, refused]).exit(), Exit::InPart);
        assert_eq!(report(1, &[busy]).exit(), Exit::InPart);
    }

    #[test]
    fn a_dry_run_tells_totals_and_a_real_one_what_was_done() {
        let planned =
            PlanCounts { transfers: 72, bytes: 2048, deletes: 1, ..PlanCounts::default() };
        let mut report = DeployReport { dry_run: true, planned, ..DeployReport::default() };
        assert_eq!(report.to_string(), "72 files to send (2.0 KiB), 1 to delete, 0 unchanged");
        report.dry_run = false;
        report.report.uploaded = 1;
        assert_eq!(report.to_string(), "1 file sent (0 B), 0 deleted, 0 unchanged");
    }
}
