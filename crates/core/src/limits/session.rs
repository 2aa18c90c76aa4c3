//! Limits of replies, listings and connections.

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
