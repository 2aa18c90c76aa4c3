//! Messages at the end of a run: each failure with its reason, and the steps that were done and not done.

use super::{
    execution::Execution,
    plan::{Drift, MirrorPlan},
    report::Report,
};
use portolan_core::observe::{MessageLevel, visible::visible};

/// The maximum number of untried files that a message names: the report has all of them.
const UNTRIED_NAMED_MAX: usize = 5;

impl Execution<'_, '_> {
    /// Returns the report, and logs the files that were not tried and the outcome of changes in the target.
    pub(super) fn end(self, plan: &MirrorPlan) -> Report {
        let Self { mut report, drift, untried, observer, .. } = self;
        for files in untried.chunk_by(|(_, one), (_, two)| one.to_string() == two.to_string()) {
            let Some((_, fault)) = files.first() else { continue };
            let named = files.iter().take(UNTRIED_NAMED_MAX).map(|(path, _)| visible(path));
            let named = named.collect::<Vec<_>>().join(", ");
            let more = if files.len() > UNTRIED_NAMED_MAX { ", …" } else { "" };
            let (count, were) =
                (files.len(), if files.len() == 1 { "file was" } else { "files were" });
            let text =
                format!("{count} {were} not tried ({named}{more}), since this failed: {fault}");
            observer.message(MessageLevel::Error, text);
        }
        let ended = |one: &Drift| one.ended(drift.get(&*one.path).is_some_and(|is_done| *is_done));
        for one in plan.drift.iter().filter(|one| !one.kept) {
            observer.message(MessageLevel::Warn, ended(one));
        }
        report.drift = plan.drift.iter().map(ended).collect();
        report
    }
}
