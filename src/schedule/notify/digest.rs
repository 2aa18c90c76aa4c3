//! The digest of a day: its time, and its figures. Pure.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use serde_json::{Value, json};

use crate::{
    observe::counted,
    schedule::jobs::Digest,
    store::history::{HistoryRun, RunState},
};

/// The maximum number of failures that a digest names.
const FAILURES_MAX: usize = 50;

/// The maximum number of jobs that a digest names.
const JOBS_MAX: usize = 200;

/// The maximum number of characters of an error in a digest.
const ERROR_CHARS_MAX: usize = 300;

/// Returns the last time of a digest up to `now`.
pub fn last_time(digest: &Digest, now: Timestamp) -> Option<Timestamp> {
    let rules = &digest.zone.rules;
    let at =
        |date: Date| rules.to_ambiguous_timestamp(date.to_datetime(digest.at)).compatible().ok();
    let today = now.to_zoned(rules.clone()).date();
    at(today).filter(|at| *at <= now).or_else(|| at(today.yesterday().ok()?))
}

/// The figures of a job.
#[derive(Debug, Default)]
struct JobFigures {
    done: u64,
    failed: u64,
    skipped: u64,
    /// The outcome of the newest run.
    last: &'static str,
}

/// Returns the facts of a digest of runs, the newest first; `late` are jobs that have not succeeded by their time.
pub fn digest_facts(runs: &[HistoryRun], late: &[String], since: &str) -> Value {
    let mut jobs: BTreeMap<&str, JobFigures> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut all = JobFigures::default();
    for run in runs {
        let figures = jobs.entry(&run.job).or_default();
        for figures in [&mut all, figures] {
            match run.state {
                RunState::Done => figures.done += 1,
                RunState::Failed | RunState::Partial => figures.failed += 1,
                RunState::Skipped => {
                    figures.skipped += u64::try_from(run.covers).unwrap_or(1).max(1);
                }
                _ => {}
            }
            if figures.last.is_empty() {
                figures.last = run.state.as_str();
            }
        }
        if matches!(run.state, RunState::Failed | RunState::Partial) {
            failures.push(run);
        }
    }
    let JobFigures { done, failed, skipped, .. } = all;
    let were = if skipped == 1 { "was" } else { "were" };
    let (runs, slots) = (counted(done, "run"), counted(skipped, "slot"));
    let summary = format!("{runs} succeeded, {failed} failed, {slots} {were} skipped");
    let mut lines = vec![format!("Since {since}: {summary}."), String::new()];
    if !late.is_empty() {
        lines.extend([format!("Late: {}.", late.join(", ")), String::new()]);
    }
    if !failures.is_empty() {
        lines.push("Failed:".into());
        lines.extend(failures.iter().take(FAILURES_MAX).map(|run| failure(run)));
        let more = failures.len().saturating_sub(FAILURES_MAX);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
        lines.push(String::new());
    }
    for (job, figures) in jobs.iter().take(JOBS_MAX) {
        let JobFigures { done, failed, skipped, last } = figures;
        lines.push(format!(
            "{job}: {done} succeeded, {failed} failed, {skipped} skipped; the last: {last}"
        ));
    }
    let more = jobs.len().saturating_sub(JOBS_MAX);
    lines.extend(
        (more > 0).then(|| format!("and {more} more {}", if more == 1 { "job" } else { "jobs" })),
    );
    json!({
        "event": "digest",
        "text": format!("portolan: {summary}"),
        "summary": summary,
        "lines": lines.join("\n").trim_end(),
        "succeeded": done,
        "failed": failed,
        "skipped": skipped,
        "late": late,
        "since": since,
    })
}

fn failure(run: &HistoryRun) -> String {
    let error = run.sum.error.as_deref().unwrap_or("no error is known");
    let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
    format!("  {}, run {}: {}", run.job, run.id, error.replace(char::is_control, " "))
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;
    use crate::{
        schedule::{jobs::Tell, notify::tests::run, zone::Zones},
        store::history::Sum,
    };

    #[test]
    fn a_digest_is_due_once_a_day_at_its_time() {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        let digest = Digest { tell: Tell::default(), at: time(2, 30, 0, 0), zone };
        for (now, wanted) in [
            ("2026-06-10T00:29:59Z", "2026-06-09T00:30:00Z"),
            ("2026-06-10T00:30:00Z", "2026-06-10T00:30:00Z"),
            ("2026-06-10T23:00:00Z", "2026-06-10T00:30:00Z"),
            // The clock is put forward at 2:00: 2:30 is 3:30.
            ("2026-03-29T01:29:00Z", "2026-03-28T01:30:00Z"),
            ("2026-03-29T01:30:00Z", "2026-03-29T01:30:00Z"),
        ] {
            let found = last_time(&digest, now.parse().unwrap()).unwrap();
            assert_eq!(found.to_string(), wanted, "{now}");
        }
    }

    #[test]
    fn a_digest_has_the_figures_of_each_job_and_what_failed() {
        let failed = HistoryRun {
            sum: Sum { error: Some("530 no\n".into()), ..Sum::default() },
            ..run(RunState::Failed)
        };
        let other = HistoryRun { job: "b".into(), covers: 3, ..run(RunState::Skipped) };
        let runs = [failed, run(RunState::Done), other];
        let facts = digest_facts(&runs, &["c".into()], "Monday");
        assert_eq!(facts["summary"], "1 run succeeded, 1 failed, 3 slots were skipped");
        assert_eq!(
            facts["lines"],
            "Since Monday: 1 run succeeded, 1 failed, 3 slots were skipped.\n\nLate: c.\n\nFailed:\n  a, run 7: 530 no \n\n\
             a: 1 succeeded, 1 failed, 0 skipped; the last: failed\nb: 0 succeeded, 0 failed, 3 skipped; the last: skipped"
        );
    }
}
