//! The keys of `[[job]]`, one row each, and the struct that they fill.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use jiff::{Timestamp, civil::Time, tz::TimeZone};
use serde_json::Value;

use super::{
    Allowed, CatchUp, Connect, FileTrigger, JobLock, Misfire, Notify, Overlap, RateRule, Retry,
    Task, Timeouts,
};
use crate::{
    error::Error,
    limits::{DURATION_MAX, JOB_RETRIES_MAX},
    option_table::{
        OptionKind::{Choice, Count, Duration as Wait, DurationIn, Flag, Own, Text},
        OptionRow, OptionTable,
    },
    permissions::PermissionOptions,
    schedule::{
        child::programs::RunPrograms,
        cron::{Schedule, StartLimits},
        zone::Zone,
    },
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
    /// False if it is turned off: it runs only when it is triggered.
    pub enabled: bool,
    /// Words to choose jobs by.
    pub tags: Vec<String>,
    /// The programs around its work.
    pub programs: RunPrograms,
    /// The limits of its starts: windows of the day, and dates without runs.
    pub limits: Option<JobLimits>,
    /// The time by which it must have succeeded.
    pub expect_by: Option<ExpectBy>,
    /// The time zone of its times, if it has no schedule.
    pub zone: Option<Zone>,
    /// The files whose arrival starts it.
    pub files: Option<FileTrigger>,
    /// The schedule; a job without one runs after other jobs, when files arrive, or when it is triggered.
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
    /// The rate limit of its runs.
    pub rate_limit: Option<RateRule>,
    /// The locks that a run takes.
    pub locks: Vec<JobLock>,
    /// The labels that the machine of a run must have, if several share the store.
    pub needs: BTreeMap<String, String>,
    /// The names of the secrets that a run needs, as far as they are known.
    pub secrets: Vec<String>,
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
            enabled: true,
            tags: Vec::new(),
            programs: RunPrograms::default(),
            limits: None,
            expect_by: None,
            zone: None,
            files: None,
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
            rate_limit: None,
            locks: Vec::new(),
            needs: BTreeMap::new(),
            secrets: Vec::new(),
            after: Vec::new(),
            notify: Notify::default(),
        }
    }
}

impl Job {
    /// Returns the schedule by which it runs: `None` if it is turned off.
    pub fn active_schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref().filter(|_| self.enabled)
    }

    /// Returns the files whose arrival starts it: `None` if it is turned off.
    pub fn active_files(&self) -> Option<&FileTrigger> {
        self.files.as_ref().filter(|_| self.enabled)
    }

    /// Returns the time zone of its times; UTC if it has none.
    pub fn time_zone(&self) -> TimeZone {
        let zone = self.schedule.as_ref().map(|schedule| &schedule.zone).or(self.zone.as_ref());
        zone.map_or(TimeZone::UTC, |zone| zone.rules.clone())
    }

    /// Returns the schedule to which the decisions on its slots belong.
    pub fn revision(&self) -> &str {
        match &self.schedule {
            _ if !self.enabled => "disabled",
            Some(schedule) => &schedule.revision,
            None => "after",
        }
    }
}

/// The limits of the starts of a job, in its time zone.
#[derive(Debug, Clone)]
pub struct JobLimits {
    /// The windows and dates.
    pub limits: Arc<StartLimits>,
    /// The time zone.
    pub zone: Zone,
}

impl JobLimits {
    /// Returns the first time from `at` on at which a run may begin.
    pub fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        self.limits.opens(at, &self.zone)
    }
}

/// The key `expect_by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectBy {
    /// A time of the day in the job's time zone; of a job without `cron`, of each day.
    Time(Time),
    /// A duration after the slot.
    Within(Duration),
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
    JobRow::new("tags", Own, "words to choose jobs by, such as `portolan jobs --tag nightly`"),
    JobRow::new(
        "enabled",
        Flag(|it, on| it.enabled = on),
        "run the job by its schedule or after other jobs; false turns it off, and it runs only when it is triggered",
    )
    .usual("true"),
    JobRow::new(
        "each",
        Own,
        "makes one job for each combination of values: with `each = { site = [\"a\", \"b\"] }` the job `catalogue` \
         becomes `catalogue[a]` and `catalogue[b]`, and `{site}` in its values is `a` or `b`",
    ),
    JobRow::new(
        "script",
        Own,
        "the path of the script, relative to the folder of the jobs file; required, unless the job has one of the \
         following five",
    ),
    JobRow::new("mirror", Own, "the mirror that the job makes, without a script: the table `[job.mirror]`"),
    JobRow::new("deploy", Own, "the site that the job deploys, without a script: the table `[job.deploy]`"),
    JobRow::new("get", Own, "the files that the job downloads, without a script: the table `[job.get]`"),
    JobRow::new("put", Own, "the files that the job uploads, without a script: the table `[job.put]`"),
    JobRow::new(
        "prune",
        Own,
        "the old files of a server that the job deletes, without a script: the table `[job.prune]`",
    ),
    JobRow::new(
        "cron",
        Own,
        "when the job runs, such as \"15 3 * * *\" or \"@every 90m\", or an array of such expressions; without it the \
         job runs after other jobs, when files arrive, or when it is triggered",
    ),
    JobRow::new(
        "watch",
        Own,
        "files of this host that start the job when they arrive, such as `{ directory = \"out\", match = \"*.csv\" }`; a \
         job may have `cron` as well",
    ),
    JobRow::new(
        "arrival",
        Own,
        "files on a server that start the job when they arrive, such as `{ site = \"partner\", directory = \"out\" }`; a \
         job may have `cron` as well",
    ),
    JobRow::new("timezone", Own, "the time zone of `cron`, that of the host without it"),
    JobRow::new(
        "window",
        Own,
        "the time of the day in which runs begin, such as \"22:00-06:00\" or \"Mon-Fri 22:00-06:00\", or an array of \
         them. A slot outside is no slot; what catches up, or follows other jobs, waits for it",
    ),
    JobRow::new(
        "not_on",
        Own,
        "days without runs: a file with a date in each line, such as \"holidays.txt\", or dates such as \
         \"2026-12-25\", \"12-25\" (of every year) and \"2026-12-24..2027-01-01\"",
    ),
    JobRow::new(
        "expect_by",
        Own,
        "when a slot must have succeeded: a time of the day such as \"06:30\", or a duration after the slot such as \
         \"2h\"; `portolan jobs` and the page show a job that is late. A job without `cron` must have succeeded by that time \
         on each day that `window` and `not_on` leave it, in or after the first window that has begun since that time of the \
         day before (without one, since midnight); it names the time itself, and takes none from `[defaults]`",
    ),
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
         failed), \"timeout\", \"4xx\" (the server reported a temporary failure) and \"program\" (a program of `before` \
         or `after` failed); all of them without it. Refusals and failed logins never are",
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
        Wait(|it, time| it.timeouts.kill_grace = time),
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
        Wait(|it, time| it.catch_up.spread = time),
        "catch-up runs start within this time, each job at its own point in it",
    )
    .usual("60s"),
    JobRow::new(
        "late_after",
        Wait(|it, time| it.catch_up.late_after = time),
        "a slot that is later than this counts as missed",
    )
    .usual("60s"),
    JobRow::new(
        "jitter",
        Wait(|it, time| it.jitter = time),
        "each slot starts up to this much later, by an amount that is always the same for the slot",
    )
    .usual("0s"),
    JobRow::new(
        "rate_limit",
        Own,
        "the bytes per second of the job, such as \"Mon-Fri 08:00-18:00 1MiB, off\" in its time zone, besides the limits of \
         `[runner]`; a change by the clock or in the file takes effect in runs in progress as well",
    ),
    JobRow::new(
        "locks",
        Own,
        "names of locks, each held by one run at a time, of any job, such as [\"host:ftp.example.com\", \"disk\"]; of one that has \
         more places in `[runner]`, a run takes one. Places of a lock `host:…` are logins: a job without a script takes as \
         many as its `parallel` (8 for \"auto\") or `segments`, one with a script as many as `parallel` of `[job.connect]`, else \
         one; at most all there are. A table names another number: `{ \"host:ftp.example.com\" = 3 }`. A run makes no more \
         logins than it takes",
    ),
    JobRow::new(
        "needs",
        Own,
        "the labels that a machine must have to run it, such as `{ network = \"dmz\" }`, if several machines share the \
         store (`portolan serve --label`); without any it runs on each",
    ),
    JobRow::new(
        "after",
        Own,
        "jobs that must have succeeded since this job's last slot (or, without `cron`, since its last run). An array in \
         it is a program, with its arguments, that runs in the attempt after the work has succeeded: `after = \
         [\"fetch\", [\"unzip\", \"in/a.zip\"]]`; if it fails, so does the attempt",
    ),
    JobRow::new(
        "before",
        Own,
        "programs, each an array with its arguments, that run in the attempt before the work, such as `[[\"pg_dump\", \
         \"-f\", \"out/shop.sql\", \"shop\"]]`; one that fails ends the attempt. No shell reads the arguments",
    ),
    JobRow::new(
        "finally",
        Own,
        "programs that run at the end of each attempt, whatever has happened; PORTOLAN_OUTCOME is `done`, `partial`, \
         `failed` or `interrupted`",
    ),
    JobRow::new("on_success", Own, "a notification: a run has succeeded, and the one before had not"),
    JobRow::new("on_failure", Own, "a notification: a run has failed, and the one before had not"),
    JobRow::new("on_change", Own, "a notification: either of the two"),
    JobRow::new("on_missed", Own, "a notification: a slot was not run"),
    JobRow::new(
        "on_late",
        Own,
        "a notification: the job has not succeeded by `expect_by`; `true` tells the targets of `on_failure`",
    ),
    JobRow::new(
        "on_slow",
        Own,
        "a notification: a run takes longer than `after`; `true`, or the time alone as in `on_slow = \"2x\"`, tells the \
         targets of `on_failure`",
    ),
    JobRow::new(
        "on_empty",
        Own,
        "a notification: a run has succeeded and has moved no file; `true` tells the targets of `on_failure`",
    ),
    JobRow::new(
        "remind",
        DurationIn(POSITIVE, |it, time| it.notify.remind = Some(time)),
        "the interval at which the targets of `on_failure` are told again while the job fails",
    ),
    JobRow::new(
        "ping",
        Own,
        "a URL in the manner of Healthchecks, notified of each start, success and failure",
    ),
];
