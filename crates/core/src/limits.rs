//! The limits of the program, each with its reason. Everything that comes from outside is bounded here.

use std::time::Duration;

/// The maximum number of bytes in one line of a reply. Servers send banners of 17 kB in one line (curl's test 1003).
pub const REPLY_LINE_BYTES_MAX: usize = 32 * 1024;
/// The maximum number of lines in one reply. Long greetings have some two hundred (curl's test 1006 has 226).
pub const REPLY_LINES_MAX: usize = 512;
/// The maximum number of bytes in one reply, all lines together; suppaftp has the same limit.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;
/// The maximum number of bytes in one command. Servers cut or refuse above 4 KiB; paths end at 4,096 bytes on Linux.
pub const COMMAND_BYTES_MAX: usize = 4608;
/// The maximum number of bytes of pipelined commands. Above 4 KiB proftpd and pure-ftpd stall under TLS (measured).
pub const BATCH_BYTES_MAX: usize = 2048;
/// The minimum number of directories listed in one packet where they are listed by STAT: with paths of a hundred
/// bytes.
pub const FOLDERS_AT_ONCE_MIN: usize = 16;

/// The minimum number of times a server must have replied in order before a command that matters is pipelined to it.
pub const STEPS_KEPT_MIN: u8 = 1;

/// The time limit for a pipelined login: a server that drops half of it waits for ever, and is then asked in the
/// usual way.
pub const HASTY_LOGIN_TIME: Duration = Duration::from_secs(10);
/// The maximum age of a data port that was requested ahead; servers give one up after 30 s at the earliest.
pub const AHEAD_AGE_MAX: Duration = Duration::from_secs(5);

/// The maximum number of bytes in one line of a listing: a name has 255 bytes, its facts some hundred more.
pub const LISTING_LINE_BYTES_MAX: usize = 8 * 1024;
/// The maximum number of bytes in one listing.
pub const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The maximum number of entries in one listing, and in one tree.
pub const ENTRIES_MAX: usize = 1_000_000;
/// The maximum number of refused listing lines kept as evidence; the others are counted.
pub const REFUSED_LINES_MAX: usize = 100;
/// The time limit for one listing, even while bytes trickle in.
pub const LISTING_TIME_MAX: Duration = Duration::from_mins(15);
/// The maximum number of nested links to directories on a server, which may form an undetectable loop.
pub const LINKS_DEEP_MAX: usize = 8;
/// The maximum nesting of directories. Deeper ones are loops or attacks; the test tree `deep` has 100.
pub const DEPTH_MAX: usize = 256;

/// The time limit for opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The time limit for the reply to a command.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum time without a byte on a data connection.
pub const DATA_TIMEOUT: Duration = Duration::from_mins(1);
/// The time limit for opening a data connection while another mode is left to try, in addition to some round trips. A
/// lost SYN is sent again after 1 s and after 3 s.
pub const STEP_TIME: Duration = Duration::from_secs(3);
/// The number of round trips added to it: command, handshake, and one retransmission of each.
pub const STEP_ROUND_TRIPS: u32 = 4;
/// The maximum of that time on any link: the user waits for the other mode.
pub const STEP_TIME_MAX: Duration = Duration::from_secs(5);
/// The time limit for opening a data connection when no other mode is left: some servers look up names first.
/// Including the attempts before it, a transfer has begun or failed within 12 s.
pub const LAST_STEP_TIME: Duration = Duration::from_secs(8);
/// The factor by which the final reply of a transfer may take longer than another reply, besides the time for its
/// size: the server writes to its disk.
pub const FINAL_REPLY_FACTOR: u32 = 4;
/// The number of bytes for which the final reply gets one second more.
pub const FINAL_REPLY_BYTES_PER_SECOND: u64 = 20 * 1024 * 1024;
/// The time limit for reading a server's last TLS records after an upload (session tickets).
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit for the login of the second session of `mode: "race"`; if it takes longer, the first continues
/// alone.
pub const RACE_LOGIN_TIME: Duration = Duration::from_secs(5);
/// The time limit for ending a transfer that was aborted locally; most servers need a millisecond, Pure-FTPd may send
/// no reply.
pub const RESYNC_TIMEOUT: Duration = Duration::from_millis(1500);
/// The time limit for removing a temporary name from the server after the signal to stop: the program ends within a
/// second.
pub const SWEEP_TIME_MAX: Duration = Duration::from_millis(300);
/// The time limit for closing politely: QUIT, and the clean-up of a temporary name after a failure.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum time that an option may specify.
pub const DURATION_MAX: Duration = Duration::from_hours(30 * 24);
/// The maximum number of data connection attempts that a session remembers, for `attempts`.
pub const ATTEMPTS_KEPT_MAX: usize = 256;
/// The maximum number of bytes in the head of an HTTP proxy's reply: its status and a few lines.
pub const PROXY_HEAD_BYTES_MAX: usize = 8 * 1024;
/// The maximum number of its characters that a message repeats.
pub const PROXY_WORDS_MAX: usize = 200;
/// The maximum number of foreign connections rejected while one active data connection is awaited.
pub const STRANGERS_MAX: usize = 64;

/// The time limit for all tests of `doctor`; those that it has not reached by then are left out.
pub const SURVEY_TIME_MAX: Duration = Duration::from_mins(1);
/// The time limit for one connection attempt of `doctor`: enough to recover from two lost packets.
pub const SURVEY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same limit after a connection of that mode has already timed out: enough to recover from one lost packet.
pub const SURVEY_AGAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The time limit for one reply to `doctor`: some servers look up the client's name first.
pub const SURVEY_REPLY_TIMEOUT: Duration = Duration::from_secs(15);
/// The size in bytes of the file that `doctor` uploads and downloads.
pub const SURVEY_FILE_BYTES: usize = 1024;
/// The maximum number of sessions that `doctor` holds at a time to see whether they are allowed; more would be an
/// attack.
pub const SURVEY_SESSIONS_MAX: u16 = 4;
/// The maximum number of addresses of one name that `doctor` tries.
pub const SURVEY_ADDRESSES_MAX: usize = 8;

/// The number of bytes read or written at once. 256 KiB equals or beats curl; 8 KiB costs three times as much
/// (measured).
pub const COPY_BYTES: usize = 256 * 1024;
/// The number of bytes sent at once. Reading and sending each pass over the buffer: one that outgrows the processor's
/// own cache costs up to twice the processor time (measured, 64 KiB against 256).
pub const SEND_BYTES: usize = 64 * 1024;
/// The number of bytes read from the system at once under TLS.
pub const TLS_READ_BYTES: usize = 128 * 1024;
/// The maximum number of bytes of a remote file that a script may read into a variable (`read`, `read_blob`).
pub const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The number of existing bytes that are read again when a transfer is resumed: bytes in flight when it broke off may
/// differ from those that were sent.
pub const RESUME_OVERLAP_BYTES: u64 = 64 * 1024;
/// The minimum number of bytes in each segment of a file: for less an extra login does not pay. lftp has the same
/// minimum.
pub const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// The maximum burst after a pause, as time at the rate limit.
pub const PACE_BURST: Duration = Duration::from_millis(100);
/// The minimum number of bytes sent at once, however low the rate limit is: fewer would cost more than they carry.
pub const PACE_PIECE_BYTES_MIN: usize = 1024;
/// The maximum number of sessions of one mirror.
pub const PARALLEL_MAX: u16 = 32;

/// The value in place of a number of sessions: as many as increase the speed.
pub const PARALLEL_AUTO: u16 = u16::MAX;
/// The initial number of sessions for `parallel = "auto"`; most servers accept as many.
pub const PARALLEL_AUTO_FIRST: u16 = 8;
/// The initial number if the server answers within [`NEAR_ROUND_TRIP_MAX`]: there is no latency to hide, and each login
/// costs as much as several small files.
pub const PARALLEL_AUTO_NEAR: u16 = 2;
/// The maximum round-trip time of a server that is near.
pub const NEAR_ROUND_TRIP_MAX: Duration = Duration::from_millis(1);
/// The minimum time over which throughput is measured before more sessions are tried.
pub const TIDE_TIME_MIN: Duration = Duration::from_millis(200);
/// The minimum number of work items for each session in that time.
pub const TIDE_PIECES_MIN: u64 = 2;
/// The number of downloads that a session does in one batch during the measurement: its work counts when the batch is
/// done.
pub const TIDE_TURN_PIECES: usize = 1;
/// The minimum gain in throughput that justifies twice the sessions.
pub const TIDE_GAIN_MIN: f64 = 1.2;
/// The number of bytes added to the size of each file in the measurement: its round trips could have carried them.
pub const TIDE_FILE_BYTES: u64 = 64 * 1024;
/// The wait before a server that refused a session is asked for one again; it doubles after each refusal.
pub const SESSION_WAIT: Duration = Duration::from_secs(15);
/// The maximum of that wait; lftp has the same.
pub const SESSION_WAIT_MAX: Duration = Duration::from_mins(5);
/// The waits before a session that a server has just ended is asked for again, after it was refused as one too many: a
/// server needs a moment to notice the end of a session, and other sessions of the run give way in that time.
pub const RECONNECT_WAITS: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
];
/// The number of those waits after which other sessions are asked to give way.
pub const RECONNECT_WAITS_ALONE: usize = 2;
/// The time between two sessions that give way: the one that waits needs a moment to see it.
pub const GIVE_WAY_WAIT: Duration = Duration::from_millis(300);
/// The interval at which idle sessions are asked if they should give way.
pub const GIVE_WAY_POLL: Duration = Duration::from_millis(50);
/// The maximum number of entries of a local directory that are read to estimate the sessions that a remote scan may
/// use.
pub const EXPECTED_ENTRIES_MAX: usize = 256;
/// The maximum number of files of a mirror that one session uploads before it renames all of them to their final
/// names.
pub const ASIDE_FILES_MAX: usize = 14;
/// The number of bytes after which it does so, even with fewer files.
pub const ASIDE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The time after which it does so, even with fewer files: a file that has arrived must become visible soon.
pub const ASIDE_TIME_MAX: Duration = Duration::from_secs(3);
/// The maximum number of files named in the message about an interrupted staged mirror; the report has them all.
pub const PLACED_NAMED_MAX: usize = 20;

/// The maximum number of operations of one script. An endless loop ends in a few seconds.
pub const SCRIPT_OPERATIONS_MAX: u64 = 20_000_000;
/// The maximum depth of nested calls; with the stack below there is ample room (measured).
pub const SCRIPT_CALL_LEVELS_MAX: usize = 48;
/// The maximum depth of nested expressions, at the top level and in functions.
pub const SCRIPT_EXPRESSION_DEPTHS_MAX: (usize, usize) = (64, 32);
/// The maximum number of bytes in one string of a script.
pub const SCRIPT_STRING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The maximum number of elements in one array: a listing of `ENTRIES_MAX` is for mirrors, not for variables.
pub const SCRIPT_ARRAY_LENGTH_MAX: usize = 500_000;
/// The maximum number of bytes that an archive unpacks to, unless a script allows more: what people exchange is smaller,
/// and a disk has room for it.
pub const ARCHIVE_BYTES_MAX: u64 = 1 << 30;
/// The maximum number of files that an archive unpacks to, unless a script allows more.
pub const ARCHIVE_FILES_MAX: u64 = 100_000;
/// The maximum number of bytes of an HTTP answer: it becomes a string of the script.
pub const HTTP_BYTES_MAX: u64 = SCRIPT_STRING_BYTES_MAX as u64;
/// The maximum number of redirects of one request, as in browsers.
pub const HTTP_REDIRECTS_MAX: usize = 10;
/// The maximum time of one HTTP request.
pub const HTTP_TIME_MAX: Duration = Duration::from_hours(1);
/// The maximum number of bytes of each output of a program: it becomes a string of the script.
pub const PROGRAM_OUTPUT_BYTES_MAX: usize = SCRIPT_STRING_BYTES_MAX;
/// The number of bytes of a program's output that are logged.
pub const PROGRAM_LOG_BYTES_MAX: usize = 256 * 1024;
/// The maximum time of one program.
pub const PROGRAM_TIME_MAX: Duration = Duration::from_hours(24);
/// The maximum number of calls that `parallel` makes at once.
pub const PARALLEL_CALLS_MAX: usize = 16;
/// The maximum number of values that one job or script keeps from run to run.
pub const SCRIPT_VALUES_MAX: i64 = 1_000;
/// The maximum number of bytes of all values that one job or script keeps: a list of 100,000 names.
pub const SCRIPT_VALUES_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The processor time that a script may spend on its own operations and the functions they call, transfers and waits
/// excluded.
pub const SCRIPT_TIME_MAX: Duration = Duration::from_secs(20);
/// The memory that the process may use for one script; a listing of `SCRIPT_ARRAY_LENGTH_MAX` entries needs most of
/// it.
pub const SCRIPT_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The maximum number of variables of one script.
pub const SCRIPT_VARIABLES_MAX: usize = 5_000;
/// The maximum number of functions of one script.
pub const SCRIPT_FUNCTIONS_MAX: usize = 500;
/// The maximum number of files imported by one run.
pub const SCRIPT_MODULES_MAX: usize = 32;
/// The maximum number of bytes in a netrc file: thousands of hosts.
pub const NETRC_BYTES_MAX: u64 = 1024 * 1024;
/// The maximum number of bytes in one script file.
pub const SCRIPT_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The stack size of the thread that runs a script: 48 calls in a debug build need some 2 MiB (measured).
pub const SCRIPT_STACK_BYTES: usize = 32 * 1024 * 1024;
/// The time limit for listing a directory to complete a name: after that the Tab key does nothing.
pub const COMPLETION_TIME_MAX: Duration = Duration::from_secs(3);
/// The maximum number of lines in the history of the prompt.
pub const PROMPT_LINES_KEPT_MAX: usize = 1_000;
/// The maximum number of bytes that one script may print.
pub const SCRIPT_OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The maximum number of attempts of `retry` in a script.
pub const RETRIES_MAX: u16 = 10;
/// The maximum time between a request to stop and the end of the program, whatever is still running.
pub const STOP_TIME_MAX: Duration = Duration::from_millis(800);

/// The maximum number of bytes that `rehearse` copies from a local tree; above that it is no longer a rehearsal.
pub const REHEARSAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The maximum number of sessions of the embedded server.
pub const REHEARSAL_SESSIONS_MAX: usize = 64;
/// The time without a command after which the embedded server ends a session; vsftpd's default.
pub const REHEARSAL_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// The time limit for a data connection to the embedded server; real ones allow 60 s and more, too long for a
/// rehearsal.
pub const REHEARSAL_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of lines that the embedded server keeps of its conversations.
pub const REHEARSAL_LOG_LINES_MAX: usize = 100_000;

/// The maximum number of bytes in a recording: a run of a day with a hundred thousand files has some 50 MiB.
pub const RECORDING_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The maximum number of bytes in one line of a recording: the largest recorded listing, with each byte escaped.
pub const RECORDING_LINE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The maximum number of bytes of one listing in a recording; a longer one is left out.
pub const RECORDED_LISTING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The maximum number of sessions in a recording that is read.
pub const RECORDING_SESSIONS_MAX: u32 = 100_000;
/// The maximum number of local files and directories that a recording describes below one path.
pub const RECORDED_ENTRIES_MAX: usize = 100_000;
/// The maximum number of bytes that a replay makes up for one file on the way to the client.
pub const REPLAYED_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The time limits of a replay where the recorded run waited in vain: loopback answers in a millisecond, also on a machine
/// that is busy.
pub const REPLAY_TIMEOUT: Duration = Duration::from_secs(3);

/// The number of bytes of a file whose write-back to disk is started together while more of it arrives.
pub const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// The default number of retries of a file or directory of a mirror after a temporary failure.
pub const MIRROR_RETRIES: u16 = 4;
/// The time since its first failure after which a file is not retried any more.
pub const MIRROR_RETRY_TIME_MAX: Duration = Duration::from_mins(15);
/// The maximum number of retries: with the waits between them, a quarter of an hour for one file.
pub const MIRROR_RETRIES_MAX: u16 = 20;
/// The beginning of a pipe that is kept, so that an upload can be repeated if its first data connection fails.
pub const STREAM_REPLAY_BYTES: usize = 1024 * 1024;
/// The maximum number of transfers in the background of the prompt, each with a session of its own.
pub const BACKGROUND_JOBS_MAX: usize = 16;
/// The default of the maximum wait before the first retry (`retry_wait`), doubled before each further one.
pub const RETRY_WAIT: Duration = Duration::from_secs(1);
/// The maximum of that wait.
pub const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);
/// The waits before missing parts of a large file are fetched again, or a failed rename is retried; there is one
/// retry for each wait.
pub const STEP_RETRY_WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// The number of files of a mirror that may fail in a row because of the connection before it gives up.
pub const MIRROR_FAILURES_IN_A_ROW_MAX: u32 = 10;

/// The maximum number of bytes in a list of files or patterns that an option names: a million paths of usual length.
pub const LIST_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The maximum number of bytes in a file of ignore patterns.
pub const IGNORE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The maximum number of mirrors whose files are remembered; the one not seen for longest is removed.
pub const MIRRORS_KEPT_MAX: u32 = 200;
/// The maximum number of owner tags of mirrors that are kept, each a file of 16 bytes.
pub const MARKS_KEPT_MAX: usize = 1_000;
/// The maximum number of records of temporary files that are read: each killed upload leaves one until the next to its
/// target.
pub const TEMP_RECORDS_MAX: usize = 10_000;
/// The maximum number of bytes that are read of such a record, which has a few paths.
pub const TEMP_RECORD_BYTES_MAX: u64 = 64 * 1024;
/// The age above which a temporary file cannot belong to a live run of another host: no file takes so long.
pub const PART_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// The number of files after which a mirror saves its progress: after a crash as many are compared by size and time
/// again.
pub const MIRROR_NOTE_FILES: usize = 256;
/// The interval at which a running mirror writes its state to the server.
pub const MIRROR_STATE_TIME: Duration = Duration::from_mins(1);
/// The maximum number of bytes in a state file on the server: a million files, each with the longest name.
pub const STATE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The number of files that are checked if the state is trusted, as far as they fit into one batch.
pub const TRUST_SAMPLE: usize = 16;
/// The age below which a local file may be written again without a new modification time.
pub const MIRROR_FRESH_TIME: Duration = Duration::from_secs(2);

/// The time limit for waiting on another writer of the store; a write takes milliseconds unless the other process
/// hangs.
pub const STORE_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval at which the store is copied.
pub const STORE_BACKUP_INTERVAL: Duration = Duration::from_hours(24);
/// The free disk space below which a failed write of the store is reported as a full disk: SQLite asks for more at
/// once.
pub const STORE_ROOM_MIN: u64 = 64 * 1024;
/// The time for which a server record is valid; after it the requested mode is tried again.
pub const ROUTE_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// The maximum number of server records: more servers than one person has, and few enough to be searched instantly.
pub const ROUTES_KEPT_MAX: u32 = 1_000;
/// The maximum number of record writes of one session: a data path that changes often must not make every file wait
/// for a disk.
pub const ROUTE_WRITES_MAX: u32 = 8;

/// The maximum number of ports and ranges in one NAT rule; each packet is compared with all of them.
pub const NAT_RANGES_MAX: usize = 64;
/// The maximum number of networks in one NAT rule: iptables has a rule for each, and a rule of two sets one for each
/// pair.
pub const NAT_NETS_MAX: usize = 64;
/// The maximum number of ports that one NAT rule leads to other ports, one by one.
pub const NAT_PORT_PAIRS_MAX: usize = 1_024;
/// The maximum number of parts in one NAT ruleset: far more than a gateway has, and few enough to be planned and loaded
/// within seconds.
pub const NAT_PARTS_MAX: usize = 4_096;
/// The maximum number of bytes in a listing of nft or iptables: a set of a million addresses is some 20 MiB.
pub const NAT_LISTING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The maximum size of a file of iptables lines to import: the rules of a host with thousands of containers fit.
pub const NAT_IMPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The maximum number of commands in such a file.
pub const NAT_IMPORT_COMMANDS_MAX: usize = 50_000;
/// The maximum number of characters in the reason of a change of NAT: one line of a table.
pub const NAT_COMMENT_LENGTH_MAX: usize = 200;
/// The number of changes of one ruleset that are kept: years of them, each with its rules.
pub const NAT_HISTORY_KEPT_MAX: u32 = 100;
/// The time limit for nft, iptables and modprobe: they take milliseconds, unless the host is very busy.
pub const NAT_TOOL_TIME_MAX: Duration = Duration::from_mins(1);
/// The minimum duration of a trial of rules: the user needs time to test them and to type `confirm`.
pub const NAT_TRIAL_MIN: Duration = Duration::from_secs(1);
/// The maximum duration of a trial of rules.
pub const NAT_TRIAL_MAX: Duration = Duration::from_hours(24);
/// The default duration of a trial of rules while a script tests them.
pub const NAT_TRIAL_USUAL: Duration = Duration::from_mins(1);

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

/// The default lifetime of a port mapping on a router; it is renewed at half of it.
pub const LEASE_TIME: Duration = Duration::from_hours(1);
/// The minimum lifetime: below it, a slow router could not be asked again in time.
pub const LEASE_TIME_MIN: Duration = Duration::from_secs(5);
/// The maximum lifetime that is believed; UPnP has the same limit.
pub const LEASE_TIME_MAX: Duration = Duration::from_hours(7 * 24);
/// The minimum time between two attempts to renew a lease.
pub const LEASE_RETRY_MIN: Duration = Duration::from_secs(1);
/// The time limit for releasing all leases of a run.
pub const RELEASE_TIME_MAX: Duration = Duration::from_secs(3);
/// The maximum number of ports that are mapped together: as many as transfers may run at a time.
pub const MAPPED_PORTS_MAX: usize = 32;
/// The minimum number of ports that `map_ports: "auto"` requests, since a mirror may have more sessions than its
/// connection specified.
pub const MAPPED_PORTS_AUTO: usize = 8;
/// The maximum number of ports of a ruleset's range that a run listens on in turn: far more than it has transfers.
pub const OPENED_PORTS_MAX: usize = 1024;
/// The time after which a router that refused a port is asked again.
pub const MAP_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// The maximum number of lease journals that are read: each run has one, and few crash.
pub const LEASE_PAGES_MAX: usize = 64;
/// The maximum number of bytes in such a journal: a line has some 10 KiB at most, and every renewal adds one.
pub const LEASE_PAGE_BYTES_MAX: u64 = 1024 * 1024;
/// The wait for a router's first answer to PCP or NAT-PMP (RFC 6886, 3.1); it doubles with each attempt.
pub const ROUTER_FIRST_WAIT: Duration = Duration::from_millis(250);
/// The maximum of that wait.
pub const ROUTER_WAIT_MAX: Duration = Duration::from_secs(1);
/// The number of times the same datagram is sent: with the waits, a missing router is detected after 1.75 s.
pub const ROUTER_TRIES: usize = 3;
/// The time limit for finding a router by UPnP, its description included.
pub const ROUTER_SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit for one answer by UPnP.
pub const ROUTER_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum number of entries of a router's list that are read.
pub const ROUTER_ENTRIES_MAX: u32 = 256;
/// The maximum number of characters of a router's message that an error repeats.
pub const ROUTER_WORDS_MAX: usize = 200;
