//! Jobs as the jobs file has them.
//!
//! The words of the file are documented at the fields here; `docs/cron.md` and the README show them in use.

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
pub use self::read::{Reading, parse, read};
use super::cron::Schedule;
use crate::ftp::secret::Secret;

/// A whole jobs file that has no mistake in it.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// The file.
    pub file: PathBuf,
    /// What is true of all jobs together.
    pub runner: Runner,
    /// The jobs, in the order of the file; their names are unique.
    pub all: Vec<Arc<Job>>,
}

impl Jobs {
    /// The job of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Job>> {
        self.all.iter().find(|job| *job.name == *name)
    }
}

/// The table `[runner]`.
#[derive(Debug, Clone)]
pub struct Runner {
    /// `state`: the folder of the database and of the runs' logs; from the jobs file's folder if relative. `--state` wins.
    pub state: Option<PathBuf>,
    /// `max_running`: runs at a time, of all jobs; 4 by default.
    pub max_running: u32,
    /// `metrics`: where Prometheus reads the metrics, such as `127.0.0.1:9464`. `--metrics` wins.
    pub metrics: Option<SocketAddr>,
    /// `retention`: how long history is kept.
    pub retention: Retention,
    /// `locks`: how many runs may hold a lock at a time, where that is more than one: `{ "host:ftp.example.com" = 2 }`.
    pub locks: BTreeMap<String, u32>,
}

/// `retention = { runs = 1000, age = "90d", log = "10MiB" }`: what is older or more is removed, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// `runs`: rows of history for each job.
    pub runs: u32,
    /// `age`: time for which rows and logs are kept.
    pub age: Duration,
    /// `log`: bytes of one run's log.
    pub log_bytes: u64,
}

/// One `[[job]]`.
#[derive(Debug, Clone)]
pub struct Job {
    /// `name`: unique in the file, at most 52 characters, such as can stand in a file name.
    pub name: Arc<str>,
    /// `script`: from the jobs file's folder if relative.
    pub script: PathBuf,
    /// `cron` and `timezone`; a job without `cron` runs after other jobs, or when it is triggered.
    pub schedule: Option<Schedule>,
    /// `args`: what the script sees as `args`: the table `[job.args]`, or an array. `null` without it.
    pub args: Value,
    /// `connect`: the table `[job.connect]`, which wins over what the script gives to `ftp::connect`.
    pub connect: Connect,
    /// `allow`: what the script may do besides moving files.
    pub allow: Vec<Allowed>,
    /// What is tried again, and when.
    pub retry: Retry,
    /// When a run is taken to be stuck.
    pub timeouts: Timeouts,
    /// `overlap`: what a slot does that comes while the job runs; `skip` by default.
    pub overlap: Overlap,
    /// What becomes of slots that were missed.
    pub catch_up: CatchUp,
    /// `jitter`: each slot begins up to so much later, by a time that is always the same for it.
    pub jitter: Duration,
    /// `locks`: names of which each is held by one run at a time, of whatever job: `host:ftp.example.com`, `disk`.
    pub locks: Vec<String>,
    /// `after`: jobs that must have succeeded since this job's last slot (or, without `cron`, since its last run).
    pub after: Vec<Arc<str>>,
    /// Whom to tell.
    pub notify: Notify,
}

/// `retries`, `backoff`, `retry_on`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `retries`: attempts after the first; 0 by default.
    pub retries: u32,
    /// `backoff.initial`: the wait before the second attempt.
    pub initial: Duration,
    /// `backoff.factor`: by so much each wait is longer than the one before.
    pub factor: f64,
    /// `backoff.max`: no wait is longer.
    pub longest: Duration,
    /// `backoff.jitter`: whether the wait is drawn between nothing and the full time; true by default.
    pub jitter: bool,
    /// `retry_on`: which failures are worth another attempt; all of them by default. Refusals and logins never are.
    pub on: Vec<RetryOn>,
}

/// A class of failures in `retry_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// `"connect"`: the server could not be reached.
    Connect,
    /// `"data"`: a data connection could not be made, or broke.
    Data,
    /// `"timeout"`: something did not answer in its time.
    Timeout,
    /// `"4xx"`: the server said that it cannot do it now.
    Busy,
}

/// `attempt_timeout`, `run_timeout`, `stall_timeout`, `kill_grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `attempt_timeout`: for one attempt.
    pub attempt: Option<Duration>,
    /// `run_timeout`: for all attempts and the waits between them.
    pub run: Option<Duration>,
    /// `run_timeout = "none"`: the usual one does not hold.
    pub is_endless: bool,
    /// `stall_timeout`: time in which no byte moved.
    pub stall: Option<Duration>,
    /// `kill_grace`: between the request to stop and the end by force; 30 s by default.
    pub kill_grace: Duration,
}

/// The `run_timeout` of a job that has none of its own: a server that sends a byte a minute would keep a slot for ever.
/// A job that runs daily is over by its next slot.
pub const RUN_TIMEOUT: Duration = Duration::from_hours(24);

impl Timeouts {
    /// The limit of a whole run: what the job says, or the usual, unless one attempt alone may take longer.
    pub fn whole(&self) -> Option<Duration> {
        let is_usual =
            !self.is_endless && self.attempt.is_none_or(|attempt| attempt <= RUN_TIMEOUT);
        self.run.or(is_usual.then_some(RUN_TIMEOUT))
    }
}

/// What a slot does that comes while the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// `"skip"`: it is left out.
    Skip,
    /// `"queue"`: it waits; of several, the first.
    Queue,
    /// `"replace"`: the run that goes on is ended, and then it begins.
    Replace,
    /// `"allow"`: it begins beside the other.
    Allow,
}

/// What becomes of the slots that passed while nobody was there to run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfire {
    /// `"skip"`: they are left out.
    Skip,
    /// `"once"`: one run, for the newest, stands for all of them.
    Once,
    /// `"all"`: each is run, the oldest first.
    All,
}

/// `misfire`, `start_deadline`, `max_catchup`, `catchup_spread`, `late_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchUp {
    /// `misfire`; `once` by default.
    pub misfire: Misfire,
    /// `start_deadline`: a slot that is late by so much or more is not run. Without it nothing is caught up when the
    /// newest missed slot is late by a day, and a slot that has to wait does so until the next one, a day at most.
    pub start_deadline: Option<Duration>,
    /// `max_catchup`: so many missed slots, the newest, are run under `misfire = "all"`; 10 by default.
    pub most: u32,
    /// `catchup_spread`: runs that catch up begin within this time, each job at its own moment in it; 60 s by default.
    pub spread: Duration,
    /// `late_after`: a slot that is late by more has been missed; 60 s by default.
    pub late_after: Duration,
}

/// What a script may do besides moving files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// `"nat"`: change NAT rules and port mappings.
    Nat,
}

/// `on_success`, `on_failure`, `on_change`, `on_missed`, `ping`.
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
    /// `ping`: an address of the kind of Healthchecks, told of each start, success and failure.
    pub ping: Option<Secret>,
}

/// `{ webhook = "https://…", ping = "https://…", command = ["…"] }`: all that are given are told. Addresses of this kind
/// are secrets, since who knows them may use them.
#[derive(Debug, Clone, Default)]
pub struct Tell {
    /// `webhook`: gets the facts of the run as JSON.
    pub webhook: Option<Secret>,
    /// `ping`: is fetched.
    pub ping: Option<Secret>,
    /// `command`: a program and its arguments, gets the facts as JSON on its standard input.
    pub command: Option<Vec<String>>,
}

/// The settings of `[job.connect]`, each as `--set` has them. A password may be among them: none is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect(pub(super) Vec<(String, Secret)>);

impl Connect {
    /// The settings as `KEY=VALUE`, for [`crate::script::site::Overrides::read`]. They may hold a password: no command
    /// line, log or file may see them.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(key, value)| format!("{key}={}", value.reveal())).collect()
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}
