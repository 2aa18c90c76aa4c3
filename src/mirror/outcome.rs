//! Messages at the end of a run: each failure with its reason, and the steps that were done and not done.

use super::{plan::Plan, report::Report, run::Run, three::Drift};
use crate::{
    fault::Fault,
    observe::{Level, Observer, visible::visible},
};

/// The maximum number of untried files that a message names: the report has all of them.
const UNTRIED_NAMED_MAX: usize = 5;

impl Run<'_, '_> {
    /// Returns the report, and logs the files that were not tried and the outcome of changes in the target.
    pub(super) fn end(self, plan: &Plan) -> Report {
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
            observer.say(Level::Error, text);
        }
        let ended = |one: &Drift| one.ended(drift.get(&*one.path).is_some_and(|is_done| *is_done));
        for one in plan.drift.iter().filter(|one| !one.kept) {
            observer.say(Level::Warn, ended(one));
        }
        report.drift = plan.drift.iter().map(ended).collect();
        report
    }

    /// Counts a failure, and logs it.
    pub(super) fn fail_with(&mut self, fault: Fault) {
        tell(&self.observer, &fault);
        self.report.fail(fault);
    }
}

/// Logs the reason of a failure, unless that was done before.
pub(super) fn tell(observer: &Observer, fault: &Fault) {
    if !fault.is_told {
        observer.say(Level::Error, fault.to_string());
    }
}
