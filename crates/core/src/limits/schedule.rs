//! Limits of jobs, their runs and their history.

use std::time::Duration;

/// The maximum number of files of one run in history; the run's log has them all.
pub const RUN_FILES_KEPT_MAX: i64 = 1_000;
/// The maximum number of runs removed from history at once: a writer must not wait long.
pub const PRUNE_ROWS_MAX: u32 = 500;
/// The maximum number of bytes in a cron expression; the longest real ones have about a hundred.
pub const CRON_BYTES_MAX: usize = 1024;
/// The number of years within which a schedule fires or never does: 29 February comes after eight years across 2100.
pub const CRON_SEARCH_YEARS: i64 = 8;
/// The maximum number of missed slots of one job that have a row each; older ones share one. Ten days of a job that
/// runs twice an hour, and half of the history: an outage must not displace all real runs.
pub const MISSED_ROWS_MAX: usize = 500;
/// The maximum number of missed slots of one job that are counted: counting takes a fraction of a second. A day of a
/// job that runs every second has fewer.
pub const MISSED_COUNTED_MAX: u64 = 200_000;
/// The maximum number of slots of one job that wait to begin.
pub const WAITING_MAX: usize = 100;
/// The distance into the future above which a watermark was set by a wrong clock (a host without a battery starts in
/// 2031). Below it nothing is run until the clock has caught up, as after a small correction.
pub const WATERMARK_AHEAD_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// The time after which a missed slot is no longer caught up, unless `start_deadline` says otherwise.
pub const DEADLINE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// The maximum time that a requested run of a past slot waits for those before it.
pub const BACKFILL_TIME_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
/// The maximum number of past slots in one request: two years of a nightly job.
pub const BACKFILL_SLOTS_MAX: usize = 1000;

/// The maximum number of bytes in a jobs file; a hundred thousand jobs have some fifteen million.
pub const JOBS_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The maximum number of files that a jobs file includes.
pub const INCLUDED_FILES_MAX: usize = 1000;
/// The maximum number of bytes in a file of dates: a line for each day of a hundred years has less.
pub const DATES_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The time that a program before or after a run has to end when it is asked to.
pub const PROGRAM_TERM_TIME_MAX: Duration = Duration::from_secs(5);
/// The time for which a file in a watched directory must not change: programs write in steps of a second or two.
pub const WATCH_SETTLE: Duration = Duration::from_secs(5);
/// The same time for a file on a server, and the time between two looks at it: an upload may pause for as long.
pub const ARRIVAL_SETTLE: Duration = Duration::from_secs(30);
/// The time between two looks at a directory of a server.
pub const ARRIVAL_EVERY: Duration = Duration::from_secs(30);
/// The minimum of that time: each look is a listing.
pub const ARRIVAL_EVERY_MIN: Duration = Duration::from_secs(1);
/// The maximum time until a server that cannot be reached is tried again.
pub const ARRIVAL_WAIT_MAX: Duration = Duration::from_mins(5);
/// The maximum number of files that one run is given: more make further runs.
pub const FILES_GIVEN_MAX: usize = 1_000;
/// The maximum number of files of one directory that are looked at for arrivals; they are kept in memory.
pub const FILES_WATCHED_MAX: usize = 100_000;
/// The time between two looks at a watched directory without news of it: news may be lost.
pub const WATCH_RESCAN: Duration = Duration::from_mins(1);
/// The same time for a directory that does not exist, or whose news the kernel does not tell.
pub const WATCH_LOOK: Duration = Duration::from_secs(5);
/// The time for which further news of a directory are collected before it is looked at.
pub const WATCH_NEWS_TIME: Duration = Duration::from_millis(200);
/// The time for which a file that is gone is remembered, at least: its listing may have been incomplete.
pub const FILES_GONE_TIME: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
/// The maximum number of jobs of a jobs file with those that it includes: they are ready within seconds.
pub const JOBS_MAX: usize = 200_000;
/// The maximum number of findings that are reported for one jobs file.
pub const JOBS_FINDINGS_MAX: usize = 1_000;
/// The maximum number of bytes in a job's name: Kubernetes allows no more for a job of its own.
pub const JOB_NAME_BYTES_MAX: usize = 52;
/// The maximum number of retries of one run.
pub const JOB_RETRIES_MAX: u16 = 100;
/// The time between the request to stop a run and its forced end: a large file needs a while to its next safe point.
pub const KILL_GRACE: Duration = Duration::from_secs(30);
/// The delay after which a slot counts as missed: the loop looks at the clock every 30 s at least.
pub const LATE_AFTER: Duration = Duration::from_mins(1);
/// The time over which the starts of catch-up runs are spread: after an outage all jobs are late, and servers accept
/// few sessions.
pub const CATCH_UP_SPREAD: Duration = Duration::from_mins(1);
/// The default number of history rows kept for each job.
pub const RETENTION_RUNS: u32 = 1_000;
/// The default number of history rows kept of all jobs together: some 350 MB.
pub const RETENTION_TOTAL: u32 = 1_000_000;
/// The default time for which history is kept.
pub const RETENTION_AGE: Duration = Duration::from_hours(90 * 24);
/// The maximum number of bytes in the log of one run.
pub const RETENTION_LOG_BYTES: u64 = 10 * 1024 * 1024;
/// The maximum number of bytes in one event line of a run; longer lines that a script prints are cut.
pub const CHILD_LINE_BYTES_MAX: u64 = 1024 * 1024;
/// The number of lines of a run's standard error that are searched for its final error: an error with its excerpt has
/// ten.
pub const CHILD_TAIL_LINES: usize = 40;
/// The time limit for the pipes of a run to close after its end; none of its child processes is left to hold them.
pub const CHILD_PIPE_TIME_MAX: Duration = Duration::from_secs(2);
/// The memory limit of a run's process. The largest tree that a mirror accepts needs a quarter of it.
pub const CHILD_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// The number of bytes of the end of a log that are sent with a ping; Healthchecks keeps 100 kB, others 10 kB.
pub const LOG_TAIL_BYTES: u64 = 10_000;
/// The number of bytes of the beginning of a log that machines share through the store.
pub const LOG_SHARED_HEAD_BYTES: u64 = 16 * 1024;
/// The number of bytes of its end that they share: with the beginning as much as a person reads, and for a million runs of the
/// usual few lines as much as a database holds well.
pub const LOG_SHARED_END_BYTES: u64 = 48 * 1024;
/// The number of bytes reserved at the end of a full log, so that it shows how the run ended.
pub const LOG_END_BYTES: u64 = 4 * 1024;
/// The maximum time between two turns of the scheduler when nothing is due: clocks are set, hosts sleep, and other
/// processes write into the store.
pub const DAEMON_TURN_MAX: Duration = Duration::from_secs(1);
/// The time limit for a run's process to end once it was told to stop at once; it needs less than a second.
pub const CHILD_TERM_TIME_MAX: Duration = Duration::from_secs(2);
/// The interval between two prunings of history.
pub const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// The time limit for the runs of a killed scheduler to disappear; they need milliseconds.
pub const ORPHAN_TIME_MAX: Duration = Duration::from_secs(10);
/// The maximum number of times an interrupted run is resumed: one that crashes the host would do so for ever.
pub const TAKEN_UP_MAX: usize = 3;
/// The maximum number of notifications that are delivered at a time: each has a thread.
pub const NOTICES_AT_ONCE_MAX: usize = 8;
/// The time limit for one notification over HTTP.
pub const NOTICE_TIME_MAX: Duration = Duration::from_secs(15);
/// The time limit for a notification command.
pub const NOTICE_COMMAND_TIME_MAX: Duration = Duration::from_mins(1);
/// The waits before a notification is sent again; there is one retry for each wait.
pub const NOTICE_WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];
/// The time limit for the scheduler to start a requested run; it checks every second.
pub const TRIGGER_TIME_MAX: Duration = Duration::from_secs(5);
/// The usual time for a scheduler to take up a request that is waited for: a fleet may be without a leader for some leases.
pub const TRIGGER_BEGIN_TIME: Duration = Duration::from_mins(10);
