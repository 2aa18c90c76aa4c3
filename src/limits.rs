//! Every limit of the program, each with its reason. What comes from outside is bounded here or nowhere.

use std::time::Duration;

/// Bytes of one line of a reply. Servers send banners of 17 kB in one line (curl's test 1003).
pub const REPLY_LINE_BYTES_MAX: usize = 32 * 1024;
/// Lines of one reply. Long greetings have some two hundred (curl's test 1006 has 226).
pub const REPLY_LINES_MAX: usize = 512;
/// Bytes of one reply, all lines; suppaftp's own bound is the same.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one command. Servers cut or refuse above 4 KiB; paths end at 4,096 bytes on Linux.
pub const COMMAND_BYTES_MAX: usize = 4608;
/// Bytes of commands sent without waiting. Above 4 KiB proftpd and pure-ftpd stall under TLS (measured).
pub const BATCH_BYTES_MAX: usize = 2048;
/// Folders that are listed in one packet, at the least, where they are listed by STAT: with paths of a hundred bytes.
pub const FOLDERS_AT_ONCE_MIN: usize = 16;

/// So often a server must have answered in turn before a command that matters is sent ahead to it.
pub const STEPS_KEPT_MIN: u8 = 1;

/// A login in one packet: a server that drops half of it waits for ever, and is to be asked in the usual way then.
pub const HASTY_LOGIN_TIME: Duration = Duration::from_secs(10);
/// Age of a port that a server was asked for ahead; the shortest time after which a server gives one up is 30 s.
pub const AHEAD_AGE_MAX: Duration = Duration::from_secs(5);

/// Bytes of one line of a listing: a name has 255 bytes, its facts some hundred more.
pub const LISTING_LINE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of one listing.
pub const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries of one listing, and of one tree.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Lines of a listing kept as evidence of why it was refused; the others are counted.
pub const REFUSED_LINES_MAX: usize = 100;
/// Time for one listing, whatever trickles in.
pub const LISTING_TIME_MAX: Duration = Duration::from_mins(15);
/// Links to folders below one another on a server that may lead in a circle without saying so.
pub const LINKS_DEEP_MAX: usize = 8;
/// Folders below one another. Deeper ones are loops or attacks; the test tree `deep` has 100.
pub const DEPTH_MAX: usize = 256;

/// Time to make a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for the reply to a command.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time without a byte on a data connection.
pub const DATA_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for a data connection to stand while another mode is left to try: this, and so many round trips on top. A
/// lost SYN is sent again after 1 s and after 3 s.
pub const STEP_TIME: Duration = Duration::from_secs(3);
/// Round trips of such a step: command, handshake, and one of each lost.
pub const STEP_ROUND_TRIPS: u32 = 4;
/// The longest that such a step takes, over whatever link: somebody waits for the other mode.
pub const STEP_TIME_MAX: Duration = Duration::from_secs(5);
/// Time for a data connection when no other mode is left: some servers look up names first. With the steps before
/// it, a transfer has begun or failed within 12 s.
pub const LAST_STEP_TIME: Duration = Duration::from_secs(8);
/// So many times the time for a reply may the final reply of a transfer take, besides what its size needs: the server
/// writes to its disk.
pub const FINAL_REPLY_FACTOR: u32 = 4;
/// Bytes for which the final reply gets one second more.
pub const FINAL_REPLY_BYTES_PER_SECOND: u64 = 20 * 1024 * 1024;
/// Time to take in a server's last TLS records after an upload (session tickets).
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the second session of `mode: "race"` to log in; where it takes longer, the first goes alone.
pub const RACE_LOGIN_TIME: Duration = Duration::from_secs(5);
/// Time for the end of a transfer that was ended from here; most servers need a millisecond, Pure-FTPd may say nothing.
pub const RESYNC_TIMEOUT: Duration = Duration::from_millis(1500);
/// Time to remove a temporary name from the server after the signal to stop: the program ends within a second.
pub const SWEEP_TIME_MAX: Duration = Duration::from_millis(300);
/// Time that good manners may take: QUIT, and the clean-up of a temporary name after a failure.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time an option may name.
pub const DURATION_MAX: Duration = Duration::from_hours(30 * 24);
/// Tries to make a data connection that a session remembers, for `attempts`.
pub const ATTEMPTS_KEPT_MAX: usize = 256;
/// Bytes of the head of an HTTP proxy's reply: its status and a few lines.
pub const PROXY_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Characters of it that a message repeats.
pub const PROXY_WORDS_MAX: usize = 200;
/// Foreign connections turned away while one active data connection is awaited.
pub const STRANGERS_MAX: usize = 64;

/// Time for everything that `doctor` tries; what it has not come to by then is left out.
pub const SURVEY_TIME_MAX: Duration = Duration::from_mins(1);
/// Time for one connection that `doctor` tries: two lost packets are made good in it.
pub const SURVEY_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where a connection of that mode has been waited for in vain already: one lost packet is made good in it.
pub const SURVEY_AGAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for one reply that `doctor` waits for: some servers look up our name first.
pub const SURVEY_REPLY_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the file that `doctor` sends and fetches.
pub const SURVEY_FILE_BYTES: usize = 1024;
/// Sessions that `doctor` holds at a time to see whether they are allowed; more would be an attack.
pub const SURVEY_SESSIONS_MAX: u16 = 4;
/// Addresses of one name that `doctor` tries.
pub const SURVEY_ADDRESSES_MAX: usize = 8;

/// Bytes read or written at once. 256 KiB equals or beats curl; 8 KiB costs three times as much (measured).
pub const COPY_BYTES: usize = 256 * 1024;
/// Bytes sent at once. Reading and sending each pass over the buffer: one that outgrows the processor's own cache costs up
/// to twice the time of the processor (measured, 64 KiB beside 256).
pub const SEND_BYTES: usize = 64 * 1024;
/// Bytes read from the system at once under TLS.
pub const TLS_READ_BYTES: usize = 128 * 1024;
/// Bytes of a remote file that a script may take into a variable (`read`, `read_blob`).
pub const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// So much of what is there already is read again when a transfer goes on: what was in flight when it broke off may not
/// be what was sent.
pub const RESUME_OVERLAP_BYTES: u64 = 64 * 1024;
/// Bytes of a file for each segment that is fetched by itself: for less a login is not worth while. lftp's is the same.
pub const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// What may move at once after a pause, in time at the rate of a limit.
pub const PACE_BURST: Duration = Duration::from_millis(100);
/// Bytes that move at once however low the limit is: fewer would cost more than they carry.
pub const PACE_PIECE_BYTES_MIN: usize = 1024;
/// Sessions of one mirror.
pub const PARALLEL_MAX: u16 = 32;

/// Sessions with which `parallel = "auto"` begins; most servers take so many.
pub const PARALLEL_AUTO_FIRST: u16 = 8;
/// Time after which throughput with so many sessions is known well enough to try more.
pub const TIDE_TIME_MIN: Duration = Duration::from_millis(200);
/// Pieces of work for each session in that time.
pub const TIDE_PIECES_MIN: u64 = 2;
/// Downloads that a session does in one go while that is found out: what it has done counts when it is through.
pub const TIDE_TURN_PIECES: usize = 1;
/// How much faster twice the sessions must make it.
pub const TIDE_GAIN_MIN: f64 = 1.2;
/// So many bytes a file counts besides its own: round trips that could have carried them.
pub const TIDE_FILE_BYTES: u64 = 64 * 1024;
/// Time until a server that took no more sessions is asked for one again; twice as long after each refusal.
pub const SESSION_WAIT: Duration = Duration::from_secs(15);
/// The longest such wait; lftp's is the same.
pub const SESSION_WAIT_MAX: Duration = Duration::from_mins(5);
/// Entries of a folder here that are looked at to tell how many sessions a scan there may use.
pub const EXPECTED_ENTRIES_MAX: usize = 256;
/// Files of a mirror that one session sends before it puts all of them under their final names together.
pub const ASIDE_FILES_MAX: usize = 14;
/// Bytes and time after which it does so, however few they are.
pub const ASIDE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// See [`ASIDE_BYTES_MAX`]: nobody shall wait longer to see a file that has arrived.
pub const ASIDE_TIME_MAX: Duration = Duration::from_secs(3);
/// Files that the words about a staged mirror that broke off name; the report has them all.
pub const PLACED_NAMED_MAX: usize = 20;

/// Steps of one script. An endless loop ends in a few seconds.
pub const SCRIPT_OPERATIONS_MAX: u64 = 20_000_000;
/// Calls inside one another; with the stack below there is ample room (measured).
pub const SCRIPT_CALL_LEVELS_MAX: usize = 48;
/// Expressions inside one another, at the top level and in functions.
pub const SCRIPT_EXPRESSION_DEPTHS_MAX: (usize, usize) = (64, 32);
/// Bytes of one string of a script.
pub const SCRIPT_STRING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Elements of one array: a listing of `ENTRIES_MAX` is for mirrors, not for variables.
pub const SCRIPT_ARRAY_LENGTH_MAX: usize = 500_000;
/// Entries of the maps in one value: each entry of a listing has six.
pub const SCRIPT_MAP_LENGTH_MAX: usize = 6 * SCRIPT_ARRAY_LENGTH_MAX;
/// Time of the processor that a script may spend on its own steps and what they call. Transfers and waits are not among
/// them. Tests need not wait.
pub const SCRIPT_TIME_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });
/// Memory that the process may take for one script; a listing of `SCRIPT_ARRAY_LENGTH_MAX` entries needs most of it.
pub const SCRIPT_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Variables of one script.
pub const SCRIPT_VARIABLES_MAX: usize = 5_000;
/// Functions of one script.
pub const SCRIPT_FUNCTIONS_MAX: usize = 500;
/// Imported files of one run.
pub const SCRIPT_MODULES_MAX: usize = 32;
/// Bytes of a netrc file: hundreds of hosts.
pub const NETRC_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of one script file.
pub const SCRIPT_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Stack of the thread that runs a script: 48 calls in a debug build need some 2 MiB (measured).
pub const SCRIPT_STACK_BYTES: usize = 32 * 1024 * 1024;
/// Time in which a server must list a folder for the completion of a name: after that the key does nothing.
pub const COMPLETION_TIME_MAX: Duration = Duration::from_secs(3);
/// Lines that the prompt remembers.
pub const PROMPT_LINES_KEPT_MAX: usize = 1_000;
/// Bytes that one script may print.
pub const SCRIPT_OUTPUT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Tries of `retry` in a script.
pub const RETRIES_MAX: i64 = 10;
/// Time between a request to stop and the end of the program, whatever still runs.
pub const STOP_TIME_MAX: Duration = Duration::from_millis(800);

/// Bytes that `rehearse` copies from a tree on this machine; above that it is no longer a rehearsal.
pub const REHEARSAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Sessions of the embedded server.
pub const REHEARSAL_SESSIONS_MAX: usize = 64;
/// Time without a command until the embedded server ends a session; vsftpd's default.
pub const REHEARSAL_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// Time for a data connection to the embedded server; real ones take 60 s and more, for which a rehearsal cannot wait.
pub const REHEARSAL_OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Lines that the embedded server keeps of its conversations.
pub const REHEARSAL_LOG_LINES_MAX: usize = 100_000;

/// Bytes of a file that are set on their way to the disk together while more of it comes.
pub const WRITE_BACK_BYTES: u64 = 8 * 1024 * 1024;

/// So often a mirror tries a file or folder again after a failure that may pass, if nothing else is said.
pub const MIRROR_RETRIES: u16 = 4;
/// After so long since its first failure no further try of a file begins.
pub const MIRROR_RETRY_TIME_MAX: Duration = Duration::from_mins(15);
/// So often at most: with the waits between them, a quarter of an hour for one file.
pub const MIRROR_RETRIES_MAX: u16 = 20;
/// The longest wait before the first of these tries, twice as long before each further one. Any part of it is waited,
/// so that many sessions do not come back at the same moment. Tests that fail on purpose need not wait.
pub const MIRROR_RETRY_WAIT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });
/// The longest such wait.
pub const MIRROR_RETRY_WAIT_MAX: Duration = Duration::from_mins(1);
/// Waits before what is lacking of a large file is fetched again, or a name given that was not; as many tries as there
/// are waits.
pub const STEP_RETRY_WAITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// Files of a mirror that may fail one after the other by the connection's fault, until it gives up.
pub const MIRROR_FAILURES_IN_A_ROW_MAX: u32 = 10;

/// Bytes of a file with patterns of what takes no part.
pub const IGNORE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Mirrors of which the files are remembered; the one not seen for longest gives way.
pub const MIRRORS_KEPT_MAX: u32 = 200;
/// Marks of mirrors that are kept, each a file of 16 bytes.
pub const MARKS_KEPT_MAX: usize = 1_000;
/// How old a temporary file must be by its name to belong to no live run of another machine: no file takes so long.
pub const PART_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// Files after which a mirror notes what it has done: so much is compared by size and time again after a crash.
pub const MIRROR_NOTE_FILES: usize = 256;
/// Time after which a mirror writes its state to the server while it works.
pub const MIRROR_STATE_TIME: Duration = Duration::from_mins(1);
/// Bytes of a state on the server: a million files, each with the longest name.
pub const STATE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Files that are asked for where the state is trusted, if so many fit into one batch.
pub const TRUST_SAMPLE: usize = 16;
/// A file of this machine that was written so shortly ago may be written again without a new time.
pub const MIRROR_FRESH_TIME: Duration = Duration::from_secs(2);

/// Time to wait for another process that writes the store; that takes milliseconds, unless the other has come to a halt.
pub const STORE_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which the store is copied anew.
pub const STORE_BACKUP_INTERVAL: Duration = Duration::from_hours(24);
/// Room on a disk below which a failure of the store to write is taken for a full disk: SQLite asks for more at once.
pub const STORE_ROOM_MIN: u64 = 64 * 1024;
/// Time for which the memory of a route is believed; after it the mode that was asked for has another chance.
pub const ROUTE_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// Routes that are remembered: more servers than one person has, and few enough to be searched in no time.
pub const ROUTES_KEPT_MAX: u32 = 1_000;
/// So often may one session write to the memory: a route that comes and goes must not make every file wait for a disk.
pub const ROUTE_WRITES_MAX: u32 = 8;

/// Ports and ranges of one rule for NAT; one packet is compared with all of them.
pub const NAT_RANGES_MAX: usize = 64;
/// Parts of one ruleset for NAT: far more than a gateway has, and few enough to be loaded in no time.
pub const NAT_PARTS_MAX: usize = 256;
/// Bytes that nft or iptables may list: a set of a million addresses is some 20 MiB.
pub const NAT_LISTING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long nft, iptables and modprobe may take: they take milliseconds, unless the machine is very busy.
pub const NAT_TOOL_TIME_MAX: Duration = Duration::from_mins(1);
/// The shortest trial of rules: a person must have time to try and to say `confirm`.
pub const NAT_TRIAL_MIN: Duration = Duration::from_secs(1);
/// The longest trial of rules.
pub const NAT_TRIAL_MAX: Duration = Duration::from_hours(24);
/// The trial of rules while a script tests them, if it names no time.
pub const NAT_TRIAL_USUAL: Duration = Duration::from_mins(1);

/// Files of one run that history lists; the run's log has them all.
pub const RUN_FILES_KEPT_MAX: i64 = 1_000;
/// Runs that are removed from history at once: a writer must not wait long.
pub const PRUNE_ROWS_MAX: u32 = 500;
/// Bytes of a cron expression; the longest that people write have some hundred.
pub const CRON_BYTES_MAX: usize = 1024;
/// Years in which a schedule fires or never does: 29 February comes after eight years across 2100.
pub const CRON_SEARCH_YEARS: i64 = 8;
/// Missed slots of one job that have a row each; older ones share one. Ten days of a job that runs twice an hour, and half
/// of what history keeps: an outage must not push out all that really ran.
pub const MISSED_ROWS_MAX: usize = 500;
/// Missed slots of one job that are counted at all: a fraction of a second. A day by the second has fewer.
pub const MISSED_COUNTED_MAX: u64 = 200_000;
/// Slots of one job that wait to begin.
pub const WAITING_MAX: usize = 100;
/// A watermark that is further ahead was set by a clock that was wrong (a machine without a battery starts in 2031).
pub const WATERMARK_AHEAD_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Time after which a missed slot is no longer caught up, where no `start_deadline` says otherwise.
pub const DEADLINE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Bytes of a jobs file; a thousand jobs have some hundred thousand.
pub const JOBS_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Jobs of one file.
pub const JOBS_MAX: usize = 2_000;
/// Bytes of a job's name: Kubernetes takes no more for a job of its own.
pub const JOB_NAME_BYTES_MAX: usize = 52;
/// Retries of one run.
pub const JOB_RETRIES_MAX: i64 = 100;
/// Time between the request to stop a run and its end by force: a large file needs a while to its next safe point.
pub const KILL_GRACE: Duration = Duration::from_secs(30);
/// A slot that is later than this was missed: the loop looks at the clock every 30 s at least.
pub const LATE_AFTER: Duration = Duration::from_mins(1);
/// Time over which runs that catch up begin: after an outage all jobs are late, and servers take few sessions.
pub const CATCH_UP_SPREAD: Duration = Duration::from_mins(1);
/// Rows of history for each job.
pub const RETENTION_RUNS: u32 = 1_000;
/// Time for which history is kept.
pub const RETENTION_AGE: Duration = Duration::from_hours(90 * 24);
/// Bytes of the log of one run.
pub const RETENTION_LOG_BYTES: u64 = 10 * 1024 * 1024;
/// Bytes of one line of a run's events; a script that prints more in one line has it cut.
pub const CHILD_LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Lines of a run's standard error that are looked through for its last words: an error with its excerpt has ten.
pub const CHILD_TAIL_LINES: usize = 40;
/// Time for the pipes of a run to close after its end; nothing that it started is left to hold them.
pub const CHILD_PIPE_TIME_MAX: Duration = Duration::from_secs(2);
/// Memory of a run's process. The largest tree that a mirror takes needs a quarter of it.
pub const CHILD_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of the end of a log that go into a ping; Healthchecks keeps 100 kB, others 10 kB.
pub const LOG_TAIL_BYTES: u64 = 10_000;
/// Bytes that a full log still takes, so that it tells how the run ended.
pub const LOG_END_BYTES: u64 = 4 * 1024;
/// Time between two turns of the scheduler when nothing is due: clocks are set, machines sleep, and others write into the
/// store.
pub const DAEMON_TURN_MAX: Duration = Duration::from_secs(1);
/// Time for a run's process to end once it has been told to stop at once; it needs less than a second.
pub const CHILD_TERM_TIME_MAX: Duration = Duration::from_secs(2);
/// Time between two clean-ups of history.
pub const PRUNE_INTERVAL: Duration = Duration::from_hours(1);
/// Time for the runs of a scheduler that was killed to be gone; they need milliseconds.
pub const ORPHAN_TIME_MAX: Duration = Duration::from_secs(10);
/// So often is a run taken up again that was interrupted: one that takes the machine down would do so for ever.
pub const TAKEN_UP_MAX: usize = 3;
/// Notices that are delivered at a time: each has a thread.
pub const NOTICES_AT_ONCE_MAX: usize = 8;
/// Time for one notice over HTTP.
pub const NOTICE_TIME_MAX: Duration = Duration::from_secs(15);
/// Time for a command that is told something.
pub const NOTICE_COMMAND_TIME_MAX: Duration = Duration::from_mins(1);
/// Waits before a notice is tried again; as many tries more as there are waits.
pub const NOTICE_WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];
/// Time for the scheduler to take up a run that somebody asks for; it looks every second.
pub const TRIGGER_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for which a port of a router is asked for, unless a script says otherwise; it is asked for again at half of it.
pub const LEASE_TIME: Duration = Duration::from_hours(1);
/// The shortest such time: below it, a slow router would not be asked again in time.
pub const LEASE_TIME_MIN: Duration = Duration::from_secs(5);
/// The longest such time that is believed; UPnP's own limit is the same.
pub const LEASE_TIME_MAX: Duration = Duration::from_hours(7 * 24);
/// Time between two tries to renew a lease.
pub const LEASE_RETRY_MIN: Duration = Duration::from_secs(1);
/// Time to give all leases of a run back.
pub const RELEASE_TIME_MAX: Duration = Duration::from_secs(3);
/// Ports that are mapped together: as many as transfers may run at a time.
pub const MAPPED_PORTS_MAX: usize = 32;
/// Ports that `map_ports: "auto"` asks for at least, since a mirror may have more sessions than its connection said.
pub const MAPPED_PORTS_AUTO: usize = 8;
/// Ports of a ruleset's range that a run listens on in turn: far more than it has transfers.
pub const OPENED_PORTS_MAX: usize = 1024;
/// Time after which a router that gave no port is asked again.
pub const MAP_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// Pages of leases that are looked at: one run has one, and few crash.
pub const LEASE_PAGES_MAX: usize = 64;
/// Bytes of such a page: a line has some 10 KiB at most, and every renewal adds one.
pub const LEASE_PAGE_BYTES_MAX: u64 = 1024 * 1024;
/// Time for a router's first answer to PCP or NAT-PMP (RFC 6886, 3.1); each further one has twice as long.
pub const ROUTER_FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest of these waits.
pub const ROUTER_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the same datagram is sent: with the waits, a router that is not there has been found out in 1.75 s.
pub const ROUTER_TRIES: usize = 3;
/// Time to find a router by UPnP, its description included.
pub const ROUTER_SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one answer by UPnP.
pub const ROUTER_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Entries of a router's list that are looked at.
pub const ROUTER_ENTRIES_MAX: u32 = 256;
/// Characters of a router's words that a message repeats.
pub const ROUTER_WORDS_MAX: usize = 200;
