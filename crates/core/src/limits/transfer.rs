//! Limits of transfers and mirrors.

use std::time::Duration;

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
/// The capacity of a pipe that is read or written: what Linux gives everybody (`/proc/sys/fs/pipe-max-size`).
pub const PIPE_BYTES: usize = 1024 * 1024;
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
