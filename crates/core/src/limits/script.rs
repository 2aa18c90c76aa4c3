//! Limits of scripts, the prompt, rehearsals and recordings.

use std::time::Duration;

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
