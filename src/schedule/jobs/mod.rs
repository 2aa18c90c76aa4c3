//! Jobs as the jobs file defines them.
//!
//! The keys of the file are documented at the fields here; `docs/cron.md` and the README show them in use.

mod circles;
mod glance;
mod job;
mod read;
mod table;
mod tell;
#[cfg(test)]
mod tests;
mod when;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;

pub use self::glance::{Glance, glance};
pub use self::read::{JobsReading, parse, read};
use super::cron::Schedule;
use crate::ftp::secret::Secret;

/// A complete jobs file without errors.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// The path of the file.
    pub file: PathBuf,
    /// The settings for all jobs together.
    pub runner: Runner,
    /// The jobs, in the order of the file; their names are unique.
    pub all: Vec<Arc<Job>>,
}

impl Jobs {
    /// Returns the job of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Job>> {
        self.all.iter().find(|job| *job.name == *name)
    }
}

/// The table `[runner]`.
#[derive(Debug, Clone)]
pub struct Runner {
    /// `state`: the folder of the database and of the runs' logs; relative to the jobs file's folder. `--state` takes
    /// precedence.
    pub state: Option<PathBuf>,
    /// `max_running`: the maximum number of concurrent runs, of all jobs; 4 by default.
    pub max_running: u32,
    /// `metrics`: the address for Prometheus metrics, such as `127.0.0.1:9464`. `--metrics` takes precedence.
    pub metrics: Option<SocketAddr>,
    /// `retention`: the limits of history.
    pub retention: Retention,
    /// `locks`: the number of runs that may hold a lock at a time, if more than one: `{ "host:ftp.example.com" = 2 }`.
    pub locks: BTreeMap<String, u32>,
}

/// `retention = { runs = 1000, age = "90d", log = "10MiB" }`: history beyond these limits is removed, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// `runs`: the rows of history per job.
    pub runs: u32,
    /// `age`: the time for which rows and logs are kept.
    pub age: Duration,
    /// `log`: the maximum bytes of one run's log.
    pub log_bytes: u64,
}

/// A `[[job]]`.
#[derive(Debug, Clone)]
pub struct Job {
    /// `name`: unique in the file, at most 52 characters, all of which are safe in file names.
    pub name: Arc<str>,
    /// `script`: the path of the script; relative to the jobs file's folder.
    pub script: PathBuf,
    /// `cron` and `timezone`; a job without `cron` runs after other jobs, or when it is triggered.
    pub schedule: Option<Schedule>,
    /// `args`: the value of `args` in the script: the table `[job.args]`, or an array. `null` by default.
    pub args: Value,
    /// `connect`: the table `[job.connect]`, which takes precedence over the options that the script passes to
    /// `ftp::connect`.
    pub connect: Connect,
    /// `allow`: the permissions of the script besides moving files.
    pub allow: Vec<Allowed>,
    /// The rules for retries.
    pub retry: Retry,
    /// The time limits of a run.
    pub timeouts: Timeouts,
    /// `overlap`: the rule for a slot that comes while the job runs; `skip` by default.
    pub overlap: Overlap,
    /// The rules for missed slots.
    pub catch_up: CatchUp,
    /// `jitter`: each slot starts up to this much later, by an amount that is always the same for the slot.
    pub jitter: Duration,
    /// `locks`: names of locks, each held by one run at a time, of any job: `host:ftp.example.com`, `disk`.
    pub locks: Vec<String>,
    /// `after`: jobs that must have succeeded since this job's last slot (or, without `cron`, since its last run).
    pub after: Vec<Arc<str>>,
    /// The notifications.
    pub notify: Notify,
}

/// The keys `retries`, `backoff`, `retry_on`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `retries`: the number of attempts after the first; 0 by default.
    pub retries: u32,
    /// `backoff.initial`: the wait before the second attempt.
    pub initial: Duration,
    /// `backoff.factor`: the factor by which each wait is longer than the one before.
    pub factor: f64,
    /// `backoff.max`: the longest wait.
    pub longest: Duration,
    /// `backoff.jitter`: true if the wait is drawn between zero and the full time; true by default.
    pub jitter: bool,
    /// `retry_on`: the failures that are retried; all classes by default. Refusals and failed logins never are.
    pub on: Vec<RetryOn>,
}

/// A class of failures in `retry_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// `"connect"`: the server could not be reached.
    Connect,
    /// `"data"`: a data connection could not be opened, or broke.
    Data,
    /// `"timeout"`: an answer did not arrive in time.
    Timeout,
    /// `"4xx"`: the server reported a temporary failure.
    Busy,
}

/// The keys `attempt_timeout`, `run_timeout`, `stall_timeout`, `kill_grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `attempt_timeout`: the limit for one attempt.
    pub attempt: Option<Duration>,
    /// `run_timeout`: the limit for all attempts and the waits between them.
    pub run: Option<Duration>,
    /// `run_timeout = "none"`: the default limit does not apply.
    pub is_endless: bool,
    /// `stall_timeout`: the maximum time without a byte transferred.
    pub stall: Option<Duration>,
    /// `kill_grace`: the time between the request to stop and the kill; 30 s by default.
    pub kill_grace: Duration,
}

/// The default `run_timeout`: a server that sends a byte a minute would keep a run going for ever. A daily job ends by
/// its next slot.
pub const RUN_TIMEOUT: Duration = Duration::from_hours(24);

impl Timeouts {
    /// Returns the limit of a whole run: that of the job, or the default, unless a single attempt may take longer.
    pub fn whole(&self) -> Option<Duration> {
        let is_usual =
            !self.is_endless && self.attempt.is_none_or(|attempt| attempt <= RUN_TIMEOUT);
        self.run.or(is_usual.then_some(RUN_TIMEOUT))
    }
}

/// The rule for a slot that comes while the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// `"skip"`: it is skipped.
    Skip,
    /// `"queue"`: it waits; of several, only the first.
    Queue,
    /// `"replace"`: the run in progress is terminated, then it starts.
    Replace,
    /// `"allow"`: it starts alongside the other.
    Allow,
}

/// The rule for slots missed while no scheduler could run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// `"skip"`: they are skipped.
    Skip,
    /// `"once"`: one run, for the newest, covers all of them.
    Once,
    /// `"all"`: each is run, the oldest first.
    All,
}

/// The keys `misfire`, `start_deadline`, `max_catchup`, `catchup_spread`, `late_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchUp {
    /// `misfire`; `once` by default.
    pub misfire: Misfire,
    /// `start_deadline`: a slot that is late by this much or more is not run. Without it nothing is caught up when the
    /// newest missed slot is a day late, and a slot that has to wait does so until the next one, a day at most.
    pub start_deadline: Option<Duration>,
    /// `max_catchup`: the number of missed slots, the newest ones, that are run under `misfire = "all"`; 10 by default.
    pub most: u32,
    /// `catchup_spread`: catch-up runs start within this time, each job at its own point in it; 60 s by default.
    pub spread: Duration,
    /// `late_after`: a slot that is later than this counts as missed; 60 s by default.
    pub late_after: Duration,
}

/// A permission of a script besides moving files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// `"nat"`: change NAT rules and port mappings.
    Nat,
}

/// The keys `on_success`, `on_failure`, `on_change`, `on_missed`, `ping`.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    /// `on_success`: a run has succeeded, and the one before had not.
    pub on_success: Option<Tell>,
    /// `on_failure`: a run has failed, and the one before had not.
    pub on_failure: Option<Tell>,
    /// `on_change`: either of the two.
    pub on_change: Option<Tell>,
    /// `on_missed`: a slot was not run.
    pub on_missed: Option<Tell>,
    /// `ping`: a URL in the manner of Healthchecks, notified of each start, success and failure.
    pub ping: Option<Secret>,
}

/// `{ webhook = "https://…", ping = "https://…", command = ["…"] }`: each one given is notified. Such URLs are secrets,
/// since anyone who knows them can use them.
#[derive(Debug, Clone, Default)]
pub struct Tell {
    /// `webhook`: a URL that receives the facts of the run as JSON.
    pub webhook: Option<Secret>,
    /// `ping`: a URL that is fetched.
    pub ping: Option<Secret>,
    /// `command`: a program and its arguments; it receives the facts as JSON on its standard input.
    pub command: Option<Vec<String>>,
}

/// The settings of `[job.connect]`, each in the form of `--set`. They may contain a password: none is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect(pub(super) Vec<(String, Secret)>);

impl Connect {
    /// Returns the settings as `KEY=VALUE`, for [`crate::script::site::Overrides::read`]. They may contain a password:
    /// they must not appear in any command line, log or file.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(key, value)| format!("{key}={}", value.reveal())).collect()
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}
