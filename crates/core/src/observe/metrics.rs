//! Metrics in the text format of Prometheus. The only labels are the job and the outcome: commands, paths and hosts are
//! unbounded in number, and some must not be visible.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The counters since the scheduler started, and its current state. Not `Clone`: one instance is shared.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    jobs: BTreeMap<String, JobMetrics>,
    /// The length of the last text, for the next one: that of many jobs has megabytes.
    length: usize,
    runs: BTreeMap<(String, &'static str), u64>,
    reloads: u64,
    reloads_refused: u64,
    notices_given_up: u64,
    /// The time of the last turn of the scheduler's loop.
    turned: Option<Instant>,
}

#[derive(Debug, Default)]
struct JobMetrics {
    running: u64,
    is_paused: bool,
    files: u64,
    bytes: u64,
    seconds: f64,
    fallbacks: u64,
    retries: u64,
    last_end: Option<Timestamp>,
    last_success: Option<Timestamp>,
    next: Option<Timestamp>,
}

/// The contribution of a finished run.
#[derive(Debug, Clone, Copy)]
pub struct EndedRun<'e> {
    /// The job.
    pub job: &'e str,
    /// The outcome.
    pub outcome: &'static str,
    /// True if everything was done.
    pub is_success: bool,
    /// The time of its end.
    pub at: Timestamp,
    /// The duration, with all attempts.
    pub took: Duration,
    /// The number of files transferred.
    pub files: u64,
    /// The number of bytes in these files.
    pub bytes: u64,
    /// The number of fallbacks.
    pub fallbacks: u64,
}

impl Metrics {
    fn with(&self, change: impl FnOnce(&mut All)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes the counters of a job; those of one that was removed do not come back.
    fn with_job(&self, job: &str, change: impl FnOnce(&mut JobMetrics)) {
        self.with(|all| {
            if let Some(job) = all.jobs.get_mut(job) {
                change(job);
            }
        });
    }

    /// Notes that the loop of the scheduler turns.
    pub fn turned(&self, now: Instant) {
        self.with(|all| all.turned = Some(now));
    }

    /// Returns the time since the last turn of the scheduler's loop; `None` before the first one.
    pub fn since_turn(&self, now: Instant) -> Option<Duration> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.turned.map(|turned| now.saturating_duration_since(turned))
    }

    /// Sets the list of jobs; the counters of all others are dropped.
    pub fn jobs<'n>(&self, names: impl IntoIterator<Item = &'n str>) {
        self.with(|all| {
            let mut before = std::mem::take(&mut all.jobs);
            all.jobs = names
                .into_iter()
                .map(|name| (name.to_owned(), before.remove(name).unwrap_or_default()))
                .collect();
            let jobs = &all.jobs;
            all.runs.retain(|(job, _), _| jobs.contains_key(job));
        });
    }

    /// Sets the number of running runs of a job.
    pub fn running(&self, job: &str, runs: u64) {
        self.with_job(job, |job| job.running = runs);
    }

    /// Sets the paused state of a job and the time of its next slot.
    pub fn state(&self, job: &str, is_paused: bool, next: Option<Timestamp>) {
        self.with_job(job, |job| (job.is_paused, job.next) = (is_paused, next));
    }

    /// Counts a failed attempt that will be retried.
    pub fn retried(&self, job: &str) {
        self.with_job(job, |job| job.retries += 1);
    }

    /// Adds a run that has ended.
    pub fn ended(&self, ended: &EndedRun<'_>) {
        self.count(ended.job, ended.outcome);
        self.with_job(ended.job, |job| {
            job.files += ended.files;
            job.bytes += ended.bytes;
            job.fallbacks += ended.fallbacks;
            job.seconds += ended.took.as_secs_f64();
            job.last_end = Some(ended.at);
            if ended.is_success {
                job.last_success = Some(ended.at);
            }
        });
    }

    /// Counts one more slot with this `outcome`.
    pub fn count(&self, job: &str, outcome: &'static str) {
        self.with(|all| {
            if all.jobs.contains_key(job) {
                *all.runs.entry((job.to_owned(), outcome)).or_default() += 1;
            }
        });
    }

    /// Counts a reload of the jobs file, accepted or refused.
    pub fn reloaded(&self, is_taken: bool) {
        self.with(|all| {
            let count = if is_taken { &mut all.reloads } else { &mut all.reloads_refused };
            *count += 1;
        });
    }

    /// Counts a notice that could not be delivered.
    pub fn gave_up_notice(&self) {
        self.with(|all| all.notices_given_up += 1);
    }

    /// Returns all metrics in the text format of Prometheus (version 0.0.4).
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.with(|all| {
            text.reserve(all.length);
            all.write(&mut text);
            // A little more than it was: counters grow.
            all.length = text.len() + text.len() / 16;
        });
        text
    }
}

/// A metric per job: its name, type, help text, and its value if it has one.
type OfJob = (&'static str, &'static str, &'static str, fn(&JobMetrics) -> Option<f64>);

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
const OF_JOB: [OfJob; 10] = [
    ("running", "gauge", "Runs that go on.", |job| Some(job.running as f64)),
    ("paused", "gauge", "1 while the job is paused.", |job| Some(f64::from(job.is_paused))),
    ("files_total", "counter", "Files that arrived.", |job| Some(job.files as f64)),
    ("bytes_total", "counter", "Bytes of the files that arrived.", |job| Some(job.bytes as f64)),
    ("run_seconds_total", "counter", "Time that runs took.", |job| Some(job.seconds)),
    ("retries_total", "counter", "Attempts after the first.", |job| Some(job.retries as f64)),
    ("fallbacks_total", "counter", "Times that data went another way.", |job| {
        Some(job.fallbacks as f64)
    }),
    ("last_end_timestamp_seconds", "gauge", "When a run last ended.", |job| seconds(job.last_end)),
    ("last_success_timestamp_seconds", "gauge", "When a run last succeeded.", |job| {
        seconds(job.last_success)
    }),
    ("next_slot_timestamp_seconds", "gauge", "When the next slot is.", |job| seconds(job.next)),
];

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit")]
fn seconds(at: Option<Timestamp>) -> Option<f64> {
    at.map(|at| at.as_millisecond() as f64 / 1000.0)
}

impl All {
    fn write(&self, text: &mut String) {
        head(text, "build_info", "gauge", "1, with the version as its label.");
        let version = env!("CARGO_PKG_VERSION");
        put(text, format_args!("portolan_build_info{{version=\"{version}\"}} 1"));
        head(text, "jobs", "gauge", "Jobs of the jobs file.");
        put(text, format_args!("portolan_jobs {}", self.jobs.len()));
        head(text, "runs_total", "counter", "Slots and runs, by what became of them.");
        for ((job, outcome), count) in &self.runs {
            let job = label(job);
            put(
                text,
                format_args!("portolan_runs_total{{job=\"{job}\",outcome=\"{outcome}\"}} {count}"),
            );
        }
        let labels: Vec<_> = self.jobs.iter().map(|(job, counts)| (label(job), counts)).collect();
        for (name, kind, help, value) in OF_JOB {
            head(text, name, kind, help);
            let begin = format!("portolan_{name}{{job=\"");
            for (job, counts) in &labels {
                if let Some(value) = value(counts) {
                    text.push_str(&begin);
                    text.push_str(job);
                    text.push_str("\"} ");
                    put_number(text, value);
                }
            }
        }
        for (name, help, count) in [
            ("reloads_total", "Times that the jobs file was taken.", self.reloads),
            (
                "reloads_refused_total",
                "Times that it was refused, and the old one went on.",
                self.reloads_refused,
            ),
            (
                "notices_given_up_total",
                "Notices that could not be delivered.",
                self.notices_given_up,
            ),
        ] {
            head(text, name, "counter", help);
            put(text, format_args!("portolan_{name} {count}"));
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    put(text, format_args!("# HELP portolan_{name} {help}"));
    put(text, format_args!("# TYPE portolan_{name} {kind}"));
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").ok();
}

/// Writes a number and ends its line. Most are small whole ones, which need none of the care of floating point.
fn put_number(text: &mut String, value: f64) {
    if value == 0.0 {
        text.push_str("0\n");
    } else if value.fract() == 0.0 && (0.0..WHOLE_MAX).contains(&value) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
        let whole = value as u64;
        put(text, format_args!("{whole}"));
    } else {
        put(text, format_args!("{value}"));
    }
}

/// The number up to which all whole ones have a floating-point form.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Escapes the value of a label.
fn label(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_floating_point_has_them() {
        for value in [0.0, 1.0, 1.5, 1e15, 9e15, 1e16, 1.234e21, -1.0, -0.5, 1_780_282_800.123] {
            let mut text = String::new();
            put_number(&mut text, value);
            assert_eq!(text, format!("{value}\n"));
        }
    }

    #[test]
    fn each_metric_has_its_help_its_kind_and_a_line_for_each_job() {
        let metrics = Metrics::default();
        metrics.jobs(["a", "b\"c"]);
        let ended = EndedRun {
            job: "a",
            outcome: "done",
            is_success: true,
            at: Timestamp::from_second(100).unwrap(),
            took: Duration::from_millis(1500),
            files: 2,
            bytes: 17,
            fallbacks: 1,
        };
        metrics.ended(&ended);
        metrics.ended(&ended);
        metrics.count("a", "skipped");
        metrics.running("b\"c", 1);
        metrics.reloaded(false);
        let text = metrics.text();
        for line in [
            "# TYPE portolan_runs_total counter",
            "portolan_runs_total{job=\"a\",outcome=\"done\"} 2",
            "portolan_runs_total{job=\"a\",outcome=\"skipped\"} 1",
            "portolan_bytes_total{job=\"a\"} 34",
            "portolan_run_seconds_total{job=\"a\"} 3",
            "portolan_last_success_timestamp_seconds{job=\"a\"} 100",
            "portolan_running{job=\"b\\\"c\"} 1",
            "portolan_reloads_refused_total 1",
            "portolan_jobs 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        metrics.jobs(["b\"c"]);
        assert!(!metrics.text().contains("job=\"a\""));
        // Its last run ends after it was removed.
        metrics.retried("a");
        metrics.ended(&ended);
        metrics.running("a", 0);
        assert!(!metrics.text().contains("job=\"a\""), "{}", metrics.text());
        assert!(metrics.text().contains("portolan_jobs 1\n"), "{}", metrics.text());
    }
}
