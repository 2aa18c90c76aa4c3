//! The keys of `[[job]]`, one row each, and the struct that they fill.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;

use super::{Connect, Notify, Task};
use crate::{
    error::Error,
    limits::{CATCH_UP_SPREAD, DURATION_MAX, JOB_RETRIES_MAX, KILL_GRACE, LATE_AFTER},
    option_table::{
        OptionKind::{Choice, Count, Duration as Time, DurationIn, Flag, Own, Text},
        OptionRow, OptionTable,
    },
    permissions::PermissionOptions,
    schedule::cron::Schedule,
};

/// A `[[job]]`.
#[derive(Debug, Clone)]
pub struct Job {
    /// The name: unique in the file, and all of it is safe in file names.
    pub name: Arc<str>,
    /// The text about the job for the people who look after it.
    pub description: Option<String>,
    /// The path of the script; the kind of its work, such as `mirror`, for a job without one.
    pub script: PathBuf,
    /// The work of a job without a script.
    pub task: Option<Task>,
    /// The schedule; a job without one runs after other jobs, or when it is triggered.
    pub schedule: Option<Schedule>,
    /// The value of `args` in the script; `null` by default.
    pub args: Value,
    /// The settings that take precedence over the options that the script passes to `ftp::connect`.
    pub connect: Connect,
    /// The permissions of the script besides moving files.
    pub allow: Vec<Allowed>,
    /// The permissions of the script; with `None` it may do everything but `http`, `run` and NAT.
    pub permissions: Option<PermissionOptions>,
    /// The rules for retries.
    pub retry: Retry,
    /// The time limits of a run.
    pub timeouts: Timeouts,
    /// The rule for a slot that comes while the job runs.
    pub overlap: Overlap,
    /// The rules for missed slots.
    pub catch_up: CatchUp,
    /// The maximum delay of a slot, which is always the same for a slot.
    pub jitter: Duration,
    /// Names of locks, each held by one run at a time, of any job.
    pub locks: Vec<String>,
    /// Jobs that must have succeeded since this job's last slot (or, without a schedule, since its last run).
    pub after: Vec<Arc<str>>,
    /// The notifications.
    pub notify: Notify,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            name: "".into(),
            description: None,
            script: PathBuf::new(),
            task: None,
            schedule: None,
            args: Value::Null,
            connect: Connect::default(),
            allow: Vec::new(),
            permissions: None,
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            overlap: Overlap::Skip,
            catch_up: CatchUp::default(),
            jitter: Duration::ZERO,
            locks: Vec::new(),
            after: Vec::new(),
            notify: Notify::default(),
        }
    }
}

/// The keys of `[[job]]`.
pub(super) const JOB: OptionTable<Job> = OptionTable { rows: JOB_ROWS, usual: Job::default };

/// The maximum length of a description: it is shown in one line of a terminal or two.
const DESCRIPTION_CHARS_MAX: usize = 200;

type JobRow = OptionRow<Job>;

/// Every duration but zero.
pub(super) const POSITIVE: RangeInclusive<Duration> = Duration::from_nanos(1)..=DURATION_MAX;

const JOB_ROWS: &[JobRow] = &[
    JobRow::new(
        "name",
        Own,
        "the name, unique in the file: up to 52 letters, digits, `-`, `_` and `.`; required",
    ),
    JobRow::new(
        "description",
        Text(|it, text| {
            let is_line = !text.contains(char::is_control);
            if !is_line || text.chars().count() > DESCRIPTION_CHARS_MAX {
                let most = DESCRIPTION_CHARS_MAX;
                return Err(Error::invalid(format!(
                    "`description` wants one line of at most {most} characters"
                )));
            }
            it.description = Some(text.to_owned());
            Ok(())
        }),
        "one line for the people who look after the job, which `portolan next` shows",
    ),
    JobRow::new(
        "script",
        Own,
        "the path of the script, relative to the folder of the jobs file; required, unless the job has one of the \
         following three",
    ),
    JobRow::new("mirror", Own, "the mirror that the job makes, without a script: the table `[job.mirror]`"),
    JobRow::new("get", Own, "the files that the job downloads, without a script: the table `[job.get]`"),
    JobRow::new("put", Own, "the files that the job uploads, without a script: the table `[job.put]`"),
    JobRow::new(
        "cron",
        Own,
        "when the job runs, such as \"15 3 * * *\" or \"@every 90m\"; without it the job runs after other jobs, or \
         when it is triggered",
    ),
    JobRow::new("timezone", Own, "the time zone of `cron`, that of the host without it"),
    JobRow::new("args", Own, "the value of `args` in the script: the table `[job.args]`, or an array"),
    JobRow::new(
        "connect",
        Own,
        "options that take precedence over those that the script passes to `ftp::connect`: the table `[job.connect]`",
    ),
    JobRow::new("allow", Own, "what the script may do besides moving files: [\"nat\"] to change NAT rules"),
    JobRow::new(
        "permissions",
        Own,
        "what the script may do at all: the table `[job.permissions]`. With it, everything that it does not name is \
         refused",
    ),
    JobRow::new(
        "retries",
        Count(0..=JOB_RETRIES_MAX, |it, retries| it.retry.retries = retries.into()),
        "the number of attempts after the first",
    )
    .usual("0"),
    JobRow::new("backoff", Own, "the waits between attempts, such as `{ initial = \"10s\", max = \"10m\" }`"),
    JobRow::new(
        "retry_on",
        Own,
        "the failures that are retried, of \"connect\" (the server could not be reached), \"data\" (a data connection \
         failed), \"timeout\" and \"4xx\" (the server reported a temporary failure); all of them without it. Refusals \
         and failed logins never are",
    ),
    JobRow::new(
        "attempt_timeout",
        DurationIn(POSITIVE, |it, time| it.timeouts.attempt = Some(time)),
        "the limit for one attempt",
    ),
    JobRow::new(
        "run_timeout",
        Own,
        "the limit for all attempts and the waits between them; a day without it, unless one attempt may take longer; \
         \"none\" is no limit",
    ),
    JobRow::new(
        "stall_timeout",
        DurationIn(POSITIVE, |it, time| it.timeouts.stall = Some(time)),
        "the maximum time without a byte transferred",
    ),
    JobRow::new(
        "kill_grace",
        Time(|it, time| it.timeouts.kill_grace = time),
        "the time between the request to stop and the kill",
    )
    .usual("30s"),
    JobRow::new(
        "overlap",
        Choice(&[
            ("skip", |it| it.overlap = Overlap::Skip),
            ("queue", |it| it.overlap = Overlap::Queue),
            ("replace", |it| it.overlap = Overlap::Replace),
            ("allow", |it| it.overlap = Overlap::Allow),
        ]),
        "what becomes of a slot that comes while the job runs: it is skipped; it waits (of several, only the first); \
         the run in progress is terminated for it; it starts alongside the other",
    )
    .usual("skip"),
    JobRow::new(
        "misfire",
        Choice(&[
            ("skip", |it| it.catch_up.misfire = Misfire::Skip),
            ("once", |it| it.catch_up.misfire = Misfire::Once),
            ("all", |it| it.catch_up.misfire = Misfire::All),
        ]),
        "what becomes of slots that were missed because no scheduler could run them: one run, for the newest, covers \
         all of them; they are skipped; each is run, the oldest first",
    )
    .usual("once"),
    JobRow::new(
        "start_deadline",
        DurationIn(POSITIVE, |it, time| it.catch_up.start_deadline = Some(time)),
        "a slot that is late by this much or more is not run. Without it nothing is caught up when the newest missed \
         slot is a day late, and a slot that has to wait does so until the next one, a day at most",
    ),
    JobRow::new(
        "max_catchup",
        Count(1..=100, |it, most| it.catch_up.most = most.into()),
        "the number of missed slots, the newest ones, that are run under `misfire = \"all\"`",
    )
    .usual("10"),
    JobRow::new(
        "catchup_spread",
        Time(|it, time| it.catch_up.spread = time),
        "catch-up runs start within this time, each job at its own point in it",
    )
    .usual("60s"),
    JobRow::new(
        "late_after",
        Time(|it, time| it.catch_up.late_after = time),
        "a slot that is later than this counts as missed",
    )
    .usual("60s"),
    JobRow::new(
        "jitter",
        Time(|it, time| it.jitter = time),
        "each slot starts up to this much later, by an amount that is always the same for the slot",
    )
    .usual("0s"),
    JobRow::new(
        "locks",
        Own,
        "names of locks, each held by one run at a time, of any job, such as [\"host:ftp.example.com\", \"disk\"]",
    ),
    JobRow::new(
        "after",
        Own,
        "jobs that must have succeeded since this job's last slot (or, without `cron`, since its last run)",
    ),
    JobRow::new("on_success", Own, "a notification: a run has succeeded, and the one before had not"),
    JobRow::new("on_failure", Own, "a notification: a run has failed, and the one before had not"),
    JobRow::new("on_change", Own, "a notification: either of the two"),
    JobRow::new("on_missed", Own, "a notification: a slot was not run"),
    JobRow::new(
        "ping",
        Own,
        "a URL in the manner of Healthchecks, notified of each start, success and failure",
    ),
];

/// The keys `retries`, `backoff`, `retry_on`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The number of attempts after the first.
    pub retries: u32,
    /// The wait before the second attempt.
    pub initial: Duration,
    /// The factor by which each wait is longer than the one before.
    pub factor: f64,
    /// The longest wait.
    pub longest: Duration,
    /// True if the wait is drawn between zero and the full time.
    pub jitter: bool,
    /// The failures that are retried. Refusals and failed logins never are.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 0,
            initial: Duration::from_secs(5),
            factor: 2.0,
            longest: Duration::from_mins(5),
            jitter: true,
            on: RetryOn::ALL.iter().map(|(_, class)| *class).collect(),
        }
    }
}

/// The keys of `backoff`.
pub(super) const BACKOFF: OptionTable<Retry> = OptionTable {
    rows: &[
        OptionRow::<Retry>::new(
            "initial",
            Time(|it, time| it.initial = time),
            "the wait before the second attempt",
        )
        .usual("5s"),
        OptionRow::<Retry>::new(
            "factor",
            Own,
            "the factor by which each wait is longer than the one before, 2 without it; 1 to 100",
        ),
        OptionRow::<Retry>::new("max", Own, "the longest wait, \"5m\" without it"),
        OptionRow::<Retry>::new(
            "jitter",
            Flag(|it, on| it.jitter = on),
            "the wait is drawn between zero and the full time",
        )
        .usual("true"),
    ],
    usual: Retry::default,
};

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

impl RetryOn {
    /// The words of the file, with their meanings.
    pub(super) const ALL: [(&str, Self); 4] = [
        ("connect", Self::Connect),
        ("data", Self::Data),
        ("timeout", Self::Timeout),
        ("4xx", Self::Busy),
    ];
}

/// The keys `attempt_timeout`, `run_timeout`, `stall_timeout`, `kill_grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The limit for one attempt.
    pub attempt: Option<Duration>,
    /// The limit for all attempts and the waits between them.
    pub run: Option<Duration>,
    /// True if the default limit does not apply: `run_timeout = "none"`.
    pub is_endless: bool,
    /// The maximum time without a byte transferred.
    pub stall: Option<Duration>,
    /// The time between the request to stop and the kill.
    pub kill_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let kill_grace = KILL_GRACE;
        Self { attempt: None, run: None, is_endless: false, stall: None, kill_grace }
    }
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
    /// The rule for missed slots.
    pub misfire: Misfire,
    /// The lateness from which a slot is not run.
    pub start_deadline: Option<Duration>,
    /// The number of missed slots, the newest ones, that are run under [`Misfire::All`].
    pub most: u32,
    /// The time within which catch-up runs start, each job at its own point in it.
    pub spread: Duration,
    /// The lateness from which a slot counts as missed.
    pub late_after: Duration,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            misfire: Misfire::Once,
            start_deadline: None,
            most: 10,
            spread: CATCH_UP_SPREAD,
            late_after: LATE_AFTER,
        }
    }
}

/// A permission of a script besides moving files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// `"nat"`: change NAT rules and port mappings.
    Nat,
}
