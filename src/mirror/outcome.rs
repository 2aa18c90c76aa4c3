//! Words about a run when it is over: each failure with its reason, and what was done and was not.

use super::{plan::Plan, report::Report, run::Run, three::Drift};
use crate::{
    fault::Fault,
    observe::{Level, Observer, visible::visible},
};

/// Files that were not tried and that the words about them name: the report has all of them.
const UNTRIED_NAMED_MAX: usize = 5;

impl Run<'_, '_> {
    /// The report of what was done, and of what was not: that is said in words here.
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

    /// Counts something that failed, and says so.
    pub(super) fn fail_with(&mut self, fault: Fault) {
        tell(&self.observer, &fault);
        self.report.fail(fault);
    }
}

/// Says why something failed, unless that has been said.
pub(super) fn tell(observer: &Observer, fault: &Fault) {
    if !fault.is_told {
        observer.say(Level::Error, fault.to_string());
    }
}
